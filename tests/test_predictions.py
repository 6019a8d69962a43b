"""Predictions on disk: what is written is read, equal input gives equal bytes, bad files are named."""

import struct
import time
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image

from xdseg.data.store import PixelStore, write_store
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import (
    Predictions,
    encode_png,
    load_confusion,
    read_prediction,
    save_confusion,
    score_split,
    write_predictions,
)

IDS = np.array([[0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 1]], np.uint8)
NAMES = ("a", "b", "c")


def write(path: Path, names=NAMES) -> Path:
    write_predictions(path, ((name, np.roll(IDS, shift)) for shift, name in enumerate(names)))
    return path


def truth_store(folder: Path, arrays: dict[str, np.ndarray]) -> PixelStore:
    write_store(folder / "truth.json", names=arrays, arrays=arrays.values(), digest="d")
    return PixelStore(folder / "truth.json")


def grey_png(rows: list[bytes], *, width: int, depth: int) -> bytes:
    """A grey PNG of any bit depth, by hand, since Pillow writes none of 4 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_round_trip_through_a_zip(tmp_path):
    """Names and ids come back; the members are stored in the given order."""
    path = write(tmp_path / "predictions.zip", ("b", "a"))
    assert ZipFile(path).namelist() == ["b.png", "a.png"]
    assert (read_prediction(path, "b", shape=(3, 4)) == IDS).all()
    assert (read_prediction(path, "a") == np.roll(IDS, 1)).all()
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it, nothing was extracted"


def test_equal_predictions_give_equal_bytes_at_any_time(tmp_path, monkeypatch):
    """A rerun years later, of the same arrays, writes the same zip."""
    first = write(tmp_path / "first.zip").read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert write(tmp_path / "second.zip").read_bytes() == first


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """An exception halfway, here in the second image, keeps what was there and no scrap beside it."""
    path = write(tmp_path / "predictions.zip")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="expected class ids"):
        write_predictions(path, [("a", IDS), ("b", IDS.astype(np.int64))])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_with_palette_or_grey_pngs_is_read_as_ids(tmp_path):
    """Other code bases write colour palettes over ids: the ids count, not the colours."""
    palette = Image.fromarray(IDS)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "colourful.png")
    Image.fromarray(IDS).save(tmp_path / "grey.png")
    assert Image.open(tmp_path / "colourful.png").mode == "P"
    for name in ("colourful", "grey"):
        assert (read_prediction(tmp_path, name) == IDS).all()


def test_a_deflated_zip_is_read(tmp_path):
    """What `zip -r` makes of a folder serves as well."""
    with ZipFile(tmp_path / "p.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.png", encode_png(IDS))
    assert (read_prediction(tmp_path / "p.zip", "a") == IDS).all()


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (Image.fromarray(np.dstack([IDS] * 3)), "a.png: an image of 3 channels; write class ids as 8-bit single"),
        (Image.fromarray(IDS).convert("RGBA"), "a.png: an image of 4 channels"),
        (Image.fromarray(IDS * 255).convert("1"), "a.png: an image of 1 bits a pixel"),
        (Image.fromarray(IDS.astype(np.uint16)), "a.png: an image of 16 bits a pixel"),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_an_image_that_is_no_id_map_is_refused(tmp_path, image, line):
    """Colours, masks and 16 bits are not guessed at."""
    image.save(tmp_path / "a.png")
    with pytest.raises(BadInput) as error:
        read_prediction(tmp_path, "a")
    assert str(error.value).startswith(f"{tmp_path}: {line}")


def test_a_four_bit_grey_png_is_refused(tmp_path):
    """Decoders stretch 4-bit grey to 0..255, which would turn id 1 into id 17 without a word."""
    (tmp_path / "a.png").write_bytes(grey_png([b"\x01\x10"], width=4, depth=4))
    assert np.asarray(Image.open(tmp_path / "a.png")).tolist() == [[0, 17, 17, 0]]
    with pytest.raises(BadInput, match="an image of 4 bits a pixel"):
        read_prediction(tmp_path, "a")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_damaged_file_is_never_read_as_something_else(tmp_path, kind):
    """Cut short or one bit flipped, at every byte: the true ids or BadInput, no other error, no other ids."""
    whole = encode_png(IDS) if kind == "folder" else write(tmp_path / "p.zip", ("a",)).read_bytes()
    source = tmp_path / "damaged" if kind == "folder" else tmp_path / "damaged.zip"
    source.mkdir() if kind == "folder" else None
    path = source / "a.png" if kind == "folder" else source
    refused = 0
    for cut in range(len(whole)):
        for data in (whole[:cut], whole[:cut] + bytes([whole[cut] ^ 16]) + whole[cut + 1 :]):
            path.write_bytes(data)
            try:
                assert (read_prediction(source, "a") == IDS).all()
            except BadInput as error:
                refused += str(error).startswith(f"{source}: ") and " at 0x" not in str(error)
    assert refused > len(whole)


def test_what_is_neither_zip_nor_folder_is_named(tmp_path):
    """A wrong path and a text file each get their line."""
    with pytest.raises(BadInput, match="no such zip or folder"):
        Predictions(tmp_path / "nothing.zip")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(BadInput, match="not a readable zip"):
        Predictions(tmp_path / "text.zip")


def test_a_split_is_scored_image_by_image(tmp_path):
    """Two images by hand, in the truth's order; what the zip holds besides does not matter."""
    truth = truth_store(tmp_path, {"b": np.array([[0, 0, 1, 255]], np.uint8), "a": np.array([[1], [1]], np.uint8)})
    path = tmp_path / "p.zip"
    found = {"a": [[1], [0]], "b": [[0, 1, 1, 1]], "unasked": [[9]]}
    write_predictions(path, ((name, np.array(ids, np.uint8)) for name, ids in found.items()))
    names, per_image = score_split(path, truth, classes=2, ignore_index=255)
    assert names == ("b", "a")
    assert per_image.tolist() == [[[1, 1], [0, 1]], [[0, 0], [1, 1]]]


def test_all_faults_of_a_split_are_told_at_once(tmp_path):
    """Two images missing, one cut short, one of the wrong size, one with a foreign id, one good."""
    truth = truth_store(
        tmp_path, {name: np.zeros((2, 3), np.uint8) for name in ("m1", "cut", "size", "id", "m2", "ok")}
    )
    folder = tmp_path / "predictions"
    folder.mkdir()
    for name, ids in {"size": np.zeros((3, 2)), "id": np.full((2, 3), 7), "ok": np.ones((2, 3))}.items():
        (folder / f"{name}.png").write_bytes(encode_png(ids.astype(np.uint8)))
    (folder / "cut.png").write_bytes(encode_png(IDS)[:50])
    with pytest.raises(BadInput) as error:
        score_split(folder, truth, classes=2, ignore_index=255)
    assert str(error.value).splitlines() == [
        f"{folder}: 5 of 6 images cannot be scored; mend the predictions",
        "  missing (2): m1, m2",
        "  cut.png: not a readable PNG (Truncated File Read); write it again",
        "  size.png: 3 x 2 pixels, its truth has 2 x 3; write it at that size",
        "  id.png: the prediction holds id 7, classes are 0..1; write class ids",
    ]


def test_long_lists_of_faults_are_cut(tmp_path):
    """Thirty missing images: twenty names and how many more."""
    truth = truth_store(tmp_path, {f"n{i:02d}": IDS for i in range(30)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput) as error:
        score_split(tmp_path / "empty", truth, classes=2, ignore_index=255)
    line = str(error.value).splitlines()[1]
    assert line.startswith("  missing (30): n00, n01, ") and line.endswith(", n19, and 10 more")


def test_confusion_matrices_round_trip_in_equal_bytes(tmp_path, monkeypatch):
    """Names, counts and type come back; written again years later, the file is the same."""
    per_image = np.arange(18, dtype=np.int64).reshape(2, 3, 3)
    save_confusion(tmp_path / "first.npz", ("a", "bé"), per_image)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    save_confusion(tmp_path / "second.npz", ("a", "bé"), per_image)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    names, loaded = load_confusion(tmp_path / "first.npz")
    assert names == ("a", "bé") and loaded.dtype == np.int64 and (loaded == per_image).all()


@pytest.mark.parametrize("contents", [b"", b"no zip", None])
def test_unreadable_confusion_matrices_are_named(tmp_path, contents):
    """Empty, foreign or missing: one line with the file and what to do."""
    if contents is not None:
        (tmp_path / "c.npz").write_bytes(contents)
    with pytest.raises(BadInput, match=r"c\.npz: no readable confusion matrices .*score the cell again"):
        load_confusion(tmp_path / "c.npz")
