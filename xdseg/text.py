"""Text for terminals and logs."""

import unicodedata

HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}  # controls, formats (writing direction among them), separators, surrogates


def harmless(text: str) -> str:
    """The text with every character escaped that would move a cursor, end a line, or change how others are read.

    Names of files and entries of records come from others: an escape sequence in one must not reach a terminal, and a
    line end in one must not look like a line of XDSeg's own. Letters of every script stay.
    """
    return "".join(
        _escaped(character) if unicodedata.category(character) in HIDDEN else character for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
