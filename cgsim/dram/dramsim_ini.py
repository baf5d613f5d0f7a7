"""Reads DRAMsim3's .ini files: every key is checked, a missing or unknown one is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cgsim.errors import CgsimError, nearest

PROTOCOLS = ("DDR3", "DDR4", "LPDDR", "LPDDR3", "LPDDR4", "HBM", "HBM2")
REFUSED_PROTOCOLS = ("GDDR5", "GDDR5X", "GDDR6", "HMC")
REFRESHES = ("RANK_LEVEL_STAGGERED", "RANK_LEVEL_SIMULTANEOUS", "BANK_LEVEL_STAGGERED")
FIELDS = ("ch", "ra", "bg", "ba", "ro", "co")
"""Fields of an address mapping, as the tool's mapping strings name them."""

Value = int | float | str | bool

# section -> key -> type; with a default where the tool has one that its own preset files rely on.
KEYS: dict[str, dict[str, tuple[type, Value | None]]] = {
    "dram_structure": {
        "protocol": (str, None),
        "bankgroups": (int, None),
        "banks_per_group": (int, None),
        "bankgroup_enable": (bool, True),
        "rows": (int, None),
        "columns": (int, None),
        "device_width": (int, None),
        "BL": (int, None),
        "hbm_dual_cmd": (bool, True),
    },
    "timing": {
        "tCK": (float, None),
        "AL": (int, 0),
        "CL": (int, None),
        "CWL": (int, None),
        "tRCD": (int, 10),
        "tRCDRD": (int, 24),
        "tRCDWR": (int, 20),
        "tRP": (int, None),
        "tRAS": (int, None),
        "tRFC": (int, None),
        "tRFCb": (int, 20),
        "tREFI": (int, None),
        "tREFIb": (int, 1950),
        "tRRD_S": (int, None),
        "tRRD_L": (int, 4),
        "tWTR_S": (int, None),
        "tWTR_L": (int, 5),
        "tFAW": (int, None),
        "tWR": (int, None),
        "tRTP": (int, 5),
        "tCCD_S": (int, None),
        "tCCD_L": (int, 6),
        "tRTRS": (int, 2),
        "tPPD": (int, 0),
    },
    "power": {
        "VDD": (float, None),
        "IDD0": (float, None),
        "IDD2N": (float, None),
        "IDD3N": (float, None),
        "IDD4R": (float, None),
        "IDD4W": (float, None),
        "IDD5AB": (float, None),
        "IDD5PB": (float, 5.0),
        "IDD6x": (float, None),
    },
    "system": {
        "channel_size": (int, None),
        "channels": (int, None),
        "bus_width": (int, None),
        "address_mapping": (str, None),
        "queue_structure": (str, "PER_BANK"),
        "refresh_policy": (str, "RANK_LEVEL_STAGGERED"),
        "row_buf_policy": (str, "OPEN_PAGE"),
        "cmd_queue_size": (int, None),
        "trans_queue_size": (int, None),
        "unified_queue": (bool, False),
        "enable_self_refresh": (bool, False),
        "aggressive_precharging_enabled": (bool, False),
        "mega_tick": (int, 1),
    },
}

WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    "dram_structure": ("num_dies",),
    "timing": (
        *("tRFC2", "tRFC4", "tRPRE", "tWPRE", "tWR2", "tRTP_L", "tRTP_S", "t32AW"),
        *("tCKE", "tCKESR", "tCKSRE", "tXS", "tXP", "ideal_memory_latency"),
    ),
    "power": ("IPP0", "IDD2P", "IDD3P"),
    "system": ("sref_threshold", "write_buf_size"),
    "other": ("epoch_period", "output_level", "output_prefix"),
    "thermal": (
        *("loc_mapping", "power_epoch_period", "mat_dim_x", "mat_dim_y", "row_tile", "tile_row_num"),
        *("bank_order", "bank_layer_order", "chip_dim_x", "chip_dim_y", "amb_temp", "const_logic_power"),
    ),
}
"""Keys that the tool reads, or its presets carry, and that change nothing that is simulated here."""

TIMINGS = tuple(key for key, (kind, _) in KEYS["timing"].items() if kind is int)


@dataclass(frozen=True)
class Config:
    """A memory as DRAMsim3 describes it; times in DRAM clocks, currents in mA per device."""

    name: str
    standard: str
    channels: int
    ranks: int
    bank_groups: int
    banks: int
    """Banks per bank group."""
    rows: int
    columns: int
    """Columns per row as device columns: requests per row = columns / burst_length."""
    burst_length: int
    device_width: int
    bus_width: int
    tck_ns: float
    timing: Mapping[str, int]
    """The tool's names, those that the file leaves out filled in as the tool does."""
    power: Mapping[str, float]
    """VDD in V and IDDx in mA, the tool's names."""
    address_mapping: str
    queue_structure: str
    refresh_policy: str
    row_buf_policy: str
    cmd_queue_size: int
    trans_queue_size: int
    unified_queue: bool
    hbm_dual_cmd: bool
    defaulted: tuple[str, ...] = ()
    """Keys that the file leaves out and the tool fills in."""
    ignored: tuple[str, ...] = ()
    """Keys of the file that change nothing in the tool."""
    inj: int = 1
    """Requests offered per clock at most."""
    max_outstanding: int = 0
    """No request is accepted while so many reads await data; 0: no limit, as the tool."""

    policy = "dramsim3"

    @property
    def request_bytes(self) -> int:
        """Bytes of one request: a burst of the channel."""
        return self.bus_width // 8 * self.burst_length

    @property
    def devices(self) -> int:
        """Devices of a rank."""
        return self.bus_width // self.device_width

    @property
    def burst_cycles(self) -> int:
        """Clocks that the data of a request take on the bus."""
        return self.burst_length // 2

    @property
    def hbm(self) -> bool:
        """HBM: own row and column command buses, own ACT to RD and ACT to WR."""
        return self.standard.startswith("HBM")

    def fields(self) -> dict[str, tuple[int, int]]:
        """Field of the address -> (position, width) in bits, above the bytes of a request."""
        sizes = (self.channels, self.ranks, self.bank_groups, self.banks, self.rows)
        widths = {field: size.bit_length() - 1 for field, size in zip(FIELDS, sizes, strict=False)}
        widths["co"] = (self.columns // self.burst_length).bit_length() - 1
        position, found = 0, {}
        for at in range(len(self.address_mapping) - 2, -1, -2):
            field = self.address_mapping[at : at + 2]
            found[field] = (position, widths[field])
            position += widths[field]
        return found


def load(path: str | Path) -> Config:
    """Read a DRAMsim3 .ini file."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CgsimError(f"{path}: cannot be read ({error})") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Config:
    """Read the text of a DRAMsim3 .ini file; `name` is told in errors."""
    given = _entries(text, name)
    values: dict[str, Value] = {}
    defaulted: list[str] = []
    ignored: list[str] = []
    for section, keys in given.items():
        for key, (line, raw) in keys.items():
            known = KEYS.get(section, {})
            idle = WITHOUT_EFFECT.get(section, ())
            if key in idle:
                ignored.append(key)
            elif key in known:
                values[key] = _value(raw, known[key][0], f"{name}:{line}: [{section}] {key}")
            else:
                hint = nearest(key, [*known, *idle])
                raise CgsimError(f"{name}:{line}: [{section}] {key}: unknown key{hint}")
    for section, known in KEYS.items():
        for key, (_, default) in known.items():
            if key in values:
                continue
            if default is None or key in _needed(values):
                raise CgsimError(f"{name}: [{section}] {key} is missing")
            values[key] = default
            defaulted.append(key)
    return _config(name, values, tuple(defaulted), tuple(ignored))


def _entries(text: str, name: str) -> dict[str, dict[str, tuple[int, str]]]:
    """Section -> key -> (line, text of the value)."""
    given: dict[str, dict[str, tuple[int, str]]] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and "]" in line:
            section = line[1 : line.index("]")].strip()
            if section not in KEYS and section not in WITHOUT_EFFECT:
                hint = nearest(section, dict.fromkeys([*KEYS, *WITHOUT_EFFECT]))
                raise CgsimError(f"{name}:{number}: [{section}]: unknown section{hint}")
            given.setdefault(section, {})
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or not key:
            raise CgsimError(f"{name}:{number}: expected key = value, got {line!r}")
        if not section:
            raise CgsimError(f"{name}:{number}: {key} stands before any [section]")
        if key in given[section]:
            raise CgsimError(f"{name}:{number}: [{section}] {key} is given twice")
        given[section][key] = (number, value.split(";")[0].split(" #")[0].strip())
    return given


def _value(raw: str, kind: type, where: str) -> Value:
    if kind is str:
        return raw
    if kind is bool:
        if raw.lower() in ("true", "yes", "on", "1"):
            return True
        if raw.lower() in ("false", "no", "off", "0"):
            return False
        raise CgsimError(f"{where}: expected true or false, got {raw!r}")
    try:
        value = kind(raw)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise CgsimError(f"{where}: expected {wanted}, got {raw!r}") from None
    if not 0 <= value < 1 << 40:
        raise CgsimError(f"{where}: expected a number that is not negative, got {raw}")
    return value


def _needed(values: Mapping[str, Value]) -> tuple[str, ...]:
    """Keys whose default in the tool is an accident: needed where they count."""
    protocol, needed = str(values.get("protocol", "")), []
    if protocol.startswith("HBM"):
        needed += ["tRCDRD", "tRCDWR"]
    else:
        needed += ["tRCD", "tRTP", "tRTRS"]
    if protocol == "LPDDR4":
        needed += ["tPPD"]
    if values.get("refresh_policy") == "BANK_LEVEL_STAGGERED":
        needed += ["tRFCb", "tREFIb", "IDD5PB"]
    if values.get("bankgroups") != 1:
        needed += ["tRRD_L", "tWTR_L", "tCCD_L"]
    return tuple(needed)


def _choice(name: str, key: str, value: Value, valid: tuple[str, ...]) -> str:
    if value not in valid:
        raise CgsimError(f"{name}: {key} = {value}: unknown{nearest(str(value), valid)}")
    return str(value)


def _config(
    name: str, values: dict[str, Value], defaulted: tuple[str, ...], ignored: tuple[str, ...]
) -> Config:
    def whole(key: str) -> int:
        return int(values[key])

    protocol = values["protocol"]
    if protocol in REFUSED_PROTOCOLS:
        raise CgsimError(f"{name}: protocol = {protocol} is not implemented (valid: {', '.join(PROTOCOLS)})")
    standard = _choice(name, "protocol", protocol, PROTOCOLS)
    for key in ("enable_self_refresh", "aggressive_precharging_enabled"):
        if values[key]:
            raise CgsimError(f"{name}: {key} = true is not implemented (only false)")
    if whole("mega_tick") != 1:
        raise CgsimError(f"{name}: mega_tick = {values['mega_tick']} is not implemented (only 1)")
    for key in ("cmd_queue_size", "trans_queue_size", "CL", "CWL", "tREFI", "channel_size", "tCK"):
        if not values[key]:
            raise CgsimError(
                f"{name}: {key} = 0: expected at least 1" if key != "tCK" else f"{name}: tCK = 0"
            )
    sizes = (
        "bankgroups",
        "banks_per_group",
        "rows",
        "columns",
        "device_width",
        "BL",
        "channels",
        "bus_width",
    )
    for key in sizes:
        if whole(key) < 1 or whole(key) & (whole(key) - 1):
            raise CgsimError(f"{name}: {key} = {values[key]}: expected a power of two")
    groups, banks = whole("bankgroups"), whole("banks_per_group")
    if not values["bankgroup_enable"]:
        groups, banks = 1, groups * banks
    columns = whole("columns") * (2 if standard.startswith("HBM") else 1)
    if whole("BL") < 2 or columns < whole("BL"):
        raise CgsimError(f"{name}: BL = {values['BL']}: expected 2 to {columns} (columns of a row)")
    if whole("device_width") > whole("bus_width"):
        raise CgsimError(f"{name}: device_width = {values['device_width']}: wider than bus_width")
    if whole("bus_width") < 8:
        raise CgsimError(f"{name}: bus_width = {values['bus_width']}: expected at least 8")
    mapping = str(values["address_mapping"])
    if sorted(mapping[at : at + 2] for at in range(0, len(mapping), 2)) != sorted(FIELDS):
        raise CgsimError(
            f"{name}: address_mapping = {mapping}: expected {', '.join(FIELDS)} once each, high bits first"
        )
    timing = {key: whole(key) for key in TIMINGS}
    for short, long in (("tCCD_S", "tCCD_L"), ("tWTR_S", "tWTR_L"), ("tRRD_S", "tRRD_L")):
        if groups > 1 and timing[long] < timing[short]:
            raise CgsimError(f"{name}: {long} = {timing[long]}: expected at least {short} = {timing[short]}")
    return Config(
        name=name,
        standard=standard,
        channels=whole("channels"),
        ranks=_ranks(name, values, groups * banks, columns),
        bank_groups=groups,
        banks=banks,
        rows=whole("rows"),
        columns=columns,
        burst_length=whole("BL"),
        device_width=whole("device_width"),
        bus_width=whole("bus_width"),
        tck_ns=float(values["tCK"]),
        timing=timing,
        power={key: float(values[key]) for key in KEYS["power"]},
        address_mapping=mapping,
        queue_structure=_choice(name, "queue_structure", values["queue_structure"], ("PER_BANK", "PER_RANK")),
        refresh_policy=_choice(name, "refresh_policy", values["refresh_policy"], REFRESHES),
        row_buf_policy=_choice(name, "row_buf_policy", values["row_buf_policy"], ("OPEN_PAGE", "CLOSE_PAGE")),
        cmd_queue_size=whole("cmd_queue_size"),
        trans_queue_size=whole("trans_queue_size"),
        unified_queue=bool(values["unified_queue"]),
        hbm_dual_cmd=bool(values["hbm_dual_cmd"]) and standard.startswith("HBM"),
        defaulted=defaulted,
        ignored=ignored,
    )


def _ranks(name: str, values: Mapping[str, Value], banks: int, columns: int) -> int:
    """Ranks of a channel: its size over that of a rank, each in MiB."""
    devices = int(values["bus_width"]) // int(values["device_width"])
    rank = columns * int(values["device_width"]) // 8 * int(values["rows"]) * banks * devices >> 20
    size = int(values["channel_size"])
    if rank < 1 or size < rank or size % rank or (size // rank) & (size // rank - 1):
        raise CgsimError(
            f"{name}: channel_size = {size}: expected {rank} MiB (the size of a rank) times a power of two"
        )
    ranks = size // rank
    if ranks > 1 and values["hbm_dual_cmd"] and str(values["protocol"]).startswith("HBM"):
        raise CgsimError(f"{name}: channel_size = {size}: HBM with more than one rank is not implemented")
    return ranks
