"""Standards hold what the tools' presets hold; mappings are one to one and mean what their names say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cgsim.dram.mapping import decode_all, mapping
from cgsim.dram.settings import MAPPINGS
from cgsim.dram.standards import STANDARDS, standard
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA

PRESETS = json.loads((DATA / "timing.json").read_text())
SAME = {"nCL": "cl", "nCWL": "cwl", "nRP": "rp", "nRAS": "ras", "nRC": "rc", "nCCDS": "ccds", "nCCDL": "ccdl"}
SAME |= {"nRRDS": "rrds", "nRRDL": "rrdl", "nFAW": "faw", "nRFC": "rfc", "nREFI": "refi", "tCK_ps": "tck_ps"}
SAME |= {
    "nBL": "burst",
    "nBL_min": "burst",
    "nBL_max": "burst_max",
    "nRTP": "rtp",
    "nRTPL": "rtp",
    "nPPD": "ppd",
}
SAME |= {"nRCDRD": "rcdr", "nRCDWR": "rcdw", "nRCD": "rcdr", "nRFCpb": "rfcpb", "nRPab": "rpab"}
LPDDR = {"nWR": "wr", "nWTRS": "wtrs", "nWTRL": "wtrl"}
TDQSS = 1


@pytest.mark.parametrize("name", ["DDR4-2400", "DDR4-3200", "HBM2-2000", "LPDDR5-6400"])
def test_ramulators_presets(name: str) -> None:
    preset, own = PRESETS[name], STANDARDS[name]
    for theirs, ours in SAME.items():
        if theirs in preset["timing"]:
            assert getattr(own, ours) == preset["timing"][theirs], theirs
    for theirs, ours in LPDDR.items():
        assert getattr(own, ours) == preset["timing"][theirs] + TDQSS * name.startswith("LPDDR"), theirs
    organization = preset["organization"]
    assert (own.groups, own.banks) == (organization["bankgroup"], organization["bank"])
    assert own.rows == organization["row"]
    assert own.columns == organization["column"] // preset["prefetch"]
    assert own.request_bytes == preset["prefetch"] * preset["width"] // 8
    assert preset["preset"].split("@")[0] in own.source


def test_dramsims_preset() -> None:
    timing, own = PRESETS["LPDDR4-2400"]["timing"], STANDARDS["LPDDR4-2400"]
    for theirs, ours in (("CL", "cl"), ("CWL", "cwl"), ("tRCD", "rcdr"), ("tRP", "rp"), ("tRAS", "ras")):
        assert getattr(own, ours) == timing[theirs]
    for theirs, ours in (
        ("tRFC", "rfc"),
        ("tREFI", "refi"),
        ("tFAW", "faw"),
        ("tRTP", "rtp"),
        ("tPPD", "ppd"),
    ):
        assert getattr(own, ours) == timing[theirs]
    assert (own.wr, own.wtrs, own.wtrl) == tuple(timing[key] + TDQSS for key in ("tWR", "tWTR_S", "tWTR_L"))
    assert own.tck_ps == 1000 * timing["tCK"]


def test_an_unknown_standard() -> None:
    with pytest.raises(CgsimError, match="did you mean 'HBM2-2000'"):
        standard("HBM2-200")


@pytest.mark.parametrize(
    "bits", [(1, 1, 2, 2, 4, 4), (0, 0, 2, 2, 4, 3), (2, 1, 1, 2, 4, 3), (0, 1, 0, 0, 3, 2)]
)
def test_mappings_are_one_to_one(bits: tuple[int, int, int, int, int, int]) -> None:
    every = np.arange(1 << sum(bits))
    for name in MAPPINGS[:100]:
        fields = decode_all(mapping(name, bits), every)
        assert (fields < 1 << np.array(bits)).all(), name
        assert len(np.unique(fields, axis=0)) == len(every), name


def test_letters_are_the_highest_bits_first() -> None:
    fields = decode_all(mapping("rochrababgco", (1, 1, 2, 2, 4, 3)), np.array([1, 8, 32, 128, 256, 512]))
    assert fields.tolist() == np.eye(6, dtype=int)[[5, 2, 3, 1, 0, 4]].tolist()


def test_streaming_neighbours_are_in_other_channels_and_groups() -> None:
    fields = decode_all(mapping("streaming", (1, 0, 2, 2, 14, 7)), np.arange(16))
    assert (fields[:, 0] == np.arange(16) % 2).all()
    assert (fields[:, 2] == np.arange(16) // 2 % 4).all()
