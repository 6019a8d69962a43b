"""Readers of IDD, WildDash 2, CamVid, KITTI, aerial and medical data sets, on small trees of the true layout."""

import gzip
import importlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdseg.datasets.colours import coloured_ids
from xdseg.datasets.polygons import drawn_ids
from xdseg.datasets.registry import dataset
from xdseg.datasets.spaces import space
from xdseg.datasets.windows import cut, starts, windows
from xdseg.errors import BadInput

X = 255
CITYSCAPES_RAW = [*[X] * 7, 0, 1, X, X, 2, 3, 4, X, X, X, 5, X, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, X, X, 16, 17, 18]
ISPRS = [X, 0, 1, 2, 3, 4, 5]
MAPPED = {  # raw id to class, typed from the publishers' tables and not from the readers
    "idd": [
        *[0, X, X, 1, X, 9, 11, X, 12, 17, 18, X, 13, 14, 15, X, X, 16, X, X],
        *[3, 4, X, X, 7, 6, 5, X, X, 2, X, X, 8, 10, X, X, X, X, X, X],
    ],
    "wilddash2": [
        *CITYSCAPES_RAW,
        *[14, 13, X, X, 0, X, X, 0, X, 0, X, 5, 5, 12, 12, 12, X, X, 1, X, X, X, 3, X, 17, X, X, 0, X, X, 0],
        *[1, X, X, X, X, 0, X, X, X, 0, 0, 0, 1, 9, 0, 1],
    ],
    "camvid": [
        *[X, X, X, X, 2, 13, X, 11, 5, 4, 0, 0, X, 17, X, X, 11, 0, X, 1, 7, 10, X, X, 6, 16, 8, X, X, X, X, 3],
    ],
    "kitti": CITYSCAPES_RAW,
    "loveda": [X, 0, 1, 2, 3, 4, 5, 6],
    "potsdam": ISPRS,
    "vaihingen": ISPRS,
    "drive": [0, 1],
    "stare": [0, 1],
    "chase_db1": [0, 1],
    "refuge": [0, 1, 2],
    "drishti_gs": [0, 1, 2],
    "rim_one": [0, 1, 2],
}
ROOTS = {  # a folder without which nothing can be listed
    "idd": "leftImg8bit/train",
    "wilddash2": "images",
    "camvid": "701_StillsRaw_full",
    "kitti": "training/image_2",
    "loveda": "Train/Urban/images_png",
    "potsdam": "2_Ortho_RGB",
    "vaihingen": "ISPRS_semantic_labeling_Vaihingen/top",
    "drive": "training/images",
    "stare": "stare-images",
    "chase_db1": ".",
    "refuge": "Training400/Glaucoma",
    "drishti_gs": "Training/Images",
    "rim_one": "Glaucoma and suspects/Stereo Images",
}
SIZES = [(name, None) for name in MAPPED] + [("potsdam", (560, 1100)), ("vaihingen", (1024, 513))]


def written(name: str, root: Path, **settings) -> dict:
    """A miniature of a data set below `root`, and what it holds."""
    return importlib.import_module(f"miniatures.{name}").write(root, **settings)


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_a_tree_is_read_as_written(name, size, tmp_path):
    """Names, image pixels, raw ids and mapped ids of every split and part equal what was written, every pixel."""
    reader, classes = dataset(name), space(dataset(name).space)
    truth = written(name, tmp_path, **({"size": size} if size else {}))
    mapped = np.array(MAPPED[name] + [X] * (256 - len(MAPPED[name])), np.uint8)
    assert {split for split, _ in truth} == set(reader.splits)
    assert {part for _, part in truth} == {None, *reader.parts}
    for (split, part), pairs in truth.items():
        items = list(reader.files(tmp_path, split, part))
        assert [item.name for item in items] == sorted(pairs)
        for item in items:
            image, label = pairs[item.name]
            np.testing.assert_array_equal(cut(reader.read_image(item.image), item.window), image)
            assert (item.label is None) == (label is None) == (not reader.splits[split].labelled)
            if item.label is not None:
                raw = cut(reader.read_label(item.label), item.window)
                np.testing.assert_array_equal(raw, label)
                assert raw.dtype == np.uint8
                np.testing.assert_array_equal(reader.table(reader.default_map, classes)[raw], mapped[label])


@pytest.mark.parametrize("name", MAPPED)
def test_a_miniature_holds_every_raw_id(name, tmp_path):
    """What the comparison above compares includes each id of the data set, ignored ones too."""
    labels = [label for pairs in written(name, tmp_path).values() for _, label in pairs.values() if label is not None]
    assert set(np.unique(np.concatenate([label.ravel() for label in labels])).tolist()) == set(dataset(name).ids)


@pytest.mark.parametrize("name", MAPPED)
def test_a_reader_agrees_with_itself(name):
    """A reader bears its module's name, and its maps lead from ids that it lists to all classes of its space."""
    reader = dataset(name)
    missing = {"rider", "terrain", "truck", "bus", "bicycle"} if name == "camvid" else set()
    assert reader.name == name
    for table in reader.maps.values():
        assert set(table) <= set(reader.ids)
        assert set(table.values()) == set(space(reader.space)) - missing


@pytest.mark.parametrize("name", MAPPED)
def test_names_are_unique_over_splits(name, tmp_path):
    """No name is in two splits, but for `full`, which holds the others."""
    truth = written(name, tmp_path)
    names = [item for (split, part), pairs in truth.items() if part is None and split != "full" for item in pairs]
    assert len(names) == len(set(names))
    if ("full", None) in truth and names:
        assert set(truth["full", None]) == set(names)


@pytest.mark.parametrize(("name", "group", "item"), [
    ("idd", "119", "119_035471"),
    ("camvid", "Seq05VD", "Seq05VD_f05100"),
    ("potsdam", "6_10", "6_10_t0512_l5488"),
    ("vaihingen", "area11", "area11_t0000_l0512"),
    ("chase_db1", "09", "Image_09R"),
])  # fmt: skip
def test_groups_are_recordings(name, group, item):
    """A name's group is its drive, tile or child."""
    assert re.search(dataset(name).groups, item).group(1) == group


@pytest.mark.parametrize("name", MAPPED)
def test_a_missing_folder_is_named(name, tmp_path):
    """A root that holds no such data set gives one line that names the folder looked for."""
    with pytest.raises(BadInput, match=r"no such folder; extract the data set there") as error:
        reader = dataset(name)
        list(reader.files(tmp_path / "nowhere", next(iter(reader.splits)), None))
    assert str(error.value).startswith(str(tmp_path / "nowhere" / ROOTS[name]))


@pytest.mark.parametrize("name", MAPPED)
def test_a_label_cut_short_is_named(name, tmp_path):
    """Half a label file is an error with its path, not a label of half the pixels."""
    truth, reader = written(name, tmp_path), dataset(name)
    item = next(iter(reader.files(tmp_path, next(iter(truth))[0], None)))
    item.label.write_bytes(item.label.read_bytes()[: item.label.stat().st_size // 2])
    with pytest.raises(BadInput) as error:
        reader.read_label(item.label)
    assert str(error.value).startswith(f"{item.label}: ")
    assert str(error.value).endswith("fetch it again")


# counts that papers share


def test_potsdam_has_the_windows_of_papers(tmp_path):
    """24 and 14 tiles of 6000 pixels give 3456 and 2016 windows, the last of a row flush with the border."""
    reader = dataset("potsdam")
    folder = tmp_path / "2_Ortho_RGB"
    folder.mkdir()
    Image.new("1", (6000, 6000)).save(tmp_path / "tile.tif", compression="group4")
    tiles = (
        "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 6_9 7_10 7_11 7_12 7_7 7_8"
    )
    tiles += " 7_9 5_15 6_15 6_13 3_13 4_14 6_14 5_14 2_13 4_15 2_14 5_13 4_13 3_14 7_13"
    for tile in tiles.split():
        (folder / f"top_potsdam_{tile}_RGB.tif").symlink_to(tmp_path / "tile.tif")
    items = {split: list(reader.files(tmp_path, split, None)) for split in ("train", "val")}
    assert {split: len(found) for split, found in items.items()} == {"train": 3456, "val": 2016}
    assert {split: reader.splits[split].count for split in items} == {"train": 3456, "val": 2016}
    assert (items["val"][1].name, items["val"][1].window) == ("2_13_t0000_l0512", (0, 512, 512, 512))
    assert items["val"][143].window == (5488, 5488, 512, 512)


def test_vaihingen_has_33_tiles():
    """16 and 17 tiles, none in both; the one tile of a known size, 2569 by 1919, has 24 windows."""
    module = importlib.import_module("xdseg.datasets.vaihingen")
    assert {split: len(set(tiles)) for split, tiles in module.TILES.items()} == {"train": 16, "val": 17}
    assert not set(module.TILES["train"]) & set(module.TILES["val"])
    assert len(windows(2569, 1919)) == 24


def test_rim_one_splits_159_eyes():
    """The test split is 60 eyes: 11 with glaucoma, 34 healthy, 15 suspects."""
    eyes = importlib.import_module("xdseg.datasets.rim_one").TEST
    assert [sum(eye.startswith(group) for eye in eyes) for group in "GNS"] == [11, 34, 15]


def test_stare_and_chase_split_by_name(tmp_path):
    """Ten and ten of STARE's 20, 20 and 8 of CHASE_DB1's 28, in the order of names."""
    numbers = [1, 2, 3, 4, 5, 44, 77, 81, 82, 139, 162, 163, 235, 236, 239, 240, 255, 291, 319, 324]
    (tmp_path / "stare-images").mkdir()
    for number in numbers:
        (tmp_path / "stare-images" / f"im{number:04d}.ppm.gz").touch()
    for eye in [f"{child:02d}{side}" for child in range(1, 15) for side in "LR"]:
        (tmp_path / f"Image_{eye}.jpg").touch()
    stare = {split: [item.name for item in dataset("stare").files(tmp_path, split, None)] for split in ("train", "val")}
    assert stare == {
        "train": [f"im{number:04d}" for number in numbers[:10]],
        "val": [f"im{number:04d}" for number in numbers[10:]],
    }
    chase = {
        split: [item.name for item in dataset("chase_db1").files(tmp_path, split, None)] for split in ("train", "val")
    }
    assert (len(chase["train"]), chase["train"][-1], len(chase["val"]), chase["val"][0]) == (
        20,
        "Image_10R",
        8,
        "Image_11L",
    )


# windows


@pytest.mark.parametrize(("length", "expected"), [
    (300, [0]),
    (512, [0]),
    (513, [0, 1]),
    (1024, [0, 512]),
    (1100, [0, 512, 588]),
])  # fmt: skip
def test_windows_start_at_multiples_or_flush_with_the_border(length, expected):
    """A shorter tile has one window; none passes the border."""
    assert starts(length) == expected


def test_windows_cover_a_tile_row_by_row():
    """Every pixel of a tile is in a window, which `cut` takes out of images and labels alike."""
    tile = np.arange(5 * 7).reshape(5, 7)
    found = windows(5, 7, side=4)
    assert found == [(0, 0, 4, 4), (0, 3, 4, 4), (1, 0, 4, 4), (1, 3, 4, 4)]
    assert set(np.concatenate([cut(tile, window).ravel() for window in found])) == set(range(35))
    assert cut(tile, (1, 3, 4, 4)).tolist() == tile[1:5, 3:7].tolist()
    assert cut(tile, None) is tile


# polygons


def annotation(path: Path, objects: list[tuple], size: tuple[int, int] = (8, 10)) -> Path:
    """A JSON of polygons: objects as (label, points) or (label, points, deleted)."""
    entries = [{"label": entry[0], "polygon": entry[1], "deleted": int(len(entry) > 2)} for entry in objects]
    path.write_text(json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": entries}))
    return path


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    """Corners of a rectangle."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_later_polygons_cover_earlier_ones(tmp_path):
    """Objects are drawn in the file's order, edges included; deleted ones are not; points may lie outside the image."""
    path = annotation(
        tmp_path / "a.json",
        [
            ("road", box(-5, 4, 40, 20)),
            ("car", box(2, 2, 5, 5)),
            ("sky", box(0, 0, 9, 9), True),
            ("person", [[4, 5], [4, 7], [4.0, 7.0]]),
            ("hidden", box(0, 0, 3, 3)),
        ],
    )
    drawn = drawn_ids(path, {"road": 1, "car": 2, "sky": 3, "person": 4, "hidden": -1}, background=9)
    assert drawn.tolist() == [
        [9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        [9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        [9, 9, 2, 2, 2, 2, 9, 9, 9, 9],
        [9, 9, 2, 2, 2, 2, 9, 9, 9, 9],
        [1, 1, 2, 2, 2, 2, 1, 1, 1, 1],
        [1, 1, 2, 2, 4, 2, 1, 1, 1, 1],
        [1, 1, 1, 1, 4, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 4, 1, 1, 1, 1, 1],
    ]


def test_triangles_agree_with_half_planes(tmp_path):
    """What lies within all three sides is drawn, what lies a pixel beyond one is not, wherever the corners are."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:40, :50]
    for number in range(50):
        corners = rng.integers(-20, 70, (3, 2))
        (x0, y0), (x1, y1), (x2, y2) = corners.tolist()
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 40:
            continue
        path = annotation(tmp_path / f"{number}.json", [("a", corners.tolist())], (40, 50))
        drawn = drawn_ids(path, {"a": 1}, background=0) == 1
        sides = [((x0, y0), (x1, y1)), ((x1, y1), (x2, y2)), ((x2, y2), (x0, y0))]
        within = np.min(
            [
                np.sign(area) * ((bx - ax) * (rows - ay) - (by - ay) * (columns - ax)) / np.hypot(bx - ax, by - ay)
                for (ax, ay), (bx, by) in sides
            ],
            axis=0,
        )  # signed distance from the nearest side's line
        assert drawn[within > 0].all()
        assert not drawn[within < -1].any()


def test_polygons_agree_with_cityscapes_scripts(tmp_path):
    """Random polygons, groups and labels without an id are drawn as the scripts of Cityscapes draw them."""
    scripts = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    names = pytest.importorskip("cityscapesscripts.helpers.labels").name2label
    helper = pytest.importorskip("cityscapesscripts.helpers.annotation")
    rng = np.random.default_rng(5)
    known = ["road", "car", "cargroup", "license plate", "sky", "polegroup", "ridergroup", "persongroup", "building"]
    objects = [
        (known[rng.integers(len(known))], (rng.uniform(-30, 130, (rng.integers(2, 9), 2))).round(2).tolist())
        for _ in range(200)
    ]
    path = annotation(tmp_path / "a.json", objects, (90, 110))
    peer = helper.Annotation(objType=helper.CsObjectType.POLY)
    peer.fromJsonFile(str(path))
    ids = {name: label.id for name, label in names.items()}
    expected = np.array(scripts.createLabelImage(peer, "ids"))
    np.testing.assert_array_equal(drawn_ids(path, ids, background=0), expected)


@pytest.mark.parametrize(("contents", "finding"), [
    ('{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "tuk", "polygon": [[0, 0], [1, 1]]}]}', "'tuk' is none"),
    ('{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "road", "polygon": [[0, 0]]}]}', "road of 1 points"),
    ('{"imgHeight": 4, "imgWidth": 0, "objects": []}', "an image of 0x4 pixels"),
    ('{"imgHeight": 4, "objects": []}', "KeyError 'imgWidth'"),
    ('{"imgHeight": 4, "imgWidth": 4, "objects": [', "not readable as JSON"),
    ("[]", "holds a list"),
])  # fmt: skip
def test_wrong_annotations_are_named(contents, finding, tmp_path):
    """A label that IDD does not know, and JSON that is none or something else, give one line with the file."""
    path = tmp_path / "1_gtFine_polygons.json"
    path.write_text(contents)
    with pytest.raises(BadInput) as error:
        dataset("idd").read_label(path)
    assert str(error.value).startswith(f"{path}: ")
    assert finding in str(error.value)


def test_idd_reads_jpeg_beside_png(tmp_path):
    """Images of part II, JPEG, are listed among those of part I by name."""
    for drive, ending in (("7", "png"), ("12", "jpg"), ("100", "jpg")):
        path = tmp_path / "leftImg8bit" / "val" / drive / f"000001_leftImg8bit.{ending}"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(path)
    items = list(dataset("idd").files(tmp_path, "val", None))
    assert [item.name for item in items] == ["100_000001", "12_000001", "7_000001"]
    assert items[1].label == tmp_path / "gtFine" / "val" / "12" / "000001_gtFine_polygons.json"


# panoptic segments


def test_a_changed_list_of_segments_is_read_again(tmp_path):
    """The JSON is kept in memory for its file's time only."""
    written("wilddash2", tmp_path, count=1)
    path, listing = tmp_path / "panoptic" / "aa0000_100000.png", tmp_path / "panoptic.json"
    before = dataset("wilddash2").read_label(path)
    contents = json.loads(listing.read_text())
    for segment in contents["annotations"][0]["segments_info"]:
        segment["category_id"] = 7
    listing.write_text(json.dumps(contents))
    os.utime(listing, ns=(1, 1))
    after = dataset("wilddash2").read_label(path)
    assert set(np.unique(before).tolist()) == set(range(81))
    assert (after[:2] == 0).all()
    assert (after[2:] == 7).all()


@pytest.mark.parametrize(("change", "file", "finding"), [
    (lambda contents: contents["annotations"][0].update(file_name="b.png"), "panoptic.json", "no segments of aa0000"),
    (lambda contents: contents["annotations"][0].update(segments_info=[]), "panoptic/aa0000_100000.png", "none of its"),
    (lambda contents: contents["annotations"][0]["segments_info"][3].update(category_id=300), "panoptic.json", "no id"),
    (lambda contents: contents["annotations"][0]["segments_info"][3].update(id=2**24), "panoptic.json", "is no colour"),
    (lambda contents: contents["annotations"][0].pop("segments_info"), "panoptic.json", "KeyError 'segments_info'"),
])  # fmt: skip
def test_segments_that_do_not_fit_are_named(change, file, finding, tmp_path):
    """A JSON of another release, or one that is broken, gives one line with the file."""
    written("wilddash2", tmp_path, count=1)
    contents = json.loads((tmp_path / "panoptic.json").read_text())
    change(contents)
    (tmp_path / "panoptic.json").write_text(json.dumps(contents))
    with pytest.raises(BadInput) as error:
        dataset("wilddash2").read_label(tmp_path / "panoptic" / "aa0000_100000.png")
    assert str(error.value).startswith(f"{tmp_path / file}: ")
    assert finding in str(error.value)


@pytest.mark.parametrize("contents", [None, b'{"annotations": [{"file_name": '])
def test_a_missing_or_truncated_list_of_segments_is_named(contents, tmp_path):
    """Without a whole JSON no label is read."""
    written("wilddash2", tmp_path, count=1)
    (tmp_path / "panoptic.json").unlink()
    if contents:
        (tmp_path / "panoptic.json").write_bytes(contents)
    with pytest.raises(BadInput, match=rf"^{tmp_path}/panoptic.json: (no such file|not readable as JSON)"):
        dataset("wilddash2").read_label(tmp_path / "panoptic" / "aa0000_100000.png")


# colours


@pytest.mark.parametrize(("name", "file"), [
    ("camvid", "a_L.png"),
    ("potsdam", "top_potsdam_2_10_label_noBoundary.tif"),
    ("vaihingen", "top_mosaic_09cm_area1_noBoundary.tif"),
])  # fmt: skip
def test_an_unknown_colour_is_named(name, file, tmp_path):
    """One pixel that is a little off is not read as the nearest class."""
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[2, 3] = (1, 0, 254)
    Image.fromarray(pixels).save(tmp_path / file)
    with pytest.raises(BadInput, match=r"colour \(1, 0, 254\) at 1 pixels is no class") as error:
        dataset(name).read_label(tmp_path / file)
    assert str(error.value).startswith(f"{tmp_path / file}: ")


def test_off_colours_are_taken_for_the_nearest_only_where_published_so(tmp_path):
    """Potsdam's tile 6_7 has cars of (252, 255, 0); magenta is no class there either."""
    path = tmp_path / "top_potsdam_6_7_label_noBoundary.tif"
    Image.fromarray(np.array([[[252, 255, 0], [9, 222, 221], [127, 127, 128]]], np.uint8)).save(path)
    assert dataset("potsdam").read_label(path).tolist() == [[5, 3, 2]]
    Image.fromarray(np.array([[[200, 9, 255]]], np.uint8)).save(path)
    with pytest.raises(BadInput, match=r"colour \(255, 0, 255\)"):
        dataset("potsdam").read_label(path)


def test_tables_of_two_data_sets_are_kept_apart(tmp_path):
    """The same file has the ids of the colours that are asked for."""
    Image.fromarray(np.array([[[1, 2, 3], [3, 2, 1]]], np.uint8)).save(tmp_path / "a.png")
    assert coloured_ids(tmp_path / "a.png", {(1, 2, 3): 4, (3, 2, 1): 5}).tolist() == [[4, 5]]
    assert coloured_ids(tmp_path / "a.png", {(1, 2, 3): 6, (3, 2, 1): 0}).tolist() == [[6, 0]]


# medical


def test_labels_that_are_not_there_are_listed_all_the_same(tmp_path):
    """DRIVE's test split without manual labels names the file that is missing, for the checker to report."""
    written("drive", tmp_path)
    for path in (tmp_path / "test" / "1st_manual").iterdir():
        path.unlink()
    items = list(dataset("drive").files(tmp_path, "test", None))
    assert [item.label.name for item in items] == ["01_manual1.gif", "02_manual1.gif"]
    with pytest.raises(BadInput, match=r"01_manual1.gif: no such file"):
        dataset("drive").read_label(items[0].label)


@pytest.mark.parametrize(("name", "ending"), [("drishti_gs", "_cupsegSoftmap.png"), ("rim_one", "-Cup-Avg.png")])
def test_a_cup_that_is_missing_or_of_another_size_is_named(name, ending, tmp_path):
    """A label of disc alone would call the cup disc."""
    truth, reader = written(name, tmp_path, count=1), dataset(name)
    item = next(iter(reader.files(tmp_path, "train", None)))
    (cup,) = item.label.parent.glob(f"{item.name}{ending}")
    Image.new("L", (10, 10)).save(cup)
    with pytest.raises(BadInput, match=r"the cup's mask is 10x10, the disc's is (64|128)x48"):
        reader.read_label(item.label)
    cup.unlink()
    with pytest.raises(BadInput) as error:
        reader.read_label(item.label)
    assert str(error.value) == f"{cup}: no such file"
    assert item.name in truth["train", None]


def test_gzipped_bytes_that_are_cut_short_or_no_image_are_named(tmp_path):
    """STARE's archives are checked down to the packed bytes."""
    path = tmp_path / "im0001.ppm.gz"
    packed = gzip.compress(b"P6 2 1 255 " + bytes(range(6)))
    path.write_bytes(packed)
    assert dataset("stare").read_image(path).tolist() == [[[0, 1, 2], [3, 4, 5]]]
    for contents in (packed[:-9], b"no gzip", gzip.compress(b"no image")):
        path.write_bytes(contents)
        with pytest.raises(BadInput, match=rf"^{path}: .*fetch it again$"):
            dataset("stare").read_image(path)


def test_refuge_and_its_missing_masks(tmp_path):
    """An image without mask is listed with the place where its mask was looked for."""
    written("refuge", tmp_path, count=1)
    (tmp_path / "REFUGE-Test-GT" / "Disc_Cup_Masks" / "N" / "T1001.bmp").unlink()
    items = {item.name: item for item in dataset("refuge").files(tmp_path, "test", None)}
    masks = tmp_path / "REFUGE-Test-GT" / "Disc_Cup_Masks"
    assert items["T0001"].label == masks / "G" / "T0001.bmp"
    assert items["T1001"].label == masks / "G" / "T1001.bmp"
