"""Holds a command log against JEDEC's rules, knowing nothing of the controllers.

`check` walks a log once and reports every command that comes too early after another one, finds its bank in
the wrong state, collides on a bus, or lets a refresh slip. Distances are in DRAM clocks, from the first clock
of a command to the first of the next; only an activate that takes two clocks (HBM2) counts from its last.
Sources: JESD79-4 (DDR4), JESD209-4 and -5 (LPDDR4, LPDDR5), JESD235 (HBM2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.dram.command_log import BUS_ONLY, COLUMNS
from cgsim.dram.counters import COMMANDS
from cgsim.dram.legal_timings import Timings
from cgsim.dram.legality_walk import walk
from cgsim.errors import CgsimError

RULES = (
    "order",
    "address",
    "command bus",
    "data bus",
    "bank closed",
    "other row",
    "bank open",
    "refresh with open banks",
    "tRCD",
    "tRP",
    "tRAS",
    "tRC",
    "tRRD_S",
    "tRRD_L",
    "tFAW",
    "tCCD_S",
    "tCCD_L",
    "tWTR_S",
    "tWTR_L",
    "tRTP",
    "tWR",
    "read to write",
    "rank switch",
    "auto-precharge",
    "tPPD",
    "tRFC",
    "tRFC of a bank",
    "tRREFD",
    "tREFI",
    "refresh round",
)
"""Names of the rules, by their codes in legality_walk.py.

order
    a clock is smaller than the one before.
address
    a channel, rank, bank group or bank that is not there.
command bus
    two commands in one clock of a channel (HBM2: two row commands or two column commands).
data bus
    bursts overlap.
bank closed, other row
    a column command finds its bank closed, or another row open.
bank open
    an activate finds a row open.
refresh with open banks
    of the rank or, for the refresh of one bank, of the bank.
read to write
    same rank: a write's data start before the read's data and the write preamble are over.
rank switch
    data of two ranks closer than tRTRS on the data bus, unless both are written.
auto-precharge
    an activate or refresh before the bank that RDA or WRA closes is precharged: its precharge starts when
    tRTP or tWR and tRAS are over.
tRFC
    any command to a rank that refreshes.
tRREFD
    refresh of a bank, then an activate or another such refresh elsewhere in the rank.
tREFI
    a refresh is missing or late: later than postponing allows. Reported with the refresh that came at last,
    or with the end of the log.
refresh round
    a bank is refreshed a second time before all others had their turn.
"""


class Violation(NamedTuple):
    """One broken rule: lines of the log (from 0; -1: none, or its end), needed and found clocks."""

    rule: str
    earlier: int
    later: int
    needed: int
    found: int


class Verdict(NamedTuple):
    """What `check` found: how often each rule was broken, and the first violations."""

    commands: int
    broken: dict[str, int]
    violations: list[Violation]

    @property
    def legal(self) -> bool:
        """True if no rule was broken."""
        return not self.broken


def check(log: np.ndarray, timings: Timings, end: int = -1, keep: int = 1000) -> Verdict:
    """Hold a log against the rules.

    Args:
        log: int64[commands, 9], the columns as in COLUMNS, in order of time.
        timings: what must be kept.
        end: clock up to which refreshes are due; -1: the last command's.
        keep: violations returned at most; all are counted.

    Returns:
        Verdict; violations in order of the later command.
    """
    if log.ndim != 2 or log.shape[1] != len(COLUMNS):
        raise CgsimError(f"command log: expected {len(COLUMNS)} columns, got an array of shape {log.shape}")
    log = np.ascontiguousarray(log, dtype=np.int64)
    counts = np.zeros(len(RULES) + 1, np.int64)
    found = np.zeros((keep, 5), np.int64)
    walk(log, timings, end, counts, found)
    kept = min(int(counts[-1]), keep)
    return Verdict(
        len(log),
        {name: int(count) for name, count in zip(RULES, counts[:-1], strict=True) if count},
        [Violation(RULES[row[0]], *(int(value) for value in row[1:])) for row in found[:kept]],
    )


def describe(violation: Violation, log: np.ndarray) -> str:
    """Tell a violation on one line: rule, both commands with their clocks, needed and found distance."""
    rule, earlier, later, needed, found = violation
    what = _command(log[later]) if later >= 0 else "the end of the log"
    if earlier >= 0:
        what = f"{_command(log[earlier])}, then {what}"
    if rule == "tREFI":
        return f"{rule}: {what}: at most {needed} clocks, found {found}"
    if needed < 0:
        return f"{rule}: {what}"
    return f"{rule}: {what}: needs {needed} clocks, found {found}"


def _command(line: np.ndarray) -> str:
    clock, command, channel, rank, group, bank, row = (int(value) for value in line[:7])
    names = (*COMMANDS, *BUS_ONLY)
    name = names[command] if 0 <= command < len(names) else f"command {command}"
    place = f"channel {channel} rank {rank}"
    if group >= 0 and bank >= 0:
        place += f" bank {group}.{bank}"
    if row >= 0:
        place += f" row {row}"
    return f"{name} at {clock} ({place})"
