"""`xdseg prepare SUITE` for public data sets: look at every file of the splits that are wanted, write the lock.

Splits that were locked before and are not looked at now stay as they are, so that data sets can be locked one by one
and on several machines.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xdseg.data.inspection import Errand, Look
from xdseg.data.ledger import Ledger
from xdseg.data.lock_files import label_lock
from xdseg.data.locks import LOCKS, digest_of
from xdseg.data.pixels import listed
from xdseg.data.prepare import SCHEMA, differing_sizes, write_if_new
from xdseg.data.public import PublicLayout
from xdseg.data.public_lock import PublicLockFile
from xdseg.datasets.contract import Item
from xdseg.errors import BadInput

MOST_FAULTS = 20  # of one split and kind that are spelt out
Splits = Mapping[str, set[str]]  # by domain


@dataclass
class PublicCheck:
    """What all files of one split gave together."""

    domain: str
    split: str
    found: int = 0  # images, those without their label too
    items: list[Item] = field(default_factory=list)  # images that have the label they should have
    pairs: list[tuple[Errand, Errand | None]] = field(default_factory=list)
    looks: dict[Errand, Look] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def check_split(
    layout: PublicLayout,
    domain: str,
    split: str,
    *,
    ledger: Ledger,
    workers: int | None = None,
    most: int | None = MOST_FAULTS,
) -> PublicCheck:
    """Find and look at a split's files; every deviation from what its publisher says is a line in `faults`.

    Of each kind, at most `most` are spelt out and the rest counted; None spells out all.
    """
    check = PublicCheck(domain, split)
    try:
        items = layout.items(domain, split)
    except BadInput as error:
        check.faults.append(str(error))
        return check
    check.found = len(items)
    check.faults += _counted(layout, domain, split, items)
    absent = _absent(layout, domain, split, items)
    check.faults += _absence(absent, split, most=most)
    check.items = [item for item in items if item.label not in absent]
    check.pairs = [layout.errands(domain, item) for item in check.items]
    errands = [errand for pair in check.pairs for errand in pair if errand]
    check.looks = ledger.looks(errands, workers=workers)
    for kind in _seen_faults(layout, check):
        faults = list(dict.fromkeys(kind))
        check.faults += faults[:most]
        if most is not None and len(faults) > most:
            check.faults.append(f"{layout.root(domain)}: and {len(faults) - most} more like the last, of {split}")
    return check


def _seen_faults(layout: PublicLayout, check: PublicCheck) -> Iterator[Iterable[str]]:
    """What the looks at files gave, kind by kind."""
    looks, pairs = check.looks, list(dict.fromkeys(check.pairs))
    yield (looks[errand].fault for pair in pairs for errand in pair if errand and looks[errand].fault)
    yield (line for item, pair in _paired(check) for line in _sizes(item, *pair, looks))
    yield (line for _, label in pairs for line in _foreign(layout, check.domain, label, looks))
    yield _windows(check)


def _counted(layout: PublicLayout, domain: str, split: str, items: list[Item]) -> Iterator[str]:
    root, title, expected = layout.root(domain), layout.dataset(domain).title, layout.expected(domain, split)
    if expected is not None and len(items) != expected:
        said = f"counts: {{{split}: {len(items)}}} of {domain} in params.yaml"
        mend = f"extract all archives again, or say {said} if you mean it"
        yield f"{root}: {len(items)} images of {split}, {title} has {expected}; {mend}"
    elif not items:
        yield f"{root}: no image of {split}; extract the data set there"
    if twice := sorted(name for name, times in Counter(item.name for item in items).items() if times > 1):
        yield f"{root}: {listed(twice)} of {split} stand in two places; keep one"


def _absent(layout: PublicLayout, domain: str, split: str, items: list[Item]) -> dict[Path, None]:
    """Labels that are not there, in the order of their images; a label that windows share stands once."""
    if not layout.splits(domain)[split].labelled:
        return {}
    return {label: None for label in dict.fromkeys(item.label for item in items) if label and not label.is_file()}


def _absence(absent: Collection[Path], split: str, *, most: int | None) -> Iterator[str]:
    mend = "extract the labels' archive in full"
    if most is None:
        yield from (f"{label}: missing; {mend}" for label in absent)
    elif absent:
        many = f", as are {len(absent)} labels of {split} in all" if len(absent) > 1 else ""
        yield f"{next(iter(absent))}: missing{many}; {mend}"


def _foreign(layout: PublicLayout, domain: str, label: Errand | None, looks: dict[Errand, Look]) -> Iterator[str]:
    """A raw id that the publisher does not define: it would silently be ignored, or worse."""
    source = layout.dataset(domain)
    foreign = [i for i, _ in looks[label].ids if i not in source.ids] if label else []
    if foreign:
        ids = f"id{'s' * (len(foreign) > 1)} {listed(foreign)}"
        yield f"{label.path}: {ids}, which {source.title} does not define; fetch the file with the published ids again"


def _sizes(item: Item, image: Errand, label: Errand | None, looks: dict[Errand, Look]) -> list[str]:
    """A label fits its image, or the window of it that the item is."""
    if item.window and label and looks[label].shape == item.window[2:]:
        return []
    return differing_sizes(image, label, looks)


def _windows(check: PublicCheck) -> Iterator[str]:
    for item, (image, _) in _paired(check):
        if item.window and not check.looks[image].fault:
            (top, left, height, width), (full_height, full_width) = item.window, check.looks[image].shape
            if top + height > full_height or left + width > full_width:
                yield f"{item.image}: {full_width}x{full_height}, too small for the window {item.name}; fetch it again"


def prepare_public(
    layout: PublicLayout, wanted: Splits, *, locks: Path = LOCKS, workers: int | None = None
) -> tuple[Path, bool]:
    """Check splits and write the suite's lock; returns its path and whether anything changed.

    Raises BadInput with one line per fault; then nothing is written.
    """
    ledger = Ledger(layout.name)
    checks = [
        check_split(layout, domain, split, ledger=ledger, workers=workers)
        for domain in sorted(wanted)
        for split in sorted(wanted[domain])
    ]
    if faults := list(dict.fromkeys(fault for check in checks for fault in check.faults)):
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        raise BadInput("\n".join([*faults, f"suite {layout.name}: {count}; no lock was written"]))
    return _write(layout, checks, locks)


def _write(layout: PublicLayout, checks: list[PublicCheck], locks: Path) -> tuple[Path, bool]:
    path = locks / f"{layout.name}.json"
    domains, changed = _kept(path, layout), False
    for check in checks:
        said = layout.entry(check.domain)
        entry = domains.setdefault(check.domain, {"dataset": said.dataset, "part": said.part, "splits": {}})
        labelled = layout.splits(check.domain)[check.split].labelled
        names = layout.digest_names(check.domain, check.items)
        entry["splits"][check.split] = {
            "count": len(check.items),
            "images": digest_of(names, [check.looks[image].sha256 for image, _ in check.pairs]),
            "labelled": labelled,
            "pixels": sum(_pixels(item, check.looks[pair[0]]) for item, pair in _paired(check)),
        }
        if labelled:
            changed |= write_if_new(label_lock(path, check.domain, check.split), _labels(layout, check))
    lock = {"schema": SCHEMA, "suite": layout.name, "kind": "public", "domains": domains}
    return path, write_if_new(path, lock) or changed


def _paired(check: PublicCheck) -> list[tuple[Item, tuple[Errand, Errand | None]]]:
    return list(zip(check.items, check.pairs, strict=True))


def _pixels(item: Item, found: Look) -> int:
    height, width = item.window[2:] if item.window else found.shape
    return height * width


def _labels(layout: PublicLayout, check: PublicCheck) -> dict:
    labels = [label for _, label in check.pairs if label]
    ids: dict[int, int] = {}
    for label in dict.fromkeys(labels):
        for raw, pixels in check.looks[label].ids:
            ids[raw] = ids.get(raw, 0) + pixels
    digest = digest_of(layout.digest_names(check.domain, check.items), [check.looks[label].sha256 for label in labels])
    return {"digest": digest, "ids": {str(raw): ids[raw] for raw in sorted(ids)}}


def _kept(path: Path, layout: PublicLayout) -> dict[str, dict]:
    """Domains of the lock as it was, less those that params.yaml now takes from elsewhere."""
    try:
        domains = PublicLockFile.model_validate_json(path.read_bytes()).domains
    except (OSError, ValueError):  # a lock that nobody can read holds nothing to keep
        return {}
    entries = layout.settings.domains
    same = {d: e for d, e in domains.items() if d in entries and entries[d].dataset == e.dataset}
    return {d: e.model_dump() for d, e in same.items() if entries[d].part == e.part}
