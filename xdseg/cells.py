"""The grid: runs, cells, their three nested fingerprints and where their files lie. Pure and light to import.

*train* names what is learnt (settings, seed, granted data), *predict* adds the target's images and the inference,
*score* adds the target's labels and the metric. All are known before anything runs; none holds a path, a host or a
worker count. Digests of labels are read when a fingerprint needs them and not before.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xdseg.canonical import fingerprint, short
from xdseg.data.locks import Lock, open_lock
from xdseg.errors import BadInput, suggest
from xdseg.evaluation.scores import kept_classes
from xdseg.params import NAME, Params, checked
from xdseg.pretrained import CONFIG, model_config, weights_identity
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.settings.base import Settings
from xdseg.settings.evaluation import Inference, Scoring
from xdseg.settings.methods import Method
from xdseg.settings.training import Augmentation, Training
from xdseg.settings.wrapped import INNER, Wrapped
from xdseg.versions import VERSIONS

RESULTS = Path("results")
ARROW = "->"
UNITE = "+"  # between the domains of one source
PARTS = (INNER, "vfm", "vlm")  # of a segmenter's settings, which may name files of their own
TRAIN_VERSIONS = ("augmentation", "contract", "loading", "training")
RUN_FOLDER = re.compile(r"(?P<suite>[^/]+)/(?P<method>[^/]+)/(?P<pair>[^/]+)/s(?P<seed>\d+)-(?P<train>[0-9a-f]{8})")


@dataclass(frozen=True)
class Pair:
    """Source domains, sorted, and the target."""

    source: tuple[str, ...]
    target: str

    @classmethod
    def parse(cls, text: str, *, where: str = "params: grid.pairs") -> "Pair":
        """Read `a->b` or `a+b->c`. Raises BadInput."""
        source, arrow, target = (part.strip() for part in text.partition(ARROW))
        domains = tuple(sorted(source.split(UNITE)))
        if not arrow or not all(NAME.fullmatch(d) for d in (*domains, target)) or len(set(domains)) < len(domains):
            raise BadInput(f"{where}: {text!r} is no pair; write source->target, or a+b->c")
        return cls(domains, target)

    @property
    def origin(self) -> str:
        """The source as one word, `a+b`."""
        return UNITE.join(self.source)

    def __str__(self) -> str:
        return f"{self.origin}{ARROW}{self.target}"


@dataclass(frozen=True)
class Context:
    """Settings and lock of the grid's suite: what every run and cell resolves against."""

    params: Params
    lock: Lock

    @classmethod
    def of(cls, params: Params) -> "Context":
        """Context of the grid that params.yaml asks for."""
        suite = params.grid.suite
        return cls(params, open_lock(suite, params.suites[suite]))

    @property
    def suite(self) -> str:
        """Name of the grid's suite."""
        return self.params.grid.suite

    @cached_property
    def protocol(self):
        """The grid's protocol."""
        return self.params.protocols[self.params.grid.protocol]

    @cached_property
    def known_runs(self) -> "dict[tuple, Run]":
        """Runs by key: cells that share a run share its fingerprint, which takes time to make."""
        return {}

    @cached_property
    def inference(self) -> Inference:
        """How target images are segmented where nothing is said of their domain."""
        return checked(Inference, self.protocol.inference, self._where("inference"))

    @cached_property
    def scoring(self) -> Scoring:
        """How predictions are scored where nothing is said of the domain."""
        return checked(Scoring, self.protocol.scoring, self._where("scoring"))

    def inference_on(self, domain: str) -> Inference:
        """How images of a domain are segmented."""
        return self._on(domain, "inference", Inference)

    def scoring_on(self, domain: str) -> Scoring:
        """How predictions on a domain are scored. Raises BadInput where truth and predictions cannot be of one size."""
        scoring, inference = self._on(domain, "scoring", Scoring), self.inference_on(domain)
        if inference.output == "input" and inference.size != "native" and scoring.truth == "native":
            mend = "set scoring.truth to that size, or inference.output to truth"
            raise BadInput(f"params: {self._where('inference')}: classes are stored at the network's size; {mend}")
        return scoring

    def _on(self, domain: str, part: str, model: type[Settings]) -> Any:
        own = getattr(self.protocol.rules(domain), part)
        return checked(model, getattr(self.protocol, part) | own, self._where(f"domains.{domain}.{part}"))

    def train_split(self, domain: str) -> str:
        """Split that a run trains on where the domain is its source."""
        return self._split("train", domain)

    def adapt_split(self, domain: str) -> str:
        """Split whose images a run that adapts to the domain sees."""
        return self._split("adapt", domain)

    def eval_split(self, domain: str) -> str:
        """Split that the domain is tested on."""
        return self._split("eval", domain)

    def _split(self, use: str, domain: str) -> str:
        """Raises BadInput if the protocol gives the domain a split of its own that it does not have."""
        split = self.protocol.split(use, domain)
        own = domain in self.protocol.domains and domain in self.lock.domains
        if own and getattr(self.protocol.rules(domain), f"{use}_split") and not self.lock.has(domain, split):
            known = suggest(split, self.lock.splits(domain))
            raise BadInput(f"params: {self._where('domains')}.{domain}.{use}_split: no split {split!r}; {known}")
        return split

    def _where(self, part: str) -> str:
        return f"protocols.{self.params.grid.protocol}.{part}"

    def recipe(self, method: Method, part: str, model: type[Settings]) -> Any:
        """The protocol's `training` or `augmentation` with the method's changes."""
        merged = getattr(self.protocol, part) | getattr(method, part)
        return checked(model, merged, self._where(part))

    def learnt(self, method: Method) -> dict[str, Any]:
        """What a method learns with, apart from data and seed: equal for two methods that train the same."""
        kind, settings = self.params.component("segmenters", method.segmenter)
        adaptations = [(k, s) for k, s in (self.params.component("adaptations", a) for a in method.adaptations)]
        return {
            "segmenter": _described(SEGMENTERS, kind, settings),
            "adaptations": [_described(ADAPTATIONS, kind, settings) for kind, settings in adaptations],
            "training": self.recipe(method, "training", Training).identity(),
            "augmentation": self.recipe(method, "augmentation", Augmentation).identity(),
            "versions": {name: VERSIONS[name] for name in TRAIN_VERSIONS},
        }


def _described(registry: Any, kind: str, settings: Settings) -> dict[str, Any]:
    described = {"kind": kind, "version": registry[kind].version, "settings": _with_contents(settings.identity(), kind)}
    inner = getattr(settings, INNER, None)
    if not isinstance(inner, Wrapped):
        return described
    return described | {INNER: {"kind": inner.kind, "version": SEGMENTERS[inner.kind].version}}


def _with_contents(identity: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Settings in which a file is what is in it, wherever it lies; those of an inner segmenter and of encoders too.

    `where` is what errors call the settings.
    """
    files = [key for key in ("weights", "delta") if identity.get(key)]
    found = {key: weights_identity(identity[key], where=f"{where}.{key}") for key in files}
    parts = [key for key in PARTS if isinstance(identity.get(key), dict)]
    found |= {key: _with_contents(identity[key], f"{where}.{key}") for key in parts}
    if str(identity.get("model", "")).endswith(CONFIG):
        found["model"] = model_config(identity["model"])
    return identity | found


@dataclass(frozen=True)
class Run:
    """One training. `target` is None where the target is not seen."""

    context: Context
    method: str  # the method whose folder holds it; an oracle's run may be another's
    source: tuple[str, ...]
    target: str | None
    seed: int

    @property
    def definition(self) -> Method:
        """The method's entry in params.yaml."""
        return self.context.params.methods[self.method]

    @property
    def key(self) -> tuple:
        """Equal for equal runs, without reading any digest."""
        return (self.method, self.source, self.target, self.seed)

    @cached_property
    def parent(self) -> "Run | None":
        """The run that this one starts from."""
        start = self.definition.start
        return run_of(self.context, start, Pair(self.source, self.target or ""), self.seed) if start else None

    @cached_property
    def payload(self) -> dict[str, Any]:
        """What the train fingerprint is made of: settings, seed, and digests of what the setting may see."""
        lock, context = self.context.lock, self.context
        source = [_granted(context, domain, context.train_split(domain), labels=True) for domain in self.source]
        target = _granted(context, self.target, self.target_split, labels=self.sees_labels) if self.target else None
        return self.context.learnt(self.definition) | {
            "classes": list(lock.classes),
            "ignore_index": lock.ignore_index,
            "seed": self.seed,
            "source": source,
            "target": target,
            "parent": self.parent.fingerprint if self.parent else None,
        }

    @cached_property
    def fingerprint(self) -> str:
        """The train fingerprint, 64 hexadecimal characters."""
        return fingerprint(self.payload)

    @property
    def name(self) -> str:
        """Folder of the run below results/."""
        pair = UNITE.join(self.source) + (f"--{self.target}" if self.target else "")
        return f"{self.context.suite}/{self.method}/{pair}/s{self.seed}-{short(self.fingerprint)}"

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return RESULTS / self.name

    @property
    def sees_labels(self) -> bool:
        """Does the setting grant the target's labels?"""
        return self.definition.setting == "finetune"

    @property
    def target_split(self) -> str:
        """Split of the target that the run sees."""
        return (self.context.train_split if self.sees_labels else self.context.adapt_split)(self.target)

    @property
    def sees(self) -> list[tuple[str, str, str]]:
        """(domain, split, images or labels) of all that its setting grants."""
        splits = [(domain, self.context.train_split(domain)) for domain in self.source]
        seen = [(domain, split, what) for domain, split in splits for what in ("images", "labels")]
        if self.target:
            seen.append((self.target, self.target_split, "images"))
            if self.sees_labels:
                seen.append((self.target, self.target_split, "labels"))
        return seen


def _granted(context: Context, domain: str, split: str, *, labels: bool) -> dict[str, Any]:
    lock, resize = context.lock, context.protocol.rules(domain).model_dump(mode="json")["resize"]
    granted = {"domain": domain, "split": split, "images": lock.images(domain, split)}
    granted |= {"labels": lock.labels(domain, split)} if labels else {}
    return granted | ({"resize": resize} if resize is not None else {})


@dataclass(frozen=True)
class Cell:
    """method x pair x seed: one number of the table, and the run behind it."""

    context: Context
    method: str
    pair: Pair
    seed: int

    @property
    def definition(self) -> Method:
        """The method's entry in params.yaml."""
        return self.context.params.methods[self.method]

    @cached_property
    def run(self) -> Run:
        """The training that is evaluated."""
        return run_of(self.context, self.method, self.pair, self.seed)

    @cached_property
    def predict(self) -> str:
        """The predict fingerprint."""
        context, target = self.context, self.pair.target
        inference = context.inference_on(target)
        seen = {"split": context.eval_split(target), "inference": inference}
        return predict_fingerprint(self.run.fingerprint, context.lock, target, **seen)

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Ids of the classes that are scored: of the pair, so that all methods on it are scored alike."""
        return kept_in_pair(self.context, self.pair)

    @cached_property
    def score(self) -> str:
        """The score fingerprint."""
        return fingerprint({"predict": self.predict} | score_payload(self.context, self.pair))

    @property
    def folder(self) -> Path:
        """Where its predictions and scores lie."""
        return self.run.folder / f"{self.pair.target}-{short(self.predict)}"

    @property
    def score_path(self) -> Path:
        """The score's receipt."""
        return self.folder / f"score-{short(self.score)}.json"

    @property
    def record_name(self) -> str:
        """Path of the record below records/."""
        pair = f"{self.pair.origin}--{self.pair.target}"
        return f"{self.context.suite}/{self.method}/{pair}/s{self.seed}-{short(self.score)}.json"


def kept_in_pair(context: Context, pair: Pair) -> tuple[int, ...]:
    """Ids of the classes scored on a pair: with `drop`, those that some source and the target know."""
    lock, scoring = context.lock, context.scoring_on(pair.target)
    if scoring.absent == "field":
        source_lacks, target_lacks = set(), set()
    else:
        source_lacks = set.intersection(*(lock.lacks(domain, context.train_split(domain)) for domain in pair.source))
        target_lacks = lock.lacks(pair.target, context.eval_split(pair.target))
    try:
        return kept_classes(scoring, lock.classes, source_lacks=source_lacks, target_lacks=target_lacks)
    except BadInput as error:
        raise BadInput(f"{pair}: {error}") from None


def predict_fingerprint(train: str, lock: Lock, target: str, *, split: str, inference: Inference) -> str:
    """The fingerprint of what the run of fingerprint `train` predicts on a split of the target."""
    return fingerprint(
        {
            "train": train,
            "target": {"split": split, "images": lock.images(target, split)},
            "inference": inference.identity(),
            "versions": {"inference": VERSIONS["inference"]},
        }
    )


def score_payload(context: Context, pair: Pair) -> dict[str, Any]:
    """What a score depends on beside the predictions."""
    kept = [context.lock.classes[i] for i in kept_in_pair(context, pair)]
    split = context.eval_split(pair.target)
    return scored_as(context.lock, pair.target, split=split, kept=kept, scoring=context.scoring_on(pair.target))


def scored_as(lock: Lock, target: str, *, split: str, kept: list[str], scoring: Scoring) -> dict[str, Any]:
    """What the score of predictions on a split of the target depends on, if the classes `kept` are scored."""
    return {
        "labels": lock.labels(target, split),
        "classes": list(lock.classes),
        "ignore_index": lock.ignore_index,
        "kept": kept,
        "scoring": scoring.identity(),
        "versions": {"metric": VERSIONS["metric"]},
    }


def run_of(context: Context, name: str, pair: Pair, seed: int) -> Run:
    """The run behind a cell. An oracle that trains like its floor is the floor's run at home."""
    method = context.params.methods[name]
    if method.setting == "source":
        run = Run(context, name, pair.source, None, seed)
    elif method.setting == "oracle":
        run = Run(context, method.floor if _like_floor(context, method) else name, (pair.target,), None, seed)
    else:
        run = Run(context, name, pair.source, pair.target, seed)
    return context.known_runs.setdefault(run.key, run)


def _like_floor(context: Context, method: Method) -> bool:
    floor = context.params.methods.get(method.floor or "")
    if not floor or floor.setting != "source" or floor.start != method.start:
        return False
    return context.learnt(floor) == context.learnt(method)


def find_run(context: Context, folder: Path) -> Run:
    """The run whose folder this is. Raises BadInput if the settings in force do not give its fingerprint."""
    found = RUN_FOLDER.fullmatch(folder.relative_to(RESULTS).as_posix() if folder.is_relative_to(RESULTS) else "")
    if not found or found["suite"] != context.suite:
        raise BadInput(f"{folder}: no folder of a run of suite {context.suite}")
    if found["method"] not in context.params.methods:
        raise BadInput(f"{folder}: no method {found['method']!r}; {suggest(found['method'], context.params.methods)}")
    source, _, target = found["pair"].partition("--")
    run = Run(context, found["method"], tuple(source.split(UNITE)), target or None, int(found["seed"]))
    if short(run.fingerprint) != found["train"]:
        raise BadInput(f"{folder}: the settings in force do not give this fingerprint but {short(run.fingerprint)}")
    return run


def predictions_path(run: Run, cells: Iterable[Cell]) -> Path:
    """Receipt of one run's predictions; its name says which predictions the grid wants."""
    wanted = sorted({cell.predict for cell in cells if cell.run.key == run.key})
    return run.folder / f"predictions-{short(fingerprint(wanted))}.json"
