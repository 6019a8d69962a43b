"""Error maps of a page's panels: pixels by hand, colours for all eyes, and what is refused."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_board import cell, record
from test_page import VISIONS, lab, linear

from xdseg.errors import BadInput
from xdseg.palette import FAMILIAR
from xdseg.panels import IGNORED, colours
from xdseg.reporting.about import About, Panel, Strips
from xdseg.reporting.cells_table import TableCell, collect
from xdseg.reporting.page_errors import GAP, WRONG, dimmed, error_map, stacked
from xdseg.reporting.page_panels import PICTURES, panels

CLASSES = ("background", "vessel")
NONE = 255  # not labelled
TRUTH = np.array([[0, 0, 1], [1, NONE, 2]], np.uint8)
PREDICTED = np.array([[0, 1, 1], [0, 1, 1]], np.uint8)
COLOURS = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)[PREDICTED]
DARK = {0: (23, 26, 29), 1: (80, 50, 20)}  # 20 + 0.3 of these


def told(found: np.ndarray) -> list[list[object]]:
    """An error map in words: x is wrong, - not scored, and right ones are their class."""
    meaning = {WRONG: "x", IGNORED: "-"} | {colour: number for number, colour in DARK.items()}
    return [[meaning[tuple(pixel)] for pixel in row] for row in found.tolist()]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [[0, "x", 1], ["x", "-", "x"]]),
        ({"scored": {0, 1}}, [[0, "x", 1], ["x", "-", "-"]]),
        ({"scored": {0, 1}, "counted": True}, [[0, "x", 1], ["x", "-", "x"]]),
        ({"scored": {1}}, [["-", "-", 1], ["x", "-", "-"]]),
        ({"scored": {1}, "counted": True}, [["-", "x", 1], ["x", "-", "x"]]),
    ],
    ids=["all", "subset", "subset, counted", "one", "one, counted"],
)
def test_pixels_are_wrong_where_the_score_counts_them_so(options, wanted):
    """2 is a class outside; where it is called a scored one, it is an error only if the protocol counts it."""
    assert told(error_map(PREDICTED, TRUTH, COLOURS, **options)) == wanted


@pytest.mark.parametrize("vision", VISIONS)
def test_what_is_wrong_is_seen_by_all_eyes(vision):
    """Orange against every dimmed class and against white: 20 or more apart, as methods' colours are."""
    others = [tuple(one) for one in dimmed(np.array(list(FAMILIAR.values()))).tolist()] + [IGNORED]
    seen = [lab(linear("#{:02x}{:02x}{:02x}".format(*one)) @ np.array(VISIONS[vision]).T) for one in (WRONG, *others)]
    assert min(np.linalg.norm(one - seen[0]) for one in seen[1:]) >= 20
    assert min(np.linalg.norm(one - seen[-1]) for one in seen[:-1]) >= 20, "and what is not scored from all else"


def test_a_picture_holds_its_colours_in_a_palette_with_a_gap_that_is_none():
    """As they were, above and below; of more colours than a palette has without one."""
    above, below = COLOURS, error_map(PREDICTED, TRUTH, COLOURS)
    image, options = stacked(above, below)
    file = BytesIO()
    image.save(file, format="png", **options)
    again = np.asarray(Image.open(file).convert("RGBA"))
    assert image.mode == "P" and again.shape == (2 + GAP + 2, 3, 4)
    assert np.array_equal(again[:2, :, :3], above) and np.array_equal(again[2 + GAP :, :, :3], below)
    assert {*again[2 : 2 + GAP, :, 3].ravel()} == {0} and {*again[:2, :, 3].ravel()} == {255}
    many = (np.arange(300 * 3).reshape(1, 300, 3) % 251).astype(np.uint8)
    image, options = stacked(many, 255 - many)
    assert image.mode == "RGB" and options == {} and np.array_equal(np.asarray(image)[:1], many)


def strip(path: Path, ids: np.ndarray) -> Path:
    """A strip as cells leave it beside their records."""
    image = Image.fromarray(ids)
    image.putpalette([part for colour in colours(CLASSES, 256) for part in colour])
    image.save(path)
    return path


def shown(folder: Path, *, methods: tuple[str, ...] = ("m",), **changes) -> tuple[list[TableCell], About]:
    """Cells on a->b whose predictions are `PREDICTED`, of a record that scores the vessel alone."""
    expected = [cell(method, "a->b") for method in methods]
    records = [record(method, "a->b", 0.5) for method in methods]
    for one in records:
        one["scores"] |= {"kept": ["vessel"], "iou": {"vessel": 0.5}}
    cells = collect(expected, records, suite="vessels", classes=CLASSES)
    panel = Panel(strip(folder / "p.png", PREDICTED), ("x",), (3,))
    strips = Strips(strip(folder / "i.png", TRUTH), strip(folder / "t.png", TRUTH))
    return cells, About(may_show=True, panels={one.key: panel for one in cells}, strips={"b": strips})


def test_a_page_shows_each_prediction_above_its_errors(tmp_path):
    """In the very colours of the strip; the background is not scored here, and so left white."""
    ((found,), _) = panels(*shown(tmp_path))
    image, truth, predicted = found.pictures
    assert (image.has_errors, truth.has_errors, predicted.has_errors) == (False, False, True)
    assert (predicted.width, predicted.height) == (3, 2 + GAP + 2)
    pixels = np.asarray(Image.open(BytesIO(b64decode(predicted.address.split(",")[1]))).convert("RGB"))
    own = np.array(colours(CLASSES), np.uint8)[PREDICTED]
    assert np.array_equal(pixels[:2], own)
    assert np.array_equal(pixels[2 + GAP :], error_map(PREDICTED, TRUTH, own, scored={1}))
    assert tuple(pixels[2 + GAP, 0]) == IGNORED and tuple(pixels[3 + GAP, 0]) == WRONG


def test_of_many_methods_the_first_are_shown(tmp_path):
    """24 pictures of a page: image, truth, and 22 of 30 methods."""
    ((found,), left_out) = panels(*shown(tmp_path, methods=tuple(f"m{number:02}" for number in range(30))))
    assert len(found.pictures) == PICTURES == 24 and left_out == 8
    assert found.pictures[-1].name == "m21, a →"


def test_strips_that_do_not_fit_are_refused_in_a_line(tmp_path):
    """Of another size than the truth's, and of colours instead of classes."""
    cells, about = shown(tmp_path)
    strip(tmp_path / "p.png", PREDICTED[:1])
    with pytest.raises(BadInput, match=r"^[^\n]*p\.png: of another size than [^\n]*t\.png; delete both$"):
        panels(cells, about)
    Image.new("RGB", (3, 2)).save(tmp_path / "p.png")
    with pytest.raises(BadInput, match=r"^[^\n]*p\.png: not a panel of class ids but RGB; delete it$"):
        panels(cells, about)
