from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cgsim import CgsimError
from cgsim.models import build_network
from cgsim.models.weights import fold_biases, load_weights_file


def noisy(model: nn.Module) -> nn.Module:
    """Norms with statistics, and biases that are not zero."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias)
    return model.eval()


def with_biases() -> nn.Module:
    """VGG-16 for CIFAR as it is published: a bias in front of every norm."""
    model = build_network("vgg16-cifar", in_channels=3, classes=4, architecture={"width": 8})
    for index, module in enumerate(model.features):
        if isinstance(module, nn.Conv2d):
            model.features[index] = nn.Conv2d(module.in_channels, module.out_channels, 3, 1, 1)
    return noisy(model)


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "parallel", "safetensors"])
def test_weights_with_biases_are_the_same_function_without_them(tmp_path, wrap):
    theirs = with_biases()
    state = theirs.state_dict()
    path = tmp_path / ("w.safetensors" if wrap == "safetensors" else "w.pth")
    if wrap == "safetensors":
        save_file(state, path)
    else:
        named = {f"module.{name}": value for name, value in state.items()} if wrap == "parallel" else state
        torch.save(named if wrap == "plain" else {"state_dict": named, "epoch": 90}, path)
    ours = build_network("vgg16-cifar", in_channels=3, classes=4, architecture={"width": 8}).eval()
    ours.load_state_dict(load_weights_file(path))  # strict: every name and shape
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_weights_of_other_networks_pass_untouched(tmp_path, name):
    model = noisy(build_network(name, in_channels=3, classes=4))
    torch.save(model.state_dict(), tmp_path / "w.pth")
    loaded = load_weights_file(tmp_path / "w.pth")
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[key], value) for key, value in model.state_dict().items())


def test_only_biases_in_front_of_a_norm_go():
    kept = {
        "a.0.weight": torch.ones(2, 3, 1, 1),
        "a.0.bias": torch.ones(2),  # no norm behind it
        "b.0.weight": torch.ones(2, 3),
        "b.0.bias": torch.ones(2),  # of a linear layer
        "b.1.running_mean": torch.ones(2),
        "c.9.weight": torch.ones(2, 3, 1, 1),
        "c.9.bias": torch.ones(2),
        "c.10.running_mean": torch.ones(3),  # of another width
        "d.weight": torch.ones(2, 3, 1, 1),
        "d.bias": torch.ones(2),
    }
    folded = fold_biases(kept)
    assert folded.keys() == kept.keys()
    assert all(folded[key] is value for key, value in kept.items())
    first = fold_biases(
        {
            "9.weight": torch.ones(2, 3, 1, 1),
            "9.bias": torch.tensor([1.0, 2.0]),
            "10.running_mean": torch.tensor([5.0, 5.0]),
        }
    )
    assert first["10.running_mean"].tolist() == [4.0, 3.0]
    assert "9.bias" not in first


class _Runs:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_file_that_wants_code_to_run_is_refused(tmp_path, capsys):
    torch.save({"w": torch.ones(2), "evil": _Runs()}, tmp_path / "zip.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(_Runs()))
    for name in ("zip.pth", "raw.pth"):
        with pytest.raises(CgsimError, match=f"{name}.*not a plain state dict .cgsim never runs code"):
            load_weights_file(tmp_path / name)
    assert "code ran" not in capsys.readouterr().out


def test_whole_models_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(CgsimError, match=r"not a plain state dict .*save model.state_dict\(\)"):
        load_weights_file(tmp_path / "model.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_files_say_so(tmp_path, name):
    state = {"w": torch.arange(64.0)}
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(state, path)
    else:
        save_file(state, path)
    content = path.read_bytes()
    changed = (content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :] for at in range(64))
    for bad in (b"", content[:5], content[: len(content) // 2], content[:-40], *changed):
        path.write_bytes(bad)
        try:
            load_weights_file(path)
        except CgsimError as error:
            assert f"{name}': " in str(error)
    for cut in (b"", content[:5], content[: len(content) // 2], content[:-40]):
        path.write_bytes(cut)
        with pytest.raises(CgsimError, match=f"weights '.*{name}': "):
            load_weights_file(path)


def test_missing_and_empty_files_say_so(tmp_path):
    with pytest.raises(
        CgsimError, match=r"no such file; expected a \.safetensors file or a PyTorch state dict"
    ):
        load_weights_file(tmp_path / "w.pth")
    for content in ({}, [torch.ones(2)], {"epoch": 3}, {1: torch.ones(2)}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(CgsimError, match="holds no tensors by name; expected a state dict"):
            load_weights_file(tmp_path / "w.pth")
