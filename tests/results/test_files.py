from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from cgsim.errors import CgsimError
from cgsim.results import Run, files


def test_saved_run_loads_the_same(run, tmp_path):
    run.save(tmp_path / "a" / "b")
    loaded = Run.load(tmp_path / "a" / "b")
    np.testing.assert_equal(loaded.summary(), run.summary())  # NaN is NaN
    assert loaded.layers.equals(run.layers)
    assert loaded.provenance == run.provenance
    assert loaded.fused == run.fused
    assert loaded.table() == run.table()
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "layers.parquet",
        "summary.json",
    ]


def test_parquet_carries_units_and_provenance(run, tmp_path):
    run.save(tmp_path)
    schema = pq.read_schema(tmp_path / "layers.parquet")
    assert schema.names == list(run.layers.columns)
    assert schema.field("gated_cycles").metadata[b"unit"] == b"cycles"
    assert schema.field("dense_offchip_bytes").metadata[b"unit"] == b"bytes"
    assert all(schema.field(name).metadata[b"description"] for name in schema.names)
    origin = json.loads(schema.metadata[b"cgsim.run"])["provenance"]
    assert origin["hardware"]["name"] == "asic-28nm"
    assert origin["trace"]["checksum"]


def test_summary_file_has_units_and_provenance(run, tmp_path):
    run.save(tmp_path)
    data = json.loads((tmp_path / "summary.json").read_text())
    assert data["summary"]["gated_cycles"] == run.summary()["gated_cycles"]
    assert data["units"]["gated_latency_ms_mean"] == "ms"
    assert data["provenance"]["cgsim"] == "0.1.0"


def test_json_is_valid_and_has_no_nan(run):
    text = files.to_json_text(run.to_json())

    def refuse(name):
        raise AssertionError(name)

    data = json.loads(text, parse_constant=refuse)
    assert len(data["layers"]) == len(run.layers)
    pool = next(row for row in data["layers"] if row["layer"] == "pool")
    assert pool["flop_reduction"] is None
    assert list(data) == ["summary", "confidence", "layers", "units", "provenance", "mapping", "fused"]


def test_interrupted_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "x.json"
    files.write_json(target, {"a": 1})

    def interrupted():
        with files.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_unwritable_folder_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CgsimError) as caught:
        run.save(tmp_path / "file" / "out")
    assert str(caught.value) == f"{tmp_path}/file/out/layers.parquet: cannot be written: Not a directory"


def test_full_disk_is_one_line(tmp_path):
    def full():
        with files.atomic_path(tmp_path / "x"):
            raise OSError(28, "No space left on device")

    with pytest.raises(CgsimError, match="cannot be written: No space left on device"):
        full()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "foreign"])
def test_damaged_results_are_refused(run, tmp_path, damage):
    run.save(tmp_path)
    path = tmp_path / "layers.parquet"
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[200] ^= 0x10
        path.write_bytes(data)
    elif damage == "text":
        path.write_text("hello")
    else:
        import pyarrow as pa

        pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(CgsimError, match=r"layers\.parquet: (damaged|is not a result of cgsim)"):
        Run.load(tmp_path)


def test_missing_result_is_named(tmp_path):
    with pytest.raises(CgsimError, match=r"layers\.parquet: no such file, expected a result"):
        Run.load(tmp_path)


def test_plain_unwraps_numpy_and_infinities():
    value = {"a": np.float64("nan"), "b": [np.int64(3), float("inf")], "c": np.array([1.0, np.nan])}
    assert files.plain(value) == {"a": None, "b": [3, None], "c": [1.0, None]}
