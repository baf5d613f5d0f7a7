"""The resources of an FPGA-style accelerator as text."""

from __future__ import annotations

from cgsim.hardware.fpga import Amounts, Resources

_HEADS = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM"}


def resources_table(taken: Resources) -> str:
    """Return a table of at most 80 columns: a line per component, the total, what there is, and the share.

    The last line says what gating adds; it is missing where there is none.
    """
    head = taken.device.name if taken.device else taken.family
    lines = [f"{head:<24}" + "".join(f"{name:>11}" for name in _HEADS.values())]
    lines += [_line(name.replace("_", " "), part) for name, part in taken.parts.items()]
    lines.append(_line("total", taken))
    if taken.available:
        limits = {name: f"{limit}" for name, limit in taken.available.items()}
        shares = {name: f"{share:.1%}" for name, share in taken.utilisation.items()}
        lines += [_cells("available", limits), _cells("share", shares)]
    if any(taken.gating.to_dict().values()):
        lines.append(_line("of it for gating", taken.gating))
    return "\n".join(lines)


def _line(name: str, amounts: Amounts) -> str:
    return _cells(name, {key: _number(value) for key, value in amounts.to_dict().items()})


def _number(value: float) -> str:
    return "-" if not value else f"{value:.1f}" if value % 1 == 0.5 else f"{value:.0f}"


def _cells(name: str, values: dict[str, str]) -> str:
    return (f"{name:<24}" + "".join(f"{values.get(key, '-'):>11}" for key in _HEADS)).rstrip()
