"""Experiments: one per suite and version of the benchmark, with a description and views, and the runs they hold."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xdseg.errors import BadInput
from xdseg.tracking.cards import plain
from xdseg.tracking.views import VIEWS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND = {"mlflow.experimentKind": "custom_model_development"}  # a page of runs, not of traces
DESCRIPTION = "mlflow.note.content"
PAGE = 1000  # runs per search


def make_or_find(client: "MlflowClient", name: str, *, suite: str, version: str) -> str:
    """Id of the experiment of that name. Raises BadInput if it lies in MLflow's trash."""
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage != "active":
        raise BadInput(
            f"MLflow: experiment {name} lies in the trash; `mlflow experiments restore -x {found.experiment_id}`"
        )
    says = (
        f"Suite {plain(suite)}, version {plain(version)}: trainings with their cards, nested in them their cells; "
        "boards with their rows. A view of the records, by `xdseg track`."
    )
    experiment = found.experiment_id if found else client.create_experiment(name, tags=KIND | {DESCRIPTION: says})
    for tag, value in VIEWS.items():
        if not found or found.tags.get(tag) != value:
            client.set_experiment_tag(experiment, tag, value)
    return experiment


def runs_of(client: "MlflowClient", experiment: str) -> Iterator["Run"]:
    """All active runs that we wrote, the earliest first."""
    token = None
    while True:
        page = client.search_runs(
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
