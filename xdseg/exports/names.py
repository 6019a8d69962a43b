"""Which predictions a server expects, and which are there."""

import re
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from xdseg.errors import BadInput
from xdseg.exports.contract import Server

TOLD = 10  # names that one line spells out
PNG = ".png"


def expected_names(server: Server, predictions: Path, root: Path | None) -> list[str]:
    """Names of the server's images, sorted: the data set's below `root`, else those given, if they can be all.

    Raises one BadInput with every name that is missing or does not belong; nothing is decoded.
    """
    given = given_names(predictions)
    if root is not None:
        return _compared(server, predictions, given, sorted(set(server.images(root))))
    foreign = [name for name in given if not re.fullmatch(server.pattern, name)]
    if foreign:
        raise BadInput(
            f"{predictions}: {len(foreign)} of {len(given)} names are none of {server.title}'s test images: "
            f"{_first(foreign)}; name them as in {server.example}{PNG}"
        )
    if len(given) != server.count:
        raise BadInput(
            f"{predictions}: {len(given)} predictions, {server.title}'s test split has {server.count}; "
            "predict the whole split, or give the data set with --root to see which are missing"
        )
    return given


def given_names(predictions: Path) -> list[str]:
    """Names of the predictions in a folder, or at the top of a zip, sorted. Raises BadInput if it is neither."""
    if predictions.is_dir():
        files = [path.name for path in predictions.iterdir() if path.is_file()]
    else:
        try:
            with ZipFile(predictions) as archive:
                files = [name for name in archive.namelist() if "/" not in name]
        except (OSError, BadZipFile) as error:
            raise BadInput(f"{predictions}: no readable zip or folder of predictions ({error})") from None
    return sorted(name.removesuffix(PNG) for name in files if name.endswith(PNG) and not name.startswith("."))


def _compared(server: Server, predictions: Path, given: list[str], expected: list[str]) -> list[str]:
    if not expected:
        raise BadInput(f"export: no test image of {server.title} below --root; extract the data set there")
    missing, foreign = sorted({*expected} - {*given}), sorted({*given} - {*expected})
    lines = [
        f"  {kind} ({len(names)}): {_first(names)}"
        for kind, names in (("missing", missing), ("no test image", foreign))
        if names
    ]
    if lines:
        said = f"{predictions}: {len(missing) + len(foreign)} names differ from {server.title}'s test images"
        raise BadInput("\n".join([f"{said}; predict that split, whole", *lines]))
    return expected


def _first(names: list[str]) -> str:
    return ", ".join(names[:TOLD]) + (f" and {len(names) - TOLD} more" if len(names) > TOLD else "")
