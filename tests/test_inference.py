"""Windows, averages and class ids of whole images, by hand."""

import math
import subprocess
import sys

import numpy as np
import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from xdseg.data.tensors import denormalise, normalise
from xdseg.errors import BadInput
from xdseg.evaluation.inference import class_ids, cover, cover_offsets, scores_of, slide, window_offsets
from xdseg.evaluation.sizes import sized
from xdseg.params import checked
from xdseg.segmenters.build import build_segmenter
from xdseg.settings.evaluation import Inference

WHOLE = Inference()


class Stub(nn.Module):
    """Gives scores by a function of the window that it is shown, and notes the windows' sizes."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.sizes = scores, []
        self.weight = nn.Parameter(torch.zeros(1))

    def predict(self, images):
        """Scores of a window."""
        self.sizes.append(tuple(images.shape[-2:]))
        return self.scores(images)


@pytest.mark.parametrize(("length", "expected"), [(10, [0, 3, 6]), (11, [0, 3, 6, 7]), (4, [0]), (3, [0]), (5, [0, 1])])
def test_window_offsets_by_hand(length, expected):
    """Windows of 4 every 3 pixels, the last one flush with the border."""
    assert window_offsets(length, window=4, stride=3) == expected


def test_sizes_by_hand():
    """Native, exact, and a short side of 50 for an image of 100 x 201."""
    assert sized((100, 201), "native") == (100, 201)
    assert sized((100, 201), (30, 40)) == (30, 40)
    assert sized((100, 201), 50) == (50, 100)


@pytest.mark.parametrize(
    ("shape", "box", "expected"),
    [
        ((1052, 1914), [720, 1280], (704, 1280)),  # GTA5 at "1280 x 720"
        ((1046, 1914), [720, 1280], (700, 1280)),
        ((1052, 1914), [1440, 2560], (1407, 2560)),  # enlarged
        ((720, 1280), [1024, 2048], (1024, 1820)),  # BDD100K: the short side binds
        ((1280, 720), [1024, 2048], (1820, 1024)),  # a standing photo turns the box
        ((3000, 4000), [512, 1024], (512, 683)),
        ((2, 4), [1, 3], (1, 2)),
        ((5, 20), [10, 5], (3, 10)),  # 2.5 goes up
    ],
)
def test_a_box_that_the_image_fits_into(shape, box, expected):
    """The sizes that mmsegmentation's keep_ratio gives, among them GTA5's 1280 x 704."""
    assert sized(shape, Inference(size={"fit": box}).size) == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1080, 1920), (1024, 1820)),  # 1820.4
        ((1024, 2048), (1024, 2048)),
        ((375, 1242), (618, 2048)),  # 3391.5 would be too long: 375 / 1242 of 2048 is 618.4
        ((1242, 375), (2048, 618)),
        ((4000, 3000), (1365, 1024)),
    ],
)
def test_a_short_side_with_a_bound_on_the_long_one(shape, expected):
    """HGFormer's test size: short side 1024, long side 2048 at most."""
    assert sized(shape, Inference(size={"short": 1024, "max_long": 2048}).size) == expected


@pytest.mark.parametrize(
    "size",
    [
        {"fit": 3},
        {"fit": [3]},
        {"fit": [3, 0]},
        {"short": 3},
        {"short": 4, "max_long": 3},
        {"box": [3, 4]},
        True,
        [1.5],
    ],
)
def test_a_wrong_size_is_one_line(size):
    """What is no size gets the list of what is, once."""
    with pytest.raises(BadInput, match=r"inference\.size: value error, expected native, .*max_long") as error:
        checked(Inference, {"size": size}, "inference")
    assert str(error.value).count("expected") == 1


def test_sizes_need_no_torch():
    """Settings and sizes are read where no framework is loaded."""
    code = "import sys, xdseg.evaluation.sizes, xdseg.settings.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_later_settings_change_no_old_fingerprint_and_no_old_record():
    """At their defaults they are in neither, so that the same settings give the same bytes."""
    old = {"size": "native", "mode": "whole", "window": None, "stride": None}
    assert Inference().identity() == {} and Inference().model_dump(mode="json") == old
    dacs = Inference(size=[512, 1024], output="input", align_corners=True)
    said = {"size": [512, 1024], "align_corners": True, "output": "input"}
    assert dacs.identity() == said and dacs.model_dump(mode="json") == old | said
    assert Inference.model_validate(dacs.model_dump()) == dacs
    fitted = Inference(size={"fit": [720, 1280]})
    assert fitted.identity() == {"size": {"fit": [720, 1280]}}
    assert Inference.model_validate(fitted.model_dump(mode="json")) == fitted


def test_overlaps_are_averaged():
    """Windows of 4 at 0 and 2 of a row of 6, scored 1 and 3: 1 1 2 2 3 3."""
    calls = iter([1.0, 3.0])
    stub = Stub(lambda images: torch.full((1, 1, *images.shape[-2:]), next(calls)))
    scores = slide(stub, torch.zeros(1, 3, 2, 6), window=4, stride=2)
    assert scores[0, 0].tolist() == [[1, 1, 2, 2, 3, 3]] * 2
    assert stub.sizes == [(2, 4), (2, 4)]


def test_windows_see_their_own_pixels():
    """A network that returns its input gets back the image, whatever the windows."""
    image = torch.rand(1, 3, 11, 13)
    torch.testing.assert_close(slide(Stub(lambda images: images), image, window=5, stride=3), image)


@pytest.mark.parametrize("name", ["toy", "deeplabv3plus"])
def test_one_window_equals_the_whole_image(name):
    """A window at least as large as the image gives the whole image's scores, bit for bit."""
    network = build_segmenter(name, tiny_jobs.segmenter_settings(name), tiny_jobs.CLASSES, seed=0).eval()
    image = np.random.default_rng(0).integers(0, 255, (37, 45, 3), dtype=np.uint8)
    sliding = Inference(mode="slide", window=45, stride=20)
    whole = scores_of(network, image, settings=WHOLE)
    assert whole.shape == (1, 3, 37, 45) and torch.equal(whole, scores_of(network, image, settings=sliding))


def test_argmax_comes_after_resizing_to_the_truth():
    """Scores 0 and 8 of class 1 against 3 of class 0, doubled: 0, 2, 6, 8, so the border lies after two pixels."""
    ones = torch.tensor([0.0, 8.0]).expand(1, 1, 1, 2)
    stub = Stub(lambda images: torch.cat([torch.full_like(ones, 3.0), ones], dim=1))
    ids = class_ids(stub, np.zeros((1, 2, 3), np.uint8), settings=WHOLE, size=(1, 4))
    assert ids.dtype == np.uint8 and ids.tolist() == [[0, 0, 1, 1]]
    assert not stub.training


def test_corners_may_be_aligned():
    """Scores 0 and 6 resized to four pixels: 0 2 4 6 aligned, else 0 1.5 4.5 6; against 1.8 the second one differs."""
    ones = torch.tensor([0.0, 6.0]).expand(1, 1, 1, 2)
    stub = Stub(lambda images: torch.cat([torch.full_like(ones, 1.8), ones], dim=1))
    image = np.zeros((1, 2, 3), np.uint8)
    found = [
        class_ids(stub, image, settings=Inference(align_corners=aligned), size=(1, 4)).tolist()
        for aligned in (False, True)
    ]
    assert found == [[[0, 0, 1, 1]], [[0, 1, 1, 1]]]


def test_classes_may_be_chosen_at_the_size_of_the_input():
    """With `output: input` the argmax is taken where the network saw the image, as DACS does; no resizing follows."""
    stub = Stub(lambda images: images)
    image = np.zeros((8, 16, 3), np.uint8)
    image[..., 1] = 255
    ids = class_ids(stub, image, settings=Inference(size=[4, 6], output="input"), size=(8, 16))
    assert ids.dtype == np.uint8 and ids.tolist() == [[1] * 6] * 4


def test_network_sees_the_resized_normalised_image():
    """The image is resized on its 8-bit pixels and normalised; ids come at the truth's size."""
    seen = []
    stub = Stub(lambda images: seen.append(denormalise(images)) or images)
    image = np.zeros((10, 20, 3), np.uint8)
    image[..., 2] = 255
    ids = class_ids(stub, image, settings=Inference(size=5), size=(10, 20))
    assert stub.sizes == [(5, 10)] and ids.shape == (10, 20) and (ids == 2).all()
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)


def test_precision_of_inference():
    """bf16 gives scores close to fp32's, in float32, but not the same."""
    network = build_segmenter("toy", tiny_jobs.segmenter_settings("toy"), tiny_jobs.CLASSES, seed=0).eval()
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    full, half = (scores_of(network, image, settings=WHOLE, precision=p) for p in ("fp32", "bf16"))
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    torch.testing.assert_close(full, half, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("length", "window", "expected"),
    [
        (2048, 1024, [0, 1024]),  # Cityscapes: no overlap
        (683, 512, [0, 171]),  # ADE20K
        (1024, 1024, [0]),
        (700, 1024, [0]),
        (2049, 1024, [0, 512, 1025]),  # 512.5 goes down
        (1366, 512, [0, 427, 854]),
        (5, 2, [0, 1, 3]),
        (303, 100, [0, 67, 135, 203]),  # in floats the last one is 202, and the last pixel is seen by none
    ],
)
def test_fewest_windows_by_hand(length, window, expected):
    """As many as are needed, evenly spread, the last one flush with the border."""
    assert cover_offsets(length, window=window) == expected


@pytest.mark.parametrize("window", [512, 640, 1024, 1280])
def test_fewest_windows_are_eomts(window):
    """At its own windows, EoMT's rule in floats gives the same for every length up to six windows."""
    for length in range(window, 6 * window + 1):
        count = math.ceil(length / window)
        overlap = (count * window - length) / (count - 1) if count > 1 else 0
        published = [int(number * (window - overlap)) for number in range(count)]
        assert cover_offsets(length, window=window) == published, length


def test_windows_that_cover_have_no_gap():
    """For every length and window: from the first pixel to the last, no window is needless or leaves the image."""
    for window in range(1, 14):
        for length in range(1, 60):
            starts = cover_offsets(length, window=window)
            seen = {pixel for start in starts for pixel in range(start, min(start + window, length))}
            assert seen == set(range(length)) and len(starts) == max(1, math.ceil(length / window))
            assert starts[-1] == max(length - window, 0)


def test_covering_windows_are_averaged_by_hand():
    """Windows of 2 on a row of 3 start at 0 and 1; by their order they score 10 and 30, so 10, 20, 30 is the mean."""
    values = iter((10.0, 30.0))
    stub = Stub(lambda images: torch.full((1, 1, *images.shape[-2:]), next(values)))
    assert cover(stub, torch.zeros(1, 3, 1, 3), window=2).tolist() == [[[[10, 20, 30]]]]
    assert stub.sizes == [(1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("shape", "window", "sizes", "starts"),
    [
        ((1024, 2048), 1024, [(1024, 1024)] * 2, [0, 1024]),
        ((512, 683), 512, [(512, 512)] * 2, [0, 171]),
        ((683, 512), 512, [(512, 512)] * 2, [0, 171]),
        ((300, 400), 512, [(512, 512)] * 2, [0, 171]),  # enlarged to 512 x 683
        ((64, 64), 32, [(32, 32)], [0]),
    ],
)
def test_windows_of_eomt(shape, window, sizes, starts):
    """The short side becomes the window's, whether that is up or down; squares along the long side show all of it."""
    seen = []
    stub = Stub(lambda images: seen.append(images) or images)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    scores = scores_of(stub, image, settings=Inference(mode="cover", window=window, size=window))
    assert stub.sizes == sizes and sorted(scores.shape[-2:])[0] == window
    for start, shown in zip(starts, seen, strict=True):
        where = scores[..., start : start + window] if shape[1] >= shape[0] else scores[..., start : start + window, :]
        torch.testing.assert_close(where, shown, msg="the average of equal scores is the score")


@pytest.mark.parametrize("shape", [(512, 683), (1024, 2048), (375, 500), (500, 375), (333, 1000), (1080, 1920)])
def test_size_of_eomt(shape):
    """The short side's length gives EoMT's sizes: rounded products with the larger of the two ratios."""
    for side in (512, 640, 1024):
        factor = max(side / shape[0], side / shape[1])
        assert sized(shape, side) == tuple(round(length * factor) for length in shape)


def toy_and_image(shape):
    """A drawn network and an image."""
    network = build_segmenter("toy", tiny_jobs.segmenter_settings("toy"), tiny_jobs.CLASSES, seed=0).eval()
    return network, np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(32, 70), (45, 32), (20, 41)])
@torch.no_grad()
def test_whole_procedure_of_eomt(shape):
    """Pillow's resizing, squares, sums over counts, bilinear back, argmax: the ids differ on less than 1% of pixels.

    Pillow and torch round resized pixels to neighbouring values at times; where nothing is resized all ids are equal.
    """
    network, image = toy_and_image(shape)
    factor = 32 / min(shape)
    size = tuple(round(side * factor) for side in shape)
    resized = np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    pixels = normalise(torch.from_numpy(resized).permute(2, 0, 1))[None]
    axis = 2 if size[0] > size[1] else 3
    count = math.ceil(max(size) / 32)
    overlap = (count * 32 - max(size)) / (count - 1)
    total, counts = torch.zeros(1, 3, *size), torch.zeros(1, 3, *size)
    for number in range(count):
        start = int(number * (32 - overlap))
        total.narrow(axis, start, 32).add_(network.predict(pixels.narrow(axis, start, 32)))
        counts.narrow(axis, start, 32).add_(1)
    theirs = F.interpolate(total / counts, shape, mode="bilinear").argmax(1)[0].numpy()
    ours = class_ids(network, image, settings=Inference(mode="cover", window=32, size=32), size=shape)
    assert (ours != theirs).mean() < (0.01 if factor != 1 else 1e-9)
    assert len(np.unique(ours)) > 1, "an image of one class would show nothing"


@pytest.mark.parametrize("asked", [{"mode": "cover", "window": 32}, {"mode": "slide", "window": 32, "stride": 12}])
@pytest.mark.parametrize("per_pass", [2, 3, 99])
def test_windows_in_one_pass(asked, per_pass):
    """Stacked windows give the scores of single ones, but for the last bits, in fewer passes."""
    network, image = toy_and_image((40, 90))
    alone = scores_of(network, image, settings=Inference(**asked))
    together = scores_of(network, image, settings=Inference(**asked, windows_per_pass=per_pass))
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    stub = Stub(lambda images: images)
    scores_of(stub, image, settings=Inference(**asked, windows_per_pass=per_pass))
    windows = 6 if asked["mode"] == "cover" else 2 * len(window_offsets(90, window=32, stride=12))
    assert len(stub.sizes) == math.ceil(windows / per_pass)


def test_windows_of_a_batch_in_one_pass():
    """Two images in windows of two per pass keep their scores apart."""
    images = torch.rand(2, 3, 4, 10)
    stub = Stub(lambda windows: windows)
    torch.testing.assert_close(slide(stub, images, window=4, stride=3, per_pass=2), images)
    torch.testing.assert_close(cover(stub, images, window=4, per_pass=2), images)
    assert stub.sizes == [(4, 4)] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "cover"}, "mode cover needs window, and finds the stride itself"),
        ({"mode": "cover", "window": 4, "stride": 2}, "mode cover needs window, and finds the stride itself"),
        ({"window": 4}, "window and stride belong to mode slide, window alone to cover"),
        ({"windows_per_pass": 2}, "windows_per_pass belongs to modes slide and cover"),
    ],
)
def test_settings_of_windows_that_cannot_be(settings, message):
    """What a mode needs, and what it does not know."""
    with pytest.raises(BadInput, match=message):
        checked(Inference, settings, "inference")


def test_covering_windows_in_identity_and_record():
    """The number of windows per pass stands there only where it is said."""
    asked = {"mode": "cover", "size": 512, "window": 512}
    assert Inference(**asked).identity() == asked
    assert Inference(**asked).model_dump(mode="json") == asked | {"stride": None}
    assert Inference(**asked, windows_per_pass=4).identity() == asked | {"windows_per_pass": 4}
