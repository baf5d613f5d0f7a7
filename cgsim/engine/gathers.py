"""Gathers: the vector unit copies the channels that a sample's gates pick."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from cgsim.engine.on_vector import Reads, on_vector_unit
from cgsim.engine.replays import Replayed, VectorLayer, batches, share_out
from cgsim.mapping.gather import gathered_pieces
from cgsim.mapping.keep import Residency
from cgsim.mapping.vector import vector_rows, vector_tiles
from cgsim.trace.pack import unpack_bits


class Gather(VectorLayer):
    """A gather. Which channels it takes, and so where it reads, depends on the sample, in both modes."""

    def dense(self, samples: np.ndarray, batch: int) -> Replayed:
        """The same channels as in gated execution: the network has no others to go on with."""
        return self._without_gates(self._called(self._gathered(samples, batch, self.kept.dense), batch))

    def _replayed(self, samples: np.ndarray, batch: int) -> Replayed:
        found = self._without_gates(self._gathered(samples, batch, self.kept.gated))
        share = self.layer.out_channels / self.layer.in_shape[0]
        return Replayed(found.counts, found.work, np.full(len(samples), share))

    def _gathered(self, samples: np.ndarray, batch: int, residency: Residency) -> np.ndarray:
        words = self.trace.gates(self.layer.name, samples)
        picks = unpack_bits(words.view(np.uint8), self.layer.in_shape[0])
        parts = [picks[part] for part in batches(len(samples), batch)]
        return np.concatenate([share_out(self._batch(part, residency)[None], len(part)) for part in parts])

    def _batch(self, picks: np.ndarray, residency: Residency) -> np.ndarray:
        """Counts of a batch that takes the channels `picks` bool [samples, channels]: int64 [RESULTS]."""
        where = b"" if residency.input_kept else np.packbits(picks).tobytes()
        key = (len(picks), where, residency)
        if key not in self._by_picks:
            self._by_picks[key] = self._run(picks, residency)
        return self._by_picks[key]

    def _run(self, picks: np.ndarray, residency: Residency) -> np.ndarray:
        layer = self.layer
        tiles = np.tile(vector_tiles(layer, self.hardware, residency), (len(picks), 1))
        finished = layer.out_channels * layer.pixels * len(picks)
        if residency.input_kept:
            return on_vector_unit(tiles, self.hardware, finished=finished)
        rows = vector_rows(layer, self.hardware, residency)
        pieces = list(gathered_pieces(self.operation, self.hardware, picks, rows))
        of = np.cumsum([0, *map(len, pieces)])
        size = layer.in_shape[0] * layer.in_shape[1] * layer.in_shape[2] * layer.activation_bits
        reads = Reads(np.concatenate(pieces), of, len(picks) * size)
        return on_vector_unit(tiles, self.hardware, reads=reads, finished=finished)

    @cached_property
    def _by_picks(self) -> dict[tuple[int, bytes, Residency], np.ndarray]:
        return {}
