"""Which cells exist: methods x pairs x seeds, less those that cannot be."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xdseg.cells import Cell, Context, Pair, Run
from xdseg.errors import BadInput, suggest
from xdseg.settings.methods import Block, Method


@dataclass(frozen=True)
class Exclusion:
    """A cell that the grid names but that cannot exist, and why."""

    method: str
    pair: Pair
    reason: str


@dataclass(frozen=True)
class Expansion:
    """All cells of a grid, in its order, and what was left out."""

    cells: tuple[Cell, ...]
    excluded: tuple[Exclusion, ...]

    @property
    def runs(self) -> list[Run]:
        """The trainings behind the cells, each once, parents before those that start from them."""
        runs: dict[tuple, Run] = {}
        for cell in self.cells:
            for run in _with_parents(cell.run):
                runs.setdefault(run.key, run)
        return list(runs.values())


def _with_parents(run: Run) -> Iterable[Run]:
    if run.parent:
        yield from _with_parents(run.parent)
    yield run


def expand(context: Context) -> Expansion:
    """Expand the grid, each cell once. Raises BadInput for an unknown domain in pairs or protocol."""
    _check_rules(context)
    cells: dict[tuple[str, Pair, int], Cell] = {}
    excluded: dict[Exclusion, None] = {}
    for where, block in blocks(context):
        for method in block.methods:
            for pair in block_pairs(context, block, where):
                if reason := refusal(context, context.params.methods[method], pair):
                    excluded.setdefault(Exclusion(method, pair, reason))
                    continue
                for seed in block.seeds:
                    cells.setdefault((method, pair, seed), Cell(context, method, pair, seed))
    return Expansion(tuple(cells.values()), tuple(excluded))


def _check_rules(context: Context) -> None:
    """A misspelt domain would be trained and tested by the general rules, without a word."""
    for domain in context.protocol.domains:
        if domain not in context.lock.domains:
            where = f"protocols.{context.params.grid.protocol}.domains.{domain}"
            known = suggest(domain, context.lock.domains)
            raise BadInput(f"params: {where}: suite {context.suite} has no such domain; {known}")


def blocks(context: Context) -> Iterator[tuple[str, Block]]:
    """The grid's parts, each whole, and where params.yaml has them."""
    grid = context.params.grid
    yield "grid", Block(pairs=grid.pairs, methods=grid.methods, seeds=grid.seeds)
    for number, part in enumerate(grid.also):
        own = part.model_dump(exclude_none=True)
        yield f"grid.also[{number}]", Block.model_validate({"pairs": grid.pairs, "seeds": grid.seeds} | own)


def block_pairs(context: Context, block: Block, where: str) -> list[Pair]:
    """The pairs of a part; `all` means every ordered pair of two domains."""
    lock = context.lock
    if block.pairs == "all":
        return [Pair((a,), b) for a in lock.ready for b in lock.ready if a != b]
    pairs = [Pair.parse(text, where=f"params: {where}.pairs") for text in block.pairs]
    for pair in pairs:
        for domain in (*pair.source, pair.target):
            if domain not in lock.domains:
                raise BadInput(f"params: {where}.pairs: {pair}: no domain {domain!r}; {suggest(domain, lock.domains)}")
    if len(set(pairs)) < len(pairs):
        raise BadInput(f"params: {where}.pairs: name each pair once")
    return pairs


def refusal(context: Context, method: Method, pair: Pair) -> str | None:
    """Why a method cannot have a cell on a pair, or None."""
    lock = context.lock
    if pair.target in pair.source:
        return f"{pair.target} is source and target"
    adapt = context.adapt_split(pair.target)
    if method.setting == "uda" and not lock.has(pair.target, adapt):
        return f"{pair.target} has no split {adapt!r}"
    at_home = method.setting in ("oracle", "finetune")
    if at_home and context.train_split(pair.target) == context.eval_split(pair.target):
        return f"{pair.target} is tested on the split that it would be trained on"
    # a pair whose source cannot train exists for no method, the oracle included: its classes are the pair's
    trained = {*pair.source, *([pair.target] if at_home else [])}
    splits = [(domain, context.train_split(domain)) for domain in sorted(trained)]
    for domain, split in [*splits, (pair.target, context.eval_split(pair.target))]:
        if not lock.has(domain, split):
            return f"{domain} has no split {split!r}"
        if not lock.labelled(domain, split):
            return f"{domain} {split} has no labels"
    return None
