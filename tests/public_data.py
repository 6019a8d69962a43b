"""Public data sets in small, for tests of whole protocols: their trees, and the overlay that expects so few images."""

from importlib import import_module
from pathlib import Path
from typing import Any

from xdseg.datasets.registry import dataset

COUNT = 3


def write_dataset(root: Path, name: str, *, size: tuple[int, int] = (48, 64)) -> dict[str, int]:
    """A miniature below root/NAME, with a list of its own for each split that a list makes; returns its counts."""
    written = import_module(f"miniatures.{name}").write(root / name, count=COUNT, size=size)
    counts: dict[str, int] = {}
    for (split, part), items in written.items():
        if part is None:
            counts[split] = len(items)
    for split, declared in dataset(name).splits.items():
        if declared.listed:
            names = [item for whole in declared.within for item in written[whole, None]]
            chosen = names[::2]
            (root / name / f"{split}.txt").write_text("".join(f"{item}\n" for item in chosen))
            counts[split] = len(chosen)
    return counts


def write_suite_data(root: Path, suite: dict[str, Any]) -> dict[str, Any]:
    """Miniatures of all data sets of a suite's settings; returns its domains' settings with the counts to expect."""
    found: dict[str, dict[str, int]] = {}
    domains = {}
    for domain, entry in suite["domains"].items():
        name = entry["dataset"]
        if name not in found:
            found[name] = write_dataset(root, name)
        counts = dict(found[name])
        if part := entry.get("part"):
            written = dataset(name).files
            for split in counts:
                counts[split] = len(list(written(root / name, split, part)))
        domains[domain] = {"counts": counts}
    return domains
