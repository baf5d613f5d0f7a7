"""Reads Ramulator 2.1's resolved configuration; every key is checked, none is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from cgsim.dram.ramulator_config import (
    LEVELS,
    STANDARDS,
    Config,
    Constraint,
    Mapper,
    Refresh,
    RowPolicy,
    Scheduler,
    Standard,
)
from cgsim.errors import CgsimError, nearest
from cgsim.yamlfile import parse_yaml

_MOST_BYTES = 1 << 20
_MOST = 1 << 40


def load(path: str | Path) -> Config:
    """Return the settings in a file (YAML, or JSON, which is YAML too).

    `PassThroughAddrMapper` leaves the mapping to the caller; here it is, the lowest bits first: bank group,
    for HBM2 before it the pseudo-channel, column, rank, bank, row.

    Raises:
        CgsimError: unreadable, an unknown or missing key, a part of Ramulator that is not implemented here.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CgsimError(f"{path}: larger than {_MOST_BYTES} bytes, not a configuration of Ramulator")
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise CgsimError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise CgsimError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return parse(values, str(path))


def parse(values: object, source: str) -> Config:
    """Return the settings in parsed YAML; `source` names it in errors."""
    root = _Node(values, source, "")
    frontend = root.child("frontend")
    frontend.choice("impl", ("External",))
    frontend.integer("clock_ratio", 1, 1)
    frontend.done()
    memory = root.child("memory_system")
    memory.choice("impl", ("GenericDRAM",))
    memory.integer("clock_ratio", 1, 1)
    channels = memory.child("channel_mapper")
    channels.choice("impl", ("CacheLineInterleave",))
    interleave = channels.integer("interleave_bits", 0, 40)
    channels.done()
    controllers = memory.sequence("controllers")
    count = len(controllers)
    if count == 0 or count & (count - 1):
        raise memory.error("controllers", f"{count} channels", "a power of two")
    if any(other != controllers[0] for other in controllers[1:]):
        raise memory.error("controllers", "channels that differ", "channels with equal settings")
    controller = _Node(controllers[0], source, "memory_system.controllers[0]")
    memory.done()
    root.done()
    return _controller(controller, count, interleave)


def _controller(node: _Node, channels: int, interleave: int) -> Config:
    names = tuple(standard.controller for standard in STANDARDS.values())
    impl = node.choice("impl", names)
    dram = node.child("dram")
    name = dram.choice("impl", tuple(STANDARDS))
    standard = STANDARDS[name]
    if impl != standard.controller:
        raise node.error("impl", repr(impl), f"{standard.controller!r}, the controller for {name}")
    always_on = False
    if name == "LPDDR5":
        always_on = node.choice("wck_sync_mode", ("need_sync", "always_on")) == "always_on"
    low = node.number("wr_low_watermark", 0, 1)
    high = node.number("wr_high_watermark", 0, 1)
    if low > high:
        raise node.error("wr_low_watermark", f"{low}", f"at most wr_high_watermark ({high})")
    if low == 0:
        raise node.error("wr_low_watermark", "0", "more: write mode would never be left")
    scheduler = node.child("scheduler")
    rows = node.child("row_policy")
    mapper = node.child("addr_mapper")
    row_policy = rows.choice("impl", get_args(RowPolicy))
    cap = rows.integer("cap", 1, _MOST) if row_policy == "ClosedCAP" else 0
    organisation = dram.child("org")
    organisation.integer("dq", 1, 1024)
    counts = organisation.integers("count", len(LEVELS), 1, 1 << 30)
    if counts[0] != 1 or any(count & (count - 1) for count in counts):
        raise organisation.error("count", str(counts), "1 channel, then powers of two")
    if counts[5] < standard.prefetch:
        raise organisation.error("count", f"{counts[5]} columns", f"at least {standard.prefetch}")
    timing = MappingProxyType(
        dict(zip(standard.timing, dram.integers("timing", len(standard.timing), 0, _MOST), strict=True))
    )
    cycles = dram.integers("command_cycles", len(standard.commands), 1, 2)
    expected = [2 if name == "HBM2" and command == "ACT" else 1 for command in standard.commands]
    if cycles != expected:
        raise dram.error("command_cycles", str(cycles), str(expected))
    refresh, scatter = _refresh(node.child("refresh_manager"), name, timing, counts[1])
    config = Config(
        standard=name,
        channels=channels,
        ranks=counts[1],
        bank_groups=counts[2],
        banks=counts[3],
        rows=counts[4],
        columns=counts[5],
        channel_width=dram.integer("channel_width", 8, 4096),
        timing=timing,
        constraints=_constraints(dram, standard),
        read_latency=dram.integer("read_latency", 1, _MOST),
        read_queue=node.integer("read_buffer_size", 1, 1 << 16),
        write_queue=node.integer("write_buffer_size", 1, 1 << 16),
        priority_queue=node.integer("priority_buffer_size", 1, 1 << 16),
        low_watermark=low,
        high_watermark=high,
        scheduler=scheduler.choice("impl", get_args(Scheduler)),
        refresh=refresh,
        scatter_interval=scatter,
        row_policy=row_policy,
        cap=cap,
        mapper=mapper.choice("impl", get_args(Mapper)),
        interleave_bits=interleave,
        wck_always_on=always_on,
        inj=standard.inj,
    )
    if config.channel_width & (config.channel_width - 1):
        raise dram.error("channel_width", str(config.channel_width), "a power of two")
    if config.mapper == "MOP4CLXOR" and config.columns // config.prefetch < 4:
        raise organisation.error("count", f"{config.columns} columns", "4 requests per row for MOP4CLXOR")
    for part in (scheduler, rows, mapper, organisation, dram, node):
        part.done()
    return config


def _refresh(node: _Node, standard: str, timing: Mapping[str, int], ranks: int) -> tuple[Any, int]:
    names = tuple(name for name in get_args(Refresh) if name != "PerBank" or standard != "DDR4")
    impl = node.choice("impl", names)
    scatter = 0
    if impl == "AllBank":
        scatter = node.integer("scatter_interval", 0, _MOST)
        if scatter * ranks > timing["nREFI"]:
            raise node.error("scatter_interval", str(scatter), f"at most nREFI / {ranks} ranks")
        if not isinstance(debug := node.take("debug"), bool):
            raise node.error("debug", repr(debug), "true or false")
    interval = {"AllBank": "nREFI", "PerBank": "nREFIpb"}.get(impl)
    if interval and timing[interval] < 1:
        raise node.error("impl", f"{impl} with {interval} = {timing[interval]}", "a positive interval")
    node.done()
    return impl, scatter


def _constraints(dram: _Node, standard: Standard) -> tuple[Constraint, ...]:
    key = "timing_constraints"
    result = []
    for index, entry in enumerate(dram.sequence(key)):
        place = f"{key}[{index}]"
        form = "[level, [commands], [commands], latency, window, sibling], the last two left out or not"
        if not isinstance(entry, list) or not 4 <= len(entry) <= 6:
            raise dram.error(place, repr(entry), form)
        level, preceding, following, latency, window, sibling = entry + [1, False][len(entry) - 4 :]
        whole = all(_is_integer(value) for value in (level, latency, window)) and isinstance(sibling, bool)
        if not whole or not all(isinstance(part, list) for part in (preceding, following)):
            raise dram.error(place, repr(entry), form)
        if not 0 <= level <= 3 or not 0 <= latency < _MOST or not 1 <= window <= 64:
            raise dram.error(place, repr(entry), "level 0 to 3, latency from 0, window 1 to 64")
        if sibling and (level != 1 or window != 1):
            raise dram.error(place, repr(entry), "siblings at level 1 with window 1 only")
        for command in (*preceding, *following):
            if not _is_integer(command) or not 0 <= command < len(standard.commands):
                raise dram.error(place, repr(command), f"a command, 0 to {len(standard.commands) - 1}")
        names = standard.commands
        result.append(
            Constraint(
                level,
                tuple(names[command] for command in preceding),
                tuple(names[command] for command in following),
                latency,
                window,
                sibling,
            )
        )
    return tuple(result)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class _Node:
    """A mapping whose keys are taken one by one; what is left at the end is an error."""

    def __init__(self, values: object, source: str, path: str) -> None:
        self._source, self._path = source, path
        if not isinstance(values, dict):
            raise CgsimError(f"{source}: {path or 'the file'}: expected keys with values")
        self._left = {str(key): value for key, value in values.items()}
        self._known: list[str] = []

    def error(self, key: str, found: str, expected: str) -> CgsimError:
        where = f"{self._path}.{key}" if self._path else key
        return CgsimError(f"{self._source}: {where}: expected {expected}, got {found}")

    def take(self, key: str) -> Any:
        self._known.append(key)
        if key not in self._left:
            where = f"{self._path}.{key}" if self._path else key
            raise CgsimError(f"{self._source}: {where}: missing")
        return self._left.pop(key)

    def child(self, key: str) -> _Node:
        return _Node(self.take(key), self._source, f"{self._path}.{key}" if self._path else key)

    def sequence(self, key: str) -> list[Any]:
        value = self.take(key)
        if not isinstance(value, list):
            raise self.error(key, repr(value), "a list")
        return value

    def choice(self, key: str, valid: tuple[str, ...]) -> Any:
        value = self.take(key)
        if value not in valid:
            names = ", ".join(repr(name) for name in valid)
            hint = nearest(value, valid) if isinstance(value, str) and len(valid) > 1 else ""
            raise self.error(key, f"{value!r}{hint if 'did' in hint else ''}", f"one of {names}")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        value = self.take(key)
        if not _is_integer(value) or not low <= value <= high:
            raise self.error(
                key, repr(value), f"{low}" if low == high else f"a whole number from {low} to {high}"
            )
        return int(value)

    def integers(self, key: str, count: int, low: int, high: int) -> list[int]:
        values = self.sequence(key)
        if len(values) != count or not all(_is_integer(value) and low <= value <= high for value in values):
            raise self.error(key, repr(values), f"{count} whole numbers from {low} to {high}")
        return values

    def number(self, key: str, low: float, high: float) -> float:
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(key, repr(value), f"a number from {low} to {high}")
        return float(value)

    def done(self) -> None:
        for key in self._left:
            where = f"{self._path}.{key}" if self._path else key
            raise CgsimError(f"{self._source}: {where}: unknown key{nearest(key, self._known)}")
