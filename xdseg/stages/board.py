"""`xdseg board` builds tables and figures from records; `xdseg publish` copies them to where readers look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.files import temporary
from xdseg.panels import TargetStrips, panel_of
from xdseg.params import Params
from xdseg.records import COMMITTED, PRODUCED, confusion_of, replicates_of
from xdseg.stages.about import about_board, key_of
from xdseg.stages.front import REPORTS, front
from xdseg.workflow import Plan

UNPUBLISHED = {".log", ".time"}  # of the rule that built the board; they differ from run to run


def board(folder: Path, params: Params, *, partial: bool = False) -> None:
    """Build the board of the grid into `folder`; `partial` shows the cells without a record as missing."""
    from xdseg.reporting.board import build_board  # imports matplotlib
    from xdseg.reporting.records import load_record
    from xdseg.reporting.replicates import of_record

    plan = Plan(params)
    _check_folder(folder, plan.partial if partial else plan.board)
    expected = [
        {
            "method": cell.method,
            "setting": cell.definition.setting,
            "source": cell.pair.origin,
            "target": cell.pair.target,
            "seed": cell.seed,
        }
        for cell in plan.cells
    ]
    paths = [Path(path) for path in [*plan.records, *plan.entered]]
    found = {path: _with_note(load_record(path), params) for path in paths if path.exists() or not partial}
    lock = plan.context.lock
    drawn = {key_of(one): of_record(path, one, lock.recordings(one["target"])) for path, one in found.items()}
    build_board(
        suite=plan.context.suite,
        classes=plan.context.lock.classes,
        expected=expected,
        records=list(found.values()),
        out=folder,
        about=about_board(plan, found),
        drawn=drawn,
    )


def _with_note(record: dict[str, Any], params: Params) -> dict[str, Any]:
    """A record's notes are words: what params.yaml says today counts, not what it said when the record was made."""
    if record["method"] not in params.methods:
        return record
    protocol = record["protocol"] | {"note": params.protocols[params.grid.protocol].note}
    return record | {"note": params.methods[record["method"]].note, "protocol": protocol}


def _check_folder(folder: Path, *wanted: str) -> None:
    if str(folder) not in wanted:
        raise BadInput(f"{folder}: not the board of the settings in force, {wanted[0]}; run snakemake again")


def publish(folder: Path, params: Params) -> None:
    """Copy a board to reports/ and this grid's new records to records/, and build the page of all boards anew.

    Equal files keep their times.
    """
    plan = Plan(params)
    _check_folder(folder, plan.board, plan.partial)
    target = REPORTS / (params.grid.board or params.grid.suite)
    shown = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix not in UNPUBLISHED]
    copied = sum(_copy(path, target / path.name) for path in shown)
    recorded = sum(_copy(path, COMMITTED / path.relative_to(PRODUCED)) for path in _produced(plan) if path.exists())
    try:
        front()
    except BadInput as error:  # another board's fault: this one is published all the same
        print(f"{error}; {REPORTS}/index.html is left as it was", flush=True)
    print(f"{target}: {copied} files changed; {COMMITTED}: {recorded} files changed", flush=True)


def _produced(plan: Plan) -> Iterator[Path]:
    """What may lie in results/records/ for this grid: what a record leans on, then the record."""
    for target in sorted({cell.pair.target for cell in plan.cells}):
        strips = TargetStrips.of(PRODUCED, plan.context, target)
        yield from (strips.images, strips.truth)
    for cell in plan.cells:
        produced = PRODUCED / cell.record_name
        yield from (confusion_of(produced), replicates_of(produced), panel_of(produced), produced)


def _copy(source: Path, target: Path) -> bool:
    contents = source.read_bytes()
    if target.exists() and target.read_bytes() == contents:
        return False
    with temporary(target) as unfinished:
        unfinished.write_bytes(contents)
    return True
