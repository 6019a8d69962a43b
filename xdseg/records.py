"""Records: one small file per scored cell, in git; the memory of the project.

`results/records/` holds what this machine made, `records/` what is committed. A record is taken only if its full
score fingerprint is the expected one.
"""

import json
from pathlib import Path
from typing import Any

from xdseg import __version__
from xdseg.cells import RESULTS, UNITE, Cell, Context, Pair, score_payload
from xdseg.curve import CURVE, read_curve
from xdseg.errors import BadInput
from xdseg.files import file_digest, temporary, write_json

COMMITTED = Path("records")
PRODUCED = RESULTS / "records"
SCHEMA = 1
ENTERED = "predictions"  # origin of a row that came from another code base's predictions


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises BadInput naming the file and the mend."""
    try:
        contents = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not readable ({error}); delete it and run again") from None
    if not isinstance(contents, dict):
        raise BadInput(f"{path}: expected a JSON object; delete it and run again")
    return contents


def check_named(path: Path, receipt: Path, *, key: str, redo: str) -> None:
    """Raises BadInput, which says to delete `redo`, where a file's SHA-256 is not what its receipt has under `key`."""
    if not path.exists():
        raise BadInput(f"{path}: missing; delete {redo} and run again")
    if read_json(receipt).get(key) != file_digest(path):
        raise BadInput(
            f"{path}: not the file that {receipt.name} names: cut short or changed; delete {redo} and run again"
        )


def matches(path: Path, cell: Cell) -> bool:
    """Is there a readable record for exactly this cell?"""
    try:
        return json.loads(path.read_text())["fingerprints"]["score"] == cell.score
    except (OSError, ValueError, KeyError, TypeError):
        return False


def entered_records(context: Context) -> list[Path]:
    """Records of the suite whose method params.yaml does not define, scored as this grid scores."""
    folder = COMMITTED / context.suite
    methods = sorted(folder.iterdir()) if folder.is_dir() else ()
    paths = [p for m in methods if m.name not in context.params.methods for p in sorted(m.glob("*/*.json"))]
    return [path for path in paths if _scored_alike(path, context)]


def _scored_alike(path: Path, context: Context) -> bool:
    record = read_json(path)
    if record.get("origin") != ENTERED:
        return False
    try:
        pair = Pair(tuple(record["source"]), record["target"])
        scored_as = record["scored_as"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: no record of an entered row ({error}); delete it and enter the row again") from None
    known = {*pair.source, pair.target} <= {*context.lock.domains}
    return known and scored_as == score_payload(context, pair)


def make_record(
    cell: Cell, *, run: dict[str, Any], predictions: dict[str, Any], score: dict[str, Any]
) -> dict[str, Any]:
    """The record of a cell from its three receipts."""
    protocol = cell.context.protocol
    predicted = predictions["targets"][cell.pair.target]
    costs = run["costs"] | {"predict_seconds": predicted["seconds"]}
    return head(cell.context, cell.pair, cell.seed) | {
        "origin": "run",
        "method": cell.method,
        "setting": cell.definition.setting,
        "note": cell.definition.note or protocol.note,
        "fingerprints": {"train": cell.run.fingerprint, "predict": cell.predict, "score": cell.score},
        "run": cell.run.name,
        "scores": score["scores"],
        "confusion": score["confusion_file"],
        "model": run["model"],
        "costs": costs,
        "environment": run["environment"],
        "digests": {"weights": run["weights"], "predictions": predicted["sha256"]},
        "settings": run["settings"],
        "curve": read_curve(cell.run.folder / CURVE),
    }


def head(context: Context, pair: Pair, seed: int) -> dict[str, Any]:
    """The part that records of runs and entered records share."""
    splits = [context.train_split(domain) for domain in pair.source]
    return {
        "schema": SCHEMA,
        "benchmark_version": __version__,
        "suite": context.suite,
        "source": list(pair.source),
        "target": pair.target,
        "seed": seed,
        "classes": list(context.lock.classes),
        "protocol": {
            "name": context.params.grid.protocol,
            "train_split": UNITE.join(dict.fromkeys(splits)),
            "eval_split": context.eval_split(pair.target),
            "checkpoint": "last step",
            "inference": context.inference_on(pair.target).model_dump(mode="json"),
            "scoring": context.scoring_on(pair.target).model_dump(mode="json"),
        },
    }


def write_record(path: Path, record: dict[str, Any], confusion: Path) -> None:
    """Write a record, its per-image confusion first, so that a record is never without it."""
    with temporary(confusion_of(path)) as unfinished:
        unfinished.write_bytes(confusion.read_bytes())
    write_json(path, record)


def confusion_of(record: Path) -> Path:
    """Per-image confusion beside a record."""
    return record.with_suffix(".npz")


def replicates_of(path: Path) -> Path:
    """Bootstrap replicates beside a record, or a confusion, where its score has stored them."""
    return path.with_suffix(".replicates")
