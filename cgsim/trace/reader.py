"""Reading traces: checked when opened, gates read lazily by row group and checked again."""

from __future__ import annotations

import itertools
import operator
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cgsim.errors import CgsimError, nearest
from cgsim.trace import layout
from cgsim.trace.channels import channels_on, check_gathered, inputs_on
from cgsim.trace.container import Container, Description
from cgsim.trace.macs import Tally, flop_reduction, gate_count, tally
from cgsim.trace.pack import bytes_to_words, count_bits, padding_is_zero, unpack_bits

if TYPE_CHECKING:
    from cgsim.trace.metadata import Metadata, Sample
    from cgsim.trace.network import Layer, Network

_CACHED_BLOCKS = 4
_COUNTED_SAMPLES = 256
_COUNTED_CHANNELS = 1 << 26
"""Samples that are counted at once, and the channels of one layer in all of them: those take a byte each."""

Samples = slice | Sequence[int] | NDArray[np.integer] | None


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Open a trace: a local path or any fsspec address.

    Checks everything but the gates themselves, which are checked as they are read. Raises CgsimError
    naming the file, and the layer where it can be known.
    """
    return Trace(path)


class Trace:
    """A trace on disk: its network, its provenance and its samples; gates are read on demand."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open and check; see `load_trace`."""
        self.path = os.fspath(path)
        self._container = Container(self.path)
        description: Description = self._container.description
        self.network: Network = description.network
        self.metadata: Metadata = description.metadata
        self.samples: tuple[Sample, ...] = description.samples
        self.checksum: str = description.content
        """Checksum of network, samples and gates (not of the provenance), hexadecimal."""
        self.layer_checksums: dict[str, str] = description.layer_checksums
        self._static = description.static
        self._row_layers = {layer.name: i for i, layer in enumerate(layout.row_layers(self.network))}
        self._cache: OrderedDict[int, list[NDArray[np.uint8]]] = OrderedDict()

    def __repr__(self) -> str:
        """Path, model, samples and layers."""
        return (
            f"<Trace {self.path}: {self.network.name}, {self.n_samples} samples, "
            f"{len(self.gated_layers)} gated layers>"
        )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @property
    def gated_layers(self) -> tuple[Layer, ...]:
        """Layers with gates, in execution order."""
        return tuple(layer for layer in self.network.layers if layer.gate != "none")

    def layer(self, name: str) -> Layer:
        """The layer of that name; CgsimError with the nearest name if there is none."""
        if name not in self.network.by_name:
            raise CgsimError(f"{self.path}: no layer {name!r}{nearest(name, self.network.by_name)}")
        return self.network.by_name[name]

    def packed(self, layer_name: str, samples: Samples = None) -> NDArray[np.uint8]:
        """Gates as stored: uint8, `activation` [S, N, B], `pixel` and `channel` [S, B], `static` [B].

        B = ceil(bits / 8). Bit i of the last axis is bit i % 8 of byte i // 8.
        """
        layer = self.layer(layer_name)
        if layer.gate == "none":
            raise CgsimError(f"{self.path}: layer {layer_name!r} has no gates")
        if layer.gate == "static":
            return self._static[layer_name]
        *rows, bits = layer.gate_shape
        column = self._row_layers[layer_name]
        index = self.positions(samples)
        out = np.empty((len(index), layer.packed_bytes), dtype=np.uint8)
        groups = np.searchsorted(self._container.starts, index, side="right") - 1
        for group in np.unique(groups):
            here = groups == group
            out[here] = self._block(int(group))[column][index[here] - self._container.starts[group]]
        return out.reshape(len(index), *rows, (bits + 7) // 8)

    def gates(self, layer_name: str, samples: Samples = None) -> NDArray[np.uint64]:
        """Gates as words: uint64, `activation` [S, N, W], `pixel` and `channel` [S, W], `static` [W].

        W = ceil(bits / 64); pixel (or channel) p is bit p % 64 of word p // 64; padding bits are zero.
        """
        return bytes_to_words(self.packed(layer_name, samples))

    def bits(self, layer_name: str, samples: Samples = None) -> NDArray[np.bool_]:
        """Gates as bool: `activation` [S, N, M], `pixel` [S, M], `channel` [S, N], `static` [N]."""
        return unpack_bits(self.packed(layer_name, samples), self.layer(layer_name).gate_shape[-1])

    def blocks(self, max_samples: int | None = None) -> Iterator[slice]:
        """Slices of at most `max_samples` samples that cover all of them, none across a row group."""
        if max_samples is not None and max_samples < 1:
            raise CgsimError(f"blocks: max_samples must be 1 or more, got {max_samples}")
        starts = self._container.starts.tolist() or [0]
        for start, stop in itertools.pairwise([*starts, self.n_samples]):
            step = max_samples or max(1, stop - start)
            for low in range(start, stop, step):
                yield slice(low, min(stop, low + step))

    def on_counts(self, layer_name: str) -> NDArray[np.int64]:
        """Number of gates that are on, per sample: int64[S]. The first call reads all blocks, once."""
        layer = self.layer(layer_name)
        if layer.gate == "none":
            return np.zeros(self.n_samples, dtype=np.int64)
        if layer.gate == "static":
            return np.repeat(count_bits(self._static[layer_name][None]), self.n_samples)
        return self._tally.on[layer_name].copy()

    def channels_on(self, layer_name: str, samples: Samples = None) -> NDArray[np.bool_]:
        """Which output channels are on, bool[S, N]: those that are off are zero for everybody who reads them.

        Follows `channel` and `static` gates through pooling and additions (`Network.channel_sources`).
        """
        layer, index = self.layer(layer_name), self.positions(samples)
        return channels_on(self.network, layer, len(index), partial(self.packed, samples=index))

    def inputs_on(self, layer_name: str, samples: Samples = None) -> NDArray[np.bool_] | None:
        """Which input channels are on, bool[S, Cin]; None if none of them can ever be off.

        A linear layer that reads C channels of H x W pixels has C * H * W inputs, a channel's side by side.
        """
        layer, index = self.layer(layer_name), self.positions(samples)
        return inputs_on(self.network, layer, len(index), partial(self.packed, samples=index))

    def gated_macs(self, layer_name: str) -> NDArray[np.int64]:
        """Executed MACs per sample, gate network included, int64[S]: those of inputs that are on.

        The first call for a layer that has gates, or reads channels that may be off, reads all blocks.
        """
        layer = self.layer(layer_name)
        if layer.gate == "none" and not self.network.input_sources(layer):
            return np.full(self.n_samples, layer.dense_macs + layer.gate_network_macs)
        return self._tally.macs[layer_name].copy()

    def density(self, layer_name: str) -> NDArray[np.float64]:
        """Share of gates that are on, per sample: float64[S] (1 for layers without gates)."""
        layer = self.layer(layer_name)
        if layer.gate == "none":
            return np.ones(self.n_samples)
        return self.on_counts(layer_name) / gate_count(layer)

    def flop_reduction(self) -> float | None:
        """Dense MACs over executed MACs, summed over layers and samples, recomputed from the gates.

        None where nothing is executed at all.
        """
        executed = sum(int(self.gated_macs(layer.name).sum()) for layer in self.network.layers)
        return flop_reduction(self.network, executed, self.n_samples)

    @cached_property
    def _tally(self) -> Tally:
        """Counts of all layers; a row group holds all of them, so all are counted at once."""
        widest = max(max(layer.in_shape[0], layer.out_channels) for layer in self.network.layers)
        most = max(1, min(_COUNTED_SAMPLES, _COUNTED_CHANNELS // widest))
        found = [
            tally(self.network, block.stop - block.start, partial(self.packed, samples=block))
            for block in self.blocks(most)
        ]
        return Tally(
            {name: np.concatenate([part.on[name] for part in found]) for name in found[0].on},
            {name: np.concatenate([part.macs[name] for part in found]) for name in found[0].macs},
        )

    def positions(self, samples: Samples = None) -> NDArray[np.int64]:
        """Positions of the chosen samples (all by default), int64[S]; CgsimError if one is outside."""
        if samples is None:
            return np.arange(self.n_samples)
        if isinstance(samples, slice):
            return np.arange(*samples.indices(self.n_samples))
        index: list[int] = []
        try:
            for sample in samples:  # the first that is outside ends it, however long the rest
                index.append(operator.index(sample))
                if not 0 <= index[-1] < self.n_samples:
                    raise CgsimError(
                        f"{self.path}: no sample {index[-1]}, the trace has samples 0 to {self.n_samples - 1}"
                    )
        except TypeError:
            raise CgsimError(f"{self.path}: samples must be a slice or integers, got {samples!r}") from None
        return np.array(index, dtype=np.int64)

    def _block(self, group: int) -> list[NDArray[np.uint8]]:
        """Verified gates of a row group, per row layer uint8[B, packed_bytes]; a few are kept."""
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        block = self._container.read_gates(group)
        start = int(self._container.starts[group])
        for layer, rows in zip(layout.row_layers(self.network), block, strict=True):
            digests = self._container.digests[layer.name]
            for i, row in enumerate(rows):
                if layout.row_digest(start + i, layer.name, row.data) != digests[start + i].tobytes():
                    raise CgsimError(
                        f"{self.path}: layer {layer.name!r}: the gates of sample {start + i} are damaged "
                        "(checksum differs)"
                    )
            *lead, bits = layer.gate_shape
            if not padding_is_zero(rows.reshape(len(rows), *lead, (bits + 7) // 8), bits):
                raise CgsimError(f"{self.path}: layer {layer.name!r}: padding bits must be zero")
            if layer.operator == "gather":
                check_gathered(self.path, layer, count_bits(rows), start)
        self._cache[group] = block
        while len(self._cache) > _CACHED_BLOCKS:
            self._cache.popitem(last=False)
        return block
