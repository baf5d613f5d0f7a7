"""The mappings that carry Ramulator's names place every address where the policy of that name does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cgsim.dram import ramulator_yaml
from cgsim.dram.counters import RD
from cgsim.dram.mapping import decode_all, mapping
from cgsim.dram.ramulator import controller, drain, serve

CONFIGS = Path(__file__).parents[1] / "data" / "dram" / "configs"


@pytest.mark.parametrize("name", ["RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR"])
def test_ramulators_names(name: str) -> None:
    config = replace(ramulator_yaml.load(CONFIGS / "r_ddr4_2400U_match_mop.yaml"), mapper=name)
    c = controller(config, 5000)
    bursts = np.random.default_rng(1).choice(1 << 27, 300, replace=False)
    for burst in bursts.tolist():
        serve(c, burst * 64, 64, 1, False, -1, 0)
    drain(c)
    reads = c.log[c.log[:, 1] == RD]
    found = sorted(map(tuple, reads[:, 4:8].tolist()))
    expected = decode_all(mapping(name, (0, 0, 2, 2, 16, 7)), bursts)[:, 2:6]
    assert found == sorted(map(tuple, expected.tolist()))
