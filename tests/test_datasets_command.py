"""`xdseg datasets` and `xdseg published` as typed: whole data sets, every deviation once, and odd arguments."""

# ruff: noqa: F401, F811 (fixtures are imported)

import dataclasses
import hashlib
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from public_project import said

from xdseg.data.prepare_public import MOST_FAULTS
from xdseg.datasets.contract import PublishedList
from xdseg.datasets.registry import NAMES, dataset
from xdseg.published import read

SIZE = (48, 64)
TEST_IMAGE = "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png"


def published_small(monkeypatch: pytest.MonkeyPatch, name: str, root: Path, *, count: int = 3) -> dict[str, int]:
    """A miniature below `root`, and the data set declared to be of that many images of that size; counts by split.

    The lists that papers share become the first two names of what they select from.
    """
    written = import_module(f"miniatures.{name}").write(root, count=count, size=SIZE)
    source, splits = dataset(name), {}
    for split, declared in source.splits.items():
        if declared.listed:
            names = [item for whole in declared.within for item in written[whole, None]][:2]
            text = "".join(f"{item}\n" for item in names)
            (root / f"{split}.txt").write_text(text)
            listed = PublishedList(2, hashlib.sha256(text.encode()).hexdigest(), "somebody's")
            splits[split] = dataclasses.replace(declared, count=2, listed=listed)
        else:
            parts = {part: len(written[split, part]) for part in source.parts} if source.parts else None
            parts = parts if isinstance(declared.count, dict) else None
            splits[split] = dataclasses.replace(declared, count=parts or len(written[split, None]))
    shapes = {image.shape[:2] for items in written.values() for image, _ in items.values()}
    small = dataclasses.replace(source, splits=splits, shapes=frozenset(shapes) if source.shapes else source.shapes)
    monkeypatch.setattr(f"xdseg.datasets.{name}.DATASET", small)
    return {split: sum(s.count.values()) if isinstance(s.count, dict) else s.count for split, s in splits.items()}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty current folder."""
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_data_set_is_as_published(here, monkeypatch, said, name):
    """No deviation, exit code 0, and a line per split with images, labels and sizes; only the ledger is written."""
    counts = published_small(monkeypatch, name, here / "set")
    code, lines = said("datasets", "check", name, "--root", "set")
    assert code == 0, lines
    assert lines[-1] == "set: as published" and len(lines) == len(counts) + 1
    for line, (split, count) in zip(lines, counts.items(), strict=False):
        labels = count if dataset(name).splits[split].labelled else 0
        assert line.startswith(f"{name} {split}: {count} of {count} images, {labels} labels; "), line
    assert sorted(path.name for path in here.iterdir()) == ["results", "set"]
    assert [path.name for path in (here / "results").rglob("*") if path.is_file()] == [f"check-{name}.json"]


@pytest.fixture
def cityscapes(here, monkeypatch) -> Path:
    """A whole Cityscapes of three images a split; its root."""
    published_small(monkeypatch, "cityscapes", here / "set")
    return (here / "set").resolve()


def checked(said) -> list[str]:
    """Lines of a check of Cityscapes that must fail; the closing one counts the others."""
    code, lines = said("datasets", "check", "cityscapes", "--root", "set")
    assert code == 2
    count = len(lines) - 1
    assert lines[-1] == f"set: {count} deviation{'s' * (count > 1)} from Cityscapes as published"
    return lines[:-1]


def frame(root: Path, split: str, number: int, kind: str = "gtFine_labelIds") -> Path:
    """A file of the miniature, by split and position."""
    city = {"train": "aachen", "val": "frankfurt", "test": "berlin"}[split]
    folder = "leftImg8bit" if kind == "leftImg8bit" else "gtFine"
    return root / folder / split / city / f"{city}_{number // 2:06d}_{19 + number:06d}_{kind}.png"


def test_one_of_each_kind(cityscapes, said):
    """Seven things wrong in seven places are seven lines, each said once and of its file alone."""
    frame(cityscapes, "train", 0).unlink()
    cut = frame(cityscapes, "train", 1)
    cut.write_bytes(cut.read_bytes()[:-40])
    Image.new("RGB", (64, 48)).save(frame(cityscapes, "train", 2))
    Image.fromarray(np.full(SIZE, 40, np.uint8)).save(frame(cityscapes, "val", 0))
    Image.fromarray(np.full((48, 60), 7, np.uint8)).save(frame(cityscapes, "val", 1))
    frame(cityscapes, "test", 0, "leftImg8bit").unlink()
    Image.new("RGB", (32, 24)).save(frame(cityscapes, "test", 1, "leftImg8bit"))
    lines = checked(said)
    expected = {
        f"{frame(cityscapes, 'train', 0)}: missing; extract the labels' archive in full",
        f"{frame(cityscapes, 'train', 2)}: a label of 3 channels; save class ids as one 8-bit channel",
        f"{frame(cityscapes, 'val', 0)}: id 40, which Cityscapes does not define; "
        "fetch the file with the published ids again",
        f"{frame(cityscapes, 'val', 1)}: another size than its image (image 64x48, label 60x48); "
        "they must agree pixel by pixel",
        f"{frame(cityscapes, 'test', 1, 'leftImg8bit')}: 32x24, Cityscapes has 64x48",
    }
    assert expected <= set(lines) and len(lines) == len(set(lines)) == 7
    (broken,) = (line for line in lines if line.startswith(f"{cut}: "))
    assert "broken or cut short" in broken
    assert any("2 images of test, Cityscapes has 3; extract all archives again" in line for line in lines)


def test_every_deviation_is_listed(here, monkeypatch, said):
    """Of each kind more than `prepare` would spell out: a check leaves none out."""
    many = MOST_FAULTS + 5
    published_small(monkeypatch, "cityscapes", here / "set", count=many)
    root = (here / "set").resolve()
    for number in range(many):
        frame(root, "train", number).unlink()
        Image.fromarray(np.full(SIZE, 40, np.uint8)).save(frame(root, "val", number))
        Image.new("RGB", (32, 24)).save(frame(root, "test", number, "leftImg8bit"))
    lines = checked(said)
    assert len(lines) == 3 * many and not any("more like" in line for line in lines)
    named = {line.partition(": ")[0] for line in lines}
    wrong = (("train", "gtFine_labelIds"), ("val", "gtFine_labelIds"), ("test", "leftImg8bit"))
    assert named == {str(frame(root, split, number, kind)) for split, kind in wrong for number in range(many)}


def test_images_without_labels_are_counted_as_images(cityscapes, capsys, said):
    """The line of the split tells images from labels."""
    frame(cityscapes, "val", 1).unlink()
    from xdseg.cli import main

    assert main(["datasets", "check", "cityscapes", "--root", "set"]) == 2
    assert "cityscapes val: 3 of 3 images, 2 labels; 64 x 48 (2)" in capsys.readouterr().out


def test_splits_that_are_absent(cityscapes, said):
    """Nobody must have all splits: those that are not there are named as not checked, and are no deviation."""
    shutil.rmtree(cityscapes / "leftImg8bit/train")
    shutil.rmtree(cityscapes / "leftImg8bit/test/berlin")
    code, lines = said("datasets", "check", "cityscapes", "--root", "set")
    assert code == 0
    assert lines == [
        f"cityscapes train: not checked, {cityscapes}/leftImg8bit/train: no such folder",
        "cityscapes val: 3 of 3 images, 3 labels; 64 x 48 (3)",
        "cityscapes test: not checked, no image of it is there",
        "set: as published",
    ]


def test_labels_whose_archive_is_absent(cityscapes, said):
    """Images without any label folder are a deviation, not an absent split."""
    shutil.rmtree(cityscapes / "gtFine/val")
    assert checked(said) == [
        f"{cityscapes}/gtFine/val: no such folder, though {cityscapes}/leftImg8bit/val is there; "
        "extract the labels' archive too"
    ]


def test_lists(here, monkeypatch, said):
    """A list that is not there leaves its split unchecked; one that is not the published one is a deviation."""
    published_small(monkeypatch, "gta5", here / "set")
    root = (here / "set").resolve()
    (root / "train.txt").unlink()
    (root / "val.txt").write_text("00001\n")
    code, lines = said("datasets", "check", "gta5", "--root", "set")
    assert code == 2 and len(lines) == 2
    assert lines[0].startswith(f"{root}/val.txt: not the published val (1 lines, SHA-256 ")
    (root / "val.txt").unlink()
    code, lines = said("datasets", "check", "gta5", "--root", "set")
    assert code == 0 and lines[-1] == "set: as published"
    assert lines[1] == f"gta5 train: not checked, {root}/train.txt: missing or not UTF-8"


def test_a_part_alone(here, monkeypatch, said):
    """Who has one condition checks that one; its images are counted as that part's."""
    published_small(monkeypatch, "acdc", here / "set")
    for condition in ("fog", "rain", "snow"):
        shutil.rmtree(here / "set/rgb_anon" / condition)
    code, lines = said("datasets", "check", "acdc", "--root", "set", "--part", "night")
    assert code == 0 and lines[0].startswith("acdc train: 3 of 3 images, 3 labels; ")
    code, lines = said("datasets", "check", "acdc", "--root", "set")
    fog = (here / "set").resolve() / "rgb_anon/fog"
    splits = ("train", "val", "test", "train_ref", "val_ref", "test_ref")
    missing = [f"{fog / split}: no such folder; extract the data set there, or mend its root" for split in splits]
    assert (code, lines) == (2, [*missing, "set: 6 deviations from ACDC as published"]), "half of it is not all of it"


def test_checking_again_opens_nothing_but_finds_what_changed(cityscapes, said, monkeypatch):
    """The second check rests on the first; a changed file is seen, and so is one with its old time."""
    assert said("datasets", "check", "cityscapes", "--root", "set")[0] == 0
    looked = []
    monkeypatch.setattr("xdseg.data.ledger.look", lambda errand: looked.append(errand.path))
    assert said("datasets", "check", "cityscapes", "--root", "set")[0] == 0
    assert looked == []
    monkeypatch.undo()


ODD = {
    "unknown data set": (["cityscape"], "unknown data set 'cityscape'; did you mean 'cityscapes'?"),
    "unknown data set to check": (["check", "gta", "--root", "."], "unknown data set 'gta'; did you mean 'gta5'?"),
    "no root": (["check", "gta5"], "datasets: xdseg datasets [NAME], or xdseg datasets check NAME --root DIR"),
    "no name": (["check", "--root", "."], "datasets: xdseg datasets [NAME], or xdseg datasets check NAME --root DIR"),
    "two names": (["gta5", "kitti"], "datasets: xdseg datasets [NAME], or xdseg datasets check NAME --root DIR"),
    "root without check": (
        ["gta5", "--root", "."],
        "datasets: xdseg datasets [NAME], or xdseg datasets check NAME --root DIR",
    ),
    "root that is not there": (
        ["check", "gta5", "--root", "no"],
        "no: no such folder; --root names what GTA5 (Playing for Data) was extracted to",
    ),
    "root that is a file": (
        ["check", "gta5", "--root", "file"],
        "file: no such folder; --root names what GTA5 (Playing for Data) was extracted to",
    ),
    "unknown part": (
        ["check", "acdc", "--root", ".", "--part", "fogg"],
        "datasets: --part: ACDC has no 'fogg'; did you mean 'fog'?",
    ),
    "part of what has none": (
        ["check", "gta5", "--root", ".", "--part", "fog"],
        "datasets: --part: GTA5 (Playing for Data) has no 'fog'; known are none",
    ),
}


@pytest.mark.parametrize(("arguments", "line"), ODD.values(), ids=ODD.keys())
def test_odd_arguments(here, said, arguments, line):
    """One line that says what to write instead, exit code 2, nothing written."""
    (here / "file").write_text("")
    assert said("datasets", *arguments) == (2, [line])
    assert [path.name for path in here.iterdir()] == ["file"]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_root(here, said, name):
    """No split is there: what should lie below the root, in the layout that the list of data sets shows."""
    code, lines = said("datasets", "check", name, "--root", ".")
    assert code == 2
    shown = said("datasets", name)[1]
    if lines[0].startswith(".: no split of"):
        assert [f"            {line}" for line in lines[1:]] == [line for line in shown if line.startswith(" " * 12)]
    else:
        assert all(" is there; extract the data set, or mend its root" in line for line in lines[:-1])


def pairs_of(lines: list[str]) -> set[tuple[str, str]]:
    """Source and target of the tables that `published` prints."""
    return {tuple(line.split(" -> ")) for line in lines if " -> " in line}


def test_a_pair_with_an_open_side(said):
    """`->TARGET` begins as an option does and is a pair all the same; `->` and nothing mean every pair."""
    every = {(row.source, row.target) for row in read()}
    code, lines = said("published", "->dark_zurich")
    assert code == 0 and pairs_of(lines) == {pair for pair in every if pair[1] == "dark_zurich"} != set()
    code, lines = said("published", "gta5->", "--unconfirmed")
    assert code == 0 and pairs_of(lines) == {(r.source, r.target) for r in read(unconfirmed=True) if r.source == "gta5"}
    assert said("published", "->", "--csv") == said("published", "--csv")
    assert said("published", "--setting", "dg", "->bdd100k", "--csv")[1][1:] != []


def test_a_pair_typed_otherwise(said):
    """Blanks around the arrow, and sources in another order."""
    plain = said("published", "gta5->cityscapes", "--csv")
    assert plain[0] == 0 and len(plain[1]) > 10
    assert said("published", " gta5 -> cityscapes ", "--csv") == plain
    joint = said("published", "gta5+synthia->cityscapes", "--csv", "--unconfirmed")
    assert joint[0] == 0 and said("published", "synthia+gta5->cityscapes", "--csv", "--unconfirmed") == joint


def test_joint_sources_stand_in_one_order():
    """What the command puts in order, the table has in order."""
    sources = {row.source for row in read(unconfirmed=True)}
    assert sources == {"+".join(sorted(source.split("+"))) for source in sources}


ODD_PAIRS = {
    "unquoted": (["gta5-"], "published: 'gta5-' is no pair; write SOURCE->TARGET, SOURCE-> or ->TARGET, in quotes"),
    "two arrows": (
        ["gta5->cityscapes->acdc"],
        "published: no result has the target 'cityscapes->acdc'; did you mean 'cityscapes'?",
    ),
    "two pairs": (["gta5->", "->acdc"], "published: 'gta5->' and '->acdc' are two pairs; name one"),
    "misspelt target": (["->cityscape"], "published: no result has the target 'cityscape'; did you mean 'cityscapes'?"),
    "misspelt setting": (["--setting", "UDA"], "published: no setting 'UDA'; known are dg, oracle, source-only, uda"),
    "empty setting": (["--setting", ""], "published: no setting ''; known are dg, oracle, source-only, uda"),
    "markup": (["[red]->cityscapes"], "published: no result has the source '[red]'; known are "),
    "nothing in a setting": (
        ["gta5->cityscapes", "--setting", "oracle"],
        "published: no result of gta5->cityscapes in the setting oracle; leave one of them out",
    ),
}


@pytest.mark.parametrize(("arguments", "line"), ODD_PAIRS.values(), ids=ODD_PAIRS.keys())
def test_odd_pairs(said, arguments, line):
    """Each ends with exit code 2 and one line that says what there is."""
    code, lines = said("published", *arguments)
    assert code == 2 and len(lines) == 1 and lines[0].startswith(line), lines
