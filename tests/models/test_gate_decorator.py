from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cgsim import CgsimError
from cgsim.models import Recipe, build_network, checkpoint, load_model, load_recipe, train
from cgsim.models.graph import derive_network
from cgsim.models.layers.gated_norm import MOST_SHIFT, GatedBatchNorm2d, PrunableConv2d, gated_norms
from cgsim.models.methods import make_method
from cgsim.models.pruning import executed_macs, find_groups, masks_of, prune_step
from cgsim.models.trainer import Trainer
from tests.models.pruned import decorated, norm_of, prune_at_random, ungated

VALUES = st.one_of(
    st.just(0.0), st.floats(-3, 3, width=32), st.sampled_from([1e-6, -1e-6, 1e-30, -1e-30, 1e-3])
)


def pair(channels: int = 3, **options) -> tuple[PrunableConv2d, GatedBatchNorm2d]:
    conv = PrunableConv2d(nn.Conv2d(2, channels, 3, bias=False, **options))
    return conv, GatedBatchNorm2d(nn.BatchNorm2d(channels), conv)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
def test_a_gated_norm_computes_what_the_batch_norm_did_for_any_gamma_and_beta(values):
    gamma, beta = torch.tensor(values).T
    _conv, gated = pair(len(gamma))
    plain = nn.BatchNorm2d(len(gamma))
    with torch.no_grad():
        for norm in (gated, plain):
            norm.weight.copy_(gamma)
            norm.bias.copy_(beta)
    gated.decorate()
    scale, shift = gated.affine()
    torch.testing.assert_close(scale, gamma, rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(shift, beta, rtol=1e-5, atol=1e-12)
    # No gradient grows beyond the size that the paper's cut at +-10 leaves.
    assert gated.bias.abs().max() <= MOST_SHIFT * 1.0001
    assert gated.gain.abs().max() <= 1.0001
    x = torch.randn(4, len(gamma), 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gated(x), plain(x), rtol=1e-4, atol=1e-5)
    assert gated.num_batches_tracked == plain.num_batches_tracked == 1
    torch.testing.assert_close(gated.running_var, plain.running_var)
    torch.testing.assert_close(gated.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-5)


def test_phi_starts_at_gamma_where_beta_is_not_far_larger():
    _conv, gated = pair(3)
    with torch.no_grad():
        gated.weight.copy_(torch.tensor([0.5, -2.0, 0.01]))
        gated.bias.copy_(torch.tensor([1.0, 3.0, 1.0]))
    gated.decorate()
    assert gated.weight.tolist() == pytest.approx([0.5, -2.0, 0.1])
    assert gated.bias.tolist() == pytest.approx([2.0, -1.5, 10.0])
    assert gated.gain.tolist() == pytest.approx([1.0, 1.0, 0.1])


def test_the_score_is_what_the_loss_would_change_to_first_order():
    torch.manual_seed(1)
    conv, gated = pair(3)
    with torch.no_grad():
        gated.weight.copy_(torch.tensor([0.5, -2.0, 0.01]))
        gated.bias.copy_(torch.tensor([1.0, 0.3, 1.0]))
    gated.decorate()
    expected = torch.zeros(3)
    for _batch in range(2):
        gated.weight.grad = None
        y = gated(conv(torch.randn(4, 2, 6, 6)))
        y.retain_grad()
        (y.sin() * torch.randn(y.shape)).sum().backward()
        gated.tally()
        expected += (y * y.grad).sum((0, 2, 3)).abs()
    torch.testing.assert_close(gated.score, expected.detach(), rtol=1e-4, atol=1e-4)
    gated.clear()
    assert not gated.score.any()


def test_a_pruned_filter_is_zero_and_never_comes_back():
    torch.manual_seed(0)
    conv, gated = pair(4)
    with torch.no_grad():
        gated.bias.fill_(0.7)
    gated.prune([1, 3])
    optimizer = torch.optim.SGD([*conv.parameters(), *gated.parameters()], 0.1, 0.9, weight_decay=0.01)
    for _step in range(3):
        optimizer.zero_grad()
        y = gated(conv(torch.randn(2, 2, 5, 5)))
        (y - 1).square().sum().backward()
        optimizer.step()
    assert not y[:, [1, 3]].any()
    assert (y[:, [0, 2]] != 0).any()
    assert not conv.weight[[1, 3]].any()
    assert not gated.weight[[1, 3]].any()
    assert not gated.bias[[1, 3]].any()
    # Even weights that come from elsewhere stay off.
    with torch.no_grad():
        conv.weight.fill_(1.0)
        gated.weight.fill_(1.0)
        gated.bias.fill_(1.0)
    assert not gated.eval()(conv(torch.randn(2, 2, 5, 5)))[:, [1, 3]].any()
    assert conv.mask.tolist() == [True, False, True, False]


def test_the_network_is_the_ungated_one_until_something_is_pruned():
    plain, model = ungated("resnet14"), decorated("resnet14")
    x = torch.randn(3, 1, 12, 12)
    torch.testing.assert_close(model(x), plain(x), rtol=1e-4, atol=1e-4)
    layers = derive_network(model, (1, 12, 12), "resnet14").layers
    assert {layer.gate for layer in layers if layer.operator == "conv2d"} == {"static"}
    assert {layer.off_outputs for layer in layers} == {"zero"}


def groups_of(network: str, image=(3, 16, 16), **architecture) -> list[set[str]]:
    method = make_method("gate-decorator")
    model = build_network(network, method, in_channels=image[0], classes=4, architecture=architecture)
    found = derive_network(model, image, network)
    return [set(group.layers) for group in find_groups(found, set(masks_of(model)))]


def test_groups_of_a_residual_network_are_its_shortcuts():
    groups = groups_of("resnet14")
    assert {"conv1", "layer1.0.conv2", "layer1.1.conv2"} in groups
    assert {"layer2.0.conv2", "layer2.0.shortcut", "layer2.1.conv2"} in groups
    assert {"layer3.0.conv2", "layer3.0.shortcut", "layer3.1.conv2"} in groups
    single = {name for group in groups if len(group) == 1 for name in group}
    assert single == {f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1)}
    assert groups_of("resnet14", order="after_add") == groups


def test_groups_of_bottlenecks_hold_only_what_is_added():
    groups = groups_of("resnet50", (3, 32, 32))
    assert {"layer1.0.conv3", "layer1.0.downsample.0", "layer1.1.conv3", "layer1.2.conv3"} in groups
    assert {"conv1"} in groups
    assert {"layer1.0.conv1"} in groups
    assert sum(len(group) for group in groups) == 53  # every convolution is in one group


def test_a_depthwise_convolution_goes_with_the_channels_that_it_reads():
    groups = groups_of("mobilenetv2", (3, 32, 32), stem_stride=1)
    assert {"features.0.0", "features.1.conv.0.0"} in groups
    assert {"features.2.conv.0.0", "features.2.conv.1.0"} in groups
    assert {"features.2.conv.2", "features.3.conv.2"} in groups
    assert {"features.18.0"} in groups
    assert sum(len(group) for group in groups) == 52


def test_vgg_has_no_groups_of_more_than_one():
    groups = groups_of("vgg16-cifar", (3, 16, 16), width=8)
    assert len(groups) == 13
    assert all(len(group) == 1 for group in groups)


def test_channels_that_do_not_stay_zero_are_not_for_pruning():
    assert groups_of("resnet8", activation="sigmoid") == []
    assert len(groups_of("resnet8", activation="tanh")) == 6


def test_a_grouped_convolution_is_refused():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 2, 1))
    network = derive_network(model, (2, 4, 4), "grouped")
    with pytest.raises(CgsimError) as caught:
        find_groups(network, {"0", "1"})
    assert str(caught.value) == "layer '1': 2 groups; only depthwise convolutions can be pruned"


def test_results_and_channels_of_layers_without_score_are_not_for_pruning():
    model = nn.Sequential(*(nn.Conv2d(2, 2, 1) for _layer in range(3)))
    network = derive_network(model, (2, 4, 4), "plain")
    assert [group.layers for group in find_groups(network, {"0", "2"})] == [("0",)]


def test_filters_of_the_least_sum_over_their_group_go_first():
    model = decorated("resnet8")
    model(torch.zeros(1, 1, 12, 12))
    for norm in gated_norms(model).values():
        norm.score.fill_(1.0)
    # Tied with conv1, whose scores are 1: 1.2 in the sum, so a filter that stands alone with 1.1 goes first.
    norm_of(model, "layer1.0.conv2").score[5] = 0.2
    for conv in ("layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"):
        norm_of(model, conv).score.fill_(1.3)
    norm_of(model, "layer2.0.conv1").score[7] = 1.1
    done = prune_step(model, 1 / 336, 0.1, 9.0)
    assert done.filters == 1
    assert {
        name: np.flatnonzero(~mask).tolist() for name, mask in masks_of(model).items() if not mask.all()
    } == {"layer2.0.conv1": [7]}
    for norm in gated_norms(model).values():
        assert not norm.score.any()
        norm.score.fill_(1.3)
    norm_of(model, "layer1.0.conv2").score[5] = 0.2
    norm_of(model, "conv1").score[5] = 0.9
    assert prune_step(model, 1 / 336, 0.1, 9.0).filters == 2
    masks = masks_of(model)
    assert (
        np.flatnonzero(~masks["conv1"]).tolist() == np.flatnonzero(~masks["layer1.0.conv2"]).tolist() == [5]
    )


@settings(max_examples=12)
@given(
    share=st.floats(0.02, 1.0),
    least=st.floats(0.0, 0.5),
    target=st.floats(1.05, 1.9),
    seed=st.integers(0, 1000),
)
def test_a_step_takes_the_least_of_all_layers_as_far_as_it_may(share, least, target, seed):
    model = decorated("resnet8")
    generator = torch.Generator().manual_seed(seed)
    scores = {}
    for norm in gated_norms(model).values():
        norm.score.uniform_(0, 1, generator=generator)
    model(torch.zeros(1, 1, 12, 12))
    network = derive_network(model, (1, 12, 12), "resnet8")
    groups = find_groups(network, set(masks_of(model)))
    for group in groups:
        scores[group] = sum(norm_of(model, name).score.double() for name in group.layers)
    total = sum(len(mask) for mask in masks_of(model).values())
    done = prune_step(model, share, least, target)
    masks = masks_of(model)
    off = sum(int((~mask).sum()) for mask in masks.values())
    assert off == done.filters
    assert done.flop_reduction == network.dense_macs / executed_macs(network, masks)
    gone, last = [], 0
    for group in groups:
        mask = masks[group.layers[0]]
        assert all((masks[name] == mask).all() for name in group.layers)
        assert mask.sum() >= max(1, least * group.channels)
        gone += [(float(scores[group][channel]), group, channel) for channel in np.flatnonzero(~mask)]
    worst = max(gone, default=(0.0,))[0] if gone else 0.0
    for group in groups:
        mask = masks[group.layers[0]]
        if mask.sum() > max(1, np.ceil(least * group.channels)):  # it might have given more
            assert scores[group][torch.from_numpy(mask)].min() >= worst
    if gone:
        _score, group, channel = max(gone, key=lambda item: item[0])
        last = len(group.layers)
        # One filter less would have been too few on both counts.
        assert off - last < share * total
        for name in group.layers:
            masks[name][channel] = True
        assert network.dense_macs / executed_macs(network, masks) < target


def test_a_target_that_cannot_be_reached_is_told_at_once():
    model = decorated("resnet8")
    with pytest.raises(CgsimError) as caught:
        prune_at_random(model, (1, 12, 12), share=0.01, target=50, least_share=0.5)
    assert str(caught.value) == (
        "pruning: a FLOP reduction of 50 cannot be reached: with 50 % of the filters of each layer left it "
        "is 3.95; lower gating.target_reduction or gating.least_share"
    )
    assert all(mask.all() for mask in masks_of(model).values())


def planned(method, history_of, recipe, most=60):
    """(kind, rates at 0, 1/2 and 1, fresh, images) of all units; `history_of(ticks)` is the reduction."""
    history, units = [], []
    model = decorated("resnet8")
    while (unit := method.plan(recipe, history, model)) is not None:
        rates = tuple(unit.rate(progress) for progress in (0.0, 0.5, 1.0))
        units.append((unit.kind, rates, unit.fresh_optimizer, unit.images))
        ticks = sum(kind == "tick" for kind, *_rest in units)
        history.append({"kind": unit.kind, "flop_reduction": history_of(ticks)})
        assert len(history) < most
    return units


def test_ticks_tocks_and_fine_tuning_follow_as_in_the_paper():
    method = make_method(
        "gate-decorator",
        {
            "target_reduction": 1.5,
            "ticks_per_tock": 2,
            "tock_epochs": 2,
            "final_epochs": 1,
            "tick_images": 64,
        },
    )
    recipe = SimpleNamespace(epochs=2, rate=1e-2)
    units = planned(method, lambda ticks: 1 + 0.17 * ticks, recipe)
    assert [unit[0] for unit in units] == (
        ["tock"] * 2 + ["tick"] * 2 + ["tock"] * 2 + ["tick"] + ["finetune"] * 3
    )
    up, down = (1e-3, 5.5e-3, 1e-2), (1e-2, 5.5e-3, 1e-3)
    assert units[0][1] == units[4][1] == units[7][1] == pytest.approx(up)
    assert units[1][1] == units[5][1] == units[8][1] == pytest.approx(down)
    assert units[2][1] == units[9][1] == pytest.approx((1e-3, 1e-3, 1e-3))
    assert [unit[2] for unit in units] == [True, False, True, True, True, False, True, True, False, False]
    assert [unit[3] for unit in units] == [None] * 2 + [64] * 2 + [None] * 2 + [64] + [None] * 3


def test_without_tocks_there_are_only_ticks_and_fine_tuning():
    method = make_method("gate-decorator", {"tock_epochs": 0, "final_epochs": 0, "ticks_per_tock": 1})
    recipe = SimpleNamespace(epochs=1, rate=1e-2)
    units = planned(method, lambda ticks: 1.0 + ticks, recipe)
    assert [unit[0] for unit in units] == ["tick", "finetune"]
    assert units[1][1] == pytest.approx((1e-3, 1e-2, 1e-3))


def test_a_reduction_rounded_down_in_the_log_counts_as_reached():
    method = make_method("gate-decorator", {"target_reduction": 1.23456, "tock_epochs": 0})
    unit = method.plan(
        SimpleNamespace(epochs=1, rate=1.0),
        [{"kind": "tick", "flop_reduction": 1.2346}],
        decorated("resnet8"),
    )
    assert unit is not None
    assert unit.kind == "finetune"
    unit = method.plan(
        SimpleNamespace(epochs=1, rate=1.0),
        [{"kind": "tick", "flop_reduction": 1.2345}],
        decorated("resnet8"),
    )
    assert unit is not None
    assert unit.kind == "tick"


def test_in_a_tock_phi_gets_the_gradient_of_its_sum_of_magnitudes():
    method = make_method("gate-decorator", {"sparsity_weight": 0.25})
    recipe = SimpleNamespace(epochs=1, rate=0.1)
    model = decorated("resnet8").train()
    prune_at_random(model, (1, 12, 12), share=0.2)
    tock = method.plan(recipe, [], model)
    assert tock is not None
    assert tock.kind == "tock"
    x, norms = torch.randn(4, 1, 12, 12), gated_norms(model)
    F.cross_entropy(model(x), torch.tensor([0, 1, 2, 3])).backward()
    plain = {name: norm.weight.grad.clone() for name, norm in norms.items()}
    method.after_backward(tock, model)
    for name, norm in norms.items():
        phi = norm.weight.detach().clone().requires_grad_()
        (0.25 * phi.abs().sum()).backward()
        torch.testing.assert_close(norm.weight.grad, plain[name] + phi.grad)
        assert not norm.weight.grad[~norm.conv.mask].any()
        assert not norm.score.any()  # only ticks score


def test_only_convolutions_are_frozen_and_only_in_ticks():
    method = make_method("gate-decorator", {"tock_epochs": 0})
    model = decorated("mobilenetv2")
    recipe = SimpleNamespace(epochs=1, rate=0.1)
    tick = method.plan(recipe, [], model)
    tune = method.plan(recipe, [{"kind": "tick", "flop_reduction": 9.0}], model)
    assert tick is not None
    assert tune is not None
    frozen = {name for name, _parameter in model.named_parameters() if method.frozen(tick, name)}
    assert frozen == {name for name, parameter in model.named_parameters() if parameter.ndim == 4}
    assert not any(method.frozen(tune, name) for name, _parameter in model.named_parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_reduction": 1}, "gating: target_reduction must be above 1, got 1.0"),
        ({"prune_share": 0}, "gating: prune_share must be above 0 to 1, got 0.0"),
        ({"least_share": 1.5}, "gating: least_share must be 0 to 1, got 1.5"),
        ({"ticks_per_tock": 0}, "gating: ticks_per_tock must be 1 or more, got 0"),
        ({"tick_images": 0}, "gating: tick_images must be 1 or more, got 0"),
        ({"low_rate": -1}, "gating: low_rate must be above 0, got -1.0"),
    ],
)
def test_settings_out_of_range_are_told(settings, message):
    with pytest.raises(CgsimError) as caught:
        make_method("gate-decorator", settings)
    assert str(caught.value) == message


def test_the_shipped_recipes_load():
    assert load_recipe("paper", method="gate-decorator").gating["prune_share"] == 0.002
    assert load_recipe("short", method="gate-decorator").gating["tick_images"] is not None


PLAIN = Recipe(method="none", epochs=2, batch_size=16, rate=0.05, crop_padding=1, flip=False)
QUICK = Recipe(
    method="gate-decorator",
    epochs=1,
    batch_size=16,
    rate=0.02,
    crop_padding=1,
    flip=False,
    gating={
        "target_reduction": 1.5,
        "tick_images": 48,
        "prune_share": 0.1,
        "ticks_per_tock": 2,
        "tock_epochs": 1,
        "final_epochs": 1,
    },
)


@pytest.fixture(scope="module")
def base(dataset, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "base"
    return train(data=dataset, output=run, network="resnet8", recipe=PLAIN, progress=False)


def prune(dataset, base, output, **options):
    return train(
        data=dataset, output=output, network="resnet8", recipe=QUICK, init=base.run, progress=False, **options
    )


@pytest.fixture(scope="module")
def pruned(dataset, base, tmp_path_factory):
    return prune(dataset, base, tmp_path_factory.mktemp("runs") / "pruned")


def test_training_prunes_to_the_target_and_tunes(pruned):
    kinds = [row["kind"] for row in pruned.history]
    assert kinds[0] == "tock"
    assert kinds[-2:] == ["finetune", "finetune"]
    assert kinds.count("tick") >= 2
    reductions = [row["flop_reduction"] for row in pruned.history]
    assert reductions == sorted(reductions)
    assert reductions[0] == 1.0
    assert 1.5 <= pruned.flop_reduction < 1.6
    model, _config, _state = load_model(pruned.run)
    network = derive_network(model, (1, 12, 12), "resnet8")
    masks = masks_of(model)
    assert network.dense_macs / executed_macs(network, masks) == pytest.approx(
        pruned.flop_reduction, abs=1e-4
    )
    for norm in gated_norms(model).values():
        assert not norm.weight[~norm.conv.mask].any()
        assert not norm.conv.weight[~norm.conv.mask].any()


class KilledError(Exception):
    pass


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_a_killed_run_resumes_to_the_same_result(pruned, base, dataset, tmp_path, monkeypatch, kept):
    original = Trainer.unit

    def killed(self, plan, done):
        if done == kept:
            raise KilledError
        return original(self, plan, done)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "unit", killed)
        with pytest.raises(KilledError):
            prune(dataset, base, tmp_path / "run")
    result = prune(dataset, base, tmp_path / "run", resume=True)
    one, two = checkpoint.read_checkpoint(pruned.run)[0], checkpoint.read_checkpoint(tmp_path / "run")[0]
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert [{**row, "seconds": 0} for row in result.history] == [
        {**row, "seconds": 0} for row in pruned.history
    ]


def test_a_network_that_is_not_trained_is_not_pruned(dataset, tmp_path):
    with pytest.raises(CgsimError) as caught:
        train(data=dataset, output=tmp_path / "run", network="resnet8", recipe=QUICK, progress=False)
    assert str(caught.value) == (
        "gate-decorator prunes a trained network: name an ungated run of the same network (init)"
    )
    assert not (tmp_path / "run" / checkpoint.CHECKPOINT).exists()
