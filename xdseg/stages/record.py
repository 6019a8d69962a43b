"""`xdseg record RECORD`: the receipts of one cell become its record."""

from pathlib import Path

from xdseg.cells import Context, expand
from xdseg.errors import BadInput
from xdseg.records import PRODUCED, make_record, read_json, write_record
from xdseg.workflow import Plan


def record(path: Path, context: Context) -> None:
    """Write the record of the cell that the path stands for."""
    cells = {str(PRODUCED / cell.record_name): cell for cell in expand(context).cells}
    if str(path) not in cells:
        raise BadInput(f"{path}: no record that the settings in force ask for; run snakemake again")
    cell = cells[str(path)]
    receipts = Plan(context.params).record_inputs(str(path))
    score, run, predictions = (read_json(Path(receipt)) for receipt in receipts)
    contents = make_record(cell, run=run, predictions=predictions, score=score)
    stored = cell.folder / contents["confusion"]["name"]
    contents["confusion"]["name"] = path.with_suffix(".npz").name
    write_record(path, contents, stored)
