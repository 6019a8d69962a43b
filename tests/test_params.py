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


def test_misspelt_training_key_is_refused_when_the_grid_resolves():
    """Settings of a protocol are checked with the method's own changes merged in."""
    config = small_config()
    config["protocols"]["tiny"]["training"]["stepz"] = 3
    context = Context.of(parse(config))
    with pytest.raises(BadInput, match=r"training.*stepz: no such key; did you mean 'steps'\?"):
        context.learnt(context.params.methods["oracle"])


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
    config["segmenters"]["deeplabv3plus"]["kind"] = "deeplab"
    assert "segmenters.deeplabv3plus.kind: unknown segmenter 'deeplab'; did you mean 'deeplabv3plus'?" in refused(
        config
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
    from xdseg.cells import expand

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
