"""Mixture-of-Depths: the rule on single values, networks, recording, training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cgsim import CgsimError
from cgsim.models import Recipe, build_network, derive_network, record, train
from cgsim.models.evaluation import Normalize
from cgsim.models.layers.mixture_of_depths import (
    ChannelGather,
    ChannelSelector,
    MixtureOfDepthsBlock,
    picked_channels,
)
from cgsim.models.methods import make_method
from cgsim.trace.check import check_trace
from tests.models.conftest import synthetic

NAME = "mixture-of-depths"


class Doubled(nn.Module):
    """A residual block whose branch is easy to tell."""

    def branch(self, x):
        return 2 * x + 1


def build(network="resnet8", **gating):
    torch.manual_seed(0)
    architecture = {"width": 8} if network == "resnet14" else {}
    return build_network(
        network, NAME, in_channels=1, classes=4, gating=gating, architecture=architecture
    ).eval()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_rule_value_by_value(layout):
    torch.manual_seed(1)
    block = MixtureOfDepthsBlock(12, 5, Doubled(), ratio=3).eval()
    x = torch.randn(4, 12, 3, 2).contiguous(memory_format=layout)
    with torch.no_grad():
        y = block(x)
        hidden = torch.relu(block.selector.fc1(x.mean((2, 3))))
        scores = torch.sigmoid(block.selector.fc2(hidden)).numpy()
    expected = x.numpy().copy()
    for sample in range(4):
        picks = sorted(np.argsort(-scores[sample])[:5])
        for place, channel in enumerate(picks):
            h = (2 * x[sample, channel].numpy() + 1) * scores[sample, channel]
            expected[sample, place] = x[sample, place].numpy() + h
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert np.array_equal(y[:, 5:].numpy(), x[:, 5:].numpy())


def test_equal_scores_pick_the_lower_channels():
    scores = torch.tensor([[0.5, 0.7, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.9, 0.5]])
    assert picked_channels(scores, 3).tolist() == [[0, 1, 2], [0, 1, 3]]
    assert ChannelGather(5, 3).gates(scores).int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 1, 0]]


def test_the_selector_learns_through_the_scores_of_its_picks():
    """The gradient of a score is the branch's value that it scales; a channel not picked has none."""
    block = MixtureOfDepthsBlock(6, 2, Doubled(), ratio=1)
    x = torch.randn(1, 6, 1, 1)
    scores = block.selector(x).detach().requires_grad_()
    h = block.block.branch(block.gather(x, scores))
    block.fuse(x, h, scores).sum().backward()
    picks = picked_channels(scores, 2)[0]
    assert scores.grad[0, picks].tolist() == pytest.approx(h.flatten().tolist())
    others = [channel for channel in range(6) if channel not in picks]
    assert not scores.grad[0, others].any()


def test_stages_begin_with_a_standard_block_and_take_turns():
    model = build("resnet20", divisor=4)
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        kinds = [isinstance(block, MixtureOfDepthsBlock) for block in model.get_submodule(f"layer{stage}")]
        assert kinds == [False, True, False]
        block = model.get_submodule(f"layer{stage}.1")
        assert (block.k, block.block.conv1.in_channels) == (channels // 4, channels // 4)
    every_third = build("resnet20", divisor=4, period=3).layer2
    assert [isinstance(block, MixtureOfDepthsBlock) for block in every_third] == [False, True, True]


def test_a_standard_block_has_the_ungated_networks_names():
    """So that a run can begin with an ungated network's weights (--init)."""
    base = build_network("resnet20", in_channels=1, classes=4).state_dict()
    mixed = build("resnet20").state_dict()
    same = {name for name in base if name in mixed and base[name].shape == mixed[name].shape}
    missing = {name for name in base if name not in same}
    assert all(".1." in name for name in missing)
    assert {name.rsplit(".", 2)[0] for name in missing} == {f"layer{stage}.1" for stage in (1, 2, 3)}


def test_macs_by_hand():
    """ResNet-14 of width 8 at 8 x 8: a block of k = C / 4 has a sixteenth of the products, and a selector."""
    plain = build_network("resnet14", in_channels=1, classes=4, architecture={"width": 8})
    dense = derive_network(plain, (1, 8, 8), "plain").dense_macs
    with torch.device("meta"):
        network = derive_network(build("resnet14", divisor=4, ratio=4), (1, 8, 8), "mixture")
    blocks = [2 * 9 * c * c * size**2 for c, size in ((8, 8), (16, 4), (32, 2))]
    assert network.dense_macs == dense - sum(blocks) * 15 // 16
    selectors = [layer for layer in network.layers if layer.operator == "gate_network"]
    assert [layer.gate_network_macs for layer in selectors] == [2 * c * c // 4 for c in (8, 16, 32)]
    assert ChannelSelector(8, 16).macs == 2 * 8


def test_a_trace_holds_the_picks_of_every_sample(tmp_path):
    model = build("resnet14", divisor=4)
    normalize = Normalize((0.3,), (0.3,))
    data = synthetic(6, "test", 3)
    trace = record(model, data, tmp_path / "t.trace.parquet", method=NAME, normalize=normalize, verify="all")
    assert check_trace(trace.path)["samples"] == 6
    operators = [layer.operator for layer in trace.network.layers if layer.name.startswith("layer1.1")]
    assert operators == ["global_pool", "gate_network", "gather", "conv2d", "conv2d", "add"]
    seen = {}
    block = model.layer1[1]
    block.selector.register_forward_hook(lambda _module, _inputs, output: seen.update(scores=output))
    with torch.no_grad():
        model(normalize(data.images))
    expected = np.zeros((6, 8), bool)
    np.put_along_axis(expected, picked_channels(seen["scores"], 2).numpy(), True, axis=1)
    assert np.array_equal(trace.bits("layer1.1.gather"), expected)
    assert trace.network.by_name["layer1.1.fuse"].producers == ("layer1.0.add", "layer1.1.block.conv2")


@pytest.mark.parametrize("order", ["before_add", "after_add"])
def test_what_stands_behind_the_addition_stays_there(order):
    """In the original order a ReLU follows the sum: its result is never negative, and a trace can be made."""
    architecture = {"order": order}
    model = build_network("resnet14", NAME, in_channels=1, classes=4, architecture=architecture).eval()
    x = torch.randn(2, 16, 4, 4)
    with torch.no_grad():
        lowest = float(model.layer1[1](x).min())
    assert (lowest >= 0) == (order == "after_add")
    assert derive_network(model, (1, 8, 8), "net").by_name["layer1.1.fuse"].operator == "add"


def test_training_improves_and_reports_the_reduction(tmp_path, dataset):
    recipe = Recipe(
        method=NAME, epochs=6, batch_size=16, rate=0.1, crop_padding=0, flip=False, gating={"divisor": 4}
    )
    result = train(
        data=dataset, output=tmp_path / "run", method=NAME, network="resnet14", recipe=recipe, progress=False
    )
    assert result.accuracy > 0.6
    assert 1.6 < result.flop_reduction < 2.1


@pytest.mark.parametrize(
    ("gating", "message"),
    [
        (
            {"divisor": 32},
            "method 'mixture-of-depths': gating: divisor 32 leaves none of the 16 channels of a block, "
            "expected 1 to 16",
        ),
        ({"divisor": 0}, "gating: divisor must be 1 or more, got 0"),
        ({"ratio": 0}, "gating: ratio must be 1 or more, got 0"),
        ({"period": 1}, "gating: period must be 2 or more, got 1"),
        ({"divisors": 2}, "unknown key 'divisors' (did you mean 'divisor'?)"),
    ],
)
def test_bad_settings(gating, message):
    with pytest.raises(CgsimError) as error:
        build_network("resnet14", make_method(NAME, gating), in_channels=1, classes=4)
    assert message in str(error.value)


def test_k_larger_than_the_channels():
    with pytest.raises(CgsimError, match="k is 9, expected 1 to 8, its input's channels"):
        MixtureOfDepthsBlock(8, 9, Doubled())
    with pytest.raises(CgsimError, match="ratio must be 1 or more, got 0"):
        MixtureOfDepthsBlock(8, 8, Doubled(), ratio=0)
