"""The presets at paper size resolve to the runs and cells of their papers, on small trees in the true formats."""

from pathlib import Path

import pytest
from conftest import ROOT
from public_data import write_suite_data

from xdseg.cells import Context, expand
from xdseg.data.prepare_public import prepare_public
from xdseg.demands import needed_splits
from xdseg.merging import merge
from xdseg.params import data_root, parse, read_yaml

PAPER = ROOT / "pipeline/presets/paper"
SUITES = read_yaml(ROOT / "params.yaml")["suites"]
B5 = ("source-only-daformer", "source-aug-daformer", "oracle-daformer", "dacs-daformer")
# preset: sources and targets with the splits that train, adapt and test; runs; cells
EXPECTED = {
    "gta_to_cityscapes": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 3, 3),
    "gta_to_cityscapes_dacs": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 4, 4),
    "gta_to_cityscapes_daformer": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 12, 12),
    "gta_to_cityscapes_hr": ({"gta5": {"full"}, "cityscapes": {"train", "val"}}, 9, 9),
    "synthia_to_cityscapes": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 12, 12),
    "synthia16_to_cityscapes": ({"synthia": {"full"}, "cityscapes": {"train", "val"}}, 12, 12),
    "cityscapes_to_acdc": ({"cityscapes": {"train"}, "acdc": {"train", "val"}}, 12, 12),
    "cityscapes_to_acdc_conditions": (
        {"cityscapes": {"train"}} | {f"acdc_{weather}": {"val"} for weather in ("fog", "night", "rain", "snow")},
        2,
        8,
    ),
    "cityscapes_to_dark_zurich": ({"cityscapes": {"train"}, "dark_zurich": {"train", "val"}}, 9, 9),
    "gta_to_cbm": ({"gta5": {"full"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}}, 2, 6),
    "gta_to_cbm_robustnet": (
        {"gta5": {"train"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}, "synthia": {"val"}},
        1,
        4,
    ),
    "cityscapes_to_bmgs": (
        {"cityscapes": {"train"}, "bdd100k": {"val"}, "mapillary": {"val"}, "gta5": {"val"}, "synthia": {"val"}},
        1,
        4,
    ),
    "gta_synthia_to_cbm": (
        {"gta5": {"full"}, "synthia": {"full"}, "cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}},
        1,
        3,
    ),
    "gta_synthia_urbansyn_to_cbm": (
        {"gta5": {"full"}, "synthia": {"full"}, "urbansyn": {"full"}}
        | {"cityscapes": {"val"}, "bdd100k": {"val"}, "mapillary": {"val"}},
        1,
        3,
    ),
    "loveda": ({"loveda_urban": {"train", "val"}, "loveda_rural": {"train", "val"}}, 6, 8),
    "potsdam_vaihingen": (
        {"potsdam_rgb": {"train", "val"}, "potsdam_irrg": {"train", "val"}, "vaihingen": {"train", "val"}},
        10,  # three of each method without target, an oracle of each, four of dacs: 3 + 3 + 0 + 4
        16,
    ),
    "vessels_field": ({"drive": {"train", "test"}, "stare": {"train", "val"}, "chase_db1": {"train", "val"}}, 6, 18),
    "fundus": (
        {"drishti_gs": {"train", "test"}, "rim_one": {"train", "test"}}
        | {"refuge_zeiss": {"train"}, "refuge_canon": {"val"}},
        8,
        8,
    ),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> tuple[Path, dict]:
    """Small trees of all data sets, and the overlay of counts."""
    root = tmp_path_factory.mktemp("public")
    suites = {
        name: {"domains": write_suite_data(root, suite)} for name, suite in SUITES.items() if suite["kind"] == "public"
    }
    return root, {"suites": suites}


@pytest.fixture
def public(trees, tmp_path, monkeypatch) -> dict:
    """The trees as XDSEG_DATA, in an empty folder; the overlay."""
    monkeypatch.setenv("XDSEG_DATA", str(trees[0]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backbones").symlink_to(ROOT / "backbones")
    data_root.cache_clear()
    yield trees[1]
    data_root.cache_clear()


def settings(preset: str, overlay: dict) -> dict:
    """Merged settings of a preset under an overlay."""
    return merge(merge(read_yaml(ROOT / "params.yaml"), read_yaml(PAPER / f"{preset}.yaml")), overlay)


def locked(config: dict) -> Context:
    """The context of settings, with what the grid needs locked in the current folder."""
    context = Context.of(parse(config))
    prepare_public(context.lock.layout, needed_splits(context))
    return Context.of(parse(config))


def test_every_preset_is_expected():
    """A new preset comes with what it must resolve to."""
    overlays = {"subset_13"}
    assert {path.stem for path in PAPER.glob("*.yaml")} == EXPECTED.keys() | overlays


@pytest.mark.parametrize("preset", EXPECTED)
def test_preset_resolves(preset, public):
    """Splits, runs and cells are those of the protocol; nothing is excluded."""
    splits, runs, cells = EXPECTED[preset]
    context = locked(settings(preset, public))
    assert needed_splits(context) == splits
    found = expand(context)
    assert not found.excluded
    assert (len(found.runs), len(found.cells)) == (runs, cells)
    assert all(len(cell.score) == 64 for cell in found.cells)
