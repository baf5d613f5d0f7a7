"""SCALE-Sim topologies: what is taken over, and what is refused where."""

from __future__ import annotations

import csv
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.trace import check_trace, load_trace
from cgsim.trace.scalesim import LARGEST, Topology, import_topology, read_topology

DATA = Path(__file__).parent.parent / "data" / "scalesim"
CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
GEMM = "Layer,M,N,K,\n"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Read a topology of the given text or bytes."""

    def reader(text: str | bytes, **options: Any) -> Topology:
        path = tmp_path / "net.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_topology(path, **options)

    return reader


def test_resnet18_has_the_gemms_that_scale_sim_ran(tmp_path: Path) -> None:
    with (DATA / "dense_cycles.csv").open() as file:
        table = {row["layer"]: row for row in csv.DictReader(file) if row["workload"] == "resnet18"}
    path = tmp_path / "resnet18.trace.parquet"
    topology = import_topology(DATA / "resnet18.csv", path, command="cgsim trace import")
    assert check_trace(path)["method"] == "dense"
    trace = load_trace(path)
    assert (trace.network, trace.network.name, trace.n_samples) == (topology.network, "resnet18", 1)
    assert trace.flop_reduction() == 1
    assert len(trace.network.layers) == len(table) == 21
    for layer in trace.network.layers:
        row = table[layer.name]
        assert [layer.pixels, layer.out_channels, layer.reduction] == [int(row[key]) for key in "MNK"]
        assert (layer.operator, layer.gate, layer.producers) == ("conv2d", "none", ())
    assert trace.network.by_name["Conv1"].in_shape == (3, 224, 224)
    assert "over the edge" in trace.metadata.notes
    assert trace.metadata.command == "cgsim trace import"


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    window=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.integers(1, 8),
    channels=st.integers(1, 5),
    filters=st.integers(1, 5),
)
def test_windows_are_counted_as_scale_sim_does(
    tmp_path_factory: Any,
    size: tuple[int, int],
    window: tuple[int, int],
    stride: int,
    channels: int,
    filters: int,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "one.csv"
    kernel = tuple(min(pair) for pair in zip(size, window, strict=True))
    fields = ("x", *size, *kernel, channels, filters, stride)
    path.write_text(CONV + ",".join(map(str, fields)) + ",\n")
    (layer,) = read_topology(path).network.layers  # a Network checks the shapes of its layers
    assert layer.in_shape == (channels, *size)
    wanted = [ceil((s - k + stride) / stride) for s, k in zip(size, kernel, strict=True)]
    assert layer.out_shape == (filters, *wanted)
    assert layer.reduction == channels * kernel[0] * kernel[1]


def test_gemms_are_pointwise_convolutions(read: Any) -> None:
    topology = read(GEMM + "a,1024,4800,1600,\nb, 1, 2, 3, 2:4,\nc,1,2,3,1,\n")
    shapes = [(layer.pixels, layer.out_channels, layer.reduction) for layer in topology.network.layers]
    assert shapes == [(1024, 4800, 1600), (1, 2, 3), (1, 2, 3)]
    assert topology.form == "gemm"
    (note,) = topology.notes
    assert note.startswith("line 3: N:M sparsity is not imported")


def test_gemms_written_as_convolutions(read: Any) -> None:
    (layer,) = read(CONV + "BatchRNN1,672,2560,1,2560,1,4,1, \n").network.layers
    assert (layer.pixels, layer.out_channels, layer.reduction) == (672, 4, 2560)


def test_what_files_in_use_look_like(read: Any) -> None:
    text = (
        "\ufeffLayer, IFMAP Width, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Stride\r\n"
        "\r\n"
        "Conv1     ,224         ,224        ,11           ,11          ,3       ,96        ,4      ,\r\n"
        "\tConv2_dw_0,14,14,3,3,1,1,1,#dw\r"
        "Conv11,28,28,1,1,256,256,1\n"
        '"quoted, name", "5",5,3,3,2,6,1,4:4,\n'
        ",,,,,,,,\n"
        "wide,9,9,3,3,2,6,2,1,,,\n"
        "last,5,5,3,3,2,6,1,2:4,"
    )
    topology = read(text)
    layers = topology.network.layers
    assert [layer.name for layer in layers] == [
        "Conv1",
        "Conv2_dw_0",
        "Conv11",
        "quoted, name",
        "wide",
        "last",
    ]
    assert layers[0].out_shape == (96, 55, 55)
    assert layers[2].stride == (1, 1)
    assert (layers[4].stride, layers[4].out_shape) == ((2, 1), (6, 4, 7))
    assert [note.partition(":")[0] for note in topology.notes] == ["line 3", "line 5", "line 9"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Layer,M,N,K,\nx,1,2,3,", "gemm"),
        ("\nx,1,2,3,", "gemm"),
        ("\nx,5,5,3,3,2,6,1,", "conv"),
        ("whatever\nx,5,5,3,3,2,6,1,2:4,", "conv"),
    ],
)
def test_the_form_is_found(read: Any, text: str, form: str) -> None:
    assert read(text).form == form
    assert read(text, form=form).form == form


def test_a_first_line_that_looks_like_a_layer_is_told(read: Any) -> None:
    topology = read("a,1,2,3,\nb,4,5,6,\n")
    assert [layer.name for layer in topology.network.layers] == ["b"]
    assert topology.notes == (
        "line 1: looks like a layer, but the first line is skipped as the header, as in SCALE-Sim",
    )


def test_names_that_are_taken_get_a_number(read: Any) -> None:
    topology = read(GEMM + "".join(f"{name},1,2,3,\n" for name in ("fc", "fc_2", "fc", "input", "fc")))
    names = [layer.name for layer in topology.network.layers]
    assert names == ["fc", "fc_2", "fc_3", "input_2", "fc_4"]
    assert topology.notes[0].startswith("lines 4, 5, 6: the name is taken")


def test_dp_means_depthwise(read: Any) -> None:
    text = CONV + "Conv_DP,9,9,3,3,4,2,1,\nplain,9,9,3,3,4,2,1,\n"
    layer = read(text).network.layers[0]
    assert (layer.groups, layer.out_channels, layer.reduction, layer.pixels) == (4, 8, 9, 49)
    split = read(text, split_depthwise=True).network.layers
    assert [one.name for one in split] == [*(f"Conv_DPChannel_{i}" for i in range(4)), "plain"]
    assert all((one.in_shape, one.out_shape, one.groups) == ((1, 9, 9), (2, 7, 7), 1) for one in split[:4])
    assert sum(one.dense_macs for one in split[:4]) == layer.dense_macs


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,9,9,3,3,4,2", "line 2: column 'Strides' is missing, expected Layer name, IFMAP Height"),
        ("a,9,9,3,3,4,2,x", "line 2: column 'Strides' is missing"),
        ("a,9,9,3,3,4,2,# a remark, with a comma", "line 2: column 'Strides': expected an integer"),
        ("a", "line 2: column 'IFMAP Height' is missing"),
        (",9,9,3,3,4,2,1,", "line 2: column 'Layer name' is empty"),
        ("a,9,9,3,3,4,,1,", "line 2: column 'Num Filter': expected an integer from 1 to 16777216, got ''"),
        ("a,0,9,3,3,4,2,1,", "line 2: column 'IFMAP Height': expected an integer from 1 .* got '0'"),
        ("a,9,9,3,3,4,2,-1,", "line 2: column 'Strides': expected an integer from 1 .* got '-1'"),
        ("a,9,9,3,3,4,2.0,1,", "line 2: column 'Num Filter': expected an integer .* got '2.0'"),
        ("a,9,9,3,3,4,٣,1,", "line 2: column 'Num Filter': expected an integer"),
        ("a,9,9,3,3,4,2," + "9" * 5000 + ",", r"line 2: column 'Strides': .* got '9+'\.\.\.$"),
        ("a,9,9,3,3,4,20000000,1,", "line 2: column 'Num Filter': expected an integer from 1 to 16777216"),
        ("a,9,9,10,3,4,2,1,", "line 2: column 'Filter Height': expected at most the input's 9 .* got 10"),
        ("a,9,9,3,10,4,2,1,", "line 2: column 'Filter Width': expected at most the input's 9 .* got 10"),
        ("a,9,9,3,3,4,2,1,5:4,", r"line 2: column 9 \(N:M sparsity\): expected N:M with N from 1 to M"),
        ("a,9,9,3,3,4,2,1,yes,", r"line 2: column 9 \(N:M sparsity\): expected N:M"),
        ("a,9,9,3,3,4,2,1,0,", "line 2: column 'Stride width': expected an integer"),
        ("a,9,9,3,3,4,2,1,1,1,", "line 2: 10 columns, expected Layer name"),
        ("a,16777216,16777216,1,1,16777216,1,1,", "line 2: layer 'a': more than .* MACs"),
        ("DP,9,9,3,3,16777216,2,1,", "line 2: layer 'DP': a size is above 16777216"),
        ('"a,9,9,3,3,4,2,1,', "line 2: column 'IFMAP Height' is missing"),
    ],
)  # fmt: skip
def test_malformed_lines_are_refused(read: Any, tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(CgsimError, match=message) as caught:
        read(CONV + line + "\n")
    assert str(caught.value).startswith(f"{tmp_path / 'net.csv'}: line 2: ")
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,1,2", "line 2: column 'K' is missing"),
        ("a,1,2,3,8,", r"line 2: column 5 \(N:M sparsity\): expected N:M .* got '8'"),
        (f"a,{LARGEST},{LARGEST},{LARGEST},", "line 2: layer 'a': more than .* MACs"),
    ],
)
def test_malformed_gemms_are_refused(read: Any, line: str, message: str) -> None:
    with pytest.raises(CgsimError, match=message):
        read(GEMM + line + "\n")


def test_too_many_channels_to_split(read: Any) -> None:
    with pytest.raises(CgsimError, match="line 2: more than 65536 layers"):
        read(CONV + "DP,9,9,3,3,70000,2,1,\n", split_depthwise=True)


@pytest.mark.parametrize("text", ["", "\n\n", CONV, CONV + "\n\n,,,,\n", b"\xef\xbb\xbf"])
def test_files_without_layers_are_refused(read: Any, text: str) -> None:
    with pytest.raises(CgsimError, match=r"net\.csv: no layers, expected a header line"):
        read(text)


def test_files_that_are_none_are_refused(read: Any, tmp_path: Path) -> None:
    with pytest.raises(CgsimError, match="no such file"):
        read_topology(tmp_path / "none.csv")
    with pytest.raises(CgsimError, match="a folder, expected a topology file"):
        read_topology(tmp_path)
    with pytest.raises(CgsimError, match=r"not UTF-8 text \(byte 0\)"):
        read("Layer,M,N,K,\na,1,2,3,".encode("utf-16"))
    with pytest.raises(CgsimError, match="larger than 16 MiB"):
        read(b" " * (16 << 20) + b"xx")


def test_nothing_is_written_when_a_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(GEMM + "a,1,2,3,\nb,1,2,x,\n")
    with pytest.raises(CgsimError, match="line 3"):
        import_topology(tmp_path / "bad.csv", tmp_path / "bad.trace.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_samples_are_equal(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text(GEMM + "a,1,2,3,\n")
    import_topology(tmp_path / "net.csv", tmp_path / "net.trace.parquet", samples=3)
    assert load_trace(tmp_path / "net.trace.parquet").n_samples == 3
