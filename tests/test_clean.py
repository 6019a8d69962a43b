"""`xdseg clean --stale`: what goes and what stays of a results/ made by hand."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from test_status import held, write

from xdseg.cli import main
from xdseg.inspection import removal
from xdseg.params import load
from xdseg.stages.clean import shown
from xdseg.workflow import Plan, plan_from

STALE = "s0-0123abcd"  # fingerprint of no grid
RUN_FILES = ("run.json", "train.log", "train.time", "weights.safetensors", "training.json", "curve.jsonl", ".lock")
TARGET = "b-0123abcd"
PREDICTED = ("predictions.zip", "predictions.json", "score-0123abcd.json", "confusion-0123abcd.npz")
DELETES = "nothing was deleted: `xdseg clean --stale --yes` deletes these"


@pytest.fixture
def plan(project) -> Plan:
    """The toy grid, in a project without presets."""
    shutil.rmtree("pipeline/presets")
    return Plan(load())


def write_run(folder: Path, *, predicted: bool = True) -> Path:
    """A run's folder, 10 bytes a file: 7 files of training; of predictions 3 for the receipt and 4 for a target."""
    names = [*RUN_FILES]
    if predicted:
        names += [f"predictions-0123abcd.{ending}" for ending in ("json", "log", "time")]
        names += [f"{TARGET}/{name}" for name in PREDICTED]
    for name in names:
        write(folder / name, "0123456789")
    return folder


def tree() -> dict[str, str]:
    """Digests of all files, and where links point, by path."""
    paths = sorted(Path().rglob("*"))
    told = {str(path): os.readlink(path) if path.is_symlink() else "folder" for path in paths}
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    return told | {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def cleaned(capsys, *arguments: str) -> list[str]:
    """Lines of the command."""
    capsys.readouterr()
    assert main(["clean", "--stale", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def start(monkeypatch, config: dict) -> None:
    """What a start of Snakemake leaves of the settings it was given."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "environ", dict(os.environ))
        plan_from(config)


def test_what_goes_and_what_stays(plan, project, monkeypatch, capsys):
    """A stale run, stale predictions of a run that is needed, a stale cache; nothing else, and a dry run first."""
    needed = write_run(plan.cells[0].run.folder)
    cell = plan.cells[0].folder
    receipt = Path(plan.predictions[str(needed)])
    cache = Path(plan.training_inputs(str(needed))[0])
    others = ("records/toy/m/a--b/s0-0123abcd.json", "backbones/x-0123abcd/x.json")
    kept = [receipt, cell / "predictions.zip", cache, cache.with_suffix(".bin")]
    kept += [Path("results", name) for name in (*others, "toy/board-0123abcd/cells.csv", "publish.log")]
    for path in kept:
        write(path)
    start(monkeypatch, project.config)
    stale = write_run(Path("results/toy/source-only/a") / STALE)
    elsewhere = write_run(Path("results/gone/dacs+mfm/a+b--c") / STALE, predicted=False)
    old = Path("results/.cache/toy/a--train--images--0123abcd.json")
    for suffix in (".json", ".bin", ".log", ".time"):
        write(old.with_suffix(suffix), "x" * 500)
    listed = [
        f"run              70 B  {elsewhere}",
        f"predictions      30 B  {needed}/predictions-0123abcd.json",
        f"predictions      40 B  {needed}/{TARGET}",
        f"run             140 B  {stale}",
        f"cache          2.0 kB  {old}",
    ]
    if needed.name > STALE:  # lines stand in the order of paths
        listed[1:4] = [listed[3], *listed[1:3]]
    before = tree()
    assert cleaned(capsys) == [*listed, f"5 items, 2.3 kB; {DELETES}"]
    assert tree() == before
    assert cleaned(capsys, "--yes") == [*listed, "deleted 5 items, 2.3 kB"]
    gone = (str(elsewhere), f"{needed}/predictions-0123abcd.", f"{needed}/{TARGET}", str(stale), str(old)[:-5])
    assert tree() == {path: what for path, what in before.items() if not path.startswith(gone)}
    assert cleaned(capsys) == ["nothing is stale"]


def test_a_preset_needs_its_runs(plan, project, capsys):
    """What only a preset asks for stays, in folders below too; without the preset it goes."""
    overlay = "grid: {pairs: [a->b], seeds: [7]}\n"
    preset = write(Path("pipeline/presets/paper/seven.yaml"), overlay)
    write(Path("pipeline/presets/board.yaml"), "grid: {board: other}\nsegmenters: 3\n")  # no grid by itself
    project.write(project.config | {"grid": project.config["grid"] | {"pairs": ["a->b"], "seeds": [7]}})
    run = write_run(Plan(load()).cells[0].run.folder, predicted=False)
    project.write(project.config | {"grid": plan.params.grid.model_dump(mode="json", exclude_unset=True)})
    assert "/s7-" in str(run)
    assert cleaned(capsys) == ["nothing is stale"]
    preset.unlink()
    assert cleaned(capsys)[0] == f"run              70 B  {run}"


def test_overlays_do_not_put_away_the_project(plan, capsys):
    """Under an overlay the grid of params.yaml alone is still needed."""
    run = write_run(plan.cells[0].run.folder, predicted=False)
    overlay = write(Path("seven.yaml"), "grid: {seeds: [7]}\n")
    capsys.readouterr()
    assert main(["--configfile", str(overlay), "clean", "--stale", "--yes"]) == 0
    assert capsys.readouterr().out == "nothing is stale\n" and run.exists()


def test_a_grid_that_was_started_stays(plan, project, monkeypatch, capsys):
    """What only an overlay asked for, wherever that lies, stays once it was started; with --all it goes."""
    project.write(project.config | {"grid": project.config["grid"] | {"methods": ["source-only"], "pairs": ["a->b"]}})
    needed = write_run(Plan(load()).cells[0].run.folder, predicted=False)
    lab = project.config | {"grid": project.config["grid"] | {"pairs": ["b->a"], "seeds": [7], "board": "lab"}}
    start(monkeypatch, lab)
    project.write(lab)
    plan = Plan(load())
    run = write_run(plan.cells[0].run.folder, predicted=False)
    cache = write(Path(plan.training_inputs(str(run))[0]), "0123456789")
    project.write(project.config | {"grid": project.config["grid"] | {"pairs": ["a->b"], "seeds": [0]}})
    stale = write_run(run.with_name(STALE), predicted=False)
    kept = "kept: 2 items, 80 B, of grids started before; with --all they count as stale"
    assert cleaned(capsys, "--yes") == [f"run              70 B  {stale}", kept, "deleted 1 item, 70 B"]
    assert cleaned(capsys, "--yes") == [kept, "nothing is stale"]
    items = [f"run              70 B  {run}", f"cache            10 B  {cache}"]
    deletes = DELETES.replace("--stale", "--stale --all")
    assert cleaned(capsys, "--all") == [*items, f"2 items, 80 B; {deletes}"]
    assert run.exists() and cache.exists()
    assert cleaned(capsys, "--all", "--yes") == [*items, "deleted 2 items, 80 B"]
    assert not run.exists() and not cache.exists() and needed.exists()


def test_a_start_that_cannot_be_judged(plan, project, capsys):
    """Settings of an earlier start that this code does not know close their suite; with --all they do not count."""
    stale = write_run(Path("results/toy/source-only/a") / STALE, predicted=False)
    file = Path("results/.settings/0123abcd.json")
    write(file, json.dumps(project.config | {"grid": project.config["grid"] | {"methods": ["no-such"]}}))
    assert cleaned(capsys)[0].startswith(f"kept: results/toy: {file}: params: grid.methods: unknown 'no-such'")
    assert cleaned(capsys, "--all")[0] == f"run              70 B  {stale}"
    write(file, "")
    assert main(["clean", "--stale"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"xdseg: {file}: not readable (") and error.endswith("; delete it and run again\n")


def test_nothing_is_deleted_while_snakemake_works(plan, capsys):
    """Its lock is there: what is stale is listed, and not deleted; once it has ended, it is."""
    stale = write_run(Path("results/toy/source-only/a") / STALE, predicted=False)
    lock = write(Path(".snakemake/locks/0.input.lock"))
    assert cleaned(capsys)[0] == f"run              70 B  {stale}"
    for arguments in (["--yes"], ["--all", "--yes"]):
        assert main(["clean", "--stale", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("xdseg: .snakemake/locks: Snakemake is at work in this folder") and stale.exists()
        assert error.count("\n") == 1
    lock.unlink()
    assert cleaned(capsys, "--yes")[-1] == "deleted 1 item, 70 B"


def test_names_are_escaped(plan, capsys, monkeypatch):
    """A name or a lock with an escape sequence or a line end in it reaches no terminal as one."""
    odd = "\x1b[2Jx\nkept: y"
    leftover = write(Path(f"results/toy/source-only/a/.stale-{odd[:5]}.1/run.json")).parent
    cache = write(Path(f"results/.cache/toy/{odd}--train--images--0123abcd.json"))
    write(leftover / ".lock", "process \x1b[2J")
    monkeypatch.setattr("xdseg.inspection.stale.holder", lambda folder: None)
    with held(cache.parent / ".locks" / cache.stem):
        lines = cleaned(capsys, "--yes")
    assert [line.split("  ")[-1] for line in lines[:2]] == [
        "results/toy/source-only/a/.stale-\\x1b[2Jx.1",
        "results/.cache/toy/\\x1b[2Jx\\nkept: y--train--images--0123abcd.json",
    ]
    assert lines[2].startswith("kept: results/.cache/toy/\\x1b[2Jx\\nkept: y--") and len(lines) == 4


def test_a_suite_that_cannot_be_judged_stays_whole(plan, capsys):
    """A preset whose fingerprints cannot be told closes its suite, and no other."""
    write_run(Path("results/toy/source-only/a") / STALE)
    write(Path("results/.cache/toy/a--train--images--0123abcd.json"))
    other = write_run(Path("results/gone/source-only/a") / STALE, predicted=False)
    write(Path("pipeline/presets/broken.yaml"), "grid: {suite: toy, methods: [no-such]}\n")
    reason = "pipeline/presets/broken.yaml: params: grid.methods: unknown 'no-such'"
    lines = cleaned(capsys)
    assert lines[0] == f"run              70 B  {other}"
    assert [line.partition(";")[0] for line in lines[1:3]] == [
        f"kept: results/toy: {reason}",
        f"kept: results/.cache/toy: {reason}",
    ]
    assert lines[3:] == [f"1 item, 70 B; {DELETES}"]


def test_what_a_process_holds_stays(plan, capsys):
    """A stale run at work is kept, and with it the decoded pixels of its suite; its neighbour goes."""
    run = write_run(Path("results/toy/source-only/a") / STALE)
    neighbour = write_run(Path("results/toy/source-only/b") / STALE, predicted=False)
    cache = write(Path("results/.cache/toy/a--train--images--0123abcd.json"))
    filling = write(Path("results/.cache/else/a--train--images--0123abcd.json"))
    with held(run) as process, held(filling.parent / ".locks" / filling.stem) as filler:
        files = {path: what for path, what in tree().items() if not path.startswith(str(neighbour))}
        assert cleaned(capsys, "--yes") == [
            f"run              70 B  {neighbour}",
            f"kept: {run}: {process}",
            f"kept: {filling}: {filler}",
            "kept: results/.cache/toy: a run of this suite that was to go is at work",
            "deleted 1 item, 70 B",
        ]
        assert tree() == files
    assert len(cleaned(capsys, "--yes")) == 4
    assert not any(path.exists() for path in (run, cache, filling))


def test_a_process_that_comes_between_list_and_deletion(plan, capsys, monkeypatch):
    """What was free when it was listed, and is not when its turn comes, stays."""
    run = write_run(Path("results/toy/source-only/a") / STALE)
    monkeypatch.setattr("xdseg.inspection.stale.holder", lambda folder: None)
    with held(run):
        assert cleaned(capsys, "--yes")[1:] == [f"kept: {run}: a process took it meanwhile", "deleted 0 items, 0 B"]
    assert (run / "weights.safetensors").exists()


def test_what_is_not_recognised_stays(plan, capsys):
    """Files of others, at every depth, stay, and so does a stale run or prediction that holds one."""
    needed = write_run(plan.cells[0].run.folder, predicted=False)
    stale = write_run(Path("results/toy/source-only/a") / STALE)
    strangers = [
        write(Path("results/.cache/toy/pixels.npy")),
        write(Path("results/notes.txt")),
        write(needed / f"{TARGET}/mine.png"),
        write(Path("results/toy/source-only/a/s0-0123ABCD/run.json")).parent,
        write(stale / "notes.txt"),
        write(Path("results/toy/source-only/readme")),
    ]
    write(stale / ".run.json.some.host.12")  # of a process that was killed while it wrote
    before = tree()
    lines = cleaned(capsys, "--yes")
    assert tree() == before
    assert sorted(lines) == sorted(
        [
            *(f"not recognised, left alone: {path}" for path in strangers),
            f"kept: {needed}/{TARGET}: holds what is not recognised",
            f"kept: {stale}: holds what is not recognised",
            "nothing is stale",
        ]
    )
    (stale / "notes.txt").unlink()
    cleaned(capsys, "--yes")
    assert not stale.exists()


def test_links_are_not_followed(plan, tmp_path, capsys):
    """A link where a suite, a run, a file of one, a cache belongs is nobody's: it and what it points at stay."""
    outside = write_run(tmp_path / "outside" / STALE)
    inside = write_run(Path("results/toy/source-only/a") / STALE)
    links = [Path("results/away"), Path("results/toy/source-only/b/s0-89abcdef"), inside / "resume.pt"]
    links.append(Path("results/.cache/toy/a--train--images--0123abcd.json"))
    for link, target in zip(links, (outside.parent, outside, outside / "run.json", outside / "run.json"), strict=True):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    before, away = tree(), {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    lines = cleaned(capsys, "--yes")
    assert [f"not recognised, left alone: {link}" in lines for link in links] == [True] * len(links)
    assert tree() == before
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == away


def test_a_link_in_what_is_removed_is_removed_alone(tmp_path):
    """Even if a link comes into a folder after it was looked at, what it points at stays."""
    outside = write(tmp_path / "outside/file")
    hidden = tmp_path / ".stale-x.1"
    write(hidden / "run.json")
    (hidden / "link").symlink_to(outside.parent)
    removal.remove(hidden)
    assert outside.exists() and not hidden.exists()


@pytest.mark.parametrize("kind", ["run", "predictions", "cache"])
def test_a_kill_between_renaming_and_removing(plan, capsys, monkeypatch, kind):
    """What was hidden is gone for everybody else; the next deletion, and not the next list, removes it."""
    run = plan.cells[0].run.folder
    path = {
        "run": Path("results/toy/source-only/a") / STALE,
        "predictions": run / TARGET,
        "cache": Path("results/.cache/toy/a--train--images--0123abcd.json"),
    }[kind]
    if kind == "run":
        write_run(path)
    write(path / "predictions.zip" if kind == "predictions" else path if kind == "cache" else path / "run.json")

    def kill(hidden: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(removal, "remove", kill)
        with pytest.raises(KeyboardInterrupt):
            main(["clean", "--stale", "--yes"])
    hidden = path.with_name(f".stale-{path.name}.{os.getpid()}")
    assert hidden.exists() and not path.exists()
    lines = cleaned(capsys)
    assert [line.split() for line in lines if "not recognised" in line] == []
    assert lines[0].startswith("leftover ") and lines[0].endswith(f" {hidden}") and hidden.exists()
    assert cleaned(capsys, "--yes")[-1].startswith("deleted 1 item, ")
    assert not hidden.exists()


def test_a_receipt_goes_before_the_predictions_it_stands_for(plan, capsys, monkeypatch):
    """Whatever moment a kill comes at, no receipt is left whose predictions are gone; likewise index and pixels."""
    run = write_run(plan.cells[0].run.folder)
    index = Path("results/.cache/toy/a--train--images--0123abcd.json")
    for suffix in (".bin", ".json", ".log"):
        write(index.with_suffix(suffix))
    hidden = []
    real = removal.hide
    monkeypatch.setattr(removal, "hide", lambda path: hidden.append(path) or real(path))
    cleaned(capsys, "--yes")
    assert hidden.index(run / "predictions-0123abcd.json") < hidden.index(run / TARGET)
    assert hidden.index(index) < hidden.index(index.with_suffix(".bin"))


def test_what_cannot_be_deleted_is_said(plan, capsys, monkeypatch):
    """A folder that its owner may not change: one line that names it, exit code 2."""
    stale = write_run(Path("results/toy/source-only/a") / STALE)

    def refuse(path: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(removal, "hide", refuse)
    assert main(["clean", "--stale", "--yes"]) == 2
    said = f"xdseg: {stale}: cannot be deleted (Permission denied); mend that, then run again\n"
    assert capsys.readouterr().err == said and stale.exists()


def test_bad_input_is_one_line(project, capsys):
    """Without --stale, or with settings that give no grid: exit code 2, one line, nothing touched."""
    stale = write_run(Path("results/toy/source-only/a") / STALE)
    assert main(["clean", "--yes"]) == 2
    assert capsys.readouterr().err.startswith("xdseg: clean: say what; ")
    project.write(project.config | {"grid": project.config["grid"] | {"pairs": ["a->nowhere"]}})
    assert main(["clean", "--stale", "--yes"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert stale.exists()


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (2 * 10**15, "2000.0 TB")]
)
def test_sizes(size, text):
    """In units of a thousand."""
    assert shown(size) == text
