"""Finding and loading: by name, path, dict; shipped files; overrides; settings of the command line."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, available_hardware, find_hardware, load_hardware, parse_setting
from cgsim.shipped import shipped_dir


def error(function, *args) -> str:
    with pytest.raises(CgsimError) as caught:
        function(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_shipped_names():
    names = available_hardware()
    assert names == sorted(path.stem for path in shipped_dir("hwconfigs").glob("*.yaml"))
    assert {"asic-28nm", "edge-16x16", "fpga-zcu102", "fpga-pynq-z2", "tpu-like-128x128"} <= set(names)


@pytest.mark.parametrize("name", available_hardware())
def test_shipped_file_is_valid_and_named_after_itself(name):
    hardware = load_hardware(name)
    assert hardware.name == name
    assert hardware.description
    assert hardware == load_hardware(shipped_dir("hwconfigs") / f"{name}.yaml")


@pytest.mark.parametrize("name", available_hardware())
def test_shipped_buffers_hold_tiles_of_resnet18(name):
    """Two weight tiles of the longest reduction (3 x 3 x 512) and three of one output row's activations."""
    hardware = load_hardware(name)
    assert hardware.buffers.weight_bytes >= 2 * 3 * 3 * 512 * hardware.array.cols
    widest_input, widest_output = 3 * 56 * 64, 112 * 64
    assert hardware.buffers.activation_bytes >= 3 * (widest_input + widest_output)
    assert hardware.buffers.accumulator_bytes >= 2 * 112 * hardware.array.cols * 4
    assert hardware.buffers.gate_bytes >= 3 * 112 * 64 / 8


def test_asic_28nm_is_the_clock_of_cgnet():
    hardware = load_hardware("asic-28nm")
    assert (hardware.style, hardware.technology, hardware.clock_mhz) == ("asic", "28nm", 800.0)
    assert hardware.cycle_ns == 1.25
    assert hardware.dram_gb_per_second == 12.8
    assert hardware.array.group_cols == 4
    assert hardware.array.pes == 1024
    assert hardware.buffers.weight_bytes == 294912


def test_by_dict_path_object_and_string(values, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    assert load_hardware(values) == load_hardware(path) == load_hardware(str(path))
    assert load_hardware(load_hardware(values)) == load_hardware(values)


def test_defaults_are_description_and_technology(values):
    del values["description"], values["technology"]
    hardware = load_hardware(values)
    assert (hardware.description, hardware.technology) == ("", None)


def test_file_in_the_current_folder_is_found_without_suffix(values, tmp_path, monkeypatch):
    (tmp_path / "mine").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    assert load_hardware("mine") == load_hardware(values)


def test_value_semantics(values):
    one, two = load_hardware(values), load_hardware(values)
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one.to_dict() == values
    with pytest.raises(ValueError, match="frozen"):
        one.clock_mhz = 1.0


def test_override_returns_a_copy():
    hardware = load_hardware("asic-28nm")
    changed = hardware.override({"array.rows": 16, "dram.bytes_per_cycle": 8, "name": "half"})
    assert (changed.array.rows, changed.dram.bytes_per_cycle, changed.name) == (16, 8.0, "half")
    assert hardware.array.rows == 32
    assert load_hardware("asic-28nm", {"array.rows": 16}).array.rows == 16


def test_override_takes_numpy_numbers():
    changed = load_hardware("asic-28nm", {"array.rows": np.int64(8), "clock_mhz": np.float32(200)})
    assert (changed.array.rows, changed.clock_mhz) == (8, 200.0)


def test_override_of_dependent_keys_at_once():
    changed = load_hardware("asic-28nm", {"array.column_groups": 6, "array.cols": 6})
    assert changed.array.group_cols == 1


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("array.rwos", 1, "array.rwos: unknown key (did you mean 'rows'?)"),
        ("rows", 1, "rows: unknown key (did you mean 'array.rows'?)"),
        ("aray.rows", 1, "aray.rows: unknown key (did you mean 'array.rows'?)"),
        ("array.rows.x", 1, "array.rows.x: unknown key (did you mean 'array.rows'?)"),
        (
            "dma",
            {},
            "dma is a section, name one of its keys: "
            "dma.conditional_fetch, dma.burst_bytes, dma.max_outstanding",
        ),
        ("array.cols", 4, "array.column_groups: expected a divisor of array.cols (4), got 8"),
    ],
)
def test_override_errors(key, value, expected):
    message = error(load_hardware, "asic-28nm", {key: value})
    assert message == f"hardware 'asic-28nm': {expected}"


def test_unknown_name_lists_the_nearest():
    assert error(load_hardware, "asic28nm") == (
        "hardware 'asic28nm': no such name or file (did you mean 'asic-28nm'?)"
    )
    assert error(load_hardware, "zzz") == (
        f"hardware 'zzz': no such name or file (valid: {', '.join(available_hardware())})"
    )
    assert error(load_hardware, "").startswith("hardware '': no such name or file")


def test_missing_file(tmp_path):
    path = tmp_path / "asic-28mn.yaml"
    assert error(load_hardware, path) == f"{path}: no such file (did you mean 'asic-28nm'?)"


def test_folder(tmp_path):
    folder = tmp_path / "x.yaml"
    folder.mkdir()
    assert error(load_hardware, folder) == f"{folder}: a folder, expected a YAML file"


def test_wrong_type():
    assert error(load_hardware, 3) == "hardware: expected a name, a path or a dict, got int"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty, expected the keys name, description, style, technology, clock_mhz, array"),
        (b"- 1\n", "expected a section with the keys name, description, "),
        (b"just text", "expected a section with the keys name, description, "),
        (b"name: a\nname: b\n", " line 2, column 1: key 'name' is there twice"),
        (b"array:\n  rows: 1\n  rows: 2\n", " line 3, column 3: key 'rows' is there twice"),
        (
            b"name: [1\n",
            "line 2, column 1: while parsing a flow sequence expected ',' or ']', but got '<stream end>'",
        ),
        (
            b"name: !!python/object/apply:os.system ['true']\n",
            "could not determine a constructor for the tag",
        ),
        (b"\xff\xfe\xfa", "not UTF-8 text (byte 0)"),
        (b"name: \x07\n", "not valid YAML"),
        (b"[" * 5000, "not valid YAML, nested too deeply"),
        (b"clock_mhz: 1" + b"0" * 5000, "not valid YAML, Exceeds the limit"),
        (b"#" * ((1 << 20) + 1), "larger than 1048576 bytes, too large a file for this"),
        (
            b"a: 1\n---\nb: 2\n",
            "line 2, column 1: expected a single document in the stream but found another document",
        ),
        (b"{? [1, 2] : 3}", "line 1, column 4: while constructing a mapping found unhashable key"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, data, expected):
    path = tmp_path / "bad.yaml"
    path.write_bytes(data)
    message = error(load_hardware, path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.yaml"
    path.write_text("")

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert error(load_hardware, path) == f"{path}: cannot be read (Permission denied)"


def test_exponents_are_numbers(values, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(values).replace("clock_mhz: 800.0", "clock_mhz: 8e2"))
    assert load_hardware(path).clock_mhz == 800.0


def test_duplicate_key_in_a_shipped_like_file(tmp_path):
    text = find_hardware("asic-28nm").read_text()
    path = tmp_path / "twice.yaml"
    path.write_text(text + "clock_mhz: 900\n")
    line = text.count("\n") + 1
    assert error(load_hardware, path) == f"{path}: line {line}, column 1: key 'clock_mhz' is there twice"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("array.rows=16", ("array.rows", [16])),
        ("array.rows=8,16,32", ("array.rows", [8, 16, 32])),
        ("dram.bytes_per_cycle=0.5", ("dram.bytes_per_cycle", [0.5])),
        ("gate_unit.enabled=false", ("gate_unit.enabled", [False])),
        ("array.pipelining=serial,overlapped", ("array.pipelining", ["serial", "overlapped"])),
        ("clock_mhz=1e3", ("clock_mhz", [1000.0])),
        (" clock_mhz = 5 ", ("clock_mhz", [5])),
        ("technology=null", ("technology", [None])),
    ],
)
def test_settings(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["array.rows", "=3", "array.rows=", "array.rows= "])
def test_setting_without_key_or_value(text):
    assert error(parse_setting, text) == (f"setting {text!r}: expected key=value, such as array.rows=16")


def test_setting_with_a_hole():
    assert error(parse_setting, "array.rows=8,,16") == (
        "setting 'array.rows=8,,16': a value is missing between commas"
    )
    assert error(parse_setting, "array.rows=[8").startswith("setting 'array.rows=[8': line 1")


def test_shipped_dir_prefers_what_a_wheel_carries(tmp_path, monkeypatch):
    package = tmp_path / "cgsim"
    (package / "_shipped" / "hwconfigs").mkdir(parents=True)
    monkeypatch.setattr("cgsim.shipped.__file__", str(package / "shipped.py"))
    assert shipped_dir("hwconfigs") == package.resolve() / "_shipped" / "hwconfigs"
    assert shipped_dir("traces") == Path(tmp_path).resolve() / "traces"


def test_from_dict_names_its_source():
    assert error(Hardware.from_dict, 5, "sweep point 3").startswith("sweep point 3: expected a section with")
