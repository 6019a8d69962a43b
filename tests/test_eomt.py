"""EoMT against transformers' port, published sizes and schedules, and what its masks and sites promise."""

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from test_contract import build, images, labels
from torch import nn
from transformers import EomtDinov3ForUniversalSegmentation, EomtForUniversalSegmentation

from xdseg.data.tensors import normalise
from xdseg.errors import BadInput
from xdseg.segmenters import eomt, vit
from xdseg.segmenters.annealing import annealing_steps, mask_probability
from xdseg.segmenters.eomt import EoMT
from xdseg.segmenters.eomt_weights.save import save_transformers
from xdseg.segmenters.mask_head import upscalings
from xdseg.settings.eomt import EoMT as Settings
from xdseg.training.loop import train

DINO_V2 = "vit_{}_patch14_reg4_dinov2"
SITES = [f"blocks.{number}" for number in range(8)] + ["blocks.6.queries", "blocks.7.queries"]


def network(encoder="xdseg_vit_tiny_patch8", **changes):
    """An untrained network of three classes, every parameter moved so that none hides an omission."""
    tiny = {"patch": None, "query_blocks": 2} if encoder.startswith("xdseg") else {"query_blocks": 3}
    settings = {"encoder": encoder, "queries": 6, "loss": {"points": 64}, **tiny} | changes
    torch.manual_seed(0)
    made = EoMT(Settings(**settings), tiny_jobs.CLASSES)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def outputs(made, seen):
    """Mask and class logits of the prediction that counts."""
    prediction = made.decode(made.encode(seen))
    return prediction.masks[-1], prediction.classes[-1]


@pytest.mark.parametrize(
    ("size", "side", "classes", "queries", "blocks", "millions"),
    [
        ("small", 640, 133, 200, 3, 23.98),
        ("base", 640, 133, 200, 3, 93.66),
        ("large", 640, 133, 200, 4, 316.70),
        ("large", 512, 150, 100, 4, 316.02),
        ("large", 1024, 19, 100, 4, 319.03),
    ],
)
def test_published_numbers_of_parameters(size, side, classes, queries, blocks, millions):
    """24, 93, 316 and 319 million, for patches of 16 pixels and the positions of the published image sizes."""
    settings = Settings(encoder=DINO_V2.format(size), size=side, queries=queries, query_blocks=blocks)
    with torch.device("meta"):
        made = EoMT(settings, [str(number) for number in range(classes)])
    assert sum(parameter.numel() for parameter in made.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_annealing_steps_of_the_published_runs():
    """Cityscapes (19,902 steps) and ADE20K (39,122), each with four blocks: sixths of the run, back to back."""
    cityscapes = [(3317, 6634), (6634, 9951), (9951, 13268), (13268, 16585)]
    assert annealing_steps(19902, 4) == cityscapes
    ade = [(6520, 13040), (13040, 19560), (19560, 26080), (26080, 32600)]
    assert annealing_steps(39122, 4) == ade
    assert annealing_steps(88692, 3) == [(14782, 29564), (36955, 51737), (59128, 73910)]
    assert annealing_steps(600, 1) == [(100, 200)]


def test_mask_probability_by_hand():
    """1 up to the start, (1 - share)^0.9 between, 0 from the end on; a run too short for sixths never masks."""
    found = [mask_probability(step, 100, 200) for step in (0, 100, 150, 199, 200, 10**6)]
    assert found == pytest.approx([1, 1, 0.5**0.9, 0.01**0.9, 0, 0])
    assert mask_probability(0, 0, 0) == 0


def test_progress_sets_the_probabilities():
    """Halfway through a run of 600 steps the first of two blocks is unmasked, the second still masked in full."""
    made = network()
    made.set_progress(300, 600)
    assert made.mask_probabilities.tolist() == [0, 1] and made.masked == (False, True)
    made.set_progress(150, 600)
    assert made.mask_probabilities.tolist() == pytest.approx([0.5**0.9, 1]) and made.mostly_masked == (True, True)
    assert "mask_probabilities" not in made.state_dict()


@pytest.mark.parametrize("size", ["small", "base"])
@pytest.mark.parametrize("side", [64, 96])
def test_equals_transformers(tmp_path, size, side):
    """With the same weights, mask and class logits are transformers' within 1e-5 of their largest, masked or not."""
    for masking, share in (("annealed", 0.0), ("always", 1.0)):
        ours = network(DINO_V2.format(size), size=side, masking=masking).eval()
        save_transformers(ours, tmp_path / masking)
        theirs = EomtForUniversalSegmentation.from_pretrained(tmp_path / masking).eval()
        theirs.attn_mask_probs.fill_(share)
        assert_same_logits(ours, theirs, images(side, side))


def test_equals_transformers_on_dinov3(tmp_path):
    """Rotations turn patches and leave prefix and queries alone, in transformers' EoMT on DINOv3 as here."""
    ours = network("vit_small_patch16_dinov3_qkvb", size=64, patch=None).eval()
    save_transformers(ours, tmp_path)
    theirs = EomtDinov3ForUniversalSegmentation.from_pretrained(tmp_path).eval()
    theirs.attn_mask_probs.fill_(0)
    assert_same_logits(ours, theirs, images(64, 64))


def assert_same_logits(ours, theirs, seen):
    """Both logits agree within 1e-5, relative to the largest."""
    with torch.no_grad():
        found, expected = outputs(ours, seen), theirs(seen)
    for one, other in zip(found, (expected.masks_queries_logits, expected.class_queries_logits), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * max(1, other.abs().max().item()))


@pytest.mark.parametrize("fused", [True, False])
def test_masks_that_spare_all_equal_no_masks(fused):
    """At probability 0 the masked path gives the bits of the unmasked one."""
    made = network(fused=fused).train()
    plain = outputs(made, images(48, 32))
    made.masked = (True, True)
    assert all(torch.equal(one, other) for one, other in zip(outputs(made, images(48, 32)), plain, strict=True))
    made.mask_probabilities.fill_(1)
    assert not torch.equal(outputs(made, images(48, 32))[0], plain[0])


def test_fused_and_separate_attention_agree():
    """The setting chooses a kernel, not a function."""
    found = [outputs(network(fused=fused, masking="always").eval(), images(48, 32)) for fused in (True, False)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_mask_hides_patches_outside_from_queries_alone():
    """A query sees the patches where its resized logit is above 0, and all queries; patches see everything."""
    made = network(queries=2).eval()
    logits = torch.full((1, 2, 4, 4), -1.0)
    logits[0, 0, :2, :2] = 1.0  # of the first query: one of four patches
    tokens = vit.Tokens(torch.zeros(1, 2 + 1 + 4, 192), (2, 2))
    mask = made.attention_mask(tokens, logits, 0, supervised=False)[0, 0]
    assert mask[0].tolist() == [True] * 3 + [True, False, False, False]
    assert mask[1].tolist() == [True] * 3 + [False] * 4
    assert mask[2:].all()


def test_queries_are_spared_one_by_one():
    """At probability 0.7, about 30% of the queries see all patches; the draws follow the global generator."""
    made = network(queries=100)
    made.mask_probabilities.fill_(0.7)
    tokens = vit.Tokens(torch.zeros(20, 104, 192), (2, 2))

    def seen():
        torch.manual_seed(3)
        return made.attention_mask(tokens, torch.full((20, 100, 4, 4), -1.0), 0, supervised=True)[:, 0, :100, 100:]

    found = seen()
    assert torch.equal(found.all(-1), found.any(-1)) and torch.equal(found, seen())
    assert 0.27 < found.float().mean() < 0.33


@pytest.mark.parametrize(("masking", "training", "testing"), [("annealed", 3, 1), ("always", 3, 1), ("never", 1, 1)])
def test_number_of_predictions(masking, training, testing):
    """One before each block that has queries and one after, in training; the last alone at test time, or unmasked."""
    made = network(masking=masking).train()
    made.set_progress(0, 600)
    assert len(made.decode(made.encode(images(32, 32))).masks) == training
    made.set_progress(599, 600)
    assert len(made.decode(made.encode(images(32, 32))).masks) == training
    with torch.no_grad():
        assert len(made.decode(made.encode(images(32, 32))).masks) == 1
    assert len(made.eval().decode(made.encode(images(32, 32))).masks) == testing


def test_test_time_masks():
    """At test time annealed networks never mask, wherever training stopped; `always` masks."""
    annealed, always, never = (network(masking=name).eval() for name in ("annealed", "always", "never"))
    annealed.set_progress(0, 600)
    plain = outputs(never, images(32, 32))
    assert torch.equal(outputs(annealed, images(32, 32))[0], plain[0])
    assert not torch.equal(outputs(always, images(32, 32))[0], plain[0])


def test_teacher_masks_as_the_student_mostly_does():
    """Without gradients in training mode: masked above a half, not below, and no draw is made."""
    made, never = network().train(), network(masking="never").train()
    with torch.no_grad():
        plain = outputs(never, images(32, 32))[0]
        before = torch.get_rng_state()
        made.set_progress(0, 600)
        assert not torch.equal(outputs(made, images(32, 32))[0], plain)
        made.set_progress(480, 600)  # the second block at 0.2^0.9
        assert torch.equal(outputs(made, images(32, 32))[0], plain)
        assert torch.equal(torch.get_rng_state(), before)


def test_every_parameter_learns():
    """Each parameter of a network in training gets a gradient that is finite and not all zero."""
    for encoder in ("xdseg_vit_tiny_patch8", DINO_V2.format("small")):
        made = network(encoder).train()
        made.set_progress(10, 100)
        sum(made.decode(made.encode(images(32, 32))).loss(labels(32, 32)).values()).backward()
        for name, parameter in made.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("encoder", "patch"),
    [("eva02_tiny_patch14_224", 14), ("deit3_small_patch16_224", 16), ("vit_small_patch16_dinov3", 16)],
)
def test_other_vision_transformers(encoder, patch):
    """EVA-02, DeiT-III and DINOv3 are taken as they are, with a last norm of their own."""
    made = network(encoder, patch=None).eval()
    assert isinstance(made.encoder.norm, nn.LayerNorm) and made.describe().multiple == patch
    assert made.predict(images(3 * patch, 2 * patch)).shape == (2, 3, 3 * patch, 2 * patch)
    if encoder.startswith("eva"):
        assert [block.attn.num_prefix_tokens for block in made.encoder.blocks[-4:]] == [1, 7, 7, 7]


def test_positions_are_resampled_for_other_sizes():
    """At the stored grid positions are as they are; at another they are resized bicubically, rows by rows."""
    made = network().eval()
    nn.init.zeros_(made.encoder.patch_embed.proj.weight)
    nn.init.zeros_(made.encoder.patch_embed.proj.bias)
    stored = made.encoder.pos_embed.detach()
    assert torch.equal(embedded(made, 128, 128), stored)
    grid = stored.transpose(1, 2).unflatten(2, (16, 16))
    expected = F.interpolate(grid, (6, 4), mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(embedded(made, 48, 32), expected.flatten(2).transpose(1, 2))


def embedded(made, height, width):
    """Tokens of one image before the first block."""
    with torch.no_grad():
        return vit.embed(made.encoder, images(height, width, batch=1)).x


def test_upscaling_to_a_stride_of_four():
    """Twice for patches of 16 pixels, once for 8 and 14, at least once."""
    assert [upscalings(patch) for patch in (4, 8, 14, 16, 32)] == [1, 1, 1, 2, 3]


def test_sites():
    """Each block is a site, and so are the queries of the last ones; a steer sees the patches that enter."""
    made, asked = network().eval(), []

    def spy(site, features, keys):
        asked.append((site, tuple(features.maps), tuple(features.context[vit.INPUT].shape), keys))

    made.decode(made.encode(images(48, 32), steer=spy), steer=spy)
    described = made.describe().sites
    assert [site.name for site in described] == SITES and {site.heads for site in described} == {3}
    assert {site.name for site in described if site.kind == "cross"} == set(SITES[-2:])
    assert [line[0] for line in asked] == [*SITES[:7], "blocks.6.queries", "blocks.7", "blocks.7.queries"]
    assert {line[2:] for line in asked} == {((2, 192, 6, 4), (6, 4))}
    assert [line[1] for line in asked[5:8]] == [(), ("patches",), ("patches",)]


def test_silent_steer_leaves_the_bytes():
    """A steer that says None everywhere gives the bits of no steer, in training as in testing."""
    for made in (network().eval(), network().train()):
        made.set_progress(0, 60)
        found = []
        for steer in (None, lambda *_: None):
            torch.manual_seed(3)
            found.append(made.decode(made.encode(images(32, 32), steer=steer), steer=steer).masks[-1])
        assert torch.equal(*found)


@pytest.mark.parametrize("masking", ["annealed", "always"])
def test_bias_of_zeros_equals_none(masking):
    """To 1e-5 of logits about 10, beside masks too; and gradients reach the bias of each site."""
    made = network(masking=masking).eval()
    biases = {site: torch.zeros(1, 1, 1, 16, requires_grad=True) for site in SITES}

    def steer(site, features, keys):
        return biases[site]

    found = made.decode(made.encode(images(32, 32), steer=steer), steer=steer)
    torch.testing.assert_close(found.masks[-1], outputs(made, images(32, 32))[0], rtol=1e-5, atol=1e-4)
    found.scores((32, 32)).square().sum().backward()
    assert all(bias.grad.abs().sum() > 0 for bias in biases.values())


@pytest.mark.parametrize("site", ["blocks.2", "blocks.7", "blocks.7.queries"])
def test_bias_of_minus_infinity_removes_a_patch(site):
    """What is cut off has no influence in that block: per query, patch and head."""
    made = network().eval()
    cut = torch.zeros(1, 1, 1, 4)
    cut[..., 3] = -torch.inf
    x, queries = torch.randn(1, 6 + 4, 192), 6
    before = vit.Tokens(x, (2, 2))
    changed = vit.Tokens(torch.cat([x[:, :-1], torch.randn(1, 1, 192)], dim=1), (2, 2))
    rows = slice(0, queries) if site.endswith("queries") else slice(queries, -1)

    def attended(tokens, bias):
        mask = made.steered(None, int(site.split(".")[1]), tokens, lambda name, *_: bias if name == site else None)
        layer = made.encoder.blocks[7].attn
        return layer(made.encoder.blocks[7].norm1(tokens.x), attn_mask=mask)[:, rows]

    with torch.no_grad():
        torch.testing.assert_close(attended(before, cut), attended(changed, cut), rtol=0, atol=1e-6)
        assert not torch.allclose(attended(before, 0 * torch.ones(4)), attended(changed, 0 * torch.ones(4)), atol=1e-3)
        one_head = torch.zeros(1, 3, 1, 4)
        one_head[:, 0, :, 3] = -torch.inf
        assert not torch.allclose(attended(before, one_head), attended(changed, one_head), atol=1e-3)


def test_probabilities_are_normalised_scores():
    """Scores of a mask classifier are no logits: they are divided by their sum."""
    scores = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).view(1, 2, 1, 2)
    assert build("eomt").probabilities(scores).flatten().tolist() == [0.75, 0.5, 0.25, 0.5]


def test_layers_for_learning_rates():
    """Embeddings and prefix go with the first block; the last norm and all that is new have no block."""
    made = network(DINO_V2.format("small"))
    names = {
        **{"encoder.blocks.11.mlp.fc1.weight": 11, "encoder.blocks.0.ls1.gamma": 0, "encoder.pos_embed": 0},
        **{"encoder.cls_token": 0, "encoder.reg_token": 0, "encoder.patch_embed.proj.bias": 0},
        **{"encoder.norm.weight": None, "queries": None, "head.upscale.0.conv1.weight": None},
    }
    assert names.keys() <= dict(made.named_parameters()).keys() and made.layers == 12
    assert {name: made.layer_of(name) for name in names} == names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "vit_smal_patch16_224"}, r"eomt\.encoder: timm has no 'vit_smal_patch16_224'; did you mean"),
        ({"encoder": "resnet18"}, r"eomt\.encoder: resnet18.*name a vision transformer"),
        ({"encoder": "vit_tiny_patch16_224.nothing"}, r"eomt\.encoder: .*nothing"),
        ({"query_blocks": 9}, r"eomt\.query_blocks: 9, of an encoder of 8 blocks; set fewer"),
    ],
)
def test_encoders_that_cannot_be_built(changes, message):
    """One line says which setting is wrong and what would do."""
    with pytest.raises(BadInput, match=message):
        network(**{"encoder": "xdseg_vit_tiny_patch8"} | changes)


def test_resumed_run_equals_an_unbroken_one(tmp_path, monkeypatch):
    """Masks, points and order of draws follow seed and step alone: the same bytes after a kill in the middle."""
    options = {"segmenter": "eomt", "network": {"query_blocks": 2}, "steps": 6, "batch": 2, "lr": 1e-4}
    job = tiny_jobs.make_job(tmp_path, **options)
    whole = train(job, tmp_path / "whole", runtime=tiny_jobs.CPU)
    advance, calls = EoMT.set_progress, []

    def killed(self, step, total):
        calls.append(step)
        if step == 5:
            raise KeyboardInterrupt
        advance(self, step, total)

    monkeypatch.setattr(eomt.EoMT, "set_progress", killed)
    with pytest.raises(KeyboardInterrupt):
        train(job, tmp_path / "parts", runtime=tiny_jobs.CPU)
    monkeypatch.undo()
    resumed = train(job, tmp_path / "parts", runtime=tiny_jobs.CPU)
    assert calls == [0, 1, 2, 3, 4, 5] and resumed["weights_sha256"] == whole["weights_sha256"]


def test_learns_colours(tmp_path):
    """A few steps on images whose colour tells the class lower the loss by a third."""
    made = build("eomt").train()
    optimiser = torch.optim.AdamW(made.parameters(), lr=1e-3)
    split, losses = tiny_jobs.make_split(tmp_path, "day", count=2), []
    pixels = torch.stack([torch.from_numpy(split.images[number][:40, :56].copy()) for number in range(2)])
    truth = torch.stack([torch.from_numpy(split.labels[number][:40, :56].copy()) for number in range(2)]).long()
    seen = normalise(pixels.permute(0, 3, 1, 2))
    for step in range(30):
        torch.manual_seed(step)
        made.set_progress(step, 30)
        loss = sum(made.decode(made.encode(seen)).loss(truth).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 2 / 3 * sum(losses[:5])
