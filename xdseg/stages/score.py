"""`xdseg score`: from prediction files and labels to a confusion and scores; reads files only, no network, no torch."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xdseg.canonical import fingerprint, short
from xdseg.cells import Cell, Context, Pair, kept_in_pair, score_payload
from xdseg.data.store import open_store
from xdseg.datasets.registry import dataset
from xdseg.datasets.spaces import space
from xdseg.errors import BadInput, suggest
from xdseg.evaluation.predictions import save_confusion, score_split
from xdseg.evaluation.raw_ids import RawIds
from xdseg.evaluation.summary import scores_of
from xdseg.files import file_digest, write_json
from xdseg.grid import expand
from xdseg.params import SLUG
from xdseg.process import now, provenance
from xdseg.records import COMMITTED, ENTERED, confusion_of, head, read_json, replicates_of, write_record
from xdseg.reporting.replicates import Basis, store
from xdseg.settings.methods import Setting
from xdseg.settings.suites import PublicSuite
from xdseg.stages.cache import fill
from xdseg.stages.predict import PREDICTIONS, check_predictions
from xdseg.workflow import cache_path


def score(receipt: Path, context: Context) -> None:
    """Score the stored predictions of one cell."""
    cell = find_cell(context, receipt)
    check_predictions(cell)
    confusion = receipt.with_name(f"confusion-{short(cell.score)}.npz")
    scores = _score(cell.folder / PREDICTIONS, context, cell.pair, confusion)
    stored = {"name": confusion.name, "sha256": file_digest(confusion)}
    _store_replicates(replicates_of(confusion), confusion, context, cell.pair, scores)
    write_json(receipt, {"fingerprint": cell.score, "scores": scores, "confusion_file": stored})
    print(f"{cell.method} {cell.pair}: mIoU {_percent(scores['miou'])}", flush=True)


def find_cell(context: Context, receipt: Path) -> Cell:
    """The cell whose score this is. Raises BadInput if the grid in force has none."""
    for cell in expand(context).cells:
        if cell.score_path == receipt:
            return cell
    raise BadInput(f"{receipt}: no score that the settings in force ask for; run snakemake again")


def _score(
    predictions: Path, context: Context, pair: Pair, confusion: Path, *, raw: RawIds | None = None
) -> dict[str, Any]:
    split, scoring = context.eval_split(pair.target), context.scoring_on(pair.target)
    labels = Path(cache_path(context, pair.target, split, "labels"))
    if not labels.exists():  # entered from outside the workflow, which would have made it
        fill(labels, context, domain=pair.target, split=split, what="labels")
    names, per_image = score_split(
        predictions,
        open_store(labels),
        classes=len(context.lock.classes),
        ignore_index=context.lock.ignore_index,
        size=scoring.truth,
        raw=raw,
    )
    save_confusion(confusion, names, per_image)
    kept = kept_in_pair(context, pair)
    return scores_of(per_image, classes=context.lock.classes, kept=kept, scoring=scoring)


def _store_replicates(path: Path, confusion: Path, context: Context, pair: Pair, scores: dict[str, Any]) -> None:
    """Draw the images of the target again and again, which takes longer than reading what was drawn."""
    basis = Basis(
        file_digest(confusion),
        context.lock.classes,
        tuple(scores["kept"]),
        context.scoring_on(pair.target).outside,
        context.lock.recordings(pair.target),
    )
    store(path, confusion, basis)


def _percent(fraction: float | None) -> str:
    return "undefined" if fraction is None else f"{100 * fraction:.2f}"


def enter(
    predictions: Path,
    context: Context,
    *,
    method: str,
    pair: str,
    setting: Setting,
    seed: int,
    ids: str | None = None,
) -> Path:
    """Enter a row from another code base's predictions, flagged so; returns the record's path.

    `predictions` is a folder or zip of 8-bit PNGs named like the target's evaluation images. They hold class ids, or
    with `ids` the raw ids of the data set of that name: one that is no class is an error of the true class only.
    """
    cell_pair = _checked_entry(predictions, context, method=method, pair=pair, seed=seed)
    raw = _raw_ids(ids, context) if ids else None
    folder = COMMITTED / context.suite / method / f"{cell_pair.origin}--{cell_pair.target}"
    with TemporaryDirectory() as scratch:
        confusion = Path(scratch) / "confusion.npz"
        scores = _score(predictions, context, cell_pair, confusion, raw=raw)
        entry = _entered(context, cell_pair, seed, scores, file_digest(confusion), ids)
        full = fingerprint([entry["scored_as"], entry["confusion"]["sha256"], method, seed])
        path = folder / f"s{seed}-{short(full)}.json"
        entry["confusion"]["name"] = path.with_suffix(".npz").name
        _store_replicates(replicates_of(path), confusion, context, cell_pair, scores)
        score_only = {"train": None, "predict": None, "score": full}
        write_record(path, entry | {"method": method, "setting": setting, "fingerprints": score_only}, confusion)
    _replace(path)
    print(f"{path}: {method} {cell_pair}, mIoU {_percent(scores['miou'])}", flush=True)
    return path


def _replace(path: Path) -> None:
    """Entering again replaces the row, but not one scored by other rules."""
    new = read_json(path)
    for old in path.parent.glob(f"s{new['seed']}-*.json"):
        if old != path and read_json(old).get("scored_as") == new["scored_as"]:
            for beside in (confusion_of(old), replicates_of(old)):
                beside.unlink(missing_ok=True)
            old.unlink()


def _checked_entry(predictions: Path, context: Context, *, method: str, pair: str, seed: int) -> Pair:
    if not SLUG.fullmatch(method):
        raise BadInput(f"--method {method}: a method is named by [a-z0-9+-], as in my-net")
    if method in context.params.methods:
        raise BadInput(f"--method {method}: params.yaml defines it; a row from predictions needs a name of its own")
    cell_pair = Pair.parse(pair, where=f"--pair {pair}")
    if cell_pair.target in cell_pair.source:
        raise BadInput(f"--pair {pair}: {cell_pair.target} is source and target; give the domain trained on")
    if seed < 0:
        raise BadInput(f"--seed {seed}: a seed is 0 or more")
    for domain in (*cell_pair.source, cell_pair.target):
        if domain not in context.lock.domains:
            raise BadInput(f"--pair {pair}: no domain {domain!r}; {suggest(domain, context.lock.domains)}")
    if not predictions.exists():
        raise BadInput(f"--predictions {predictions}: no such folder or zip")
    return cell_pair


def _raw_ids(ids: str, context: Context) -> RawIds:
    """Raises BadInput for a data set whose ids are not those of the suite's classes."""
    suite = context.params.suites[context.suite]
    try:
        raw = RawIds.of(ids, context.lock.classes)
    except BadInput as error:
        raise BadInput(f"--ids {ids}: {error}") from None
    of = dataset(ids).space
    if isinstance(suite, PublicSuite) and not set(context.lock.classes) <= set(space(of)):
        raise BadInput(f"--ids {ids}: its classes are those of {of}, the suite's are {suite.classes}; name another")
    return raw


def _entered(
    context: Context, pair: Pair, seed: int, scores: dict[str, Any], digest: str, ids: str | None
) -> dict[str, Any]:
    said = {"ids": ids} if ids else {}
    return (
        said
        | head(context, pair, seed)
        | {
            "origin": ENTERED,
            "note": "entered from prediction files; its training was not seen",
            "run": None,
            "scores": scores,
            "confusion": {"sha256": digest},
            "scored_as": score_payload(context, pair),
            "model": None,
            "costs": None,
            "environment": provenance() | {"started": now()},
            "digests": {},
            "settings": {},
        }
    )
