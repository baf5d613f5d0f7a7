from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from cgsim import CgsimError
from cgsim.models import CGConv2d, threshold_loss
from cgsim.models.layers.cgnet import shuffle_channels
from cgsim.models.layers.gates import straight_through_gate
from cgsim.models.layers.thresholds import gated_layers


def settled(layer: CGConv2d, seed: int = 0) -> CGConv2d:
    """The layer at inference, with statistics and thresholds that are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.decision_norm.running_mean.uniform_(-1, 1, generator=generator)
        layer.decision_norm.running_var.uniform_(0.5, 2, generator=generator)
        layer.threshold.uniform_(-0.5, 1, generator=generator)
    return layer.eval()


@pytest.mark.parametrize("sparse", [False, True])
def test_gate_gradient_is_the_slope_of_the_sigmoid(sparse):
    z = torch.tensor([-2.0, -0.3, 0.0, 0.4, 3.0], requires_grad=True)
    upstream = torch.tensor([1.0, -2.0, 3.0, 0.5, 4.0])
    gates = straight_through_gate(z, 2.0, sparse)
    assert gates.tolist() == [0, 0, 0, 1, 1]
    gates.backward(upstream)
    s = torch.sigmoid(2 * z.detach())
    expected = upstream * 2 * s * (1 - s)
    if sparse:
        expected[:2] = 0
    torch.testing.assert_close(z.grad, expected)


def test_gate_gradient_equals_autograd_of_the_surrogate():
    z = torch.randn(50, dtype=torch.float64, requires_grad=True)
    straight_through_gate(z, 1.5, False).sum().backward()
    again = z.detach().clone().requires_grad_()
    torch.sigmoid(1.5 * again).sum().backward()
    torch.testing.assert_close(z.grad, again.grad)


def test_gates_in_lower_precision_are_compared_in_float32():
    z = torch.tensor([1e-6, -1e-6], requires_grad=True)
    gates = straight_through_gate(z, dtype=torch.bfloat16)
    assert gates.dtype == torch.bfloat16
    assert gates.tolist() == [1, 0]
    gates.sum().backward()
    assert z.grad.dtype == torch.float32
    assert z.grad[0] == pytest.approx(0.5)


@given(
    p=st.sampled_from([2, 3, 4]),
    ins=st.integers(1, 3),
    outs=st.integers(1, 3),
    kernel=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    norm=st.sampled_from(["after", "separate"]),
    shuffle=st.booleans(),
    seed=st.integers(0, 99),
)
def test_output_is_the_direct_formula(p, ins, outs, kernel, stride, norm, shuffle, seed):
    torch.manual_seed(seed)
    layer = CGConv2d(p * ins, p * outs, kernel, stride, kernel // 2, partitions=p, norm=norm, shuffle=shuffle)
    settled(layer, seed)
    x = torch.randn(2, p * ins, 5, 5)
    with torch.no_grad():
        gates = layer.gates(x)
        seen = shuffle_channels(x, p) if shuffle else x
        base = torch.cat(
            [
                F.conv2d(
                    seen[:, group * ins : (group + 1) * ins],
                    layer.weight[group * outs : (group + 1) * outs, group * ins : (group + 1) * ins],
                    stride=stride,
                    padding=kernel // 2,
                )
                for group in range(p)
            ],
            1,
        )
        full = F.conv2d(seen, layer.weight, stride=stride, padding=kernel // 2)
        if norm == "separate":
            full, base_out = layer.norm_gated(full), layer.norm_ungated(base)
        else:
            base_out = base
        z = layer.decision_norm(base) - layer.threshold[:, None, None]
        clear = z.abs() > 1e-4
        assert torch.equal((z > 0)[clear], gates[clear])
        torch.testing.assert_close(layer(x), torch.where(gates, full, base_out), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.masked_forward(x, gates), layer(x), rtol=1e-4, atol=1e-5)


def test_each_input_channel_is_base_exactly_once():
    layer = CGConv2d(8, 12, partitions=4)
    base = (layer.rest_weight() == 0).any(-1).any(-1)  # [out, in]
    for group in range(4):
        rows = base[group * 3 : (group + 1) * 3]
        assert rows.all(0).tolist() == [channel // 2 == group for channel in range(8)]
        assert rows.any(0).tolist() == rows.all(0).tolist()
    assert layer.base_weight().shape == (12, 2, 3, 3)


def test_training_and_inference_gates_agree_on_the_statistics_of_the_batch():
    torch.manual_seed(0)
    layer = CGConv2d(4, 4)
    layer.threshold.data.fill_(0.3)
    x = torch.randn(8, 4, 6, 6)
    base = layer.base_sums(x)
    trained = layer.train().decide(base)
    mean, var = base.mean((0, 2, 3)), base.var((0, 2, 3), unbiased=False)
    layer.decision_norm.running_mean.copy_(mean.detach())
    layer.decision_norm.running_var.copy_(var.detach())
    assert torch.equal(trained, layer.eval().decide(base))


def test_running_statistics_move_in_training_only():
    layer = CGConv2d(4, 4)
    x = torch.randn(4, 4, 5, 5)
    layer.eval()(x)
    assert layer.decision_norm.running_mean.abs().sum() == 0
    layer.train()(x)
    assert layer.decision_norm.running_mean.abs().sum() > 0


def test_gradients_reach_weights_and_thresholds_through_both_paths():
    layer = CGConv2d(4, 4, sparse_backprop=False)
    layer(torch.randn(2, 4, 5, 5)).square().sum().backward()
    assert (layer.weight.grad != 0).all()
    assert (layer.threshold.grad != 0).all()


def test_threshold_loss_sums_over_layers_and_channels():
    model = torch.nn.Sequential(CGConv2d(4, 4, target=1.0), CGConv2d(4, 8, target=0.5))
    model[0].threshold.data.fill_(0.25)
    loss = threshold_loss(model)
    assert float(loss.detach()) == pytest.approx(4 * 0.75**2 + 8 * 0.5**2)
    loss.backward()
    assert model[0].threshold.grad.tolist() == [-1.5] * 4
    assert len(gated_layers(model)) == 2
    assert float(threshold_loss(torch.nn.Linear(2, 2))) == 0


@pytest.mark.parametrize(("ins", "outs", "p"), [(6, 8, 4), (8, 6, 4), (8, 8, 1)])
def test_channels_that_do_not_divide_are_refused(ins, outs, p):
    with pytest.raises(CgsimError, match="channels are not divisible into") as error:
        CGConv2d(ins, outs, partitions=p)
    assert str(p) in str(error.value)


def test_unknown_norm_is_refused():
    with pytest.raises(CgsimError, match="norm 'befor' is not known"):
        CGConv2d(4, 4, norm="befor")
