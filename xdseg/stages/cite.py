"""`xdseg cite METHOD`: BibTeX of what a row of params.yaml rests on, and of XDSeg."""

from collections.abc import Iterator
from typing import Any

from xdseg import citations
from xdseg.errors import BadInput, suggest
from xdseg.params import Params
from xdseg.settings.wrapped import INNER


def cite(name: str, params: Params) -> None:
    """Print the entries of a method's segmenter, tuning and adaptations, each once, and XDSeg's own last.

    A part that is not this project's, as from a plugin, is named in a comment. Raises BadInput for an unknown method.
    """
    if name not in params.methods:
        raise BadInput(f"cite: params.yaml has no method {name!r}; {suggest(name, params.methods)}")
    keys: dict[str, None] = {}
    for part, found in parts(name, params):
        if found is None:
            print(f"% {part}: no paper is known here; ask who wrote it\n")
        keys |= dict.fromkeys(found or ())
    print("\n\n".join([*map(citations.bibtex, keys), citations.own_bibtex()]))


def parts(name: str, params: Params) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """What a method is made of, and the keys of its papers; None where nothing is known of a kind."""
    method = params.methods[name]
    yield "entry", citations.ENTRIES.get(method.segmenter, ())
    kind, settings = params.component("segmenters", method.segmenter)
    while True:
        yield f"segmenter {kind}", _papers(citations.SEGMENTERS, kind, settings)
        if tuning := getattr(settings, "tuning", None):
            yield f"tuning {tuning.kind}", _papers(citations.TUNINGS, tuning.kind, tuning)
        if not (inner := getattr(settings, INNER, None)):
            break
        kind, settings = inner.kind, inner.settings
    for adaptation in method.adaptations:
        kind, settings = params.component("adaptations", adaptation)
        yield f"adaptation {kind}", _papers(citations.ADAPTATIONS, kind, settings)


def _papers(known: dict[str, tuple[str, ...]], kind: str, settings: Any) -> tuple[str, ...] | None:
    return known[kind] + citations.cases(kind, settings) if kind in known else None
