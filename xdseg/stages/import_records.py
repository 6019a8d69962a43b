"""`xdseg import-records PACK`: another project's records become records here, marked as such, all of them or none."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xdseg.errors import BadInput
from xdseg.exchange.checks import check
from xdseg.exchange.locks import locked_here
from xdseg.exchange.manifest import Manifest
from xdseg.exchange.pack import unpack
from xdseg.files import file_digest, write_json
from xdseg.panels import FOLDER
from xdseg.params import Params
from xdseg.records import COMMITTED
from xdseg.reporting.origin import IMPORTED


def import_records(pack: Path, params: Params) -> None:
    """Check the pack against the suites of the settings in force, and write what is not here yet.

    Raises BadInput with a line per reason to refuse it; then nothing is written.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        manifest = unpack(pack, folder)
        suites, faults = locked_here(params.suites, manifest.locks)
        found = check(manifest, folder, suites)
        if faults := faults + found.faults:
            raise BadInput("\n".join(f"{pack}: {fault}" for fault in faults))
        new = {name: record for name, record in found.records.items() if name not in found.known}
        hop = {"origin": manifest.origin.who, "pack": file_digest(pack)}
        for name, record in new.items():
            write_json(folder / name, marked(record, hop))
        _write(folder, [*_order(manifest, new)])
    print(f"{pack}: from {manifest.origin.who}: {len(new)} records taken, {len(found.known)} were here", flush=True)


def marked(record: dict[str, Any], hop: dict[str, str]) -> dict[str, Any]:
    """The record with who handed it on, after those before."""
    return record | {IMPORTED: [*(record.get(IMPORTED) or []), hop]}


def _order(manifest: Manifest, new: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Files to write: what records lean on, then the records, so that none is ever without."""
    for name in sorted(manifest.files):
        strips = FOLDER in Path(name).parts
        record = str(Path(name).with_suffix(".json"))
        if name != record and (record in new or (strips and not Path(name).exists())):
            yield name
    yield from sorted(new)


def _write(folder: Path, names: list[str]) -> None:
    """Copy to the disk of records/ first, then rename file by file: a kill leaves no part of one."""
    if not names:
        return
    COMMITTED.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=COMMITTED, prefix=".import-") as scratch:
        staged = {name: Path(scratch) / str(number) for number, name in enumerate(names)}
        for name, path in staged.items():
            path.write_bytes((folder / name).read_bytes())
        for name, path in staged.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(name)
