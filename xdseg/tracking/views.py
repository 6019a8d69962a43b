"""What MLflow's page shows first: shared views of its run table, since by default no score and no setting is a column.

A view is a tag of the experiment; `…/#/experiments/ID/runs?viewStateShareKey=cells` opens it.
"""

import json

PREFIX = "mlflow.sharedViewState."
TABLE_OF_CELLS = "viewStateShareKey=cells&workflowType=machine_learning"
NAMED = ("method", "setting", "source", "target", "seed")


def _columns(tags: tuple[str, ...], metrics: tuple[str, ...]) -> list[str]:
    return [f"tags.`{tag}`" for tag in tags] + [f"metrics.`{metric}`" for metric in metrics]


def _view(kind: str, order: str, *, ascending: bool, columns: list[str]) -> str:
    search = {"searchFilter": f"tags.`xdseg.kind` = '{kind}'", "orderByKey": order, "orderByAsc": ascending}
    return json.dumps(search | {"viewMaximized": True, "runListHidden": False, "selectedColumns": columns})


VIEWS = {
    f"{PREFIX}cells": _view(
        "cell",
        "metrics.`miou`",
        ascending=False,
        columns=_columns((*NAMED, "origin"), ("miou", "pixel_accuracy", "resources/train_seconds")),
    ),
    f"{PREFIX}rows": _view(
        "row",
        "metrics.`points/miou`",
        ascending=False,
        columns=_columns(
            ("board", "method", "setting", "seeds"),
            (
                "points/miou",
                *(f"gain/host{end}" for end in ("", " low", " high")),
                "resources/train_minutes",
                "resources/parameters_millions",
            ),
        ),
    ),
    f"{PREFIX}trainings": _view(
        "training",
        "attributes.start_time",
        ascending=False,
        columns=_columns(("method", "source", "target", "seed", "device"), ("loss", "lr", "resources/train_seconds")),
    ),
}
