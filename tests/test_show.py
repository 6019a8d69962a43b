"""`xdseg params`: what a reader must see before anything runs."""

import yaml
from conftest import small_config

from xdseg.cli import main


def shown(capsys) -> tuple[dict, str]:
    """The settings part as data, and the rest as text."""
    capsys.readouterr()
    assert main(["params"]) == 0
    settings, _, rest = capsys.readouterr().out.partition("\n# ")
    return yaml.safe_load(settings), rest


def test_defaults_and_overrides_are_written_out(project, capsys):
    """Every default stands there, and a method's own changes over the protocol's."""
    settings, _ = shown(capsys)
    assert settings["methods"]["source-only"]["training"]["momentum"] == 0.9
    assert settings["methods"]["source-only"]["augmentation"]["jitter"] is None
    assert settings["methods"]["source-aug"]["augmentation"]["jitter"]["probability"] == 0.8
    assert settings["methods"]["source-only"]["segmenter"]["decoder_channels"] == 32


def test_runs_and_cells_are_listed(project, capsys):
    """Four runs serve six cells; each run says how many."""
    _, rest = shown(capsys)
    assert rest.startswith("4 runs\n") and "# 6 cells" in rest
    lines = rest.splitlines()
    assert sum("serves 2 cells" in line for line in lines) == 2  # source-only(a), source-only(b): own pair and oracle
    assert sum(line.startswith("oracle  a->b  0  ") for line in lines) == 1


def test_exclusions_come_with_reasons(project, capsys):
    """A pair whose target is among its sources is left out, and said to be."""
    project.write(small_config(pairs=["a->b", "a+b->b"], methods=["source-only"]))
    _, rest = shown(capsys)
    assert "# 1 excluded\nsource-only  a+b->b: b is source and target" in rest


def test_overlay_by_option(project, capsys):
    """--configfile overlays as Snakemake's does."""
    (project.folder / "more.yaml").write_text("grid: {seeds: [3]}\n")
    capsys.readouterr()
    assert main(["--configfile", "more.yaml", "params"]) == 0
    assert "/s3-" in capsys.readouterr().out
