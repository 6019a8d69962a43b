"""A project around a suite of small public data sets: settings, a working folder, and what its commands print."""

import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from conftest import Project, small_config
from public_data import write_dataset

from xdseg.cli import main
from xdseg.datasets.registry import dataset
from xdseg.merging import merge

SUITE = "mini"


def mini_config(counts: dict[str, dict[str, int]], *, classes: str = "cityscapes", **grid) -> dict:
    """Settings of a suite whose domains bear their data sets' names, on a protocol that trains in seconds."""
    config = small_config()
    domains = {name: {"dataset": name, "counts": expected} for name, expected in counts.items()}
    config["suites"] = {SUITE: {"kind": "public", "classes": classes, "domains": domains}}
    config["protocols"]["tiny"]["domains"] = {"gta5": {"train_split": "full"}} if "gta5" in counts else {}
    config["grid"] |= {"suite": SUITE} | grid
    return config


class Mini(Project):
    """The project, with the folder that its data sets lie in."""

    def __init__(self, folder: Path, data: Path, config: dict) -> None:
        super().__init__(folder, config)
        self.data = data

    def change(self, **overlay) -> None:
        """Change settings for good."""
        self.write(merge(self.config, overlay))

    def domain(self, name: str, **entry) -> None:
        """Change what the suite says of a domain."""
        self.change(suites={SUITE: {"domains": {name: entry}}})

    @property
    def locks(self) -> dict[str, bytes]:
        """Bytes of all locks by path."""
        return {str(path): path.read_bytes() for path in Path("data/locks").rglob("*.json")}


def make_mini(
    folder: Path, data: Path, names: tuple[str, ...], *, size: tuple[int, int] = (48, 64), **settings
) -> Mini:
    """Write miniatures and the project around them; nothing is prepared."""
    counts = {name: write_dataset(data, name, size=size) for name in names}
    folder.mkdir()
    os.chdir(folder)
    return Mini(folder, data, mini_config(counts, **settings))


@pytest.fixture
def urban(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Mini:
    """GTA5 to Cityscapes, not prepared, in the current folder."""
    for name in ("XDSEG_CONFIG", "XDSEG_DIE_WITH_PARENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return make_mini(tmp_path / "project", data, ("gta5", "cityscapes"), pairs=["gta5->cityscapes"])


@pytest.fixture
def said(capsys):
    """Runs a command; returns its exit code and the lines that it prints as errors, else as output."""

    def run(*arguments: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as stop:  # argparse's own refusal
            code = stop.code
        printed = capsys.readouterr()
        return code, [line.removeprefix("xdseg: ") for line in (printed.err if code else printed.out).splitlines()]

    return run


@pytest.fixture
def fault(said):
    """Runs a `prepare` that must fail for one reason, writes no lock; returns the line."""

    def run(suite: str = SUITE) -> str:
        before = {path: path.read_bytes() for path in Path("data/locks").rglob("*") if path.is_file()}
        code, lines = said("prepare", suite)
        assert code == 2, lines
        assert {path: path.read_bytes() for path in Path("data/locks").rglob("*") if path.is_file()} == before
        closing = lines.pop() if len(lines) > 1 else ""
        assert len(lines) == 1 and closing in ("", f"suite {suite}: 1 fault; no lock was written"), [*lines, closing]
        return lines[0]

    return run


def write_split_free(data: Path, name: str, *, count: int, size: tuple[int, int]) -> dict[str, int]:
    """A miniature of `count` images a split, without lists; returns the counts of its splits."""
    shutil.rmtree(data / name, ignore_errors=True)
    written = import_module(f"miniatures.{name}").write(data / name, count=count, size=size)
    return {
        split: len(items) for (split, part), items in written.items() if part is None and split in dataset(name).splits
    }
