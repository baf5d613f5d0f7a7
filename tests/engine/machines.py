"""Small accelerators and layers for the engine's tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cgsim.hardware import Hardware
from cgsim.trace.network import Layer


def hardware(**changes: Any) -> Hardware:
    """An accelerator with roomy buffers; keyword arguments replace keys of any section by their last name."""
    values: dict[str, Any] = {
        "name": "test",
        "style": "asic",
        "clock_mhz": 100,
        "array": {"rows": 4, "cols": 4, "dataflow": "ws", "pipelining": "overlapped", "column_groups": 1},
        "gate_unit": {
            "enabled": True,
            "group_sync": "fold",
            "scan_bits_per_cycle": 4096,
            "compare_latency": 1,
        },
        "vector_unit": {"lanes": 4},
        "buffers": {
            "activation_kib": 64,
            "weight_kib": 64,
            "accumulator_kib": 64,
            "gate_kib": 64,
            "double_buffered": True,
        },
        "dma": {"conditional_fetch": "on_demand"},
        "dram": {"standard": "ideal", "bytes_per_cycle": 4, "latency_cycles": 10},
    }
    for name, value in changes.items():
        section = next((s for s in values.values() if isinstance(s, dict) and name in s), values)
        section[name] = value
    return Hardware.from_dict(values)


@st.composite
def layers(draw: st.DrawFn, gated: bool, largest: int = 4) -> Layer:
    """Convolutions of up to 16 channels: grouped, strided, dilated, padded, with or without base path."""
    groups = draw(st.sampled_from([1, 1, 2]))
    base_groups = draw(st.sampled_from([1, 2])) if gated else 1
    inputs = draw(st.integers(2 if gated else 1, 4)) * base_groups
    outputs = draw(st.integers(1, 3)) * base_groups
    base = draw(st.integers(1, (inputs - 1) // base_groups)) if gated else 0
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    size = [
        draw(st.integers(d * (k - 1) + 1, largest + d * (k - 1)))
        for k, d in zip(kernel, dilation, strict=True)
    ]
    out = [
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, p, d, k, t in zip(size, padding, dilation, kernel, stride, strict=True)
    ]
    return Layer(
        "layer",
        "conv2d",
        (inputs * groups, *size),
        (outputs * groups, *out),
        kernel,
        stride,
        padding,
        dilation,
        groups,
        base_channels=base,
        base_groups=base_groups,
        gate="activation" if gated else "none",
    )
