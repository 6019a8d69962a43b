"""params.yaml: what is refused, how overlays merge, what stays out of identities."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, small_config

from xdseg.cells import Context
from xdseg.errors import BadInput
from xdseg.params import merge, parse, read_yaml
from xdseg.settings.training import Training


def refused(config: dict) -> str:
    with pytest.raises(BadInput) as error:
        parse(config)
    return str(error.value)


def test_misspelt_key_is_answered_with_the_nearest():
    """A typo inside a method names the key's full path and the right spelling."""
    config = small_config()
    config["methods"]["oracle"]["segmentr"] = config["methods"]["oracle"].pop("segmenter")
    message = refused(config)
    assert "methods.oracle.segmentr: no such key; did you mean 'segmenter'?" in message
    assert "methods.oracle.segmenter: field required" in message


def test_misspelt_key_inside_a_suite_is_found_through_the_union():
    """The suites' union adds no word of its own to the key's path, and suggests that suite's keys."""
    config = small_config()
    config["suites"]["toy"]["rot"] = "x"
    assert "suites.toy.rot: no such key; did you mean 'root'?" in refused(config)


def test_misspelt_training_key_is_refused():
    """In a protocol or in a method's own changes, whether or not the grid asks for that method."""
    config = small_config(methods=["source-only"])
    config["protocols"]["tiny"]["training"]["stepz"] = 3
    assert refused(config) == "params: protocols.tiny.training.stepz: no such key; did you mean 'steps'?"
    config = small_config(methods=["source-only"])
    config["methods"]["oracle"]["augmentation"] = {"crp": 3}
    assert refused(config) == "params: methods.oracle.augmentation.crp: no such key; did you mean 'crop'?"


@pytest.mark.parametrize(
    "place, key, value, message",
    [
        ("training", "lr", float("inf"), "protocols.tiny.training.lr: input should be a finite number"),
        ("training", "accumulate", 3, "accumulate"),
        ("augmentation", "scale", [2.0, 0.5], "augmentation.scale: value error, expected two positive numbers"),
        ("inference", "size", 0, "inference.size: value error, expected native, [height, width] or"),
        ("inference", "size", [3, 4, 5], "inference.size: value error, expected native, [height, width] or"),
        ("inference", "mode", "slide", "mode slide needs window and stride"),
        ("scoring", "absent", "keep", "protocols.tiny.scoring.absent: input should be 'drop' or 'field', got"),
    ],
)
def test_values_that_mean_nothing_are_refused(place, key, value, message):
    """Each names its key and what is wanted."""
    config = small_config()
    config["protocols"]["tiny"].setdefault(place, {})[key] = value
    assert message in refused(config)


def test_evaluating_on_the_training_split_is_refused():
    """An oracle must not be tested on the images it learnt."""
    config = small_config()
    config["protocols"]["tiny"]["eval_split"] = "train"
    assert "train_split and eval_split are one" in refused(config)


def test_starts_must_begin_somewhere():
    """A method that starts from itself, directly or not, never begins."""
    config = small_config()
    config["methods"]["oracle"]["start"] = "source-aug"
    config["methods"]["source-aug"]["start"] = "oracle"
    assert "start: source-aug -> oracle -> source-aug never begins" in refused(config)


def test_pairs_and_seeds_are_checked():
    """One message each, without the words of a type checker."""
    assert refused(small_config(pairs="al")).startswith("params: grid.pairs: value error, expected `all` or a list")
    assert "grid.seeds.0: input should be greater than or equal to 0" in refused(small_config(seeds=[-1]))


def test_path_of_a_generator_setting_is_whole():
    """A suite may be called like its kind."""
    config = small_config()
    config["suites"]["streetworld"] = {"kind": "streetworld", "generator": {"heigth": 3}}
    assert "suites.streetworld.generator.heigth: no such key; did you mean 'height'?" in refused(config)


@pytest.mark.parametrize("plugins", [5, "my.module", ["no.such.module"], [3]])
def test_plugins_that_cannot_be_imported(plugins):
    """A line, whatever stands there."""
    assert refused(small_config() | {"plugins": plugins}).startswith("params: plugins: ")


def test_unknown_names_are_answered_with_the_nearest():
    """Grid, floor, segmenter and kind each refuse a name that nothing defines."""
    for place, key, message in [
        ("grid", "methods", "grid.methods: unknown 'sorce-only'; did you mean 'source-only'?"),
        ("grid", "protocol", "grid.protocol: unknown 'sorce-only'; known are tiny"),
    ]:
        config = small_config()
        config[place][key] = ["sorce-only"] if key == "methods" else "sorce-only"
        assert message in refused(config)
    config = small_config()
    config["methods"]["oracle"]["floor"] = "source_only"
    assert "methods.oracle.floor: unknown 'source_only'; did you mean 'source-only'?" in refused(config)
    config = small_config()
    config["segmenters"]["deeplabv3plus"]["kind"] = "deeplabv3-plus"
    assert (
        "segmenters.deeplabv3plus.kind: unknown segmenter 'deeplabv3-plus'; did you mean 'deeplabv3plus'?"
        in refused(config)
    )


def test_method_names_are_slugs():
    """A method's name stands in paths, so blanks and underscores are refused."""
    config = small_config()
    config["methods"]["My_Net"] = config["methods"]["oracle"]
    assert "methods.My_Net: a method is named by [a-z0-9+-]" in refused(config)


def test_yaml_numbers_with_exponent_are_numbers():
    """YAML 1.1 reads 6e-5 as text; the settings take the number it says."""
    assert yaml.safe_load("6e-5") == "6e-5"
    assert Training(steps=1, lr=yaml.safe_load("6e-5")).lr == 6e-5


def test_overlay_merges_maps_and_replaces_lists():
    """As Snakemake's --configfile: maps key by key, lists whole; neither input changes."""
    base = {"grid": {"seeds": [0, 1], "suite": "a"}, "x": 1}
    assert merge(base, {"grid": {"seeds": [2]}}) == {"grid": {"seeds": [2], "suite": "a"}, "x": 1}
    assert base == {"grid": {"seeds": [0, 1], "suite": "a"}, "x": 1}


@pytest.mark.parametrize("preset", sorted((ROOT / "pipeline" / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_parses_over_params(preset, monkeypatch):
    """Each committed overlay gives a valid grid with at least one cell."""
    from xdseg.grid import expand

    monkeypatch.chdir(ROOT)
    params = parse(merge(read_yaml(ROOT / "params.yaml"), read_yaml(preset)))
    assert expand(Context.of(params)).cells


def test_defaults_stay_out_of_the_identity():
    """Writing a default down, or adding a knob with one, moves no fingerprint."""
    plain = Training(steps=5, lr=1e-3)
    assert plain.identity() == {"steps": 5, "lr": 1e-3} == Training(steps=5, lr=1e-3, momentum=0.9).identity()


def test_bad_yaml_names_the_file_and_exits_2(tmp_path, monkeypatch, capsys):
    """An unreadable params.yaml is one line and exit code 2."""
    from xdseg.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)
    (tmp_path / "params.yaml").write_text("grid: [1, 2\n")
    assert main(["params"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("xdseg: params.yaml: not readable as YAML") and error.count("\n") == 1


def test_planning_imports_nothing_heavy():
    """A Snakefile is parsed once per cluster job: no torch, pandas, Pillow or matplotlib behind it."""
    heavy = {"torch", "pandas", "PIL", "matplotlib", "scipy", "mlflow"}
    code = f"import sys, xdseg.workflow; sys.exit(sorted({heavy!r} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_scoring_imports_no_torch():
    """Scores come from files: neither the scoring nor the reporting stage needs torch."""
    code = "import sys, xdseg.stages.score, xdseg.stages.record, xdseg.stages.board, xdseg.reporting.board; "
    assert subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"]).returncode == 0


def test_profiles_keep_what_the_design_needs():
    """Profiles replace each other, so each must itself ask for these."""
    for path in (ROOT / "pipeline" / "profiles").glob("*/config.yaml"):
        profile = read_yaml(path)
        assert profile["keep-going"] is True and profile["rerun-incomplete"] is True, path
        assert profile["rerun-triggers"] == ["mtime", "input"], path
