"""What goes into a pack: the committed records of boards, and all that they lean on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xdseg.cells import Run
from xdseg.exchange.leaning import Split, digests, files_of, splits_of
from xdseg.exchange.locks import Here
from xdseg.exchange.manifest import Manifest, new_manifest, origin_of
from xdseg.files import file_digest
from xdseg.panels import may_show
from xdseg.records import COMMITTED, matches
from xdseg.reporting.records import load_record
from xdseg.workflow import Plan


@dataclass
class Contents:
    """Gathered board by board."""

    files: dict[str, Path] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    trainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    splits: dict[str, set[Split]] = field(default_factory=dict)  # by suite
    suites: dict[str, Here] = field(default_factory=dict)

    def add(self, plan: Plan) -> tuple[int, int]:
        """Take a board's committed records; returns how many these are, and how many cells the grid has."""
        cells = [cell for cell in plan.cells if matches(COMMITTED / cell.record_name, cell)]
        for cell in cells:
            self._train(cell.run)
        paths = [COMMITTED / cell.record_name for cell in cells]
        for path in [*paths, *map(Path, plan.entered)]:
            self._record(path, plan)
        return len(cells), len(plan.cells)

    def _train(self, run: Run | None) -> None:
        if run and run.fingerprint not in self.trainings:
            self.trainings[run.fingerprint] = run.payload
            self._train(run.parent)

    def _record(self, path: Path, plan: Plan) -> None:
        context, record = plan.context, load_record(path)
        here = self.suites[context.suite] = Here(context.lock, may_show(context))
        self.splits.setdefault(context.suite, set()).update(splits_of(record, self.trainings))
        self.records[str(path)] = record
        files = files_of(path, record, root=COMMITTED, lock=here.lock, images=here.images)
        self.files |= {str(file): file for file in files if file.exists()}

    def manifest(self, boards: Sequence[str], who: str) -> Manifest:
        """What the pack says of itself; `who` hands it on."""
        return new_manifest(
            origin=origin_of(who, self.records.values()),
            boards=list(boards),
            locks={suite: digests(here.lock, self.splits[suite]) for suite, here in sorted(self.suites.items())},
            trainings=self.trainings,
            files={name: file_digest(path) for name, path in self.files.items()},
        )
