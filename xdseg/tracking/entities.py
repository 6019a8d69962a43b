"""MLflow's own objects, made only when something is written: importing mlflow takes seconds."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from xdseg.tracking.curves import Point
from xdseg.tracking.inputs import CONTEXT, Input

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag

Scalar = tuple[str, float, int, int]  # key, value, time (ms), step


def params_of(values: Mapping[str, str]) -> "list[Param]":
    """Parameters."""
    from mlflow.entities import Param

    return [Param(key, value) for key, value in values.items()]


def tags_of(values: Mapping[str, str]) -> "list[RunTag]":
    """Tags."""
    from mlflow.entities import RunTag

    return [RunTag(key, value) for key, value in values.items()]


def metric_batches(points: Iterable[Point], scalars: Sequence[Scalar], *, size: int) -> "Iterator[list[Metric]]":
    """Metrics in batches of at most `size`, no point divided: a batch arrives whole or not at all."""
    from mlflow.entities import Metric

    batch = [Metric(*scalar) for scalar in scalars]
    for point in points:
        if len(batch) + len(point.values) > size:
            yield batch
            batch = []
        batch += [Metric(key, value, point.time, point.step) for key, value in point.values.items()]
    if batch:
        yield batch


def calls(
    metrics: Iterable[list["Metric"]], params: Iterable[list["Param"]], tags: Iterable[list["RunTag"]]
) -> list[tuple[list["Metric"], list["Param"], list["RunTag"]]]:
    """Batches as arguments of `log_batch`; the last tags go with the last batch."""
    said = [*zip_longest(metrics, params, fillvalue=[])]
    ends = [*zip_longest(reversed(said), reversed([*tags]))]
    return [(*(one or ([], [])), some or []) for one, some in reversed(ends)]


def dataset_input(one: Input) -> "DatasetInput":
    """A split as a run's input. Its profile holds the whole digests, as the suite's lock does."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {"images": one.count, "images_sha256": one.images, "labels_sha256": one.labels}
    said = {key: value for key, value in profile.items() if value is not None}
    made = Dataset(one.name, one.digest, one.source_type, one.source, profile=json.dumps(said))
    return DatasetInput(made, tags=[InputTag(CONTEXT, one.context)])


def identities(run: "Run") -> set[tuple[str, str, str]]:
    """Name, digest and context of a run's inputs."""
    found = set()
    for one in run.inputs.dataset_inputs if run.inputs else ():
        context = next((tag.value for tag in one.tags if tag.key == CONTEXT), "")
        found.add((one.dataset.name, one.dataset.digest, context))
    return found


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most so many."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
