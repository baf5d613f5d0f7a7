from __future__ import annotations

import re

import pytest

from cgsim.dram.own_config import config_of, load_config
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA

OURS = {
    "policy": "default", "standard": "DDR4-2400", "channels": 1, "ranks": 1, "mapping": "streaming",
    "page_policy": "open", "queue_depth": 32, "refresh": "all_bank",
}  # fmt: skip
KINDS = (
    "[dram_structure] and other sections (DRAMsim3), frontend and memory_system (Ramulator 2.1), "
    "or dram (cgsim)"
)


def yaml_of(values):
    return "dram:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items())


def test_ours_is_read(tmp_path):
    (tmp_path / "ours.ini").write_text(yaml_of(OURS | {"row_hit_cap": 4}))  # the name does not count
    config = load_config(tmp_path / "ours.ini")
    assert (config.policy, config.standard, config.row_hit_cap, config.inj) == ("default", "DDR4-2400", 4, 1)


@pytest.mark.parametrize("path", sorted((DATA / "configs").iterdir()), ids=lambda path: path.name)
def test_the_tools_files_are_told_by_what_is_in_them(tmp_path, path):
    other = tmp_path / "memory.cfg"
    other.write_bytes(b"\xef\xbb\xbf# a comment\n\n" + path.read_bytes())
    assert load_config(other).policy == {"d": "dramsim3", "r": "ramulator2"}[path.name[0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f": empty, expected {KINDS}"),
        ("# nothing\n", f": not a memory configuration, expected {KINDS}"),
        ("a: 1\nb: 2\n", f": a, b: not a memory configuration, expected {KINDS}"),
        ("[1, 2]\n", f": not a memory configuration, expected {KINDS}"),
        ("dram: 3\n", ": dram: expected the keys policy, standard, channels, "),
        ("dram: {}\n", ": dram.policy: missing"),
        ("dram: [\n", ": line 2, column 1: while parsing a flow node"),
        (yaml_of(OURS) + "\narray: {}\n", ": array: unknown key, expected dram alone"),
        (yaml_of(OURS) + "  ranks: 2\n", "key 'ranks' is there twice"),
        (yaml_of(OURS | {"rank": 1}), ": dram.rank: unknown key (did you mean 'ranks'?)"),
        (yaml_of({k: v for k, v in OURS.items() if k != "refresh"}), ": dram.refresh: missing"),
        (yaml_of(OURS | {"channels": "two"}), ": dram.channels: expected an integer, got 'two'"),
        (yaml_of(OURS | {"channels": "1.0"}), ": dram.channels: expected an integer, got 1.0"),
        (yaml_of(OURS | {"channels": "true"}), ": dram.channels: expected an integer, got True"),
        (yaml_of(OURS | {"channels": ""}), ": dram.channels: expected an integer, got nothing"),
        (yaml_of(OURS | {"write_high": "x"}), ": dram.write_high: expected an integer or null, got 'x'"),
        (yaml_of(OURS | {"jump": "1"}), ": dram.jump: expected true or false, got 1"),
        (yaml_of(OURS | {"policy": "fcfs"}), ": dram.policy: expected 'default', got 'fcfs'"),
        (yaml_of(OURS | {"policy": "dramsim3"}),
         ": dram.policy: 'dramsim3' takes the configuration file of DRAMsim3 itself"),
        (yaml_of(OURS | {"standard": "DDR4-2401"}), "(did you mean 'DDR4-2400'?)"),
        (yaml_of(OURS | {"mapping": "streeming"}), "(did you mean 'streaming'?)"),
        (yaml_of(OURS | {"queue_depth": 0}), "queue_depth"),
        (yaml_of(OURS | {"ranks": 3}), "ranks"),
        ("a: \xff", ": not UTF-8 text (byte 3)"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CgsimError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_large_ones(tmp_path):
    with pytest.raises(CgsimError, match=r"no\.yaml: cannot be read \(No such file or directory\)"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(CgsimError, match=r"cannot be read \(Is a directory\)"):
        load_config(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(CgsimError, match=re.escape("larger than 1048576 bytes, not a memory configuration")):
        load_config(tmp_path / "large.yaml")


def test_a_section_of_another_file_is_held_to_the_same():
    assert config_of(OURS, "x").queue_depth == 32
    with pytest.raises(CgsimError, match=r"x: dram\.colour: unknown key"):
        config_of(OURS | {"colour": 1}, "x")
