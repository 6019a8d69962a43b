"""Makes MLflow show what is wanted: what is missing is added, what is there is left, what contradicts gives way.

MLflow can neither change a parameter, a start or a point of a run nor forget one. So a run that contradicts what is
wanted (another training under the same fingerprint) is replaced, and the old one goes to MLflow's trash; anything
else, as new costs or scores, is written to the run that is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from xdseg.errors import BadInput
from xdseg.tracking.curves import LOSS, Point
from xdseg.tracking.store import answered
from xdseg.tracking.views import VIEWS
from xdseg.tracking.wanted import CELL, FINISHED, NOTE, OUR_PREFIXES, OUR_TAGS, RUNNING, TRAINING, Wanted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

CONTENT, PARENT, WEIGHTS = "xdseg.content", "mlflow.parentRunId", "xdseg.weights"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # a page of runs, not of traces
METRICS_PER_BATCH, PARAMS_PER_BATCH = 900, 100  # MLflow: 1000 entities of all sorts, 100 of them parameters
PAGE = 1000  # runs per search
NEW, REPLACED, UPDATED, SAME = "new", "replaced", "updated", "unchanged"


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
    steps: dict[int, tuple[float, int]] | None = None

    @classmethod
    def of(cls, run: "Run") -> "Held":
        """What a search returned."""
        info, data = run.info, run.data
        tags, params, metrics = dict(data.tags), dict(data.params), dict(data.metrics)
        return cls(info.run_id, info.start_time, info.end_time, info.status, info.run_name or "", tags, params, metrics)


@dataclass
class Mirror:
    """One store and what it holds; the only writer as long as it lives."""

    client: "MlflowClient"
    uri: str
    experiments: dict[str, str] = field(default_factory=dict)  # id by suite
    index: dict[tuple[str, str, str], Held] = field(default_factory=dict)  # by suite, kind, key

    def forget(self) -> None:
        """Ask the store anew: after a failure nobody knows what arrived."""
        self.experiments.clear()
        self.index.clear()

    def find(self, suite: str, kind: str, key: str) -> Held | None:
        """The run of a key, if the store holds one."""
        with answered(self.uri):
            self._experiment(suite)
        return self.index.get((suite, kind, key))

    def put(self, wanted: Wanted) -> str:
        """Make the store show a run; says whether it is new, replaced, updated or unchanged. Raises StoreAway."""
        with answered(self.uri):
            experiment = self._experiment(wanted.suite)
            place = (wanted.suite, wanted.kind, wanted.key)
            tags, content, held = self._tags(wanted), wanted.content, self.index.get(place)
            if held and held.tags.get(CONTENT) == content and held.tags.get(PARENT) == tags.get(PARENT):
                return SAME
            if held is None:
                done, held = NEW, self._create(experiment, wanted, tags)
            elif self._contradicts(held, wanted):
                done, old = REPLACED, held
                held = self._create(experiment, wanted, foreign(old.tags) | tags)
                self.client.delete_run(old.run_id)
            else:
                done = UPDATED
            self.index[place] = held
            changed = self._fill(held, wanted, tags)
            if wanted.status == FINISHED:  # last, so that whatever was cut short is looked at again
                self._set_tags(held, {CONTENT: content})
            return SAME if done == UPDATED and wanted.status == RUNNING and not changed else done

    def _experiment(self, suite: str) -> str:
        if suite in self.experiments:
            return self.experiments[suite]
        name = f"xdseg/{suite}"
        found = self.client.get_experiment_by_name(name)
        if found and found.lifecycle_stage != "active":
            raise BadInput(
                f"MLflow: experiment {name} lies in the trash; `mlflow experiments restore -x {found.experiment_id}`"
            )
        experiment = found.experiment_id if found else self.client.create_experiment(name, tags=KIND)
        for tag, value in VIEWS.items():
            if not found or found.tags.get(tag) != value:
                self.client.set_experiment_tag(experiment, tag, value)
        for run in self._search(experiment):
            tags = run.data.tags
            place = (suite, tags.get("xdseg.kind", ""), tags.get("xdseg.key", ""))
            if place in self.index:  # two writers of different folders met: one run is enough
                self.client.delete_run(run.info.run_id)
            else:
                self.index[place] = Held.of(run)
        self.experiments[suite] = experiment
        return experiment

    def _search(self, experiment: str) -> Iterator["Run"]:
        token = None
        while True:
            page = self.client.search_runs(
                [experiment],
                "tags.`xdseg.key` LIKE '%'",
                max_results=PAGE,
                order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
                page_token=token,
            )
            yield from list(page)
            token = page.token
            if not token:
                return

    def _tags(self, wanted: Wanted) -> dict[str, str]:
        parent = self.index.get((wanted.suite, TRAINING, wanted.parent)) if wanted.parent else None
        return wanted.all_tags | ({PARENT: parent.run_id} if parent else {})

    def _create(self, experiment: str, wanted: Wanted, tags: dict[str, str]) -> Held:
        first = {NOTE: wanted.note or ""} | tags  # a note that somebody edited goes before ours
        run = self.client.create_run(experiment, start_time=wanted.start, tags=first, run_name=wanted.name)
        held = Held.of(run)
        held.steps = {}
        return held

    def _contradicts(self, held: Held, wanted: Wanted) -> bool:
        if any(held.params.get(key, value) != value for key, value in wanted.params.items()):
            return True
        if wanted.kind == CELL and not held.metrics.keys() <= wanted.metrics.keys():
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
        """Write what is missing; has anything been?"""
        from mlflow.entities import Metric, Param

        steps = held.steps if held.steps is not None else {}
        missing = [point for point in wanted.curve if point.step not in steps]
        scalars = [Metric(*scalar) for scalar in self._scalars(held, wanted)]
        params = [Param(key, value) for key, value in wanted.params.items() if key not in held.params]
        batches, parameters = list(_batches(missing, scalars)), list(_chunks(params, PARAMS_PER_BATCH))
        for number in range(max(len(batches), len(parameters))):
            metrics = batches[number] if number < len(batches) else []
            some = parameters[number] if number < len(parameters) else []
            self.client.log_batch(held.run_id, metrics=metrics, params=some)
        held.params |= wanted.params
        held.metrics |= wanted.metrics | (missing[-1].values if missing else {})
        steps |= {point.step: (point.values[LOSS], point.time) for point in missing}
        changed = self._set_tags(held, tags)
        for file in wanted.files:
            self.client.log_artifact(held.run_id, str(file))
        return bool(self._set_state(held, wanted) or batches or params or changed)

    def _scalars(self, held: Held, wanted: Wanted) -> Iterator[tuple[str, float, int, int]]:
        """Key, value, time, step of the single values that the store lacks or holds differently."""
        time = next((moment for moment in (wanted.end, wanted.start, held.start) if moment is not None), 0)
        for key, value in wanted.metrics.items():
            if key not in held.metrics:
                yield key, value, time, 0
            elif held.metrics[key] != value:  # MLflow shows the latest, so a correction must be later
                past = self.client.get_metric_history(held.run_id, key)
                yield key, value, max(time, *(metric.timestamp + 1 for metric in past)), 0

    def _set_tags(self, held: Held, tags: dict[str, str]) -> bool:
        from mlflow.entities import RunTag

        changed = {key: value for key, value in tags.items() if held.tags.get(key) != value}
        for some in _chunks(list(changed.items()), PARAMS_PER_BATCH):
            self.client.log_batch(held.run_id, tags=[RunTag(*tag) for tag in some])
        held.tags |= changed
        return bool(changed)

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


def foreign(tags: dict[str, str]) -> dict[str, str]:
    """The tags that people gave a run, and its description."""
    return {k: v for k, v in tags.items() if k == NOTE or not (k in OUR_TAGS or k.startswith(OUR_PREFIXES))}


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


def _batches(points: Iterable[Point], scalars: Sequence["Metric"]) -> Iterator[list["Metric"]]:
    """Metrics in batches that MLflow takes, no point divided: a batch arrives whole or not at all."""
    from mlflow.entities import Metric

    batch = list(scalars)
    for point in points:
        if len(batch) + len(point.values) > METRICS_PER_BATCH:
            yield batch
            batch = []
        batch += [Metric(key, value, point.time, point.step) for key, value in point.values.items()]
    if batch:
        yield batch


def _chunks(items: Sequence, size: int) -> Iterator[Sequence]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
