"""Damaged, foreign and hostile files: one clear error, never a wrong number."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cgsim.errors import CgsimError
from cgsim.trace import check_trace, layout, load_trace, tiny_network
from tests.conftest import VALIDATE

if TYPE_CHECKING:
    from pathlib import Path


def everything(path: Path) -> Any:
    """All that can be read of a trace."""
    trace = load_trace(path)
    gates = {layer.name: trace.packed(layer.name).tobytes() for layer in trace.gated_layers}
    return trace.network, trace.metadata, trace.samples, trace.checksum, trace.layer_checksums, gates


def test_truncated_at_any_byte(tiny: Path, tmp_path: Path) -> None:
    data, cut = tiny.read_bytes(), tmp_path / "cut.trace.parquet"
    cut.write_bytes(data)
    for size in range(len(data) - 1, -1, -1):
        os.truncate(cut, size)
        with pytest.raises(CgsimError, match=r"^\S*cut\.trace\.parquet: [^\n]+$"):
            load_trace(cut)


def test_a_flipped_bit_anywhere(tiny: Path, tmp_path: Path) -> None:
    """Every bit, or seeded ones (two per byte of rows, one per byte of the footer): refused, or no change."""
    data, bad, good = tiny.read_bytes(), tmp_path / "bad.trace.parquet", everything(tiny)
    rng = random.Random(0)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    places = [(at, bit) for at in range(footer) for bit in rng.sample(range(8), 2)]
    places += [(at, rng.randrange(8)) for at in range(footer, len(data))]
    if VALIDATE:
        places = [(at, bit) for at in range(len(data)) for bit in range(8)]
    same = 0
    bad.write_bytes(data)
    for at, bit in places:
        with open(bad, "rb+") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit]))
        try:
            found = everything(bad)
        except CgsimError as error:
            message = str(error)
            assert message.startswith(f"{bad}: ")
            assert "\n" not in message
        else:
            assert found == good, f"byte {at}, bit {bit}: different content"
            assert at < footer
            same += 1
        with open(bad, "rb+") as file:
            file.seek(at)
            file.write(data[at : at + 1])
    assert same < 0.05 * len(places)


def test_bytes_swapped_between_files_are_seen(tools: Any, tmp_path: Path) -> None:
    """Right pages, wrong trace: the rows of one file under the description of another."""
    network = tiny_network(size=5)
    first = tools.write(tmp_path / "a", network, tools.gates(network, 3, seed=1), 3)
    second = tools.write(tmp_path / "b", network, tools.gates(network, 3, seed=2), 3)
    rows = pq.ParquetFile(second, read_dictionary=["layer"]).read()
    mixed = tools.rewrite(first, tmp_path / "c", table=rows)
    with pytest.raises(CgsimError, match=r"c: layer 'a': .*checksum of the layer"):
        load_trace(mixed)


def test_gates_that_do_not_fit_their_digest(tools: Any, tiny: Path, tmp_path: Path) -> None:
    rows = pq.ParquetFile(tiny, read_dictionary=["layer"]).read_row_groups([0, 1])
    gates = rows.column("gates").to_pylist()
    gates[1] = bytes(len(gates[1]))
    table = rows.set_column(2, rows.schema.field("gates"), pa.array(gates))
    bad = tmp_path / "bad"
    tools.rewrite(tiny, bad, table=table)
    trace = load_trace(bad)
    with pytest.raises(CgsimError, match="bad: layer 'a': the gates of sample 1 are damaged"):
        trace.gates("b")
    trace.gates("a", [2])
    with pytest.raises(CgsimError, match="damaged"):
        check_trace(bad)


def set_shape(data: dict[str, Any]) -> None:
    data["network"]["layers"][1]["out_shape"] = [8, 5, 6]


def wider(data: dict[str, Any]) -> None:
    for layer in data["network"]["layers"]:
        if layer["name"] in ("conv1", "a", "b", "add", "global_pool"):
            layer["in_shape"][1:] = [6, 6]
            layer["out_shape"][1:] = [6, 6] if layer["name"] != "global_pool" else [1, 1]


def huge(data: dict[str, Any]) -> None:
    for layer in data["network"]["layers"][:4]:
        layer["in_shape"][1:] = [1 << 20, 1 << 20]
        layer["out_shape"][1:] = [1 << 20, 1 << 20]
    data["network"]["layers"][4]["in_shape"][1:] = [1 << 20, 1 << 20]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(format_version=2), r"version 2 cannot be read; readable: 1"),
        (lambda d: d.update(format_version="1"), r"readable: 1"),
        (lambda d: d.update(format_version=True), r"readable: 1"),
        (set_shape, r"layer 'a': out_shape \[8, 5, 6\] contradicts"),
        (wider, r"layer 'a': 32 bytes of gates|layer 'a'.*contradict its shape"),
        (huge, r"row group 0 would hold"),
        (lambda d: d["network"]["layers"][2].update(producers=["aa"]), r"layer 'b': producer 'aa'"),
        (lambda d: d["network"]["layers"][2].update(kernel=[3.0, 3]), r"layer 'b': key 'kernel'"),
        (lambda d: d["network"]["layers"][2].update(colour=1), r"layer 'b': unknown key 'colour'"),
        (lambda d: d["network"]["layers"][2].update(gate="none", base_channels=0, base_groups=1),
         r"'layer_checksums'"),
        (lambda d: d["samples"].pop(), r"6 rows .* expected 4"),
        (lambda d: d["samples"].append(["x", None, None]), r"6 rows .* expected 8"),
        (lambda d: d["samples"].clear(), r"'samples'"),
        (lambda d: d["samples"].__setitem__(0, d["samples"][1]), r"twice"),
        (lambda d: d["samples"].__setitem__(0, ["x", "cat", None]), r"sample 'x': 'label'"),
        (lambda d: d["samples"].__setitem__(0, {}), r"sample"),
        (lambda d: d["metadata"].update(method="magic"), r"method 'magic'"),
        (lambda d: d["metadata"].update(seed="0"), r"'seed'"),
        (lambda d: d["metadata"].pop("split"), r"'split' is missing"),
        (lambda d: d["metadata"].update(extra=1), r"'extra'"),
        (lambda d: d["metadata"].update(accuracy_gated=float("nan")), r"NaN"),
        (lambda d: d.update(static={"a": "00"}), r"'static'"),
        (lambda d: d.pop("static"), r"'static'"),
        (lambda d: d["layer_checksums"].update(b="0" * 32), r"layer 'b': .*checksum of the layer"),
        (lambda d: d.update(network=7), r"network"),
    ],
)  # fmt: skip
def test_descriptions_that_contradict(
    tools: Any, tiny: Path, tmp_path: Path, edit: Any, message: str
) -> None:
    """Every checksum is right, the content is not."""
    try:
        bad = tools.rewrite(tiny, tmp_path / "bad", edit)
    except CgsimError:  # the canonical form refuses NaN; write the file without a content checksum
        bad = tools.rewrite(tiny, tmp_path / "bad", edit, content=False)
    with pytest.raises(CgsimError, match=message) as caught:
        everything(bad)
    assert str(caught.value).startswith(f"{bad}: ")
    assert "\n" not in str(caught.value)


def test_content_checksum_is_verified(tools: Any, tiny: Path, tmp_path: Path) -> None:
    bad = tools.rewrite(tiny, tmp_path / "bad", lambda d: d.update(content="0" * 64), content=False)
    with pytest.raises(CgsimError, match="'content' differs"):
        load_trace(bad)


def test_static_gates_are_verified(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    good = tools.write(tmp_path / "good", network, tools.gates(network, 2), 2)
    for text, message in (
        ("0000", "'stat'.*checksum"),
        ("00", "'stat'.*13 output channels"),
        ("zzzz", "damaged"),
        (5, "'stat'"),
    ):
        bad = tools.rewrite(good, tmp_path / "bad", lambda d, text=text: d.update(static={"stat": text}))
        with pytest.raises(CgsimError, match=message):
            load_trace(bad)


def test_padding_bits_are_verified(tools: Any, tiny: Path, tmp_path: Path) -> None:
    """Digests and layer checksums are right for rows whose padding is set."""
    file = pq.ParquetFile(tiny, read_dictionary=["layer"])
    table = file.read_row_groups([0, 1])
    rows = table.to_pylist()
    assert [row["layer"] for row in rows] == ["a", "a", "b", "b", "a", "b"]
    damaged = bytearray(rows[2]["gates"])
    damaged[3] |= 0x80
    rows[2]["gates"] = bytes(damaged)
    rows[2]["digest"] = layout.row_digest(0, "b", rows[2]["gates"])
    hasher = layout.layer_hasher()
    for i in (2, 3, 5):
        hasher.update(rows[i]["digest"])
    one_group = pa.Table.from_pylist([rows[i] for i in (0, 1, 4, 2, 3, 5)], schema=layout.schema())
    bad = tools.rewrite(
        tiny,
        tmp_path / "bad",
        lambda d: d["layer_checksums"].update(b=hasher.hexdigest()),
        table=one_group,
        groups=[6],
    )
    with pytest.raises(CgsimError, match="layer 'b': padding bits must be zero"):
        load_trace(bad).gates("b")


@pytest.mark.parametrize(
    "order", [(1, 0, 2, 3, 4, 5), (0, 0, 2, 3, 4, 5), (3, 4, 5, 0, 1, 2), (0, 1, 3, 2, 4, 5)]
)
def test_rows_out_of_order_or_doubled(tools: Any, tiny: Path, tmp_path: Path, order: tuple[int, ...]) -> None:
    rows = pq.ParquetFile(tiny, read_dictionary=["layer"]).read().to_pylist()
    rows = [rows[i] for i in (0, 1, 4, 2, 3, 5)]
    table = pa.Table.from_pylist([rows[i] for i in range(6)], schema=layout.schema())
    good = tools.rewrite(tiny, tmp_path / "good", table=table, groups=[6])
    assert everything(good) == everything(tiny)
    table = pa.Table.from_pylist([rows[i] for i in order], schema=layout.schema())
    bad = tools.rewrite(tiny, tmp_path / "bad", table=table, groups=[6])
    with pytest.raises(CgsimError, match=r"layer '[ab]': rows are missing, doubled or out of order"):
        load_trace(bad)


def test_foreign_files(tiny: Path, tmp_path: Path, tools: Any) -> None:
    foreign = tmp_path / "foreign"
    pd.DataFrame({"sample": [1], "layer": ["a"]}).to_parquet(foreign)
    with pytest.raises(CgsimError, match=r"foreign: not a trace"):
        load_trace(foreign)
    for content in (b"", b"PAR1", b"PAR1PAR1", b"x" * 100, b"PAR1" + b"\xff" * 40 + b"\xff\xff\xff\x7fPAR1"):
        foreign.write_bytes(content)
        with pytest.raises(CgsimError, match=r"foreign: not a trace"):
            load_trace(foreign)
    with pytest.raises(CgsimError, match="no such file"):
        load_trace(tmp_path / "nothing")
    with pytest.raises(CgsimError, match="directory"):
        load_trace(tmp_path)
    wrong = pa.table({"sample": [1.5], "layer": ["a"], "gates": [b""], "digest": [b"12345678"]})
    bad = tools.rewrite(tiny, tmp_path / "bad", table=wrong, groups=[1])
    with pytest.raises(CgsimError, match=r"columns must be sample int32"):
        load_trace(bad)


def test_deep_json_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: Any
) -> None:
    import json

    deep = "[" * 200_000 + "]" * 200_000
    monkeypatch.setattr(json, "dumps", lambda *_, **__: deep)
    bad = tools.rewrite(tiny, tmp_path / "bad", content=False)
    monkeypatch.undo()
    with pytest.raises(CgsimError, match="bad: not a trace, or damaged"):
        load_trace(bad)


def test_check_compares_the_flop_reduction(tools: Any, tiny: Path, tmp_path: Path) -> None:
    assert check_trace(tiny)["samples"] == 3
    for value in (2.0, None):
        bad = tools.rewrite(tiny, tmp_path / "bad", lambda d, v=value: d["metadata"].update(flop_reduction=v),
                            table=one_group(tiny), groups=[6])  # fmt: skip
        load_trace(bad)
        with pytest.raises(CgsimError, match="'flop_reduction'"):
            check_trace(bad)


def one_group(path: Path) -> pa.Table:
    """The rows of the trace `tiny` as one row group."""
    rows = pq.ParquetFile(path, read_dictionary=["layer"]).read().to_pylist()
    order = np.argsort([row["layer"] for row in rows], kind="stable")
    return pa.Table.from_pylist([rows[i] for i in order], schema=layout.schema())
