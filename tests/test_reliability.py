"""docs/reliability.md: every test that a row names exists, and no row is without one."""

import ast
import re
from functools import cache

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs/reliability.md").read_text()
NAMED = re.compile(r"`((?:\w+/)?test_\w+)::(\w+)`")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| what |", "| --- |"))]


@cache
def functions_of(file: str) -> frozenset[str]:
    """Names of the functions of a file, without reading it as a module."""
    tree = ast.parse((ROOT / "tests" / f"{file}.py").read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_rows_name_tests_that_exist(row):
    """Each row's last cell, and each name in it."""
    named = NAMED.findall(row.rstrip(" |").rpartition("|")[2])
    assert named, "no test is named"
    for file, name in named:
        assert f"test_{name}" in functions_of(file), f"tests/{file}.py has no test_{name}"


def test_every_fault_has_its_row():
    """What the page is for: each of these words stands in a row."""
    text = "\n".join(ROWS).lower()
    faults = [
        "disk full",
        "read-only",
        "oom",
        "sigterm",
        "sigkill",
        "node lost",
        "resume state",
        "predictions cut",
        "two users",
    ]
    faults += ["tracking server down", "truncated png", "id outside", "half-extracted", "misspelt key", "asks for more"]
    assert [fault for fault in faults if fault not in text] == []
