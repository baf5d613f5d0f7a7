from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgsim import CgsimError
from cgsim.models import Recipe, checkpoint, train
from cgsim.models.devices import Devices, opened
from tests.models import two_processes

ROOT = Path(__file__).parents[2]


@given(st.integers(0, 300), st.integers(1, 9))
def test_shares_cover_a_batch_once(count, world):
    images = list(range(count))
    shares = [images[Devices("cpu", rank, world).share(count)] for rank in range(world)]
    assert sorted(index for share in shares for index in share) == images
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("device", ["cude", "meta", "cuda:99", "cpu:x"])
def test_devices_that_are_not_there(dataset, tmp_path, device):
    with pytest.raises(CgsimError, match=rf"device '{device}'(: this machine has \d+ CUDA| is not known)"):
        train(data=dataset, output=tmp_path / "run", network="resnet8", device=device, progress=False)
    assert not (tmp_path / "run").exists()


def test_one_process_is_its_own_world():
    with opened("cpu") as devices:
        assert devices == Devices("cpu", 0, 1)
        model = torch.nn.Linear(2, 2)
        assert devices.wrap(model) is model
        assert devices.mean(3.0) == devices.total(3.0) == 3.0
        assert devices.spread({"a": 1}) == {"a": 1}


def test_float16_needs_cuda(dataset, tmp_path):
    options = {"network": "resnet8", "device": "cpu", "progress": False}
    with pytest.raises(CgsimError, match="precision float16 needs CUDA"):
        train(data=dataset, output=tmp_path / "r", overrides={"precision": "float16"}, **options)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def launch(folder, script_arguments):
    """Run tests/models/two_processes.py as torchrun would, twice at once; what each printed."""
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    common |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.models.two_processes", str(folder), json.dumps(script_arguments)]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=900) for process in processes]
    for process, (_out, err) in zip(processes, answers, strict=True):
        assert process.returncode == 0, err
    return [json.loads(out.splitlines()[-1]) for out, _err in answers]


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    """Both end with the same weights; an image is seen once; the first writes; a killed run goes on."""
    first, second = launch(tmp_path, {"epochs": 2})
    assert first["weights"] == second["weights"]
    assert first["history"] == second["history"]
    assert (first["wrote"], second["wrote"]) == (True, False)
    for epoch in range(2):
        seen = first["seen"][epoch * 6 : epoch * 6 + 6], second["seen"][epoch * 6 : epoch * 6 + 6]
        together = sorted(index for part in seen for batch in part for index in batch)
        assert together == list(range(96))
    alone = two_processes.run(tmp_path / "alone", {"epochs": 2})
    for whole, *halves in zip(alone["seen"], first["seen"], second["seen"], strict=True):
        assert sorted(whole) == sorted(halves[0] + halves[1])
    # Batch norms see half a batch each, so only about the same.
    assert alone["history"][0]["train_loss"] == pytest.approx(first["history"][0]["train_loss"], rel=0.3)
    again = launch(tmp_path, {"epochs": 2, "stop": 1, "name": "killed"})
    assert [len(part["history"]) for part in again] == [1, 1]
    resumed = launch(tmp_path, {"epochs": 2, "name": "killed", "resume": True})
    assert resumed[0]["weights"] == resumed[1]["weights"] == first["weights"]
    tensors, state = checkpoint.read_checkpoint(tmp_path / "killed")
    assert state["epoch"] == 2
    assert all(value.isfinite().all() for value in tensors.values() if value.is_floating_point())


@pytest.mark.slow
def test_batches_that_cannot_be_shared_are_refused(tmp_path):
    told = launch(tmp_path, {"batch_size": 15})
    for answer in told:
        assert answer["error"] == "recipe: batch_size 15 cannot be shared evenly by 2 processes"
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="half precision with a scaler exists on CUDA only")
def test_ungated_networks_take_half_precision_on_a_gpu(dataset, tmp_path):
    recipe = Recipe(epochs=1, batch_size=16, precision="float16")
    options = {"network": "resnet8", "method": "none", "progress": False}
    result = train(data=dataset, output=tmp_path / "run", recipe=recipe, **options)
    assert checkpoint.read_checkpoint(result.run)[1]["scaler"]["scale"] > 0
