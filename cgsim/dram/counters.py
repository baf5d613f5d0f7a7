"""What every controller counts, and the codes of the commands that it logs."""

from __future__ import annotations

COUNTS = (
    "reads",
    "writes",
    "forwarded_reads",
    "merged_writes",
    "merged_reads",
    "row_hits",
    "read_row_hits",
    "write_row_hits",
    "row_misses",
    "row_conflicts",
    "read_commands",
    "write_commands",
    "activates",
    "precharges",
    "ondemand_precharges",
    "refreshes",
    "bank_refreshes",
    "latency_sum",
    "latency_max",
    "active_cycles",
    "idle_cycles",
    "self_refresh_cycles",
    "data_cycles",
    "lost_refresh",
    "lost_activate",
    "lost_bank_group",
    "lost_turnaround",
    "lost_rank",
    "lost_queue",
    "lost_no_request",
    "commands_logged",
    "clock",
    "last_accepted",
    "last_return",
)
"""Names of `counts`, in order.

reads, writes
    requests accepted; forwarded (served from a waiting write) and merged ones are among them.
active_cycles, idle_cycles
    clocks summed over ranks with any bank open, with all closed.
data_cycles, lost_*
    clocks of the data bus, summed over channels: carrying data, or not for the reason named.
clock, last_accepted, last_return
    where the controller is; clock of the last acceptance and of the last data returned.
"""

(
    READS,
    WRITES,
    FORWARDED_READS,
    MERGED_WRITES,
    MERGED_READS,
    ROW_HITS,
    READ_ROW_HITS,
    WRITE_ROW_HITS,
    ROW_MISSES,
    ROW_CONFLICTS,
    READ_COMMANDS,
    WRITE_COMMANDS,
    ACTIVATES,
    PRECHARGES,
    ONDEMAND_PRECHARGES,
    REFRESHES,
    BANK_REFRESHES,
    LATENCY_SUM,
    LATENCY_MAX,
    ACTIVE_CYCLES,
    IDLE_CYCLES,
    SELF_REFRESH_CYCLES,
    DATA_CYCLES,
    LOST_REFRESH,
    LOST_ACTIVATE,
    LOST_BANK_GROUP,
    LOST_TURNAROUND,
    LOST_RANK,
    LOST_QUEUE,
    LOST_NO_REQUEST,
    COMMANDS_LOGGED,
    CLOCK,
    LAST_ACCEPTED,
    LAST_RETURN,
) = range(len(COUNTS))
COUNTERS = len(COUNTS)

COMMANDS = ("ACT", "PRE", "PREA", "RD", "WR", "RDA", "WRA", "REF", "REFB")
"""Command names by code: activate, precharge (one bank, all banks of a rank), column commands (A: with
auto-precharge), refresh (all banks of a rank, one bank)."""
ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFB = range(len(COMMANDS))

LATENCY_BINS = 256
"""Bin i counts reads whose latency is in [4 i, 4 i + 4) clocks; the last takes all that are longer."""
TAGS = 64
"""Transfers whose completion can be asked for at the same time."""
