"""The card behind a number: what it is, what made it, and how it is made again.

A card is a list of sections, each a title and rows of (label, value). Equal sections are kept once. The numbers
themselves are not in it: the page has them once, in the order of its rows and pairs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xdseg.reporting.about import About
from xdseg.reporting.cells_table import TableCell
from xdseg.reporting.image_gains import ImageGains
from xdseg.reporting.leaderboard import mean
from xdseg.reporting.origin import ENTERED, imported
from xdseg.reporting.page import notes_of
from xdseg.reporting.page_images import SCORE, drawn_section, gain_section, score_text
from xdseg.reporting.page_sections import COPY, MONO, Section, section
from xdseg.reporting.seeds import told
from xdseg.reporting.statistics.seeds import over_seeds
from xdseg.reporting.text import fixed, percent

SECONDS = 60  # in a minute


class Cards:
    """Cards of a page, and the sections that they share."""

    def __init__(
        self,
        cells: Sequence[TableCell],
        about: About,
        *,
        methods: Mapping[str, int],
        pairs: Mapping[tuple[str, str], int],
        gains: ImageGains | None = None,
    ) -> None:
        """`methods` and `pairs` give the places at which the page has a cell's numbers; `gains` are over images."""
        self.sections: list[Section] = []
        self._known: dict[str, int] = {}
        self._about = about
        self.cards: dict[str, dict[str, Any]] = {}
        by_name: dict[str, list[TableCell]] = {}
        for cell in cells:
            by_name.setdefault(card_name(cell.method, cell.source, cell.target), []).append(cell)
        for name, own in by_name.items():
            self.cards[name] = {
                "m": methods[own[0].method],
                "p": pairs[own[0].pair],
                "miou": percent(mean(cell.miou for cell in own)),
                "cells": [self._of(cell) for cell in own],
            }
            if all(cell.miou is not None for cell in own):
                self.cards[name]["seeds"] = self._place(_over_seeds(own))
            if gain := (gains or {}).get((own[0].method, own[0].pair)):
                self.cards[name]["gain"] = self._place(gain_section(gain))

    def _of(self, cell: TableCell) -> dict[str, Any]:
        sections = _scored(cell, self._about) if cell.record else _missing(cell, self._about)
        return {"seed": cell.seed, "miou": percent(cell.miou), "sections": [self._place(part) for part in sections]}

    def _place(self, part: Section) -> int:
        text = json.dumps(part, sort_keys=True)
        if text not in self._known:
            self._known[text] = len(self.sections)
            self.sections.append(part)
        return self._known[text]


def _over_seeds(cells: Sequence[TableCell]) -> Section:
    """The mean over the seeds of one pair; alike for all that have one seed, so that the page has it once."""
    if len(cells) == 1:
        return section("Over seeds", [("n", 1), ("95 % over seeds", "none: one seed, no spread to judge by")])
    found = over_seeds([cell.miou for cell in cells])
    return section("Over seeds", [("mean mIoU", told(found, len(cells)))])


def card_name(method: str, source: str, target: str) -> str:
    """Name of a card, in the page's address too."""
    return f"{method}/{source}--{target}"


def _missing(cell: TableCell, about: About) -> Iterable[Section]:
    yield section("Missing", [("state", "The grid wants this cell; it has no record. Its run failed or was not made.")])
    yield _again(cell, about)


def _scored(cell: TableCell, about: About) -> Iterable[Section]:
    record, scores = cell.record, cell.record["scores"]
    kept = scores["kept"]
    yield section(
        "Score",
        [
            ("mIoU", f"{percent(scores['miou']) or 'no pixel to score'}"),
            (SCORE, score_text(cell.image_interval)),
            ("pixel accuracy", percent(scores["pixel_accuracy"])),
            ("images", scores["images"]),
            ("classes scored", f"{len(kept)} of {len(record['classes'])}"),
            *(("note", note.replace("`", "")) for note in notes_of(record)),
        ],
    )
    if cell.drawn:
        yield drawn_section(cell.drawn)
    yield _again(cell, about)
    yield section("Protocol", _protocol(record["protocol"]))
    yield section("Settings", [(f"{k}", v) for k, v in flattened(record.get("settings") or {}).items()], folded=True)
    yield section("Data", _data(cell, about), folded=True)
    yield section("Fingerprints", [(k, v, MONO) for k, v in record["fingerprints"].items()], folded=True)
    yield section("Files", _files(cell, about), folded=True)
    yield section("Made by", _origin(record))
    libraries = (record.get("environment") or {}).get("libraries") or {}
    if libraries:
        yield section("Libraries", libraries.items(), folded=True)
    yield section("Costs", _costs(record.get("costs") or {}, record.get("model") or {}))


def _again(cell: TableCell, about: About) -> Section:
    if cell.record and cell.record["origin"] == ENTERED:
        return section("Make it again", [("with the predictions at hand", about.score(cell), COPY)])
    record = about.records.get(cell.key)
    if not record:
        return section("Make it again", [("the whole board", about.snakemake(), COPY)])
    return section("Make it again", [("trains, predicts, scores", about.snakemake(f"results/{record}"), COPY)])


def _protocol(protocol: dict[str, Any]) -> Iterable[tuple]:
    yield "name", protocol["name"]
    yield "trained on", protocol.get("train_split")
    yield "evaluated on", protocol.get("eval_split")
    yield "checkpoint", protocol.get("checkpoint")
    for part in ("inference", "scoring"):
        shown = {key: value for key, value in flattened(protocol.get(part) or {}).items() if value != "none"}
        yield part, ", ".join(f"{key} {value}" for key, value in shown.items())


def flattened(value: Any, name: str = "") -> dict[str, str]:
    """Nested settings as dotted keys; None is `none`, an empty part `defaults`, since identities leave those out."""
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in flattened(inner, f"{name}.{key}".strip(".")).items()}
    if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        return {k: v for at, inner in enumerate(value) for k, v in flattened(inner, f"{name}.{at}").items()}
    return {name: _plain(value)} if name else {}


def _plain(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if value == {}:
        return "defaults"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _data(cell: TableCell, about: About) -> Iterable[tuple]:
    """Digests of the splits that made the number; a record matches its board's lock, as both give its fingerprint."""
    protocol = cell.record["protocol"]
    train, evaluate = protocol.get("train_split", "train"), protocol.get("eval_split", "val")
    labelled = {"oracle": [cell.target], "finetune": [*cell.source.split("+"), cell.target]}
    learnt = labelled.get(cell.setting, cell.source.split("+"))
    if cell.record["origin"] != ENTERED:
        for domain in learnt:
            yield from _split(about, domain, train, "training", labels=True)
        if cell.setting == "uda":
            yield from _split(about, cell.target, train, "training, no labels", labels=False)
    yield from _split(about, cell.target, evaluate, "test", labels=True)


def _split(about: About, domain: str, name: str, use: str, *, labels: bool) -> Iterable[tuple]:
    if split := about.data.get((domain, name)):
        yield f"{domain} {name} ({use})", f"{split.count} images"
        yield "images", split.images, MONO
        if labels:
            yield "labels", split.labels, MONO


def _files(cell: TableCell, about: About) -> Iterable[tuple]:
    digests = cell.record.get("digests") or {}
    yield "record", about.records.get(cell.key), MONO
    yield "run", cell.record.get("run"), MONO
    yield "weights, SHA-256", digests.get("weights"), MONO
    yield "predictions, SHA-256", digests.get("predictions"), MONO
    yield "confusion, SHA-256", (cell.record.get("confusion") or {}).get("sha256"), MONO


def _origin(record: dict[str, Any]) -> Iterable[tuple]:
    environment = record.get("environment") or {}
    entered = record["origin"] == ENTERED
    mark = imported(record) or ("scored here" if entered else "")
    yield "origin", ", ".join(filter(None, ("predictions of other code" if entered else "this workflow", mark)))
    if commit := environment.get("commit"):
        yield "commit", commit + (", with changes not committed" if environment.get("dirty") else ""), MONO
    else:
        yield "commit", "unknown: not run in a checkout"
    for key in ("device", "precision", "platform", "python", "torch"):
        yield key, environment.get(key)
    yield "XDSeg", record["benchmark_version"]
    yield "started", environment.get("started")
    yield "ended", environment.get("ended")


def _costs(costs: dict[str, Any], model: dict[str, Any]) -> Iterable[tuple]:
    if costs.get("train_seconds") is not None:
        yield "training", f"{costs['train_seconds'] / SECONDS:.2f} min, {costs.get('steps', '?')} steps"
    if costs.get("predict_seconds") is not None:
        yield "predicting", f"{costs['predict_seconds']:.1f} s"
    if costs.get("images_per_second") is not None:
        yield "images/s in training", fixed(costs["images_per_second"])
    if costs.get("peak_memory_mb") is not None:
        yield "peak memory", f"{costs['peak_memory_mb']:.0f} MB"
    if model:
        yield "parameters", f"{model['parameters']:,}, {model.get('trainable', model['parameters']):,} of them trained"
