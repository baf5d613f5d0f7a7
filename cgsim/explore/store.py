"""A results folder as runs see it: outcomes go in as they arrive, and are there after any end."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from cgsim.errors import CgsimError
from cgsim.explore.journal import Journal, read_journal
from cgsim.explore.parts import Parts
from cgsim.explore.tasks import Outcome
from cgsim.results.files import check_folder

PARTS_FOLDER = "parts"
PIECES_FOLDER = "pieces"
JOURNAL_FILE = "journal.jsonl"
LOCK_FILE = "lock"
MOST_JOURNAL_BYTES = 16 << 20
"""A longer journal becomes a part: some 2000 runs of 64 samples."""


class Store:
    """The outcomes of a folder's runs, in `parts/`: a journal of the latest, Parquet parts of the others.

    To be used in a `with` block, in which the folder is locked against other writers. An outcome is safe when
    `add` returns: a kill at any moment leaves a folder that the next Store reads. Of several outcomes of one
    run the latest counts. What an end left in the journal becomes a part at the next start.

    Raises:
        CgsimError: the folder cannot be written, is in use, or holds damaged parts or those of another cgsim.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = folder / PARTS_FOLDER
        self._recent: list[Outcome] = []

    def __enter__(self) -> Store:
        from filelock import FileLock, Timeout

        check_folder(self.folder)
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._place / LOCK_FILE)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise CgsimError(f"{self.folder}: in use: another cgsim writes to it") from None
        except OSError as error:
            raise CgsimError(f"{self._place}: cannot be written: {error.strerror or error}") from error
        try:
            for left in self._place.rglob(".*.tmp"):  # a kill while a part was written; the lock is held
                left.unlink(missing_ok=True)
            self._parts = Parts(self._place)
            self._recent = list(read_journal(self._place / JOURNAL_FILE))
            self._journal = Journal(self._place / JOURNAL_FILE)
        except BaseException:
            self._lock.release()
            raise
        try:
            self.compact()
            self._clear_pieces()
            self._parts.begin()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.compact()
            self._clear_pieces()
        finally:
            self._end()

    def _clear_pieces(self) -> None:
        """Remove the pieces of runs that are whole: a kill, or a run that was not spread again, left them."""
        files = list(self.pieces.glob("*.parquet"))
        if not files and not self.pieces.exists():
            return
        keys = {file: file.name.partition("-")[0] for file in files}
        whole = {key for key, state in self.states(set(keys.values())).items() if state.summary is not None}
        for file in files:
            if keys[file] in whole:
                file.unlink(missing_ok=True)
        with suppress(OSError):
            self.pieces.rmdir()  # if it is empty

    def _end(self) -> None:
        self._journal.close()
        self._lock.release()

    @property
    def pieces(self) -> Path:
        """Where pieces of runs whose samples are spread are kept until the run is whole; may not exist."""
        return self._place / PIECES_FOLDER

    def add(self, outcome: Outcome) -> None:
        """Keep the outcome of a whole run."""
        self._recent.append(outcome)  # first: should Ctrl-C come between, the next part has it
        self._journal.append(outcome)
        if self._journal.size > MOST_JOURNAL_BYTES:
            self.compact()

    def states(self, keys: Collection[str]) -> dict[str, Outcome]:
        """Return the outcomes of those of `keys` that are there, without figures (see `Parts.states`)."""
        wanted = set(keys)
        found = {outcome.key: outcome for outcome in self._parts.states() if outcome.key in wanted}
        return found | {outcome.key: outcome for outcome in self._recent if outcome.key in wanted}

    def outcomes(self, keys: Collection[str]) -> dict[str, Outcome]:
        """Return the outcomes of those of `keys` that are there, whole."""
        wanted = set(keys)
        found = {outcome.key: outcome for outcome in self._parts.outcomes(wanted)}
        return found | {outcome.key: outcome for outcome in self._recent if outcome.key in wanted}

    def compact(self) -> None:
        """Move the journal's outcomes into a part.

        In this order, so that nothing is lost between: the part, the index that names it, the empty journal.
        A kill before the last leaves outcomes in both, which does no harm.
        """
        if self._recent:
            self._parts.add(self._recent)
            self._recent = []
        self._journal.clear()


def done_runs(folder: Path, keys: Collection[str]) -> dict[str, Outcome]:
    """Return what is known of those of `keys` in a folder, without figures, and change nothing.

    For a plan that asks how much is left to do. Raises CgsimError on damaged parts.
    """
    wanted, place = set(keys), folder / PARTS_FOLDER
    found = {outcome.key: outcome for outcome in Parts(place).states() if outcome.key in wanted}
    journal = read_journal(place / JOURNAL_FILE)
    return found | {outcome.key: outcome for outcome in journal if outcome.key in wanted}
