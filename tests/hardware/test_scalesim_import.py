"""SCALE-Sim configurations: what becomes of every key, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cgsim.errors import CgsimError
from cgsim.hardware import load_hardware
from cgsim.hardware.scalesim import REQUIRED, UNUSED, import_configuration

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "data" / "scalesim" / "example.cfg"

V1 = """\
[general]
run_name = "eyeriss"

[architecture_presets]
ArrayHeight:    12
ArrayWidth:     14
IfmapSramSz:    512
FilterSramSz:   511
OfmapSramSz:    256
IfmapOffset:    0
Dataflow:       os

[network_presets]
TopologyCsvLoc: "./topologies/yolo_tiny.csv"
"""
V2 = """\
[general]
run_name = scale example run

[architecture_presets]
ARRAYHEIGHT : 8
arraywidth = 16
IfmapSramSzkB:   256
FilterSramSzkB:  128
OfmapSramSzkB:   64
Dataflow : is
Bandwidth : 20

[run_presets]
InterfaceBandwidth: USER
"""


@pytest.fixture
def read(tmp_path):
    def reader(text, name="mine.cfg"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return import_configuration(path)

    return reader


def test_the_example_becomes_a_hardware_file(tmp_path):
    imported = import_configuration(EXAMPLE, tmp_path / "mine.yaml")
    assert load_hardware(tmp_path / "mine.yaml") == imported.hardware
    assert (tmp_path / "mine.yaml").read_text() == imported.text
    hardware = imported.hardware
    assert hardware.name == "resnet18_32x32_ws_CALC"
    array = hardware.array
    assert (array.rows, array.cols, array.dataflow, array.pipelining) == (32, 32, "ws", "scalesim")
    assert (array.column_groups, hardware.gate_unit.enabled) == (1, False)
    buffers = hardware.buffers
    assert (buffers.activation_kib, buffers.weight_kib, buffers.accumulator_kib) == (64, 64, 64)
    assert (hardware.dram.bytes_per_cycle, hardware.dram.latency_cycles) == (10, 0)
    assert len(imported.notes) == 1
    assert "Bandwidth becomes dram.bytes_per_cycle" in imported.notes[0]
    assert "# ArrayHeight" in imported.text
    assert max(map(len, imported.text.splitlines())) <= 120
    given = re.findall(r"^(\w+) *[:=]", EXAMPLE.read_text(), re.MULTILINE)
    taken = {*REQUIRED, "Bandwidth", "run_name"}
    assert set(given) == taken | set(imported.unused)
    assert all(f"{name}" in imported.text for name in given)


def test_version_1(read):
    imported = read(V1)
    hardware = imported.hardware
    assert hardware.name == "eyeriss"
    assert (hardware.array.rows, hardware.array.cols, hardware.array.dataflow) == (12, 14, "os")
    assert (hardware.buffers.activation_kib, hardware.buffers.weight_kib) == (512, 511)
    assert hardware.dram.bytes_per_cycle == 65536
    assert imported.notes == ("no Bandwidth is given: the DRAM gets the highest that cgsim takes",)
    assert set(imported.unused) == {"IfmapOffset", "TopologyCsvLoc"}


def test_version_2_in_other_case(read):
    imported = read(b"\xef\xbb\xbf" + V2.replace("\n", "\r\n").encode())
    assert imported.hardware.name == "scale-example-run"
    assert (imported.hardware.array.rows, imported.hardware.array.cols) == (8, 16)
    assert imported.hardware.dram.bytes_per_cycle == 20
    assert imported.notes == (
        "run_name is 'scale example run', which is no name here: named 'scale-example-run'",
    )


def test_without_a_name_the_file_gives_it(read):
    text = V2.replace("[general]\nrun_name = scale example run\n", "")
    assert read(text, "tpu v1.cfg").hardware.name == "tpu-v1"
    assert read(text, "___.cfg").hardware.name == "scalesim"


def test_what_is_lost_is_told(read):
    extra = (
        "\n[layout]\nIfmapCustomLayout: True\nFilterCustomLayout: False\nIfmapSRAMBankNum: 4\n"
        "\n[sparsity]\nSparsitySupport: true\nSparseRep: csr\n\n[mine]\nfoo: bar\n"
    )
    imported = read(V2.replace("Bandwidth : 20", "Bandwidth : 20, 10, 5") + extra)
    assert imported.hardware.dram.bytes_per_cycle == 20
    told = "\n".join(imported.notes)
    for piece in ("[mine] foo is not known", "SparsitySupport is true", "IfmapCustomLayout is true",
                  "Bandwidth is the list 20, 10, 5, of which the first is taken"):  # fmt: skip
        assert piece in told
    assert "FilterCustomLayout is true" not in told
    assert all(
        note.split(":")[0] in " ".join(imported.text.replace("\n#   ", " ").split())
        for note in imported.notes
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ARRAYHEIGHT : 8", "ArrayHeight: 8.0", "ARCH ArrayHeight: expected an integer, got '8.0'"),
        ("ARRAYHEIGHT : 8", "ArrayHeight:", "ARCH ArrayHeight: expected an integer, got ''"),
        ("ARRAYHEIGHT : 8", "ArrayHeight: 0",
         "ARCH ArrayHeight (array.rows): expected an integer from 1 to 1024, got 0"),
        ("ARRAYHEIGHT : 8", "ArrayHeight: 4096",
         "ARCH ArrayHeight (array.rows): expected an integer from 1 to 1024, got 4096"),
        ("ARRAYHEIGHT : 8", "ArrayHeigth: 8",
         "ARCH ArrayHeight is missing, expected for array.rows (is it 'ArrayHeigth'?)"),
        ("ARRAYHEIGHT : 8", "", "ARCH ArrayHeight is missing, expected for array.rows"),
        ("Dataflow : is", "", "ARCH Dataflow is missing, expected for array.dataflow"),
        ("Dataflow : is", "Dataflow : rs", "ARCH Dataflow: expected ws, is or os, got 'rs'"),
        ("Bandwidth : 20", "Bandwidth : lots", "ARCH Bandwidth: expected an integer, got 'lots'"),
        ("Bandwidth : 20", "Bandwidth : 0",
         "ARCH Bandwidth (dram.bytes_per_cycle): expected a number"),
        ("FilterSramSzkB:  128", "FilterSramSzkB: -1",
         "ARCH FilterSramSzkB (buffers.weight_kib): expected a number in KiB above 0"),
        ("FilterSramSzkB:  128", "FilterSramSzkB: 1\nFilterSramSz: 2",
         "ARCH FilterSramSz: FilterSramSzkB is there twice"),
        ("arraywidth = 16", "arraywidth = 16\narraywidth = 16", "line 7: arraywidth is there twice"),
        ("arraywidth = 16", "arraywidth = 16\nArrayWidth = 16", "ARCH ArrayWidth: ArrayWidth is there"),
        ("arraywidth = 16", "arraywidth = 16\n[general]", "line 7: [general] is there twice"),
        ("arraywidth = 16", "arraywidth = 16\nhello", "line 7: expected [section] or key: value, got 'hello"),
        ("[general]\n", "", "line 1: expected a [section], got 'run_name = scale example run\\n'"),
        ("USER", "SOME", "RUN InterfaceBandwidth: expected USER or CALC, got 'SOME'"),
        ("USER", "USER\nUseRamulatorTrace: if", "RUN UseRamulatorTrace: expected true or false, got 'if'"),
        ("USER", "USER\nMemoryBanks: x", "RUN MemoryBanks: expected an integer, got 'x'"),
        ("run_name = scale example run", "run_name = a%(b)s\n  c", ""),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(read, tmp_path, old, new, message):
    assert old in V2
    if not message:
        assert read(V2.replace(old, new)).hardware.name == "a-b-s-c"
        return
    message = message.replace("ARCH", "[architecture_presets]").replace("RUN", "[run_presets]")
    with pytest.raises(CgsimError) as caught:
        read(V2.replace(old, new))
    assert str(caught.value).startswith(f"{tmp_path / 'mine.cfg'}: {message}")
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused(read, tmp_path):
    with pytest.raises(CgsimError, match="cannot be read"):
        import_configuration(tmp_path / "none.cfg")
    with pytest.raises(CgsimError, match="a folder, expected a configuration file"):
        import_configuration(tmp_path)
    with pytest.raises(CgsimError, match="not UTF-8"):
        read(V2.encode("utf-16"))
    with pytest.raises(CgsimError, match="ArrayHeight is missing"):
        read("")


def test_an_output_that_cannot_be_written(tmp_path):
    with pytest.raises(CgsimError, match="cannot be written"):
        import_configuration(EXAMPLE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_page_has_every_key():
    page = (ROOT / "docs" / "scalesim.md").read_text(encoding="utf-8")
    names = (
        {name for group in UNUSED for name in group[0].split()} | set(REQUIRED) | {"run_name", "Bandwidth"}
    )
    assert not [name for name in names if f"`{name}`" not in page]
