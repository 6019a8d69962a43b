"""The guides, followed word for word: their files are written, their commands run, their outputs looked for."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = ("python", "yaml")
ANYTHING = "…"  # in an expected line: whatever stands there
MARK = "@@ block"
COPIED = ("Snakefile", "params.yaml", "pipeline", "profiles", "pyproject.toml", "tests", "xdseg")
TIMEOUT = 900


@dataclass(frozen=True)
class Guide:
    """A page's files, its commands, and for each block of commands the lines that it must print."""

    files: dict[str, str]
    commands: list[str]
    expected: dict[int, list[str]]


def read_guide(path: Path) -> Guide:
    """What a page asks its reader to do."""
    page, guide = path.read_text(), Guide({}, [], {})
    for block in BLOCK.finditer(page):
        language, text = block["language"], block["text"]
        if language in FILES:
            named = file_name(page[: block.start()])
            assert named, f"{path.name}: no file is named before {text.splitlines()[0]!r}"
            guide.files[named] = text
        elif language == "bash":
            guide.commands.append(text)
        elif language == "text":
            guide.expected[len(guide.commands) - 1] = text.splitlines()
    return guide


def file_name(before: str) -> str | None:
    """The last file that the paragraph before a block names, such as `mirror.py`, if that ends with a colon."""
    paragraph = before.rstrip().rpartition("\n\n")[2]
    names = re.findall(r"`([\w-]+\.\w+)`", paragraph)
    return names[0 if paragraph.startswith("`") else -1] if names and paragraph.endswith(":") else None


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project without results, records and locks; the package by a link, as in an editable installation."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in COPIED:
        if name == "xdseg":
            os.symlink(ROOT / name, folder / name)
        elif (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def follow(guide: Guide, folder: Path) -> list[str]:
    """Write the guide's files and run its commands in one shell; returns what each block of commands printed."""
    for name, text in guide.files.items():
        (folder / name).write_text(text)
    script = "".join(f"echo '{MARK}'\n{text}" for text in guide.commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cleared = {k: v for k, v in os.environ.items() if not k.startswith(("XDSEG_", "PYTEST_"))}
    environment = cleared | {"PATH": path, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(f"{MARK}\n")[1:]


def check_outputs(guide: Guide, outputs: list[str]) -> None:
    """Every promised line stands in the output of the commands before it, in this order."""
    for number, lines in guide.expected.items():
        patterns = [".*".join(map(re.escape, line.split(ANYTHING))) for line in lines]
        found = "(?s:.*?)".join(rf"^{pattern}$" for pattern in patterns)
        assert re.search(found, outputs[number], re.MULTILINE), f"{lines}\nis not in\n{outputs[number]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["add-a-dataset", "add-a-method"])
def test_guide_works_word_for_word(name: str, copy: Path):
    """Files, commands and outputs of the page, from its top to its end, in a fresh copy of the project."""
    guide = read_guide(ROOT / "docs" / f"{name}.md")
    assert guide.files and guide.expected
    check_outputs(guide, follow(guide, copy))


def test_guides_name_their_files():
    """Which block is which file is read from the page; here, what came out for both."""
    files = {name: list(read_guide(ROOT / "docs" / f"{name}.md").files) for name in ("add-a-dataset", "add-a-method")}
    assert files["add-a-dataset"] == ["draw.py", "convert.py", "harbour.yaml", "my_net.py"]
    assert files["add-a-method"] == ["mirror.py", "mirror.yaml"]


def test_promised_lines_are_really_looked_for():
    """A line that is not printed, or in another order, fails; an ellipsis stands for anything within a line."""
    guide = Guide({}, ["true"], {0: ["one …", "three"]})
    check_outputs(guide, ["zero\none two\n\nthree\n"])
    for wrong in ("three\none two\n", "one two\n", "one two\nthree more\n"):
        with pytest.raises(AssertionError, match="is not in"):
            check_outputs(guide, [wrong])
