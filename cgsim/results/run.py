"""A finished run: one row per sample and layer, gated and dense side by side, with its origin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import CgsimError
from cgsim.results import derive, files, tables
from cgsim.results.counted import CountedRun

if TYPE_CHECKING:
    from cgsim.results.paired import Paired
    from cgsim.results.plots import RunPlots

LAYERS_FILE = "layers.parquet"
SUMMARY_FILE = "summary.json"


class Run(CountedRun):
    """The result of `cgsim.simulate`: its figures, shown as tables and plots, kept as files."""

    @property
    def plot(self) -> RunPlots:
        """Plots: `run.plot.speedup_vs_flops("out.png")`, and so `cycles`, `latency` and `roofline`."""
        from cgsim.results.plots import RunPlots

        return RunPlots(self)

    def table(self, width: int = 80) -> str:
        """Return a text table per layer and in total that fits `width` characters (at least 72)."""
        return tables.run_table(self, width)

    def samples_needed(self, share: float) -> int | None:
        """Return about how many samples would give the speedup a confidence interval of ±`share` of it.

        As `simulate(..., until_ci=share)` wants it. None where this run, of one sample, cannot tell.

        Raises:
            CgsimError: `share` is not above 0.
        """
        from cgsim.results.statistics import samples_needed

        needed = samples_needed(self.confidence()["speedup"], share)
        return None if needed is None else needed * self.batch

    def paired(self, other: Run) -> Paired:
        """Compare with another run, sample by sample: how many times as fast `other` is (docs/statistics.md).

        Raises:
            CgsimError: the runs have no sample in common, or are of different data.
        """
        from cgsim.results.paired import paired, side_of_run

        return paired(side_of_run(self), side_of_run(other))

    def to_json(self) -> dict[str, Any]:
        """Return one JSON object: `summary`, `confidence`, `layers`, `units`, `provenance`, and more.

        `layers` lists one object per sample and layer, `mapping` the tilings, `fused` what was fused into
        other layers. Ratios that do not exist are null.
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
        told = {name: interval.to_json() for name, interval in self.confidence().items()}
        return {"summary": files.plain(self.summary()), "confidence": told}

    def _tail(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "provenance": files.plain(self.provenance),
            "mapping": files.plain(self.mapping),
            "fused": self.fused,
        }
