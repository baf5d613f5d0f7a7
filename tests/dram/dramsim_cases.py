"""Small memories in DRAMsim3's terms, and calls, that tests draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from cgsim.dram.dramsim_ini import Config, parse
from tests.dram.request_streams import DATA

MAPPINGS = ("rochrababgco", "rochrabacobg", "rorabgbachco", "chrobabgraco", "rocobgbarach")


@st.composite
def memories(draw: st.DrawFn) -> Config:
    """A memory: settings of a reference configuration changed."""
    base = draw(st.sampled_from(("d_ddr4_2400_1r", "d_lpddr4_2400_1r", "d_hbm2_8Gb_1ch")))
    text = (DATA / "configs" / f"{base}.ini").read_text()
    values = {
        "channels": draw(st.sampled_from((1, 1, 2, 4))),
        "bankgroups": draw(st.sampled_from((1, 2, 4))),
        "address_mapping": draw(st.sampled_from(MAPPINGS)),
        "cmd_queue_size": draw(st.sampled_from((1, 2, 8))),
        "trans_queue_size": draw(st.sampled_from((1, 4, 32))),
        "row_buf_policy": draw(st.sampled_from(("OPEN_PAGE", "OPEN_PAGE", "CLOSE_PAGE"))),
        "queue_structure": draw(st.sampled_from(("PER_BANK", "PER_RANK"))),
        "unified_queue": draw(st.booleans()),
        "refresh_policy": draw(
            st.sampled_from(("RANK_LEVEL_STAGGERED", "RANK_LEVEL_SIMULTANEOUS", "BANK_LEVEL_STAGGERED"))
        ),
        "tREFI": draw(st.integers(300, 1500)),
        "tREFIb": draw(st.integers(100, 1000)),
        "tRFC": draw(st.integers(20, 200)),
        "tRFCb": 30,
        "IDD5PB": 60,
    }
    lines = [line for line in text.splitlines() if line.partition(" =")[0] not in values]
    ranks = 1 if "hbm" in base else draw(st.sampled_from((1, 2)))
    size = {"d_ddr4_2400_1r": 2048, "d_lpddr4_2400_1r": 2048, "d_hbm2_8Gb_1ch": 256}[base]
    size = size * ranks * values["bankgroups"]
    lines = [f"channel_size = {size}" if line.startswith("channel_size") else line for line in lines]
    sections = {
        "dram_structure": ("bankgroups",),
        "timing": ("tREFI", "tREFIb", "tRFC", "tRFCb"),
        "power": ("IDD5PB",),
        "system": (
            *("channels", "address_mapping", "cmd_queue_size", "trans_queue_size", "row_buf_policy"),
            *("queue_structure", "unified_queue", "refresh_policy"),
        ),
    }
    for section, keys in sections.items():
        at = lines.index(f"[{section}]")
        lines[at + 1 : at + 1] = [f"{key} = {values[key]}" for key in keys]
    limit = draw(st.sampled_from((0, 0, 1, 5, 40)))
    return replace(parse("\n".join(lines), base), inj=draw(st.sampled_from((1, 3))), max_outstanding=limit)


@st.composite
def calls(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Runs (first, step, count, write, tag, ready - clock), or (tag,): wait for that tag."""
    found: list[tuple[int, ...]] = []
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(("run", "random", "same", "wait", "pause")))
        tag = int(rng.integers(-1, 4))
        if kind == "wait":
            found.append((max(0, tag),))
        elif kind == "pause":
            found.append((0, 0, 0, 0, -1, int(rng.integers(1, 3000))))
        elif kind == "run":
            first = int(rng.integers(0, 1 << 14)) * 64
            step = int(rng.choice((64, 128, 8192, 65536, 1 << 20)))
            found.append((first, step, int(rng.integers(1, 80)), int(rng.integers(0, 2)), tag, 0))
        else:
            size = 12 if kind == "same" else 1 << 16
            for _ in range(int(rng.integers(1, 60))):
                address = int(rng.integers(0, size)) * 32 * int(rng.choice((1, 256)))
                found.append((address, 0, 1, int(rng.integers(0, 2)), tag, 0))
    return found
