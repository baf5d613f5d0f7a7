from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cgsim
from cgsim import CgsimError
from cgsim.models import Normalize, build_network, record, register, registry
from cgsim.models.evaluation import evaluate
from cgsim.models.graph import derive_network
from cgsim.trace import unpack_bits

NORMALIZE = Normalize((0.3,), (0.3,))


class PixelSkip(nn.Module):
    """A user's own layer: computes a pixel only where the input is bright."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.inner = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)

    def mask(self, x):
        return x.mean(1, keepdim=True) > x.mean()

    def forward(self, x):
        return self.inner(x) * self.mask(x)


class ChannelSkip(nn.Conv2d):
    """Another: whole output channels per sample."""

    def mask(self, x):
        return (x.mean((1, 2, 3))[:, None] * torch.arange(self.out_channels) % 2) > 0.5

    def forward(self, x):
        return super().forward(x) * self.mask(x)[:, :, None, None]


class Pruned(nn.Conv2d):
    """And channels that are always off."""

    def forward(self, x):
        return super().forward(x) * (torch.arange(self.out_channels) % 2)[:, None, None]


@pytest.fixture
def users_modules(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    register(
        PixelSkip,
        lambda module, inputs, output: module.mask(inputs[0]),
        "pixel",
        recompute_fn=lambda module, inputs, gates: module.inner(inputs[0]) * gates,
    )
    register(ChannelSkip, lambda m, inputs, output: m.mask(inputs[0]), "channel", gate_network_macs=100)
    register(Pruned, lambda m, inputs, output: torch.arange(m.out_channels) % 2, "static")


@pytest.fixture
def gated():
    torch.manual_seed(0)
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4)
    for module in model.modules():
        if isinstance(module, cgsim.models.CGConv2d):
            module.threshold.data.uniform_(-0.5, 1)
    for _ in range(3):
        model(torch.randn(8, 1, 12, 12))
    return model.eval()


def test_recorded_gates_are_those_of_the_model(gated, dataset, tmp_path):
    path = tmp_path / "a.trace.parquet"
    trace = record(
        gated,
        dataset.test,
        path,
        network_name="resnet8",
        method="cgnet",
        dataset=dataset.name,
        split="test",
        samples=20,
        seed=3,
        accuracy_gated=0.5,
        command="make it",
        normalize=NORMALIZE,
        batch_size=8,
        verify="all",
    )
    assert trace.n_samples == 20
    assert [sample.id for sample in trace.samples] == list(dataset.test.ids[:20])
    assert [sample.label for sample in trace.samples] == dataset.test.labels[:20].tolist()
    with torch.no_grad():
        logits = gated(NORMALIZE(dataset.test.images[:20]))
    assert [sample.prediction for sample in trace.samples] == logits.argmax(1).tolist()
    assert trace.metadata.seed == 3
    assert trace.metadata.versions["torch"] == torch.__version__
    assert trace.metadata.command == "make it"

    # Recompute the whole network from the trace alone: every gated layer masked with the recorded bits.
    masks = {}
    for name, module in registry.gating_modules(gated).items():
        layer = trace.network.by_name[name]
        words = trace.gates(name)
        bits = unpack_bits(words.view(np.uint8), words.shape[-1] * 64)[..., : layer.pixels]
        masks[name] = torch.from_numpy(bits.reshape(20, *layer.out_shape).astype(bool))
        module.forward = lambda x, m=module, g=masks[name]: m.masked_forward(x, g)
    with torch.no_grad():
        again = gated(NORMALIZE(dataset.test.images[:20]))
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-5)

    densities = {name: float(mask.float().mean()) for name, mask in masks.items()}
    assert all(0.02 < density < 0.98 for density in densities.values())
    assert {name: float(trace.density(name).mean()) for name in densities} == pytest.approx(densities)


def test_a_shuffling_model_is_recorded_and_recomputed(dataset, tmp_path):
    torch.manual_seed(0)
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4, gating={"shuffle": True}).eval()
    trace = record(
        model, dataset.test, tmp_path / "s.trace.parquet", samples=4, normalize=NORMALIZE, verify="all"
    )
    assert 0 < trace.density("layer1.0.conv2").mean() < 1


def test_flop_reduction_of_trace_and_evaluation_agree(gated, dataset, tmp_path):
    network = derive_network(gated, (1, 12, 12), "resnet8")
    result = evaluate(gated, dataset.test, NORMALIZE, network, batch_size=16)
    trace = record(gated, dataset.test, tmp_path / "a.parquet", method="cgnet", normalize=NORMALIZE)
    assert trace.flop_reduction() == pytest.approx(result.flop_reduction)
    assert trace.n_samples == len(dataset.test)


def test_a_users_own_modules_are_recorded(users_modules, tmp_path):
    model = nn.Sequential(
        PixelSkip(3, 6), nn.ReLU(), ChannelSkip(6, 8, 3), nn.BatchNorm2d(8), Pruned(8, 4, 1), nn.Flatten()
    )
    batches = [(torch.rand(5, 3, 9, 9), torch.tensor([1, 0, 2, 1, 0])), torch.rand(4, 3, 9, 9)]
    trace = record(model, batches, tmp_path / "u.parquet", split="mine")
    assert [(layer.name, layer.gate) for layer in trace.network.layers] == [
        ("0", "pixel"),
        ("2", "channel"),
        ("4", "static"),
    ]
    assert [sample.id for sample in trace.samples][4:6] == ["mine/00004", "mine/00005"]
    assert trace.samples[5].label is None
    assert trace.metadata.method == "user"
    assert "no recompute_fn): 2, 4" in trace.metadata.notes
    images = torch.cat([batches[0][0][:5], batches[1]])
    mask = torch.cat([model[0].mask(images[:5]), model[0].mask(images[5:])])
    words = trace.gates("0")
    bits = unpack_bits(words.view(np.uint8), words.shape[-1] * 64)[:, :81]
    assert np.array_equal(bits.astype(bool), mask.reshape(9, 81).numpy())
    assert trace.network.by_name["2"].gate_network_macs == 100
    words = trace.gates("4")
    assert int(words[0]) == 0b1010


def test_a_gating_module_may_be_the_whole_model(users_modules, tmp_path):
    trace = record(PixelSkip(3, 6), [torch.rand(2, 3, 6, 6)], tmp_path / "x.parquet")
    assert [layer.name for layer in trace.network.layers] == ["layer"]


def test_layers_that_work_in_place_do_not_disturb_the_proof(users_modules, tmp_path):
    model = nn.Sequential(PixelSkip(3, 6), nn.ReLU(inplace=True), PixelSkip(6, 4), nn.ReLU(inplace=True))
    assert record(model, [torch.rand(2, 3, 6, 6)] * 2, tmp_path / "x.parquet", verify="all").n_samples == 4


def test_wrong_gates_are_found_out(users_modules, tmp_path):
    register(
        PixelSkip,
        lambda module, inputs, output: ~module.mask(inputs[0]),
        "pixel",
        recompute_fn=lambda module, inputs, gates: module.inner(inputs[0]) * gates,
    )
    model = nn.Sequential(PixelSkip(3, 6))
    with pytest.raises(CgsimError, match="layer '0': recomputed with the recorded gates its output differs"):
        record(model, [torch.rand(2, 3, 6, 6)], tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
    assert record(model, [torch.rand(2, 3, 6, 6)], tmp_path / "x.parquet", verify=False).n_samples == 2


def test_gates_of_a_wrong_shape_are_refused(users_modules, tmp_path):
    register(PixelSkip, lambda module, inputs, output: module.mask(inputs[0])[:, :, 1:], "pixel")
    with pytest.raises(CgsimError, match=r"layer '0': gates have shape \[2, 1, 5, 6\], expected \[2, 6, 6\]"):
        record(nn.Sequential(PixelSkip(3, 6)), [torch.rand(2, 3, 6, 6)], tmp_path / "x.parquet")


def test_a_layer_called_twice_is_refused(users_modules, tmp_path):
    layer = PixelSkip(3, 3)
    model = nn.Sequential(layer, layer)
    with pytest.raises(CgsimError, match="layer '0': called twice"):
        record(model, [torch.rand(2, 3, 6, 6)], tmp_path / "x.parquet")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_recording_leaves_nothing(gated, tmp_path, error):
    def batches():
        yield torch.rand(4, 1, 12, 12)
        yield torch.rand(4, 1, 12, 12)
        raise error("unplugged")

    with pytest.raises(error):
        record(gated, batches(), tmp_path / "x.parquet", batch_size=4)
    assert list(tmp_path.iterdir()) == []
    assert not any(module._forward_hooks for module in gated.modules())


def test_a_dense_model_gives_a_dense_trace(dataset, tmp_path):
    model = build_network("resnet8", "none", in_channels=1, classes=4)
    trace = record(model, dataset.test, tmp_path / "d.parquet", method="dense", samples=3)
    assert trace.n_samples == 3
    assert trace.flop_reduction() == 1


@pytest.mark.parametrize("batches", [[], [torch.rand(3, 4)], ["text"]])
def test_bad_loaders_are_refused(gated, tmp_path, batches):
    with pytest.raises(CgsimError, match="record: "):
        record(gated, batches, tmp_path / "x.parquet")


def test_bad_registrations_are_refused():
    with pytest.raises(CgsimError, match="did you mean 'pixel'"):
        register(PixelSkip, lambda *a: None, "pixels")
    with pytest.raises(CgsimError, match="needs base="):
        register(PixelSkip, lambda *a: None, "activation")
    assert registry.registration(PixelSkip(1, 1)) is None


def test_an_ambiguous_convolution_is_refused(monkeypatch, tmp_path):
    class Two(nn.Sequential):
        pass

    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    register(Two, lambda m, inputs, output: output[:, 0], "pixel")
    model = nn.Sequential(Two(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)))
    with pytest.raises(CgsimError, match="Two: holds 2 convolutions"):
        record(model, [torch.rand(1, 1, 4, 4)], tmp_path / "x.parquet")
    register(Two, lambda m, inputs, output: output[:, 0], "pixel", conv=lambda m: m[1])
    assert record(model, [torch.rand(1, 1, 4, 4)], tmp_path / "x.parquet").network.layers[0].gate == "pixel"
