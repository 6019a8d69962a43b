"""The zip for a test server: written under a hidden name, read back and checked, and only then put in its place."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from xdseg.errors import BadInput
from xdseg.evaluation.predictions import FAULTS, READABLE, Predictions
from xdseg.exports.coding import encoded, fault_of
from xdseg.exports.contract import Folder, Server
from xdseg.exports.names import expected_names
from xdseg.files import temporary


@dataclass(frozen=True)
class Exported:
    """What was written."""

    images: int
    size: int  # of the zip, in bytes


def write_archive(
    server: Server, predictions: Path, out: Path, *, root: Path | None = None, invalid: Path | None = None
) -> Exported:
    """Write the zip that `server` wants at `out`; equal predictions give equal bytes.

    `predictions` (and `invalid`, those for an uncertainty-aware score, which may hold 255) are zips or folders of
    NAME.png class ids. With `root`, the extracted data set, its test images are the expected names; else the number
    of predictions and the form of their names are checked. Raises one BadInput with all faults; then nothing is
    written, and what `out` held stays.
    """
    _check_paths(server, predictions, out, invalid)
    names = expected_names(server, predictions, root)
    if invalid is not None and expected_names(server, invalid, root) != names:
        raise BadInput(f"{invalid}: other names than in {predictions}; predict the same images for both")
    with temporary(out) as unfinished:
        _write(unfinished, server, names, {"classes": predictions, "invalid": invalid or predictions})
        check_archive(unfinished, server, names)
        size = unfinished.stat().st_size
    return Exported(images=len(names), size=size)


def _check_paths(server: Server, predictions: Path, out: Path, invalid: Path | None) -> None:
    if out.suffix != ".zip":
        raise BadInput(f"{out}: a test server takes a zip; name the result NAME.zip")
    given = [path for path in (predictions, invalid) if path is not None and path.exists()]
    if out.exists() and any(out.samefile(path) for path in given):
        raise BadInput(f"{out}: is the predictions themselves; name another file for the result")
    if invalid is not None and all(folder.holds != "invalid" for folder in server.folders):
        raise BadInput(f"export: {server.name} takes no predictions with invalid pixels; leave --invalid out")


def _write(path: Path, server: Server, names: list[str], given: dict[str, Path]) -> None:
    faults: list[str] = []
    with ZipFile(path, "w") as archive, ExitStack() as opened:
        read = {holds: opened.enter_context(Predictions(source)) for holds, source in given.items()}
        for folder in server.folders:
            for name in names:
                try:
                    data = encoded(server, folder, name, read.get(folder.holds, read["classes"]))
                except BadInput as error:
                    faults.append(str(error))
                    continue
                member = ZipInfo(_member(server, folder, name))  # dated 1980-01-01
                member.external_attr = READABLE
                archive.writestr(member, data)
    if faults := list(dict.fromkeys(faults)):
        more = [f"and {len(faults) - FAULTS} more"] if len(faults) > FAULTS else []
        raise BadInput("\n".join([*faults[:FAULTS], *more]))


def _member(server: Server, folder: Folder, name: str) -> str:
    return f"{folder.name}/{name}{server.ending}" if folder.name else f"{name}{server.ending}"


def check_archive(path: Path, server: Server, names: list[str]) -> None:
    """Read a written zip back: its members, their sizes, bits and ids. Raises BadInput for what the server refuses."""
    with ZipFile(path) as archive:
        wanted = [_member(server, folder, name) for folder in server.folders for name in names]
        if archive.namelist() != wanted:
            raise BadInput(f"{path}: its members are not those that {server.title} expects; export again")
        for folder in server.folders:
            for member in (_member(server, folder, name) for name in names):
                if fault := fault_of(archive.read(member), server, folder):
                    raise BadInput(f"{path}: {member}: {fault}; export again")
