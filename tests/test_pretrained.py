"""Pre-trained weights in fingerprints: their content decides, never their path, also where only their record lies."""

import json
from pathlib import Path

import pytest
from test_cells import changed, prints

from xdseg.errors import BadInput
from xdseg.files import file_digest
from xdseg.pretrained import check_content, weights_identity

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2
EVERYTHING = [{"train", "predict", "score"}] * 6


def with_weights(path):
    """Fingerprints of the toy grid whose segmenter starts from `path`."""
    return prints(segmenters={"deeplabv3plus": {"weights": None if path is None else str(path)}})


def write_record(path: Path, digest: str) -> None:
    """The record beside a weights file."""
    path.with_suffix(".json").write_text(json.dumps({"weights_sha256": digest}))


def test_identity_is_a_digest_or_a_name(tmp_path):
    """The SHA-256 of a file, the word that a library pins weights by, and a refusal of what is nowhere."""
    path = tmp_path / "a.pth"
    path.write_bytes(b"abc")
    assert weights_identity(str(path)) == ABC
    assert weights_identity("imagenet") == "imagenet"
    with pytest.raises(BadInput, match=r"none\.pth: no such file"):
        weights_identity(str(tmp_path / "none.pth"))


def test_content_moves_the_run_and_the_path_does_not(project):
    """Equal bytes elsewhere are the same run; other bytes at the same place are another, down to the score."""
    Path("a.pth").write_bytes(b"one")
    Path("b.pth").write_bytes(b"one")
    none, first = with_weights(None), with_weights("a.pth")
    assert none == prints() and changed(none, first) == EVERYTHING
    assert with_weights("b.pth") == with_weights(Path("a.pth").resolve()) == first
    Path("a.pth").write_bytes(b"another")
    assert changed(first, with_weights("a.pth")) == EVERYTHING


def test_record_says_the_content_where_the_file_is_not(project):
    """A clone without the file knows the fingerprint from the record beside it, and it is that of the file."""
    path = Path("a.safetensors")
    path.write_bytes(b"one")
    before = with_weights(path)
    write_record(path, file_digest(path))
    path.unlink()
    assert with_weights(path) == before
    write_record(path, "0" * 64)
    assert changed(before, with_weights(path)) == EVERYTHING


def test_file_that_is_not_the_recorded_one_is_refused(tmp_path):
    """A record keeps its word: whoever loads another file under it is stopped with both names."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"one")
    check_content(path)
    write_record(path, file_digest(path))
    check_content(path)
    path.write_bytes(b"two")
    with pytest.raises(BadInput, match=r"a\.safetensors: not the file that .*a\.json records"):
        check_content(path)


@pytest.mark.parametrize("text", ["{", "[1]", '{"other": 1}'])
def test_json_that_is_no_record_is_ignored(tmp_path, text):
    """Some other JSON of the same name leaves the file's own digest."""
    path = tmp_path / "model.pth"
    path.write_bytes(b"abc")
    path.with_suffix(".json").write_text(text)
    assert weights_identity(str(path)) == ABC
