"""`xdseg clean --stale`: what in results/ no grid needs, listed with sizes, and deleted if asked to."""

from pathlib import Path

from xdseg.errors import BadInput
from xdseg.inspection.needed import needed
from xdseg.inspection.removal import delete as delete_item
from xdseg.inspection.stale import LEFTOVER, Findings, Item, find_stale
from xdseg.params import Params
from xdseg.text import harmless

THOUSAND = 1000
UNITS = ("B", "kB", "MB", "GB", "TB")
KINDS = 11  # characters of the longest kind
AT_WORK = Path(".snakemake/locks")  # holds files while Snakemake works in this folder


def clean(params: Params, *, delete: bool, everything: bool = False) -> None:
    """List stale items, what is kept though stale, and what is not recognised; with `delete`, delete the first.

    What only earlier starts of the workflow asked for is stale with `everything` alone. Raises BadInput if the settings
    in force give no grid, or for deleting while Snakemake is at work.
    """
    if delete:
        _check_quiet()
    found = find_stale(needed(params, earlier=not everything))
    sizes = {item: item.size for item in found.stale}
    for item, size in sizes.items():
        print(_line(item, size))
    _say_what_stays(found)
    if not found.stale:
        print("nothing is stale")
        return
    total = f"{_counted(len(sizes))}, {shown(sum(sizes.values()))}"
    if not delete:
        command = f"xdseg clean --stale{' --all' * everything} --yes"
        print(f"{total}; nothing was deleted: `{command}` deletes these")
        return
    gone = [item for item in _leftovers_first(found) if _deleted(item)]
    print(f"deleted {_counted(len(gone))}, {shown(sum(sizes[item] for item in gone))}")


def _check_quiet() -> None:
    if AT_WORK.is_dir() and any(AT_WORK.iterdir()):
        raise BadInput(
            f"{AT_WORK}: Snakemake is at work in this folder, or was killed in it; let it end, or run"
            " `snakemake --unlock`, then clean again"
        )


def _leftovers_first(found: Findings) -> list[Item]:
    return sorted(found.stale, key=lambda item: item.kind != LEFTOVER)


def _deleted(item: Item) -> bool:
    try:
        gone = delete_item(item)
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be deleted ({error.strerror}); mend that, then run again") from None
    if not gone:
        print(f"kept: {harmless(str(item.paths[0]))}: a process took it meanwhile")
    return gone


def _say_what_stays(found: Findings) -> None:
    for path, reason in found.kept.items():
        print(f"kept: {harmless(str(path))}: {harmless(reason)}")
    if found.started:
        size = shown(sum(item.size for item in found.started))
        print(f"kept: {_counted(len(found.started))}, {size}, of grids started before; with --all they count as stale")
    for path in found.strangers:
        print(f"not recognised, left alone: {harmless(str(path))}")


def _line(item: Item, size: int) -> str:
    return f"{item.kind:<{KINDS}}  {shown(size):>8}  {harmless(str(item.paths[0]))}"


def _counted(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def shown(size: int) -> str:
    """Bytes for people, such as 12 B or 3.4 MB; a kB is a thousand."""
    value, unit = float(size), 0
    while value >= THOUSAND and unit < len(UNITS) - 1:
        value, unit = value / THOUSAND, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {UNITS[unit]}"
