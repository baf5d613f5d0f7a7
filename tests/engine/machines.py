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
            "fifo_depth": 16,
            "activation_banks": "ideal",
        },
        "vector_unit": {"lanes": 4},
        "buffers": {
            "activation_kib": 64,
            "weight_kib": 64,
            "accumulator_kib": 64,
            "gate_kib": 64,
            "double_buffered": True,
            "port_bytes_per_cycle": "ideal",
        },
        "dma": {"conditional_fetch": "on_demand", "burst_bytes": 64, "max_outstanding": 64},
        "dram": {"standard": "ideal", "bytes_per_cycle": 4, "latency_cycles": 10},
        "mapping": {
            "batch": 1,
            "pixel_order": "raster",
            "channel_order": "natural",
            "activation_layout": "pixel_major",
        },
    }
    for name, value in changes.items():
        section = next((s for s in values.values() if isinstance(s, dict) and name in s), values)
        section[name] = value
    values["buffers"]["bytes_per_cycle"] = values["buffers"].pop("port_bytes_per_cycle")
    return Hardware.from_dict(values)


@st.composite
def accelerators(draw: st.DrawFn, batch: int = 1, **changes: Any) -> Hardware:
    """Arrays of up to 5 x 12 PEs with every option of array, gate unit, buffers, DMA and mapping.

    Keyword arguments fix keys, as in `hardware`.
    """
    groups = draw(st.sampled_from([1, 2, 3]))
    sync = draw(st.sampled_from(["fold", "fold", "tile", "layer"]))
    banks = ["ideal"] if sync == "layer" else ["ideal", 1, 2, 3]
    drawn: dict[str, Any] = {
        "rows": draw(st.integers(1, 5)),
        "cols": groups * draw(st.integers(1, 4)),
        "dataflow": draw(st.sampled_from(["ws", "is", "os"])),
        "column_groups": groups,
        "pipelining": draw(st.sampled_from(["overlapped", "overlapped", "serial", "scalesim"])),
        "group_sync": sync,
        "compare_latency": draw(st.integers(0, 4)),
        "scan_bits_per_cycle": draw(st.sampled_from([1, 2, 3, 5, 8, 64])),
        "fifo_depth": draw(st.sampled_from([1, 2, 3, 16])),
        "activation_banks": draw(st.sampled_from(banks)),
        "lanes": draw(st.integers(1, 8)),
        "double_buffered": draw(st.booleans()),
        "conditional_fetch": draw(st.sampled_from(["eager", "on_demand"])),
        "port_bytes_per_cycle": draw(st.sampled_from(["ideal", "ideal", 1, 2, 5, 64])),
        "burst_bytes": draw(st.sampled_from([32, 64, 128, 256])),
        "activation_layout": draw(st.sampled_from(["pixel_major", "channel_major"])),
        "bytes_per_cycle": draw(st.sampled_from([0.5, 1.25, 3, 16])),
        "latency_cycles": draw(st.integers(0, 30)),
        "batch": batch,
        "pixel_order": draw(st.sampled_from(["raster", "block"])),
    }
    return hardware(**{**drawn, **changes})


@st.composite
def memories(draw: st.DrawFn) -> dict[str, Any]:
    """Command-level DRAMs of every standard and setting, and the clock that they are asked from."""
    standard = draw(st.sampled_from(["DDR4-2400", "DDR4-3200", "LPDDR4-2400", "LPDDR5-6400", "HBM2-2000"]))
    bursts = [128, 256] if standard == "LPDDR4-2400" else [64, 128, 256]
    refreshes = ["all_bank", "per_bank"] if standard in ("LPDDR5-6400", "HBM2-2000") else ["all_bank"]
    return {
        "clock_mhz": draw(st.sampled_from([150, 500, 700, 1000, 1200, 1333, 2100])),
        "burst_bytes": draw(st.sampled_from(bursts)),
        "max_outstanding": draw(st.sampled_from([1, 2, 5, 64, 64])),
        "dram": {
            "standard": standard,
            "channels": draw(st.sampled_from([1, 1, 2, 4])),
            "ranks": 1 if standard == "HBM2-2000" else draw(st.sampled_from([1, 1, 2])),
            "mapping": draw(
                st.sampled_from(["streaming", "streaming", "RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR"])
            ),
            "page_policy": draw(st.sampled_from(["open", "open", "closed"])),
            "queue_depth": draw(st.sampled_from([1, 2, 4, 32])),
            "row_hit_cap": draw(st.sampled_from([1, 4, 64])),
            "refresh_postponed": draw(st.sampled_from([1, 2, 8])),
            "refresh": draw(st.sampled_from([*refreshes, "none"])),
            "crossing_cycles": draw(st.sampled_from([0, 1, 2, 2, 5])),
        },
    }


@st.composite
def layers(draw: st.DrawFn, gated: bool, largest: int = 4) -> Layer:
    """Convolutions of up to 16 channels (grouped, depthwise, strided, dilated, padded) and linear layers.

    `gated`: with base path and gates per activation.
    """
    kind = draw(st.sampled_from(["conv2d", "conv2d", "conv2d", "depthwise", "linear"]))
    groups = draw(st.sampled_from([1, 1, 2])) if kind == "conv2d" else 1
    if kind == "depthwise":
        groups = draw(st.integers(2, 5))
    base_groups = draw(st.sampled_from([1, 2])) if gated and kind != "depthwise" else 1
    if kind == "depthwise":
        inputs, outputs = 1 + gated, draw(st.integers(1, 2))
    else:
        inputs = draw(st.integers(2 if gated else 1, 4)) * base_groups
        outputs = draw(st.integers(1, 3)) * base_groups
    base = draw(st.integers(1, (inputs - 1) // base_groups)) if gated else 0
    gate: Any = "activation" if gated else "none"
    if kind == "linear":
        shapes = (inputs, 1, 1), (outputs, 1, 1)
        return Layer("layer", "linear", *shapes, base_channels=base, base_groups=base_groups, gate=gate)
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
        gate=gate,
    )
