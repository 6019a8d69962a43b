"""What the jobs of a rule ask of a cluster: memory, minutes, GPUs, CPUs, by rule and by kind of segmenter.

A table has rules, under each of them `default` and kinds of segmenters, under each of these keys of `LEAST`. The
project's lies in pipeline/resources.yaml; a lab's own, `runtime.resources` of the settings, comes before it.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput, suggest
from xdseg.params import read_yaml
from xdseg.registry import SEGMENTERS
from xdseg.workflow import Plan

SHIPPED, OWN = Path("pipeline/resources.yaml"), "runtime.resources"
DEFAULT = "default"
BY_SEGMENTER = ("train", "predict")  # rules whose jobs run a network
RULES = (*BY_SEGMENTER, "cache", "backbone", "score", "record")
LEAST = {"mem_mb": 1, "runtime": 1, "gpu": 0, "cpus_per_task": 1}  # MB, minutes, cards, cores: the smallest request
GROWING = ("mem_mb", "runtime")  # a job that was killed for too little of these asks for more when it is tried again

Needs = dict[str, int]
Table = Mapping[str, Mapping[str, Needs]]
Request = Callable[[Any, int], int]


def resource_tables(own: Table) -> tuple[Table, Table]:
    """pipeline/resources.yaml, and a lab's own. Raises BadInput with one line that names file or key, and the mend."""
    shipped = read_yaml(SHIPPED)
    _check(shipped, str(SHIPPED))
    _check(own, OWN)
    for rule in RULES:
        absent = sorted(set(LEAST) - set(needs_of((shipped,), rule)))
        if absent:
            raise BadInput(f"{SHIPPED}: {rule}.{DEFAULT}: missing {', '.join(absent)}; a default needs every key")
    return shipped, own


def _check(table: Any, origin: str) -> None:
    for rule, kinds in _entries(table, origin, RULES):
        known = (DEFAULT, *SEGMENTERS) if rule in BY_SEGMENTER else (DEFAULT,)
        for kind, needs in _entries(kinds, f"{origin}: {rule}", known):
            for key, value in _entries(needs, f"{origin}: {rule}.{kind}", LEAST):
                if isinstance(value, bool) or not isinstance(value, int) or value < LEAST[key]:
                    where = f"{origin}: {rule}.{kind}.{key}"
                    raise BadInput(f"{where}: expected a whole number of at least {LEAST[key]}, got {value!r}")


def _entries(table: Any, where: str, known: Iterable[str]) -> Iterable[tuple[str, Any]]:
    if not isinstance(table, Mapping):
        raise BadInput(f"{where}: expected a map, got {table!r}")
    for key in table:
        if key not in known:
            raise BadInput(f"{where}: {key}: no such key; {suggest(str(key), known)}")
    return table.items()


def needs_of(tables: Iterable[Table], rule: str, kind: str = DEFAULT) -> Needs:
    """What a job asks for when it is first tried: in each table the kind's entry over the default, a later table over
    an earlier one, its default too."""
    needs: Needs = {}
    for table in tables:
        entries = table.get(rule, {})
        needs |= entries.get(DEFAULT, {}) | entries.get(kind, {})
    return needs


def requests(plan: Plan) -> Callable[[str], dict[str, Request]]:
    """What Snakemake gets for a rule: per key a function of wildcards and attempt, `GROWING` ones times the attempt.

    Raises SystemExit with the one line of a BadInput, which Snakemake prints as it is.
    """
    try:
        tables = resource_tables(plan.params.runtime.resources)
    except BadInput as error:
        raise SystemExit(str(error)) from None

    def of_rule(rule: str) -> dict[str, Request]:
        def request(key: str) -> Request:
            def asked(wildcards: Any, attempt: int) -> int:
                kind = plan.segmenter_kind(wildcards) if rule in BY_SEGMENTER else DEFAULT
                return needs_of(tables, rule, kind)[key] * (attempt if key in GROWING else 1)

            return asked

        return {key: request(key) for key in LEAST}

    return of_rule
