"""Recording: run a model over samples and stream every layer's gates into a trace."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import registry
from cgsim.models.data import ImageSet
from cgsim.models.evaluation import GateTap, Preprocess
from cgsim.models.graph import derive_network
from cgsim.trace.metadata import Metadata, Sample
from cgsim.trace.network import Network
from cgsim.trace.reader import Trace, load_trace
from cgsim.trace.writer import TraceWriter

Batch = tuple[Tensor, list[int] | None, list[str]]
VERIFY_TOLERANCE = 1e-4
"""Recomputed outputs may differ by this share of the layer's largest: float32 sums in another order."""


def record(
    model: nn.Module,
    data: ImageSet | Iterable[Any],
    path: str | Path,
    *,
    network_name: str = "model",
    method: str = "user",
    method_parameters: dict[str, Any] | None = None,
    dataset: str = "",
    split: str = "",
    samples: int | None = None,
    accuracy_gated: float | None = None,
    accuracy_ungated: float | None = None,
    seed: int | None = None,
    command: str = "",
    notes: str = "",
    normalize: Preprocess | None = None,
    batch_size: int = 16,
    verify: bool | str = True,
    progress: bool = False,
) -> Trace:
    """Record the gates of every registered module of `model` into the trace `path`, and open it.

    `data` is an ImageSet (uint8 images, put through `normalize`) or any loader that yields batches: a
    float tensor [B, C, H, W] or a tuple of one, labels [B] and, if wanted, a list of B ids. `samples`
    stops after that many. Memory does not grow with their number, and the trace appears under its name
    only when it is complete. The other arguments go into the trace's provenance (`Metadata`).

    `verify` recomputes each gated layer that has a `recompute_fn` with the recorded bits as a mask and
    compares with the model's own output: True on the first batch, "all" on every batch, False never.

    Raises CgsimError if the model cannot be expressed as a trace, if gates and layers disagree, or if a
    recomputed output differs by more than VERIFY_TOLERANCE of its largest value.
    """
    if samples is not None and samples < 1:
        raise CgsimError(f"record: samples must be 1 or more, got {samples}")
    batches = _limited(_batches(data, normalize, batch_size, split), samples)
    first = next(batches, None)
    if first is None:
        raise CgsimError("record: the data holds no samples")
    network = derive_network(model, _image_shape(first[0]), network_name)
    unproven = _unproven(model) if verify else []
    if unproven:
        notes = f"{notes} Gates not recomputed (no recompute_fn): {', '.join(unproven)}.".strip()
    metadata = Metadata(
        model=network_name,
        method=method,
        method_parameters=method_parameters or {},
        dataset=dataset,
        split=split,
        accuracy_gated=accuracy_gated,
        accuracy_ungated=accuracy_ungated,
        seed=seed,
        versions=_versions(),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=command,
        notes=notes,
    )
    recorder = _Recorder(model, network, verify)
    was_training = model.training
    try:
        model.eval()
        with (
            TraceWriter(path, network, metadata) as writer,
            torch.no_grad(),
            GateTap(model) as tap,
        ):
            for batch in _with_progress(first, batches, samples, progress):
                recorder.run(batch, tap, writer)
    finally:
        model.train(was_training)
    return load_trace(path)


class _Recorder:
    def __init__(self, model: nn.Module, network: Network, verify: bool | str) -> None:
        self.model, self.network, self.verify = model, network, verify
        self.modules = registry.gating_modules(model)
        self.static: dict[str, np.ndarray] = {}
        parameter = next(model.parameters(), None)
        self.device = parameter.device if parameter is not None else torch.device("cpu")

    def run(self, batch: Batch, tap: GateTap, writer: TraceWriter) -> None:
        """Record one batch."""
        images, labels, ids = batch
        tap.clear()
        tap.keep = self.verify == "all" or (bool(self.verify) and writer.n_samples == 0)
        logits = self.model(images.to(self.device))
        gates: dict[str, np.ndarray] = {}
        for name, found in tap.gates.items():
            bits = self._shaped(name, found, len(ids))
            if self.network.by_name[name].gate == "static":
                if name not in self.static:
                    writer.set_static(name, bits)
                elif not np.array_equal(self.static[name], bits):
                    raise CgsimError(f"layer {name!r}: its static gates differ between batches")
                self.static[name] = bits
            else:
                gates[name] = bits
            if tap.keep:
                self._verify(name, tap, found)
        predictions = _predictions(logits)
        writer.append_batch(
            [
                Sample(ident, labels[index] if labels else None, predictions[index] if predictions else None)
                for index, ident in enumerate(ids)
            ],
            gates,
        )

    def _shaped(self, name: str, gates: Tensor, batch: int) -> np.ndarray:
        layer = self.network.by_name.get(name)
        if layer is None:
            raise CgsimError(f"layer {name!r}: it was not called when the network was traced")
        wanted = layer.gate_shape if layer.gate == "static" else (batch, *layer.gate_shape)
        shape = tuple(gates.shape)
        channels, *image = layer.out_shape
        accepted: list[tuple[int, ...]] = {
            "activation": [(batch, channels, *image), wanted],
            "pixel": [(batch, *image), (batch, 1, *image), wanted],
            "channel": [wanted, (batch, channels, 1, 1)],
        }.get(layer.gate, [wanted])
        if shape not in accepted:
            raise CgsimError(
                f"layer {name!r}: gates have shape {list(shape)}, expected {list(accepted[0])} for "
                f"granularity {layer.gate!r}"
            )
        return gates.cpu().numpy().reshape(wanted)

    def _verify(self, name: str, tap: GateTap, gates: Tensor) -> None:
        module = self.modules[name]
        entry = registry.registration(module)
        assert entry is not None
        if entry.recompute_fn is None:
            return
        own = tap.outputs[name]
        again = entry.recompute_fn(module, tap.inputs[name], gates)
        if again.shape != own.shape:
            raise CgsimError(
                f"layer {name!r}: recompute_fn returns shape {list(again.shape)}, expected {list(own.shape)}"
            )
        scale = max(float(own.abs().max()), 1e-12)
        error = float((again - own).abs().max()) / scale
        allowed = 0.0 if entry.exact else VERIFY_TOLERANCE
        if not error <= allowed:
            raise CgsimError(
                f"layer {name!r}: recomputed with the recorded gates its output differs by {error:.1e} of "
                f"its largest value, expected at most {allowed:.0e}: the gates are not those it used"
            )


def _unproven(model: nn.Module) -> list[str]:
    entries = {name: registry.registration(module) for name, module in registry.gating_modules(model).items()}
    return [name for name, entry in entries.items() if entry is not None and entry.recompute_fn is None]


def _image_shape(images: Tensor) -> tuple[int, int, int]:
    if images.ndim != 4:
        raise CgsimError(f"record: a batch of shape {list(images.shape)}, expected [B, C, H, W]")
    return int(images.shape[1]), int(images.shape[2]), int(images.shape[3])


def _predictions(logits: Any) -> list[int] | None:
    if isinstance(logits, Tensor) and logits.ndim == 2:
        return [int(value) for value in logits.argmax(1)]
    return None


def _batches(data: Any, normalize: Preprocess | None, size: int, split: str) -> Iterator[Batch]:
    if isinstance(data, ImageSet):
        for start in range(0, len(data), size):
            raw = data.images[start : start + size]
            images = normalize(raw) if normalize is not None else torch.from_numpy(raw / np.float32(255))
            labels = [int(label) for label in data.labels[start : start + size]]
            yield images, labels, list(data.ids[start : start + size])
        return
    count = 0
    for item in data:
        images, labels, ids = (
            (*item, None, None)[:3] if isinstance(item, tuple | list) else (item, None, None)
        )
        if not isinstance(images, Tensor):
            raise CgsimError(
                f"record: the loader yields {type(images).__name__}, expected tensors [B, C, H, W]"
            )
        names = [str(name) for name in ids] if ids is not None else None
        numbered = [f"{split or 'sample'}/{count + index:05d}" for index in range(len(images))]
        count += len(images)
        yield images, [int(label) for label in labels] if labels is not None else None, names or numbered


def _limited(batches: Iterator[Batch], samples: int | None) -> Iterator[Batch]:
    left = samples
    for images, labels, ids in batches:
        if left is None:
            yield images, labels, ids
            continue
        yield images[:left], labels[:left] if labels else None, ids[:left]
        left -= len(ids[:left])
        if left <= 0:
            return


def _with_progress(
    first: Batch, rest: Iterator[Batch], samples: int | None, progress: bool
) -> Iterator[Batch]:
    from tqdm import tqdm

    with tqdm(
        total=samples, desc="recording", unit="sample", leave=False, disable=None if progress else True
    ) as bar:
        yield first
        bar.update(len(first[2]))
        for batch in rest:
            yield batch
            bar.update(len(batch[2]))


def _versions() -> dict[str, str]:
    import cgsim

    return {
        "cgsim": cgsim.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
