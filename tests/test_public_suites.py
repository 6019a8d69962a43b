"""`xdseg prepare` and what follows it on public data sets: every fault in a line, nothing written while any is left."""

# ruff: noqa: F401, F811 (fixtures are imported)

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as theirs
from conftest import ROOT
from PIL import Image
from public_project import SUITE, Mini, fault, make_mini, mini_config, said, urban, write_split_free
from test_leaks import AUDITED, stage

from xdseg.canonical import short
from xdseg.cells import Context
from xdseg.cli import main
from xdseg.data.cache_public import fill_from_public
from xdseg.data.inspection import IMAGE, LABEL, Errand, look
from xdseg.data.prepare_public import MOST_FAULTS, prepare_public
from xdseg.data.public import public_layout
from xdseg.data.public_lock import PublicLock
from xdseg.data.store import FileStore, PixelStore, open_store
from xdseg.datasets.cityscapes import SCORED
from xdseg.datasets.contract import PublishedList
from xdseg.datasets.registry import NAMES, dataset
from xdseg.errors import BadInput
from xdseg.files import file_digest
from xdseg.grid import expand
from xdseg.merging import merge
from xdseg.params import parse
from xdseg.settings.suites import PublicDomain, PublicSuite
from xdseg.workflow import cache_path

VAL = "cityscapes/leftImg8bit/val/frankfurt/frankfurt_000000_0000{}_leftImg8bit.png"
TRUTH = "cityscapes/gtFine/val/frankfurt/frankfurt_000000_0000{}_gtFine_labelIds.png"


def ids(size: tuple[int, int] = (48, 64), raw: int = 7) -> Image.Image:
    """A label of one raw id, (H, W)."""
    return Image.fromarray(np.full(size, raw, np.uint8))


def flip(path: Path, place: int) -> None:
    """Change one byte of a file; a negative place counts from its end."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(bytes(data))


def flip_unseen(path: Path) -> None:
    """Change one byte of a PNG such that it decodes without a word, to other values."""
    data, before = path.read_bytes(), np.array(Image.open(path))
    for place in range(len(data) - 30, 0, -1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            if (np.array(Image.open(path)) != before).any():
                return
        except (OSError, SyntaxError, ValueError):
            continue
    raise AssertionError("every change of a byte is noticed by the decoder")


def test_a_whole_tree_is_locked(urban, said):
    """The lock holds the splits that the grid needs; a second look says that nothing changed."""
    assert said("prepare", SUITE) == (0, ["data/locks/mini.json: written"])
    domains = json.loads(Path("data/locks/mini.json").read_text())["domains"]
    assert {name: sorted(entry["splits"]) for name, entry in domains.items()} == {
        "cityscapes": ["train", "val"],
        "gta5": ["full"],
    }
    assert said("prepare", SUITE) == (0, ["data/locks/mini.json: unchanged"])


def test_a_root_that_is_missing(urban, fault):
    """Once, though two splits lie below it; with the three ways to say where it is."""
    (urban.data / "cityscapes").rename(urban.data / "elsewhere")
    assert fault() == (
        f"{urban.data}/cityscapes: no such folder; extract Cityscapes there, "
        "or set suites.mini.domains.cityscapes.root or XDSEG_DATA"
    )
    urban.domain("cityscapes", root="elsewhere")
    assert main(["prepare", SUITE]) == 0


def test_none_of_the_roots_is_there(urban, fault, said):
    """Without named pairs an absent data set is left out with a line; if all are, that is a fault."""
    urban.change(grid={"pairs": "all"})
    (urban.data / "gta5").rename(urban.data / "away")
    assert said("prepare", SUITE)[1][0] == f"gta5: left out, {urban.data}/gta5 does not exist"
    (urban.data / "cityscapes").rename(urban.data / "too")
    line = fault()
    assert line.startswith("mini: none of its data sets is there (") and line.endswith("set XDSEG_DATA or their roots")


def test_images_that_a_broken_download_left_out(urban, fault):
    """Fewer images than published: both numbers, and what to write where that is meant."""
    (urban.data / "gta5/images/00002.png").unlink()
    assert fault() == (
        f"{urban.data}/gta5: 2 images of full, GTA5 (Playing for Data) has 3; extract all archives again, "
        "or say counts: {full: 2} of gta5 in params.yaml if you mean it"
    )
    urban.domain("gta5", counts={"full": 2})
    assert main(["prepare", SUITE]) == 0


def test_cities_that_are_missing(urban, fault):
    """A training folder without some of its cities is too few images."""
    counts = write_split_free(urban.data, "cityscapes", count=3, size=(16, 32))
    train = urban.data / "cityscapes/leftImg8bit/train"
    shutil.copytree(train / "aachen", train / "bochum")
    labels = urban.data / "cityscapes/gtFine/train"
    shutil.copytree(labels / "aachen", labels / "bochum")
    for path in [*(train / "bochum").iterdir(), *(labels / "bochum").iterdir()]:
        path.rename(path.with_name(path.name.replace("aachen", "bochum")))
    urban.domain("cityscapes", counts={**counts, "train": 6})
    assert main(["prepare", SUITE]) == 0
    shutil.rmtree(train / "aachen")
    assert "3 images of train, Cityscapes has 6; extract all archives again" in fault()


def test_a_label_folder_that_is_missing(urban, fault):
    """The archive of labels was not extracted: the folder, and where its images are."""
    shutil.rmtree(urban.data / "cityscapes/gtFine/val")
    assert fault() == (
        f"{urban.data}/cityscapes/gtFine/val: no such folder, though {urban.data}/cityscapes/leftImg8bit/val is there; "
        "extract the labels' archive too"
    )


@pytest.mark.parametrize(("gone", "many"), [((20,), ""), ((19, 20), ", as are 2 labels of val in all")])
def test_some_labels_that_are_missing(urban, fault, gone, many):
    """The first is named and all are counted; nothing else is said of their images."""
    for number in gone:
        (urban.data / TRUTH.format(number)).unlink()
    first = urban.data / TRUTH.format(gone[0])
    assert fault() == f"{first}: missing{many}; extract the labels' archive in full"


def test_an_image_and_a_label_of_two_sizes(urban, fault):
    """Both sizes, width before height."""
    ids((48, 62)).save(urban.data / "gta5/labels/00001.png")
    assert fault() == (
        f"{urban.data}/gta5/labels/00001.png: another size than its image (image 64x48, label 62x48); "
        "they must agree pixel by pixel"
    )


COLOUR = {
    "gta5": ("gta5", "labels/00001.png", "full"),
    "cityscapes": ("cityscapes", "gtFine/val/frankfurt/frankfurt_000000_000019_gtFine_labelIds.png", "val"),
    "bdd100k": ("bdd100k", "labels/sem_seg/masks/val/*.png", "val"),
}


@pytest.mark.parametrize("name", COLOUR)
def test_a_label_in_colours(tmp_path, data, monkeypatch, fault, name):
    """Where ids are due a picture of the label is refused, by its file and kind."""
    monkeypatch.chdir(tmp_path)
    make_mini(tmp_path / "project", data, (name,), pairs="all").change(
        protocols={"tiny": {"train_split": "full", "eval_split": "val"}}
    )
    path = sorted((data / name).glob(COLOUR[name][1]))[0]
    Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save(path)
    assert fault() == f"{path}: a label of 3 channels; save class ids as one 8-bit channel"


def test_ids_of_another_release(tmp_path, data, monkeypatch, fault):
    """Mapillary's v2.0 goes up to 123: file, ids and what they are not, in place of pixels silently ignored."""
    monkeypatch.chdir(tmp_path)
    make_mini(tmp_path / "project", data, ("mapillary",), pairs="all")
    path = sorted((data / "mapillary/validation/v1.2/labels").glob("*.png"))[1]
    label = np.array(Image.open(path))
    label[0, :7] = 66, 70, 80, 90, 100, 110, 123
    Image.fromarray(label).save(path)
    assert fault() == (
        f"{path}: ids 66, 70, 80, 90, 100 and 2 more, which Mapillary Vistas does not define; "
        "fetch the file with the published ids again"
    )


def test_two_damaged_labels_among_thousands(urban, said):
    """1,000 images with their labels: the cut one and the one with a flipped byte are named, and no other.

    The flipped one decodes without a word, to other ids. The old lock stays as it was.
    """
    assert main(["prepare", SUITE]) == 0
    before = urban.locks
    noise = np.random.default_rng(0)
    images, labels = urban.data / "gta5/images", urban.data / "gta5/labels"
    for number in range(1000):
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).save(
            images / f"{number:05d}.png", compress_level=0
        )
        Image.fromarray(noise.integers(0, 35, (8, 8), np.uint8)).save(labels / f"{number:05d}.png", compress_level=0)
    cut_one, flipped = labels / "00404.png", labels / "00777.png"
    Image.new("RGB", (256, 256)).save(images / flipped.name)
    Image.fromarray(np.kron(noise.integers(0, 35, (16, 16)), np.ones((16, 16))).astype(np.uint8)).save(flipped)
    urban.domain("gta5", counts={"full": 1000})
    assert main(["prepare", SUITE]) == 0, "all are whole"
    whole = urban.locks
    assert whole != before
    cut_one.write_bytes(cut_one.read_bytes()[:-30])
    flip_unseen(flipped)
    code, lines = said("prepare", SUITE)
    assert code == 2 and len(lines) == 3
    assert lines[0].startswith(f"{cut_one}: broken or cut short") and lines[0].endswith("fetch it again")
    assert lines[1] == f"{flipped}: broken or cut short (a checksum of the PNG is wrong); fetch it again"
    assert lines[2] == "suite mini: 2 faults; no lock was written"
    assert urban.locks == whole


@pytest.mark.parametrize("reader", [f"cityscapes@1/{LABEL}", f"cityscapes@1/{IMAGE}"])
def test_no_byte_of_a_png_changes_unseen(tmp_path, reader):
    """Whichever byte is changed, and wherever the file is cut, looking at it gives a line that names it."""
    path = tmp_path / "one.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 34, (6, 5), np.uint8)).save(path)
    data = path.read_bytes()
    assert not look(Errand(path, reader)).fault
    spoilt = [data[:i] + bytes([data[i] ^ 4]) + data[i + 1 :] for i in range(len(data))]
    for wrong in [*spoilt, *(data[:end] for end in range(len(data)))]:
        path.write_bytes(wrong)
        assert look(Errand(path, reader)).fault.startswith(f"{path}: ")


def test_the_second_file_of_a_label_is_looked_at_too(tmp_path):
    """A flipped byte in the cup's map is found where the disc's is whole, though its pixels are read from both."""
    root = tmp_path / "drishti_gs"
    import_module("miniatures.drishti_gs").write(root, count=1, size=(256, 320))
    reader = dataset("drishti_gs")
    (item,) = reader.files(root, "train", None)
    (cup,) = reader.beside(item.label)
    flip_unseen(cup)
    errand = Errand(item.label, f"drishti_gs@1/{LABEL}", (cup,))
    assert look(errand).fault == f"{cup}: broken or cut short (a checksum of the PNG is wrong); fetch it again"


def test_a_damaged_image(urban, fault):
    """A PNG whose pixel data have a flipped bit: its checksum tells."""
    path = urban.data / VAL.format(19)
    flip(path, -100)
    assert fault() == f"{path}: broken or cut short (a checksum of the PNG is wrong); fetch it again"


def test_a_truncated_jpeg(tmp_path, data, monkeypatch, fault):
    """A photograph cut in half, whose header is whole."""
    monkeypatch.chdir(tmp_path)
    make_mini(tmp_path / "project", data, ("mapillary",), pairs="all")
    path = sorted((data / "mapillary/training/images").glob("*.jpg"))[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert fault().startswith(f"{path}: broken or cut short (image file is truncated")


def test_many_faults_of_a_kind_are_counted(urban, said):
    """Of 25 wrong files of a split twenty are spelt out and five counted."""
    counts = write_split_free(urban.data, "gta5", count=25, size=(8, 8))
    for path in (urban.data / "gta5/labels").glob("*.png"):
        ids((8, 8), 99).save(path)
    urban.domain("gta5", counts=counts)
    code, lines = said("prepare", SUITE)
    assert code == 2 and sum("id 99, which GTA5" in line for line in lines) == MOST_FAULTS == 20
    assert lines[-2] == f"{urban.data}/gta5: and 5 more like the last, of full"


WRONG_SETTINGS = {
    "unknown protocol": (
        {"grid": {"protocol": "tyni"}},
        "params: grid.protocol: unknown 'tyni'; known are tiny",
    ),
    "unknown split of a domain": (
        {"protocols": {"tiny": {"domains": {"cityscapes": {"eval_split": "vall"}}}}},
        "params: protocols.tiny.domains.cityscapes.eval_split: no split 'vall'; did you mean 'val'?",
    ),
    "unknown split of all": (
        {
            "protocols": {
                "tiny": {"train_split": "trian", "eval_split": "vall", "domains": {"gta5": {"train_split": None}}}
            }
        },
        "mini: none of its data sets has a split that protocols.tiny asks for (trian, vall); name its splits there",
    ),
    "unknown data set": (
        {"suites": {SUITE: {"domains": {"cityscapes": {"dataset": "cityscape"}}}}},
        "params: suites.mini.domains.cityscapes.dataset: unknown data set 'cityscape'; did you mean 'cityscapes'?",
    ),
    "unknown part": (
        {"suites": {SUITE: {"domains": {"fog": {"dataset": "acdc", "part": "foggy"}}}}},
        "params: suites.mini.domains.fog.part: ACDC has no 'foggy'; did you mean 'fog'?",
    ),
    "part of a data set without parts": (
        {"suites": {SUITE: {"domains": {"gta5": {"part": "fog"}}}}},
        "params: suites.mini.domains.gta5.part: GTA5 (Playing for Data) has no 'fog'; known are none",
    ),
    "unknown label map": (
        {"suites": {SUITE: {"domains": {"mapillary": {"dataset": "mapillary", "label_map": "mapilary-a"}}}}},
        "params: suites.mini.domains.mapillary.label_map: unknown 'mapilary-a'; did you mean 'mapillary-a'?",
    ),
    "unknown label space": (
        {"suites": {SUITE: {"classes": "cityscape"}}},
        "params: suites.mini.classes: unknown label space 'cityscape'; did you mean 'cityscapes'?",
    ),
    "label space of another data set": (
        {"suites": {SUITE: {"classes": "loveda"}}},
        "params: suites.mini.domains.cityscapes: Cityscapes is labelled in cityscapes, the suite in loveda; "
        "use two suites",
    ),
    "unknown split in counts": (
        {"suites": {SUITE: {"domains": {"gta5": {"counts": {"fulll": 3}}}}}},
        "params: suites.mini.domains.gta5.counts.fulll: GTA5 (Playing for Data) has no such split; "
        "did you mean 'full'?",
    ),
    "a list for a split that is a folder": (
        {"suites": {SUITE: {"domains": {"cityscapes": {"lists": {"train": "half.txt"}}}}}},
        "params: suites.mini.domains.cityscapes.lists.train: train is all of a folder of Cityscapes; "
        "name the split of a list otherwise",
    ),
    "a split that no path can bear": (
        {"suites": {SUITE: {"domains": {"cityscapes": {"lists": {"my--half": "half.txt"}}}}}},
        "params: suites.mini.domains.cityscapes.lists.my--half: a split is named by letters and digits, "
        "with single _ . - between",
    ),
    "a domain that no path can bear": (
        {"suites": {SUITE: {"domains": {"a--b": {"dataset": "kitti"}}}}},
        "params: suites.mini.domains.a--b: a domain is named by letters and digits, with single _ . - between",
    ),
}


@pytest.mark.parametrize(("overlay", "line"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_wrong_settings(urban, fault, overlay, line):
    """The key, the finding and the nearest name, before any file is looked at."""
    urban.change(**overlay)
    assert fault() == line
    assert not Path("results").exists()


def test_an_unknown_suite_and_one_without_domains(urban, fault):
    """A misspelt suite gets the nearest name; a suite of nothing is refused."""
    assert fault("mimi") == "prepare: no suite 'mimi' in params.yaml; did you mean 'mini'?"
    config = mini_config({})
    urban.write(config)
    assert fault() == "params: suites.mini.domains: there is none; name at least one"


def test_rules_for_a_domain_that_the_suite_lacks(urban, said):
    """A misspelt domain in a protocol would silently be trained and tested by the general rules."""
    assert main(["prepare", SUITE]) == 0
    urban.change(protocols={"tiny": {"domains": {"cityscape": {"inference": {"size": [24, 32]}}}}})
    line = "params: protocols.tiny.domains.cityscape: suite mini has no such domain; did you mean 'cityscapes'?"
    assert said("params") == (2, [line])


@pytest.fixture
def listed(urban, monkeypatch) -> Path:
    """GTA5's `val`, declared as a list of two of its three images; the list's path."""
    text = "00001\n00003\n"
    source = dataset("gta5")
    own = PublishedList(2, hashlib.sha256(text.encode()).hexdigest(), "somebody's list")
    splits = {"full": source.splits["full"], "val": dataclasses.replace(source.splits["val"], count=2, listed=own)}
    monkeypatch.setattr("xdseg.datasets.gta5.DATASET", dataclasses.replace(source, splits=splits))
    urban.write(merge(urban.config, {"grid": {"pairs": ["cityscapes->gta5"]}}))
    config = urban.config
    config["suites"][SUITE]["domains"]["gta5"]["counts"] = {"full": 3}
    urban.write(config)
    path = urban.data / "gta5/val.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["00001\n00003\n", "00001\r\n00003\r\n", "\ufeff00001\n\n  00003  "])
def test_the_published_list_in_any_dress(listed, text):
    """Line ends of Windows, a byte-order mark, blanks and empty lines make no other list."""
    listed.write_bytes(text.encode())
    assert main(["prepare", SUITE]) == 0
    assert json.loads(Path("data/locks/mini.json").read_text())["domains"]["gta5"]["splits"]["val"]["count"] == 2


WRONG_LISTS = {
    "other names": ("00001\n00002\n", "not the published val (2 lines, SHA-256 {}…; 2 and {}… are somebody's list)"),
    "another order": ("00003\n00001\n", "not the published val (2 lines, SHA-256 {}…; 2 and {}… are somebody's list)"),
    "too few": ("00001\n", "not the published val (1 lines, SHA-256 {}…; 2 and {}… are somebody's list)"),
    "nothing": ("", "not the published val (0 lines, SHA-256 {}…; 2 and {}… are somebody's list)"),
}


@pytest.mark.parametrize(("text", "said_of_it"), WRONG_LISTS.values(), ids=WRONG_LISTS.keys())
def test_a_list_that_is_not_the_published_one(listed, fault, text, said_of_it):
    """Counts and digests of both, and that a list of one's own bears another name."""
    listed.write_text(text)
    digests = [hashlib.sha256(lines.encode()).hexdigest()[:8] for lines in (text, "00001\n00003\n")]
    assert fault() == f"{listed}: {said_of_it.format(*digests)}; name it otherwise"


def test_a_list_that_is_not_there(listed, fault):
    """Where it was looked for, and the key that says where it is."""
    listed.rename(listed.with_name("mine.txt"))
    assert fault() == (
        f"{listed}: missing or not UTF-8; it lists the images of val; set suites.mini.domains.gta5.lists"
    )


def test_a_published_list_of_images_that_are_not_there(listed, fault, urban):
    """The list is right, an archive is missing."""
    (urban.data / "gta5/images/00003.png").unlink()
    urban.domain("gta5", counts={"full": 2})
    assert fault() == (f"{listed}: lists 00003, not among the images below {urban.data}/gta5; extract all of it")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("00002\n9\n00007\n", "lists 9, 00007, not among the images below"),
        ("00002\n00001\n00002\n00001\n", "lists 00001, 00002 more than once; keep one of each"),
        ("images/00002.png\n00002\n", "lists 00002 more than once; keep one of each"),
        ("\n", "GTA5 (Playing for Data)"),
    ],
    ids=["unknown", "twice", "twice by another path", "empty"],
)
def test_a_list_of_ones_own(listed, urban, said, text, line):
    """A split of any name may be a list; what it names must be there, and once."""
    mine = listed.with_name("mine.txt")
    mine.write_text(text)
    urban.domain("gta5", lists={"dusk": "mine.txt"}, counts={"dusk": 3})
    urban.change(protocols={"tiny": {"domains": {"gta5": {"eval_split": "dusk"}}}})
    code, lines = said("prepare", SUITE)
    assert code == 2 and len(lines) == 2 and line in lines[0]
    mine.write_text("00002\n00001\n00003\n")
    assert main(["prepare", SUITE]) == 0
    assert json.loads(Path("data/locks/mini.json").read_text())["domains"]["gta5"]["splits"]["dusk"]["count"] == 3


def index_of(urban: Mini, domain: str, split: str, what: str) -> Path:
    """Where the settings in force have a decoded split."""
    return Path(cache_path(Context.of(parse(urban.config)), domain, split, what))


def resaved(path: Path) -> np.ndarray:
    """Write an image again without compression, so that any other pixel keeps its size; returns its pixels."""
    pixels = np.array(Image.open(path))
    Image.fromarray(pixels).save(path, compress_level=0)
    return pixels


@pytest.mark.parametrize("restored", [False, True], ids=["new mtime", "restored mtime"])
@pytest.mark.parametrize("what", ["images", "labels"])
def test_a_file_changed_between_lock_and_cache(urban, said, what, restored):
    """Of equal size, and with its old time put back: the change of its inode tells, and nothing is decoded."""
    path = urban.data / {"images": VAL, "labels": TRUTH}[what].format(20)
    pixels = resaved(path)
    assert main(["prepare", SUITE]) == 0
    before = path.stat()
    pixels[0, 0] = (pixels[0, 0] + 1) % 34
    Image.fromarray(pixels).save(path, compress_level=0)
    if restored:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size
    index = index_of(urban, "cityscapes", "val", what)
    code, lines = said("cache", str(index))
    assert (code, lines) == (
        2,
        [f"{urban.data}/cityscapes: not the 3 {what} of val in data/locks/mini.json; run `xdseg prepare mini`"],
    )
    assert not index.exists() and not index.with_suffix(".bin").exists()
    assert main(["prepare", SUITE]) == 0
    assert main(["cache", str(index_of(urban, "cityscapes", "val", what))]) == 0


def test_files_gone_or_added_between_lock_and_cache(urban, said):
    """One image more, one less, a label less: each ends the command with a line and no index."""
    assert main(["prepare", SUITE]) == 0
    images, labels = (index_of(urban, "cityscapes", "val", what) for what in ("images", "labels"))
    where = urban.data / VAL.format(19)
    extra = where.with_name("frankfurt_000009_000009_leftImg8bit.png")
    shutil.copy(where, extra)
    assert "not the 3 images of val" in said("cache", str(images))[1][0]
    extra.unlink()
    where.rename(urban.data / "aside.png")
    assert "not the 3 images of val" in said("cache", str(images))[1][0]
    (urban.data / "aside.png").rename(where)
    truth = urban.data / TRUTH.format(19)
    truth.unlink()
    assert said("cache", str(labels)) == (2, [f"{truth}: no such file"])
    assert not list(Path("results/.cache").rglob("*.json"))
    assert main(["cache", str(images)]) == 0


def test_a_split_that_is_not_locked_yet(urban, said):
    """The plan asks for a split that an earlier grid did not need: the command that mends it."""
    assert main(["prepare", SUITE]) == 0
    urban.change(grid={"pairs": ["cityscapes->gta5"]})
    line = "data/locks/mini.json: val of gta5 is not locked yet; run `xdseg prepare mini` with these settings"
    assert said("params") == (2, [line])


@pytest.mark.slow
@pytest.mark.parametrize("prepared", [True, False])
def test_snakemake_says_it_in_a_line(urban, prepared):
    """A split or a whole suite that is not locked ends the parse with that line and no traceback."""
    if prepared:
        assert main(["prepare", SUITE]) == 0
        urban.change(grid={"pairs": ["cityscapes->gta5"]})
    command = [str(Path(sys.executable).with_name("snakemake")), "-n"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    expected = "val of gta5 is not locked yet" if prepared else "no lock"
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert sum("data/locks/mini.json" in line for line in lines) == 1 and "Traceback" not in "".join(lines)
    assert lines[-1].startswith(f"data/locks/mini.json: {expected}") and "run `xdseg prepare mini`" in lines[-1]


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"domains": []}', '{"domains": {"gta5": 3}}', "null"])
def test_a_damaged_lock(urban, said, contents):
    """The plan names it with the mend, and preparing, which is the mend, writes it anew."""
    assert main(["prepare", SUITE]) == 0
    path = Path("data/locks/mini.json")
    whole = path.read_bytes()
    path.write_text(contents)
    code, lines = said("params")
    assert code == 2 and len(lines) == 1
    assert lines[0].startswith("data/locks/mini.json: not a lock (") and "run `xdseg prepare mini`" in lines[0]
    assert main(["prepare", SUITE]) == 0
    assert path.read_bytes() == whole


def one_domain(name: str, root: Path, **entry) -> PublicSuite:
    """A suite of one data set that expects what is there."""
    domain = PublicDomain(dataset=name, root=str(root), **entry)
    return PublicSuite(kind="public", classes=dataset(name).space, domains={"one": domain})


def locked_whole(name: str, folder: Path, *, size: tuple[int, int] = (48, 64)) -> tuple[PublicLock, dict]:
    """A miniature with all its splits but the listed ones locked below `folder`, and what was written."""
    written = import_module(f"miniatures.{name}").write(folder / "data", count=2, size=size)
    counts = {split: len(items) for (split, part), items in written.items() if part is None}
    layout = public_layout("one", one_domain(name, folder / "data", counts=counts))
    splits = {split for split, declared in dataset(name).splits.items() if not declared.listed}
    path, _ = prepare_public(layout, {"one": splits}, locks=folder / "locks", workers=1)
    return PublicLock(path, layout), {split: written[split, None] for split in splits}


def filled(lock: PublicLock, folder: Path, *, split: str, what: str, cache_gb: float) -> PixelStore:
    """A store of one split, filled anew."""
    index = folder / f"{split}-{what}-{cache_gb}.json"
    fill_from_public(index, lock, domain="one", split=split, what=what, cache_gb=cache_gb)
    return open_store(index)


TILED = {"potsdam": (600, 1040), "vaihingen": (530, 1030)}


@pytest.mark.parametrize("name", NAMES)
def test_decoded_on_the_fly_as_decoded_ahead(tmp_path, monkeypatch, name):
    """Every split of every data set: both stores hold the pixels that were written, windows and mapped ids included."""
    monkeypatch.chdir(tmp_path)
    lock, written = locked_whole(name, tmp_path, size=TILED.get(name, (48, 64)))
    table, seen = lock.layout.table("one"), 0
    for split, items in written.items():
        for what in ("images", "labels") if lock.labelled("one", split) else ("images",):
            ahead = filled(lock, tmp_path, split=split, what=what, cache_gb=1)
            later = filled(lock, tmp_path, split=split, what=what, cache_gb=0)
            assert type(ahead) is PixelStore and type(later) is FileStore
            assert ahead.names == later.names == tuple(sorted(items)) and ahead.digest == later.digest
            for place, item in enumerate(ahead.names):
                image, label = items[item]
                truth = image if what == "images" else table[label]
                np.testing.assert_array_equal(ahead[place], truth)
                np.testing.assert_array_equal(later[place], truth)
                assert ahead.shape(place) == later.shape(place) == truth.shape
                seen += 1
    assert seen >= 4
    if name in TILED:
        items = lock.layout.items("one", "val")
        assert len({item.image for item in items}) < len(items), "a tile has several windows"


ONCE = ("idd", "wilddash2", "drishti_gs", "rim_one")


@pytest.mark.parametrize("name", ONCE)
def test_labels_of_polygons_or_of_two_files_are_decoded_once(tmp_path, monkeypatch, name):
    """They lie beside the index as PNGs of class ids, so no later change of what they were read from reaches them.

    A change of the PNG itself is noticed.
    """
    monkeypatch.chdir(tmp_path)
    lock, written = locked_whole(name, tmp_path)
    split = next(split for split in written if lock.labelled("one", split))
    store = filled(lock, tmp_path, split=split, what="labels", cache_gb=0)
    files = [Path(path) for path in store.contents["files"]]
    assert [path.name for path in files] == [f"{item}.png" for item in store.names]
    assert {path.parent for path in files} == {store.index.with_suffix("")}
    before = [store[place].copy() for place in range(len(store))]
    shutil.rmtree(tmp_path / "data")
    again = FileStore(store.index)
    for place, label in enumerate(before):
        np.testing.assert_array_equal(again[place], label)
        np.testing.assert_array_equal(np.array(Image.open(files[place])), label)
    ids(before[1].shape, 0).save(files[1])
    with pytest.raises(BadInput, match=r"\.png: changed since it was checked; run `xdseg prepare` again"):
        FileStore(store.index)[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_changed_after_the_index_is_noticed(tmp_path, monkeypatch, name):
    """Images of every data set, and labels that are read from one file: the first reading in a process refuses it."""
    monkeypatch.chdir(tmp_path)
    lock, written = locked_whole(name, tmp_path)
    split = next(split for split in written if lock.labelled("one", split))
    for what in ("images",) if name in ONCE else ("images", "labels"):
        store = filled(lock, tmp_path, split=split, what=what, cache_gb=0)
        path = Path(store.contents["files"][0])
        data = path.read_bytes()
        path.write_bytes(data + b"\0")
        with pytest.raises(BadInput) as error:
            store[0]
        assert str(error.value) == f"{path}: changed since it was checked; run `xdseg prepare` again"
        path.write_bytes(data)
        assert FileStore(store.index)[0].size
        path.unlink()
        with pytest.raises(BadInput, match="changed since it was checked"):
            FileStore(store.index)[0]
        path.write_bytes(data)


def changed_cup(root: Path) -> None:
    """A cup that is one row larger."""
    path = sorted(root.rglob("*cupsegSoftmap.png") if (root / "Training").exists() else root.rglob("*-Cup-Avg*"))[0]
    values = np.array(Image.open(path))
    values[:2] = 255 - values[:2]
    Image.fromarray(values).save(path)


def changed_listing(root: Path) -> None:
    """One segment of another category."""
    contents = json.loads((root / "panoptic.json").read_text())
    contents["annotations"][0]["segments_info"][0]["category_id"] = 12
    (root / "panoptic.json").write_text(json.dumps(contents))


@pytest.mark.parametrize(
    ("name", "change"),
    [("drishti_gs", changed_cup), ("rim_one", changed_cup), ("wilddash2", changed_listing)],
)
def test_what_lies_beside_a_label_is_part_of_its_digest(tmp_path, monkeypatch, name, change):
    """The second file of a label changes the digest of the labels and not that of the images; the cache refuses it."""
    monkeypatch.chdir(tmp_path)
    lock, written = locked_whole(name, tmp_path)
    before = {split: (lock.images("one", split), lock.raw_labels("one", split)) for split in written}
    change(tmp_path / "data")
    refused = 0
    for split in written:
        try:
            filled(lock, tmp_path, split=split, what="labels", cache_gb=1)
        except BadInput as error:
            refused += "labels of" in str(error) and "run `xdseg prepare one`" in str(error)
    assert refused == 1
    prepare_public(lock.layout, {"one": set(written)}, locks=tmp_path / "locks", workers=1)
    after = PublicLock(lock.path, lock.layout)
    assert all(after.images("one", split) == images for split, (images, _) in before.items())
    assert sum(after.raw_labels("one", split) != labels for split, (_, labels) in before.items()) == 1


def test_a_second_file_that_is_missing(tmp_path, monkeypatch, said):
    """The cup's map is named, not the disc's."""
    monkeypatch.chdir(tmp_path)
    import_module("miniatures.drishti_gs").write(tmp_path / "d", count=2)
    layout = public_layout("one", one_domain("drishti_gs", tmp_path / "d", counts={"train": 2, "test": 2}))
    cup = sorted((tmp_path / "d").rglob("*cupsegSoftmap.png"))[0]
    cup.unlink()
    with pytest.raises(BadInput) as error:
        prepare_public(layout, {"one": {"train", "test"}}, locks=tmp_path / "locks", workers=1)
    assert (
        str(error.value).splitlines()[0]
        == f"{cup}: not readable (No such file or directory); extract the data set again"
    )
    assert not (tmp_path / "locks").exists()


def opened_by(*arguments: str, audit: Path) -> list[str]:
    """Files that a command opens, in a process of its own."""
    audit.unlink(missing_ok=True)
    stage(*arguments, audit=audit)
    return audit.read_text().splitlines()


def test_a_second_look_opens_no_image(urban, tmp_path):
    """The ledger knows every file; without it all are opened again, and the lock's bytes are the same."""
    audit = tmp_path / "audit"
    images = {path.name for path in urban.data.rglob("*.png") if "leftImg8bit" in str(path) or "labels" in str(path)}

    def seen() -> set[str]:
        return {Path(path).name for path in opened_by("prepare", SUITE, audit=audit)} & images

    first = seen()
    assert len(first) == 3 + 2 * 3, "GTA5, and two splits of Cityscapes: its test images are looked at by nobody"
    before = urban.locks
    times = {path: Path(path).stat().st_mtime_ns for path in before}
    assert seen() == set()
    shutil.rmtree("results/.checked")
    assert seen() == first
    assert urban.locks == before and {path: Path(path).stat().st_mtime_ns for path in before} == times


@pytest.mark.parametrize("contents", ["", "[]", '{"schema": 2, "files": [["x"]]}', '{"schema": 1, "files": []}'])
def test_a_damaged_ledger_is_an_empty_one(urban, contents):
    """It holds nothing that cannot be found out anew."""
    assert main(["prepare", SUITE]) == 0
    before = urban.locks
    ledger = Path("results/.checked/mini.json")
    whole = ledger.read_text()
    ledger.write_text(contents)
    assert main(["prepare", SUITE]) == 0
    assert urban.locks == before and sorted(json.loads(ledger.read_text())["files"]) == sorted(
        json.loads(whole)["files"]
    )


KILLED = """
import os, signal, sys
left = int(os.environ["KILL_AT"])
def audit(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
from xdseg.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_at_any_write(urban):
    """Killed before each file that it would put in place: the old lock stays until the last, then the new one stands.

    Every file is whole at any moment, and preparing again ends with the bytes of an undisturbed run.
    """
    assert main(["prepare", SUITE]) == 0
    old = Path("data/locks/mini.json").read_bytes()
    for path in (urban.data / VAL.format(19), urban.data / TRUTH.format(19), urban.data / "gta5/labels/00001.png"):
        pixels = np.array(Image.open(path))
        pixels[:4] = 7
        Image.fromarray(pixels).save(path)
    aside = urban.folder / "aside"
    shutil.copytree("data/locks", aside)
    codes = []
    for number in range(1, 20):
        shutil.rmtree("results")
        shutil.rmtree("data/locks")
        shutil.copytree(aside, "data/locks")
        environment = os.environ | {"KILL_AT": str(number), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-c", KILLED, "prepare", SUITE], env=environment, capture_output=True)
        codes.append(done.returncode)
        for contents in urban.locks.values():
            json.loads(contents)
        if done.returncode == 0:
            break
        assert Path("data/locks/mini.json").read_bytes() == old
        assert main(["prepare", SUITE]) == 0
        finished = urban.locks
    assert codes[-1] == 0 and len(codes) >= 6 and set(codes[:-1]) == {-signal.SIGKILL}
    assert urban.locks == finished and Path("data/locks/mini.json").read_bytes() != old


def children_of(process: int) -> set[int]:
    """Processes that another one started."""
    try:
        return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return set()


def state_of(process: int) -> tuple[str, int]:
    """A process's state, Z if it only waits to be buried or is gone, and the hundredths of seconds that it worked."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "Z", 0
    return fields[0], int(fields[11])


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core looks at files in its own process")
def test_killed_while_looking(urban):
    """In the middle of thousands of files: the old lock stands, no process is left behind, and it can be done again."""
    assert main(["prepare", SUITE]) == 0
    before = urban.locks
    counts = write_split_free(urban.data, "gta5", count=600, size=(160, 200))
    urban.domain("gta5", counts=counts)
    process = subprocess.Popen(
        [sys.executable, "-m", "xdseg.cli", "prepare", SUITE], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    until = time.monotonic() + 60
    while not (workers := children_of(process.pid)) or any(state_of(worker)[1] < 5 for worker in workers):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert urban.locks == before
    until = time.monotonic() + 60
    while any(state_of(worker)[0] != "Z" for worker in workers):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.05)
    assert main(["prepare", SUITE]) == 0
    assert urban.locks != before


def test_another_map_or_class_list_needs_no_second_look(tmp_path, data, monkeypatch, said):
    """Label maps A and B and the 16 classes share one lock; each changes the digest of the labels where it should."""
    monkeypatch.chdir(tmp_path)
    names = ("cityscapes", "mapillary")
    mini = make_mini(tmp_path / "project", data, names, pairs=["cityscapes->mapillary"])
    assert main(["prepare", SUITE]) == 0
    before = mini.locks

    def state() -> dict[str, str]:
        lock = Context.of(parse(mini.config)).lock
        places = {"city": ("cityscapes", "train"), "map": ("mapillary", "val")}
        found = {
            f"{key} {what}": getattr(lock, what)(*place)
            for key, place in places.items()
            for what in ("images", "labels")
        }
        cells = expand(Context.of(parse(mini.config))).cells
        (cell,) = (cell for cell in cells if cell.method == "source-only")
        return found | {"train": cell.run.fingerprint, "predict": cell.predict, "score": cell.score}

    def moved(new: dict[str, str], old: dict[str, str]) -> set[str]:
        return {key for key in old if new[key] != old[key]}

    shutil.rmtree(data)  # a plan needs no data
    b = state()
    mini.domain("mapillary", label_map="mapillary-b")
    assert said("params")[0] == 0
    assert moved(state(), b) == {"map labels", "score"}
    mini.domain("mapillary", label_map="mapillary-a")
    assert moved(state(), b) == set(), "A is the first, and so the default"
    mini.change(suites={SUITE: {"classes": "cityscapes-16"}})
    assert moved(state(), b) == {"city labels", "map labels", "train", "predict", "score"}
    assert mini.locks == before


def adapting(folder: Path, data: Path) -> Mini:
    """LoveDA from town to country, adapted to the validation images, as the preset has it, for two steps."""
    counts = {"train": 3, "val": 3, "test": 3}
    write_split_free(data, "loveda", count=3, size=(48, 64))
    config = mini_config({}, classes="loveda", pairs=["urban->rural"], methods=["dacs", "source-only"])
    config["suites"][SUITE]["domains"] = {
        part: {"dataset": "loveda", "part": part, "counts": counts} for part in ("urban", "rural")
    }
    config["adaptations"] = {"dacs": {"kind": "dacs"}}
    config["methods"]["dacs"] = {"setting": "uda", "segmenter": "deeplabv3plus", "adaptations": ["dacs"]}
    preset = yaml.safe_load((ROOT / "pipeline/presets/paper/loveda.yaml").read_text())["protocols"]["loveda"]
    recipe = {"training": {"steps": 2, "batch": 2}, "augmentation": {"crop": 32}}
    config["protocols"]["tiny"] = merge(preset, recipe)
    folder.mkdir()
    os.chdir(folder)
    return Mini(folder, data, config)


def adapted(mini: Mini, audit: Path) -> tuple[dict[str, str], list[str]]:
    """Cache the images and train, both audited: fingerprint and weights of each run, and what was opened."""
    shutil.rmtree("results", ignore_errors=True)
    context, audit = Context.of(parse(mini.config)), audit.with_suffix(".txt")
    audit.unlink(missing_ok=True)
    found = {}
    for run in expand(context).runs:
        for seen in run.sees:
            stage("cache", cache_path(context, *seen), audit=audit)
        stage("train", str(run.folder / "run.json"), audit=audit)
        found[run.method] = f"{run.fingerprint} {file_digest(run.folder / 'weights.safetensors')}"
    return found, audit.read_text().splitlines()


@pytest.mark.slow
def test_the_adapted_split_keeps_its_labels_to_itself(tmp_path, data, monkeypatch):
    """Adaptation to the very images that are tested: no label of theirs, decoded or locked, is opened in training.

    Garbage in all of them, locked anew, leaves fingerprint and weights as they were; the score's fingerprint moves.
    """
    monkeypatch.chdir(tmp_path)
    mini = adapting(tmp_path / "project", data)
    assert main(["prepare", SUITE]) == 0
    (run,) = (run for run in expand(Context.of(parse(mini.config))).runs if run.method == "dacs")
    assert run.sees[-1] == ("rural", "val", "images")
    clean, opened = adapted(mini, tmp_path / "audit")
    for granted in ("Train/Urban/masks_png/", "urban--train.labels.json", "urban--train--labels"):
        assert any(granted in path for path in opened), f"the audit sees {granted}"
    assert any("Val/Rural/images_png/" in path for path in opened)
    secret = ("Val/Rural/masks_png", "rural--val.labels", "rural--val--labels")
    assert [path for path in opened if any(part in path for part in secret)] == []
    scores = {cell.method: cell.score for cell in expand(Context.of(parse(mini.config))).cells}
    noise = np.random.default_rng(5)
    for path in (data / "loveda/Val/Rural/masks_png").glob("*.png"):
        Image.fromarray(noise.integers(0, 8, (48, 64), dtype=np.uint8)).save(path)
    assert main(["prepare", SUITE]) == 0
    assert adapted(mini, tmp_path / "audit")[0] == clean
    poisoned = {cell.method: cell.score for cell in expand(Context.of(parse(mini.config))).cells}
    assert not set(scores.values()) & set(poisoned.values())


def write_called(urban: Mini, folder: Path) -> list[tuple[Path, Path]]:
    """Predictions in raw ids of every kind, ignored ones included; pairs of truth and prediction."""
    noise, pairs = np.random.default_rng(3), []
    folder.mkdir()
    for truth in sorted((urban.data / "cityscapes/gtFine/val/frankfurt").glob("*_labelIds.png")):
        label = np.array(Image.open(truth))
        called = np.where(noise.random(label.shape) < 0.4, noise.integers(0, 34, label.shape), label).astype(np.uint8)
        path = folder / f"{truth.name.removesuffix('_gtFine_labelIds.png')}.png"
        Image.fromarray(called).save(path)
        pairs.append((truth, path))
    return pairs


def their_ious(pairs: list[tuple[Path, Path]]) -> tuple[dict[str, float], float]:
    """IoU by name and their mean, by cityscapesScripts on the very files."""
    args = theirs.CArgs()
    args.evalInstLevelScore = args.evalPixelAccuracy = False
    matrix = theirs.generateMatrix(args)
    for truth, called in pairs:
        theirs.evaluatePair(str(called), str(truth), matrix, {}, {}, args)
    found = {theirs.id2label[raw].name: theirs.getIouScoreForLabel(raw, matrix, args) for raw in SCORED}
    return found, theirs.getScoreAverage(found, args)


def test_raw_ids_score_as_with_the_publishers_tool(urban, tmp_path, said):
    """`xdseg score --ids cityscapes` on files in place gives cityscapesScripts' IoU of every class, and its mean."""
    assert main(["prepare", SUITE]) == 0
    urban.change(protocols={"tiny": {"scoring": {"absent": "field"}}})
    pairs = write_called(urban, tmp_path / "called")
    enter = ("score", "--predictions", str(tmp_path / "called"), "--method", "their-net", "--pair", "gta5->cityscapes")
    code, lines = said(*enter, "--ids", "cityscapes")
    expected, mean = their_ious(pairs)
    assert code == 0 and lines[-1].endswith(f"their-net gta5->cityscapes, mIoU {100 * mean:.2f}")
    (record,) = Path("records/mini/their-net/gta5--cityscapes").glob("*.json")
    scores = json.loads(record.read_text())["scores"]
    assert scores["iou"] == pytest.approx(expected, abs=1e-12) and scores["miou"] == pytest.approx(mean, abs=1e-12)
    assert len(expected) == 19 and len(set(expected.values())) > 10


@pytest.mark.parametrize(
    ("ids_of", "line"),
    [
        ("cityscape", "--ids cityscape: unknown data set 'cityscape'; did you mean 'cityscapes'?"),
        ("drive", "--ids drive: none of its classes is one of the suite's; name the data set whose ids they are"),
        ("loveda", "--ids loveda: its classes are those of loveda, the suite's are cityscapes; name another"),
        ("bdd100k", "the prediction holds id 24, which BDD100K does not have; write its raw ids"),
    ],
)
def test_raw_ids_of_the_wrong_data_set(urban, tmp_path, said, ids_of, line):
    """Exit code 2 with the nearest name, or with image and id; no record is left."""
    assert main(["prepare", SUITE]) == 0
    ((_, first), *_) = write_called(urban, tmp_path / "called")
    for path in first.parent.glob("*.png"):
        ids(raw=24).save(path)
    enter = ("score", "--predictions", str(tmp_path / "called"), "--method", "their-net", "--pair", "gta5->cityscapes")
    code, lines = said(*enter, "--ids", ids_of)
    assert code == 2 and any(line in text for text in lines)
    assert not Path("records").exists()


def test_predictions_are_entered_only_on_locked_splits(urban, tmp_path, said):
    """A target that no lock knows, and one whose labels nobody has."""
    assert main(["prepare", SUITE]) == 0
    write_called(urban, tmp_path / "called")
    urban.change(suites={SUITE: {"domains": {"kitti": {"dataset": "kitti"}}}})
    enter = ("score", "--predictions", str(tmp_path / "called"), "--method", "net", "--pair")
    urban.change(protocols={"tiny": {"domains": {"kitti": {"eval_split": "train"}}}})
    code, lines = said(*enter, "gta5->kitti")
    assert code == 2 and lines == [
        "data/locks/mini.json: train of kitti is not locked yet; run `xdseg prepare mini` with these settings"
    ]
    urban.change(protocols={"tiny": {"domains": {"cityscapes": {"eval_split": "test"}}}})
    code, lines = said(*enter, "gta5->cityscapes")
    assert code == 2 and len(lines) == 1 and not Path("records").exists()


@pytest.fixture
def to_export(urban, tmp_path) -> Path:
    """Predictions of the miniature's test images at the server's size, one class each."""
    folder = tmp_path / "predicted"
    folder.mkdir()
    for number in (19, 20):
        ids((1024, 2048), number - 18).save(folder / f"berlin_000000_0000{number}.png")
    ids((1024, 2048), 18).save(folder / "berlin_000001_000021.png")
    return folder


def test_export_by_command(urban, to_export, tmp_path, said):
    """Names are those of the data set's test images, ids the publisher's: 1, 2 and 18 are 8, 11 and 33."""
    out = tmp_path / "out.zip"
    code, lines = said("export", "cityscapes", str(to_export), str(out), "--root", str(urban.data / "cityscapes"))
    assert code == 0 and lines[0].startswith(f"{out}: 3 images of Cityscapes, ")
    with ZipFile(out) as archive:
        found = {name: set(np.unique(np.array(Image.open(archive.open(name))))) for name in archive.namelist()}
    assert found == {
        "berlin_000000_000019_gtFine_labelIds.png": {8},
        "berlin_000000_000020_gtFine_labelIds.png": {11},
        "berlin_000001_000021_gtFine_labelIds.png": {33},
    }


SPOILT_EXPORTS = {
    "missing": (lambda folder: (folder / "berlin_000000_000019.png").unlink(), "missing (1): berlin_000000_000019"),
    "size": (lambda folder: ids((512, 1024), 1).save(folder / "berlin_000000_000019.png"), "1024"),
    "id": (
        lambda folder: ids((1024, 2048), 19).save(folder / "berlin_000000_000019.png"),
        "id 19 is none of the classes 0..18",
    ),
    "foreign": (
        lambda folder: ids((4, 4)).save(folder / "rome_000000_000019.png"),
        "no test image (1): rome_000000_000019",
    ),
}


@pytest.mark.parametrize(("spoil", "line"), SPOILT_EXPORTS.values(), ids=SPOILT_EXPORTS.keys())
def test_a_bad_export_leaves_the_old_zip(urban, to_export, tmp_path, said, spoil, line):
    """Exit code 2 with the image, and what was exported before stays byte for byte."""
    out = tmp_path / "out.zip"
    out.write_bytes(b"before")
    spoil(to_export)
    code, lines = said("export", "cityscapes", str(to_export), str(out), "--root", str(urban.data / "cityscapes"))
    assert code == 2 and any(line in text for text in lines), lines
    assert out.read_bytes() == b"before" and sorted(path.name for path in tmp_path.glob("*.zip*")) == ["out.zip"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cityscape", "p", "o.zip"], "export: unknown test server 'cityscape'; did you mean 'cityscapes'?"),
        (["cityscapes", "p", "o.zip"], "p: no readable zip or folder of predictions"),
        (["cityscapes", "p", "o.tar"], "o.tar: a test server takes a zip; name the result NAME.zip"),
        (["cityscapes", "e", "o.zip"], "e: 0 predictions, Cityscapes's test split has 1525"),
        (["cityscapes", "e", "o.zip", "--root", "nowhere"], "nowhere/leftImg8bit/test: no such folder"),
        (["cityscapes", "e", "o.zip", "--invalid", "e"], "export: cityscapes takes no predictions with invalid pixels"),
    ],
)
def test_odd_arguments_of_export(urban, said, arguments, line):
    """Each in a line with exit code 2, and no zip."""
    Path("e").mkdir()
    code, lines = said("export", *arguments)
    assert code == 2 and len(lines) == 1 and lines[0].startswith(line), lines
    assert not list(Path().glob("o.*"))


def test_the_audit_hears_a_command(urban, tmp_path):
    """The hook that these tests rest on writes what a command opens."""
    assert "addaudithook" in AUDITED
    assert main(["prepare", SUITE]) == 0
    index = index_of(urban, "cityscapes", "val", "labels")
    opened = opened_by("cache", str(index), audit=tmp_path / "audit")
    assert len({path for path in opened if path.endswith("_gtFine_labelIds.png")}) == 3
    assert short(Context.of(parse(urban.config)).lock.labels("cityscapes", "val")) in index.name
