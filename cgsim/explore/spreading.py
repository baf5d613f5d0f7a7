"""Runs whose samples are spread over tasks: pieces go out, and outcomes come together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cgsim.errors import CgsimError
from cgsim.explore.cutting import make_task
from cgsim.explore.pieces import join_pieces, piece_slices
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.tasks import Outcome, Task
from cgsim.results.files import read_parquet, write_parquet


class Spread:
    """The pieces of a plan's runs, `size` samples each; those in `folder` are there already, if it is given.

    Attributes:
        done: samples that are replayed so far, or will not be because their run failed.
    """

    def __init__(
        self, plan: Plan, runs: Sequence[Planned], size: int, check: bool, folder: Path | None
    ) -> None:
        self.done = 0
        self._plan, self._size, self._check, self._folder = plan, size, check, folder
        self._runs = {run.key: run for run in runs}
        self._slices: dict[str, list[slice]] = {}
        self._found: dict[str, dict[int, Outcome]] = {}
        self._failed: set[str] = set()

    @property
    def samples(self) -> int:
        """Of all the runs."""
        return sum(len(self._samples(run)) for run in self._runs.values())

    def tasks(self) -> Iterator[Task]:
        """Yield a task for each piece that is missing, run by run."""
        for run in self._runs.values():
            chosen = self._samples(run)
            pieces = list(piece_slices(len(chosen), self._size, run.point.hardware.mapping.batch))
            self._slices[run.key] = pieces
            kept = self._kept(run.key, pieces)
            if len(kept) == len(pieces):  # killed between the last of them and the outcome of the run
                kept.pop(pieces[-1].start)
            self._found[run.key] = kept
            self.done += sum(piece.stop - piece.start for piece in pieces if piece.start in kept)
            for piece in pieces:
                if piece.start not in kept and run.key not in self._failed:
                    yield make_task(self._plan, [run], self._check, chosen[piece], piece.start)

    def add(self, outcome: Outcome) -> Outcome | None:
        """Take in the outcome of a piece.

        Return the outcome of its run if this was the last of it, or the first that failed.
        """
        key = outcome.key
        if key in self._failed or outcome.piece is None:
            return None
        run, pieces, found = self._runs[key], self._slices[key], self._found[key]
        if outcome.columns is None:
            self._failed.add(key)
            self.done += sum(piece.stop - piece.start for piece in pieces if piece.start not in found)
            found.clear()
            return Outcome(key, None, outcome.error)
        found[outcome.piece] = outcome
        (piece,) = (one for one in pieces if one.start == outcome.piece)
        self.done += piece.stop - piece.start
        if len(found) == len(pieces):
            return join_pieces(self._plan.traces[run.trace], run.point.hardware, list(found.values()))
        self._keep(outcome, piece)
        return None

    def forget(self, key: str) -> None:
        """Remove what is kept of a run, whose outcome is kept now."""
        self._found[key] = {}
        if self._folder is not None:
            for piece in self._slices[key]:
                self._file(key, piece).unlink(missing_ok=True)

    def _samples(self, run: Planned) -> tuple[int, ...]:
        samples = self._plan.samples
        return tuple(range(self._plan.traces[run.trace].n_samples)) if samples is None else samples

    def _keep(self, outcome: Outcome, piece: slice) -> None:
        if self._folder is not None and outcome.columns is not None:
            about = {"checked": outcome.checked, "seconds": outcome.seconds}
            write_parquet(self._file(outcome.key, piece), outcome.columns, {}, about)

    def _kept(self, key: str, pieces: Sequence[slice]) -> dict[int, Outcome]:
        """Return the pieces of a run that are kept, by their first sample; damaged ones are done again."""
        kept: dict[int, Outcome] = {}
        for piece in pieces if self._folder is not None else ():
            path = self._file(key, piece)
            if not path.exists():
                continue
            with suppress(CgsimError, KeyError):
                columns, about = read_parquet(path)
                if about["checked"] or not self._check:
                    checked, seconds = about["checked"], about["seconds"]
                    kept[piece.start] = Outcome(
                        key, None, checked=checked, seconds=seconds, piece=piece.start, columns=columns
                    )
        return kept

    def _file(self, key: str, piece: slice) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}-{piece.start}-{piece.stop}.parquet"
