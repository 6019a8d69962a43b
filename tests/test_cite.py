"""What to cite: every part has its papers or none, nothing is invented, an unknown row gets one line."""

import re
from typing import get_args

import pytest
import yaml
from conftest import ROOT

from xdseg import citations, registry
from xdseg.cli import main
from xdseg.params import load
from xdseg.settings.tunings import Tuning
from xdseg.stages.cite import parts


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Where params.yaml lies."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("XDSEG_CONFIG", raising=False)


def own(kinds) -> set[str]:
    """Registered by the package itself, not by a plugin of another test."""
    return {name for name in kinds if kinds[name].build.startswith("xdseg.")}


def keys_of(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def test_every_kind_has_an_entry():
    """Segmenters, tunings and adaptations: papers that are there, or none and meant so; nothing else is listed."""
    tunings = {get_args(one.model_fields["kind"].annotation)[0] for one in get_args(get_args(Tuning)[0])}
    assert set(citations.SEGMENTERS) == own(registry.SEGMENTERS)
    assert set(citations.ADAPTATIONS) == own(registry.ADAPTATIONS)
    assert set(citations.TUNINGS) == tunings >= {"frozen", "lora", "rein"}
    tables = (citations.SEGMENTERS, citations.TUNINGS, citations.ADAPTATIONS, citations.CASES, citations.ENTRIES)
    used = {key for table in tables for keys in table.values() for key in keys}
    assert used == set(citations.PAPERS)
    assert [kind for table in tables for kind, keys in table.items() if keys == citations.OURS] == ["frozen", "full"]


def test_cases_name_settings_that_exist():
    """A setting that was renamed would never again add its paper; so would an entry of params.yaml."""
    for kind, name, value in citations.CASES:
        table = registry.SEGMENTERS if kind in citations.SEGMENTERS else registry.ADAPTATIONS
        assert value in get_args(table[kind].settings.model_fields[name].annotation)
    assert set(citations.ENTRIES) <= set(load().segmenters)


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("source-only", ["deeplabv3plus"]),
        ("adaptsegnet", ["deeplabv3plus", "adaptsegnet"]),
        ("advent", ["deeplabv3plus", "adaptsegnet", "advent"]),
        ("hrda+mfm", ["hrda", "daformer", "segformer", "dacs", "mfm"]),
        ("vfm-rein", ["mask2former", "rein"]),
        ("vfm-full", ["mask2former"]),
        ("vltseg", ["vltseg", "mask2former"]),
    ],
)
def test_papers_of_a_row(capsys, method, keys):
    """Segmenter, what it wraps, tuning, adaptations and what their settings add; each once, XDSeg last."""
    assert main(["cite", method]) == 0
    printed = capsys.readouterr().out
    assert keys_of(printed) == [*keys, "xdseg"]
    assert printed.count("{") == printed.count("}")


def test_every_row_of_params_can_be_cited():
    """No row has a part that nothing is known of."""
    params = load()
    unknown = {part for name in params.methods for part, keys in parts(name, params) if keys is None}
    assert not unknown and len(params.methods) > 50


def test_an_entry_by_hand():
    """All that is known, in the order of fields, and no comment."""
    assert citations.bibtex("mfm") == (
        "@inproceedings{mfm,\n"
        "  author = {W. Zhou and Z. Zhou and T. Xian and Y. Zhai and W. Wu and B. Ma},\n"
        "  title = {Masked Representation Modeling for Domain-Adaptive Segmentation},\n"
        "  booktitle = {CVPR},\n"
        "  year = {2026},\n"
        "  eprint = {2509.13801},\n"
        "  archivePrefix = {arXiv},\n"
        "  url = {https://github.com/Wenlve-Zhou/MRM},\n"
        "  note = {MRM, first called MFM},\n"
        "}"
    )


def test_what_is_not_confirmed_is_said():
    """No field is made up: a line that BibTeX skips says what the paper would tell."""
    first, entry, *_ = citations.bibtex("vltseg").splitlines()
    assert first == "% VLTSeg: not confirmed here, take from the paper: author" and entry == "@inproceedings{vltseg,"
    assert {key for key in citations.PAPERS if citations.bibtex(key).startswith("%")} == {"tmt", "vltseg"}
    assert citations.bibtex("deeplabv2").startswith("@article{deeplabv2,")
    allowed = {*citations.ORDER} - {"archivePrefix", "version"}
    for key, fields in citations.PAPERS.items():
        assert "note" in fields and set(fields) <= allowed, key
        assert re.fullmatch(r"\d{4}\.\d{5}", fields.get("eprint", "2000.00000")), key


def test_xdseg_is_cited_as_its_own_file_says():
    """CITATION.cff and the entry tell the same title, author and version."""
    cff, entry = yaml.safe_load((ROOT / "CITATION.cff").read_text()), citations.own_bibtex()
    for text in (cff["title"], cff["authors"][0]["name"], str(cff["version"])):
        assert text in entry.replace("{XDSeg}", "XDSeg")


def test_a_part_of_a_plugin_is_named(capsys, monkeypatch):
    """Nothing is known of a kind: a comment says which, and the rest is printed."""
    monkeypatch.delitem(citations.ADAPTATIONS, "minent")
    assert main(["cite", "minent"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("% adaptation minent: no paper is known here") and keys_of(printed)[-1] == "xdseg"


def test_an_unknown_row_gets_one_line(capsys):
    """With the nearest name, and exit code 2."""
    assert main(["cite", "daformr"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "xdseg: cite: params.yaml has no method 'daformr'; did you mean 'daformer'?\n"
