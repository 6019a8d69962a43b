"""A segmenter inside another one's settings: how it is checked, written, and what of it is in a fingerprint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_cells import changed, context, prints
from test_segment import RUN, here, make_run  # noqa: F401  (a fixture)

from xdseg.errors import BadInput
from xdseg.grid import expand
from xdseg.params import checked
from xdseg.registry import SEGMENTERS
from xdseg.settings.hrda import HRDA
from xdseg.settings.mit import DAFormer
from xdseg.trained import read_run

ALL = {"train", "predict", "score"}


METHODS = {name: {"segmenter": "wrapped"} for name in ("source-only", "source-aug", "oracle")}


def wrapped(inner, **values):
    """Changes of the toy grid's settings: all methods have HRDA around a ResNet's network."""
    entry = {"kind": "hrda", "inner": {"kind": "deeplabv3plus", **inner}, **values}
    return {"segmenters": {"wrapped": entry}, "methods": METHODS}


def with_inner(**inner):
    """Fingerprints of that grid."""
    return prints(**wrapped(inner))


def test_inner_settings_are_those_of_its_kind():
    """They are checked by its class, written out flat, and read back as they were."""
    settings = HRDA(inner={"kind": "daformer", "channels": 64})
    assert settings.inner.settings == DAFormer(channels=64)
    assert settings.identity() == {"inner": {"kind": "daformer", "channels": 64}}
    written = settings.model_dump(mode="json")
    assert written["inner"]["encoder"] == "mit_b5" and written["inner"]["dilations"] == [1, 6, 12, 18]
    assert HRDA(**written) == HRDA(**settings.identity()) == settings


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ({"kind": "dafomer"}, "inner.kind: unknown segmenter 'dafomer'; did you mean 'daformer'?"),
        ({"kind": "daformer", "chanels": 3}, "inner.chanels: no such key; did you mean 'channels'?"),
        ({"kind": "daformer", "channels": 0}, "inner.channels: input should be greater than 0, got 0"),
        ({"kind": "eomt", "loss": {"pionts": 1}}, "inner.loss.pionts: no such key; did you mean 'points'?"),
        ({"channels": 3}, "inner.kind: input should be a valid string, got null"),
        ("daformer", "inner: input should be a valid dictionary"),
    ],
)
def test_faults_are_named_by_their_place(inner, message):
    """One line, with the key below the wrapper's and the nearest name that there is."""
    with pytest.raises(BadInput) as error:
        checked(HRDA, {"inner": inner}, "segmenters.hrda")
    assert str(error.value).startswith(f"params: segmenters.hrda.{message}") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"context_scale": 0.6},
            "segmenters.hrda.context_scale: value error, the context is reduced by a whole number",
        ),
        ({"detail": 128}, "detail_stride: 256 leaves gaps between details of 128 pixels"),
        ({"details": 128}, "segmenters.hrda.details: no such key; did you mean 'detail'?"),
    ],
)
def test_wrong_settings_of_the_wrapper(values, message):
    """Reductions that are not whole, gaps between details and unknown keys are refused."""
    with pytest.raises(BadInput) as error:
        checked(HRDA, {"inner": {"kind": "daformer"}} | values, "segmenters.hrda")
    assert message in str(error.value)


def test_inner_settings_move_the_run(project):
    """What differs from the inner default moves every fingerprint; what equals it moves none."""
    plain = with_inner()
    assert with_inner(decoder_channels=256) == plain
    assert set(map(frozenset, changed(plain, with_inner(decoder_channels=128)))) == {frozenset(ALL)}
    assert set(map(frozenset, changed(plain, prints()))) == {frozenset(ALL)}


def test_inner_version_moves_the_run(project, monkeypatch):
    """The version of the kind inside counts, and that of another kind does not."""
    plain = with_inner()
    for kind, moved in (("segformer", set()), ("deeplabv3plus", {frozenset(ALL)})):
        monkeypatch.setitem(SEGMENTERS.components, kind, replace(SEGMENTERS[kind], version=99))
        assert {frozenset(names) for names in changed(plain, with_inner())} - {frozenset()} == moved


def test_inner_weights_are_their_content(project):
    """Equal bytes elsewhere are the same run, other bytes at one place are another; the payload holds the digest."""
    Path("a.pth").write_bytes(b"abc")
    Path("b.pth").write_bytes(b"abc")
    first = with_inner(weights="a.pth")
    assert with_inner(weights="b.pth") == first
    Path("b.pth").write_bytes(b"other")
    assert set(map(frozenset, changed(first, with_inner(weights="b.pth")))) == {frozenset(ALL)}
    cell = expand(context(**wrapped({"weights": "a.pth"}, detail=256))).cells[0]
    described = cell.run.payload["segmenter"]
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2
    inner = {"kind": "deeplabv3plus", "weights": digest}
    assert described["settings"] == {"detail": 256, "inner": inner}
    assert described["inner"] == {"kind": "deeplabv3plus", "version": SEGMENTERS["deeplabv3plus"].version}


def test_trained_run_is_read_with_its_inner_kind(here):  # noqa: F811
    """A receipt gives the settings back; one that was trained with another version of the inner kind is refused."""
    make_run(kind="hrda")
    receipt = json.loads((RUN / "run.json").read_text())
    described = receipt["payload"]["segmenter"]
    described["inner"] = {"kind": "deeplabv3plus", "version": SEGMENTERS["deeplabv3plus"].version}
    described["settings"]["inner"]["weights"] = "0" * 64
    (RUN / "run.json").write_text(json.dumps(receipt))
    assert read_run(RUN).settings.inner.settings.decoder_channels == 32
    described["inner"]["version"] = 7
    (RUN / "run.json").write_text(json.dumps(receipt))
    with pytest.raises(BadInput, match="trained with version 7 of deeplabv3plus"):
        read_run(RUN)
