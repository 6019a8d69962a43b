"""`xdseg export-records BOARD... OUT`: committed records of boards, and what they lean on, in one file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xdseg import __version__
from xdseg.cells import Run
from xdseg.data.locks import Lock
from xdseg.errors import BadInput
from xdseg.exchange.checks import Check
from xdseg.exchange.leaning import Split, digests, files_of, splits_of
from xdseg.exchange.manifest import LONGEST, SCHEMA, Manifest, is_line, origin_of
from xdseg.exchange.pack import unpack, write_pack
from xdseg.files import file_digest, temporary
from xdseg.panels import may_show
from xdseg.records import COMMITTED, matches
from xdseg.reporting.records import load_record
from xdseg.settings.suites import Suite
from xdseg.stages.boards import settings_of
from xdseg.workflow import Plan


@dataclass
class Contents:
    """What goes into a pack, gathered board by board."""

    files: dict[str, Path] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    trainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    splits: dict[str, set[Split]] = field(default_factory=dict)  # by suite
    locks: dict[str, Lock] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)

    def add(self, plan: Plan) -> tuple[int, int]:
        """Take a board's committed records; returns how many these are, and how many cells the grid has."""
        cells = [cell for cell in plan.cells if matches(COMMITTED / cell.record_name, cell)]
        for cell in cells:
            self._train(cell.run)
        paths = [COMMITTED / cell.record_name for cell in cells]
        for path in [*paths, *map(Path, plan.entered)]:
            self._record(path, plan)
        return len(cells), len(plan.cells)

    def _train(self, run: Run | None) -> None:
        if run and run.fingerprint not in self.trainings:
            self.trainings[run.fingerprint] = run.payload
            self._train(run.parent)

    def _record(self, path: Path, plan: Plan) -> None:
        context, record = plan.context, load_record(path)
        self.suites[context.suite], self.locks[context.suite] = context.params.suites[context.suite], context.lock
        self.splits.setdefault(context.suite, set()).update(splits_of(record, self.trainings))
        self.records[str(path)] = record
        files = files_of(path, record, root=COMMITTED, lock=context.lock, images=may_show(context))
        self.files |= {str(file): file for file in files if file.exists()}

    def manifest(self, boards: Sequence[str], origin: str) -> Manifest:
        """What the pack says of itself."""
        return Manifest(
            schema=SCHEMA,
            xdseg=__version__,
            origin=origin_of(origin, self.records.values()),
            boards=list(boards),
            locks={suite: digests(lock, self.splits[suite]) for suite, lock in sorted(self.locks.items())},
            trainings=self.trainings,
            files={name: file_digest(path) for name, path in self.files.items()},
        )


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
        found, wanted = contents.add(Plan(params))
        boards.append(params.grid.board or params.grid.suite)
        if found < wanted:
            print(f"{boards[-1]}: {wanted - found} of {wanted} cells have no committed record", flush=True)
    if not contents.records:
        raise BadInput(f"export-records: no committed record of {', '.join(boards)}; publish the boards by snakemake")
    manifest = contents.manifest(boards, origin)
    with temporary(out) as unfinished, TemporaryDirectory() as folder:
        write_pack(unfinished, manifest, contents.files)
        check = Check(unpack(unfinished, Path(folder)), Path(folder), contents.suites).run()
        if check.faults:
            raise BadInput("\n".join(check.faults))
    print(f"{out}: {len(contents.records)} records, {len(contents.files)} files, read back and checked", flush=True)
