"""Memories and request streams that tests of the default controller draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import strategies as st

from cgsim.dram.settings import MAPPINGS, Config
from cgsim.dram.standards import STANDARDS, Standard

DRAWN = "drawn"
"""Name of the standard of a case while it runs."""


class Serve(NamedTuple):
    """A run, offered `pause` clocks after the last acceptance at the earliest."""

    first: int
    step: int
    count: int
    write: bool
    tag: int
    pause: int


class Finish(NamedTuple):
    """Wait for a tag."""

    tag: int


class Drain(NamedTuple):
    """Wait for everything."""


@dataclass(frozen=True)
class Case:
    """What to ask of a memory."""

    standard: Standard
    config: Config
    calls: tuple[Serve | Finish | Drain, ...]

    @contextmanager
    def known(self) -> Iterator[None]:
        """The case's standard is one that its configuration can name."""
        with patch.dict(STANDARDS, {DRAWN: self.standard}):
            yield


@st.composite
def standards(draw: st.DrawFn) -> Standard:
    """A real standard, mostly with few rows and frequent refreshes; or one with any other timing."""
    base = STANDARDS[draw(st.sampled_from(sorted(STANDARDS)))]
    base = replace(
        base,
        name=DRAWN,
        rows=2 ** draw(st.integers(1, 5)),
        columns=2 ** draw(st.integers(0, 5)),
    )
    if draw(st.integers(0, 3)):
        rfc = draw(st.integers(20, 200))
        base = replace(base, rfc=rfc, refi=draw(st.integers(4 * rfc, 1000)))
        return base if draw(st.booleans()) else replace(base, **draw(timings()))
    return base


@st.composite
def timings(draw: st.DrawFn) -> dict[str, int]:
    """Timing and banks as no device has them, but one could."""

    def number(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    burst, cwl = number(1, 8), number(1, 16)
    cl = cwl + number(0, 8)
    ccds, rrds = burst + number(0, 2), number(1, 6)
    rcdr, rcdw, rp, rtp = number(2, 16), number(2, 16), number(2, 16), number(1, 12)
    ras = max(rcdr, rcdw) + number(0, 20)
    act_clocks = number(1, 2)
    bank_refresh = number(10, 100)
    return {
        "groups": 2 ** number(0, 2),
        "banks": 2 ** number(0, 2),
        "burst": burst,
        "burst_max": burst + number(0, 4),
        "cl": cl,
        "cwl": cwl,
        "rtw": cl + burst - cwl + number(0, 4),
        "rcdr": rcdr,
        "rcdw": rcdw,
        "rp": rp,
        "rpab": rp + number(0, 3),
        "ras": ras,
        "rc": ras + rp + number(0, 3),
        "rtp": rtp,
        "wr": number(1, 20),
        "ccds": ccds,
        "ccdl": ccds + number(0, 4),
        "rrds": rrds,
        "rrdl": rrds + number(0, 4),
        "faw": number(1, 40),
        "wtrs": number(0, 10),
        "wtrl": number(0, 16),
        "cs": number(0, 4),
        "ppd": number(0, 4),
        "wrrdcs": number(0, 12),
        "rfcpb": bank_refresh,
        "refipb": number(2, 5) * bank_refresh,
        "pbact": number(1, 10),
        "pbpb": number(1, bank_refresh),
        "act_clocks": act_clocks,
        "act_shift": number(0, act_clocks - 1),
    }


@st.composite
def configs(draw: st.DrawFn, standard: Standard) -> Config:
    """Any settings of a memory of that standard."""
    depth = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 16, 32]))
    low = draw(st.none() | st.integers(0, depth - 1))
    high = draw(st.none() | st.integers(1, depth))
    if high is None or low is None or low >= high:
        low = high = None
    refreshes = ["none", "all_bank", "all_bank", *(["per_bank"] * 2 if standard.refipb else [])]
    return Config(
        standard=DRAWN,
        channels=draw(st.sampled_from([1, 1, 2, 4])),
        ranks=1 if standard.pseudo > 1 else draw(st.sampled_from([1, 1, 2, 4])),
        mapping=draw(st.sampled_from(MAPPINGS[:4]) | st.sampled_from(MAPPINGS)),
        page_policy=draw(st.sampled_from(["open", "closed"])),
        queue_depth=depth,
        write_high=high,
        write_low=low,
        row_hit_cap=draw(st.sampled_from([1, 2, 3, 4, 16, 64])),
        refresh=draw(st.sampled_from(refreshes)),
        refresh_postponed=draw(st.integers(1, 8)),
        inj=draw(st.sampled_from([1, 1, 2, 4, 7])),
        max_outstanding=draw(st.sampled_from([0, 0, 0, 1, 2, 5, 16, 64])),
    )


@st.composite
def calls(draw: st.DrawFn, capacity: int, request_bytes: int, longer: int) -> Serve | Finish | Drain:
    """Mostly a run; addresses beyond the capacity are not asked for."""
    kind = draw(st.integers(0, 15))
    if kind == 0:
        return Drain()
    if kind <= 2:
        return Finish(draw(st.integers(-1, 3)))
    bursts = capacity // request_bytes
    count = longer * draw(st.sampled_from([0, 1, 1, 2, 3, 5, 9, 20, 40, 90]))
    first = draw(st.sampled_from([0, 1]) | st.integers(0, min(bursts, 16) - 1) | st.integers(0, bursts - 1))
    step = draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5]) | st.integers(0, bursts)) * 2 ** draw(
        st.integers(0, 8)
    )
    if count > 1:
        step = min(step, (bursts - 1 - first) // (count - 1))
    return Serve(
        first * request_bytes,
        step * request_bytes,
        count,
        draw(st.booleans()),
        draw(st.integers(-1, 3)),
        longer * draw(st.sampled_from([-50, 0, 0, 0, 1, 7, 30, 100, 500])),
    )


@st.composite
def cases(draw: st.DrawFn, longer: int = 1) -> Case:
    """`longer`: factor of the length of runs; above 1 some standards are real ones without changes."""
    standard = draw(standards())
    if longer > 1 and draw(st.booleans()):
        standard = replace(STANDARDS[draw(st.sampled_from(sorted(STANDARDS)))], name=DRAWN)
    config = draw(configs(standard))
    capacity = standard.rank_bytes * config.channels * config.ranks * standard.pseudo
    least = draw(st.sampled_from([1, 4, 12]))
    call = calls(capacity, standard.request_bytes, longer)
    asked = draw(st.lists(call, min_size=least, max_size=24))
    return Case(standard, config, tuple(asked))
