"""Energy from IDD currents: against DRAMsim3's counters and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.dram.counters import (
    ACTIVATES,
    ACTIVE_CYCLES,
    BANK_REFRESHES,
    CLOCK,
    COUNTERS,
    IDLE_CYCLES,
    READ_COMMANDS,
    REFRESHES,
    WRITE_COMMANDS,
)
from cgsim.dram.dramsim import controller, drain
from cgsim.dram.energy import PARTS, Currents, clocks_energy, dramsim_currents, energy_pj, mean_power_mw
from tests.conftest import VALIDATE
from tests.dram.test_dramsim import ROWS, reference, replay

SAMPLE = ROWS if VALIDATE else [row for row in ROWS if int(row["n"]) <= 200_000][1::6]
CURRENTS = Currents(1.2, 48, 34, 43, 135, 123, 250, 8, 39, 17, 420, 4, 0.83)


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: f"{row['config']}-{row['trace']}")
def test_energy_is_the_tools(row):
    config, requests = reference(row)
    c = controller(config)
    replay(c, requests)
    drain(c)
    currents = dramsim_currents(
        config.power, config.timing, config.devices, config.burst_cycles, config.tck_ns
    )
    found, tck = energy_pj(currents, c.counts), config.tck_ns
    for part, column in (("activate", "act_E"), ("read", "rd_E"), ("write", "wr_E"), ("refresh", "ref_E")):
        assert found[part] / tck == pytest.approx(float(row[column]), rel=1e-12)
    assert found["total"] / tck == pytest.approx(float(row["energy_VmAcyc"]), rel=1e-12)
    assert found["total"] / 1e6 == pytest.approx(float(row["energy_uJ"]), abs=6e-4)
    assert mean_power_mw(currents, c.counts) == pytest.approx(float(row["avg_power_mW"]), abs=0.006)


def test_energy_by_hand():
    """DDR4-2400 x8, a rank of 8: volts, mA and ns give pJ."""
    counts = np.zeros(COUNTERS, np.int64)
    counts[[ACTIVATES, READ_COMMANDS, WRITE_COMMANDS, REFRESHES]] = 2, 3, 5, 7
    counts[[ACTIVE_CYCLES, IDLE_CYCLES, CLOCK]] = 1000, 200, 1200
    found = energy_pj(CURRENTS, counts)
    assert found["activate"] == pytest.approx(2 * 1.2 * (48 * 56 - (43 * 39 + 34 * 17)) * 0.83 * 8)
    assert found["read"] == pytest.approx(3 * 1.2 * (135 - 43) * 4 * 0.83 * 8)
    assert found["write"] == pytest.approx(5 * 1.2 * (123 - 43) * 4 * 0.83 * 8)
    assert found["refresh"] == pytest.approx(7 * 1.2 * (250 - 43) * 420 * 0.83 * 8)
    assert found["active"] == pytest.approx(1000 * 1.2 * 43 * 0.83 * 8)
    assert found["idle"] == pytest.approx(200 * 1.2 * 34 * 0.83 * 8)
    assert found["total"] == pytest.approx(sum(found[part] for part in PARTS))
    assert mean_power_mw(CURRENTS, counts) == pytest.approx(found["total"] / (1200 * 0.83))


def test_what_is_not_known_is_not_guessed():
    """Bank refreshes without their current have no energy, rather than a wrong one."""
    counts = np.zeros(COUNTERS, np.int64)
    assert energy_pj(CURRENTS, counts)["total"] == 0
    assert mean_power_mw(CURRENTS, counts) == 0
    counts[BANK_REFRESHES] = 1
    assert np.isnan(energy_pj(CURRENTS, counts)["total"])
    assert np.isnan(clocks_energy(CURRENTS)[PARTS.index("bank_refresh")])
