"""The decoded cache: the same pixels whether decoded ahead or on the fly, and only those that the lock knows."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import edit_suite_file, small_config
from PIL import Image

from xdseg.cells import Context
from xdseg.data.store import FileStore, PixelStore, open_store, write_store
from xdseg.errors import BadInput
from xdseg.params import merge, parse
from xdseg.process import run_lock
from xdseg.stages.cache import cache
from xdseg.workflow import cache_path


def filled(what: str, **changes) -> PixelStore:
    """Store of a's training split."""
    context = Context.of(parse(merge(small_config(), changes)))
    index = Path(cache_path(context, "a", "train", what))
    cache(index, context)
    return open_store(index)


@pytest.mark.parametrize("what", ["images", "labels"])
def test_pixels_are_those_of_the_files(project, data, what):
    """Decoded ahead or on the fly: every array equals what Pillow reads, in the order of the list."""
    ahead = filled(what)
    Path(ahead.index).unlink()
    later = filled(what, runtime={"cache_gb": 0})
    assert type(ahead) is PixelStore and type(later) is FileStore
    assert ahead.names == later.names == ("00", "01", "02", "03")
    for position, name in enumerate(ahead.names):
        expected = np.array(Image.open(data / f"toy/a/{what}/{name}.png"))
        np.testing.assert_array_equal(ahead[position], expected)
        np.testing.assert_array_equal(later[position], expected)


def test_on_the_fly_is_said_in_a_line(project, capsys):
    """Who wonders why loading is slow finds the reason in the log."""
    filled("images", runtime={"cache_gb": 0})
    assert "a train images: 0.0 GiB decoded, over cache_gb 0: decoded on the fly" in capsys.readouterr().out


def test_pixels_cannot_be_written(project):
    """A transform that works in place cannot spoil the cache."""
    with pytest.raises(ValueError, match="read-only"):
        filled("images")[0][0, 0] = 0


def test_store_cut_short_is_refused(tmp_path):
    """A disk that filled up is noticed before anything trains on zeros."""
    index = tmp_path / "x.json"
    write_store(index, names=["one"], arrays=[np.ones((2, 3), np.uint8)], digest="d")
    assert open_store(index)[0].tolist() == [[1, 1, 1], [1, 1, 1]]
    index.with_suffix(".bin").write_bytes(b"\1\1")
    with pytest.raises(BadInput, match="missing or cut short; delete"):
        open_store(index)[0]


def test_file_changed_after_the_index_is_refused_on_the_fly(project, data):
    """What is decoded later is still what was locked."""
    store = filled("labels", runtime={"cache_gb": 0})
    path = data / "toy/a/labels/01.png"
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(path)
    assert store[0].shape == (24, 32)
    with pytest.raises(BadInput, match=r"labels/01\.png: changed since it was checked"):
        store[1]


def test_suite_file_that_means_other_ids_is_not_the_lock(project, data):
    """Swapped class names would train under the wrong ones."""
    edit_suite_file(data / "toy", classes=["thing", "ground", "sky"])
    with pytest.raises(BadInput, match=r"suite\.json: classes is not that of data/locks/toy\.json"):
        filled("labels")


def test_changed_folder_is_not_the_lock(project, data):
    """A file changed after preparing ends the stage with the command that mends it."""
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(data / "toy/a/images/00.png")
    with pytest.raises(BadInput, match=r"not the 4 images of a train in data/locks/toy.json.*run `xdseg prepare toy`"):
        filled("images")


def test_interrupted_store_is_not_taken_for_whole(tmp_path):
    """If decoding fails half-way, no index and no part of a file is left."""

    def arrays():
        yield np.ones((2, 2), np.uint8)
        raise BadInput("broken")

    with pytest.raises(BadInput):
        write_store(tmp_path / "x.json", names=["a", "b"], arrays=arrays(), digest="d")
    assert list(tmp_path.iterdir()) == []


def test_second_process_waits_for_the_first(tmp_path, capfd):
    """Two stages on one run: the second says for whom it waits, and goes on when the first is done."""
    code = f"""
import time
from pathlib import Path
from xdseg.process import run_lock
with run_lock(Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(1)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        start = time.monotonic()
        with run_lock(tmp_path):
            assert time.monotonic() - start > 0.5
        assert f"waiting for process {first.pid} on" in capfd.readouterr().out
