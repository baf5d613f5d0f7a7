"""A finished run: one row per sample and layer, gated and dense side by side, with its origin."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.engine.columns import COLUMNS
from cgsim.errors import CgsimError
from cgsim.results import derive, files, tables

if TYPE_CHECKING:
    import pandas as pd

    from cgsim.results.plots import RunPlots

LAYERS_FILE = "layers.parquet"
SUMMARY_FILE = "summary.json"


class Run:
    """The result of `cgsim.simulate`.

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

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Every result column as an array, counted and derived, one entry per sample and layer."""
        return self._counted | derive.derived(self._counted, self.processing_elements)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Every result column, one row per sample and layer (units: `Run.units`)."""
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
            self.processing_elements,
            float(self.provenance["hardware"]["clock_mhz"]),
            self.provenance["trace"]["metadata"],
        )

    @property
    def plot(self) -> RunPlots:
        """Plots: `run.plot.speedup_vs_flops("out.png")`, `run.plot.cycles("out.pdf")`."""
        from cgsim.results.plots import RunPlots

        return RunPlots(self)

    def table(self, width: int = 80) -> str:
        """Return a text table per layer and in total that fits `width` characters (at least 72)."""
        return tables.run_table(self, width)

    def to_json(self) -> dict[str, Any]:
        """Return one JSON object: `summary`, `layers`, `units`, `provenance`, `mapping`, `fused`.

        `layers` lists one object per sample and layer. Ratios that do not exist are null.
        """
        columns = {name: files.plain(values) for name, values in self.columns.items()}
        names = list(columns)
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return self._head() | {"layers": rows, **self._tail()}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `layers.parquet` and `summary.json` into `folder`, which is made if missing.

        Each file appears only when it is complete. Raises CgsimError if the folder cannot be written.
        """
        metadata = {"provenance": self.provenance, "mapping": self.mapping, "fused": self.fused}
        target = Path(folder)
        files.write_parquet(
            target / LAYERS_FILE, self.columns, derive.UNITS, metadata, descriptions=derive.DESCRIPTIONS
        )
        files.write_json(target / SUMMARY_FILE, self._head() | self._tail())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Run:
        """Read a run that `save` wrote (only `layers.parquet` is needed).

        Raises CgsimError if the file is missing, damaged or from something else.
        """
        path = Path(folder) / LAYERS_FILE
        columns, metadata = files.read_parquet(path)
        origin = metadata.get("provenance")
        if not isinstance(origin, dict) or "hardware" not in origin or "trace" not in origin:
            raise CgsimError(f"{path}: is not a run of cgsim simulate (its provenance is missing)")
        try:
            return cls(
                columns, provenance=origin, mapping=metadata.get("mapping", ()), fused=metadata.get("fused")
            )
        except CgsimError as error:
            raise CgsimError(f"{path}: {error}") from None

    def __repr__(self) -> str:
        total = self.summary()
        name, hardware = self.provenance["trace"]["name"], self.provenance["hardware"]["name"]
        return (
            f"Run({name!r} on {hardware!r}: {self.samples} images, speedup {total['speedup']:.2f}, "
            f"FLOP reduction {total['flop_reduction']:.2f})"
        )

    def __str__(self) -> str:
        return self.table()

    def _head(self) -> dict[str, Any]:
        return {"summary": files.plain(self.summary())}

    def _tail(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "provenance": files.plain(self.provenance),
            "mapping": files.plain(self.mapping),
            "fused": self.fused,
        }
