"""`xdseg export SERVER PREDICTIONS OUT`: the zip that a test server takes, and what to know before uploading it."""

from pathlib import Path

from xdseg.exports.archive import write_archive
from xdseg.exports.contract import Server
from xdseg.exports.registry import server as server_of

MEGABYTE = 1e6


def export(server: str, predictions: Path, out: Path, *, root: Path | None = None, invalid: Path | None = None) -> None:
    """Write the zip and say what it holds. Raises BadInput as `write_archive` does, and for an unknown server."""
    chosen = server_of(server)
    written = write_archive(chosen, predictions, out, root=root, invalid=invalid)
    print(f"{out}: {written.images} images of {chosen.title}, {written.size / MEGABYTE:.1f} MB, read back and checked")
    for line in notes(chosen, named=root is not None, invalid=invalid):
        print(line)


def notes(server: Server, *, named: bool, invalid: Path | None) -> list[str]:
    """What to know before uploading: where, what could not be checked, what the predictions do not say."""
    lines = [f"upload it at {server.where}"]
    if not named:
        lines.append("number and form of the names were checked; --root DATASET compares them with the test images")
    takes = [folder.name for folder in server.folders if folder.holds == "invalid"]
    if takes and invalid is None:
        lines.append(f"{takes[0]} holds the same predictions, no pixel called invalid; --invalid gives others")
    lines += server.remarks
    return lines + [f"unconfirmed: {text}" for text in server.unconfirmed]
