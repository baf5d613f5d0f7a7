"""The one error that cgsim shows to a user: bad input, told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class CgsimError(Exception):
    """Bad input. The message names the file, the key or layer, and what was expected.

    The command line prints it on one line and exits with code 2.
    """


class ListedError(CgsimError):
    """Bad input with more than one thing wrong: `head` says what, and `problems` are listed after it.

    As text it is one line, too. The command line gives every problem a paragraph of its own.
    """

    def __init__(self, head: str, problems: Sequence[str]) -> None:
        super().__init__(f"{head}: {'; '.join(problems)}")
        self.head = head
        self.problems = tuple(problems)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the valid name closest to `name`, else the valid names.

    Where no name is close, one that is but for capitals counts.
    """
    names = list(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not close:
        folded = {valid_name.casefold(): valid_name for valid_name in reversed(names)}
        close = [folded[x] for x in difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)]
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (valid: {', '.join(names)})" if names else ""
