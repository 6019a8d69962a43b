"""Versions of the parts of XDSeg that decide results, and the sources that each stands for.

A version enters fingerprints; raising one makes every result that depends on it stale. `tests/versions.lock` holds a
digest of each part's code, so that a change of code without a change of version is noticed.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

from xdseg.canonical import fingerprint

PACKAGE = Path(__file__).parent

VERSIONS = {
    "augmentation": 1,
    "board": 1,
    "contract": 1,
    "inference": 1,
    "loading": 1,
    "metric": 1,
    "training": 1,
}


def code_digest(paths: Iterable[Path]) -> str:
    """Digest of the code in files, without comments and docstrings."""
    return fingerprint([(path.name, ast.dump(_without_docstrings(path))) for path in sorted(paths)])


def _without_docstrings(path: Path) -> ast.Module:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                del body[0]
    return tree
