"""`xdseg record RECORD`: the receipts of one cell become its record."""

from pathlib import Path

from xdseg.cells import Context
from xdseg.files import temporary
from xdseg.panels import may_show, write_panel
from xdseg.records import PRODUCED, make_record, read_json, replicates_of, write_record
from xdseg.workflow import Plan


def record(path: Path, context: Context) -> None:
    """Write the record of the cell that the path stands for, and its panel if the suite's images may be shown."""
    plan = Plan(context.params)
    score, run, predictions = (read_json(Path(receipt)) for receipt in plan.record_inputs(str(path)))
    cell = plan.by_record[str(path)]
    contents = make_record(cell, run=run, predictions=predictions, score=score)
    stored = cell.folder / contents["confusion"]["name"]
    contents["confusion"]["name"] = path.with_suffix(".npz").name
    if may_show(context):
        contents["panel"] = write_panel(path, PRODUCED, cell)
    _copy_replicates(stored, path)
    write_record(path, contents, stored)


def _copy_replicates(confusion: Path, record: Path) -> None:
    """Those that lie beside a confusion, to beside its record; a score of before they were stored has none."""
    if replicates_of(confusion).exists():
        with temporary(replicates_of(record)) as unfinished:
            unfinished.write_bytes(replicates_of(confusion).read_bytes())
