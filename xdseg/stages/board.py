"""`xdseg board` builds tables and figures from records; `xdseg publish` copies them to where readers look."""

from pathlib import Path

from xdseg.files import temporary
from xdseg.params import Params
from xdseg.records import COMMITTED, PRODUCED, confusion_of
from xdseg.workflow import Plan

REPORTS = Path("reports")
UNPUBLISHED = {".log", ".time"}  # of the rule that built the board; they differ from run to run


def board(folder: Path, params: Params, *, partial: bool = False) -> None:
    """Build the board of the grid into `folder`; `partial` shows the cells without a record as missing."""
    from xdseg.reporting.board import build_board  # imports matplotlib
    from xdseg.reporting.records import load_record

    plan = Plan(params)
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
    records = [load_record(path) for path in paths if path.exists() or not partial]
    build_board(
        suite=plan.context.suite, classes=plan.context.lock.classes, expected=expected, records=records, out=folder
    )


def publish(folder: Path, params: Params) -> None:
    """Copy a board to reports/ and this grid's new records to records/; equal files keep their times."""
    plan = Plan(params)
    target = REPORTS / (params.grid.board or params.grid.suite)
    shown = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix not in UNPUBLISHED]
    copied = sum(_copy(path, target / path.name) for path in shown)
    recorded = 0
    for cell in plan.cells:
        produced = PRODUCED / cell.record_name
        for path in (confusion_of(produced), produced):
            if path.exists():
                recorded += _copy(path, COMMITTED / path.relative_to(PRODUCED))
    print(f"{target}: {copied} files changed; {COMMITTED}: {recorded} files changed", flush=True)


def _copy(source: Path, target: Path) -> bool:
    contents = source.read_bytes()
    if target.exists() and target.read_bytes() == contents:
        return False
    with temporary(target) as unfinished:
        unfinished.write_bytes(contents)
    return True
