"""What a run counted, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.engine.columns import COLUMNS
from cgsim.results import derive, naming

if TYPE_CHECKING:
    import pandas as pd

    from cgsim.results.statistics import Interval


class CountedRun:
    """The figures of a run, gated and dense; what tables and plots are made of.

    Args:
        columns: the columns of `cgsim.engine.columns.COLUMNS`, arrays of one length, sample-major, the same
            layers in the same order for every sample.
        provenance: the object of `cgsim.results.provenance`; its `hardware` gives array size and clock.
        mapping: the tile sizes chosen, one object per layer.
        fused: for each layer, the layers that were fused into it and have no row of their own.

    Raises:
        CgsimError: a column is missing or the rows are not in that order.
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        *,
        provenance: Mapping[str, Any],
        mapping: Sequence[Mapping[str, Any]] = (),
        fused: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._layers = derive.check_columns(columns)
        self._counted = {column.name: np.asarray(columns[column.name]) for column in COLUMNS}
        self.provenance: dict[str, Any] = dict(provenance)
        self.mapping: list[dict[str, Any]] = [dict(item) for item in mapping]
        self.fused: dict[str, list[str]] = {key: list(value) for key, value in (fused or {}).items()}
        self._confidence: dict[float, dict[str, Interval]] = {}

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Every result column as an array, counted and derived, one entry per sample and layer."""
        return self._counted | derive.derived(self._counted, self.processing_elements)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Every result column, one row per sample and layer (units: `units`)."""
        import pandas as pd

        return pd.DataFrame(self.columns)

    @property
    def units(self) -> dict[str, str]:
        """The unit of each column of `layers` and of each figure of `summary`."""
        return derive.UNITS | derive.summary_units()

    @property
    def processing_elements(self) -> int:
        """Rows x columns of the array."""
        array = self.provenance["hardware"]["array"]
        return int(array["rows"]) * int(array["cols"])

    @property
    def batch(self) -> int:
        """Samples that ran together; their cycles and bytes are shared out over the rows of all of them."""
        return naming.batch_of(self.provenance["hardware"])

    @property
    def samples(self) -> int:
        """Number of samples simulated."""
        return len(self._counted["sample"]) // self._layers

    def by_layer(self) -> dict[str, np.ndarray]:
        """Sums over the samples and their ratios, one entry per layer in execution order."""
        return derive.by_layer(self._counted, self._layers, self.processing_elements)

    def by_sample(self) -> dict[str, np.ndarray]:
        """Sums over the layers and their ratios, one entry per sample."""
        return derive.by_sample(self._counted, self._layers, self.processing_elements)

    def summary(self) -> dict[str, Any]:
        """Totals over layers and samples under the names of the columns, latencies and throughput.

        Ratios are those of the sums (`speedup` = all dense cycles / all gated cycles).
        """
        return derive.summary(
            self._counted,
            self._layers,
            self.provenance["hardware"],
            self.provenance["trace"]["metadata"],
            self.batch,
        )

    def confidence(self, level: float = 0.95) -> dict[str, Interval]:
        """Return confidence intervals of figures of `summary`, by name (docs/statistics.md).

        `speedup`, `flop_reduction`, `efficiency`, `offchip_reduction`, and of both modes `latency_ms_mean`
        and `latency_ms_p99`. Raises CgsimError for a level outside 0 to 1.
        """
        from cgsim.results.statistics import confidence

        if level not in self._confidence:
            self._confidence[level] = confidence(self, level=level)
        return dict(self._confidence[level])
