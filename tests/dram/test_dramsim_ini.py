"""Reading DRAMsim3's .ini files: what is told, what is filled in, what is refused."""

from __future__ import annotations

import pytest

from cgsim.dram.dramsim_ini import load, parse
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA

DDR4 = (DATA / "configs" / "d_ddr4_2400_preset.ini").read_text()
HBM = (DATA / "configs" / "d_hbm2_8Gb_preset8ch.ini").read_text()


def test_every_reference_file_is_read():
    files = sorted((DATA / "configs").glob("d_*.ini"))
    assert len(files) == 17
    for file in files:
        config = load(file)
        assert sum(width for _, width in config.fields().values()) == (
            (config.channels * config.ranks * config.bank_groups * config.banks * config.rows).bit_length()
            - 1
            + (config.columns // config.burst_length).bit_length()
            - 1
        )


def test_organisation():
    config = parse(DDR4, "x.ini")
    assert (config.ranks, config.request_bytes, config.devices, config.burst_cycles) == (2, 64, 8, 4)
    assert config.fields() == {
        "co": (0, 7),
        "bg": (7, 2),
        "ba": (9, 2),
        "ra": (11, 1),
        "ch": (12, 0),
        "ro": (12, 16),
    }
    assert "tRFC2" in config.ignored
    hbm = parse(HBM, "x.ini")
    assert (hbm.ranks, hbm.channels, hbm.columns, hbm.hbm_dual_cmd) == (1, 8, 128, True)
    assert {"tRTP": 5, "tRTRS": 2}.items() <= hbm.timing.items()  # the tool's own
    assert {"tRTP", "tRTRS", "refresh_policy"} <= set(hbm.defaulted)


def test_comments_and_spaces():
    text = DDR4.replace("BL = 8", "BL=8 ; burst\n# a line\n; another").replace("[power]", "[ power ]")
    assert parse(text, "x.ini") == parse(DDR4, "x.ini")


CASES = [
    ("tRCD = 17", "", "x.ini: [timing] tRCD is missing"),
    ("tRTP = 9", "", "x.ini: [timing] tRTP is missing"),
    ("VDD = 1.2", "", "x.ini: [power] VDD is missing"),
    ("tRCD = 17", "tRCDX = 17", "[timing] tRCDX: unknown key (did you mean 'tRCD'?)"),
    ("tRCD = 17", "tRCD = fast", "[timing] tRCD: expected a whole number, got 'fast'"),
    ("tRCD = 17", "tRCD = -1", "[timing] tRCD: expected a number that is not negative"),
    ("tRCD = 17", "tRCD = 17\ntRCD = 18", "[timing] tRCD is given twice"),
    ("tRCD = 17", "tRCD 17", "expected key = value, got 'tRCD 17'"),
    ("[timing]", "[timings]", "[timings]: unknown section (did you mean 'timing'?)"),
    ("protocol = DDR4", "protocol = DDR5", "protocol = DDR5: unknown (did you mean"),
    ("protocol = DDR4", "protocol = GDDR5", "protocol = GDDR5 is not implemented"),
    ("PER_BANK", "PER_BANKS", "queue_structure = PER_BANKS: unknown (did you mean 'PER_BANK'?)"),
    ("OPEN_PAGE", "OPEN", "row_buf_policy = OPEN: unknown (did you mean 'OPEN_PAGE'?)"),
    ("RANK_LEVEL_STAGGERED", "NONE", "refresh_policy = NONE: unknown"),
    ("RANK_LEVEL_STAGGERED", "BANK_LEVEL_STAGGERED", "tRFCb is missing"),
    ("rochrababgco", "rochrababgcx", "address_mapping = rochrababgcx: expected"),
    ("cmd_queue_size = 8", "cmd_queue_size = 0", "cmd_queue_size = 0: expected at least 1"),
    ("trans_queue_size = 32", "trans_queue_size = 0", "trans_queue_size = 0: expected at least 1"),
    ("channels = 1", "channels = 3", "channels = 3: expected a power of two"),
    ("channel_size = 16384", "channel_size = 4096", "expected 8192 MiB (the size of a rank) times"),
    ("BL = 8", "BL = 1", "BL = 1: expected 2 to 1024"),
    ("device_width = 8", "device_width = 128", "device_width = 128: wider than bus_width"),
    ("tCCD_L = 6", "tCCD_L = 3", "tCCD_L = 3: expected at least tCCD_S = 4"),
    ("[system]", "[system]\nenable_self_refresh = true", "enable_self_refresh = true is not implemented"),
    ("[system]", "[system]\nunified_queue = maybe", "unified_queue: expected true or false, got 'maybe'"),
    ("[system]", "[system]\nmega_tick = 2", "mega_tick = 2 is not implemented"),
]


@pytest.mark.parametrize(("old", "new", "message"), CASES)
def test_bad_input_is_one_clear_error(old, new, message):
    assert old in DDR4
    with pytest.raises(CgsimError) as error:
        parse(DDR4.replace(old, new), "x.ini")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_line_before_any_section_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CgsimError, match=r"x.ini:1: tCK stands before any \[section\]"):
        parse("tCK = 1", "x.ini")
    with pytest.raises(CgsimError, match="cannot be read"):
        load(tmp_path / "none.ini")


def test_ranks_of_hbm_are_refused():
    with pytest.raises(CgsimError, match="HBM with more than one rank is not implemented"):
        parse(HBM.replace("channel_size = 1024", "channel_size = 2048"), "x.ini")
