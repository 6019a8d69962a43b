"""`xdseg record RECORD`: the receipts of one cell become its record."""

from pathlib import Path

from xdseg.cells import Context
from xdseg.panels import may_show, write_panel
from xdseg.records import PRODUCED, make_record, read_json, write_record
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
    write_record(path, contents, stored)
