"""Mask2Former on a tuned foundation model: what the neck reads, what begins frozen, and runs of every tuning."""

import pytest
import tiny_jobs
import torch
from safetensors.torch import load_file, save_file
from test_contract import build, images, labels
from test_tunings import SMALL
from tiny_runs import fit, interrupted
from torch import nn

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.foundation.statistics import OwnStatistics
from xdseg.segmenters.foundation_segmenter import Foundation, strides, taps
from xdseg.segmenters.ladder.pixel_decoder import PixelDecoder
from xdseg.segmenters.ladder.transformer_decoder import TransformerDecoder
from xdseg.segmenters.weights import fit as fill
from xdseg.settings.foundation import Foundation as Settings
from xdseg.settings.mask2former import Mask2Former
from xdseg.settings.training import Training
from xdseg.training.checkpoint import load_segmenter
from xdseg.training.optimisers import check_groups

KINDS = ("frozen", "full", "lora", "dora", "rein", "soma")


def network(kind, seed=0, **changes):
    """A small network with that tuning."""
    return build("foundation", seed, tuning={"kind": kind} | SMALL.get(kind, {}), **changes)


def scores(made):
    """Of two images."""
    with torch.no_grad():
        return made.eval().predict(images(32, 32))


def test_blocks_that_the_neck_reads():
    """A third, half, two thirds and all: 7, 11, 15 and 23 of 24, as published; or those that are named."""
    assert taps(24, None) == (7, 11, 15, 23) and taps(12, None) == (3, 5, 7, 11) and taps(8, None) == (2, 3, 4, 7)
    assert taps(24, [0, 1, 2, 3]) == (0, 1, 2, 3)
    for wrong in ([7, 11, 15, 24], [7, 11, 11, 23], [11, 7, 15, 23], [-1, 0, 1, 2]):
        with pytest.raises(BadInput, match=r"foundation\.blocks: .* of an encoder of 24; name four that rise"):
            taps(24, wrong)


def test_strides_are_whole_pixels():
    """Patches of 16 give 4 to 32; of DINOv2's 14 the finest would be 3.5."""
    assert strides(16) == (4, 8, 16, 32)
    with pytest.raises(BadInput, match=r"foundation\.patch: 14 pixels"):
        strides(14)


def test_maps_are_patches_behind_their_blocks():
    """Without a width of its own, the bilinear neck leaves the third map as the encoder gave it, bit for bit."""
    made = network("frozen").eval()
    features = made.encode(images(32, 48))
    plain = made.encoder.encoder
    tokens = vit.embed(plain, images(32, 48))
    for block in plain.blocks[:5]:
        tokens = vit.run(block, tokens)
    assert torch.equal(features.maps["stride8"], tokens.patches)
    halves = nn.functional.avg_pool2d(vit_patches(plain, images(32, 48)), 2)
    torch.testing.assert_close(features.maps["stride16"], halves, rtol=1e-5, atol=1e-6)


def vit_patches(plain, seen):
    """Patches behind the last block."""
    tokens = vit.embed(plain, seen)
    for block in plain.blocks:
        tokens = vit.run(block, tokens)
    return tokens.patches


@pytest.mark.parametrize("kind", ["full", "lora", "dora", "soma"])
def test_networks_begin_as_the_frozen_one(kind):
    """With the same draws of the decoders, the first scores are those of the frozen encoder; SoMA's to 1e-5."""
    made, frozen = network(kind), network("frozen")
    for part in ("pixel_decoder", "decoder"):
        getattr(made, part).load_state_dict(getattr(frozen, part).state_dict())
    if kind == "soma":
        torch.testing.assert_close(scores(made), scores(frozen), rtol=1e-4, atol=1e-5)
    else:
        assert torch.equal(scores(made), scores(frozen))


def test_queries_of_rein_are_its_tokens():
    """The decoder has none of its own, as many as tokens come out, and a token of any block moves them."""
    made = network("rein").eval()
    assert not any(name.endswith(("decoder.queries", "decoder.positions")) for name, _ in made.named_parameters())
    features = made.encode(images(32, 32))
    before = made.decode(features).classes[-1]
    assert before.shape[:2] == (2, SMALL["rein"]["tokens"])
    with torch.no_grad():
        made.encoder.rein.token_weights[0, 3] += 1
    assert not torch.equal(made.decode(features).classes[-1], before)
    unlinked = build("foundation", tuning={"kind": "rein", "linked": False} | SMALL["rein"])
    assert unlinked.decoder.queries.shape == unlinked.decoder.positions.shape == (6, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_all_that_is_trained(kind):
    """Every trained parameter that is read has a gradient, and no frozen one; LoRA's A has none while B is 0."""
    made = network(kind).train()
    sum(made.decode(made.encode(images(32, 32))).loss(labels(32, 32)).values()).backward()
    missing = {name.rpartition(".")[2] for name, p in made.named_parameters() if p.requires_grad and p.grad is None}
    assert missing == set()
    assert all(p.grad is None for p in made.parameters() if not p.requires_grad)
    assert (made.encoder.encoder.blocks[7].mlp.fc1 if kind == "frozen" else made.encoder).training == (kind != "frozen")


@pytest.mark.parametrize("kind", KINDS)
def test_runs_resume_and_load(tmp_path, kind):
    """Killed on the way, each tuning ends with the unbroken run's bytes, which a new network predicts with."""
    tuning = {"kind": kind} | SMALL.get(kind, {})
    job = tiny_jobs.make_job(
        tmp_path, segmenter="foundation", network={"tuning": tuning}, adaptations=[("toy-kill", {})], steps=6, batch=2
    )
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=4)
    assert unbroken["weights_sha256"] == resumed["weights_sha256"]
    options = {"segmenter": "foundation", "settings": job.segmenter_settings, "classes": job.classes}
    loaded = load_segmenter(tmp_path / "unbroken", **options, fingerprint=job.fingerprint)
    begun = network(kind, seed=job.seed)
    own = load_file(tmp_path / "unbroken" / "weights.safetensors")
    fill(begun, own, origin="weights")
    assert torch.equal(scores(loaded), scores(begun))
    first = network(kind, seed=job.seed).state_dict()
    changed = {name for name, value in own.items() if not torch.equal(value, first[name])}
    trained = {name for name, p in network(kind).named_parameters() if p.requires_grad}
    assert changed and changed <= trained


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_weights_from_a_file(tmp_path, kind):
    """A file in timm's names fills the encoder of every tuning; merged, what began from it is the file again."""
    donor = network("frozen", seed=7).encoder.encoder
    path = tmp_path / "encoder.safetensors"
    save_file({name: value.contiguous() for name, value in donor.state_dict().items()}, path)
    made = network(kind, weights=str(path))
    found = made.encoder.encoder if kind == "rein" else made.encoder.merged()
    for name, value in donor.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_what_queries_begin_with_is_not_decayed():
    """Of the decoder's 6 queries, positions and 3 levels, unless that is asked for; Rein has its own groups beside."""
    recipe = Training(steps=10, lr=1e-3, weight_decay=0.05)
    for kind, wanted in (("soma", [(3, 32), (6, 32), (6, 32)]), ("rein", [(3, 32)])):
        made = network(kind, decay_embeddings=False)
        groups = {group["name"]: group for group in made.parameter_groups(recipe)}
        check_groups(made, groups.values())
        assert sorted(tuple(parameter.shape) for parameter in groups["head.undecayed"]["params"]) == wanted
        assert groups["head.undecayed"]["weight_decay"] == 0 and "weight_decay_end" not in groups["head.undecayed"]
        assert ("encoder.undecayed" in groups) == (kind == "rein")
    assert "head.undecayed" not in [group["name"] for group in network("soma").parameter_groups(recipe)]


def test_images_as_the_encoder_knows_them():
    """Black is (0 - 0.485) / 0.229 for ImageNet and (0 - 0.48145466) / 0.26862954 for CLIP; ImageNet's keep bits."""
    encoder = nn.Identity()
    encoder.pretrained_cfg = {
        "mean": (0.48145466, 0.4578275, 0.40821073),
        "std": (0.26862954, 0.26130258, 0.27577711),
    }
    black = torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]).view(1, 3, 1, 1)
    expected = [-0.48145466 / 0.26862954, -0.4578275 / 0.26130258, -0.40821073 / 0.27577711]
    assert OwnStatistics(encoder)(black).flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(OwnStatistics(nn.Identity())(black), black)
    assert OwnStatistics(vit.create("vit_small_patch14_dinov2", patch=16, size=32, drop_path=0, segmenter="t")).same


@pytest.mark.parametrize(
    ("tuning", "encoder"), [("frozen", 0), ("lora", 786_432), ("rein", 3_055_873 - 2 * 100 * 256), ("soma", 4_866_048)]
)
def test_trained_parameters_at_paper_size(tuning, encoder):
    """DINOv2's ViT-L: the tuning's numbers, and the decoders; Rein's 3,055,873 take the place of 2 x 100 queries."""
    with torch.device("meta"):
        made = Foundation(Settings(tuning={"kind": tuning}), [str(number) for number in range(19)])
        parts = [PixelDecoder(1024, Mask2Former(), levels=3), TransformerDecoder(Mask2Former(), levels=3, classes=19)]
    decoders = sum(p.numel() for part in parts for p in part.parameters())
    assert sum(p.numel() for p in made.parameters() if p.requires_grad) == encoder + decoders
