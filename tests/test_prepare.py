"""`xdseg prepare`: every fault of a suite is listed at once, with its mend; nothing is written while any is left."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import edit_suite_file
from PIL import Image

from xdseg.cli import main
from xdseg.params import merge


def faults(capsys) -> list[str]:
    """What a failing prepare prints, line by line."""
    assert main(["prepare", "toy"]) == 2
    return capsys.readouterr().err.splitlines()


def only_fault(capsys) -> str:
    """The single fault that is found, less the closing line."""
    lines = faults(capsys)
    assert len(lines) == 2 and "1 fault; no lock was written" in lines[1], lines
    return lines[0]


def test_lock_holds_digests_and_counts(project):
    """The lock has images and counts; a split's label statistics lie in their own file."""
    lock = json.loads(Path("data/locks/toy.json").read_text())
    assert lock["domains"]["a"]["splits"]["train"]["count"] == 4
    assert lock["domains"]["a"]["splits"]["val"]["pixels"] == 2 * 24 * 32
    assert "pixels" not in json.dumps(lock["classes"]) and "labels" not in json.dumps(lock["domains"])
    labels = json.loads(Path("data/locks/toy/a--train.labels.json").read_text())
    assert labels["ignored"] == 4 * 24  # one column of each label
    assert sum(labels["pixels"].values()) + labels["ignored"] == 4 * 24 * 32


def test_preparing_again_leaves_the_lock_alone(project, capsys):
    """An unchanged folder rewrites nothing, so nothing downstream looks newer."""
    before = Path("data/locks/toy.json").stat().st_mtime_ns
    assert main(["prepare", "toy"]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert Path("data/locks/toy.json").stat().st_mtime_ns == before


def test_digest_depends_on_bytes_and_order(project, data):
    """A changed image, or another order of the list, is another digest."""

    def digest() -> str:
        assert main(["prepare", "toy"]) == 0
        return json.loads(Path("data/locks/toy.json").read_text())["domains"]["a"]["splits"]["train"]["images"]

    first = digest()
    listing = data / "toy/a/train.txt"
    listing.write_text("\n".join(reversed(listing.read_text().split())))
    second = digest()
    image = data / "toy/a/images/00.png"
    pixels = np.array(Image.open(image))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(image)
    assert len({first, second, digest()}) == 3


def test_missing_label(project, data, capsys):
    """Named, with both ways out."""
    (data / "toy/a/labels/01.png").unlink()
    line = only_fault(capsys)
    assert "toy/a/labels/01.*: missing; add it, or name the split under `unlabelled` in suite.json" in line


def test_missing_image(project, data, capsys):
    """Named."""
    (data / "toy/a/images/01.png").unlink()
    assert "toy/a/images/01.*: missing; add it" in only_fault(capsys)


def test_shape_mismatch(project, data, capsys):
    """Both sizes are given, width before height."""
    Image.fromarray(np.zeros((24, 31), np.uint8)).save(data / "toy/b/labels/00.png")
    line = only_fault(capsys)
    assert "toy/b/labels/00.png: another size than its image (image 32x24, label 31x24)" in line


def test_id_outside_the_classes(project, data, capsys):
    """The smallest unknown id is named; ignore is allowed."""
    label = np.zeros((24, 32), np.uint8)
    label[0, :3] = 3, 9, 255
    Image.fromarray(label).save(data / "toy/b/labels/00.png")
    assert "toy/b/labels/00.png: ids 3, 9 outside the 3 classes and not 255 (ignore)" in only_fault(capsys)


def test_truncated_png(project, data, capsys):
    """A file cut in half is found although its header is whole."""
    path = data / "toy/a/images/00.png"
    path.write_bytes(path.read_bytes()[:200])
    assert "toy/a/images/00.png: broken or cut short" in only_fault(capsys)


def test_rgb_label(project, data, capsys):
    """Colours are not ids."""
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(data / "toy/a/labels/00.png")
    assert "toy/a/labels/00.png: a label of 3 channels; save class ids as one 8-bit channel" in only_fault(capsys)


def test_sixteen_bit_label(project, data, capsys):
    """Nor are 16-bit values, which reading as 8 bits would fold."""
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(data / "toy/a/labels/00.png")
    assert "toy/a/labels/00.png: a label of 16 bits a pixel" in only_fault(capsys)


def test_palette_label_counts_by_index(project, data):
    """A palette PNG's indices are the ids, whatever its colours."""
    path = data / "toy/a/labels/00.png"
    before = json.loads(Path("data/locks/toy/a--train.labels.json").read_text())["pixels"]
    image = Image.fromarray(np.array(Image.open(path)), "P")
    image.putpalette([17] * 768)
    image.save(path)
    assert main(["prepare", "toy"]) == 0
    assert json.loads(Path("data/locks/toy/a--train.labels.json").read_text())["pixels"] == before


def test_name_in_two_splits(project, data, capsys):
    """An image that is trained on must not be scored."""
    (data / "toy/a/val.txt").write_text("04\n00\n")
    assert "toy/a/val.txt: 00 is also in train.txt; an image belongs to one split" in only_fault(capsys)


def test_name_twice_in_a_list(project, data, capsys):
    """A repeated name would be counted twice."""
    (data / "toy/a/val.txt").write_text("04\n04\n")
    assert "toy/a/val.txt: 04 stands there 2 times" in only_fault(capsys)


def test_count_mismatch(project, data, capsys):
    """The list and suite.json must agree."""
    (data / "toy/a/val.txt").write_text("04\n")
    assert "val.txt: lists 1 images, suite.json says 2" in only_fault(capsys)


def test_two_bit_label(project, data, capsys):
    """A grey PNG of 2 bits would be stretched when decoded: id 3 would become 255, which is ignore."""
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(data / "toy/a/labels/00.png", bits=2)
    assert "toy/a/labels/00.png: a label of 2 bits a pixel" in only_fault(capsys)


def test_one_image_under_two_names(project, data, capsys):
    """A copy of a training image in the evaluation split is as bad as its name there."""
    (data / "toy/a/images/05.png").write_bytes((data / "toy/a/images/00.png").read_bytes())
    assert "05 of val is the image 00 of train; keep it in one split" in only_fault(capsys)


def test_list_with_endings(project, data, capsys):
    """The usual mistake gets its own hint."""
    (data / "toy/a/val.txt").write_text("04.png\n05\n")
    assert "04.png.*: missing; lists name images without ending" in faults(capsys)[0]


def test_list_in_another_encoding(project, data, capsys):
    """Not a traceback."""
    (data / "toy/a/val.txt").write_bytes(b"\xff\xfe0\x004\x00")
    assert "toy/a/val.txt: missing or not UTF-8" in faults(capsys)[0]


@pytest.mark.parametrize("pattern", ["(", "^0"])
def test_bad_group_pattern(project, data, capsys, pattern):
    """In suite.json or in params.yaml."""
    project.write(merge(project.config, {"suites": {"toy": {"groups": {"a": pattern}}}}))
    assert "suites.toy.groups.a: " in faults(capsys)[0]


def test_all_faults_at_once(project, data, capsys):
    """Three things wrong in three places are three lines, and the old lock stays as it was."""
    before = Path("data/locks/toy.json").read_bytes()
    (data / "toy/a/labels/01.png").unlink()
    (data / "toy/b/val.txt").unlink()
    (data / "toy/b/images/02.png").write_bytes(b"no image")
    lines = faults(capsys)
    assert len(lines) == 4 and "3 faults; no lock was written" in lines[-1]
    assert Path("data/locks/toy.json").read_bytes() == before


def test_wrong_key_in_suite_file(project, data, capsys):
    """A misspelt key is named."""
    edit_suite_file(data / "toy", clases=["x"])
    assert "suite.json: clases: extra inputs are not permitted" in faults(capsys)[0]


def test_wrong_suite(project, data, capsys):
    """A folder that says it is another suite is refused, and an unknown suite gets the nearest name."""
    edit_suite_file(data / "toy", suite="street")
    assert "suite.json: this is suite 'street', params.yaml calls it 'toy'; use one name" in faults(capsys)[0]
    assert main(["prepare", "tou"]) == 2
    assert "no suite 'tou' in params.yaml; did you mean 'toy'?" in capsys.readouterr().err


def test_missing_folder(project, data, capsys):
    """Where it was looked for, and the two ways to say where it is."""
    (data / "toy").rename(data / "elsewhere")
    assert "toy/suite.json: no such file; set suites.toy.root, or XDSEG_DATA" in faults(capsys)[0]


def test_unlabelled_split_needs_no_labels(project, data):
    """A declared split may have no labels; the lock says so and holds no statistics of them."""
    domains = json.loads((data / "toy/suite.json").read_text())["domains"]
    domains["b"]["unlabelled"] = ["train"]
    edit_suite_file(data / "toy", domains=domains)
    for name in ("00", "01", "02", "03"):
        (data / f"toy/b/labels/{name}.png").unlink()
    assert main(["prepare", "toy"]) == 0
    assert json.loads(Path("data/locks/toy.json").read_text())["domains"]["b"]["splits"]["train"]["labelled"] is False
    assert not Path("data/locks/toy/b--train.labels.json").exists()


def test_group_pattern_must_fit_every_name(project, data, capsys):
    """A recording that cannot be told is a fault of the list."""
    domains = json.loads((data / "toy/suite.json").read_text())["domains"]
    domains["b"]["groups"] = r"^(0[0-4])"
    edit_suite_file(data / "toy", domains=domains)
    assert "toy/b/val.txt: 05 does not fit the pattern of its group" in only_fault(capsys)


@pytest.mark.parametrize("ignore", [0, 2])
def test_ignore_must_not_be_a_class(project, data, capsys, ignore):
    """Otherwise a class would silently vanish."""
    edit_suite_file(data / "toy", ignore_index=ignore)
    assert f"ignore_index {ignore} is also a class" in faults(capsys)[0]
