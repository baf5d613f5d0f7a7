"""Every value that a configuration can get wrong is refused on one line that helps."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, load_hardware
from cgsim.hardware.messages import expected, fields

LEAVES = dict(fields(Hardware))
REQUIRED = [key for key, field in LEAVES.items() if field.is_required()]
NUMBERS = [key for key, field in LEAVES.items() if field.annotation in (int, float)]
INTEGERS = [key for key in NUMBERS if LEAVES[key].annotation is int]
NAN = float("nan")


def replaced(values, key, value):
    changed = copy.deepcopy(values)
    *sections, leaf = key.split(".")
    target = changed
    for section in sections:
        target = target[section]
    target[leaf] = value
    return changed


def refusal(values) -> str:
    with pytest.raises(CgsimError) as caught:
        load_hardware(values)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("hardware: ")
    return message.removeprefix("hardware: ")


@pytest.mark.parametrize("key", REQUIRED)
def test_missing_key(values, key):
    *sections, leaf = key.split(".")
    target = values
    for section in sections:
        target = target[section]
    del target[leaf]
    assert refusal(values) == f"{key}: missing, expected {expected(LEAVES[key])}"


@pytest.mark.parametrize("section", ["array", "gate_unit", "vector_unit", "buffers", "dma", "dram"])
def test_missing_and_misshapen_section(values, section):
    keys = ", ".join(key.split(".")[1] for key in LEAVES if key.startswith(f"{section}."))
    wanted = f"expected a section with the keys {keys}"
    assert refusal(replaced(values, section, 5)) == f"{section}: {wanted}, got 5"
    assert refusal(replaced(values, section, None)) == f"{section}: {wanted}, got nothing"
    assert refusal(replaced(values, section, [1])) == f"{section}: {wanted}, got [1]"
    del values[section]
    assert refusal(values) == f"{section}: missing, {wanted}"


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize(
    "value", [-1, 1e30, 10**30, math.inf, -math.inf, NAN, True, "many", None, [1], {}, -0.5]
)
def test_impossible_number(values, key, value):
    message = refusal(replaced(values, key, value))
    assert message.startswith(f"{key}: expected {expected(LEAVES[key])}, got ")


@pytest.mark.parametrize(
    "key", [key for key in NUMBERS if not key.endswith(("latency", "_cycles", "call_us"))]
)
def test_zero(values, key):
    assert refusal(replaced(values, key, 0)) == f"{key}: expected {expected(LEAVES[key])}, got 0"


@pytest.mark.parametrize(("value", "advice"), [("64", "; write 64"), ("", ""), ("many", "")])
def test_a_choice_of_numbers_takes_no_text(values, value, advice):
    wanted = expected(LEAVES["dma.burst_bytes"])
    assert refusal(replaced(values, "dma.burst_bytes", value)) == (
        f"dma.burst_bytes: expected {wanted}, got {value!r}{advice}"
    )


def test_latency_may_be_zero(values):
    values["dram"]["latency_cycles"] = values["gate_unit"]["compare_latency"] = 0
    assert load_hardware(values).dram.latency_cycles == 0


@pytest.mark.parametrize("key", INTEGERS)
def test_fraction_where_an_integer_is_due(values, key):
    wanted = expected(LEAVES[key])
    assert refusal(replaced(values, key, 1.5)) == f"{key}: expected {wanted}, got 1.5"
    assert refusal(replaced(values, key, 2.0)) == f"{key}: expected {wanted}, got 2.0; write 2"


CLOCK = "clock_mhz: expected a number in MHz from 1 to 10000, got "
WEIGHT = "buffers.weight_kib: expected a number in KiB above 0 up to 1048576 in steps of 1/1024, got "
ROWS = "array.rows: expected an integer from 1 to 1024, got "


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("clock_mhz", "800 MHz", CLOCK + "'800 MHz'; write 800"),
        ("clock_mhz", "800MHz", CLOCK + "'800MHz'; write 800"),
        ("clock_mhz", "0.8 GHz", CLOCK + "'0.8 GHz'; write 800"),
        ("clock_mhz", "800", CLOCK + "'800'; write 800"),
        ("clock_mhz", 800_000_000, CLOCK + "800000000"),
        ("clock_mhz", 0.8, CLOCK + "0.8"),
        ("buffers.weight_kib", "1 MiB", WEIGHT + "'1 MiB'; write 1024"),
        ("buffers.weight_kib", "288KiB", WEIGHT + "'288KiB'; write 288"),
        ("buffers.weight_kib", "294912 B", WEIGHT + "'294912 B'; write 288"),
        ("buffers.weight_kib", "288 kB", WEIGHT + "'288 kB'; write the number of KiB alone"),
        ("buffers.weight_kib", 0.0001, "buffers.weight_kib: expected a multiple of 1/1024, got 0.0001"),
        ("array.rows", "16", ROWS + "'16'; write 16"),
        ("array.rows", "16 PEs", ROWS + "'16 PEs'; write 16"),
        ("array.rows", 1025, ROWS + "1025"),
        ("array.column_groups", 5, "array.column_groups: expected a divisor of array.cols (32), got 5"),
        ("array.column_groups", 64, "array.column_groups: expected a divisor of array.cols (32), got 64"),
        ("array.dataflow", "weight", "array.dataflow: expected 'ws', 'is' or 'os', got 'weight'"),
        (
            "array.pipelining",
            "overlaped",
            "array.pipelining: expected 'overlapped', 'serial' or 'scalesim', got 'overlaped'"
            " (did you mean 'overlapped'?)",
        ),
        (
            "dram.standard",
            "DDR4",
            "dram.standard: expected 'ideal', 'DDR4-2400', 'DDR4-3200', 'LPDDR4-2400', 'LPDDR5-6400' or "
            "'HBM2-2000', got 'DDR4' (did you mean 'DDR4-3200'?)",
        ),
        (
            "dram.bytes_per_cycle",
            0.3,
            "dram.bytes_per_cycle: expected a multiple of 1/256, got 0.3",
        ),
        (
            "gate_unit.group_sync",
            "layers",
            "gate_unit.group_sync: expected 'fold', 'tile' or 'layer', got 'layers' (did you mean 'layer'?)",
        ),
        ("gate_unit.fifo_depth", 0, "gate_unit.fifo_depth: expected an integer from 1 to 65536, got 0"),
        (
            "gate_unit.activation_banks",
            "idel",
            "gate_unit.activation_banks: expected 'ideal' or an integer from 1 to 1024, got 'idel'",
        ),
        ("mapping.batch", 0, "mapping.batch: expected an integer from 1 to 1024, got 0"),
        ("gate_unit.enabled", "yes", "gate_unit.enabled: expected true or false, got 'yes'"),
        ("gate_unit.enabled", 1, "gate_unit.enabled: expected true or false, got 1"),
        ("style", "gpu", "style: expected 'asic' or 'fpga', got 'gpu'"),
        ("technology", 28, "technology: expected text or null, got 28"),
        (
            "name",
            "../../x",
            "name: expected a name of letters, digits, '.', '_' and '-' (at most 64), got '../../x'",
        ),
        (
            "name",
            "two\nlines",
            "name: expected a name of letters, digits, '.', '_' and '-' (at most 64), got 'two\\nlines'",
        ),
    ],
)
def test_exact_message(values, key, value, message):
    assert refusal(replaced(values, key, value)) == message


def test_a_number_too_long_to_print(values):
    values["array"]["rows"] = 10**5000
    assert refusal(values) == ROWS + "an integer of about 5000 digits"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("clock_mzh", "clock_mzh: unknown key (did you mean 'clock_mhz'?)"),
        ("array.colums", "array.colums: unknown key (did you mean 'cols'?)"),
        ("buffers.wieght_kib", "buffers.wieght_kib: unknown key (did you mean 'weight_kib'?)"),
        ("rows", "rows: unknown key (did you mean 'array.rows'?)"),
        ("array.lanes", "array.lanes: unknown key (did you mean 'vector_unit.lanes'?)"),
        ("dma.qqq", "dma.qqq: unknown key (valid: conditional_fetch, burst_bytes, max_outstanding)"),
    ],
)
def test_unknown_key(values, key, message):
    assert refusal(replaced(values, key, 1)) == message


def test_keys_that_are_no_names(values):
    assert refusal({**values, 1: 2}).startswith("1: unknown key")
    assert refusal({**values, "a\nb": 2}).startswith("'a\\nb': unknown key")


def test_all_problems_come_at_once(values):
    values["clock_mhz"] = 0
    values["array"]["rows"] = 0
    values["buffer"] = {}
    assert refusal(values) == (f"{CLOCK}0; {ROWS}0; buffer: unknown key (did you mean 'buffers'?)")


def test_a_long_list_of_problems_is_cut():
    message = refusal({})
    assert message.count(";") == 5
    assert message.endswith("; and 4 more")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100)
@given(key=st.sampled_from([*LEAVES, "array", "dram", "extra", "array.extra"]), value=JUNK)
def test_any_junk_is_taken_or_refused_on_one_line(key, value):
    engines = load_hardware("dpacs-basicblock-serial").to_dict()["engines"]
    values = replaced(load_hardware("edge-16x16").to_dict() | {"engines": engines}, key, value)
    try:
        hardware = load_hardware(values)
    except CgsimError as error:
        assert "\n" not in str(error)
        assert key.split(".")[0] in str(error)
        assert len(str(error)) < 1000
    else:
        assert load_hardware(hardware.to_dict()) == hardware


@settings(max_examples=100)
@given(JUNK)
def test_junk_instead_of_a_configuration(value):
    with pytest.raises(CgsimError) as caught:
        Hardware.from_dict(value)
    assert "\n" not in str(caught.value)


def test_banks_need_groups_that_meet():
    with pytest.raises(CgsimError) as caught:
        load_hardware("asic-28nm", {"gate_unit.group_sync": "layer", "gate_unit.activation_banks": 8})
    assert str(caught.value) == (
        "hardware 'asic-28nm': gate_unit.activation_banks: expected 'ideal' where gate_unit.group_sync is "
        "'layer', got 8"
    )
