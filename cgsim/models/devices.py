"""Where training runs: a CPU, a GPU, or several processes that share each batch (torchrun)."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cgsim.errors import CgsimError

PATIENCE = dt.timedelta(hours=2)
"""How long a process waits for the others: the first one evaluates alone after each unit."""


def cuda_devices() -> list[str]:
    """The names of the GPUs that torch can use, none without CUDA."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


@dataclass(frozen=True)
class Devices:
    """The device of this process, and which of how many processes it is."""

    device: str = "cpu"
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """True for the process that evaluates, prints and writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of a batch's `count` images are this process's; the processes' shares cover it once."""
        return slice(self.rank, count, self.world)

    def wrap(self, model: nn.Module) -> nn.Module:
        """What calls `model` in training: the processes' mean gradients arrive in all of them."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model)

    def mean(self, value: float) -> float:
        """The mean of all processes' values."""
        return self.total(value) / self.world

    def total(self, value: float) -> float:
        """The sum of all processes' values."""
        if self.world == 1:
            return value
        found = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(found)
        return float(found)

    def spread_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers (running statistics of norms)."""
        if self.world > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def spread(self, value: Any) -> Any:
        """The first process's value (JSON), in all of them."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, device=torch.device(self.device))
        return box[0]


@contextmanager
def opened(device: str = "auto") -> Iterator[Devices]:
    """The devices of a training: `device` is "cpu", "cuda", "cuda:1", or "auto" (CUDA where there is one).

    Under torchrun (or anything that sets RANK, LOCAL_RANK and WORLD_SIZE as it does) the processes join one
    another first, with NCCL on CUDA and Gloo on CPUs. Raises CgsimError if the device does not exist.
    """
    found = _existing(device)
    if found.startswith("cuda"):
        _ask_for_equal_results()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Devices(found)
        return
    cuda = found.startswith("cuda")
    if cuda:
        found = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(found)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Devices(found, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def leave() -> None:
    """End this process at once, as done, if it is one of several; else do nothing.

    DistributedDataParallel never lets go of its process group, so Gloo's threads still run while Python takes
    itself apart, and now and then that aborts a process whose work was done (seen once, in CI).
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _ask_for_equal_results() -> None:
    """Kernels that give the same result in every run, and float32 that is float32 (no TF32)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _existing(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError:
        raise CgsimError(f"device {device!r} is not known (valid: auto, cpu, cuda, cuda:N)") from None
    if kind.type not in ("cpu", "cuda"):
        raise CgsimError(f"device {device!r} is not known (valid: auto, cpu, cuda, cuda:N)")
    count = torch.cuda.device_count()
    if kind.type == "cuda" and (kind.index or 0) >= count:
        raise CgsimError(f"device {device!r}: this machine has {count} CUDA devices")
    return device
