"""What the engine reads of a trace."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cgsim.trace.network import Network


class Gates(Protocol):
    """A network and its gates, sample by sample (`cgsim.trace.Trace`)."""

    @property
    def network(self) -> Network:
        """The network that was traced."""

    @property
    def n_samples(self) -> int:
        """Samples of the trace."""

    @property
    def checksum(self) -> str:
        """Differs where the gates differ."""

    def gates(self, layer_name: str, samples: Any = None) -> np.ndarray:
        """Packed gates, uint64 [S, N, W], [S, W] or [W]."""

    def channels_on(self, layer_name: str, samples: Any = None) -> np.ndarray:
        """Output channels that are on, bool [S, N]."""

    def inputs_on(self, layer_name: str, samples: Any = None) -> np.ndarray | None:
        """Input channels that are on, bool [S, Cin]; None if all always are."""

    def density(self, layer_name: str) -> np.ndarray:
        """Share of the gates that are on, float [n_samples]."""

    def gated_macs(self, layer_name: str) -> np.ndarray:
        """Executed MACs per sample, int64 [n_samples]."""
