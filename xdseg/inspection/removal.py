"""Deleting so that a kill at any moment leaves the whole, or something hidden that the next deletion removes."""

import os
import shutil
from pathlib import Path

from xdseg.inspection.holding import held_against_others
from xdseg.inspection.layout import HIDDEN, is_folder, is_leftover
from xdseg.inspection.stale import Item


def delete(item: Item) -> bool:
    """Delete an item; False, and nothing is touched, if a process has come to hold it."""
    with held_against_others(item.lock) as free:
        if free:
            for hidden in [hide(path) for path in item.paths]:
                remove(hidden)
        return free


def hide(path: Path) -> Path:
    """Rename to a hidden name beside it, in one step; what is hidden already stays."""
    if is_leftover(path):
        return path
    return path.rename(path.with_name(f"{HIDDEN}{path.name}.{os.getpid()}"))


def remove(path: Path) -> None:
    """Remove a hidden file or folder; links in it are removed, not followed."""
    try:
        if is_folder(path):
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:  # a second deletion removes the same
        pass
