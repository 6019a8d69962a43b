"""Which board settings build, and which settings build a board."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput, suggest
from xdseg.params import Params, load, merge, read_yaml
from xdseg.stages.about import PRESETS, SETTINGS

YAML = {".yaml", ".yml"}


def board_of(preset: Path) -> str:
    """The board of a preset over params.yaml. Raises BadInput if it names no suite."""
    return _board(merge(read_yaml(SETTINGS), read_yaml(preset)), preset)


def _board(config: dict[str, Any], preset: Path) -> str:
    grid = config.get("grid") or {}
    name = (grid.get("board") or grid.get("suite")) if isinstance(grid, dict) else None
    if not isinstance(name, str):
        raise BadInput(f"{preset}: names no suite; give it grid.suite")
    return name


def settings_of(name: str, overlays: Iterable[Path]) -> Params:
    """Settings that build a board: those in force, else the one preset of that board; or those of a preset's file.

    Raises BadInput where none or several do.
    """
    overlays = list(overlays)
    if Path(name).suffix in YAML:
        return load([*overlays, Path(name)])
    params = load(overlays)
    if name == (params.grid.board or params.grid.suite):
        return params
    base = read_yaml(SETTINGS)
    presets = {path: _board(merge(base, read_yaml(path)), path) for path in sorted(PRESETS.rglob("*.yaml"))}
    found = [path for path, board in presets.items() if board == name]
    if len(found) > 1:
        raise BadInput(f"{name}: {', '.join(map(str, found))} are presets of this board; name one of the files")
    if not found:
        raise BadInput(f"{name}: no preset builds this board; {suggest(name, presets.values())}")
    return load([*overlays, found[0]])
