"""What in results/ no grid needs: found by name and fingerprint, nothing is changed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from xdseg.cells import RESULTS
from xdseg.inspection import layout
from xdseg.inspection.holding import holder
from xdseg.inspection.needed import Needed

RUN, PREDICTIONS, CACHE, LEFTOVER = "run", "predictions", "cache", "leftover"
SUFFIXES = (".json", ".log", ".time")  # of a receipt, which goes first, and of what lies beside it


@dataclass(frozen=True)
class Item:
    """What is deleted together: its paths, in this order, while `lock`, a folder, is held."""

    kind: str
    paths: tuple[Path, ...]
    lock: Path

    @property
    def size(self) -> int:
        """Bytes of all files, links not followed."""
        return sum(map(size_of, self.paths))


@dataclass
class Findings:
    """What is stale, what earlier starts asked for, what is in use or closed (and why), and what is somebody else's."""

    stale: list[Item] = field(default_factory=list)
    started: list[Item] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    strangers: list[Path] = field(default_factory=list)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if not layout.is_folder(path):
        return _bytes(path)
    return sum(_bytes(Path(folder) / name) for folder, _, names in os.walk(path, followlinks=False) for name in names)


def _bytes(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:  # temporary, and gone meanwhile
        return 0


def find_stale(needed: Needed, results: Path = RESULTS) -> Findings:
    """Everything in results/ that is a run's, a prediction's or a cache's and not needed by the grids that count."""
    found = Findings()
    if not results.is_dir():
        return found
    for path in sorted(results.iterdir()):
        if path.name in layout.KEPT and not path.is_symlink():
            continue
        if not layout.is_suite(path):
            found.strangers.append(path)
        elif path.name in needed.closed:
            found.kept[str(path)] = needed.closed[path.name]
        else:
            _suite(path, needed, found, results)
    _caches(results / ".cache", needed, found)
    return found


def _suite(suite: Path, needed: Needed, found: Findings, results: Path) -> None:
    for method in sorted(suite.iterdir()):
        if layout.is_folder(method) and layout.BOARD.fullmatch(method.name):
            continue
        for pair in _inside(method, layout.is_method(method), found):
            for run in _inside(pair, layout.is_pair(pair), found):
                if layout.is_leftover(run):
                    _leftover(run, needed, found)
                elif layout.is_run(run, results):
                    _run(run, needed, found)
                else:
                    found.strangers.append(run)


def _inside(folder: Path, known: bool, found: Findings) -> list[Path]:
    """What a folder holds, if its name is of the layout; else it is noted as a stranger."""
    if known:
        return sorted(folder.iterdir())
    found.strangers.append(folder)
    return []


def _leftover(path: Path, needed: Needed, found: Findings) -> None:
    _add(Item(LEFTOVER, (path,), lock=path), needed, found)


def _add(item: Item, needed: Needed, found: Findings) -> None:
    if process := holder(item.lock):
        found.kept[str(item.paths[0])] = process
    elif str(item.paths[0]) in needed.started:
        found.started.append(item)
    else:
        found.stale.append(item)


def _run(run: Path, needed: Needed, found: Findings) -> None:
    strangers = list(layout.strangers(run))
    found.strangers += strangers
    if str(run) not in needed.paths:
        if strangers:
            found.kept[str(run)] = "holds what is not recognised"
        else:
            _add(Item(RUN, (run,), lock=run), needed, found)
        return
    for path in filter(layout.is_leftover, sorted(run.iterdir())):
        _leftover(path, needed, found)
    _predictions(run, needed, found)


def _predictions(run: Path, needed: Needed, found: Findings) -> None:
    """Of a run that is needed: receipts of other sets first, so that none stands for predictions that are gone."""
    for receipt in sorted(run.glob("predictions-*.json")):
        if str(receipt) not in needed.paths and not any(path == receipt for path in found.strangers):
            _add(Item(PREDICTIONS, _with_suffixes(receipt), lock=run), needed, found)
    for folder in filter(layout.is_predicted, sorted(run.iterdir())):
        if str(folder) in needed.paths:
            continue
        if any(layout.strangers_in_predicted(folder)):
            found.kept[str(folder)] = "holds what is not recognised"
        else:
            _add(Item(PREDICTIONS, (folder,), lock=run), needed, found)


def _with_suffixes(index: Path) -> tuple[Path, ...]:
    """A receipt and what lies beside it under its name."""
    return tuple(path for suffix in SUFFIXES if layout.is_file(path := index.with_suffix(suffix)))


def _caches(folder: Path, needed: Needed, found: Findings) -> None:
    """Decoded splits. A run that no grid needs may be reading any of its suite's, if a process holds it."""
    if not layout.is_folder(folder):
        return
    in_use = {Path(path).relative_to(folder.parent).parts[0] for path in found.kept if holder(Path(path))}
    for suite in sorted(folder.iterdir()):
        if suite.name in needed.closed:
            found.kept[str(suite)] = needed.closed[suite.name]
        elif suite.name in in_use:
            found.kept[str(suite)] = "a run of this suite that was to go is at work"
        elif layout.is_suite(suite):
            _cached(suite, needed, found)
        else:
            found.strangers.append(suite)


def _cached(suite: Path, needed: Needed, found: Findings) -> None:
    splits: dict[str, list[Path]] = {}
    for path in sorted(suite.iterdir()):
        if layout.is_leftover(path):
            _leftover(path, needed, found)
        elif stem := layout.cached_stem(path):
            splits.setdefault(stem, []).append(path)
        elif path.name != ".locks":
            found.strangers.append(path)
    for stem, paths in splits.items():
        if str(suite / f"{stem}.json") not in needed.paths:
            # the index first: without it, pixels are taken for nothing; with it alone, for a whole split
            in_order = sorted(paths, key=lambda path: (path.suffix != ".json", path))
            _add(Item(CACHE, tuple(in_order), lock=suite / ".locks" / stem), needed, found)
