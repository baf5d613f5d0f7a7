"""Command logs as files: ours and those of both tools, told apart by their first line."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path
from typing import NoReturn

import numpy as np

from cgsim.atomic import atomic_path
from cgsim.dram.counters import ACT, COMMANDS, PRE, PREA, RD, RDA, REF, REFB, WR, WRA
from cgsim.errors import CgsimError, nearest

BUS_ONLY = ("ACT2", "CAS_RD", "CAS_WR")
"""LPDDR5's commands that take a clock of the command bus and change nothing; codes from len(COMMANDS) on."""

COLUMNS = ("clock", "command", "channel", "rank", "bank_group", "bank", "row", "column", "write")
"""Columns of a log array, and of our files; -1 where a command has none."""

_TOOLS = {
    "default": ",".join(COLUMNS),
    "ramulator2": "clock,command,Channel,Rank,BankGroup,Bank,Row,Column,type,source",
    "dramsim3": "cycle,cmd,rank,bg,bank,row,col",
}
"""First line of a log of each policy."""

_PLACE = {
    "cycle": "clock", "cmd": "command", "Channel": "channel", "Rank": "rank", "PseudoChannel": "rank",
    "BankGroup": "bank_group", "bg": "bank_group", "Bank": "bank", "Row": "row", "Column": "column",
    "col": "column", "type": "write", "source": "",
}  # fmt: skip
"""Names that the tools give to our columns; "": a column that is not kept."""

_NAMES = (*COMMANDS, *BUS_ONLY)
_RAMULATOR = {PRE: "PREpb", PREA: "PREab", REF: "REFab", REFB: "REFpb"}
_DRAMSIM = {REFB: "REFb"}
_CODES = {
    **{name: code for code, name in enumerate(_NAMES)},
    "ACT1": ACT, "PREpb": PRE, "PREab": PREA, "REFab": REF, "REFpb": REFB, "REFb": REFB,
}  # fmt: skip

_CODE_TEXT: dict[bytes, bytes] = {name.encode(): str(code).encode() for name, code in _CODES.items()}

_MOST_BYTES = 4 << 30


def read_log(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a command log of either tool, or ours, plain or gzipped.

    DRAMsim3's has no channel: all its commands are channel 0's, unless a last column `channel` names it.

    Returns:
        int64[commands, 9], columns as in COLUMNS.

    Raises:
        CgsimError: unreadable, an unknown first line, column or command, or a line that is not whole.
    """
    data = _read(Path(path))
    head, _, body = data.partition(b"\n")
    names = head.decode("ascii", "replace").strip().split(",")
    known = {*COLUMNS, *_PLACE}
    ours = [_PLACE.get(name, name) for name in names]
    wrong = [name for name in names if name not in known]
    if "clock" not in ours or "command" not in ours or wrong or len(set(ours)) < len(ours):
        expected = "; or ".join(_TOOLS.values())
        what = f"unknown column {wrong[0]!r}" if wrong and "clock" in ours else "not a command log"
        raise CgsimError(f"{path}: line 1: {what}, expected {expected}")
    missing = [name for name in ("rank", "bank_group", "bank", "row") if name not in ours]
    if missing:
        raise CgsimError(f"{path}: line 1: column {missing[0]!r} is missing")
    table = _numbers(body, len(names), ours.index("command"), str(path))
    log = np.full((len(table), len(COLUMNS)), -1, np.int64)
    log[:, COLUMNS.index("channel")] = 0
    for column, name in enumerate(ours):
        if name:
            log[:, COLUMNS.index(name)] = table[:, column]
    if "write" not in ours:
        command = log[:, 1]
        log[:, 8] = np.where(np.isin(command, (WR, WRA)), 1, np.where(np.isin(command, (RD, RDA)), 0, -1))
    return log


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            data: bytes = file.read(_MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile) as error:
        raise CgsimError(f"{path}: damaged gzip file ({error})") from None
    except OSError as error:
        raise CgsimError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > _MOST_BYTES:
        raise CgsimError(f"{path}: larger than {_MOST_BYTES} bytes")
    return data


def _numbers(body: bytes, width: int, command: int, source: str) -> np.ndarray:
    """The lines as int64[lines, width], commands by their codes."""
    body = body.replace(b"\r\n", b"\n").strip(b"\n")
    if not body:
        return np.zeros((0, width), np.int64)
    number, name = rb"-?[0-9]{1,18}", b"|".join(sorted(_CODE_TEXT, reverse=True))
    line = b",".join(b"(?:%b)" % name if column == command else number for column in range(width))
    if not re.fullmatch(b"(?:%b\n)*+%b" % (line, line), body):
        _refuse(body, width, command, source)
    text = re.sub(rb"[A-Za-z][A-Za-z_0-9]*", lambda found: _CODE_TEXT[found[0]], body)
    return np.fromstring(text.replace(b"\n", b","), dtype=np.int64, sep=",").reshape(-1, width)


def _refuse(body: bytes, width: int, command: int, source: str) -> NoReturn:
    """Raise CgsimError naming the first bad line."""
    for number, line in enumerate(body.decode("utf-8", "replace").split("\n"), 2):
        cells = line.split(",")
        if len(cells) != width:
            raise CgsimError(f"{source}: line {number}: expected {width} values, got {len(cells)}")
        if cells[command] not in _CODES:
            close = nearest(cells[command], _CODES)
            raise CgsimError(f"{source}: line {number}: unknown command {cells[command]!r}{close}")
        for column, cell in enumerate(cells):
            if column != command and not re.fullmatch(r"-?[0-9]{1,18}", cell):
                raise CgsimError(f"{source}: line {number}: expected a whole number, got {cell!r}")
    raise AssertionError("no line is bad")


def write_log(
    path: str | os.PathLike[str], log: np.ndarray, policy: str, standard: str = "", channels: int = 1
) -> None:
    """Write a log in the form of the tool whose policy ran, gzipped if `path` ends in .gz.

    DRAMsim3 keeps a log for each channel; here, with several of them, a last column `channel` tells which.

    Raises:
        CgsimError: `path` cannot be written.
    """
    head = _TOOLS[policy]
    columns = [log[:, i].astype("U20") for i in range(len(COLUMNS))]
    names = np.array(_NAMES, dtype="U8")
    for code, name in {"ramulator2": _RAMULATOR, "dramsim3": _DRAMSIM}.get(policy, {}).items():
        names[code] = name
    if policy == "ramulator2" and standard == "LPDDR5":
        names[ACT] = "ACT1"
    columns[1] = names[log[:, 1]]
    if policy == "ramulator2":
        head = head.replace("Rank", "PseudoChannel") if standard == "HBM2" else head
        columns.append(np.where(log[:, 8] < 0, "-1", "0"))
    elif policy == "dramsim3":
        columns = columns[:2] + columns[3:8] + ([columns[2]] if channels > 1 else [])
        head += ",channel" if channels > 1 else ""
    text = (
        "\n".join([head, *map(",".join, zip(*(column.tolist() for column in columns), strict=True))]) + "\n"
    )
    with atomic_path(path) as temporary:
        data = text.encode("ascii")
        temporary.write_bytes(gzip.compress(data, 6, mtime=0) if str(path).endswith(".gz") else data)
