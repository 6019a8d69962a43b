"""Export for test servers: exact members and pixels by hand, every fault refused, nothing left behind."""

import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from xdseg.datasets import cityscapes as cityscapes_data
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import encode_png, write_predictions
from xdseg.exports.archive import check_archive, write_archive
from xdseg.exports.registry import SERVERS, server
from xdseg.stages.export import export

IDS = np.array([[0, 1, 18, 18], [2, 2, 9, 18], [0, 0, 0, 13]], np.uint8)
NAMES = {
    "cityscapes": ("berlin_000000_000019", "mainz_000003_015916"),
    "acdc": ("GOPR0122_frame_000161", "GP010475_frame_000002"),
    "dark-zurich": ("GOPR0364_frame_000001", "GOPR0364_frame_000002"),
    "loveda": ("4191", "5986"),
    "loveda-urban": ("5167", "5168"),
    "loveda-rural": ("4191", "4192"),
}
TREES = {
    "cityscapes": "leftImg8bit/test/{0}/{1}_leftImg8bit.png",
    "acdc": "rgb_anon/{0}/test/SEQ/{1}_rgb_anon.png",
    "dark-zurich": "rgb_anon/test/night/{0}/{1}_rgb_anon.png",
    "loveda": "Test/{0}/images_png/{1}.png",
}


def small(name: str):
    """The server of a name, but for two images of 3 x 4 pixels."""
    return replace(server(name), count=2, shape=(3, 4))


def given(path: Path, name: str, *, ids: np.ndarray = IDS) -> Path:
    """Predictions of a server's two images; the second is the first, rolled by one pixel; LoveDA's within 0..6."""
    ids = ids % 7 if name.startswith("loveda") else ids
    write_predictions(path, ((image, np.roll(ids, shift)) for shift, image in enumerate(NAMES[name])))
    return path


def members(path: Path) -> dict[str, np.ndarray]:
    with ZipFile(path) as archive:
        return {name: np.array(Image.open(BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_cityscapes_gets_raw_ids(tmp_path):
    """By hand: road 0 is 7, sidewalk 1 is 8, building 2 is 11, terrain 9 is 22, car 13 is 26, bicycle 18 is 33."""
    write_archive(small("cityscapes"), given(tmp_path / "p.zip", "cityscapes"), tmp_path / "out.zip")
    written = members(tmp_path / "out.zip")
    assert list(written) == [f"{name}_gtFine_labelIds.png" for name in NAMES["cityscapes"]]
    expected = [[7, 8, 33, 33], [11, 11, 22, 33], [7, 7, 7, 26]]
    assert written["berlin_000000_000019_gtFine_labelIds.png"].tolist() == expected


def test_raw_ids_lead_back_to_the_classes():
    """What is written for Cityscapes is what the reader of its labels takes apart, class by class."""
    names = tuple(cityscapes_data.MAP.values())
    table = cityscapes_data.DATASET.table("cityscapes", names)
    assert table[list(server("cityscapes").ids)].tolist() == list(range(19))


def test_acdc_gets_train_ids_in_one_folder(tmp_path):
    """Ids as they are, in labelTrainIds/, named as the truth would be."""
    write_archive(small("acdc"), given(tmp_path / "p.zip", "acdc"), tmp_path / "out.zip")
    written = members(tmp_path / "out.zip")
    assert list(written) == [f"labelTrainIds/{name}_gt_labelTrainIds.png" for name in NAMES["acdc"]]
    assert [(ids == np.roll(IDS, shift)).all() for shift, ids in enumerate(written.values())] == [True, True]


def test_dark_zurich_gets_three_folders(tmp_path):
    """Train ids twice, and 16-bit confidences that say 65535 everywhere; every file grey."""
    write_archive(small("dark-zurich"), given(tmp_path / "p.zip", "dark-zurich"), tmp_path / "out.zip")
    written = members(tmp_path / "out.zip")
    first, second = (f"{name}_gt_labelTrainIds.png" for name in NAMES["dark-zurich"])
    folders = ("labelTrainIds", "labelTrainIds_invalid", "confidence")
    assert list(written) == [f"{folder}/{name}" for folder in folders for name in (first, second)]
    assert (written[f"labelTrainIds/{first}"] == IDS).all()
    assert (written[f"labelTrainIds_invalid/{first}"] == IDS).all()
    assert written[f"confidence/{second}"].dtype == np.uint16 and (written[f"confidence/{second}"] == 65535).all()


def test_invalid_pixels_go_to_their_folder_alone(tmp_path):
    """Own predictions with 255 fill labelTrainIds_invalid; labelTrainIds stays without."""
    marked = IDS.copy()
    marked[0] = 255
    path = given(tmp_path / "invalid.zip", "dark-zurich", ids=marked)
    write_archive(small("dark-zurich"), given(tmp_path / "p.zip", "dark-zurich"), tmp_path / "out.zip", invalid=path)
    written = members(tmp_path / "out.zip")
    name = "GOPR0364_frame_000001_gt_labelTrainIds.png"
    assert (written[f"labelTrainIds/{name}"] == IDS).all()
    assert (written[f"labelTrainIds_invalid/{name}"] == marked).all()


def test_invalid_pixels_are_refused_elsewhere(tmp_path):
    """255 in the plain predictions is no class, and only Dark Zurich takes predictions with invalid pixels."""
    marked = np.full((3, 4), 255, np.uint8)
    path = given(tmp_path / "p.zip", "dark-zurich", ids=marked)
    with pytest.raises(BadInput, match=r"GOPR0364_frame_000001.png: id 255 is none of the classes 0\.\.18"):
        write_archive(small("dark-zurich"), path, tmp_path / "out.zip")
    with pytest.raises(BadInput, match="acdc takes no predictions with invalid pixels"):
        write_archive(small("acdc"), given(tmp_path / "a.zip", "acdc"), tmp_path / "out.zip", invalid=path)


def test_loveda_gets_its_ids_at_the_top_of_the_zip(tmp_path):
    """No folder, since the server scores 0 then; ids 0..6 and the images' own file names; 7 is refused."""
    write_archive(small("loveda"), given(tmp_path / "p.zip", "loveda"), tmp_path / "out.zip")
    written = members(tmp_path / "out.zip")
    assert list(written) == ["4191.png", "5986.png"]
    assert written["4191.png"].tolist() == (IDS % 7).tolist()
    write_predictions(tmp_path / "seven.zip", [("4191", IDS % 7), ("4192", np.full((3, 4), 7, np.uint8))])
    with pytest.raises(BadInput, match=r"4192.png: id 7 is none of the classes 0\.\.6"):
        write_archive(small("loveda"), tmp_path / "seven.zip", tmp_path / "out.zip")


@pytest.mark.parametrize("name", SERVERS)
def test_equal_predictions_give_equal_bytes_at_any_time(tmp_path, monkeypatch, name):
    """From a zip or a folder, today or years later: the same zip; nothing else is left in the folder."""
    path = given(tmp_path / "p.zip", name)
    folder = tmp_path / "folder"
    with ZipFile(path) as archive:
        archive.extractall(folder)
    (folder / ".DS_Store").write_text("not a prediction")
    out = tmp_path / "out"
    out.mkdir()
    write_archive(small(name), path, out / "first.zip")
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    write_archive(small(name), folder, out / "second.zip")
    assert (out / "first.zip").read_bytes() == (out / "second.zip").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["first.zip", "second.zip"]


@pytest.mark.parametrize("name", TREES)
def test_names_come_from_the_data_set_where_it_is_given(tmp_path, name):
    """The test images below the root are the expected names, whatever their number; others' files do not count."""
    folders = {"acdc": ("fog", "snow"), "loveda": ("Urban", "Rural")}.get(name, ("one", "two"))
    for folder, image in zip(folders, NAMES[name], strict=True):
        path = tmp_path / "data" / TREES[name].format(folder, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.with_name("notes.txt").touch()
    for condition in ("night", "rain") if name == "acdc" else ():
        (tmp_path / f"data/rgb_anon/{condition}/test").mkdir(parents=True)
    whole = replace(small(name), count=1000)
    done = write_archive(whole, given(tmp_path / "p.zip", name), tmp_path / "out.zip", root=tmp_path / "data")
    assert done.images == 2 and done.size == (tmp_path / "out.zip").stat().st_size


def test_a_missing_and_a_foreign_name_are_told(tmp_path):
    """One line per kind; the zip that was there before stays as it was."""
    image = tmp_path / "data/rgb_anon/test/night/GOPR0364/GOPR0364_frame_000001_rgb_anon.png"
    image.parent.mkdir(parents=True)
    image.touch()
    image.with_name("GOPR0364_frame_000007_rgb_anon.png").touch()
    (tmp_path / "out.zip").write_text("before")
    with pytest.raises(BadInput) as error:
        write_archive(
            small("dark-zurich"), given(tmp_path / "p.zip", "dark-zurich"), tmp_path / "out.zip", root=tmp_path / "data"
        )
    assert str(error.value).splitlines() == [
        f"{tmp_path}/p.zip: 2 names differ from Dark Zurich's test images; predict that split, whole",
        "  missing (1): GOPR0364_frame_000007",
        "  no test image (1): GOPR0364_frame_000002",
    ]
    assert (tmp_path / "out.zip").read_text() == "before"


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        ([("GOPR0122_frame_000161", IDS)], "1 predictions, ACDC's test split has 2; predict the whole split"),
        ([("berlin_000000_000019", IDS)], "1 of 1 names are none of ACDC's test images: berlin_000000_000019; name"),
        ([("GOPR0122_frame_000161_rgb_anon", IDS)], "names are none of ACDC's test images"),
        ([(name, IDS.T.copy()) for name in NAMES["acdc"]], "4 x 3 pixels, its truth has 3 x 4"),
        ([(name, IDS + 1) for name in NAMES["acdc"]], "GOPR0122_frame_000161.png: id 19 is none of the classes"),
    ],
    ids=("too few", "another data set's", "with the image's ending", "transposed", "one too high"),
)
def test_what_the_server_would_refuse_is_refused_here(tmp_path, pairs, line):
    """Wrong number, names, size or ids: one BadInput, and nothing is written."""
    write_predictions(tmp_path / "p.zip", pairs)
    with pytest.raises(BadInput) as error:
        write_archive(small("acdc"), tmp_path / "p.zip", tmp_path / "out.zip")
    assert line in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_colours_and_sixteen_bits_are_refused(tmp_path, mode):
    """An image that holds no 8-bit ids is named, together with every other fault."""
    for name in NAMES["acdc"]:
        array = np.dstack([IDS] * 3) if mode == "RGB" else IDS.astype(np.uint16)
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    with pytest.raises(BadInput) as error:
        write_archive(small("acdc"), tmp_path, tmp_path / "out.zip")
    said = str(error.value).splitlines()
    assert len(said) == 2 and all("write class ids as 8-bit single-channel PNG" in line for line in said)
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    ("member", "data", "line"),
    [
        ("labelTrainIds/GOPR0122_frame_000161.png", encode_png(IDS), "members are not those that ACDC expects"),
        (None, encode_png(IDS + 1), "id 19"),
        (None, encode_png(IDS.T.copy()), "4 x 3 pixels"),
        (None, "RGB", "mode RGB"),
    ],
)
def test_a_written_zip_is_checked_again(tmp_path, member, data, line):
    """Reading back finds a wrong name, id, size or mode of a zip that somebody made otherwise."""
    if data == "RGB":
        file = BytesIO()
        Image.fromarray(np.dstack([IDS] * 3)).save(file, format="PNG")
        data = file.getvalue()
    name = NAMES["acdc"][0]
    with ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr(member or f"labelTrainIds/{name}_gt_labelTrainIds.png", data)
    with pytest.raises(BadInput, match=line):
        check_archive(tmp_path / "out.zip", small("acdc"), [name])


def test_the_result_is_a_zip_and_not_the_predictions(tmp_path):
    """Another ending, and the predictions' own file, are refused; the predictions stay."""
    path = given(tmp_path / "p.zip", "acdc")
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"name the result NAME\.zip"):
        write_archive(small("acdc"), path, tmp_path / "out.tar")
    with pytest.raises(BadInput, match="is the predictions themselves"):
        write_archive(small("acdc"), path, path)
    assert path.read_bytes() == before


def test_a_missing_root_and_an_empty_one_are_named(tmp_path):
    """A root without the data set's folders, and one whose folders are empty."""
    path = given(tmp_path / "p.zip", "cityscapes")
    with pytest.raises(BadInput, match="leftImg8bit/test: no such folder"):
        write_archive(small("cityscapes"), path, tmp_path / "out.zip", root=tmp_path)
    (tmp_path / "leftImg8bit/test").mkdir(parents=True)
    with pytest.raises(BadInput, match="no test image of Cityscapes below --root"):
        write_archive(small("cityscapes"), path, tmp_path / "out.zip", root=tmp_path)


def test_counts_and_sizes_are_those_of_the_test_splits():
    """Published numbers of test images; ACDC's are 500 of each of four conditions, LoveDA's the sum of two regions."""
    assert {name: (found.count, found.shape) for name, found in SERVERS.items()} == {
        "acdc": (4 * 500, (1080, 1920)),
        "cityscapes": (1525, (1024, 2048)),
        "dark-zurich": (151, (1080, 1920)),
        "loveda": (820 + 976, (1024, 1024)),
        "loveda-urban": (820, (1024, 1024)),
        "loveda-rural": (976, (1024, 1024)),
    }
    assert cityscapes_data.DATASET.splits["test"].count == server("cityscapes").count


def test_an_image_of_true_size_passes_through_unchanged(tmp_path):
    """1024 x 2048 noise of all 19 classes: each pixel is the raw id of its class."""
    ids = np.random.default_rng(0).integers(0, 19, (1024, 2048), dtype=np.uint8)
    write_predictions(tmp_path / "p.zip", [("berlin_000000_000019", ids)])
    write_archive(replace(server("cityscapes"), count=1), tmp_path / "p.zip", tmp_path / "out.zip")
    written = members(tmp_path / "out.zip")["berlin_000000_000019_gtFine_labelIds.png"]
    assert (written == np.array(cityscapes_data.SCORED, np.uint8)[ids]).all()


def test_the_command_says_what_to_know(tmp_path, capsys, monkeypatch):
    """What was written, where to upload it, what was not checked or not said, and what is unconfirmed."""
    monkeypatch.setitem(SERVERS, "dark-zurich", small("dark-zurich"))
    export("dark-zurich", given(tmp_path / "p.zip", "dark-zurich"), tmp_path / "out.zip")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{tmp_path}/out.zip: 2 images of Dark Zurich, 0.0 MB, read back and checked"
    assert said[1] == "upload it at CodaLab, competition 3783"
    assert (
        said[3] == "labelTrainIds_invalid holds the same predictions, no pixel called invalid; --invalid gives others"
    )
    assert said[-1].startswith("unconfirmed: ")
    with pytest.raises(BadInput, match=r"unknown test server 'dark_zurich'; did you mean 'dark-zurich'\?"):
        export("dark_zurich", tmp_path / "p.zip", tmp_path / "out.zip")
