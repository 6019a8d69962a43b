"""The one exception for what a user can mend, and the hint that goes with a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(Exception):
    """Input that cannot be used: one line that names the file or key, the finding and the mend.

    Raised anywhere, caught once in `xdseg.cli`, which prints the line and exits with code 2.
    """


class NotThere(BadInput):
    """A folder or list that is missing altogether, as where only a part of a data set was fetched."""


class TrainingFailed(Exception):
    """A run that cannot go on through no fault of its input (a loss that is not finite); exit code 1."""


class Terminated(Exception):
    """A run that was asked to stop, by SIGTERM, and has saved its state; exit code 143, as of whoever dies of it."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The nearest known name as a question, or the list of known ones."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
