"""Tunings of a frozen encoder: published sizes, the frozen network at first, and formulas written out beside them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.tunings.apply import Tuned
from xdseg.settings.tunings import SIX, Tuning

WIDTH, DEPTH, QUERY_WIDTH = 24, 3, 16
SMALL = {
    "lora": {"rank": 3, "alpha": 6},
    "dora": {"rank": 3, "alpha": 6},
    "soma": {"rank": 4, "first_block": 1},
    "rein": {"tokens": 5, "rank": 3},
}
BESIDE = ("lora", "dora", "soma")
TRAINED = ("full", *BESIDE, "rein")
ENCODERS = ("vit", "eva", "eva-split")


def of(kind, **values):
    """Settings of a tuning, small by default."""
    return TypeAdapter(Tuning).validate_python({"kind": kind} | SMALL.get(kind, {}) | values)


def encoder(name="vit"):
    """A tiny transformer of each design: one layer for q, k, v or three; one for gate and value or two; rotations."""
    torch.manual_seed(0)
    sides = {"img_size": 32, "patch_size": 8, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2, "num_classes": 0}
    if name == "vit":
        made = VisionTransformer(**sides, global_pool="", dynamic_img_size=True, init_values=0.5, reg_tokens=2)
    else:
        split = name == "eva-split"
        gated = {"swiglu_mlp": True, "scale_mlp": split, "qkv_fused": not split, "scale_attn_inner": split}
        made = Eva(**sides, global_pool="", dynamic_img_size=True, use_rot_pos_emb=True, ref_feat_shape=(4, 4), **gated)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def tuned(kind, name="vit", **values):
    """An encoder with a tuning that has begun from its weights."""
    made = Tuned(encoder(name), of(kind, **values), query_width=QUERY_WIDTH)
    made.load(lambda plain: None)
    return made.eval()


def moved(made):
    """The same, with every trained parameter moved."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def outputs(made):
    """Tokens behind the last block."""
    made = made if isinstance(made, Tuned) else Tuned(made, of("frozen")).eval()
    tokens = vit.embed(made.encoder, torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(2)))
    for number in range(DEPTH):
        tokens = made.run(number, tokens)
    return tokens.x


def trainable(made):
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in made.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        ({"kind": "frozen"}, 0),
        ({"kind": "lora"}, 786_432),  # 24 blocks x (q, v) x 8 x (1024 + 1024): 0.79 M
        ({"kind": "lora", "targets": SIX}, 3_538_944),
        ({"kind": "dora"}, 786_432 + 24 * 2 * 1024),
        ({"kind": "rein"}, 2_990_081 + 256 * 257),  # its 2.99 M, and the content of queries, counted with the decoder
        ({"kind": "rein", "linked": False}, 2_990_081 - 1024 * 256 - 256 - 768 * 256 - 256),
        ({"kind": "soma", "biases": False}, 4_718_592),  # 16 blocks x (8 x 1024 + 2 x (1024 + 4096)) x 16: 4.72 M
        ({"kind": "soma"}, 4_718_592 + 16 * 9 * 1024),
    ],
)
def test_published_numbers_of_parameters(settings, published):
    """On DINOv2's ViT-L with patches of 16 pixels: LoRA 0.79 M, Rein 2,990,081, SoMA 4.72 M and its biases."""
    with torch.device("meta"):
        large = vit.create("vit_large_patch14_dinov2", patch=16, size=512, drop_path=0, segmenter="test")
        made = Tuned(large, TypeAdapter(Tuning).validate_python(settings), query_width=256)
    assert trainable(made) == published


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", ["frozen", "full", *BESIDE])
def test_training_begins_with_the_frozen_encoder(kind, name):
    """LoRA and DoRA leave its bits (EVA's fused bias, a rounding apart); SoMA's split weights agree to 1e-6."""
    found, frozen = outputs(tuned(kind, name, **({"targets": SIX} if kind in BESIDE else {}))), outputs(encoder(name))
    if kind == "soma" or name == "eva":
        torch.testing.assert_close(found, frozen, rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(found, frozen)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", BESIDE)
def test_merged_encoders_have_the_same_outputs(kind, name):
    """After any update, a plain encoder of timm's names gives the tuned outputs to 1e-5; the tuned one is untouched."""
    made = moved(tuned(kind, name, targets=SIX))
    before = outputs(made)
    merged = made.merged()
    torch.testing.assert_close(outputs(merged), before, rtol=1e-5, atol=1e-5)
    assert merged.state_dict().keys() == encoder(name).state_dict().keys()
    assert torch.equal(outputs(made), before) and (before - outputs(encoder(name))).abs().max() > 0.1


def test_merging_of_what_is_no_change_of_weights():
    """Full tuning is merged as it is; Rein cannot be."""
    made = moved(tuned("full"))
    assert torch.equal(outputs(made.merged()), outputs(made))
    with pytest.raises(ValueError, match="rein refines patches"):
        tuned("rein").merged()


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_changed_weights_by_the_formula(kind):
    """Queries and values have W + 2 B A, in DoRA at the trained length of each row; keys and other layers have W."""
    made, plain = moved(tuned(kind)), encoder().blocks[1].attn.qkv
    layer = made.encoder.blocks[1].attn.qkv
    weight = plain.weight.detach().clone()
    for part, start in enumerate((0, 2 * WIDTH)):
        for row in range(WIDTH):
            changed = weight[start + row] + 2 * layer.up[part, row] @ layer.down[part]
            if kind == "dora":
                changed = layer.magnitude[part * WIDTH + row] * changed / changed.square().sum().sqrt()
            weight[start + row] = changed.detach()
    x = torch.randn(4, 7, WIDTH)
    torch.testing.assert_close(layer(x), F.linear(x, weight, plain.bias), rtol=1e-5, atol=1e-5)
    assert type(made.encoder.blocks[1].attn.proj) is type(made.encoder.blocks[1].mlp.fc1) is nn.Linear


@pytest.mark.parametrize("through", [False, True])
def test_norms_of_dora_are_constants(through):
    """Gradients are those of m (W + BA) / n with n held fixed, or not if the switch says so."""
    layer = moved(tuned("dora", norm_gradient=through)).encoder.blocks[0].attn.qkv
    x = torch.randn(5, WIDTH)
    layer(x).square().sum().backward()
    found = [layer.up.grad.clone(), layer.down.grad.clone(), layer.magnitude.grad.clone()]
    layer.zero_grad()
    rows = layer.plain.weight.view(3, WIDTH, WIDTH)[[0, 2]] + 2 * layer.up @ layer.down
    norms = rows.square().sum(-1, keepdim=True).sqrt()
    rows = layer.magnitude.view(2, WIDTH, 1) * rows / (norms if through else norms.detach())
    bias = layer.plain.bias.view(3, WIDTH)[[0, 2]]
    (torch.einsum("bi,noi->bno", x, rows) + bias).square().sum().backward()
    for one, other in zip(found, (layer.up.grad, layer.down.grad, layer.magnitude.grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_soma_trains_the_smallest_singular_triplets():
    """Of each of q, k, v: B and A are orthogonal, their lengths squared the 4 smallest values; W - BA has the rest."""
    layer, plain = tuned("soma").encoder.blocks[1].attn.qkv, encoder().blocks[1].attn.qkv
    torch.testing.assert_close(layer.changed_rows().flatten(0, 1), plain.weight, rtol=0, atol=1e-5)
    for part, weight in enumerate(plain.weight.view(3, WIDTH, WIDTH)):
        values = torch.linalg.svdvals(weight.double()).float()
        up, down = layer.up[part], layer.down[part]
        torch.testing.assert_close(up.T @ up, values[-4:].diag(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(down @ down.T, values[-4:].diag(), rtol=1e-4, atol=1e-5)
        rest = torch.linalg.svdvals(layer.rows()[part])
        torch.testing.assert_close(rest, torch.cat([values[:-4], torch.zeros(4)]), rtol=1e-4, atol=1e-5)


def test_soma_leaves_the_first_blocks():
    """Block 0 has timm's layers; of the others all six are tuned, and their biases are trained, norms are not."""
    made = tuned("soma")
    assert set(made.beside()) == {
        f"blocks.{n}.{name}" for n in (1, 2) for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    names = {name.rpartition(".")[2] for name, parameter in made.named_parameters() if parameter.requires_grad}
    assert names == {"up", "down", "bias"}
    assert not any(parameter.requires_grad for parameter in made.encoder.blocks[2].norm1.parameters())


@pytest.mark.parametrize("name", ["eva", "eva-split"])
def test_eva_keeps_the_biases_of_queries_and_values(name):
    """Wherever they stand, in two blocks each of WIDTH queries and values, they are trained; keys have none."""
    targets = ["q", "k", "v"]
    found = [trainable(tuned("soma", name, targets=targets, biases=biases)) for biases in (True, False)]
    assert found[0] - found[1] == 2 * 2 * WIDTH


def test_gated_networks_have_two_first_layers():
    """fc1 is gate and value: two parts of one layer, or two layers; each has matrices of its own."""
    packed, split = (tuned("lora", name, targets=["fc1"]).beside() for name in ("eva", "eva-split"))
    assert packed["blocks.0.mlp.fc1"].up.shape == (2, 4 * WIDTH, 3)
    assert set(split) == {f"blocks.{n}.mlp.fc1_{half}" for n in range(DEPTH) for half in "gx"}


@pytest.mark.parametrize("kind", ["frozen", *TRAINED])
def test_gradients_reach_what_is_trained_alone(kind):
    """Each trained parameter of the blocks has a gradient that is not 0, and no other one has any."""
    made = moved(tuned(kind))
    total = outputs(made).square().sum()
    if queries := made.queries():
        total = total + queries.content.square().sum()
    if kind == "frozen":
        assert not total.requires_grad
        return
    total.backward()
    for name, parameter in made.named_parameters():
        if parameter.requires_grad and not name.startswith("encoder.norm"):  # which the blocks do not read
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


def naive_rein(rein, block, patches):
    """Rein's refinement, patch by patch and token by token."""
    tokens = rein.token_weights[block] @ rein.token_basis[block]
    refined = torch.empty_like(patches)
    for index, patch in enumerate(patches):
        weights = torch.stack([(patch * token).sum() / WIDTH**0.5 for token in tokens]).exp()
        seen = sum(weights[k] / weights.sum() * rein.of_tokens(tokens[k]) for k in range(1, len(tokens)))
        refined[index] = patch + rein.scale * rein.of_patches(seen + patch)
    return refined


@torch.no_grad()
def test_rein_refines_patches_by_the_formula():
    """f + s MLP(S' MLP(T) + f), of scale 1e-3 at first; the class and two register tokens pass untouched."""
    made = tuned("rein")
    torch.manual_seed(3)
    tokens = vit.Tokens(torch.randn(2, 3 + 6, WIDTH), (2, 3))
    assert made.rein.scale == pytest.approx(1e-3)
    assert 0 < (made.after_block(2, tokens).x - tokens.x).abs().max() < 0.01
    for parameter in (made.rein.scale, made.rein.token_weights, made.rein.token_basis):
        parameter.div_(parameter.std() if parameter.ndim else parameter.clone())  # so that every part of it tells
    found = made.after_block(2, tokens)
    assert torch.equal(found.x[:, :3], tokens.x[:, :3]) and found.grid == (2, 3)
    expected = torch.stack([naive_rein(made.rein, 2, patches) for patches in tokens.x[:, 3:]])
    torch.testing.assert_close(found.x[:, 3:], expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_first_token_of_rein_is_a_sink():
    """Attention to it adds nothing: where it takes all, patches are refined by themselves alone."""
    rein = tuned("rein").rein
    patches = torch.rand(1, 6, WIDTH) + 0.5
    rein.token_weights[1] = 0
    rein.token_weights[1, 0, 0], rein.token_basis[1, 0] = 1, 100.0  # token 0 is far along every patch, others are 0
    torch.testing.assert_close(rein(1, patches), patches + rein.scale * rein.of_patches(patches))
    rein.token_weights[1, 0, 0] = 0  # now all 5 share the attention: four fifths of what a token of 0 is mapped to
    expected = patches + rein.scale * rein.of_patches(0.8 * rein.of_tokens.bias + patches)
    torch.testing.assert_close(rein(1, patches), expected)


@torch.no_grad()
def test_rein_makes_queries_of_its_tokens():
    """Projected tokens' largest, mean and last over the blocks, channel by channel, are merged to positions."""
    made = moved(tuned("rein"))
    link, tokens = made.rein.link, made.rein.token_weights @ made.rein.token_basis
    content, positions = made.queries()
    for query in range(5):
        blocks = [link.project(tokens[block, query]) for block in range(DEPTH)]
        pooled = []
        for channel in range(QUERY_WIDTH):
            values = [projected[channel] for projected in blocks]
            pooled += [max(values), sum(values) / DEPTH, values[-1]]
        torch.testing.assert_close(positions[query], link.merge(torch.stack(pooled)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(content, link.content(positions))
    assert tuned("rein", linked=False).queries() is None and tuned("lora").queries() is None


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", BESIDE)
def test_mixed_precision(kind, name):
    """Under autocast layers stay in bfloat16, so that attention runs on its kernel, near the outputs of float32."""
    made = moved(tuned(kind, name))
    exact = outputs(made)
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(made)
        for layer in made.beside().values():
            assert layer(torch.randn(2, 5, layer.plain.in_features)).dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0.1, atol=0.1 * exact.std().item())


def test_first_draws_of_rein_and_lora():
    """Uniform up to sqrt(6 / (3 p^2 + sqrt(c r))) for patches of p, and up to 1 / sqrt(inputs); B is 0."""
    rein = tuned("rein", rank=16, tokens=50).rein
    bound = (6 / (3 * 64 + (WIDTH * 16) ** 0.5)) ** 0.5
    for drawn in (rein.token_weights, rein.token_basis):
        assert 0.98 * bound < drawn.abs().max() <= bound
    layer = tuned("lora").encoder.blocks[0].attn.qkv
    assert 0.95 * WIDTH**-0.5 < layer.down.abs().max() <= WIDTH**-0.5 and not layer.up.any()


@pytest.mark.parametrize("kind", ["frozen", *TRAINED])
def test_state_dict_round_trip(kind):
    """A network that never saw the pre-trained weights takes a tuned one's state and gives its bits."""
    made = moved(tuned(kind))
    fresh = Tuned(encoder(), of(kind), query_width=QUERY_WIDTH).eval()
    fresh.load_state_dict(made.state_dict())
    assert torch.equal(outputs(fresh), outputs(made))


@pytest.mark.parametrize("kind", BESIDE)
def test_tunings_begin_from_what_is_loaded(kind):
    """Weights load under timm's names, whatever was tuned before; DoRA measures them, SoMA splits them."""
    made, donor = moved(tuned(kind)), encoder()
    with torch.no_grad():
        donor.blocks[1].attn.qkv.weight.mul_(-3)
    made.load(lambda plain: plain.load_state_dict(donor.state_dict()))
    if kind != "soma":
        assert torch.equal(outputs(made), outputs(donor))
    torch.testing.assert_close(outputs(made), outputs(donor), rtol=1e-4, atol=1e-5)


def test_weights_that_do_not_fit_leave_the_tuning_in_place():
    """An error while loading passes through, and tuned layers are where they were."""
    made = tuned("lora")
    with pytest.raises(RuntimeError, match="Missing key"):
        made.load(lambda plain: plain.load_state_dict({}))
    assert len(made.beside()) == DEPTH


@pytest.mark.parametrize("kind", TRAINED)
def test_copies_are_apart(kind):
    """A teacher's copy keeps its outputs when the student moves."""
    made = tuned(kind)
    teacher = copy.deepcopy(made)
    before = outputs(teacher)
    moved(made)
    assert torch.equal(outputs(teacher), before) and not torch.equal(outputs(made), before)


def test_encoders_that_rest_stay_as_at_test_time():
    """Stochastic depth does not touch an encoder of which no weight is trained."""
    assert {kind: tuned(kind).train().encoder.training for kind in ("frozen", *TRAINED)} == {
        **{"frozen": False, "rein": False},
        **{"full": True, "lora": True, "dora": True, "soma": True},
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "soma", "first_block": 3}, "tuning.first_block: 3, of an encoder of 3 blocks; set fewer"),
        ({"kind": "soma", "rank": 25}, "tuning.rank: 25, of a layer of 24 inputs and 24 outputs"),
    ],
)
def test_what_cannot_be_tuned_is_refused(settings, message):
    """One line names the setting."""
    with pytest.raises(BadInput, match=message):
        tuned(**settings)


def test_blocks_without_a_target_are_refused():
    """A block whose layers have other names is no silent no-op."""
    made = encoder()
    made.blocks[0].attn.proj = nn.Identity()
    with pytest.raises(BadInput, match=r"tuning\.targets: a Block has no layer proj; leave it out"):
        Tuned(made, of("lora", targets=["q", "proj"]))


def test_settings_are_told_apart_by_kind():
    """Defaults stay out of fingerprints; another order of targets is no other tuning; unknown keys are errors."""
    assert of("soma", rank=16, first_block=8).identity() == {"kind": "soma"}
    assert of("lora", targets=["v", "q"]).targets == ("q", "v")
    with pytest.raises(ValidationError, match="'bitfit'"):
        of("bitfit")
    with pytest.raises(ValidationError, match="alpha"):
        of("soma", alpha=1)
