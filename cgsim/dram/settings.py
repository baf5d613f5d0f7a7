"""Settings of the default controller, checked; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from cgsim.dram.standards import Standard, standard
from cgsim.errors import CgsimError, nearest

FIELDS = ("ch", "ra", "bg", "ba", "ro", "co")
"""Fields of an address; `ra` is the pseudo-channel where a standard has these."""
MAPPINGS = (
    "streaming",
    "RoBaRaCoCh",
    "ChRaBaRoCo",
    "MOP4CLXOR",
    *("".join(order) for order in permutations(FIELDS)),
)


@dataclass(frozen=True)
class Config:
    """A memory under `policy: default` (docs/dram.md).

    write_high, write_low: waiting writes at which the controller turns to writing and back (None: 3/4 and 1/2
    of the queue). inj: requests offered per clock, all channels together. max_outstanding: reads whose data
    are not back, 0 for no limit. jump: take exact shortcuts over periodic stretches.
    """

    standard: str
    channels: int = 1
    ranks: int = 1
    mapping: str = "streaming"
    page_policy: str = "open"
    queue_depth: int = 32
    write_high: int | None = None
    write_low: int | None = None
    row_hit_cap: int = 64
    refresh: str = "all_bank"
    refresh_postponed: int = 8
    inj: int = 1
    max_outstanding: int = 0
    jump: bool = True

    policy = "default"

    @property
    def device(self) -> Standard:
        """The standard's facts."""
        return standard(self.standard)

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all channels and ranks."""
        return self.device.rank_bytes * self.channels * self.ranks * self.device.pseudo

    @property
    def request_bytes(self) -> int:
        """Bytes of a request: one burst."""
        return self.device.request_bytes

    @property
    def tck_ps(self) -> int:
        """Length of a DRAM clock."""
        return self.device.tck_ps

    @property
    def peak_gbps(self) -> float:
        """Peak bandwidth of all channels, in 1e9 bytes per second."""
        return self.device.peak_bytes_per_clock * self.channels * 1000 / self.tck_ps

    @property
    def high(self) -> int:
        """Waiting writes at which the controller turns to writing."""
        return max(1, 3 * self.queue_depth // 4) if self.write_high is None else self.write_high

    @property
    def low(self) -> int:
        """Waiting writes at which it turns back if reads wait."""
        return min(self.queue_depth // 2, self.high - 1) if self.write_low is None else self.write_low


def check(config: Config) -> None:
    """Raise CgsimError, which names the key, for the first setting that is wrong."""
    device = standard(config.standard)
    _powers_of_two("channels", config.channels)
    _powers_of_two("ranks", config.ranks)
    if device.pseudo > 1 and config.ranks > 1:
        raise CgsimError(f"dram.ranks: expected 1, {device.name} has pseudo-channels, got {config.ranks}")
    _one_of("mapping", config.mapping, MAPPINGS)
    _one_of("page_policy", config.page_policy, ("open", "closed"))
    _one_of("refresh", config.refresh, ("all_bank", "per_bank", "none"))
    if config.refresh == "per_bank" and not device.refipb:
        raise CgsimError(f"dram.refresh: expected 'all_bank' or 'none' for {device.name}, got 'per_bank'")
    for key, low, high in (
        ("queue_depth", 1, 256),
        ("row_hit_cap", 1, 1 << 16),
        ("refresh_postponed", 1, 8),
        ("inj", 1, 256),
        ("max_outstanding", 0, 1 << 16),
    ):
        value = getattr(config, key)
        if not low <= value <= high:
            raise CgsimError(f"dram.{key}: expected an integer from {low} to {high}, got {value}")
    if not 0 <= config.low < config.high <= config.queue_depth:
        raise CgsimError(
            f"dram.write_low, dram.write_high: expected 0 <= low < high <= queue_depth "
            f"({config.queue_depth}), got {config.low} and {config.high}"
        )


def check_range(config: Config, bytes_needed: int) -> None:
    """Raise CgsimError if addresses up to `bytes_needed` exceed the memory."""
    if bytes_needed > config.capacity_bytes:
        raise CgsimError(
            f"dram: {bytes_needed} bytes needed, {config.standard} with {config.channels} channels of "
            f"{config.ranks} ranks has {config.capacity_bytes}"
        )


def _powers_of_two(key: str, value: int) -> None:
    if value < 1 or value & (value - 1):
        raise CgsimError(f"dram.{key}: expected a power of two, got {value}")


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise CgsimError(f"dram.{key}: unknown {value!r}{nearest(value, known)}")
