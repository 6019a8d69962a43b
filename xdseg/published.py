"""Results that others have published, each with its protocol as far as it is known and how surely it is known.

`reporting/published.csv` holds one row per method, backbone, setting, source and target. An empty field means that no
source at hand says it; nothing is guessed. How a number is known (`provenance`, joined by + where there are several):

    M          recalled, and its per-class row averages to it
    m          recalled, not checked
    R          read in a project's README
    I          read in an issue of a project
    C          read in a project's code or configuration
    P          read in the paper's own tables
    secondary  read in a table of somebody else's paper

`confirmed` is yes where one of M, R, I, C and P stands; the others are hidden unless asked for.
"""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from xdseg.errors import BadInput

PUBLISHED = Path(__file__).parent / "reporting" / "published.csv"
LENGTHS = {"19": 19, "16": 16, "16a": 16, "16b": 16, "13": 13}  # classes per subset
SURE = frozenset("MRICP")

Percent = Annotated[Decimal, Field(ge=0, le=100)]
Points = Annotated[Decimal, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Year = Annotated[int, Field(ge=2015, le=2100)]
OrEmpty = BeforeValidator(lambda text: text or None)  # an empty field is None


def _percents(text: str) -> list[str]:
    return text.split(";") if text else []


def _tags(text: str) -> list[str]:
    return text.split("+")


class Published(BaseModel, extra="forbid", frozen=True):
    """One published number. Decimals keep the digits that were published."""

    method: str = Field(min_length=1)
    setting: Literal["uda", "dg", "source-only", "oracle"]
    backbone: str
    init_weights: str
    source: str = Field(pattern=r"^[a-z0-9_]+(\+[a-z0-9_]+)*$")  # several are joined by +
    source_split: str
    target: str = Field(pattern=r"^([a-z0-9_]+|mean\([a-z0-9_]+(,[a-z0-9_]+)+\))$")  # or a mean over several
    target_split: str
    label_map: str  # of Mapillary, wherever it stands
    class_subset: Literal["19", "16", "16a", "16b", "13", ""]  # 16: which of the two is not known
    miou: Percent
    per_class: Annotated[tuple[Percent, ...], BeforeValidator(_percents)]  # in the subset's order; may be empty
    test_size: str  # height x width of the network's input
    mode: str  # whole, or slide WINDOW/STRIDE
    ckpt_rule: str
    n_seeds: Annotated[Count | None, OrEmpty]
    std: Annotated[Points | None, OrEmpty]  # over seeds, in points
    extra_data: str
    paper: str  # publication or project that states the number
    year: Annotated[Year | None, OrEmpty]
    provenance: Annotated[
        tuple[Literal["M", "m", "R", "I", "C", "P", "secondary"], ...], BeforeValidator(_tags), Field(min_length=1)
    ]
    confirmed: Literal["yes", "no"]
    note: str

    @property
    def sure(self) -> bool:
        """Is the number confirmed?"""
        return self.confirmed == "yes"

    @property
    def parts(self) -> tuple[str, ...]:
        """The targets that it is a mean over; of a single target, that alone."""
        return tuple(self.target.removeprefix("mean(").removesuffix(")").split(","))

    def fields(self) -> list[str]:
        """The row as it stands in the file."""
        texts = self.model_dump() | {
            "per_class": ";".join(map(str, self.per_class)),
            "provenance": "+".join(self.provenance),
        }
        return ["" if value is None else str(value) for value in texts.values()]


COLUMNS = tuple(Published.model_fields)


def read(
    path: Path = PUBLISHED,
    *,
    unconfirmed: bool = False,
    source: str | None = None,
    target: str | None = None,
    setting: str | None = None,
) -> list[Published]:
    """Rows in the file's order, of one source, target or setting where given; confirmed ones unless asked for all.

    Raises BadInput that names file, line and column of every field that cannot be used.
    """
    rows = _rows(path)
    asked = {"source": source, "target": target, "setting": setting}
    return [
        row
        for row in rows
        if (unconfirmed or row.sure) and all(value in (None, getattr(row, key)) for key, value in asked.items())
    ]


def _rows(path: Path) -> list[Published]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not readable ({error}); name a table of published results") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, faults = [], []
    try:
        _check_header(path, next(reader, []))
        for fields in reader:
            _take(rows, faults, fields, place=f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: {error}; mend the quotes") from None
    if faults:
        raise BadInput("\n".join(faults))
    return rows


def _check_header(path: Path, header: Sequence[str]) -> None:
    if tuple(header) != COLUMNS:
        wrong = [name for name in COLUMNS if name not in header] or [name for name in header if name not in COLUMNS]
        said = f"column {wrong[0]!r} is missing or foreign" if wrong else "the columns stand in another order"
        raise BadInput(f"{path}, line 1: {said}; the header is {','.join(COLUMNS)}")


def _take(rows: list[Published], faults: list[str], fields: list[str], *, place: str) -> None:
    if len(fields) != len(COLUMNS):
        faults.append(f"{place}: {len(fields)} fields, expected {len(COLUMNS)}; quote a field that holds a comma")
        return
    given = dict(zip(COLUMNS, fields, strict=True))
    try:
        row = Published.model_validate(given)
    except ValidationError as error:
        for fault in error.errors():
            column = str(fault["loc"][0])
            faults.append(f"{place}, column {column}: {fault['msg']}, got {given.get(column)!r}; mend the field")
        return
    expected = LENGTHS.get(row.class_subset)
    if row.per_class and len(row.per_class) != expected:
        faults.append(
            f"{place}, column per_class: {len(row.per_class)} values, the subset "
            f"{row.class_subset or 'that is missing'} has {expected or 'no number of classes'}; give them all or none"
        )
        return
    rows.append(row)
