"""streetworld: the same bytes everywhere, labels that are the geometry, five domains that differ."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, fields
from itertools import combinations

import numpy as np
import pytest
from pydantic import ValidationError

from xdseg.data.streetworld.camera import Camera, clip_near
from xdseg.data.streetworld.canvas import Board, Canvas
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.domains import STYLES, draw_style
from xdseg.data.streetworld.facades import paint_houses, window_colours
from xdseg.data.streetworld.ground import ground_labels, place
from xdseg.data.streetworld.light import Light, draw_light
from xdseg.data.streetworld.plan import House, Plan
from xdseg.data.streetworld.render import render
from xdseg.data.streetworld.settings import CLASSES, DOMAINS, SPLITS, Streetworld
from xdseg.data.streetworld.style import Style
from xdseg.data.streetworld.weather import finish
from xdseg.errors import BadInput

WORLD = Streetworld()
SEEN = 12  # images per domain and split that the statistics below are taken from
ID = {name: position for position, name in enumerate(CLASSES)}

# A camera 1.5 m above the road whose pixels are easy to work out: 10 px per metre at a depth of 10 m.
CAMERA = Camera(rows=100, columns=200, focal=100.0, centre=100.0, horizon=50.0, side=0.0, height=1.5)
LIGHT = Light(
    sky=(1.0, 1.0, 1.0), sun=(0.0, 0.0, 0.0), toward_sun=1.0, shadow=(0.5, 0.0), air=(0.5, 0.5, 0.5), fog=0.0,
    lamps=0.0, lamp_row=3.0, lamp_step=20.0, lamp_phase=5.0, eye=0.0,
)  # fmt: skip
NO_CROSSING = (900.0, 910.0)


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]]:
    """The first images and labels of every domain and split."""
    return {
        (domain, split): [render(WORLD, domain=domain, split=split, index=index) for index in range(SEEN)]
        for domain in DOMAINS
        for split in SPLITS
    }


def sha(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_order_does_not_matter(scenes):
    """An image rendered alone, last first, has the bytes that it has among the others."""
    for (domain, split), pairs in reversed(scenes.items()):
        assert sha(*render(WORLD, domain=domain, split=split, index=7)) == sha(*pairs[7])


def test_another_process_gives_the_same_bytes(scenes):
    """Neither the process nor its hash seed enters a pixel."""
    code = (
        "import hashlib, sys; from xdseg.data.streetworld.render import render\n"
        "from xdseg.data.streetworld.settings import DOMAINS, Streetworld\n"
        "for domain in DOMAINS:\n"
        "    image, label = render(Streetworld(), domain=domain, split='val', index=3)\n"
        "    print(hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.split() == [sha(*scenes[domain, "val"][3]) for domain in DOMAINS]


def test_global_random_state_is_left_alone():
    """Rendering neither reads nor moves NumPy's global generator."""
    np.random.seed(1)
    first = sha(*render(WORLD, domain="rain", split="train", index=0))
    drawn = np.random.random()
    np.random.seed(1)
    assert np.random.random() == drawn
    assert sha(*render(WORLD, domain="rain", split="train", index=0)) == first


def test_no_two_scenes_are_alike(scenes):
    """Train and val, all domains and another seed: every label differs from every other."""
    digests = Counter(sha(label) for pairs in scenes.values() for _, label in pairs)
    digests.update(sha(render(Streetworld(seed=1), domain=domain, split="train", index=0)[1]) for domain in DOMAINS)
    assert digests.most_common(1)[0][1] == 1


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_class_can_be_learnt_and_measured(scenes, domain, split):
    """Each class covers at least 0.25% of a split's pixels and shows in more than a third of its images."""
    labels = np.stack([label for _, label in scenes[domain, split]])
    for number, name in enumerate(CLASSES):
        assert (labels == number).mean() > 0.0025, name
        assert np.mean([(label == number).sum() > 20 for label in labels]) > 1 / 3, name


def test_labels_are_class_ids(scenes):
    """uint8 ids below the number of classes; nothing is ignored, no edge holds a mixture of two ids."""
    for pairs in scenes.values():
        for image, label in pairs:
            assert (image.shape, image.dtype, label.shape, label.dtype) == (
                (160, 320, 3),
                np.uint8,
                (160, 320),
                np.uint8,
            )
            assert label.max() < len(CLASSES)


def test_sizes_are_free():
    """Odd sizes work, and the street fills them the same way."""
    image, label = render(Streetworld(height=97, width=203), domain="snow", split="train", index=0)
    assert image.shape == (97, 203, 3)
    large = render(WORLD, domain="snow", split="train", index=0)[1]
    assert abs((label == ID["sky"]).mean() - (large == ID["sky"]).mean()) < 0.05


def test_a_point_lands_where_the_pinhole_says():
    """2 m right and on the road, 10 m ahead: 20 px right of the vanishing point, 15 px below the horizon."""
    assert CAMERA.project(2.0, 0.0, 10.0) == (120.0, 65.0)
    assert CAMERA.project(2.0, 1.5, 40.0) == (105.0, 50.0), "what is as high as the camera lies on the horizon"


def test_a_polygon_is_cut_at_the_camera():
    """Of an edge from Z = -0.7 to 2.1 the half beyond Z = 0.7 remains."""
    assert clip_near([(0.0, 0.0, -0.7), (4.0, 0.0, 2.1), (4.0, 2.0, 2.1)])[0] == pytest.approx((2.0, 0.0, 0.7))
    assert clip_near([(0.0, 0.0, -1.0), (1.0, 0.0, -1.0), (0.0, 1.0, -1.0)]) == []


def test_ground_labels_are_metres():
    """Row 64 sees 150 / 14.5 = 10.34 m: 3 m of road end 29.0 px, 5 m of sidewalk 48.3 px from the middle."""
    plan = Plan(kerb=3.0, verge=3.0, walk=5.0, crossing=NO_CROSSING, houses=(), things=(), fenced=())
    spot = place(CAMERA)
    row = ground_labels(plan, spot)[14]
    assert spot.z[14, 0] == pytest.approx(10.345, abs=1e-3)
    expected = np.full(200, ID["terrain"])
    expected[52:148] = ID["sidewalk"]  # centres within 48.3 px of column 100
    expected[71:129] = ID["road"]  # centres within 29.0 px
    assert row.tolist() == expected.tolist()


def test_a_side_street_crosses_the_sidewalk():
    """Between its kerbs (here 10 to 12 m) everything is road, and beside them 2.5 m are sidewalk."""
    plan = Plan(kerb=3.0, verge=3.0, walk=5.0, crossing=(10.0, 12.0), houses=(), things=(), fenced=())
    labels = ground_labels(plan, place(CAMERA))
    assert (labels[14] == ID["road"]).all(), "row 64, at 10.3 m"
    assert labels[10, 0] == ID["sidewalk"], "row 60, at 14.3 m, far from the road"
    assert labels[20, 0] == ID["terrain"], "row 70, at 7.3 m"


def house(**changes) -> House:
    grey = (0.5, 0.5, 0.5)
    values = dict(
        side=1, front=6.0, start=10.0, end=20.0, height=9.0, roof=0.0, depth=8.0, wall=grey, base=grey, tiles=grey,
        awning=grey, bay=2.0, floor=3.0, window_width=0.5, window_height=0.5, shop=False, base_height=0.0, gap=50.0,
        sheltered=False,
    )  # fmt: skip
    return House(**(values | changes))


def test_a_house_fills_its_outline():
    """A front 6 m to the right from Z = 10 to 20 spans columns 130 to 160; at Z = 12 it is 75 px tall."""
    style = draw_style(WORLD, domain="game", split="train", index=0)
    colours, labels = np.zeros((100, 200, 3), np.float32), np.full((100, 200), ID["sky"], np.uint8)
    glass, tile = window_colours(style, LIGHT, Dice("test")), np.zeros((256, 256), np.float32)
    paint_houses(colours, labels, [house()], style=style, light=LIGHT, camera=CAMERA, glass=glass, tile=tile)
    drawn = labels == ID["building"]
    assert np.flatnonzero(drawn.any(axis=0))[[0, -1]].tolist() == [130, 199], "front from 130, side wall to 240"
    column = np.flatnonzero(drawn[:, 149])  # centre 149.5 px: Z = 600 / 49.5 = 12.12 m, 8.25 px per metre
    assert (column[0], column[-1]) == (0, 61), "foot at 50 + 1.5 * 8.25 = 62.4, roof at 50 - 7.5 * 8.25 < 0"
    column = np.flatnonzero(drawn[:, 130])  # centre 130.5 px: Z = 19.67 m, 5.083 px per metre
    assert (column[0], column[-1]) == (12, 57), "roof at 11.9, foot at 57.6"
    assert (colours[~drawn] == 0.0).all() and (colours[drawn].sum(axis=-1) > 0.0).all()


def test_colour_and_label_share_the_outline():
    """A board from -1 to 1 m at 10 m covers 20 px; whatever pixel's centre is painted carries its label."""
    canvas = Canvas(np.zeros((100, 200, 3), np.uint8), np.full((100, 200), ID["sky"], np.uint8))
    board = Board(canvas, CAMERA, LIGHT, x=0.0, z=10.0, label=ID["person"])
    board.box(-1.0, 0.0, 1.0, 2.0, (1.0, 1.0, 1.0))
    board.box(-0.5, 0.5, 0.5, 1.0, (0.5, 0.5, 0.5), detail=True)
    image, label = canvas.finish()
    rows, columns = np.nonzero(label == ID["person"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 64, 90, 109)
    assert set(np.unique(label)) == {ID["person"], ID["sky"]}
    assert (image[label == ID["person"]] >= 127).all()
    assert (image[label == ID["sky"]] < 127).all()


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_horizon_parts_ground_and_sky(scenes, domain):
    """No road, sidewalk or grass above the drawn horizon, no sky below it."""
    for index, (_, label) in enumerate(scenes[domain, "train"]):
        horizon = draw_style(WORLD, domain=domain, split="train", index=index).horizon * WORLD.height
        first = int(np.floor(horizon + 0.5))  # first row whose centre lies below
        assert not np.isin(label[:first], [ID["road"], ID["sidewalk"], ID["terrain"]]).any()
        assert not (label[first:] == ID["sky"]).any()


def signature(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """What a network may notice first: colour, contrast, fine texture, and what the street consists of."""
    images = np.stack([image for image, _ in pairs]).astype(float)
    labels = np.stack([label for _, label in pairs])
    spread = images.max(axis=-1) - images.min(axis=-1)
    detail = np.abs(np.diff(images.mean(axis=-1), axis=2)).mean()
    shares = {name: 100.0 * (labels == ID[name]).mean() for name in ("sky", "terrain", "building", "road")}
    return {"light": images.mean(), "contrast": images.std(), "colour": spread.mean(), "detail": detail} | shares


def test_domains_differ_pairwise(scenes):
    """Every two domains differ by 12 levels in light, contrast or colourfulness, and none is black or white."""
    seen = {domain: signature(scenes[domain, "train"]) for domain in DOMAINS}
    for first, second in combinations(DOMAINS, 2):
        gap = max(abs(seen[first][key] - seen[second][key]) for key in ("light", "contrast", "colour"))
        assert gap > 12.0, f"{first} and {second}: {gap:.1f}"
    assert all(45.0 < values["light"] < 200.0 for values in seen.values())


def test_domains_are_what_their_names_say(scenes):
    """Night is darkest, game most colourful, snow brightest and greyest-skied with most sky, rain low in contrast."""
    seen = {domain: signature(scenes[domain, "train"]) for domain in DOMAINS}

    def extreme(key: str, choose=max) -> str:
        return choose(DOMAINS, key=lambda domain: seen[domain][key])

    assert extreme("light", min) == "night"
    assert extreme("light") == "snow"
    assert extreme("colour") == "game"
    assert extreme("sky") == "snow"
    assert extreme("building", min) == "snow"
    assert seen["rain"]["contrast"] < 0.75 * seen["clear"]["contrast"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_train_and_val_are_one_distribution(scenes, domain):
    """Mean light and class shares of both splits agree within the spread of a dozen images."""
    train, val = (signature(scenes[domain, split]) for split in SPLITS)
    assert abs(train["light"] - val["light"]) < 15.0
    assert all(abs(train[name] - val[name]) < 8.0 for name in ("sky", "building", "road"))


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_drawn_style_lies_in_its_domain(domain):
    """Each value of a scene's style comes from its domain's interval; scenes differ."""
    drawn = [asdict(draw_style(WORLD, domain=domain, split="val", index=index)) for index in range(20)]
    for field in fields(Style):
        low, high = getattr(STYLES[domain], field.name)
        values = [style[field.name] for style in drawn]
        assert low <= min(values) <= max(values) <= high, field.name
        assert len(set(values)) == (20 if high > low else 1), field.name


def test_light_fades_as_in_fog():
    """Within a mean free path the transmission is exp(-fog * z), to 2%."""
    light = draw_light(draw_style(WORLD, domain="snow", split="train", index=0), Dice("test"))
    depth = np.linspace(0.0, 1.0 / light.fog, 50)
    assert light.clearness(depth) == pytest.approx(np.exp(-light.fog * depth), rel=0.02)


def test_wet_ground_mirrors_what_stands_on_it():
    """Below a red wall, wet road turns red and grass does not; the label is the caller's, untouched."""
    style = draw_style(WORLD, domain="rain", split="train", index=0)
    still = Style(**(asdict(style) | {"rainfall": 0.0, "snowfall": 0.0, "noise": 0.0, "blur": 0.0, "vignette": 0.0}))
    label = np.full((40, 8), ID["building"], np.uint8)
    label[20:, :4], label[20:, 4:] = ID["road"], ID["terrain"]
    image = np.full((40, 8, 3), 100, np.uint8)
    image[:20] = (200, 20, 20)
    before = label.copy()
    tile = np.zeros((256, 256), np.float32)
    seen = finish(image, label, style=still, light=LIGHT, tile=tile, dice=Dice("test")).astype(int)
    redness = seen[..., 0] - seen[..., 1]
    assert redness[30, :4].min() > 25 and abs(redness[30, 4:]).max() <= 1
    assert (label == before).all()


GOLDEN = {
    "clear": "832f8089c975cb8c",
    "game": "26c6fbbcd52814da",
    "night": "7de5d0060a0086a0",
    "rain": "adab80a982a7822b",
    "snow": "45267ff76675dd8a",
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_golden_labels(domain):
    """The first label of each domain. Whoever moves one raises VERSION and writes the new digest here."""
    label = render(WORLD, domain=domain, split="train", index=0)[1]
    assert sha(label)[:16] == GOLDEN[domain]


def test_settings_refuse_what_they_do_not_know():
    """A misspelt key and an impossible size are errors, and a setting at its default stays out of the identity."""
    with pytest.raises(ValidationError, match="heigth"):
        Streetworld(heigth=160)
    with pytest.raises(ValidationError, match="height"):
        Streetworld(height=0)
    assert Streetworld(seed=0, train=3).identity() == {"train": 3}


def test_unknown_names_are_answered_with_the_nearest():
    """A misspelt domain or split ends with the right spelling."""
    with pytest.raises(BadInput, match="did you mean 'night'"):
        render(WORLD, domain="nigth", split="train", index=0)
    with pytest.raises(BadInput, match="did you mean 'val'"):
        render(WORLD, domain="night", split="vall", index=0)


def test_settings_are_light_to_import():
    """A Snakefile that reads the settings loads neither NumPy nor Pillow."""
    code = "import sys, xdseg.data.streetworld.settings; sys.exit(bool({'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
