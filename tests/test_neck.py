"""The neck and the decoder that segmenters on foundation models share: sizes, values by hand, fixed matching."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xdseg.segmenters.contract import Features
from xdseg.segmenters.dense import DensePrediction
from xdseg.segmenters.foundation.decoder import MaskDecoder
from xdseg.segmenters.foundation.fixed_prediction import FixedPrediction, fixed_pairs
from xdseg.segmenters.foundation.neck import Neck
from xdseg.segmenters.foundation.pixel_decoder import TextPixelLayer
from xdseg.segmenters.ladder.deformable_attention import centres
from xdseg.settings.mask_loss import SetLoss
from xdseg.settings.neck import Neck as NeckSettings
from xdseg.settings.query_decoder import QueryDecoder

SMALL = QueryDecoder(
    **{"dim": 32, "heads": 2, "pixel_layers": 2, "pixel_feedforward": 24},
    **{"decoder_layers": 3, "decoder_feedforward": 24, "queries": 7, "loss": {"points": 64}},
)
WIDTH, TEXT, CLASSES = 6, 10, 4


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def decoder(seed=0, text=TEXT, **changes):
    torch.manual_seed(seed)
    return MaskDecoder(WIDTH, SMALL.model_copy(update=changes), classes=CLASSES, text=text).eval()


def maps(seed=1, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, WIDTH, side, side + 2, generator=generator) for side in (16, 8, 4, 2)]


def text(seed=2):
    return torch.randn(2, CLASSES, TEXT, generator=torch.Generator().manual_seed(seed))


def test_published_sizes():
    """At MFuser's sizes: neck 50.34 million parameters, pixel decoder 8.93, transformer decoder 14.68."""
    with torch.device("meta"):
        neck = Neck(2048, NeckSettings())
        head = MaskDecoder(2048, QueryDecoder(), classes=19, text=768)
    assert count(neck) == 3 * (2048 * 2048 * 4 + 2048) + 2 * 2048 == 50_341_888
    assert count(head.pixel_decoder) == 8_933_824
    assert count(head.decoder) == 14_680_084
    assert count(head) == 23_613_908


def test_neck_by_hand():
    """One channel: a transposed convolution of ones doubles each cell; norm, GELU and a second one; pooling halves."""
    neck = Neck(1, NeckSettings(batch_norm=False))
    for module in neck.modules():
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.ones_(module.weight)
            nn.init.constant_(module.bias, 0.5)
    x = torch.tensor([[1.0, -2.0], [3.0, 0.0]])[None, None]
    fourfold, twofold, same, halved = neck([x, x, x, x])
    twice = x.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.5
    torch.testing.assert_close(twofold, twice)
    again = 0.5 * twice * (1 + torch.erf(twice / 2**0.5))
    torch.testing.assert_close(fourfold, again.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.5)
    assert torch.equal(same, x) and halved.tolist() == [[[[3.0]]]]


@pytest.mark.parametrize("scaling", ["learnt", "bilinear"])
@pytest.mark.parametrize("width", [None, 5])
def test_neck_sizes(scaling, width):
    """Four times, twice, once and half the grid, at the width that is asked for, whichever way maps are scaled."""
    neck = Neck(3, NeckSettings(scaling=scaling, width=width))
    made = neck([torch.randn(2, 3, 4, 6)] * 4)
    assert [tuple(x.shape[1:]) for x in made] == [(width or 3, *size) for size in [(16, 24), (8, 12), (4, 6), (2, 3)]]
    assert neck.width == (width or 3)
    assert (count(neck) == 0) == (scaling == "bilinear" and width is None)


def test_bilinear_neck_by_hand():
    """Resizing alone: a map (0, 4) becomes (0, 1, 3, 4) across, and its mean 2."""
    x = torch.tensor([[0.0, 4.0], [0.0, 4.0]])[None, None]
    _, twofold, same, halved = Neck(1, NeckSettings(scaling="bilinear"))([x] * 4)
    assert twofold[0, 0, 0].tolist() == [0, 1, 3, 4] and halved.tolist() == [[[[2.0]]]] and torch.equal(same, x)


def attention(layer, queries, keys, values):
    """Multi-head attention of one image in plain formulas."""
    parts = [
        projection(x).chunk(layer.heads, dim=-1)
        for projection, x in ((layer.query, queries), (layer.key, keys), (layer.value, values))
    ]
    found = [torch.softmax(q @ k.T / q.shape[-1] ** 0.5, -1) @ v for q, k, v in zip(*parts, strict=True)]
    return layer.output(torch.cat(found, dim=-1))


def test_pixels_attend_to_class_names():
    """A layer is deformable attention, attention to names whose keys alone have positions, and feed-forward."""
    torch.manual_seed(0)
    layer, sizes = TextPixelLayer(SMALL, levels=2), [(2, 2), (4, 4)]
    cells, positions, keys, values = (torch.randn(n, 32) for n in (20, 20, CLASSES, CLASSES))
    places = centres(sizes, cells.device)
    x = layer.attended(cells[None], positions, places, sizes)[0]
    x = layer.text_norm(x + attention(layer.text_attention, x + positions, keys, values))
    expected = layer.feedforward_norm(x + layer.narrow(F.relu(layer.widen(x))))
    found = layer(cells[None], positions, places, sizes, keys[None], values[None])[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_one_query_per_class_made_of_its_name():
    """Contents come of the text: with names in another order, learnt positions alike, so do masks and classes."""
    network = decoder()
    with torch.no_grad():
        network.decoder.positions.copy_(network.decoder.positions[:1].expand(CLASSES, -1))
        positions = network.pixel_decoder.text_positions
        positions.copy_(positions[:1].expand(CLASSES, -1))
    order = torch.tensor([2, 0, 3, 1])
    plain, shuffled = network(maps(), text()), network(maps(), text()[:, order])
    torch.testing.assert_close(plain.masks[-1][:, order], shuffled.masks[-1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.classes[-1][:, order], shuffled.classes[-1], rtol=1e-4, atol=1e-4)
    assert plain.masks[-1].shape == (2, CLASSES, 16, 18)


def test_learnt_queries_read_no_text():
    """Without text the decoder is Mask2Former's, with as many queries as are set, and its loss is matched by cost."""
    found = decoder(text=None, kind="learnt")(maps())
    assert type(found).__name__ == "MaskPrediction" and found.masks[-1].shape[1] == SMALL.queries
    with pytest.raises(ValueError, match="learnt queries, and text of width 10"):
        decoder(kind="learnt")


def test_text_attention_is_a_switch():
    """Without it the pixel decoder is Mask2Former's, so that the mask map is the same for all names."""
    network = decoder(text_attention=False)
    levels, mask_map = network.pixel_decoder(maps())
    assert len(levels) == 3 and mask_map.shape == (2, 32, 16, 18)
    assert count(network.pixel_decoder) < count(decoder().pixel_decoder)
    assert not torch.equal(network(maps(), text(2)).masks[-1], network(maps(), text(3)).masks[-1])


def test_all_predictions_are_supervised_in_training_alone():
    """One before each layer and one after the last, each in the loss; at test time the last."""
    network = decoder()
    assert len(network(maps(), text()).masks) == 1
    assert len(network.train()(maps(), text()).masks) == SMALL.decoder_layers + 1
    with torch.no_grad():
        assert len(network(maps(), text()).masks) == 1


def test_fixed_pairs():
    """Query k is class k's where the image has it, whatever the costs; ignored pixels are no class."""
    labels = torch.tensor([[[2, 255], [0, 0]], [[1, 1], [1, 255]]])
    pairs = fixed_pairs(labels, 3)
    assert list(zip(pairs.images.tolist(), pairs.queries.tolist(), pairs.classes.tolist(), strict=True)) == [
        (0, 0, 0),
        (0, 2, 2),
        (1, 1, 1),
    ]


def fixed(masks, classes, **changes):
    return FixedPrediction([masks], [classes], SetLoss(points=256), **changes)


def test_fixed_loss_by_hand():
    """Two classes, one present: cross entropies weighted 1 and 0.1; a mask logit of 0 costs ln 2, once per mask."""
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    scores = torch.tensor([[[1.0, 0.0, 0.0], [0.5, 2.0, -1.0]]])
    found = fixed(torch.zeros(1, 2, 8, 8), scores).loss(labels)
    entropies = F.cross_entropy(scores[0], torch.tensor([0, 2]), reduction="none")
    torch.testing.assert_close(found["class"], 2 * (entropies[0] + 0.1 * entropies[1]) / 1.1)
    torch.testing.assert_close(found["mask"], 5 * torch.tensor(2.0).log())
    assert set(found) == {"class", "mask", "dice"}


def test_matching_is_not_by_cost():
    """Queries that would be cheaper the other way round are not exchanged."""
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    masks = torch.stack((torch.full((8, 8), -9.0), torch.full((8, 8), 9.0)))[None]
    scores = torch.tensor([[[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]]])
    assert fixed(masks, scores).loss(labels)["mask"] > 20


def test_pixel_text_loss_by_hand():
    """Logits (0, ln 3) everywhere: a pixel of class 1 costs ln(4/3), of class 0 ln 4; over all pixels, or labelled."""
    labels = torch.tensor([[[1, 0, 255, 255]]])
    logits = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1).expand(1, 2, 1, 2)
    costs = torch.tensor([4 / 3, 4.0]).log()
    for mean_over, divisor in (("all", 4), ("labelled", 2)):
        alike = DensePrediction(logits, mean_over=mean_over)
        prediction = fixed(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 3), alike=alike, alike_weight=0.5)
        torch.testing.assert_close(prediction.loss(labels)["pixel_text"], 0.5 * costs.sum() / divisor)
        weighted = prediction.loss(labels, torch.tensor([[[1.0, 0.0, 1.0, 1.0]]]))["pixel_text"]
        torch.testing.assert_close(weighted, 0.5 * costs[0] / divisor)


def test_steer_reaches_the_decoder():
    """Each layer of the transformer decoder asks for a bias at its site, on the grid that it attends to."""
    asked = {}

    def steer(site, features: Features, keys):
        asked[site] = keys
        return None

    decoder()(maps(), text(), steer=steer)
    assert asked == {"decoder.0": (2, 4), "decoder.1": (4, 6), "decoder.2": (8, 10)}
