"""Windows, averages and class ids of whole images, by hand."""

import numpy as np
import pytest
import tiny_jobs
import torch
from torch import nn

from xdseg.data.tensors import denormalise
from xdseg.evaluation.inference import class_ids, input_size, scores_of, slide, window_offsets
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


def test_input_size_by_hand():
    """Native, exact, and a short side of 50 for an image of 100 x 201."""
    assert input_size((100, 201), "native") == (100, 201)
    assert input_size((100, 201), (30, 40)) == (30, 40)
    assert input_size((100, 201), 50) == (50, 100)


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
