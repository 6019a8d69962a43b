"""`xdseg prepare SUITE`: look at every file, list all faults at once, write the lock.

Nothing is written while anything is wrong, and a lock that would say the same is left alone.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xdseg.data.folder import IMAGE_ENDINGS, FolderLayout
from xdseg.data.inspection import IMAGE, LABEL, Errand, Look
from xdseg.data.ledger import Ledger
from xdseg.data.lock_files import label_lock
from xdseg.data.locks import LOCKS, digest_of
from xdseg.data.pixels import IDS, check_ids
from xdseg.errors import BadInput
from xdseg.files import write_json

SCHEMA = 1


@dataclass(frozen=True)
class Task:
    """One image and, if its split is labelled, its label."""

    image: Errand
    label: Errand | None
    classes: int
    ignore_index: int


@dataclass(frozen=True)
class Checked:
    """What one look at a pair of files gave."""

    image: str = ""
    label: str | None = None
    pixels: int = 0
    counts: tuple[int, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass
class SplitCheck:
    """What all files of a split gave together."""

    names: list[str]
    labelled: bool
    files: list[Checked] = field(default_factory=list)


def check_pair(task: Task, looks: Mapping[Errand, Look]) -> Checked:
    """An image and its label compared; every fault is a line in the result."""
    image, label = looks[task.image], looks[task.label] if task.label else None
    faults = [found.fault for found in (image, label) if found and found.fault]
    if label and not label.fault:
        try:
            ids = [i for i, _ in label.ids]
            check_ids(task.label.path, ids, classes=task.classes, ignore_index=task.ignore_index)
        except BadInput as error:
            faults.append(str(error))
    faults += differing_sizes(task.image, task.label, looks)
    if faults:
        return Checked(faults=tuple(faults))
    counts = dict(label.ids) if label else {}
    held = tuple(counts.get(i, 0) for i in range(IDS)) if label else ()
    return Checked(image.sha256, label.sha256 if label else None, image.shape[0] * image.shape[1], held)


def differing_sizes(image: Errand, label: Errand | None, looks: Mapping[Errand, Look]) -> list[str]:
    """The line about a label that does not fit its image pixel by pixel, if so."""
    if label is None or looks[image].fault or looks[label].fault or looks[image].shape == looks[label].shape:
        return []
    (height, width), (other_height, other_width) = looks[image].shape, looks[label].shape
    sizes = f"image {width}x{height}, label {other_width}x{other_height}"
    return [f"{label.path}: another size than its image ({sizes}); they must agree pixel by pixel"]


def prepare(layout: FolderLayout, *, locks: Path = LOCKS, workers: int | None = None) -> tuple[Path, bool]:
    """Check a suite and write its lock; returns its path and whether anything changed.

    Raises BadInput with one line per fault.
    """
    splits = {
        (domain, split): _tasks(layout, domain, split)
        for domain, entry in sorted(layout.contents.domains.items())
        for split in sorted(entry.splits)
    }
    faults = [fault for tasks in splits.values() for fault in tasks.faults]
    faults += [fault for domain in sorted(layout.contents.domains) for fault in _repeated(layout, domain, splits)]
    checks = _check_all(splits, Ledger(layout.name), workers)
    faults += [fault for check in checks.values() for file in check.files for fault in file.faults]
    faults += [fault for domain in sorted(layout.contents.domains) for fault in _same_images(layout, domain, checks)]
    if faults:
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        raise BadInput("\n".join([*faults, f"{layout.root}: {count}; no lock was written"]))
    return _write(layout, checks, locks)


@dataclass
class SplitTasks:
    """Files to look at, and what is already known to be wrong with them."""

    names: list[str] = field(default_factory=list)
    labelled: bool = True
    tasks: list[Task] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def _tasks(layout: FolderLayout, domain: str, split: str) -> SplitTasks:
    contents, entry = layout.contents, layout.contents.domains[domain]
    found = SplitTasks(labelled=split not in entry.unlabelled)
    listing = layout.root / domain / f"{split}.txt"
    try:
        found.names = layout.names(domain, split)
    except BadInput as error:
        found.faults.append(str(error))
        return found
    promised = entry.splits[split]
    if len(found.names) != promised:
        found.faults.append(f"{listing}: lists {len(found.names)} images, suite.json says {promised}; mend one of them")
    for name, times in Counter(found.names).items():
        if times > 1:
            found.faults.append(f"{listing}: {name} stands there {times} times; keep one")
    found.faults += _ungrouped(layout, domain, listing, found.names)
    images, labels = layout.index(domain, "images"), layout.index(domain, "labels")
    for name in dict.fromkeys(found.names):
        try:
            image = _only(layout.root / domain / "images", name, images)
            label = _only(layout.root / domain / "labels", name, labels) if found.labelled else None
            errands = Errand(image, IMAGE), Errand(label, LABEL) if label else None
            found.tasks.append(Task(*errands, len(contents.classes), contents.ignore_index))
        except BadInput as error:
            found.faults.append(str(error))
    return found


def _only(folder: Path, name: str, found: dict[str, list[Path]]) -> Path:
    paths = found.get(name, [])
    if len(paths) > 1:
        raise BadInput(f"{folder}: {' and '.join(p.name for p in paths)} share one name; remove one")
    if not paths:
        mend = "add it, or name the split under `unlabelled` in suite.json" if folder.name == "labels" else "add it"
        if Path(name).suffix in IMAGE_ENDINGS:
            mend = "lists name images without ending"
        raise BadInput(f"{folder / name}.*: missing; {mend}")
    return paths[0]


def _ungrouped(layout: FolderLayout, domain: str, listing: Path, names: Iterable[str]) -> Iterator[str]:
    if pattern := layout.group_pattern(domain):
        for name in names:
            if not re.search(pattern, name):
                yield f"{listing}: {name} does not fit the pattern of its group, {pattern}; mend `groups`"


def _repeated(layout: FolderLayout, domain: str, splits: dict[tuple[str, str], SplitTasks]) -> Iterator[str]:
    """An image in two splits of one domain would be trained on and scored."""
    first: dict[str, str] = {}
    for (owner, split), tasks in splits.items():
        for name in dict.fromkeys(tasks.names if owner == domain else ()):
            if name in first:
                folder = layout.root / domain
                yield f"{folder / split}.txt: {name} is also in {first[name]}.txt; an image belongs to one split"
            first.setdefault(name, split)


def _same_images(layout: FolderLayout, domain: str, checks: dict[tuple[str, str], SplitCheck]) -> Iterator[str]:
    """Equal bytes under two names in two splits are the same leak as one name in both."""
    first: dict[str, tuple[str, str]] = {}
    for (owner, split), check in checks.items():
        if owner != domain or len(check.files) != len(check.names):
            continue
        for name, file in zip(check.names, check.files, strict=True):
            other, other_split = first.setdefault(file.image, (name, split)) if file.image else (name, split)
            if other_split != split and other != name:
                where = layout.root / domain
                yield f"{where}: {name} of {split} is the image {other} of {other_split}; keep it in one split"


def _check_all(
    splits: dict[tuple[str, str], SplitTasks], ledger: Ledger, workers: int | None
) -> dict[tuple[str, str], SplitCheck]:
    tasks = [task for split in splits.values() for task in split.tasks]
    errands = [errand for task in tasks for errand in (task.image, task.label) if errand]
    looks = ledger.looks(errands, workers=workers)
    return {
        key: SplitCheck(split.names, split.labelled, [check_pair(task, looks) for task in split.tasks])
        for key, split in splits.items()
    }


def _write(layout: FolderLayout, checks: dict[tuple[str, str], SplitCheck], locks: Path) -> tuple[Path, bool]:
    path = locks / f"{layout.name}.json"
    contents = layout.contents
    domains: dict[str, dict] = {}
    changed = False
    for (domain, split), check in checks.items():
        entry = domains.setdefault(domain, {"classes": layout.present(domain), "splits": {}})
        if pattern := layout.group_pattern(domain):
            entry["groups"] = pattern
        entry["splits"][split] = {
            "count": len(check.names),
            "images": digest_of(check.names, [file.image for file in check.files]),
            "labelled": check.labelled,
            "pixels": sum(file.pixels for file in check.files),
        }
        changed |= _write_labels(label_lock(path, domain, split), check, contents.classes, contents.ignore_index)
    redistribute = layout.settings.redistribute or contents.redistribute
    lock = {"schema": SCHEMA, "suite": layout.name, "classes": contents.classes, "domains": domains}
    lock |= {"ignore_index": contents.ignore_index, "redistribute": redistribute}
    return path, write_if_new(path, lock) or changed


def _write_labels(path: Path, check: SplitCheck, classes: list[str], ignore_index: int) -> bool:
    if not check.labelled:
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed
    totals = [sum(column) for column in zip(*(file.counts for file in check.files), strict=True)]
    pixels = {name: totals[i] for i, name in enumerate(classes)}
    digest = digest_of(check.names, [file.label or "" for file in check.files])
    return write_if_new(path, {"digest": digest, "pixels": pixels, "ignored": totals[ignore_index]})


def write_if_new(path: Path, contents: dict) -> bool:
    """Write JSON unless the file says so already; returns whether it was written.

    An equal lock keeps its time, so that preparing again makes nothing look changed.
    """
    try:
        if json.loads(path.read_text()) == contents:
            return False
    except (OSError, ValueError):
        pass
    write_json(path, contents)
    return True
