from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from cgsim.dram.command_log import COLUMNS, read_log, write_log
from cgsim.dram.counters import ACT, PRE, PREA, RD, REF, REFB, WRA
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA

ROWS = [
    (1, ACT, 0, 0, 1, 2, 77, 3, 0),
    (18, RD, 0, 0, 1, 2, 77, 3, 0),
    (30, WRA, 0, 1, 0, 1, 5, 4, 1),
    (90, PRE, 0, 0, 1, 2, 80, 1, 1),
    (95, PREA, 0, 1, -1, -1, -1, -1, -1),
    (120, REF, 0, 1, -1, -1, -1, -1, -1),
    (600, REFB, 0, 0, 3, 3, -1, -1, -1),
]
LOG = np.array(ROWS, np.int64)


def text_of(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()


def test_ours_is_written_and_read(tmp_path):
    write_log(tmp_path / "a.csv", LOG, "default")
    lines = text_of(tmp_path / "a.csv").splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[1] == "1,ACT,0,0,1,2,77,3,0"
    assert np.array_equal(read_log(tmp_path / "a.csv"), LOG)


def test_ramulators_form(tmp_path):
    write_log(tmp_path / "a.csv", LOG, "ramulator2", "DDR4")
    lines = text_of(tmp_path / "a.csv").splitlines()
    assert lines[0] == "clock,command,Channel,Rank,BankGroup,Bank,Row,Column,type,source"
    assert lines[4:8] == [
        "90,PREpb,0,0,1,2,80,1,1,0", "95,PREab,0,1,-1,-1,-1,-1,-1,-1",
        "120,REFab,0,1,-1,-1,-1,-1,-1,-1", "600,REFpb,0,0,3,3,-1,-1,-1,-1",
    ]  # fmt: skip
    assert np.array_equal(read_log(tmp_path / "a.csv"), LOG)
    write_log(tmp_path / "b.csv", LOG, "ramulator2", "HBM2")
    assert text_of(tmp_path / "b.csv").startswith("clock,command,Channel,PseudoChannel,BankGroup,")


def test_lpddr5_has_activates_in_two(tmp_path):
    log = np.array([(1, ACT, *[0] * 7), (2, 9, *[0] * 7), (3, 10, *[0] * 7), (4, 11, *[0] * 7)], np.int64)
    write_log(tmp_path / "a.csv", log, "ramulator2", "LPDDR5")
    names = [line.split(",")[1] for line in text_of(tmp_path / "a.csv").splitlines()[1:]]
    assert names == ["ACT1", "ACT2", "CAS_RD", "CAS_WR"]
    assert np.array_equal(read_log(tmp_path / "a.csv"), log)


def test_dramsims_form(tmp_path):
    write_log(tmp_path / "a.csv.gz", LOG, "dramsim3", "DDR4")
    lines = text_of(tmp_path / "a.csv.gz").splitlines()
    assert lines[0] == "cycle,cmd,rank,bg,bank,row,col"
    assert lines[1] == "1,ACT,0,1,2,77,3"
    assert np.array_equal(read_log(tmp_path / "a.csv.gz")[:, :8], LOG[:, :8])
    far = LOG.copy()
    far[:, 2] = 5
    write_log(tmp_path / "b.csv", far, "dramsim3", "HBM", channels=8)
    assert text_of(tmp_path / "b.csv").splitlines()[1] == "1,ACT,0,1,2,77,3,5"
    assert (read_log(tmp_path / "b.csv")[:, 2] == 5).all()


@pytest.mark.parametrize("name", ["d_hbm2_8Gb_1ch__seq_5000", "r_hbm2_8Gb_2000_preset__seq_5000"])
def test_the_tools_logs_come_back_as_they_were(tmp_path, name):
    path = DATA / "commands" / f"{name}.csv.gz"
    policy = {"d": "dramsim3", "r": "ramulator2"}[name[0]]
    write_log(tmp_path / "a.csv", read_log(path), policy, "HBM2")
    assert text_of(tmp_path / "a.csv") == text_of(path)


def test_lines_may_end_as_on_windows_and_a_log_may_be_empty(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"cycle,cmd,rank,bg,bank,row,col\r\n2,ACT,0,0,0,0,0\r\n")
    assert read_log(tmp_path / "a.csv")[0].tolist() == [2, ACT, 0, 0, 0, 0, 0, 0, -1]
    (tmp_path / "b.csv").write_bytes(b"cycle,cmd,rank,bg,bank,row,col\n")
    assert read_log(tmp_path / "b.csv").shape == (0, 9)


HEAD = "cycle,cmd,rank,bg,bank,row,col\n2,ACT,0,0,0,0,0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not a command log, expected clock,command,"),
        ("a,b\n1,2\n", "line 1: not a command log, expected clock,command,"),
        ("cycle,cmd,rang,bg,bank,row,col\n", "line 1: unknown column 'rang', expected clock,command,"),
        ("cycle,cmd,rank,bg,bank,col\n", "line 1: column 'row' is missing"),
        ("cycle,cmd,rank,bg,bank,row,row\n", "line 1: not a command log"),
        (HEAD + "3,AKT,0,0,0,0,0\n", "line 3: unknown command 'AKT' (did you mean 'ACT'?)"),
        (HEAD + "3,RD,0,0,0,0\n", "line 3: expected 7 values, got 6"),
        (HEAD + "3,RD,0,0,0,0\n4,RD,0,0,0,0,0,0\n", "line 3: expected 7 values, got 6"),
        (HEAD + "3,RD,0,0,0,x,0\n", "line 3: expected a whole number, got 'x'"),
        (HEAD + "3,RD,0,0,0,1.5,0\n", "line 3: expected a whole number, got '1.5'"),
        (HEAD + "3,RD,0,0,0,,0\n", "line 3: expected a whole number, got ''"),
        (HEAD + "3,RD,0,0,0,1-2,0\n", "line 3: expected a whole number, got '1-2'"),
        (HEAD + "\n3,RD,0,0,0,1,0\n", "line 3: expected 7 values, got 1"),
        (HEAD + "RD,RD,0,0,0,1,0\n", "line 3: expected a whole number, got 'RD'"),
        (HEAD + "3,3,0,0,0,1,0\n", "line 3: unknown command '3'"),
        (HEAD + "99999999999999999999,RD,0,0,0,1,0\n", "line 3: expected a whole number"),
        (HEAD + "3,ACT\u00e9,0,0,0,0,0\n", "line 3: unknown command 'ACT\u00e9'"),
    ],
)
def test_a_bad_log_is_told_by_its_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CgsimError, match=re.escape(f"{path}: {message}")):
        read_log(path)


def test_a_log_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(CgsimError, match=r"no\.csv: cannot be read \(No such file or directory\)"):
        read_log(tmp_path / "no.csv")
    path = tmp_path / "cut.csv.gz"
    path.write_bytes((DATA / "commands" / "d_hbm2_8Gb_1ch__seq_5000.csv.gz").read_bytes()[:-100])
    with pytest.raises(CgsimError, match=r"cut\.csv\.gz: damaged gzip file"):
        read_log(path)


def test_a_log_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CgsimError, match="cannot be written"):
        write_log(tmp_path / "file" / "a.csv", LOG, "default")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
