"""Records that travel: whole there and back, every kind of tampering refused whole, and the origin shown."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT, write_suite
from packs import METHODS, Tampered, config, write_records
from PIL import Image

from xdseg.cli import main
from xdseg.data.public_lock import PublicLock
from xdseg.evaluation.predictions import load_confusion, save_confusion
from xdseg.evaluation.summary import scores_of
from xdseg.files import file_digest
from xdseg.params import data_root, parse
from xdseg.settings.evaluation import Scoring
from xdseg.workflow import Plan

MARK = "imported from lab A: not certified"


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with eight records and one entered row, and pack.zip of them beside it. Read only."""
    root = tmp_path_factory.mktemp("sender")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDSEG_DATA", str(root / "data"))
        for name in ("XDSEG_CONFIG", "XDSEG_DIE_WITH_PARENT"):
            patch.delenv(name, raising=False)
        data_root.cache_clear()
        (root / "project").mkdir()
        patch.chdir(root / "project")
        write_suite(root / "data", "toy")
        Path("params.yaml").write_text(yaml.safe_dump(config()))
        assert main(["prepare", "toy"]) == 0
        write_records(root / "data")
        _enter(root / "data", root / "pngs")
        assert main(["export-records", "toy", "../pack.zip", "--origin", "lab A"]) == 0
        yield root / "project"
    data_root.cache_clear()


def _enter(data: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("04", "05"):
        label = np.array(Image.open(data / f"toy/b/labels/{name}.png"))
        Image.fromarray(label % 255).save(folder / f"{name}.png")
    assert main(["score", "--predictions", str(folder), "--method", "their-net", "--pair", "a->b"]) == 0


@pytest.fixture
def receiver(sender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the same settings and locks, as the current folder."""
    folder = tmp_path / "receiver"
    shutil.copytree(sender / "data", folder / "data")
    shutil.copy(sender / "params.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def pack(sender: Path) -> Tampered:
    """The sender's pack, to tamper with."""
    return Tampered(sender.parent / "pack.zip")


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below, and every folder; without replicates, which are drawn anew where they lack."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix != ".replicates")
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


def board() -> Path:
    """Build the board of the current project."""
    folder = Path(Plan(parse(config())).board)
    assert main(["board", str(folder)]) == 0
    return folder


def test_there_and_back(sender, receiver, monkeypatch, capsys):
    """Nine records, each with its confusion; the board there has the cells of the board here, but for their origin."""
    assert main(["import-records", str(sender.parent / "pack.zip")]) == 0
    assert "from lab A: 9 records taken, 0 were here" in capsys.readouterr().out
    theirs, here = tree(sender / "records"), tree(receiver / "records")
    assert [Path(name).relative_to(sender) for name in theirs] == [Path(name).relative_to(receiver) for name in here]
    there = board()
    monkeypatch.chdir(sender)
    home = sender / board()
    expected, found = (list(csv.DictReader((at / "cells.csv").open())) for at in (home, receiver / there))
    assert {row["origin"] for row in expected} == {"run", "predictions"} and len(expected) == 9
    assert {row["origin"] for row in found} == {f"run ({MARK})", f"predictions ({MARK})"}
    assert [row | {"origin": ""} for row in found] == [row | {"origin": ""} for row in expected]
    texts = {at: {p.name: p.read_text() for p in at.iterdir() if p.suffix != ".png"} for at in (home, receiver / there)}
    assert texts[home]["gains.csv"] == texts[receiver / there]["gains.csv"]
    assert not any("import" in text for name, text in texts[home].items() if name != "index.html")
    assert f"this workflow, {MARK}" in texts[receiver / there]["index.html"], "on the cells' cards"
    assert f"predictions of other code, {MARK}" in texts[receiver / there]["index.html"]
    assert MARK not in texts[home]["index.html"]
    told = [f"{name} (2 of 2 cells)" for name in METHODS] + [f"their-net (1 of 1 cells): {MARK}"]
    assert f"- {', '.join(told)}\n" in texts[receiver / there]["leaderboard.md"]
    assert "run (2 of 2 cells imported: not certified)" in texts[receiver / there]["leaderboard.csv"]


def test_equal_records_give_an_equal_pack(sender, tmp_path, monkeypatch):
    """No clock and no order of folders is in it."""
    monkeypatch.chdir(sender)
    assert main(["export-records", "toy", str(tmp_path / "again.zip"), "--origin", "lab A"]) == 0
    assert (tmp_path / "again.zip").read_bytes() == (sender.parent / "pack.zip").read_bytes()


def test_the_manifest_says_where_records_come_from(pack):
    """Who, and what the records say of commit, machine and time; one hash a file; the lock as far as it was used."""
    manifest = pack.manifest
    assert manifest["schema"] == 1 and manifest["boards"] == ["toy"]
    origin = manifest["origin"]
    assert origin["who"] == "lab A" and origin["devices"] == ["a machine of lab A"] and "c" * 40 in origin["commits"]
    assert origin["started"] == "2026-01-02T03:04:05+00:00"
    assert manifest["files"].keys() == pack.files.keys() and len(pack.files) == 18
    assert sorted(manifest["locks"]["toy"]["splits"]) == ["a--train", "a--val", "b--train", "b--val"]


def test_what_is_here_already_is_left_as_it_is(sender, receiver, capsys):
    """A second import changes no byte; records of the sender's own, unmarked, stay unmarked."""
    assert main(["import-records", str(sender.parent / "pack.zip")]) == 0
    before = tree(receiver)
    assert main(["import-records", str(sender.parent / "pack.zip")]) == 0
    assert "0 records taken, 9 were here" in capsys.readouterr().out
    assert tree(receiver) == before
    shutil.rmtree("records")
    shutil.copytree(sender / "records", "records")
    before = tree(receiver)
    assert main(["import-records", str(sender.parent / "pack.zip")]) == 0
    assert tree(receiver) == before


def test_every_hop_is_shown(sender, receiver, tmp_path, monkeypatch):
    """What B hands on of A's stays A's."""
    assert main(["import-records", str(sender.parent / "pack.zip")]) == 0
    assert main(["export-records", "toy", str(tmp_path / "b.zip"), "--origin", "lab B"]) == 0
    shutil.rmtree("records")
    assert main(["import-records", str(tmp_path / "b.zip")]) == 0
    origins = {row["origin"] for row in csv.DictReader((board() / "cells.csv").open())}
    assert "run (imported from lab A by way of lab B: not certified)" in origins


def test_a_kill_leaves_no_record_without_its_confusion(sender, receiver, monkeypatch):
    """Records are renamed last, each in one piece; what was being written is gone."""
    renamed, real = [], Path.replace

    def killed(self: Path, target) -> Path:
        if str(target).startswith("records/"):
            if len(renamed) == 12:
                raise KeyboardInterrupt
            renamed.append(str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        main(["import-records", str(sender.parent / "pack.zip")])
    records = [name for name in renamed if name.endswith(".json")]
    assert len(records) == 3 and all(Path(name).with_suffix(".npz").exists() for name in records)
    assert sorted(renamed) == sorted(str(path) for path in Path("records").rglob("*") if path.is_file())
    assert [path.name for path in Path("records").iterdir()] == ["toy"]


def counts(pack: Tampered, change: Callable[[np.ndarray], None]) -> None:
    """Change the confusion of dacs on a -> b, and all that follows from it: hashes and scores."""
    name = pack.path_of("dacs", ending="npz")
    scratch = Path("scratch.npz")
    scratch.write_bytes(pack.files[name])
    names, per_image = load_confusion(scratch)
    per_image = change(per_image)
    save_confusion(scratch, names[: len(per_image)], per_image)
    pack.put(name, scratch.read_bytes())
    scores = scores_of(per_image, classes=("ground", "thing", "sky"), kept=(0, 1, 2), scoring=Scoring())
    pack.record("dacs", lambda r: r.update(scores=scores, confusion=r["confusion"] | {"sha256": file_digest(scratch)}))
    scratch.unlink()


def moved(per_image: np.ndarray) -> np.ndarray:
    """Seven pixels of ground become sky."""
    per_image[0, 0, 0] -= 7
    per_image[0, 2, 2] += 7
    return per_image


def training_of(pack: Tampered, method: str) -> dict:
    """The manifest's word on a method's training on a -> b."""
    return pack.manifest["trainings"][json.loads(pack.files[pack.path_of(method)])["fingerprints"]["train"]]


def forget_parent(pack: Tampered) -> None:
    """Source-only's records and training are gone, though fine-tune starts there."""
    del pack.manifest["trainings"][training_of(pack, "fine-tune")["parent"]]


def rename(pack: Tampered) -> None:
    """The record of dacs under another method's name."""
    for ending in ("json", "npz"):
        name = pack.path_of("dacs", ending=ending)
        contents = pack.files.pop(name)
        del pack.manifest["files"][name]
        pack.put(name.replace("/dacs/", "/mine/"), contents)


def take_name(pack: Tampered) -> None:
    """Their row in another's name, folder and all."""
    pack.record("their-net", lambda r: r.update(method="our-net"))
    for ending in ("json", "npz"):
        name = pack.path_of("their-net", ending=ending)
        del pack.manifest["files"][name]
        pack.put(name.replace("their-net", "our-net"), pack.files.pop(name))


def show(pack: Tampered) -> None:
    """A panel of a suite that may not be shown."""
    pack.put(pack.path_of("dacs").replace(".json", ".png"), b"picture")


def change(*path: str, to) -> Callable[[Tampered], None]:
    """Set one value in the record of dacs on a -> b."""

    def apply(pack: Tampered) -> None:
        def set_value(record: dict) -> None:
            for key in path[:-1]:
                record = record[key]
            record[path[-1]] = to

        pack.record("dacs", set_value)

    return apply


def in_files(name: str, *, link: bool = False) -> Callable[[Tampered], None]:
    """Add a member of that name, and name it in the manifest."""

    def apply(pack: Tampered) -> None:
        pack.put(name, b"x")
        pack.links += [name] if link else []

    return apply


SPOILS = {
    "a changed byte": (
        lambda p: p.files.update({p.path_of("dacs"): p.files[p.path_of("dacs")] + b" "}),
        "is not the file that the manifest names; its hash differs",
    ),
    "a file is missing": (
        lambda p: p.files.pop(p.path_of("dacs", ending="npz")),
        ".npz is missing; get the pack again",
    ),
    "a file too many": (lambda p: p.files.update({"records/toy/more.json": b"{}"}), "more.json is not in the manifest"),
    "no place for it": (in_files("records/toy/more.json"), "'records/toy/more.json' is no record and nothing that"),
    "nobody leans on it": (
        in_files("records/toy/dacs/a--b/s7-01234567.npz"),
        "s7-01234567.npz: no record of the pack leans on it",
    ),
    "an absolute name": (in_files("/etc/cron.d/x"), "'/etc/cron.d/x' would be written outside the project"),
    "a name with ..": (in_files("records/toy/../../../x"), "'records/toy/../../../x' would be written outside the"),
    "a name with backslashes": (in_files("records\\..\\x"), "would be written outside the project"),
    "a link": (in_files("records/toy/dacs/a--b/s7-01234567.npz", link=True), "is a link or a folder, no plain file"),
    "a newer schema": (lambda p: p.manifest.update(schema=2), "manifest.json: schema 2, known here is 1"),
    "an origin of two lines": (
        lambda p: p.manifest["origin"].update(who="lab A\ncertified"),
        "manifest.json: origin.who: Value error, expected one line",
    ),
    "a manifest with a gap": (lambda p: p.manifest.pop("locks"), "manifest.json: locks: Field required"),
    "no record": (lambda p: (p.files.clear(), p.manifest.update(files={})), "no record is in it"),
    "another learning rate": (change("settings", "training", "lr", to=0.5), "fingerprints.train is "),
    "another segmenter": (change("settings", "segmenter", "version", to=9), ": look at segmenter"),
    "another seed": (change("seed", to=3), "by its contents it belongs to records/toy/dacs/a--b/s3-"),
    "another size": (change("protocol", "inference", "size", to=64), "fingerprints.predict is "),
    "other classes scored": (change("protocol", "scoring", "absent", to="field"), "fingerprints.score is "),
    "a setting that saw less": (
        change("setting", to="source"),
        "its training saw other data than setting 'source' grants on a->b",
    ),
    "another split told": (
        lambda p: training_of(p, "dacs")["source"][0].update(split="val"),
        ": look at source",
    ),
    "no training told": (
        lambda p: p.manifest.update(trainings={}),
        "the manifest says nothing of its training",
    ),
    "no parent told": (forget_parent, "it starts from training "),
    "another parent": (
        lambda p: p.manifest["trainings"][training_of(p, "fine-tune")["parent"]].update(seed=5),
        "fingerprints.train of the run it starts from is ",
    ),
    "pixels of another truth": (lambda p: counts(p, moved), "pixels of ground, the lock here"),
    "an image less": (
        lambda p: counts(p, lambda c: c[:1]),
        "the confusion is of 1 images, the lock here has 2 of b val",
    ),
    "a better score": (change("scores", "miou", to=0.99), "scores.miou: recorded is 0.99, the confusion gives 0."),
    "a better class": (change("scores", "iou", "thing", to=0.99), "scores.iou: recorded is {"),
    "a score more": (
        change("scores", "mean_dice", to=0.99),
        "scores.mean_dice: recorded is 0.99, the confusion gives None",
    ),
    "another confusion": (
        change("confusion", "sha256", to="0" * 64),
        "is not the confusion whose hash the record names",
    ),
    "no record's contents": (change("protocol", to={"name": "tiny"}), "no whole record (KeyError"),
    "an invalid record": (change("scores", "miou", to=7), "no valid record: scores.miou"),
    "another method's folder": (rename, "by its contents it belongs to records/toy/dacs/a--b/"),
    "an entered row of other rules": (
        lambda p: p.record("their-net", lambda r: r["scored_as"].update(kept=["sky"])),
        "scored_as is not what its protocol and the lock here give: look at kept",
    ),
    "an entered row with a broken print": (
        lambda p: p.record(
            "their-net", lambda r: r["fingerprints"].update(score=r["fingerprints"]["score"][:-1] + "x")
        ),
        "no valid record: fingerprints.score",
    ),
    "an entered row under another name": (take_name, "fingerprints.score is "),
    "an entered row of another metric": (
        lambda p: p.record("their-net", lambda r: r["scored_as"].update(versions={"metric": 99})),
        "fingerprints.score is ",
    ),
    "images that may not be shown": (show, "shows images of suite toy, which may not be handed on"),
    "another lock's images": (
        lambda p: p.manifest["locks"]["toy"]["splits"]["b--val"].update(images="0" * 64),
        "suite toy: b val: other images are locked here",
    ),
    "a split of nobody's": (
        lambda p: p.manifest["locks"]["toy"]["splits"].pop("b--val"),
        "it leans on b--val, of which the manifest's lock says nothing",
    ),
    "another suite": (
        lambda p: p.manifest["locks"].update(toys=p.manifest["locks"].pop("toy")),
        "suite 'toys' is not among the settings in force; did you mean 'toy'?",
    ),
}


@pytest.mark.parametrize("case", SPOILS)
def test_a_tampered_pack_is_refused_whole(case, pack, receiver, tmp_path, capsys):
    """Exit code 2, the reason in one line, and not a file or folder more than before."""
    spoil, message = SPOILS[case]
    before = tree(receiver)
    spoil(pack)
    path = pack.write(tmp_path / "bad.zip")
    assert main(["import-records", str(path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert any(message in line for line in errors), errors
    assert all(line.startswith(f"xdseg: {path}: ") for line in errors)
    assert tree(receiver) == before and not [p for p in tmp_path.iterdir() if p not in (path, receiver)]


def test_the_untampered_pack_is_not_refused(pack, receiver, tmp_path):
    """So it is the tampering that the test above sees, and not the writing anew."""
    assert main(["import-records", str(pack.write(tmp_path / "good.zip"))]) == 0


def test_every_reason_has_its_line(pack, receiver, tmp_path, capsys):
    """Two faults in two records are both told."""
    pack.record("dacs", lambda r: r["scores"].update(miou=0.99, pixel_accuracy=0.99))
    pack.record("oracle", lambda r: r["settings"]["training"].update(lr=0.5))
    assert main(["import-records", str(pack.write(tmp_path / "bad.zip"))]) == 2
    errors = capsys.readouterr().err
    for part in ("/dacs/", "scores.miou", "scores.pixel_accuracy", "/oracle/", "look at training"):
        assert part in errors
    assert len(errors.splitlines()) == 3


def test_data_that_changed_here(sender, receiver, pack, tmp_path, monkeypatch, capsys):
    """Another label on this machine is another lock, and the pack's number is not about it."""
    shutil.copytree(sender.parent / "data", tmp_path / "own")
    monkeypatch.setenv("XDSEG_DATA", str(tmp_path / "own"))
    data_root.cache_clear()
    label = tmp_path / "own/toy/b/labels/04.png"
    ids = np.array(Image.open(label))
    ids[-1, -1] = 1
    Image.fromarray(ids).save(label)
    assert main(["prepare", "toy"]) == 0
    capsys.readouterr()
    path = pack.write(tmp_path / "pack.zip")
    assert main(["import-records", str(path)]) == 2
    assert capsys.readouterr().err == f"xdseg: {path}: suite toy: b val: other labels are locked here\n"
    assert not Path("records").exists()


def test_a_record_here_that_differs(sender, receiver, capsys):
    """One's own run of the same cell is not overwritten, and nothing of the pack is taken beside it."""
    path = next(Path(sender / "records/toy/dacs/a--b").glob("*.json")).relative_to(sender)
    path.parent.mkdir(parents=True)
    own = json.loads((sender / path).read_text())
    own["costs"]["train_seconds"] = 1.0
    path.write_text(json.dumps(own))
    before = tree(receiver)
    assert main(["import-records", str(sender.parent / "pack.zip")]) == 2
    assert f"{path}: another record of this cell is here already; keep one of the two" in capsys.readouterr().err
    assert tree(receiver) == before


@pytest.mark.parametrize(
    ("contents", "message"),
    [(None, "no such pack"), (b"PK", "not a readable pack"), (b"", "not a readable pack")],
)
def test_what_is_no_pack(receiver, tmp_path, capsys, contents, message):
    """A missing, a broken and an empty file."""
    path = tmp_path / "pack.zip"
    if contents is not None:
        path.write_bytes(contents)
    assert main(["import-records", str(path)]) == 2
    assert f"{path}: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toy", "out.zip", "--origin", " "], "--origin ' ': one line of 1 to 120 characters"),
        (["toy", "out.zip", "--origin", "a\nb"], "one line of 1 to 120 characters"),
        (["toys", "out.zip", "--origin", "me"], "toys: no preset builds this board"),
        (["none.yaml", "out.zip", "--origin", "me"], "none.yaml: no such file"),
        (["toy", "out.zip", "--origin", "me"], "no committed record of toy"),
    ],
)
def test_what_cannot_be_exported(receiver, capsys, arguments, message):
    """Said in a line, and nothing is written."""
    before = tree(receiver)
    assert main(["export-records", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert tree(receiver) == before


def test_a_record_that_does_not_hold_is_not_exported(sender, receiver, tmp_path, capsys):
    """What the receiver would refuse is refused where it can be mended."""
    shutil.copytree(sender / "records", "records")
    path = next(Path("records/toy/dacs/a--b").glob("*.json"))
    record = json.loads(path.read_text())
    record["scores"]["miou"] = 0.99
    path.write_text(json.dumps(record))
    assert main(["export-records", "toy", str(tmp_path / "out.zip"), "--origin", "me"]) == 2
    assert f"{path}: scores.miou: recorded is 0.99" in capsys.readouterr().err
    assert not (tmp_path / "out.zip").exists()


def test_presets_name_their_boards(sender, receiver, tmp_path, capsys):
    """A preset's file, or the board that one preset builds; its grid decides which records go."""
    shutil.copytree(sender / "records", "records")
    folder = Path("pipeline/presets")
    folder.mkdir(parents=True)
    (folder / "few.yaml").write_text(yaml.safe_dump({"grid": {"board": "few", "methods": ["oracle", "source-aug"]}}))
    for name in ("few", "pipeline/presets/few.yaml"):
        assert main(["export-records", name, str(tmp_path / "out.zip"), "--origin", "me"]) == 0
        said = capsys.readouterr().out
        assert "few: 2 of 4 cells have no committed record" in said and "3 records" in said
    (folder / "too.yaml").write_text(yaml.safe_dump({"grid": {"board": "few"}}))
    assert main(["export-records", "few", str(tmp_path / "out.zip"), "--origin", "me"]) == 2
    assert "few.yaml, pipeline/presets/too.yaml are presets of this board" in capsys.readouterr().err


def test_panels_travel_where_images_may(sender, receiver, tmp_path):
    """Where the suite allows it, the panel of a cell and the strips of its target go along, and arrive."""
    settings = config()
    settings["suites"]["toy"]["redistribute"] = True
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    shutil.copytree(sender / "records", "records")
    cell = next(cell for cell in Plan(parse(settings)).cells if cell.method == "dacs" and cell.pair.target == "b")
    from xdseg.panels import TargetStrips, panel_of

    path, strips = Path("records") / cell.record_name, TargetStrips.of(Path("records"), cell.context, "b")
    strips.images.parent.mkdir()
    for number, file in enumerate((panel_of(path), strips.images, strips.truth)):
        file.write_bytes(bytes([number]))
    record = json.loads(path.read_text()) | {
        "panel": {"sha256": file_digest(panel_of(path)), "names": [], "widths": []}
    }
    path.write_text(json.dumps(record))
    before = tree(receiver / "records")
    assert main(["export-records", "toy", str(tmp_path / "out.zip"), "--origin", "me"]) == 0
    shutil.rmtree("records")
    assert main(["import-records", str(tmp_path / "out.zip")]) == 0
    after = tree(receiver / "records")
    assert {k: v for k, v in after.items() if k[-4:] != "json"} == {k: v for k, v in before.items() if k[-4:] != "json"}
    assert len([name for name in after if name.endswith((".png", ".jpg"))]) == 3


def test_the_committed_records_hold(tmp_path, monkeypatch, capsys):
    """This repository's own pass, and a pixel too many does not, though only the sum of generated ones is locked."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    path = tmp_path / "pack.zip"
    assert main(["export-records", "streetworld", str(path), "--origin", "me"]) == 0
    assert "cells have no committed record" not in capsys.readouterr().out
    tampered = Tampered(path)
    name = tampered.path_of("source-only", "clear--night", ending="npz")
    scratch = tmp_path / "scratch.npz"
    scratch.write_bytes(tampered.files[name])
    names, per_image = load_confusion(scratch)
    per_image[0, 0, 0] += 1
    save_confusion(scratch, names, per_image)
    tampered.put(name, scratch.read_bytes())
    record = json.loads(tampered.files[name.replace(".npz", ".json")])
    record["confusion"]["sha256"] = file_digest(scratch)
    tampered.put(name.replace(".npz", ".json"), json.dumps(record).encode())
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert main(["import-records", str(tampered.write(path))]) == 2
    assert "the confusion has 3,072,001 pixels, the lock here 3,072,000 of night val" in capsys.readouterr().err
    assert not Path("records").exists()


def test_pixels_of_public_labels_are_counted_by_class(tmp_path):
    """The lock has raw ids: 7 and 8 are ground, 11 is sky, 0 is not scored; by hand 10 + 5 and 4 pixels."""
    table = np.full(256, 255, np.uint8)
    table[[7, 8, 11]] = 0, 0, 1
    split = SimpleNamespace(labelled=True)
    layout = SimpleNamespace(
        name="toy",
        classes=("ground", "sky"),
        settings=SimpleNamespace(domains={"one": None}),
        splits=lambda domain: {"val": split},
        entry=lambda domain: SimpleNamespace(dataset="d", part=None),
        table=lambda domain: table,
    )
    entry = {
        "dataset": "d",
        "part": None,
        "splits": {"val": {"count": 1, "images": "", "labelled": True, "pixels": 22}},
    }
    contents = {"schema": 1, "suite": "toy", "kind": "public", "domains": {"one": entry}}
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy.json").write_text(json.dumps(contents))
    labels = {"digest": "", "ids": {"7": 10, "8": 5, "11": 4, "0": 3}}
    (tmp_path / "toy/one--val.labels.json").write_text(json.dumps(labels))
    assert PublicLock(tmp_path / "toy.json", layout).truth_counts("one", "val") == (15, 4)
