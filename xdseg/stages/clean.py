"""`xdseg clean --stale`: what in results/ no grid needs, listed with sizes, and deleted if asked to."""

from xdseg.errors import BadInput
from xdseg.inspection.needed import needed
from xdseg.inspection.removal import delete as delete_item
from xdseg.inspection.stale import LEFTOVER, Findings, Item, find_stale
from xdseg.params import Params
from xdseg.text import harmless

THOUSAND = 1000
UNITS = ("B", "kB", "MB", "GB", "TB")
KINDS = 11  # characters of the longest kind


def clean(params: Params, *, delete: bool) -> None:
    """List stale items, what is kept though stale, and what is not recognised; with `delete`, delete the first.

    Raises BadInput if the settings in force give no grid.
    """
    found = find_stale(needed(params))
    sizes = {item: item.size for item in found.stale}
    for item, size in sizes.items():
        print(_line(item, size))
    _say_what_stays(found)
    if not found.stale:
        print("nothing is stale")
        return
    total = f"{_counted(len(sizes))}, {shown(sum(sizes.values()))}"
    if not delete:
        print(f"{total}; nothing was deleted: `xdseg clean --stale --yes` deletes these")
        return
    gone = [item for item in _leftovers_first(found) if _deleted(item)]
    print(f"deleted {_counted(len(gone))}, {shown(sum(sizes[item] for item in gone))}")


def _leftovers_first(found: Findings) -> list[Item]:
    return sorted(found.stale, key=lambda item: item.kind != LEFTOVER)


def _deleted(item: Item) -> bool:
    try:
        gone = delete_item(item)
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be deleted ({error.strerror}); mend that, then run again") from None
    if not gone:
        print(f"kept: {item.paths[0]}: a process took it meanwhile")
    return gone


def _say_what_stays(found: Findings) -> None:
    for path, reason in found.kept.items():
        print(f"kept: {harmless(str(path))}: {reason}")
    for path in found.strangers:
        print(f"not recognised, left alone: {harmless(str(path))}")


def _line(item: Item, size: int) -> str:
    return f"{item.kind:<{KINDS}}  {shown(size):>8}  {item.paths[0]}"


def _counted(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def shown(size: int) -> str:
    """Bytes for people, such as 12 B or 3.4 MB; a kB is a thousand."""
    value, unit = float(size), 0
    while value >= THOUSAND and unit < len(UNITS) - 1:
        value, unit = value / THOUSAND, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {UNITS[unit]}"
