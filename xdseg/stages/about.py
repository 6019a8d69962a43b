"""What a board's page says beyond its records, gathered from the settings, the locks and the panels beside records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xdseg.cells import UNITE, Context
from xdseg.errors import BadInput
from xdseg.files import file_digest
from xdseg.panels import TargetStrips, may_show, panel_of
from xdseg.params import Params, merge, parse, read_yaml
from xdseg.records import COMMITTED, PRODUCED
from xdseg.reporting.about import About, Panel, Split, Strips
from xdseg.settings.methods import ROLES
from xdseg.stages.traits import traits_of
from xdseg.workflow import Plan

SETTINGS = Path("params.yaml")
PRESETS = Path("pipeline/presets")
ELSEWHERE = {"records", "runtime"}  # settings that a board does not depend on


def about_board(plan: Plan, records: Mapping[Path, dict[str, Any]]) -> About:
    """`records` are the board's by path. Raises BadInput if a panel is not the one of its record."""
    context = plan.context
    methods = {name: context.params.methods[name] for name in context.params.grid.every_method}
    keys = {path: key_of(record) for path, record in records.items()}
    wanted = {(c.method, c.pair.origin, c.pair.target, c.seed): f"records/{c.record_name}" for c in plan.cells}
    panels = {}
    for path, record in records.items() if may_show(context) else ():
        if panel := _panel(path, record):
            panels[keys[path]] = panel
    return About(
        name=context.params.grid.board or context.suite,
        peers={name: {role: getattr(method, role) for role in ROLES} for name, method in methods.items()},
        parts={name: " + ".join((method.segmenter, *method.adaptations)) for name, method in methods.items()},
        traits={name: traits_of(context.params, name) for name in methods},
        data=_data(context, plan),
        overlay=overlay_of(context.params),
        records=wanted | {keys[path]: str(path) for path in map(Path, plan.entered) if path in keys},
        may_show=may_show(context),
        strips=_strips(context, {record["target"] for record in records.values()}) if panels else {},
        panels=panels,
    )


def key_of(record: dict[str, Any]) -> tuple[str, str, str, int]:
    """What makes a record's cell one on a board: method, source, target, seed."""
    return record["method"], UNITE.join(sorted(record["source"])), record["target"], record["seed"]


def overlay_of(params: Params) -> str | None:
    """Options of snakemake that give these settings: none, or a preset; None if no file here gives them."""
    if not SETTINGS.exists():
        return None
    base, wanted = read_yaml(SETTINGS), _what_counts(params)
    for options, overlay in [("", {}), *((f"--configfile {path}", path) for path in sorted(PRESETS.glob("*.yaml")))]:
        try:
            merged = merge(base, read_yaml(overlay) if options else overlay)
            if _what_counts(parse(merged)) == wanted:
                return options
        except BadInput:  # a preset that is not whole is not the one in force
            continue
    return None


def _what_counts(params: Params) -> dict[str, Any]:
    settings = params.model_dump(exclude=ELSEWHERE)
    settings["grid"]["board"] = params.grid.board or params.grid.suite  # DVC's stage says the default by its name
    return settings


def _data(context: Context, plan: Plan) -> dict[tuple[str, str], Split]:
    lock = context.lock
    domains = sorted({domain for cell in plan.cells for domain in (*cell.pair.source, cell.pair.target)})
    splits = [(d, s) for d in domains for s in (context.train_split(d), context.eval_split(d)) if lock.locked(d, s)]
    return {
        at: Split(lock.count(*at), lock.images(*at), lock.labels(*at) if lock.labelled(*at) else None) for at in splits
    }


def _panel(path: Path, record: dict[str, Any]) -> Panel | None:
    said, panel = record.get("panel"), panel_of(path)
    if not said or not panel.exists():
        return None
    if file_digest(panel) != said["sha256"]:
        raise BadInput(f"{panel}: not the panel that {path} names; restore it or delete it")
    return Panel(panel, tuple(said["names"]), tuple(said["widths"]))


def _strips(context: Context, targets: set[str]) -> dict[str, Strips]:
    """Image and truth of each target, made here or committed."""
    found = {}
    for target in sorted(targets & {*context.lock.domains}):
        for folder in (PRODUCED, COMMITTED):
            strips = TargetStrips.of(folder, context, target)
            if strips.images.exists() and strips.truth.exists():
                found.setdefault(target, Strips(strips.images, strips.truth))
    return found
