"""Reading a record: the small JSON file that stands for one scored cell."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from xdseg.errors import BadInput

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


def _one_line(name: str) -> str:
    # it is printed, and stands in tables that people read in a terminal
    if not name.isprintable():
        raise ValueError("expected printable characters on one line")
    return name


Name = Annotated[str, AfterValidator(_one_line)]


class _Part(BaseModel):
    # keys beyond these may be added without a new schema number; what is read must have the right type
    model_config = ConfigDict(strict=True, extra="ignore")


class _Protocol(_Part):
    name: Name


class _Fingerprints(_Part):
    train: Digest | None
    predict: Digest | None
    score: Digest


class _Scores(_Part):
    miou: Fraction | None
    pixel_accuracy: Fraction | None
    iou: dict[str, Fraction | None]
    kept: list[str]
    images: Count
    confusion: list[list[Count]]


class _Model(_Part):
    parameters: Count


class _Environment(_Part):
    libraries: dict[str, str] | None = None


class _Hop(_Part):
    origin: str = Field(min_length=1)


class _Record(_Part):
    schema_number: Literal[1] = Field(alias="schema")
    origin: Literal["run", "predictions"]
    suite: Name
    method: Name
    setting: Name
    source: list[Name] = Field(min_length=1)
    target: Name
    seed: int
    protocol: _Protocol
    benchmark_version: str
    classes: list[Name] = Field(min_length=1)
    fingerprints: _Fingerprints
    scores: _Scores
    model: _Model | None
    costs: dict[str, Any] | None
    environment: _Environment | None
    imported: list[_Hop] | None = None

    @model_validator(mode="after")
    def _scores_fit_classes(self) -> "_Record":
        if unknown := {*self.scores.iou, *self.scores.kept} - {*self.classes}:
            raise ValueError(f"scores name {min(unknown)!r}, which is no class of the record")
        sizes = {len(self.scores.confusion), *map(len, self.scores.confusion)}
        if sizes != {len(self.classes)}:
            raise ValueError(f"scores.confusion is not {len(self.classes)} x {len(self.classes)}, as the classes are")
        return self


def load_record(path: Path) -> dict[str, Any]:
    """The contents of a record. Raises BadInput naming the file and each missing or wrong key."""
    try:
        text = path.read_text()
        _Record.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not readable ({error})") from error
    except ValidationError as error:
        faults = "; ".join(_fault(fault) for fault in error.errors())
        raise BadInput(f"{path}: no valid record: {faults}; delete it and run again") from None
    return json.loads(text)


def _fault(fault: dict[str, Any]) -> str:
    key, message = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}" if key else message
