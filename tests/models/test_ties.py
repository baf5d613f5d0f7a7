"""Layers that have their channels in common."""

from __future__ import annotations

from torch import nn

from cgsim.models import build_network, derive_network
from cgsim.models.ties import outermost, tied_channels
from cgsim.trace.network import INPUT


def sets_of(network):
    found = {}
    for name, tied in tied_channels(network).items():
        found.setdefault(tied, set()).add(name)
    return list(found.values())


def test_a_shortcut_ties_what_it_adds_and_a_depthwise_convolution_what_it_reads():
    model = build_network("mobilenetv2", in_channels=3, classes=4, architecture={"stem_stride": 1})
    network = derive_network(model, (3, 32, 32), "m")
    sets = sets_of(network)
    assert {INPUT} in sets
    assert {"features.0.0", "features.1.conv.0.0"} in sets
    (added,) = (found for found in sets if "features.2.conv.2" in found)
    assert {"features.2.conv.2", "features.3.conv.2"} == {n for n in added if network.by_name[n].on_array}
    (last,) = (found for found in sets if "features.18.0" in found)
    assert [network.by_name[name].operator for name in last if name != "features.18.0"] == ["global_pool"]
    assert outermost(network) == [INPUT, network.layers[-1].name]


def test_other_groups_mix_channels_and_tie_nothing():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 8, 1, groups=4))
    assert all(len(found) == 1 for found in sets_of(derive_network(model, (2, 4, 4), "g")))
