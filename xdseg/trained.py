"""A trained run as its folder tells it, whatever params.yaml says today or whether there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from xdseg.cells import RESULTS
from xdseg.errors import BadInput
from xdseg.files import file_digest
from xdseg.params import checked
from xdseg.records import COMMITTED, PRODUCED, read_json
from xdseg.registry import ADAPTATIONS, SEGMENTERS, Registry
from xdseg.saved import adaptations_in
from xdseg.settings.base import Settings
from xdseg.settings.evaluation import Inference
from xdseg.settings.wrapped import INNER

RECEIPT, WEIGHTS = "run.json", "weights.safetensors"
DEPTH = len(("suite", "method", "pair", "run"))  # of a run's folder below results/


@dataclass(frozen=True)
class TrainedRun:
    """What it takes to segment with a run's network."""

    folder: Path
    fingerprint: str
    segmenter: str  # name in xdseg.registry.SEGMENTERS
    settings: Settings
    classes: tuple[str, ...]
    precision: str  # autocast type of the training, which its evaluation shares
    adaptations: tuple[tuple[str, Settings], ...] = ()  # names in xdseg.registry.ADAPTATIONS, of what prediction needs


def read_run(folder: Path, *, plugins: Callable[[], Any] | None = None) -> TrainedRun:
    """The run in a folder; `plugins` is called where its segmenter is not registered yet.

    Raises BadInput if there is none, it is damaged, or this code builds another network.
    """
    receipt, weights = folder / RECEIPT, folder / WEIGHTS
    if not receipt.is_file():
        raise BadInput(
            f"{folder}: no trained run, as it holds no {RECEIPT}; `xdseg params` lists the runs of the grid, "
            f"`snakemake {RESULTS}/RUN/{RECEIPT}` trains one of them"
        )
    said = read_json(receipt)
    try:
        payload, digest, fingerprint = said["payload"], said["weights"], said["fingerprint"]
        described, classes = payload["segmenter"], tuple(payload["classes"])
        kind, precision = described["kind"], said["settings"]["training"]["precision"]
        versions = {part["kind"]: part["version"] for part in (described, described.get(INNER, described))}
        settings = {key: value for key, value in described["settings"].items() if key != "weights"}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{receipt}: no receipt of a run ({error!r}); train it again") from None
    if not weights.is_file():
        raise BadInput(f"{weights}: missing; delete {receipt}, then `snakemake {receipt}` trains the run again")
    if file_digest(weights) != digest:
        raise BadInput(f"{weights}: not the weights that {receipt} names; delete both and train the run again")
    if not all(part in SEGMENTERS for part in versions) and plugins:
        plugins()
    for part, version in versions.items():
        _check_version(receipt, part, version, said)
    where = f"{receipt}: payload.segmenter.settings"
    checked_settings = _checked(SEGMENTERS[kind].settings, settings, where)
    return TrainedRun(
        folder, fingerprint, kind, checked_settings, classes, precision, _adaptations(receipt, weights, said)
    )


def _adaptations(receipt: Path, weights: Path, said: dict[str, Any]) -> tuple[tuple[str, Settings], ...]:
    """Those of a run that prediction needs. Raises BadInput if this code has not what trained them."""
    with safe_open(weights, framework="np") as file:
        needed = adaptations_in(file.keys())
    described = {part["kind"]: part for part in said["payload"].get("adaptations", ())}
    found = []
    for name in needed:
        if name not in described:
            raise BadInput(f"{receipt}: says nothing of {name}, which its weights hold; train the run again")
        _check_version(receipt, name, described[name]["version"], said, ADAPTATIONS)
        where = f"{receipt}: payload.adaptations.{name}"
        found.append((name, _checked(ADAPTATIONS[name].settings, described[name]["settings"], where)))
    return tuple(found)


def _check_version(
    receipt: Path, kind: str, version: int, said: dict[str, Any], registry: Registry = SEGMENTERS
) -> None:
    if kind not in registry:
        raise BadInput(f"{receipt}: no {registry.kind} {kind!r}; run where plugins: in params.yaml names its module")
    if registry[kind].version != version:
        commit = (said.get("environment") or {}).get("commit") or "that it was trained with"
        raise BadInput(
            f"{receipt}: trained with version {version} of {kind}, this is version {registry[kind].version}; "
            f"use the code of commit {commit}, or train the run again"
        )


def _checked(model: type[Settings], values: dict[str, Any], where: str) -> Any:
    try:
        return checked(model, values, where)
    except BadInput as error:
        raise BadInput(str(error).removeprefix("params: ")) from None


def chosen_inference(run: TrainedRun, asked: dict[str, Any]) -> tuple[Inference, str]:
    """How to segment with a run, and where that comes from: as its records were made, with what is asked over it.

    `asked` holds settings of Inference. Without a record, images are taken whole at their own size. Raises BadInput
    for settings that do not go together, and where records of several kinds leave a choice.
    """
    found = [] if _whole(asked) else recorded_inference(run)
    if len(found) > 1:
        ways = "; ".join(_worded(inference) for inference in found)
        raise BadInput(f"{run.folder}: was evaluated in {len(found)} ways ({ways}); give --mode and --size")
    # photographs have no truth; their masks have their own size
    base = (found[0] if found else Inference()).model_copy(update={"output": "truth"})
    if not asked:
        return base, f"as the run was evaluated: {_worded(base)}" if found else f"no record says how: {_worded(base)}"
    values = base.model_dump() | asked
    if asked.get("window"):
        values["mode"] = asked.get("mode", "slide")
    if values["mode"] == "whole":
        values |= {key: asked.get(key) for key in ("window", "stride")} | {"windows_per_pass": 1}
    if values["mode"] == "cover":
        values["stride"] = asked.get("stride")
    inference = _checked(Inference, values, "predict")
    return inference, f"as asked: {_worded(inference)}"


def _whole(asked: dict[str, Any]) -> bool:
    """Does the request leave nothing to the records?"""
    return "size" in asked and ("mode" in asked or "window" in asked)


def _worded(inference: Inference) -> str:
    size = inference.size if isinstance(inference.size, str) else f"size {inference.size}"
    windows = f", windows of {inference.window}" if inference.mode != "whole" else ""
    windows += f" every {inference.stride}" if inference.mode == "slide" else ""
    return f"{size}, {inference.mode}{windows}"


def recorded_inference(run: TrainedRun) -> list[Inference]:
    """The different ways in which records beside the run's results say that it was evaluated."""
    folder = run.folder.resolve()
    if len(folder.parents) <= DEPTH:
        return []
    results, suite = folder.parents[DEPTH - 1], folder.parents[DEPTH - 2].name
    places = (results / PRODUCED.relative_to(RESULTS) / suite, results.parent / COMMITTED / suite)
    found: list[Inference] = []
    for path in (path for place in places for path in sorted(place.glob("*/*/*.json"))):
        record = read_json(path)
        if (record.get("fingerprints") or {}).get("train") == run.fingerprint:
            inference = _checked(Inference, record["protocol"]["inference"], f"{path}: protocol.inference")
            found += [inference] if inference not in found else []
    return found
