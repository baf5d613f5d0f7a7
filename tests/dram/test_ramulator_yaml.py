"""Bad configurations of Ramulator: one line that names the file, the key and what was expected."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from cgsim.dram.ramulator_yaml import load, parse
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA

GOOD = yaml.safe_load((DATA / "configs" / "r_ddr4_2400U_match.yaml").read_text())
CONTROLLER = "memory_system.controllers.0"

BAD: list[tuple[str, Any, str]] = [
    ("frontend.impl", "SimpleO3", "frontend.impl: expected one of 'External'"),
    ("frontend.clock_ratio", 2, "frontend.clock_ratio: expected 1"),
    ("memory_system.channel_mapper.impl", "Hash", "channel_mapper.impl: expected one of"),
    ("memory_system.channel_mapper.interleave_bits", -1, "interleave_bits: expected a whole number"),
    ("memory_system.controllers", [], "controllers: expected a power of two, got 0 channels"),
    (f"{CONTROLLER}.impl", "GenericDDRR", "impl: expected one of 'GenericDDR'"),
    (f"{CONTROLLER}.impl", "HBM12", "expected 'GenericDDR', the controller for DDR4"),
    (f"{CONTROLLER}.wr_low_watermark", 0.9, "wr_low_watermark: expected at most wr_high_watermark"),
    (f"{CONTROLLER}.wr_low_watermark", 0, "wr_low_watermark: expected more"),
    (f"{CONTROLLER}.read_buffer_size", 0, "read_buffer_size: expected a whole number from 1"),
    (f"{CONTROLLER}.write_buffer_size", True, "write_buffer_size: expected a whole number"),
    (f"{CONTROLLER}.write_bufer_size", 3, "unknown key (did you mean 'write_buffer_size'?)"),
    (f"{CONTROLLER}.plugins", [], "plugins: unknown key"),
    (f"{CONTROLLER}.wck_sync_mode", "always_on", "wck_sync_mode: unknown key"),
    (f"{CONTROLLER}.scheduler.impl", "FRFCFS-Rowhit", "(did you mean 'FRFCFS-RowHit'?)"),
    (f"{CONTROLLER}.refresh_manager.impl", "PerBank", "refresh_manager.impl: expected one of"),
    (f"{CONTROLLER}.refresh_manager.scatter_interval", 9361, "scatter_interval: expected at most nREFI"),
    (f"{CONTROLLER}.refresh_manager.debug", 1, "debug: expected true or false"),
    (f"{CONTROLLER}.row_policy.impl", "ClosedCAP", "row_policy.cap: missing"),
    (f"{CONTROLLER}.row_policy.cap", 1, "row_policy.cap: unknown key"),
    (f"{CONTROLLER}.addr_mapper.impl", "RoBaRaCo", "(did you mean 'RoBaRaCoCh'?)"),
    (f"{CONTROLLER}.dram.impl", "DDR5", "dram.impl: expected one of 'DDR4', 'HBM2', 'LPDDR5'"),
    (
        f"{CONTROLLER}.dram.org.count",
        [1, 3, 4, 4, 65536, 1024],
        "count: expected 1 channel, then powers of two",
    ),
    (f"{CONTROLLER}.dram.org.count", [1, 1, 4, 4, 65536], "count: expected 6 whole numbers"),
    (f"{CONTROLLER}.dram.timing", [2400, 4], "timing: expected 21 whole numbers"),
    (f"{CONTROLLER}.dram.command_cycles", [2, 1, 1, 1, 1, 1, 1, 1], "command_cycles: expected"),
    (f"{CONTROLLER}.dram.timing_constraints", [[0, [3], [4]]], "timing_constraints[0]: expected [level"),
    (f"{CONTROLLER}.dram.timing_constraints", [[4, [3], [4], 1]], "level 0 to 3"),
    (f"{CONTROLLER}.dram.timing_constraints", [[1, [3], [8], 1]], "expected a command, 0 to 7"),
    (f"{CONTROLLER}.dram.timing_constraints", [[2, [3], [4], 1, 1, True]], "siblings at level 1"),
    (f"{CONTROLLER}.dram.channel_width", 48, "channel_width: expected a power of two"),
]


def changed(path: str, value: Any) -> Any:
    values = copy.deepcopy(GOOD)
    node = values
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value
    return values


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_bad_value(path, value, message):
    with pytest.raises(CgsimError) as error:
        parse(changed(path, value), "bad.yaml")
    assert str(error.value).startswith("bad.yaml: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def keys_of(node: Any, path: str = "") -> list[str]:
    if isinstance(node, list):
        return keys_of(node[0], f"{path}.0") if node and isinstance(node[0], dict) else []
    found = []
    for key, value in node.items() if isinstance(node, dict) else ():
        here = f"{path}.{key}".lstrip(".")
        found += [here, *keys_of(value, here)]
    return found


@pytest.mark.parametrize("path", keys_of(GOOD))
def test_missing_key(path):
    values = copy.deepcopy(GOOD)
    node = values
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    del node[last]
    with pytest.raises(CgsimError, match="missing") as error:
        parse(values, "bad.yaml")
    assert last in str(error.value)


def test_channels_must_be_alike():
    values = copy.deepcopy(GOOD)
    controllers = values["memory_system"]["controllers"]
    controllers.append(copy.deepcopy(controllers[0]))
    assert parse(values, "two.yaml").channels == 2
    controllers[1]["read_buffer_size"] = 8
    with pytest.raises(CgsimError, match="channels that differ"):
        parse(values, "two.yaml")


def test_all_reference_configurations_load():
    for path in sorted((DATA / "configs").glob("r_*.yaml")):
        config = load(path)
        assert config.request_bytes == (64 if config.standard == "DDR4" else 32)


def test_unreadable(tmp_path):
    with pytest.raises(CgsimError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "twice.yaml").write_text("frontend: {}\nfrontend: {}\n")
    with pytest.raises(CgsimError, match="there twice"):
        load(tmp_path / "twice.yaml")
    (tmp_path / "list.yaml").write_text("[1, 2]\n")
    with pytest.raises(CgsimError, match="expected keys with values"):
        load(tmp_path / "list.yaml")
