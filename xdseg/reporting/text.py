"""Fixed formats: the same value is the same text on every rerun."""

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO

MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~])")  # characters that could mean something in a table or a line
ARROW = "→"


def percent(fraction: float | None) -> str:
    """A fraction 0..1 in percent with two decimals, empty for None."""
    return fixed(None if fraction is None else 100 * fraction)


def points(value: float | None) -> str:
    """A difference of fractions in points; as `percent`, without a minus before 0."""
    text = percent(value)
    return text.lstrip("-") if text and not float(text) else text


def fixed(value: float | None, decimals: int = 2) -> str:
    """A number with a fixed count of decimals, empty for None."""
    return "" if value is None else f"{value:.{decimals}f}"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV with line feeds; None is empty, and cells are quoted only where they must be."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also inside a table."""
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def escaped_note(text: str) -> str:
    """The same of a text whose names in backticks are code, as Markdown has them too."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:  # one without its partner is a backtick
        return escaped(text)
    return "".join(f"`{part}`" if at % 2 else MARKDOWN.sub(r"\\\1", part) for at, part in enumerate(parts))
