"""The data behind a record, as MLflow's datasets: splits whose digests give the record's own fingerprints, no others.

A record holds no digest of data, but fingerprints that were made of them. Whoever has the lock can make a fingerprint
again; where it is the record's, the lock's splits are those that were seen, to the last pixel. Where it is not (the
data changed since, or the code that reads them), nothing is claimed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from xdseg.canonical import fingerprint
from xdseg.cells import RUN_FOLDER, TRAIN_VERSIONS, UNITE, predict_fingerprint, scored_as
from xdseg.data.locks import Lock, open_lock
from xdseg.errors import BadInput
from xdseg.params import Params
from xdseg.settings.evaluation import Inference, Scoring
from xdseg.settings.training import Augmentation, Training
from xdseg.tracking.terms import source_of, terms_of
from xdseg.versions import VERSIONS

SOURCE, TARGET, EVALUATION = "source", "target", "evaluation"
CONTEXT = "mlflow.data.context"
DIGEST = 16  # characters of each digest; MLflow takes 36 for both and what joins them
BEYOND_US = (BadInput, ValidationError, KeyError, TypeError, AttributeError, ValueError)


@dataclass(frozen=True)
class Input:
    """One split as a run saw it."""

    name: str  # suite/domain/split
    context: str  # source, target or evaluation
    images: str  # digest, 64 hexadecimal characters
    labels: str | None  # digest of the labels, where they were seen
    count: int
    source_type: str  # as MLflow calls it
    source: str  # JSON

    @property
    def digest(self) -> str:
        """The first characters of the images' digest, and of the labels' if these were seen."""
        return "-".join(digest[:DIGEST] for digest in (self.images, self.labels) if digest)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from a run's other inputs."""
        return self.name, self.digest, self.context


@dataclass(frozen=True)
class Seen:
    """A split that a run may have seen."""

    context: str
    domain: str
    split: str
    labels: bool


class Inputs:
    """Finds the splits behind records, by the locks of the suites in params.yaml."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._locks: dict[str, Lock | None] = {}
        self._trained: dict[tuple[str, str, int], set[str]] = {}  # fingerprints of runs, by suite, source and seed

    def learn(self, records: Iterable[dict[str, Any]]) -> None:
        """Runs that others may have started from."""
        for record in records:
            if record["fingerprints"]["train"]:
                self._trained.setdefault(_origin(record), set()).add(record["fingerprints"]["train"])

    def of_cell(self, record: dict[str, Any]) -> tuple[Input, ...]:
        """The split that was predicted and scored; empty if the lock does not give the record's fingerprints."""
        try:
            lock, protocol, target = self._lock(record["suite"]), record["protocol"], record["target"]
            split, prints = protocol["eval_split"], record["fingerprints"]
            inference, scoring = Inference(**protocol["inference"]), Scoring(**protocol["scoring"])
            predict = prints["predict"]
            if predict:
                predict = predict_fingerprint(prints["train"], lock, target, split=split, inference=inference)
            scored = scored_as(lock, target, split=split, kept=record["scores"]["kept"], scoring=scoring)
            # an entered row has no prediction of ours; it says itself what it was scored against
            known = fingerprint({"predict": predict} | scored) if predict else scored
            if known != (prints["score"] if predict else record.get("scored_as")):
                return ()
            return (self._input(record, lock, Seen(EVALUATION, target, split, labels=True)),)
        except BEYOND_US:
            return ()

    def of_training(self, record: dict[str, Any]) -> tuple[Input, ...]:
        """The splits that a record's run learnt from; empty if no choice of the lock's gives its train fingerprint."""
        try:
            lock, wanted = self._lock(record["suite"]), record["fingerprints"]["train"]
            fixed = _settings(record, lock)
            parents = (None, *sorted(self._trained.get(_origin(record), ())))
            for seen, parent in product(_choices(record, lock), parents):
                if fingerprint(fixed | self._granted(record, lock, seen) | {"parent": parent}) == wanted:
                    return tuple(self._input(record, lock, one) for one in seen)
        except BEYOND_US:
            pass
        return ()

    def terms(self, record: dict[str, Any]) -> dict[str, str]:
        """Terms of each domain that a record's run learnt from, in words."""
        found, suite = RUN_FOLDER.fullmatch(record.get("run") or ""), self.params.suites.get(record["suite"])
        source, _, target = found["pair"].partition("--") if found else ("", "", "")
        domains = [*source.split(UNITE), *([target] if target else [])]
        try:
            return {domain: terms_of(suite, domain) for domain in domains if domain}
        except BEYOND_US:
            return {}

    def _lock(self, suite: str) -> Lock | None:
        if suite not in self._locks:
            known = self.params.suites.get(suite)
            self._locks[suite] = open_lock(suite, known) if known else None
        return self._locks[suite]

    def _granted(self, record: dict[str, Any], lock: Lock, seen: tuple[Seen, ...]) -> dict[str, Any]:
        parts = [(one.context, self._digests(record, lock, one)) for one in seen]
        target = [digests for context, digests in parts if context == TARGET]
        return {
            "source": [digests for context, digests in parts if context == SOURCE],
            "target": target[0] if target else None,
        }

    def _digests(self, record: dict[str, Any], lock: Lock, seen: Seen) -> dict[str, Any]:
        digests = {"domain": seen.domain, "split": seen.split, "images": lock.images(seen.domain, seen.split)}
        digests |= {"labels": lock.labels(seen.domain, seen.split)} if seen.labels else {}
        protocol = self.params.protocols.get(record["protocol"]["name"])
        resize = protocol.rules(seen.domain).model_dump(mode="json")["resize"] if protocol else None
        return digests | ({} if resize is None else {"resize": resize})

    def _input(self, record: dict[str, Any], lock: Lock, seen: Seen) -> Input:
        at, suite = (seen.domain, seen.split), record["suite"]
        source_type, source = source_of(self.params.suites[suite], *at)
        labels = lock.labels(*at) if seen.labels else None
        name = "/".join((suite, *at))
        return Input(name, seen.context, lock.images(*at), labels, lock.count(*at), source_type, source)


def _origin(record: dict[str, Any]) -> tuple[str, str, int]:
    """Suite, source and seed of a record's run; a run starts only from one of the same."""
    found = RUN_FOLDER.fullmatch(record.get("run") or "")
    source = found["pair"].partition("--")[0] if found else ""
    return record["suite"], source, record["seed"]


def _settings(record: dict[str, Any], lock: Lock) -> dict[str, Any]:
    """What a train fingerprint holds beside data and parent."""
    settings = record["settings"]
    return {
        "segmenter": settings["segmenter"],
        "adaptations": settings["adaptations"],
        "training": Training(**settings["training"]).identity(),
        "augmentation": Augmentation(**settings["augmentation"]).identity(),
        "versions": {name: VERSIONS[name] for name in TRAIN_VERSIONS},
        "classes": list(lock.classes),
        "ignore_index": lock.ignore_index,
        "seed": record["seed"],
    }


def _choices(record: dict[str, Any], lock: Lock) -> Iterator[tuple[Seen, ...]]:
    """What a run may have learnt from; the splits of a record's protocol first, since they nearly always are it."""
    found = RUN_FOLDER.fullmatch(record["run"])
    source, _, target = found["pair"].partition("--")
    domains = [(SOURCE, domain, True) for domain in source.split(UNITE)]
    domains += [(TARGET, target, record["setting"] == "finetune")] if target else []
    first = record["protocol"]["train_split"]
    splits = [
        sorted((s for s in lock.splits(domain) if _there(lock, domain, s, labels)), key=lambda split: split != first)
        for _, domain, labels in domains
    ]
    for chosen in product(*splits):
        yield tuple(
            Seen(context, domain, split, labels)
            for (context, domain, labels), split in zip(domains, chosen, strict=True)
        )


def _there(lock: Lock, domain: str, split: str, labels: bool) -> bool:
    return lock.locked(domain, split) and (not labels or lock.labelled(domain, split))
