"""DVC around the workflow: its page followed word for word, and the truth in every state of a clone."""

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import md5
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, write_suite
from test_docs import MARK, check_outputs, read_guide

CLONED = (
    *(".dvc", ".dvcignore", ".gitignore", "backbones", "Makefile", "Snakefile", "dvc.lock", "dvc.yaml", "params.yaml"),
    *(
        "data",
        "pipeline",
        "profiles",
        "pyproject.toml",
        "records",
        "reports",
        "requirements.txt",
        "requirements-alone.txt",
        "tests",
        "xdseg",
    ),
)
LEFT = shutil.ignore_patterns("__pycache__", "config.local", "tmp", "cache", "suites")
TIMEOUT = 1800  # seconds that nothing here comes near, even on a loaded machine, so that a hang is a failure
BOARD = Path("reports/streetworld")


class Clone:
    """A git clone of the project in its present state, driven by commands as a user does."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDSEG_", "PYTEST_", "DVC_", "GIT_"))}
        who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        caches = {"DVC_SITE_CACHE_DIR": str(folder.parent / "site"), "OMP_NUM_THREADS": "1"}
        self.environment = kept | who | caches
        self.environment |= {"PATH": path, "PYTHONPATH": str(folder), "XDSEG_DATA": str(data)}

    def run(self, command: str) -> subprocess.CompletedProcess:
        """A line of shell, its output and errors together."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
        )

    def do(self, command: str) -> str:
        """A line that must succeed; its output."""
        done = self.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def board(self) -> dict[str, bytes]:
        """The published files of the default board."""
        return {path.name: path.read_bytes() for path in sorted((self.folder / BOARD).iterdir())}

    def change(self, **grid) -> dict:
        """params.yaml with changes of its grid written; the whole of it, for more."""
        settings = yaml.safe_load((self.folder / "params.yaml").read_text())
        settings["grid"] |= grid
        self.write(settings)
        return settings

    def write(self, settings: dict) -> None:
        """Set params.yaml."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump(settings))


def write_vessels(root: Path) -> None:
    """A small suite of that name; `chase_db1` and its files are named as params.yaml, which knows recordings, wants."""
    domain = write_suite(root, "vessels", ("a", "b", "chase_db1")) / "chase_db1"
    for path in list(domain.rglob("*.png")):
        path.rename(path.with_name(f"Image_{path.stem}L.png"))
    for split in domain.glob("*.txt"):
        split.write_text("".join(f"Image_{name}L\n" for name in split.read_text().split()))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone of a repository that holds the working tree, committed after `dvc repro`, without data or results."""
    origin, suites = tmp_path / "origin", tmp_path / "suites"
    origin.mkdir()
    write_vessels(suites)
    for name in CLONED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, origin / name, symlinks=True, ignore=LEFT)
        else:
            shutil.copy(ROOT / name, origin / name)
    first = Clone(origin, suites)
    first.do("git init --quiet --initial-branch main . && git add . && git commit --quiet --message start")
    first.do("dvc repro --allow-missing && git commit --quiet --allow-empty --all --message repro")
    first.do(f"git clone --quiet . {tmp_path / 'first'}")
    return Clone(tmp_path / "first", suites)


# --- what is declared ---------------------------------------------------------------------------------------------


def declared() -> dict:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_every_suite_and_board_is_declared():
    """A suite of photographs without a stage, or a board without metrics and plots, would be unknown to DVC."""
    suites, known = yaml.safe_load((ROOT / "params.yaml").read_text())["suites"], declared()
    folders = sorted(name for name, suite in suites.items() if suite["kind"] == "folder")
    assert known["stages"]["data"]["foreach"] == folders
    boards = sorted(path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("reports/*/metrics.json"))
    assert known["metrics"] == [f"{board}/metrics.json" for board in boards]
    drawn = json.dumps(known["plots"])
    assert all(
        f"{board}/{name}" in drawn for board in boards for name in ("leaderboard.csv", "cells.csv", "heatmap.png")
    )


def test_no_ignored_file_is_in_git():
    """A clone would have it and a copy committed anew would not: their locks would differ."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""


def test_nothing_is_cached_or_deleted_first():
    """Every output is small, in git, and survives a failure: `git status` never shows a deletion."""
    stages = declared()["stages"]
    outputs = [*stages["data"]["do"]["outs"], *stages["leaderboard"]["outs"], *stages["leaderboard"]["metrics"]]
    settings = [value for output in outputs for value in output.values()]
    assert settings == [{"cache": False, "persist": True}] * len(outputs)


def test_backbones_are_known():
    """Weights in git have a .dvc file of their bytes, and the board depends on them."""
    weights = sorted(ROOT.glob("backbones/*.safetensors"))
    for path in weights:
        mend = f"dvc commit -f backbones/{path.name}.dvc (docs/versioning.md, last section)"
        tracked = path.with_name(f"{path.name}.dvc")
        assert tracked.exists(), mend
        output = yaml.safe_load(tracked.read_text())["outs"][0]
        assert (output["cache"], output["md5"]) == (False, md5(path.read_bytes()).hexdigest()), mend
    assert not weights or "backbones" in declared()["stages"]["leaderboard"]["deps"]


def test_settings_ask_nobody():
    """No analytics, no look for updates, no Studio, and no remote that only one machine can reach."""
    config = (ROOT / ".dvc/config").read_text()
    settings = dict(line.split(" = ") for line in map(str.strip, config.splitlines()) if " = " in line)
    assert settings == {"analytics": "false", "check_update": "false", "offline": "true"}


def test_page_for_plots_fetches_nothing():
    """All scripts inside, none that ends the page early, and one place for the plots."""
    from xdseg.plots_page import SCRIPTS, page

    text = page()
    assert text.count("<script>") == text.count("</script>") == len(SCRIPTS)
    assert not re.search(r"(src|href)=", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert text.count("{plot_divs}") == 1 and "{scripts}" not in text
    assert "vegaEmbed" in text and "vegaLite" in text


def leaves(settings: dict, above: tuple[str, ...] = ()) -> dict[str, object]:
    """Numbers, truths and words of nested settings, by dotted key."""
    found = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= leaves(value, (*above, str(key)))
        elif not isinstance(value, list):
            found[".".join((*above, str(key)))] = value
    return found


def test_experiments_can_set_every_parameter(tmp_path: Path):
    """`-S` with a value of its own for each key: all arrive. Its grammar has no place for a + in a key.

    DVC loses what a map shared by reference is told.
    """
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    before = leaves(yaml.safe_load(path.read_text()))
    wanted = {key: old if "+" in key else f"value{number}" for number, (key, old) in enumerate(before.items())}
    apply_overrides(path, [f"{key}={value}" for key, value in wanted.items() if "+" not in key])
    assert leaves(yaml.safe_load(path.read_text())) == wanted
    path.write_text("a: {shared: &shared {steps: 1}}\nb: {shared: *shared}\n")
    apply_overrides(path, ["a.shared.steps=2"])
    assert leaves(yaml.safe_load(path.read_text()))["a.shared.steps"] == 1, (
        "mended? then docs/versioning.md warns in vain"
    )


# --- what a clone does --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_page_works_word_for_word(clone: Clone):
    """Experiment, plots, remote, second machine, data: the commands of docs/versioning.md and what they print."""
    guide = read_guide(ROOT / "docs" / "versioning.md")
    os.symlink(sys.prefix, clone.folder / ".venv")
    (clone.folder / ".git/ready").touch()  # `make plots` need not install anything
    script = "".join(f"echo '{MARK}'\n{text}" for text in guide.commands)
    outputs = clone.do(script.replace("make plots", "make READY=.git/ready plots")).split(f"{MARK}\n")[1:]
    check_outputs(guide, outputs)
    page = (clone.folder / "dvc_plots/index.html").read_text()
    assert '"rev": "workspace"' in page and '"rev": "HEAD"' in page and "<script src" not in page
    second = Clone(clone.folder.parent / "second", Path(clone.environment["XDSEG_DATA"]))
    assert second.board() == clone.board() and "source-aug" not in second.board()["cells.csv"].decode()
    weights = [(one.folder / "weights/clear.safetensors").read_bytes() for one in (clone, second)]
    assert weights[0] == weights[1]
    assert not list(second.folder.glob("results/streetworld/*/*/*/run.json")), "nothing was trained there"
    clone.do("git checkout --quiet main && dvc exp apply look")
    assert clone.board() == second.board(), "the experiment holds its table"
    assert "leaderboard" not in clone.do("dvc status"), "and its records"


@pytest.mark.slow
def test_committed_board_is_what_records_give(clone: Clone):
    """In a fresh clone nothing differs; a number changed by hand is noticed, and the same bytes come back."""
    before = clone.board()
    assert before == {name: (ROOT / BOARD / name).read_bytes() for name in before}, "stale: dvc repro --allow-missing"
    done = clone.run("dvc repro")
    assert done.returncode == 255 and "data/suites/nuclei" in done.stdout, "the folders are asked for"
    (clone.folder / BOARD / "metrics.json").write_text('{"source-only": 99.9}')
    assert "Running stage 'leaderboard'" in clone.do("dvc repro --allow-missing")
    assert clone.board() == before and clone.do("git status --porcelain") == ""
    shutil.rmtree(clone.folder / BOARD)
    assert "up to date" in clone.do("dvc repro --allow-missing"), "missing tables are allowed too, as the page says"
    clone.do("snakemake")
    assert clone.board() == before and clone.do("git status --porcelain") == ""


@pytest.mark.slow
def test_pulled_records_are_seen(clone: Clone):
    """A table without a method's records, then a pull that brings them: DVC knows, and the table is whole again."""
    before = clone.board()
    shutil.move(clone.folder / "records/streetworld/source-aug", clone.folder.parent / "elsewhere")
    clone.change(methods=["source-only", "oracle"])
    clone.do("dvc repro --allow-missing && git commit --quiet --all --message fewer")
    assert clone.do("dvc metrics diff HEAD~1").count("source-aug") == 1
    assert "leaderboard" not in clone.do("dvc status")
    shutil.move(clone.folder.parent / "elsewhere", clone.folder / "records/streetworld/source-aug")
    assert re.search(r"leaderboard:\s+changed deps:\s+modified:\s+records", clone.do("dvc status"))
    clone.change(methods=["source-only", "source-aug", "oracle"])
    clone.do("dvc repro --allow-missing")
    assert clone.board() == before


@pytest.mark.slow
def test_failed_method_under_dvc(clone: Clone):
    """Its cells are missing in the table, Snakemake says 1 and DVC 255, no file is gone, the lock keeps its word."""
    settings = clone.change(methods=["source-only", "broken"], pairs=["clear->night"])
    settings["segmenters"]["broken"] = {"kind": "deeplabv3plus", "decoder_channels": 32, "weights": "odd.safetensors"}
    settings["methods"]["broken"] = {"setting": "source", "segmenter": "broken"}
    settings["suites"]["streetworld"]["generator"] = {"height": 64, "width": 128, "train": 4, "val": 2}
    settings["protocols"]["tiny"]["training"] |= {"steps": 2, "batch": 2}
    settings["protocols"]["tiny"]["augmentation"]["crop"] = 64
    clone.write(settings)
    (clone.folder / "odd.safetensors").write_bytes(b"no tensors")
    done = clone.run("dvc repro --allow-missing")
    assert done.returncode == 255 and "odd.safetensors" in done.stdout
    assert re.search(r"failed to run: snakemake .*, exited with 1$", done.stdout, re.MULTILINE)
    rows = (clone.folder / BOARD / "cells.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:6] for row in rows] == [
        ["source-only", "source", "clear", "night", "0", "ok"],
        ["broken", "source", "clear", "night", "0", "missing"],
    ]
    assert json.loads((clone.folder / BOARD / "metrics.json").read_text())["broken"] is None
    states = {line[:2] for line in clone.do("git status --porcelain").splitlines()}
    assert states == {" M", "??"}
    assert clone.do("git diff --name-only -- dvc.lock") == ""
    assert "modified:           reports/streetworld/metrics.json" in clone.do("dvc status leaderboard")


@pytest.mark.slow
def test_changed_photograph_changes_its_lock_only(clone: Clone):
    """The stage sees through the link; another photograph in one split leaves every other digest as it was."""
    suites = Path(clone.environment["XDSEG_DATA"])
    os.symlink(suites, clone.folder / "data/suites")
    assert "data/locks/vessels.json: written" in clone.do("dvc repro data@vessels")
    assert "didn't change" in clone.do("dvc repro data@vessels")
    lock = (clone.folder / "data/locks/vessels.json").read_text()
    shutil.copy(suites / "vessels/b/images/00.png", suites / "vessels/a/images/00.png")
    assert "modified:           data/suites/vessels" in clone.do("dvc status data@vessels")
    clone.do("dvc repro data@vessels")
    changed = json.loads((clone.folder / "data/locks/vessels.json").read_text())
    same = json.loads(lock)
    assert changed["domains"]["b"] == same["domains"]["b"]
    assert changed["domains"]["a"]["splits"]["val"] == same["domains"]["a"]["splits"]["val"]
    assert changed["domains"]["a"]["splits"]["train"]["images"] != same["domains"]["a"]["splits"]["train"]["images"]
