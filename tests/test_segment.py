"""Any images through a trained run: the bytes of its own evaluation, nothing half-written, a line for what is wrong."""

import json
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import tiny_jobs
from conftest import CLASSES, small_config
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from xdseg.cli import main
from xdseg.data.photographs import find_images, read_upright, remarks
from xdseg.errors import BadInput
from xdseg.evaluation.inference import class_ids
from xdseg.evaluation.overlay import NARROWEST, TINT, blend, overlay
from xdseg.files import file_digest, write_json
from xdseg.palette import colours, lab
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.build import build_segmenter
from xdseg.settings.evaluation import Inference
from xdseg.trained import chosen_inference, read_run
from xdseg.training.checkpoint import save_weights
from xdseg.versions import SOURCES

FINGERPRINT = "c0ffee00" * 8
RUN = Path("results/toy/source-only/a/s0-c0ffee00")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in: no params.yaml, no data."""
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_run(folder: Path = RUN, *, kind: str = "toy", classes=CLASSES, **receipt) -> Path:
    """A run's folder with an untrained network and the receipt that names it."""
    settings = tiny_jobs.segmenter_settings(kind)
    network = build_segmenter(kind, settings, classes, seed=5)
    folder.mkdir(parents=True)
    save_weights(folder, network.state_dict(), {}, fingerprint=FINGERPRINT)
    published = {"weights": "0" * 64} if hasattr(settings, "weights") else {}  # as a fingerprint holds it: a digest
    segmenter = {"kind": kind, "version": 1, "settings": settings.identity() | published}
    contents = {
        "fingerprint": FINGERPRINT,
        "payload": {"segmenter": segmenter, "classes": list(classes)},
        "settings": {"training": {"precision": "fp32"}},
        "weights": file_digest(folder / "weights.safetensors"),
        "environment": {"commit": "abc123"},
    }
    write_json(folder / "run.json", contents | receipt)
    return folder


def picture(path: Path, *, seed: int = 0, size: tuple[int, int] = (20, 30), **options) -> np.ndarray:
    """An RGB image of noise, written to `path`; returns its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def expected_ids(pixels: np.ndarray, **inference) -> np.ndarray:
    """Class ids by the evaluation's own function, from the network that `make_run` saves."""
    network = build_segmenter("toy", tiny_jobs.segmenter_settings("toy"), CLASSES, seed=5)
    return class_ids(network, pixels, settings=Inference(**inference), size=pixels.shape[:2])


def ids_in(out: Path, name: str) -> np.ndarray:
    """Stored class ids of an image."""
    return np.array(Image.open(out / "ids" / f"{name}.png"))


def refused(capsys, *arguments) -> str:
    """The one line of a command that must end with exit code 2."""
    capsys.readouterr()
    assert main(["predict", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_ids_are_those_of_the_evaluation(here, capsys):
    """Without params.yaml, from the run's folder alone; subfolders keep their names, other files are left alone."""
    make_run()
    pixels = {"one": picture(here / "in/one.png"), "deep/two": picture(here / "in/deep/two.bmp", seed=1, size=(9, 50))}
    (here / "in/notes.txt").write_text("no image")
    assert main(["predict", str(RUN), "in"]) == 0
    out = here / "segmented/in-c0ffee00"
    for name, image in pixels.items():
        np.testing.assert_array_equal(ids_in(out, name), expected_ids(image))
        assert (out / f"overlays/{name}.jpg").is_file()
    summary = json.loads((out / "segmented.json").read_text())
    assert summary["images"]["deep/two"] == {"file": "in/deep/two.bmp", "size": [9, 50]}
    assert summary["fingerprint"] == FINGERPRINT and [entry["name"] for entry in summary["classes"]] == CLASSES
    said = capsys.readouterr().out
    assert "2 images, no record says how: native, whole" in said and "1 other file left alone" in said


def test_windows_and_size_are_those_of_the_records(here):
    """A run evaluated in windows of a resized image segments everything so, unless it is asked otherwise."""
    make_run()
    inference = {"size": 24, "mode": "slide", "window": 16, "stride": 12}
    record = {"fingerprints": {"train": FINGERPRINT}, "protocol": {"inference": inference}}
    write_json(here / "results/records/toy/source-only/a--b/s0-00000000.json", record)
    write_json(here / "records/toy/other/a--b/s0-11111111.json", {"fingerprints": {"train": "else"}})
    pixels = picture(here / "in/one.png", size=(40, 50))
    assert main(["predict", str(RUN / "run.json"), "in/one.png", "--out", "slid"]) == 0
    slid, whole = expected_ids(pixels, **inference), expected_ids(pixels)
    assert (slid != whole).any(), "else the test says nothing"
    np.testing.assert_array_equal(ids_in(here / "slid", "one"), slid)
    assert main(["predict", str(RUN), "in", "--out", "whole", "--mode", "whole", "--size", "native"]) == 0
    np.testing.assert_array_equal(ids_in(here / "whole", "one"), whole)
    assert main(["predict", str(RUN), "in", "--out", "sized", "--size", "20x30"]) == 0
    np.testing.assert_array_equal(ids_in(here / "sized", "one"), expected_ids(pixels, **inference | {"size": (20, 30)}))


def test_two_ways_of_evaluation_leave_a_choice(here, capsys):
    """Neither is taken silently; naming one is enough."""
    make_run()
    for number, size in enumerate(("native", 64)):
        record = {"fingerprints": {"train": FINGERPRINT}, "protocol": {"inference": {"size": size}}}
        write_json(here / f"records/toy/source-only/a--b/s0-0000000{number}.json", record)
    picture(here / "in/one.png")
    assert "was evaluated in 2 ways (native, whole; size 64, whole); give --mode and --size" in refused(
        capsys, RUN, "in"
    )
    assert main(["predict", str(RUN), "in", "--mode", "whole", "--size", "64"]) == 0


@pytest.mark.parametrize(
    ("asked", "finding"),
    [
        (["--window", "16"], "mode slide needs window and stride"),
        (["--mode", "whole", "--window", "8", "--stride", "8"], "window and stride belong to mode slide"),
        (["--size", "big"], "expected native, [height, width] or the length of the short side"),
        (["--size", "0x4"], "expected native"),
    ],
)
def test_settings_that_do_not_fit(here, capsys, asked, finding):
    """One line before anything is segmented."""
    make_run()
    picture(here / "in/one.png")
    assert finding in refused(capsys, RUN, "in", *asked)
    assert not (here / "segmented").exists()


def test_existing_results_are_not_overwritten(here, capsys):
    """A folder that holds anything is refused and stays as it is; an empty one is used."""
    make_run()
    picture(here / "in/one.png")
    (here / "out").mkdir()
    assert main(["predict", str(RUN), "in", "--out", "out"]) == 0
    before = file_digest(here / "out/segmented.json")
    assert refused(capsys, RUN, "in", "--out", "out").startswith("xdseg: out: is there already; name a new folder")
    assert file_digest(here / "out/segmented.json") == before
    assert main(["predict", str(RUN), ".", "--out", "all"]) == 0, "images of earlier results are no input"
    assert sorted(json.loads((here / "all/segmented.json").read_text())["images"]) == ["in/one"]


def test_names_that_clash_keep_their_ending(here):
    """a.jpg and a.png give two results; b.PNG alone keeps the short name."""
    make_run()
    for name in ("a.jpg", "a.png", "b.PNG"):
        picture(here / "in" / name)
    assert main(["predict", str(RUN), "in", "--out", "out"]) == 0
    assert sorted(path.name for path in (here / "out/ids").iterdir()) == ["a.jpg.png", "a.png.png", "b.png"]


def test_names_that_clash_still(here):
    """a.jpg, a.png and a.jpg.png cannot all be told apart."""
    for name in ("a.jpg", "a.png", "a.jpg.png"):
        picture(here / "in" / name)
    with pytest.raises(BadInput, match=r"in/a.jpg.png: its result would be a.jpg.png, as that of in/a.jpg; rename one"):
        find_images(Path("in"))


def test_broken_image_ends_it_before_anything_is_written(here, capsys):
    """Every broken image has its line; no folder, hidden or not, is left."""
    make_run()
    picture(here / "in/a.png")
    picture(here / "in/b.jpg")
    (here / "in/b.jpg").write_bytes((here / "in/b.jpg").read_bytes()[:-60])
    assert refused(capsys, RUN, "in").startswith("xdseg: in/b.jpg: broken or cut short")
    (here / "in/c.png").write_bytes(b"no image")
    assert main(["predict", str(RUN), "in"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["in/b.jpg", "in/c.png"]
    assert not (here / "segmented").exists()


def test_failure_on_the_way_leaves_nothing(here, monkeypatch):
    """Killed at the second image: no results that look whole, and no rest of them."""
    make_run()
    picture(here / "in/a.png")
    picture(here / "in/b.png")
    seen = []

    def failing(image, *rest):
        seen.append(image)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return overlay(image, *rest)

    monkeypatch.setattr("xdseg.stages.segment.overlay", failing)
    with pytest.raises(KeyboardInterrupt):
        main(["predict", str(RUN), "in"])
    assert list((here / "segmented").iterdir()) == []


def test_memory_that_is_short_is_said(here, capsys, monkeypatch):
    """An image too large for the machine is named, with the way out."""
    make_run()
    picture(here / "in/a.png")

    def short(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr("xdseg.evaluation.inference.class_ids", short)
    assert "in/a.png: 20 x 30 pixels take more memory than there is; add --window" in refused(capsys, RUN, "in")


def test_what_is_no_run_says_how_to_get_one(here, capsys):
    """A clone has neither folder nor weights."""
    picture(here / "in/one.png")
    assert "`snakemake results/RUN/run.json` trains one" in refused(capsys, "results/none", "in")
    make_run()
    (RUN / "weights.safetensors").unlink()
    assert f"missing; delete {RUN}/run.json, then `snakemake {RUN}/run.json`" in refused(capsys, RUN, "in")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"weights": "0" * 64}, "not the weights that"),
        ({"fingerprint": "1" * 64}, "weights of run c0ffee00, not of 11111111"),
        ({"payload": {}}, "no receipt of a run (KeyError('segmenter'))"),
        (
            {"payload": {"segmenter": {"kind": "toy", "version": 7, "settings": {}}, "classes": ["a"]}},
            "trained with version 7 of toy, this is version 1; use the code of commit abc123",
        ),
        (
            {"payload": {"segmenter": {"kind": "toy", "version": 1, "settings": {"chanels": 8}}, "classes": ["a"]}},
            "chanels: no such key; did you mean 'channels'?",
        ),
    ],
)
def test_damaged_runs(here, capsys, change, finding):
    """Whatever does not fit is named with its file."""
    make_run(**change)
    picture(here / "in/one.png")
    error = refused(capsys, RUN, "in")
    assert str(RUN) in error and finding in error


def test_segmenter_of_a_plugin_needs_its_params(here, capsys, monkeypatch):
    """A network from outside the tree is built where params.yaml names its module, and only then is that read."""
    receipt = json.loads((make_run() / "run.json").read_text())
    receipt["payload"]["segmenter"]["kind"] = "outside"
    write_json(RUN / "run.json", receipt)
    picture(here / "in/one.png")
    assert "params.yaml: no such file" in refused(capsys, RUN, "in")
    monkeypatch.setattr(SEGMENTERS, "components", dict(SEGMENTERS.components))
    outside = replace(SEGMENTERS["toy"], name="outside")
    monkeypatch.setattr("xdseg.cli_parts.load", lambda overlays: None)
    assert "no segmenter 'outside'; run where plugins: in params.yaml names" in refused(capsys, RUN, "in")
    monkeypatch.setattr("xdseg.cli_parts.load", lambda overlays: SEGMENTERS.add(outside))
    assert main(["predict", str(RUN), "in"]) == 0


@pytest.mark.parametrize("arguments", [["results"], [RUN / "predictions-00000000.json", "--mode", "whole"]])
def test_one_argument_is_the_workflows(here, capsys, arguments):
    """A folder, or an option of the other form, without images is half a command."""
    (here / "results").mkdir()
    assert "say which images; xdseg predict RUN FOLDER" in refused(capsys, *arguments)


def test_folder_without_images(here, capsys):
    """What would be read is listed."""
    make_run()
    (here / "in").mkdir()
    (here / "in/.hidden.png").write_bytes(b"")
    assert "in: no image; they end in .jpg, .jpeg, .png" in refused(capsys, RUN, "in")
    assert "nowhere: no such folder or image" in refused(capsys, RUN, "nowhere")


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright_as_viewers_do(here, ending, orientation):
    """All eight orientations, in every format that can hold one, give what Pillow's own transposing gives."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    picture(here / f"a.{ending}", exif=exif)
    with Image.open(here / f"a.{ending}") as image:
        shown = np.array(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_upright(here / f"a.{ending}"), shown)
    assert shown.shape == ((30, 20, 3) if orientation > 4 else (20, 30, 3))
    turned = any("turned upright" in remark for remark in remarks(here / f"a.{ending}"))
    assert turned == (orientation > 1)


def test_what_is_converted_is_said(here):
    """Grey, palette, transparent, CMYK, deep and many-framed images are read, and each has its remark."""
    image = Image.fromarray(picture(here / "plain.png"))
    for mode, name in (("L", "g.png"), ("P", "p.png"), ("RGBA", "t.png"), ("CMYK", "c.jpg"), ("1", "b.png")):
        image.convert(mode).save(here / name)
    image.save(here / "f.tif", save_all=True, append_images=[image])
    deep = np.zeros((4, 5, 3), ">u2")
    deep[...] = 0xAB00
    raw = b"".join(b"\0" + row.tobytes() for row in deep)
    (here / "d.png").write_bytes(png(raw, width=5, height=4, depth=16, colour=2))
    expected = {
        "plain.png": "",
        "g.png": "grey, repeated",
        "p.png": "palette",
        "t.png": "transparency is dropped",
        "c.jpg": "CMYK",
        "b.png": "black and white",
        "f.tif": "several frames",
        "d.png": "more than 8 bits",
    }
    for name, words in expected.items():
        found = remarks(here / name)
        assert len(found) == bool(words) and words in "".join(found), name
        assert read_upright(here / name).shape[2] == 3
    assert (read_upright(here / "d.png") == 0xAB).all()


def test_grey_of_16_bits_is_refused(here):
    """Its range is unknown: a scan may use the lowest 12 bits, and half of it would be white."""
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(here / "a.tif")
    with pytest.raises(BadInput, match=r"a.tif: an image of mode I;16.*; save it with 8 bits per channel"):
        read_upright(here / "a.tif")


def png(raw: bytes, *, width: int, height: int, depth: int, colour: int) -> bytes:
    """A PNG from its scan lines; Pillow writes no RGB of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def test_tint_by_hand():
    """A pixel is 45% image and 55% its class's colour, rounded; background stays."""
    image = np.full((1, 2, 3), 100, np.uint8)
    tinted = blend(image, np.array([[0, 1]], np.uint8), ("background", "road"))
    assert tinted[0, 0].tolist() == [100, 100, 100]
    assert tinted[0, 1].tolist() == [round(45 + TINT * c) for c in (128, 64, 128)]


def test_overlay_names_what_occurs_in_its_colour():
    """Small images are enlarged whole; the strip below shows the colours of the classes that occur and no others."""
    ids = np.zeros((30, 50), np.uint8)
    ids[:10] = 2
    classes = ("road", "car", "sky")
    made = np.array(overlay(np.zeros((30, 50, 3), np.uint8), ids, classes))
    factor = 10  # 480 / 50, rounded up
    assert made.shape[1] == 50 * factor >= NARROWEST
    tinted, strip = made[: 30 * factor], made[30 * factor :].reshape(-1, 3)
    np.testing.assert_array_equal(tinted[::factor, ::factor], blend(np.zeros((30, 50, 3), np.uint8), ids, classes))
    shown = {tuple(colour) for colour in np.unique(strip, axis=0).tolist()}
    road, car, sky = map(tuple, colours(classes).tolist())
    assert {road, sky} <= shown and car not in shown
    assert (strip == 255).all(axis=1).mean() > 0.5, "dark letters on paper"


def test_legend_breaks_its_lines():
    """Forty classes need more than one line, and none of them ends beyond the image."""
    classes = tuple(f"class number {number}" for number in range(40))
    ids = np.arange(40, dtype=np.uint8).repeat(25)[None].repeat(4, axis=0)  # (4, 1000)
    made = np.array(overlay(np.zeros((4, 1000, 3), np.uint8), ids, classes))
    assert made.shape[0] > 100
    assert (made[4:, -3:] == 255).all()


@pytest.mark.parametrize("classes", [CLASSES, ("background", "vessel"), tuple(f"c{i}" for i in range(60))])
def test_colours_differ(classes):
    """Any two classes are apart for the eye; five units of CIELAB is more than a just noticeable difference."""
    seen = lab(colours(tuple(classes)))
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 1e3 * np.eye(len(classes))
    assert distances.min() > 5
    assert distances[:12, :12].min() > 20


def test_lab_of_known_colours():
    """White, black, and sRGB red as the literature has it."""
    np.testing.assert_allclose(
        lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]])),
        [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]],
        atol=0.05,
    )


def test_nothing_here_decides_results():
    """Segmenting for people shares the code of the evaluation and adds none to it."""
    watched = {source for sources in SOURCES.values() for source in sources}
    for name in ("stages/segment.py", "trained.py", "evaluation/overlay.py", "palette.py", "data/photographs.py"):
        assert not any(Path(name).match(pattern) for pattern in watched), name


@pytest.mark.parametrize("kind", ["deeplabv3plus", "segformer"])
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (65, 64)])
def test_images_of_any_size(here, kind, size):
    """From a single pixel on, whatever the network's strides."""
    make_run(kind=kind)
    picture(here / "in/a.png", size=size)
    assert main(["predict", str(RUN), "in", "--out", "out"]) == 0
    assert ids_in(here / "out", "a").shape == size


@pytest.mark.slow
def test_target_of_a_real_run_gives_the_scored_bytes(project, data, capsys):
    """Trained and evaluated by the commands of the workflow, then params.yaml is gone: the same ids, in windows too."""
    from xdseg.params import load
    from xdseg.workflow import Plan

    config = small_config(methods=["source-only"], pairs=["a->b"])
    config["protocols"]["tiny"]["inference"] = {"size": 40, "mode": "slide", "window": 32, "stride": 16}
    project.write(config)
    plan = Plan(load())
    (folder,), (cell,) = plan.runs, plan.cells
    for path in (
        *plan.training_inputs(folder),
        *plan.prediction_inputs(folder),
        *plan.scoring_inputs(str(cell.folder)),
    ):
        if ".cache" in path:
            assert main(["cache", path]) == 0
    record = str(next(iter(plan.by_record)))
    for command, path in (("train", f"{folder}/run.json"), ("predict", plan.predictions[folder])):
        assert main([command, path]) == 0
    for command, path in (("score", str(cell.score_path)), ("record", record)):
        assert main([command, path]) == 0
    os.remove("params.yaml")
    assert main(["predict", folder, str(data / "toy/b/images"), "--out", "out"]) == 0
    assert "as the run was evaluated: size 40, slide, windows of 32 every 16" in capsys.readouterr().out
    with ZipFile(cell.folder / "predictions.zip") as archive:
        for name in archive.namelist():
            assert (Path("out/ids") / name).read_bytes() == archive.read(name)
    inference, _ = chosen_inference(read_run(Path(folder)), {})
    assert inference == plan.context.inference
    assert json.loads(Path("out/segmented.json").read_text())["precision"] == "bf16"
