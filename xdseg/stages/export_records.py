"""`xdseg export-records BOARD... OUT`: committed records of boards, and what they lean on, in one file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from xdseg.errors import BadInput
from xdseg.exchange.checks import check
from xdseg.exchange.gather import Contents
from xdseg.exchange.manifest import LONGEST, is_line
from xdseg.exchange.pack import unpack, write_pack
from xdseg.files import temporary
from xdseg.stages.boards import settings_of
from xdseg.workflow import Plan


def export_records(names: Sequence[str], out: Path, *, origin: str, overlays: Iterable[Path] = ()) -> None:
    """Write the pack. It is read back as its receiver will, so that what would be refused there is refused here.

    Raises BadInput where a name is no board, no record is committed, or a record does not hold; then nothing is
    written, and what `out` held stays.
    """
    if not is_line(origin):
        raise BadInput(f"--origin {origin!r}: one line of 1 to {LONGEST} characters, such as 'lab of A. Example'")
    contents, boards = Contents(), []
    for name in names:
        params = settings_of(name, overlays)
        boards.append(params.grid.board or params.grid.suite)
        found, wanted = contents.add(Plan(params))
        if found < wanted:
            print(f"{boards[-1]}: {wanted - found} of {wanted} cells have no committed record", flush=True)
    if not contents.records:
        raise BadInput(f"export-records: no committed record of {', '.join(boards)}; publish the boards by snakemake")
    _write(out, contents, boards, origin)
    print(f"{out}: {len(contents.records)} records, {len(contents.files)} files, read back and checked", flush=True)


def _write(out: Path, contents: Contents, boards: Sequence[str], origin: str) -> None:
    with temporary(out) as unfinished, TemporaryDirectory() as folder:
        write_pack(unfinished, contents.manifest(boards, origin), contents.files)
        found = check(unpack(unfinished, Path(folder)), Path(folder), contents.suites)
        if found.faults:
            raise BadInput("\n".join(found.faults))
