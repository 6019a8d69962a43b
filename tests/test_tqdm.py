"""tqdm: its regularisers by hand, the encoder that is kept, what is trained at which rate, sizes, and runs."""

import math

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from test_contract import build, images, labels
from test_mfuser import CITYSCAPES, count, trained, unused
from tiny_runs import fit, interrupted

from xdseg.errors import BadInput
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.foundation import regularisers
from xdseg.segmenters.foundation.text import embeddings
from xdseg.segmenters.foundation.text_queries import JOINT, TEXT
from xdseg.segmenters.tqdm import INITIAL, Tqdm
from xdseg.settings.tqdm import Tqdm as Settings
from xdseg.settings.training import Training

NAME = "tqdm"
RECIPE = Training(steps=10, lr=1e-4, weight_decay=0.05)


def moved(network):
    """The network with another image encoder than it began with."""
    with torch.no_grad():
        for parameter in network.vlm.visual.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network


def terms(network, truth=None, weights=None):
    """Losses of two images."""
    prediction = network.decode(network.encode(images(32, 32)))
    return prediction.loss(labels(32, 32) if truth is None else truth, weights)


def test_language_by_hand():
    """Cosines 1 and 0, and 0.6 and 0.8, whatever the lengths: ln(1 + 1/e), and ln(1 + exp(-0.2)) of the second class.

    The first image has both right; in the second image the embeddings are exchanged.
    """
    fixed = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    text = torch.tensor([[[5.0, 0.0], [3.0, 4.0]], [[3.0, 4.0], [5.0, 0.0]]])
    first = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-0.2))) / 2
    second = (math.log(1 + math.exp(0.2)) + math.log(1 + math.e)) / 2
    torch.testing.assert_close(regularisers.language(text, fixed), torch.tensor([first, second]))


def test_language_has_no_temperature():
    """Of two opposed sentences, with each class at its own, ln(1 + exp(-2)) is left: a cosine does not exceed 1."""
    fixed = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    found = regularisers.language(100 * fixed[None], fixed)
    torch.testing.assert_close(found, torch.tensor([math.log(1 + math.exp(-2))]))


def test_vision_by_hand():
    """Differences (1, 2) and (0, 4): 2.5 and 8, whose mean over the batch is that of all squares, 5.25."""
    ours, initial = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    assert regularisers.vision(ours, initial).tolist() == [2.5, 8.0]
    assert regularisers.vision(ours, initial).mean() == F.mse_loss(ours, initial) == 5.25


def test_terms_of_a_network():
    """Both terms are those of its own embeddings, of the fixed sentences, and of the encoder that it began with."""
    network = moved(build(NAME)).train()
    for part in network.context_decoder.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    features = network.encode(images(32, 32))
    found = network.decode(features).loss(labels(32, 32))
    assert list(found) == ["class", "mask", "dice", "pixel_text", "language", "vision"]
    ids = torch.tensor([[49406, 320, 3772, 31832, 539, 320, word, 49407, 0, 0, 0, 0, 0] for word in (736, 1901, 1746)])
    rows = torch.searchsorted(torch.tensor(tiny_jobs.TALKING_CLIP["vocabulary"]), ids)
    fixed = embeddings(network.vlm.text, rows)
    joint = features.context[JOINT]
    text = network.context_decoder(features.context[TEXT].expand(2, -1, -1), joint)
    torch.testing.assert_close(found["language"], regularisers.language(text, fixed).mean())
    start = build(NAME).encode(images(32, 32)).context[JOINT][:, 0]
    torch.testing.assert_close(found["vision"], F.mse_loss(joint[:, 0], start))
    assert found["vision"] > 0


def test_sentences_are_read_without_learnt_tokens():
    """As open_clip embeds them; the learnt tokens of the queries change nothing."""
    network = build(NAME).eval()
    fixed = embeddings(network.vlm.text, network.sentences)
    padded = F.pad(network.sentences, (0, 3))
    torch.testing.assert_close(fixed, network.vlm.text(padded), rtol=1e-4, atol=1e-5)


def test_weights_scale_and_leave_out():
    """Twice the weight is twice the term; at 0 there is no term, no copy of the encoder and no sentence."""
    once, twice = build(NAME).train(), build(NAME, language={"weight": 2}, vision={"weight": 2}).train()
    off = build(NAME, language={"weight": 0}, vision={"weight": 0}).train()
    found = []
    for network in (moved(once), moved(twice), moved(off)):
        torch.manual_seed(0)
        found.append(terms(network))
    for name in ("language", "vision"):
        torch.testing.assert_close(found[1][name], 2 * found[0][name])
    assert set(found[2]) == {"class", "mask", "dice", "pixel_text"}
    assert off.initial is None and not hasattr(off, "sentences")
    assert not any(name.startswith("initial.") for name in off.state_dict())
    assert INITIAL not in off.encode(images(32, 32)).context


def test_images_without_labels_have_no_part():
    """Of two images one without a labelled pixel: half of what the other has; weights of 0.5 halve the terms."""
    network, truth = moved(build(NAME)).train(), labels(32, 32)
    prediction = network.decode(network.encode(images(32, 32)))
    half = truth.clone()
    half[1] = 255
    found, weighted = prediction.loss(half), prediction.loss(truth, torch.full((2, 32, 32), 0.5))
    for name, values in prediction.regularisers.items():
        torch.testing.assert_close(found[name], values[0] / 2)
        torch.testing.assert_close(weighted[name], values.mean() / 2)


def test_only_training_pays_for_the_initial_encoder():
    """No pass of it, and no term, in evaluation or without gradients; in training it stays as at test time."""
    network, passes = build(NAME), []
    network.initial.transformer.resblocks[0].register_forward_hook(lambda *_: passes.append(1))
    assert set(terms(network.eval())) == {"class", "mask", "dice", "pixel_text"}
    with torch.no_grad():
        network.train().encode(images(32, 32))
    assert passes == [] and not network.initial.training and network.vlm.visual.training
    assert "vision" in terms(network) and passes == [1]


def test_gradients():
    """Reach all that is trained, the whole image tower among it; neither the text tower nor the initial encoder."""
    network = moved(build(NAME)).train()
    sum(terms(network).values()).backward()
    assert unused(network) == []
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert all(network.get_parameter(name).grad is None for name in frozen)
    assert {name.split(".")[0] for name in frozen} == {"vlm", "initial"}
    assert not any(name.startswith("vlm.visual.") for name in frozen)
    assert any(name.startswith("vlm.text.") for name in frozen)


def test_vision_term_draws_back():
    """Its gradient alone, followed with small steps, brings the moved encoder's embedding nearer to the first one's."""
    network = moved(build(NAME)).train()
    optimiser = torch.optim.SGD(network.vlm.visual.parameters(), lr=0.05)
    found = []
    for _ in range(5):
        optimiser.zero_grad()
        term = terms(network)["vision"]
        term.backward()
        optimiser.step()
        found.append(term.item())
    assert found[-1] < 0.8 * found[0]


def test_rates():
    """The image tower at a tenth of the rate, as published; names, neck and decoders at the whole."""
    settings = tiny_jobs.segmenter_settings(NAME, tuning={"kind": "full"})
    network = build_segmenter(NAME, settings, tiny_jobs.CLASSES, seed=0)
    rates = {group["name"]: group["lr"] for group in network.parameter_groups(RECIPE)}
    assert rates == {
        "encoder.decay": pytest.approx(1e-5),
        "encoder.plain": pytest.approx(1e-5),
        "head.decay": 1e-4,
        "head.plain": 1e-4,
    }
    still = build(NAME, tuning={"kind": "frozen"})
    assert {group["name"] for group in still.parameter_groups(RECIPE)} == {"head.decay", "head.plain"}


def test_weights_from_a_file_are_the_initial_encoder(tmp_path):
    """What a file holds is trained and kept, and trained it remains after loading."""
    donor, path = build(NAME, seed=5).vlm, tmp_path / "clip.safetensors"
    save_file({name: value.contiguous() for name, value in donor.state_dict().items()}, path)
    network = build(NAME, vlm={"model": tiny_jobs.TALKING_CLIP, "weights": str(path)})
    for part in (network.vlm.visual, network.initial):
        assert all(torch.equal(value, donor.visual.state_dict()[key]) for key, value in part.state_dict().items())
    assert all(p.requires_grad for p in network.vlm.visual.parameters())


def test_runs_resume_near_the_same_encoder(tmp_path):
    """Killed on the way a run ends with the unbroken one's bytes; the initial encoder is the first, to the bit."""
    job = tiny_jobs.make_job(tmp_path, segmenter=NAME, adaptations=[("toy-kill", {})], steps=6, batch=2)
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=4)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"]
    state = load_file(tmp_path / "unbroken" / "weights.safetensors")
    first = build_segmenter(NAME, job.segmenter_settings, job.classes, seed=job.seed).state_dict()
    same = {name for name, value in state.items() if torch.equal(value, first[name])}
    assert {name for name in first if name.startswith(("initial.", "vlm.text."))} <= same
    assert "vlm.visual.proj" not in same


def test_published_settings():
    """EVA02-CLIP, 8 learnt tokens, three plain layers of width 256, and weights of 1; nothing of MFuser's."""
    settings = Settings()
    assert settings.vlm.model == "EVA02-L-14-336" and settings.text.contexts == 8
    assert (settings.text.enhancer, settings.text.layers, settings.text.width) == ("cross-attention", 3, 256)
    assert (settings.language.weight, settings.vision.weight, settings.pixel_text.weight) == (1, 1, 1)
    assert settings.pixel_text.temperature == 0.07 and settings.tuning.lr_factor == 0.1
    given = Settings(text={"contexts": 4})
    assert given.text.layers == 3 and given.identity() == {"text": {"contexts": 4}}
    assert not {"vfm", "fuser", "streams"} & set(Settings.model_fields)


def test_published_size():
    """With EVA02-L 343,344,020 are trained. No number of the paper's was read: these are counted of the code's shapes.

    The image tower is what open_clip's 428,083,137 leave without the text tower, 12 layers of width 768, and the scale.
    """
    with torch.device("meta"):
        network = Tqdm(Settings(), CITYSCAPES)
    text = 12 * 7_087_872 + 49_408 * 768 + 77 * 768 + 2 * 768 + 768 * 768
    assert count(network.vlm.visual) == count(network.initial) == 428_083_137 - text - 1 == 304_432_832
    assert count(network.neck) == 3 * (4 * 1024**2 + 1024) + 2 * 1024 == 12_588_032
    layer = (3 + 1 + 3 + 1) * 256**2 + 2 * 256 + 8 * 256**2 + 5 * 256 + 3 * 512  # attention twice, widening, norms
    ends = 2 * (1536 + 768 * 256 + 256) + 512 + (512 + 256 * 768 + 768) + 768
    assert count(network.context_decoder) == 3 * layer + ends == 3_751_680
    assert count(network.decoder) == 23_613_908 - 4 * 1024 * 256  # MFuser's reads 2,048 channels
    assert trained(network) == 304_432_832 + 12_588_032 + 3_751_680 + 22_565_332 + 8 * 768 == 343_344_020
    assert network.taps == (7, 11, 15, 23) and network.patch == 14


def test_refusals():
    """A sentence without a place for the name, one that is too long, and one whose words have no embedding."""
    with pytest.raises(ValidationError, match=r"'a red' has no place for the class name; write \{\} there"):
        Settings(language={"template": "a red"})
    with pytest.raises(BadInput, match=r"tqdm\.language\.length: class 'red' has more than 5 tokens"):
        build(NAME, language={"length": 5})
    with pytest.raises(BadInput, match=r"tqdm\.vlm\.model: class 'red' has a token that its vocabulary lacks"):
        build(NAME, language={"template": "a photo of a {}"})
    with pytest.raises(BadInput, match=r"tqdm\.taps: \[0, 1, 2, 8\], of encoders of 8 blocks"):
        build(NAME, taps=[0, 1, 2, 8])
    with pytest.raises(ValidationError, match=r"decoder\.kind: Tqdm's queries are class names; set text"):
        Settings(decoder={"kind": "learnt"})
