"""manifest.json of a pack: where its records come from, what they lean on, and the hash of every file."""

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from xdseg import __version__
from xdseg.errors import BadInput

SCHEMA = 1
LONGEST = 120  # characters of an origin: it stands in a table's cell
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    # what a newer manifest adds may matter, so unlike in a record it is not passed over
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Origin(_Part):
    """Who hands the records on, and what these say of their making."""

    who: str
    commits: list[str]
    devices: list[str]
    started: str | None  # of the first, UTC
    ended: str | None  # of the last

    @field_validator("who")
    @classmethod
    def _one_line(cls, who: str) -> str:
        if not is_line(who):
            raise ValueError(f"expected one line of 1 to {LONGEST} characters")
        return who


class SplitDigests(_Part):
    """A split as the sender's lock has it; without labels, the second is null."""

    images: Digest
    labels: Digest | None


class SuiteDigests(_Part):
    """What the sender's lock says of a suite, as far as the records lean on it."""

    classes: list[str]
    ignore_index: int
    splits: dict[str, SplitDigests]  # DOMAIN--SPLIT


class Manifest(_Part):
    """The whole file."""

    schema_number: Literal[1] = Field(alias="schema")
    xdseg: str
    origin: Origin
    boards: list[str]
    locks: dict[str, SuiteDigests]  # by suite
    trainings: dict[Digest, dict[str, Any]]  # by train fingerprint: what it is made of
    files: dict[str, Digest]

    def text(self) -> str:
        """The file: sorted keys, indented, a final newline."""
        return json.dumps(self.model_dump(by_alias=True), indent=1, sort_keys=True, allow_nan=False) + "\n"


def new_manifest(**parts: Any) -> Manifest:
    """The manifest of a pack that is made here; `parts` are all fields but schema and version."""
    return Manifest(schema=SCHEMA, xdseg=__version__, **parts)


def read_manifest(text: bytes) -> Manifest:
    """Raises BadInput with what is wrong, without a file's name."""
    try:
        schema = json.loads(text)["schema"]
        if schema != SCHEMA:
            raise BadInput(f"schema {schema!r}, known here is {SCHEMA}; pack or read it with the same version of XDSeg")
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}; export it again") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"not a manifest ({type(error).__name__}: {error}); export it again") from None


def origin_of(who: str, records: Iterable[dict[str, Any]]) -> Origin:
    """The origin of records that `who` hands on."""
    made = [record.get("environment") or {} for record in records]
    started, ended = ([about[key] for about in made if about.get(key)] for key in ("started", "ended"))
    return Origin(
        who=who,
        commits=_each(about.get("commit") for about in made),
        devices=_each(about.get("device") for about in made),
        started=min(started, default=None),
        ended=max(ended, default=None),
    )


def is_line(text: str) -> bool:
    """Can a table show it in a cell?"""
    return bool(text.strip()) and text.isprintable() and len(text) <= LONGEST


def _each(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value})
