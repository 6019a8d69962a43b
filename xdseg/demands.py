"""Which splits of a suite the grid in force needs, before anything is locked."""

from collections.abc import Iterable

from xdseg.cells import Context, Pair
from xdseg.grid import block_pairs, blocks


def needed_splits(context: Context) -> dict[str, set[str]]:
    """Splits by domain that the grid's pairs and methods train on, adapt to or test on.

    With `pairs: all` these are those of every domain that the lock declares.
    """
    found: dict[str, set[str]] = {}
    for where, block in blocks(context):
        settings = {context.params.methods[name].setting for name in block.methods}
        if block.pairs == "all":
            pairs = [Pair((domain,), domain) for domain in context.lock.domains]  # every domain is either
        else:
            pairs = block_pairs(context, block, where)
        for pair in pairs:
            for domain in (*pair.source, pair.target):
                uses = _uses(context, domain, settings, source=domain in pair.source, target=domain == pair.target)
                found.setdefault(domain, set()).update(uses)
    return found


def _uses(context: Context, domain: str, settings: Iterable[str], *, source: bool, target: bool) -> set[str]:
    uses = {context.train_split(domain)} if source or (target and {"oracle", "finetune"} & set(settings)) else set()
    uses |= {context.eval_split(domain)} if target else set()
    uses |= {context.adapt_split(domain)} if target and "uda" in settings else set()
    return {split for split in uses if context.lock.has(domain, split)}
