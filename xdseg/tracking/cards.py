"""Model cards: what a trained run is, in Markdown, as MLflow shows it above a run's numbers.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, as far as records can say it: what it is, what it
learnt from and under which terms, how it was tested, what it scored and cost, and what made it.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from xdseg.cells import UNITE
from xdseg.published import Published, read
from xdseg.reporting.origin import imported
from xdseg.reporting.text import ARROW, escaped, fixed, percent
from xdseg.tracking.inputs import TARGET, Input
from xdseg.tracking.names import TAG

SECONDS = 60  # in a minute
SIGNS = re.compile(r"[^a-z0-9]+")
SHORTENED = "\n\n… shortened to what MLflow takes; the records have all."
Record = dict[str, Any]


def plain(text: object) -> str:
    """Text that shows as it is, whatever it holds: no tag, no link, no emphasis, one line."""
    return escaped(html.escape(str(text), quote=False))


def training_card(
    name: Mapping[str, str], records: Sequence[Record], inputs: Sequence[Input], *, terms: Mapping[str, str]
) -> str:
    """The card of a run from all its cells' records, which hold equal settings and costs of training.

    `name` gives method, source, seed and, where the target is seen, target; `terms` those of each domain.
    """
    # a run may serve rows of several methods; its own says best what it is
    record = min(records, key=lambda record: (record["method"] != name["method"], record["target"]))
    pair = plain(ARROW.join(filter(None, (name["source"], name.get("target")))))
    parts = [
        f"## {plain(name['method'])} · {pair} · seed {plain(name['seed'])}",
        "\n".join(_lines(_about(name, record))),
        f"### Scores\n\n{_scores(records)}",
        "### Data and terms\n\n" + "\n".join(_data(record, inputs, terms)),
        "### Protocol\n\n" + "\n".join(_lines(_protocol(record["protocol"]))),
        "### Costs\n\n" + "\n".join(_lines(_costs(record))),
        "### Made by\n\n" + "\n".join(_lines(_maker(record))),
    ]
    if papers := list(_papers(name, records)):
        parts.append("### Published beside it\n\n" + "\n".join(papers))
    return fit("\n\n".join(parts))


def fit(text: str) -> str:
    """A description that MLflow takes: what is too long ends with a whole line, and says so."""
    if len(text) <= TAG:
        return text
    return text[: TAG - len(SHORTENED)].rpartition("\n")[0] + SHORTENED


def _lines(rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    yield from (f"- **{label}:** {plain(value)}" for label, value in rows if value not in (None, ""))


def _about(name: Mapping[str, str], record: Record) -> Iterator[tuple[str, object]]:
    settings = record["settings"]
    segmenter, adaptations = settings.get("segmenter") or {}, settings.get("adaptations") or []
    yield "Network", segmenter.get("kind")
    yield "Adaptation", " + ".join(part["kind"] for part in adaptations) or "none"
    yield "Supervision", _supervision(name, record)
    yield "Note", record.get("note")
    yield "Task", f"semantic segmentation, suite {record['suite']}: {', '.join(record['classes'])}"
    yield "Use", "to compare methods under this protocol; not tested for any other purpose"


def _supervision(name: Mapping[str, str], record: Record) -> str:
    source, target = name["source"], name.get("target")
    if not target:
        return f"labels of {source}; no other domain is seen"
    if record["setting"] != "finetune":
        return f"labels of {source}; images of {target} without their labels"
    if (record["settings"].get("training") or {}).get("supervision") == "target":
        return f"labels of {target}, after a run on {source}"
    return f"labels of {source} and of {target}"


def _scores(records: Sequence[Record]) -> str:
    rows = ["| shown as | tested on | images | mIoU % | pixel accuracy % | classes |", "|---|---|--:|--:|--:|--:|"]
    for record in sorted(records, key=lambda record: (record["target"], record["method"], record["source"])):
        scores = record["scores"]
        shown = f"{record['method']} {UNITE.join(record['source'])}{ARROW}{record['target']}"
        tested = f"{record['target']} {record['protocol'].get('eval_split', '')}"
        values = (percent(scores["miou"]), percent(scores["pixel_accuracy"]))
        kept = f"{len(scores['kept'])} of {len(record['classes'])}"
        rows.append(f"| {plain(shown)} | {plain(tested)} | {scores['images']} | {' | '.join(values)} | {kept} |")
    return "\n".join(rows)


def _data(record: Record, inputs: Sequence[Input], terms: Mapping[str, str]) -> Iterator[str]:
    for one in inputs:
        seen = "without labels" if one.context == TARGET and not one.labels else "with labels"
        yield f"- **{plain(one.name)}** ({one.context}): {one.count} images, {seen}; digest {one.digest}"
    if not inputs:
        yield f"- the locks at hand do not give this run's fingerprint: its data of suite {plain(record['suite'])}, or "
        yield "  what reads them, has changed since"
    yield from (f"- terms of **{plain(domain)}**: {plain(said)}" for domain, said in sorted(terms.items()))


def _protocol(protocol: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Name", protocol["name"]
    yield "Trained on", f"split {protocol['train_split']}" if "train_split" in protocol else None
    yield "Checkpoint", protocol.get("checkpoint")
    for part in ("inference", "scoring"):
        said = {key: value for key, value in (protocol.get(part) or {}).items() if value is not None}
        yield part.capitalize(), ", ".join(f"{key} {_word(value)}" for key, value in said.items())
    yield "Note", protocol.get("note")


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _costs(record: Record) -> Iterator[tuple[str, object]]:
    costs, model = record["costs"] or {}, record["model"] or {}
    if costs.get("train_seconds") is not None:
        yield "Training", f"{fixed(costs['train_seconds'] / SECONDS)} min, {costs.get('steps', '?')} steps"
    if costs.get("images_per_second") is not None:
        yield "Images/s in training", fixed(costs["images_per_second"])
    if costs.get("peak_memory_mb") is not None:
        yield "Peak memory", f"{costs['peak_memory_mb']:.0f} MB"
    if model:
        trained = model.get("trainable", model["parameters"])
        yield "Parameters", f"{model['parameters']:,}, {trained:,} of them trained"


def _maker(record: Record) -> Iterator[tuple[str, object]]:
    environment = record["environment"] or {}
    changed = ", with changes not committed" if environment.get("dirty") else ""
    yield "Commit", environment["commit"] + changed if environment.get("commit") else "unknown"
    yield "XDSeg", record["benchmark_version"]
    for key in ("device", "precision", "torch", "started"):
        yield key.capitalize(), environment.get(key)
    yield "Origin", imported(record)
    yield "Run", record["run"]
    yield "Train fingerprint", record["fingerprints"]["train"]
    yield "Weights, SHA-256", record["digests"].get("weights")


def _papers(name: Mapping[str, str], records: Sequence[Record]) -> Iterator[str]:
    """Confirmed published numbers of a method of this name on a pair of these; names without signs and case."""
    for source, target in sorted({(UNITE.join(record["source"]), record["target"]) for record in records}):
        for row in _confirmed():
            if (row.source, row.target) == (source, target) and _same(row.method, name["method"]):
                spread = f" ± {row.std}" if row.std is not None else ""
                known = ", ".join(filter(None, (row.backbone, row.paper, str(row.year or ""), row.note)))
                pair = f"{plain(source)}{ARROW}{plain(target)}"
                yield f"- {plain(row.method)}, {pair}: {row.miou}{spread} ({plain(known)})"


@cache
def _confirmed() -> list[Published]:
    """Read once: every card asks."""
    return read()


def _same(one: str, other: str) -> bool:
    return SIGNS.sub("", one.lower()) == SIGNS.sub("", other.lower())
