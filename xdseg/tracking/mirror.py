"""Makes MLflow show what is wanted: what is missing is added, what is there is left, what contradicts gives way.

MLflow can neither change a parameter, a start or a point of a run nor forget one, nor take an input away. So a run
that contradicts what is wanted (another training under the same fingerprint) is replaced, and the old one goes to
MLflow's trash; anything else, as new costs or scores, is written to the run that is there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xdseg import __version__
from xdseg.canonical import fingerprint, short
from xdseg.tracking.curves import LOSS, Point
from xdseg.tracking.entities import Scalar, calls, chunks, dataset_input, identities, metric_batches, params_of, tags_of
from xdseg.tracking.experiments import make_or_find, runs_of
from xdseg.tracking.names import experiment_name
from xdseg.tracking.store import answered
from xdseg.tracking.wanted import BOARD, CELL, FINISHED, NOTE, OUR_PREFIXES, OUR_TAGS, ROW, RUNNING, TRAINING, Wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CONTENT, PARENT, WEIGHTS = "xdseg.content", "mlflow.parentRunId", "xdseg.weights"
WRITTEN = "xdseg.note"  # fingerprint of the description as we wrote it: tells whether people have edited it since
TABLES = "mlflow.loggedArtifacts"  # which artifacts MLflow shows as tables
METRICS_PER_BATCH, PARAMS_PER_BATCH = 800, 100  # MLflow: 1000 entities of all sorts, 100 of them parameters or tags
NEW, REPLACED, UPDATED, SAME = "new", "replaced", "updated", "unchanged"
SCORE = slice(-len("0123abcd.json"), -len(".json"))  # of a cell's key


@dataclass
class Held:
    """A run as the store holds it; `steps` are its curve's points (step → loss, time), None until asked for."""

    run_id: str
    start: int | None
    end: int | None
    status: str
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    inputs: set[tuple[str, str, str]]
    steps: dict[int, tuple[float, int]] | None = None

    @classmethod
    def of(cls, run: "Run") -> "Held":
        """What a search returned."""
        info, data = run.info, run.data
        tags, params, metrics = dict(data.tags), dict(data.params), dict(data.metrics)
        named = (info.run_id, info.start_time, info.end_time, info.status, info.run_name or "")
        return cls(*named, tags, params, metrics, identities(run))


@dataclass
class Mirror:
    """One store and what it holds; the only writer as long as it lives."""

    client: "MlflowClient"
    uri: str
    experiments: dict[str, str] = field(default_factory=dict)  # id by name
    index: dict[tuple[str, str, str], Held] = field(default_factory=dict)  # by experiment's name, kind, key
    links: dict[str, dict[str, str]] = field(default_factory=dict)  # tags of cells by short score fingerprint

    def forget(self) -> None:
        """Ask the store anew: after a failure nobody knows what arrived."""
        self.experiments.clear()
        self.index.clear()

    def find(self, suite: str, kind: str, key: str, *, version: str = __version__) -> Held | None:
        """The run of a key, if the store holds one."""
        with answered(self.uri):
            self._experiment(suite, version)
        return self.index.get((experiment_name(suite, version), kind, key))

    def put(self, wanted: Wanted) -> str:
        """Make the store show a run; says whether it is new, replaced, updated or unchanged. Raises StoreAway."""
        with answered(self.uri):
            experiment = self._experiment(wanted.suite, wanted.version)
            place = (experiment_name(wanted.suite, wanted.version), wanted.kind, wanted.key)
            tags, content, held = self._tags(wanted), wanted.content, self.index.get(place)
            if held and held.tags.get(CONTENT) == content and held.tags.get(PARENT) == tags.get(PARENT):
                return SAME
            if held is None:
                done, held = NEW, self._create(experiment, wanted, tags | _note(wanted, {}))
            elif self._contradicts(held, wanted):
                done, old = REPLACED, held
                held = self._create(experiment, wanted, foreign(old.tags) | tags | _note(wanted, old.tags))
                self.client.delete_run(old.run_id)
            else:
                done = UPDATED
            self.index[place] = held
            changed = self._fill(held, wanted, tags | _note(wanted, held.tags))
            return SAME if done == UPDATED and wanted.status == RUNNING and not changed else done

    def link(self) -> None:
        """Tag the cells that stood here before the boards which show them. Raises StoreAway."""
        with answered(self.uri):
            for (_, kind, key), held in self.index.items():
                lacking = _lacking(held.tags, self.links.get(key[SCORE], {}) if kind == CELL else {})
                if lacking:
                    self.client.log_batch(held.run_id, tags=tags_of(lacking))
                    held.tags |= lacking

    def _experiment(self, suite: str, version: str) -> str:
        """Its id; its runs are known from then on."""
        name = experiment_name(suite, version)
        if name not in self.experiments:
            experiment = make_or_find(self.client, name, suite=suite, version=version)
            for run in runs_of(self.client, experiment):
                tags = run.data.tags
                place = (name, tags.get("xdseg.kind", ""), tags.get("xdseg.key", ""))
                if place in self.index:  # two writers of different folders met: one run is enough
                    self.client.delete_run(run.info.run_id)
                else:
                    self.index[place] = Held.of(run)
            self.experiments[name] = experiment
        return self.experiments[name]

    def _tags(self, wanted: Wanted) -> dict[str, str]:
        name, above = experiment_name(wanted.suite, wanted.version), {CELL: TRAINING, ROW: BOARD}.get(wanted.kind, "")
        parent = self.index.get((name, above, wanted.parent)) if wanted.parent else None
        tags = wanted.all_tags | ({PARENT: parent.run_id} if parent else {})
        if wanted.tables:
            tags[TABLES] = json.dumps([{"path": path, "type": "table"} for path in wanted.tables])
        return tags | (self.links.get(wanted.key[SCORE], {}) if wanted.kind == CELL else {})

    def _create(self, experiment: str, wanted: Wanted, tags: dict[str, str]) -> Held:
        run = self.client.create_run(experiment, start_time=wanted.start, tags=tags, run_name=wanted.name)
        held = Held.of(run)
        held.steps = {}
        return held

    def _contradicts(self, held: Held, wanted: Wanted) -> bool:
        if any(held.params.get(key, value) != value for key, value in wanted.params.items()):
            return True
        if wanted.kind in (CELL, ROW) and not held.metrics.keys() <= wanted.metrics.keys():
            return True
        if wanted.inputs and not held.inputs <= {one.identity for one in wanted.inputs}:
            return True
        if held.steps is None and wanted.kind == TRAINING:
            held.steps = self._stored(held)
        if _same_end(held, wanted):  # its curve may be thinner here than the one that was followed
            return False
        if held.steps and wanted.curve:
            return not agrees(held.steps, wanted.curve)
        # without points to compare, the start says whether it is the same training
        return wanted.start is not None and held.start != wanted.start

    def _stored(self, held: Held) -> dict[int, tuple[float, int]]:
        if LOSS not in held.metrics:
            return {}
        history = self.client.get_metric_history(held.run_id, LOSS)
        return {metric.step: (metric.value, metric.timestamp) for metric in history}

    def _fill(self, held: Held, wanted: Wanted, tags: dict[str, str]) -> bool:
        """Write what is missing; has anything been?

        What tells that all is written comes last, so that whatever was cut short is looked at again.
        """
        steps = held.steps if held.steps is not None else {}
        missing = [point for point in wanted.curve if point.step not in steps]
        metrics = metric_batches(missing, list(self._scalars(held, wanted)), size=METRICS_PER_BATCH)
        params = _lacking(held.params, wanted.params, changed=False)
        written, tags = {CONTENT: wanted.content} if wanted.status == FINISHED else {}, _lacking(held.tags, tags)
        batches = calls(
            metrics, chunks(params_of(params), PARAMS_PER_BATCH), chunks(tags_of(tags | written), PARAMS_PER_BATCH)
        )
        data = self._write_data(held, wanted)
        for batch in batches[:-1]:
            self.client.log_batch(held.run_id, *batch)
        state = self._set_state(held, wanted)
        for batch in batches[-1:]:
            self.client.log_batch(held.run_id, *batch)
        held.params |= params
        held.metrics |= wanted.metrics | (missing[-1].values if missing else {})
        steps |= {point.step: (point.values[LOSS], point.time) for point in missing}
        held.tags |= tags | written
        return bool(data or state or missing or params or tags)

    def _scalars(self, held: Held, wanted: Wanted) -> Iterator[Scalar]:
        """Key, value, time, step of the single values that the store lacks or holds differently."""
        time = next((moment for moment in (wanted.end, wanted.start, held.start) if moment is not None), 0)
        for key, value in wanted.metrics.items():
            if key not in held.metrics:
                yield key, value, time, 0
            elif held.metrics[key] != value:  # MLflow shows the latest, so a correction must be later
                past = self.client.get_metric_history(held.run_id, key)
                yield key, value, max(time, *(metric.timestamp + 1 for metric in past)), 0

    def _write_data(self, held: Held, wanted: Wanted) -> bool:
        """Inputs that are missing, and artifacts, which are cheap to write again and small."""
        missing = [one for one in wanted.inputs if one.identity not in held.inputs]
        if missing:
            self.client.log_inputs(held.run_id, [dataset_input(one) for one in missing])
            held.inputs |= {one.identity for one in missing}
        for file in wanted.files:
            self.client.log_artifact(held.run_id, str(file))
        for path, text in wanted.texts:
            self.client.log_text(held.run_id, text, path)
        return bool(missing)

    def _set_state(self, held: Held, wanted: Wanted) -> bool:
        same = held.status == wanted.status and held.name == wanted.name
        if same and (wanted.end is None or held.end == wanted.end):
            return False
        if held.name != wanted.name or wanted.status == RUNNING:
            self.client.update_run(held.run_id, status=wanted.status, name=wanted.name)
        if wanted.status != RUNNING:
            self.client.set_terminated(held.run_id, wanted.status, wanted.end)
        held.status, held.name, held.end = wanted.status, wanted.name, wanted.end
        return True


def _same_end(held: Held, wanted: Wanted) -> bool:
    weights = wanted.tags.get(WEIGHTS)
    return weights is not None and held.tags.get(WEIGHTS) == weights and held.end == wanted.end


def _lacking(held: Mapping[str, str], wanted: Mapping[str, str], *, changed: bool = True) -> dict[str, str]:
    """What is not held; with `changed`, also what is held differently."""
    return {k: v for k, v in wanted.items() if k not in held or (changed and held[k] != v)}


def _note(wanted: Wanted, held: Mapping[str, str]) -> dict[str, str]:
    """The description, unless people have written one of their own."""
    if not wanted.note or _edited(held):
        return {}
    return {NOTE: wanted.note, WRITTEN: _print(wanted.note)}


def _edited(tags: Mapping[str, str]) -> bool:
    return bool(tags.get(NOTE)) and tags.get(WRITTEN) != _print(tags[NOTE])


def _print(note: str) -> str:
    return short(fingerprint(note))


def foreign(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that people gave a run, and a description of theirs."""
    theirs = {k: v for k, v in tags.items() if not (k in OUR_TAGS or k.startswith(OUR_PREFIXES))}
    return theirs | ({NOTE: tags[NOTE]} if _edited(tags) else {})


def agrees(stored: dict[int, tuple[float, int]], curve: Sequence[Point]) -> bool:
    """Do the points come from the same training as the stored ones?

    Where both have a step, the loss is equal to the last bit; a resumed training repeats some steps later and gives
    them another time, but its first point is the first one's.
    """
    common = [point for point in curve if point.step in stored]
    if not common or any(point.values[LOSS] != stored[point.step][0] for point in common):
        return False
    first = min(common, key=lambda point: point.step)
    return first.time == stored[first.step][1]
