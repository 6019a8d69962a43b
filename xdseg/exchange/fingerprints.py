"""A record's three fingerprints, made again from its own settings, the sender's word on its data, and the lock here.

The word on the data is a training's payload (`Run.payload`): which splits it saw, at what size, from which run it
started. Whatever the record itself or the lock here says is put in its place before the fingerprint is made.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from xdseg.canonical import fingerprint, short
from xdseg.cells import TRAIN_VERSIONS, UNITE, predict_fingerprint, scored_as
from xdseg.data.locks import Lock
from xdseg.exchange.leaning import lineage
from xdseg.records import ENTERED
from xdseg.settings.evaluation import Inference, Scoring
from xdseg.settings.training import Augmentation, Training
from xdseg.versions import VERSIONS

SEEN = {"source": None, "oracle": None, "uda": "images", "finetune": "labels"}  # of the target, by setting


def fingerprint_faults(record: dict[str, Any], lock: Lock, trainings: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Why the record's fingerprints are not those of what it says; nothing if they are."""
    score_parts = scored_as(lock, record["target"], **_scoring(record))
    if record["origin"] == ENTERED:
        yield from _entered(record, score_parts)
        return
    said, seen = record["fingerprints"], record["protocol"]
    if said["train"] not in trainings:
        yield f"the manifest says nothing of its training {short(said['train'] or '')}"
        return
    yield from _training(record, lock, trainings)
    inference = Inference.model_validate(seen["inference"])
    predict = predict_fingerprint(said["train"], lock, record["target"], split=seen["eval_split"], inference=inference)
    if predict != said["predict"]:
        yield _disagree("predict", said["predict"], predict, "protocol.inference")
    score = fingerprint({"predict": said["predict"]} | score_parts)
    if score != said["score"]:
        yield _disagree("score", said["score"], score, "protocol.scoring and scores.kept")


def _scoring(record: dict[str, Any]) -> dict[str, Any]:
    protocol = record["protocol"]
    scoring = Scoring.model_validate(protocol["scoring"])
    return {"split": protocol["eval_split"], "kept": record["scores"]["kept"], "scoring": scoring}


def _entered(record: dict[str, Any], score_parts: dict[str, Any]) -> Iterator[str]:
    if record["scored_as"] != score_parts:
        differing = _differing(record["scored_as"], score_parts)
        yield f"scored_as is not what its protocol and the lock here give: look at {differing}"
    said = record["fingerprints"]["score"]
    found = fingerprint([record["scored_as"], record["confusion"]["sha256"], record["method"], record["seed"]])
    if found != said:
        yield _disagree("score", said, found, "scored_as, confusion, method and seed")


def _training(record: dict[str, Any], lock: Lock, trainings: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    said = record["fingerprints"]["train"]
    payload = trainings[said]
    own = _own(record, lock) | _data(payload, lock)
    found = fingerprint(payload | own)
    if found != said:
        yield _disagree("train", said, found, _differing(payload, payload | own) or "the manifest's trainings")
    yield from _seen(record, payload)
    _, *parents = lineage(said, trainings)
    for name, parent in parents:
        if (found := fingerprint(parent | _data(parent, lock))) != name:
            yield _disagree("train of the run it starts from", name, found, "the manifest's trainings")
    if (last := (parents or [(said, payload)])[-1][1]["parent"]) is not None:
        yield f"it starts from training {short(last)}, of which the manifest says nothing"


def _own(record: dict[str, Any], lock: Lock) -> dict[str, Any]:
    """What the record, the lock and the code here say of a training."""
    settings = record["settings"]
    return {
        "segmenter": settings["segmenter"],
        "adaptations": settings["adaptations"],
        "training": Training.model_validate(settings["training"]).identity(),
        "augmentation": Augmentation.model_validate(settings["augmentation"]).identity(),
        "versions": {name: VERSIONS[name] for name in TRAIN_VERSIONS},
        "classes": record["classes"],
        "ignore_index": lock.ignore_index,
        "seed": record["seed"],
    }


def _data(payload: dict[str, Any], lock: Lock) -> dict[str, Any]:
    target = payload["target"]
    source = [_locked(seen, lock) for seen in payload["source"]]
    return {"source": source, "target": _locked(target, lock) if target else None}


def _locked(seen: dict[str, Any], lock: Lock) -> dict[str, Any]:
    """A split that a training saw, with the digests that the lock here gives it."""
    at = seen["domain"], seen["split"]
    labels = {"labels": lock.labels(*at)} if "labels" in seen else {}
    return seen | {"images": lock.images(*at)} | labels


def _seen(record: dict[str, Any], payload: dict[str, Any]) -> Iterator[str]:
    """A setting is a promise about data, so the training must have seen just that."""
    setting, target, at_home = record["setting"], payload["target"], record["setting"] == "oracle"
    granted = None if target is None else "labels" if "labels" in target else "images"
    learnt = [seen["domain"] for seen in payload["source"]]
    wanted = [record["target"]] if at_home else record["source"]
    adapted = [target["domain"]] if target else []
    if learnt != wanted or granted != SEEN.get(setting, "?") or adapted not in ([], [record["target"]]):
        pair = f"{UNITE.join(record['source'])}->{record['target']}"
        yield f"its training saw other data than setting {setting!r} grants on {pair}"
    splits = UNITE.join(dict.fromkeys(seen["split"] for seen in payload["source"]))
    if not at_home and splits != record["protocol"]["train_split"]:
        yield f"protocol.train_split: its training saw {splits!r}, not {record['protocol']['train_split']!r}"


def _differing(one: dict[str, Any], other: dict[str, Any]) -> str:
    return ", ".join(sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key)))


def _disagree(stage: str, said: str | None, found: str, parts: str) -> str:
    return f"fingerprints.{stage} is {short(said or 'none')}, made again it is {short(found)}: look at {parts}"
