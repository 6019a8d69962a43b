"""Readers of driving data sets: names, pixels and ids of every split equal what was written in the true layout.

What an id means is typed here again, in train ids, and not taken from the readers.
"""

import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from miniatures.street_files import Written, coloured, ids, save, save_palette, save_png16
from PIL import Image

from xdseg.datasets.contract import Dataset, Item
from xdseg.datasets.decoding import read_first_of_16_bit, read_repeated_grey
from xdseg.datasets.registry import NAMES, dataset
from xdseg.errors import BadInput

SPLITS = Path(os.environ.get("XDSEG_SPLITS") or Path(__file__).parents[2] / "shared" / "facts" / "splits")
IN_TRAIN_IDS = ("urbansyn", "bdd100k", "acdc", "dark_zurich", "nighttime_driving")
STREET = ("cityscapes", "gta5", "synthia", "mapillary", *IN_TRAIN_IDS)
SIZE = (48, 64)

CLASSES = (  # in the order of the train ids
    *(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
    ),
    *("sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)

FROM_CITYSCAPES = """7→0, 8→1, 11→2, 12→3, 13→4, 17→5, 19→6, 20→7, 21→8, 22→9, 23→10, 24→11, 25→12, 26→13, 27→14, 28→15,
31→16, 32→17, 33→18"""
FROM_SYNTHIA = """1→10, 2→2, 3→0, 4→1, 5→4, 6→8, 7→5, 8→13, 9→7, 10→11, 11→18, 12→17, 15→6, 16→9, 17→12, 18→14, 19→15,
20→16, 21→3"""
FROM_TRAIN_IDS = ", ".join(f"{i}→{i}" for i in range(19))
FROM_MAPILLARY = """2→1, 3→4, 6→3, 13→0, 15→1, 17→2, 19→11, 20→12, 21→12, 22→12, 24→0, 27→10, 29→9, 30→8, 45→5, 47→5,
48→6, 50→7, 52→18, 54→15, 55→13, 57→17, 58→16, 61→14"""
FROM_MAPILLARY_A = f"{FROM_MAPILLARY}, 41→0"
FROM_MAPILLARY_B = f"{FROM_MAPILLARY}, 7→0, 8→0, 10→0, 14→0, 23→0, 9→1, 11→1, 44→5, 46→7, 49→7"
MEANINGS = {
    ("cityscapes", "cityscapes"): FROM_CITYSCAPES,
    ("gta5", "cityscapes"): FROM_CITYSCAPES,
    ("synthia", "cityscapes"): FROM_SYNTHIA,
    ("mapillary", "mapillary-a"): FROM_MAPILLARY_A,
    ("mapillary", "mapillary-b"): FROM_MAPILLARY_B,
    **{(name, "cityscapes"): FROM_TRAIN_IDS for name in IN_TRAIN_IDS},
}
LISTS = {
    ("gta5", "train"): "gta_train.txt",
    ("gta5", "val"): "gta_val.txt",
    ("gta5", "test"): "gta_test.txt",
    ("synthia", "train"): "synthia_train.txt",
    ("synthia", "val"): "synthia_val.txt",
    ("bdd100k", "night"): "bdd100k_night.txt",
}
OLDER = {"bdd100k": {"layout": "older"}, "mapillary": {"layout": "v1.2"}}
ALL_LAYOUTS = [(name, {}) for name in STREET] + list(OLDER.items())


def written_by(name: str) -> Callable[..., Written]:
    """The writer of a data set's miniature."""
    return import_module(f"miniatures.{name}").write


def expected_ids(raw: np.ndarray, meaning: str) -> np.ndarray:
    """Train ids by a table such as `7→0, 8→1`, pixel by pixel from its text; 255 for the rest."""
    train_ids = np.full(raw.shape, 255, np.uint8)
    for pair in meaning.split(","):
        source, target = pair.split("→")
        train_ids[raw == int(source)] = int(target)
    return train_ids


def first_labelled(data: Dataset, root: Path) -> Item:
    """The first item with a label."""
    split = next(split for split, entry in data.splits.items() if entry.labelled and not entry.listed)
    return next(iter(data.files(root, split, None)))


@pytest.mark.parametrize(("name", "layout"), ALL_LAYOUTS)
def test_items_and_pixels_are_those_written(tmp_path, name, layout):
    """Of each split and part: exactly the names written, in order, and each pixel of image and label."""
    data, written = dataset(name), written_by(name)(tmp_path, count=3, size=SIZE, seed=7, **layout)
    assert {split for split, _ in written} == {split for split, entry in data.splits.items() if not entry.listed}
    assert {part for _, part in written} == {None, *data.parts}
    for (split, part), contents in written.items():
        items = list(data.files(tmp_path, split, part))
        assert [item.name for item in items] == sorted(contents)
        assert data.splits[split].labelled == all(item.label is not None for item in items)
        for item in items:
            pixels, raw = contents[item.name]
            assert np.array_equal(data.read_image(item.image), pixels)
            assert (item.label is None) == (raw is None)
            if raw is not None:
                read = data.read_label(item.label)
                assert read.dtype == np.uint8 and np.array_equal(read, raw)


@pytest.mark.parametrize(("name", "label_map"), MEANINGS)
def test_ids_mean_what_the_table_says(tmp_path, name, label_map):
    """Every raw id occurs in the miniature, is declared, and becomes the train id typed here; all else is 255."""
    data, written = dataset(name), written_by(name)(tmp_path, count=1, size=SIZE)
    assert {(other, label) for other in STREET for label in dataset(other).maps} == set(MEANINGS)
    table, seen = data.table(label_map, CLASSES), set()
    for (split, part), contents in written.items():
        for item in data.files(tmp_path, split, part):
            if item.label is not None:
                raw = contents[item.name][1]
                mapped = table[data.read_label(item.label)]
                assert np.array_equal(mapped, expected_ids(raw, MEANINGS[name, label_map]))
                seen |= set(np.unique(raw).tolist())
    assert seen == set(data.ids)
    assert set(np.flatnonzero(table != 255).tolist()) <= seen


@pytest.mark.parametrize("name", STREET)
def test_names_are_unique_and_fit_predictions(tmp_path, name):
    """A name occurs in one split only, has no character that a path minds, and fits the pattern of recordings."""
    data, written = dataset(name), written_by(name)(tmp_path)
    names = [item.name for split, part in written if part is None for item in data.files(tmp_path, split, None)]
    assert len(set(names)) == len(names) == 2 * max(1, len(data.parts)) * len({split for split, _ in written})
    for item in names:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", item)
        assert data.groups is None or re.search(data.groups, item)


@pytest.mark.parametrize(
    ("name", "item", "recording"),
    [
        ("cityscapes", "frankfurt_000000_000294", "frankfurt_000000"),
        ("acdc", "GOPR0122_frame_000161", "0122"),
        ("acdc", "GP010376_frame_000001_rgb_ref", "0376"),
        ("dark_zurich", "GOPR0356_frame_000321_ref", "0356"),
    ],
)
def test_recordings_are_told_from_names(name, item, recording):
    """A night image and its reference by day are of one group; cities have several."""
    assert re.search(dataset(name).groups, item)[1] == recording


def test_table_leaves_out_classes_that_are_not_asked_for():
    """With the 16 classes of SYNTHIA, pixels of terrain, truck and train are ignored and the others move up."""
    sixteen = tuple(name for name in CLASSES if name not in ("terrain", "truck", "train"))
    table = dataset("cityscapes").table("cityscapes", sixteen)
    assert table[[22, 27, 31]].tolist() == [255, 255, 255]
    assert table[[7, 21, 23, 26, 28, 32, 33]].tolist() == [0, 8, 9, 12, 13, 14, 15]


def test_cityscapes_agrees_with_its_publisher():
    """Names and train ids equal cityscapesScripts' for each id that is drawn."""
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    data = dataset("cityscapes")
    assert data.ids == {label.id: label.name for label in labels if label.id >= 0}
    table = data.table("cityscapes", CLASSES)
    assert all(table[label.id] == label.trainId for label in labels if label.id >= 0)


def test_a_pole_group_of_gta_is_not_a_pole():
    """Ids count and not colours: a pole group (18) and a licence plate (34), coloured as pole and car, are ignored."""
    assert dataset("gta5").table("cityscapes", CLASSES)[[17, 18, 26, 34]].tolist() == [5, 255, 13, 255]


def test_mapillary_tables_differ_in_eleven_ids():
    """The two tables in circulation disagree on these ids and no others."""
    data = dataset("mapillary")
    a, b = (data.table(name, CLASSES) for name in ("mapillary-a", "mapillary-b"))
    assert np.flatnonzero(a != b).tolist() == [7, 8, 9, 10, 11, 14, 23, 41, 44, 46, 49]
    names = "Bike Lane, Curb Cut, Road, Lane Marking - Crosswalk, Manhole, Street Light, Traffic Sign Frame, Unlabeled"
    assert [data.ids[i] for i in (7, 9, 13, 23, 41, 44, 46, 65)] == names.split(", ")


def test_mapillary_ids_of_v2_are_unknown(tmp_path):
    """Ids from 66 on are declared nowhere, so a label of v2.0 cannot pass as one of v1.2."""
    written_by("mapillary")(tmp_path, size=SIZE)
    data = dataset("mapillary")
    assert data.ids.keys() == set(range(66))
    v2 = next((tmp_path / "training" / "v2.0" / "labels").glob("*.png"))
    assert set(np.unique(data.read_label(v2)).tolist()) - data.ids.keys() == set(range(66, 116))


@pytest.mark.parametrize("name", STREET)
def test_picture_of_a_label_is_refused(tmp_path, name):
    """Colours in place of ids raise, with the file named."""
    written_by(name)(tmp_path, size=SIZE)
    data = dataset(name)
    item = first_labelled(data, tmp_path)
    save(item.label, coloured(ids(np.random.default_rng(0), SIZE, sorted(data.ids))))
    with pytest.raises(BadInput, match=re.escape(str(item.label))):
        data.read_label(item.label)


@pytest.mark.parametrize(
    ("name", "split", "part", "folder"),
    [
        ("cityscapes", "val", None, "leftImg8bit/val"),
        ("gta5", "full", None, "images"),
        ("synthia", "full", None, "RAND_CITYSCAPES/RGB"),
        ("urbansyn", "full", None, "rgb"),
        ("bdd100k", "test", None, "images/10k/test"),
        ("mapillary", "train", None, "training/images"),
        ("acdc", "val_ref", "rain", "rgb_anon/rain/val_ref"),
        ("acdc", "train", None, "rgb_anon/snow/train"),
        ("dark_zurich", "train_day", None, "rgb_anon/train/day"),
        ("nighttime_driving", "test", None, "leftImg8bit/test/night"),
    ],
)
def test_missing_folder_is_named(tmp_path, name, split, part, folder):
    """A split whose images are not there raises with their folder; so does a root with nothing below it."""
    written_by(name)(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / folder)
    with pytest.raises(BadInput, match=re.escape(f"{tmp_path / 'data' / folder}: no such folder")):
        list(dataset(name).files(tmp_path / "data", split, part))
    with pytest.raises(BadInput, match=re.escape(str(tmp_path / "empty"))):
        list(dataset(name).files(tmp_path / "empty", split, part))


def test_one_layout_of_bdd_at_a_time(tmp_path):
    """Neither of the two layouts, or both, raise with both names."""
    files = dataset("bdd100k").files
    with pytest.raises(BadInput, match="neither images/10k nor seg/images"):
        files(tmp_path, "val", None)
    written_by("bdd100k")(tmp_path, layout="portal")
    written_by("bdd100k")(tmp_path, layout="older")
    with pytest.raises(BadInput, match="both images/10k and seg/images"):
        files(tmp_path, "val", None)


def test_one_layout_of_mapillary_at_a_time(tmp_path):
    """Labels of neither or of both archives raise; the test split, which has none, is read in any case."""
    files = dataset("mapillary").files
    written = written_by("mapillary")(tmp_path, layout="v2.0")
    written_by("mapillary")(tmp_path, layout="v1.2")
    with pytest.raises(BadInput, match=r"validation: both v1.2/labels and labels"):
        files(tmp_path, "val", None)
    for labels in ("v1.2/labels", "labels"):
        shutil.rmtree(tmp_path / "validation" / labels)
    with pytest.raises(BadInput, match=r"validation: neither v1.2/labels nor labels"):
        files(tmp_path, "val", None)
    assert [item.name for item in files(tmp_path, "test", None)] == sorted(written["test", None])


def test_synthia_may_be_rooted_in_its_folder(tmp_path):
    """The root may be what holds RAND_CITYSCAPES, or that folder itself."""
    written = written_by("synthia")(tmp_path)
    files = dataset("synthia").files
    inside = list(files(tmp_path / "RAND_CITYSCAPES", "full", None))
    assert inside == list(files(tmp_path, "full", None)) and len(inside) == len(written["full", None])


def test_first_channel_by_hand(tmp_path):
    """Class 22 beside instance 976: Pillow alone sees class 0 and instance 3, the reader sees 22."""
    path = tmp_path / "label.png"
    save_png16(path, np.array([[[22, 976, 0], [1, 0, 0]], [[0, 255, 0], [15, 256, 0]]], np.uint16))
    with Image.open(path) as image:
        assert np.array(image).tolist() == [[[0, 3, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]]
    assert read_first_of_16_bit(path).tolist() == [[22, 1], [0, 15]]


@pytest.mark.parametrize("channels", [3, 4])
def test_first_channel_agrees_with_another_decoder(tmp_path, channels):
    """libpng, by way of torchvision, gives the same first channel for all filters and with opacity."""
    theirs = pytest.importorskip("torchvision.io")
    if not hasattr(theirs, "decode_png"):
        pytest.skip("torchvision without decoders")
    values = np.random.default_rng(3).integers(0, 65536, (31, 45, channels)).astype(np.uint16)
    values[..., 0] %= 256
    path = tmp_path / "label.png"
    save_png16(path, values)
    data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    with warnings.catch_warnings(action="ignore"):  # it announces its end
        decoded = theirs.decode_png(data, theirs.ImageReadMode.UNCHANGED)
    assert np.array_equal(decoded.numpy().transpose(1, 2, 0), values)
    assert np.array_equal(read_first_of_16_bit(path), values[..., 0])


def test_broken_wide_label_is_named(tmp_path):
    """Cut short anywhere, or with any byte of its data changed, a label raises and is never half read."""
    path = tmp_path / "label.png"
    values = np.random.default_rng(0).integers(0, 23, (16, 16, 3)).astype(np.uint16)
    save_png16(path, values)
    whole = path.read_bytes()
    end = len(whole) - 12  # of the data; what follows says only that the file ends
    for cut in range(0, end, 23):
        path.write_bytes(whole[:cut])
        with pytest.raises(BadInput, match=r"label\.png"):
            read_first_of_16_bit(path)
    for place in range(29, end, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BadInput, match=r"label\.png"):
            read_first_of_16_bit(path)
    path.unlink()
    with pytest.raises(BadInput, match="no such file"):
        read_first_of_16_bit(path)


def test_wide_label_beyond_8_bits_is_refused(tmp_path):
    """A first channel that exceeds 255 would lose its upper byte; it is no label."""
    path = tmp_path / "label.png"
    save_png16(path, np.full((4, 4, 3), 256, np.uint16))
    with pytest.raises(BadInput, match="exceeds 255"):
        read_first_of_16_bit(path)


@pytest.mark.parametrize("kind", ["grey", "grey of 16 bits", "colour", "palette", "JPEG"])
def test_other_files_are_no_wide_labels(tmp_path, kind):
    """Whatever is not colour of 16 bits raises, also where it could be decoded."""
    label = ids(np.random.default_rng(0), SIZE, [0, 1])
    path = tmp_path / ("label.jpg" if kind == "JPEG" else "label.png")
    if kind == "palette":
        save_palette(path, label)
    else:
        values = {"grey": label, "grey of 16 bits": label.astype(np.uint16), "colour": coloured(label)}
        save(path, values.get(kind, coloured(label)))
    with pytest.raises(BadInput, match="first channel of 16-bit RGB"):
        read_first_of_16_bit(path)


def test_repeated_grey_differs_nowhere(tmp_path):
    """One pixel whose blue is another value makes the file a picture; its opacity may be anything."""
    label = ids(np.random.default_rng(0), SIZE, [0, 18, 19, 255])
    path = tmp_path / "ss_0001.png"
    save(path, np.stack([label, label], axis=-1))
    assert np.array_equal(read_repeated_grey(path), label)
    channels = np.stack([label, label, label, label % 7], axis=-1)
    save(path, channels)
    assert np.array_equal(read_repeated_grey(path), label)
    channels[-1, -1, 2] ^= 1
    save(path, channels)
    with pytest.raises(BadInput, match="colours, not ids"):
        read_repeated_grey(path)
    save_png16(path, channels.astype(np.uint16))
    with pytest.raises(BadInput, match="16 bits"):
        read_repeated_grey(path)


def test_label_that_is_missing(tmp_path):
    """An image without its label is an item all the same, and reading the label names the file."""
    for name in STREET:
        written_by(name)(tmp_path / name)
        data = dataset(name)
        item = first_labelled(data, tmp_path / name)
        item.label.unlink()
        assert first_labelled(data, tmp_path / name) == item
        with pytest.raises(BadInput, match="no such file"):
            data.read_label(item.label)


@pytest.mark.parametrize(("name", "split"), LISTS)
def test_published_list_is_the_one_declared(name, split):
    """Count and digest of each list, whose names are unique and of the right kind."""
    path = SPLITS / LISTS[name, split]
    if not path.is_file():
        pytest.skip(f"{path} is not here; XDSEG_SPLITS names its folder")
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    entry = dataset(name).splits[split]
    assert len({Path(line).stem for line in lines}) == len(lines) == entry.listed.count == entry.count
    assert hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest() == entry.listed.sha256
    if name == "bdd100k":
        assert {Path(line).parent.name for line in lines} == set(entry.within)


def test_published_lists_of_a_data_set_divide_it():
    """SYNTHIA's two lists name each of its 9400 images once; GTA5's three share none of its 24,966."""
    if not SPLITS.is_dir():
        pytest.skip(f"{SPLITS} is not here; XDSEG_SPLITS names it")
    lines = {key: (SPLITS / name).read_text().split() for key, name in LISTS.items()}
    synthia = lines["synthia", "train"] + lines["synthia", "val"]
    assert sorted(synthia) == [f"{i:07d}" for i in range(9400)]
    gta = lines["gta5", "train"] + lines["gta5", "val"] + lines["gta5", "test"]
    assert len(set(gta)) == len(gta) and set(gta) <= {f"{i:05d}" for i in range(1, 24967)}


def test_counts_are_the_published_ones():
    """Images per split as the fact sheet has them; of ACDC, by condition."""
    acdc = dataset("acdc").splits
    assert [sum(acdc[split].count.values()) for split in ("train", "val", "test")] == [1600, 406, 2000]
    assert sum(sum(acdc[f"{split}_ref"].count.values()) for split in ("train", "val", "test")) == 4006
    counts = {(name, split): entry.count for name in STREET for split, entry in dataset(name).splits.items()}
    assert [counts["cityscapes", split] for split in ("train", "val", "test")] == [2975, 500, 1525]
    assert [counts["bdd100k", split] for split in ("train", "val", "test")] == [7000, 1000, 2000]
    assert [counts["mapillary", split] for split in ("train", "val", "test")] == [18000, 2000, 5000]
    assert (counts["dark_zurich", "train"], counts["dark_zurich", "val"], counts["dark_zurich", "test"]) == (
        2416,
        50,
        151,
    )
    assert (counts["gta5", "full"], counts["synthia", "full"], counts["nighttime_driving", "test"]) == (24966, 9400, 50)


@pytest.mark.parametrize("name", STREET)
def test_registry_knows_the_data_set(name):
    """A data set bears the name of its module, and what its splits select from are splits."""
    data = dataset(name)
    assert name in NAMES and data.name == name and data.space == "cityscapes"
    for entry in data.splits.values():
        assert bool(entry.listed) == bool(entry.within) and set(entry.within) <= set(data.splits)


def test_unknown_data_set_gets_the_nearest_name():
    """A misspelt name is answered with the one that was meant."""
    with pytest.raises(BadInput, match="did you mean 'dark_zurich'"):
        dataset("dark_zuerich")
