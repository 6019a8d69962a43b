"""What the Snakefile asks: one `Plan` per parse, made of pure parts, with every path a dictionary or a lookup.

Light to import, since every cluster job parses the Snakefile again.
"""

import os
import sys
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from xdseg.backbones.recipes import record_path
from xdseg.canonical import canonical_json, fingerprint, short
from xdseg.cells import RESULTS, Cell, Context, Run, predictions_path
from xdseg.errors import BadInput
from xdseg.files import write_text
from xdseg.grid import expand
from xdseg.params import CONFIG_VARIABLE, Params, parse
from xdseg.records import COMMITTED, PRODUCED, entered_records, matches
from xdseg.settings.methods import ROLES
from xdseg.versions import VERSIONS

INTERRUPTED = ("on user request", "Will exit after finishing")  # what Snakemake logs on SIGINT and SIGTERM
Asked = TypeVar("Asked")
USUAL_RATE = (100, 1)  # jobs, seconds: Snakemake's own limit where none is asked for
STARTED = RESULTS / ".settings"  # where each start of the workflow leaves its settings, overlays merged
PARENT_VARIABLE = "XDSEG_DIE_WITH_PARENT"
OFFLINE = ("HF_HUB_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DVC_NO_ANALYTICS")


class Plan:
    """The grid as files: what each rule reads, and which records already exist."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.context = Context.of(params)
        self.expansion = expand(self.context)
        self.cells = self.expansion.cells
        if not self.cells:
            reasons = sorted({e.reason for e in self.expansion.excluded}) or ["no pairs"]
            raise BadInput(f"params: grid: no cell is left ({'; '.join(reasons)})")

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Runs by folder."""
        return {str(run.folder): run for run in self.expansion.runs}

    @cached_property
    def cells_of_run(self) -> dict[str, list[Cell]]:
        """Cells by folder of the run that they are evaluated from."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(str(cell.run.folder), []).append(cell)
        return found

    @cached_property
    def predictions(self) -> dict[str, str]:
        """Receipt of predictions by folder of the run."""
        return {folder: str(predictions_path(cells[0].run, cells)) for folder, cells in self.cells_of_run.items()}

    @cached_property
    def by_folder(self) -> dict[str, Cell]:
        """A cell by the folder of its predictions; oracle cells of one target share it."""
        return {str(cell.folder): cell for cell in self.cells}

    @cached_property
    def by_record(self) -> dict[str, Cell]:
        """Cells by the path of the record that the workflow would make."""
        return {str(PRODUCED / cell.record_name): cell for cell in self.cells}

    def training_inputs(self, folder: str) -> list[str]:
        """What a training reads: decoded splits that its setting grants, and the run it starts from."""
        run = _asked(self.runs, folder)
        parent = [str(run.parent.folder / "run.json")] if run.parent else []
        return [cache_path(self.context, *seen) for seen in run.sees] + parent

    def prediction_inputs(self, folder: str) -> list[str]:
        """Images of all targets that the grid wants of a run."""
        targets = sorted({cell.pair.target for cell in _asked(self.cells_of_run, folder)})
        return [cache_path(self.context, target, self.context.eval_split(target), "images") for target in targets]

    def scoring_inputs(self, cell_folder: str) -> list[str]:
        """Predictions of the run and labels of the target."""
        cell = _asked(self.by_folder, cell_folder)
        target = cell.pair.target
        labels = cache_path(self.context, target, self.context.eval_split(target), "labels")
        return [self.predictions[str(cell.run.folder)], labels]

    def record_inputs(self, record: str) -> list[str]:
        """The score and the receipts that a record is made of."""
        cell = _asked(self.by_record, record)
        run = cell.run.folder
        return [str(cell.score_path), str(run / "run.json"), self.predictions[str(run)]]

    @cached_property
    def records(self) -> list[str]:
        """A record per cell: the one made here, else the committed one of the same fingerprint, else one to make."""
        return [self._record(cell) for cell in self.cells]

    def _record(self, cell: Cell) -> str:
        produced, committed = PRODUCED / cell.record_name, COMMITTED / cell.record_name
        use = self.params.records == "use" and not produced.exists() and matches(committed, cell)
        return str(committed if use else produced)

    @cached_property
    def entered(self) -> list[str]:
        """Committed records of methods from other code bases on this suite."""
        return [str(path) for path in entered_records(self.context)]

    @cached_property
    def board(self) -> str:
        """Folder of the board; its name says which scores it shows."""
        shown = [[cell.method, str(cell.pair), cell.seed, cell.score] for cell in self.cells]
        notes = [self.params.protocols[self.params.grid.protocol].note]
        notes += [self.params.methods[name].note for name in self.params.grid.every_method]
        payload = {"cells": shown, "entered": self.entered, "notes": notes, "version": VERSIONS["board"]}
        # what the page says of it
        grid = self.params.grid
        peers = [[getattr(self.params.methods[name], role) for role in ROLES] for name in grid.every_method]
        recordings = {cell.pair.target: self.context.lock.recordings(cell.pair.target) for cell in self.cells}
        payload |= {"name": grid.board or grid.suite, "peers": peers, "recordings": recordings}
        return f"{RESULTS}/{self.context.suite}/board-{short(fingerprint(payload))}"

    @property
    def partial(self) -> str:
        """Where a board with missing cells is built: never in the place of the whole one."""
        return f"{RESULTS}/{self.context.suite}/board-partial"

    @cached_property
    def backbones(self) -> list[str]:
        """Record of every encoder that params.yaml has a recipe for."""
        return [str(record_path(name, settings)) for name, settings in self.params.backbones.items()]

    def folder(self, wildcards: Any) -> str:
        """Folder of the run that a rule's wildcards stand for."""
        return f"{RESULTS}/{wildcards.suite}/{wildcards.method}/{wildcards.pair}/s{wildcards.seed}-{wildcards.train}"

    def cell_folder(self, wildcards: Any) -> str:
        """Folder of the predictions that a rule's wildcards stand for."""
        return f"{self.folder(wildcards)}/{wildcards.target}-{wildcards.predict}"

    def record_path(self, wildcards: Any) -> str:
        """Record that a rule's wildcards stand for."""
        pair = f"{wildcards.source}--{wildcards.target}"
        return f"{PRODUCED}/{wildcards.suite}/{wildcards.method}/{pair}/s{wildcards.seed}-{wildcards.score}.json"

    def segmenter_kind(self, wildcards: Any) -> str:
        """Registered kind of the segmenter of the run that a rule's wildcards stand for."""
        method = _asked(self.runs, self.folder(wildcards)).definition
        return self.params.component("segmenters", method.segmenter)[0]


def _asked(known: dict[str, Asked], path: str) -> Asked:
    """What a path of a rule stands for. Raises BadInput where the settings in force ask for no such file."""
    if path not in known:
        raise BadInput(f"{path}: the settings in force ask for no such file; `xdseg params` lists runs and cells")
    return known[path]


def cache_path(context: Context, domain: str, split: str, what: str) -> str:
    """Index of a decoded split; its name holds the digest, so a changed split is another file."""
    digest = context.lock.images(domain, split) if what == "images" else context.lock.labels(domain, split)
    return f"{RESULTS}/.cache/{context.suite}/{domain}--{split}--{what}--{short(digest)}.json"


def plan_from(config: dict[str, Any]) -> Plan:
    """The plan of Snakemake's merged configuration, whose text travels to the rules' commands in a file.

    Raises SystemExit with the one line of a BadInput, which Snakemake prints as it is.
    """
    try:
        plan = Plan(parse(config))
        plan.board  # noqa: B018  resolves every fingerprint now, so that a missing lock ends the parse
    except BadInput as error:
        raise SystemExit(str(error)) from None
    text = canonical_json(config)
    path = STARTED / f"{short(fingerprint(config))}.json"
    if not path.exists():
        write_text(path, text)
    os.environ[CONFIG_VARIABLE] = str(path)
    os.environ[PARENT_VARIABLE] = "1"
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    # the commands of this environment, also where it was not activated
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return plan


def without_usual_rate(scheduler: Any) -> None:
    """Take the usual limit of jobs a second from Snakemake's scheduler; one that was asked for stays.

    With any limit it looks over all that waits once more, a second after every look, so that each job that ends adds a
    look a second for as long as anything waits: at 1,000 cells most of its time (docs/cluster.md). How many jobs are in
    a cluster's queue is limited by `jobs`.
    """
    limit = getattr(scheduler, "job_rate_limiter", None)
    if limit is not None and (limit.max_jobs, limit.timespan) == USUAL_RATE:
        scheduler.job_rate_limiter = None


def publishes_partial(log: str | Iterable[str], targets: Iterable[str]) -> bool:
    """Should a failed workflow publish what it has? Not after an interrupt, and only if everything was asked for."""
    logs = [log] if isinstance(log, str) else list(log)
    text = "".join(Path(path).read_text(errors="replace") for path in logs if Path(path).exists())
    return "all" in targets and not any(words in text for words in INTERRUPTED)
