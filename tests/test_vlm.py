"""Frozen foundation models: parity with open_clip and timm, resampling, files, names, vocabularies, and refusals."""

import json

import open_clip
import pytest
import timm
import tiny_jobs
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file

from xdseg import cells
from xdseg.data.tensors import MEAN, STD
from xdseg.errors import BadInput
from xdseg.pretrained import model_config
from xdseg.segmenters.foundation.encoders_vfm import create_vision, fill_vision
from xdseg.segmenters.foundation.encoders_vlm import VisionLanguage
from xdseg.segmenters.foundation.patches import placed, whole_patches
from xdseg.segmenters.foundation.text import ClassNames, name_tokens
from xdseg.segmenters.foundation.towers import TimmTower
from xdseg.segmenters.vit import Tokens
from xdseg.settings.encoders import VisionLanguageModel, VisionModel
from xdseg.settings.mfuser import MFuser

TINY = tiny_jobs.TINY_CLIP
WHOLE = {key: value for key, value in TINY.items() if key != "vocabulary"}
SIGLIP = TINY | {"vision_cfg": {"image_size": 128, "timm_model_name": "xdseg_vit_tiny_patch8", "timm_pool": "map",
                                "timm_proj": "none"}, "embed_dim": 192}  # fmt: skip
EVA = TINY | {"vision_cfg": {"image_size": 224, "timm_model_name": "eva02_tiny_patch14_224", "timm_pool": "token",
                             "timm_proj": None}}  # fmt: skip


SMALLEST = "xdseg_vit_tiny_patch8"


def build(model=None, seed=0, **settings):
    """A small model in evaluation, with drawn weights."""
    torch.manual_seed(seed)
    settings = VisionLanguageModel(model=model or TINY, **settings)
    return VisionLanguage(settings, patch=None, fused=True, where="mfuser.vlm").eval()


def images(*size, batch=2):
    """Of ImageNet's mean and deviation."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def through(tower, x):
    """Tokens behind all blocks."""
    tokens = tower.embed(x)
    for number in range(len(tower.blocks)):
        tokens = tower.run(number, tokens)
    return tokens


def nothing(tokens):
    """No other encoder's tokens."""
    return Tokens(torch.zeros_like(tokens.x), tokens.grid)


@pytest.mark.parametrize(("model", "side"), [(TINY, 32), (EVA, 224), (SIGLIP, 128)], ids=["clip", "eva", "siglip"])
def test_equals_open_clip(model, side):
    """With nothing of another encoder, the global embedding is open_clip's of the image, for each kind of tower."""
    ours = build(model, class_token_twice=False)
    given = images(side, side)
    theirs = ours.visual(given)
    tokens = through(ours.tower, given)
    joint = ours.tower.joint(tokens, nothing(tokens))
    torch.testing.assert_close(joint[:, 0], theirs, rtol=1e-4, atol=1e-5)
    assert joint.shape == (2, 1 + tokens.grid[0] * tokens.grid[1], model["embed_dim"])


def test_patches_of_siglip_are_their_own_queries():
    """As its pooling, with a patch in place of the learnt query: the plain formula."""
    ours = build(SIGLIP)
    pool, tokens = ours.visual.trunk.attn_pool, through(ours.tower, images(32, 32))
    x = ours.visual.trunk.norm(tokens.x)[0]
    keys, values = (x @ pool.kv.weight.T + pool.kv.bias).chunk(2, dim=-1)
    parts = zip(*(part.chunk(pool.num_heads, dim=-1) for part in (pool.q(x), keys, values)), strict=True)
    found = pool.proj(torch.cat([torch.softmax(q @ k.T * pool.scale, -1) @ v for q, k, v in parts], dim=-1))
    expected = found + pool.mlp(pool.norm(found))
    joint = ours.tower.joint(tokens, nothing(tokens))
    torch.testing.assert_close(joint[0, 1:], expected, rtol=1e-4, atol=1e-5)


def test_other_encoder_is_added_before_the_projection():
    """EVA-02: after both norms, patch to patch and class token to class token; CLIP: the sum is normed."""
    eva, clip = build(EVA), build()
    for model, side in ((eva, 28), (clip, 32)):
        tokens = through(model.tower, images(side, side))
        other = Tokens(torch.randn_like(tokens.x), tokens.grid)
        found = model.tower.joint(tokens, other)
        if model is eva:
            trunk = model.visual.trunk
            expected = trunk.head(trunk.norm(tokens.x) + other.x)
        else:
            expected = model.visual.ln_post(tokens.x + other.x) @ model.visual.proj
        torch.testing.assert_close(found, expected)


def test_encoder_without_class_token_adds_to_patches_alone():
    """The global embedding is then the vision-language model's own; registers of the other encoder take no part."""
    model = build()
    tokens = through(model.tower, images(32, 32))
    patches = torch.randn(2, 16, 32)
    bare, alone = Tokens(patches, (4, 4)), model.tower.joint(tokens, nothing(tokens))
    joint = model.tower.joint(tokens, bare)
    assert torch.equal(joint[:, 0], alone[:, 0]) and not torch.equal(joint[:, 1:], alone[:, 1:])
    front = torch.randn(2, 5, 32)  # a class token and four registers
    with_class = model.tower.joint(tokens, Tokens(torch.cat([front, patches], dim=1), (4, 4)))
    assert torch.equal(with_class[:, 1:], joint[:, 1:]) and not torch.equal(with_class[:, 0], joint[:, 0])


def test_class_token_twice():
    """As in MFuser's code the class token's embedding counts double; a switch."""
    once, twice = (build(class_token_twice=switch) for switch in (False, True))
    visual, given = once.visual, images(32, 32)
    expected = visual.ln_pre(2 * visual.class_embedding + visual.positional_embedding[0])
    torch.testing.assert_close(twice.tower.embed(given).x[0, 0], expected)
    assert torch.equal(once.tower.embed(given).x[:, 1:], twice.tower.embed(given).x[:, 1:])


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224"])
def test_equals_timm(name):
    """Class and register tokens, positions and rotations are timm's at the size that positions are stored for."""
    torch.manual_seed(0)
    trunk = create_vision(VisionModel(encoder=name), patch=None, fused=True, segmenter="mfuser.vfm").eval()
    side = trunk.patch_embed.img_size[0] if trunk.patch_embed.img_size else 518
    tower, given = TimmTower(trunk, "bicubic"), images(side, side, batch=1)
    with torch.no_grad():
        x = trunk.patch_embed(given)
        placed_there = trunk._pos_embed(x)
        theirs = trunk.norm_pre(placed_there[0] if isinstance(placed_there, tuple) else placed_there)
        torch.testing.assert_close(tower.embed(given).x, theirs)
    patch = trunk.patch_embed.patch_size[0]
    assert tower.embed(given[..., :112, :96]).grid == (112 // patch, 96 // patch)


def test_rotations_follow_the_grid():
    """EVA-02 as open_clip builds it holds rotations of one size; another size gives what timm's own gives for it."""
    ours = build(EVA)
    theirs = create_vision(
        VisionModel(encoder="eva02_tiny_patch14_224"), patch=None, fused=True, segmenter="vfm"
    ).eval()
    state = {key: value for key, value in ours.visual.trunk.state_dict().items() if not key.startswith("head.")}
    theirs.load_state_dict(state)
    for side in (42, 224, 70, 42):
        found, expected = (through(tower, images(side, 56)).x for tower in (ours.tower, TimmTower(theirs, "bicubic")))
        assert torch.equal(found, expected), side


def test_positions_are_resampled():
    """To another grid by the interpolation that is set; those of tokens in front stay, and the own grid is exact."""
    positions = torch.arange(5.0).view(1, 5, 1)  # one in front, and a 2 x 2 grid 1 2 / 3 4
    assert placed(positions, (2, 2), before=1, mode="bicubic") is positions
    found = placed(positions, (2, 4), before=1, mode="bilinear").flatten().tolist()
    assert found == [0, 1, 1.25, 1.75, 2, 3, 3.25, 3.75, 4]


@pytest.mark.parametrize("model", [TINY, EVA], ids=["clip", "eva"])
def test_patches_are_resampled(model):
    """Another side: the kernel is interpolated bicubically, the grid is that of the new patches."""
    torch.manual_seed(0)
    plain = build(model)
    torch.manual_seed(0)
    settings = VisionLanguageModel(model=model)
    ours = VisionLanguage(settings, patch=16, fused=True, where="mfuser.vlm").eval()
    name = "trunk.patch_embed.proj.weight" if model is EVA else "conv1.weight"
    expected = F.interpolate(plain.visual.state_dict()[name], (16, 16), mode="bicubic", align_corners=False)
    torch.testing.assert_close(ours.visual.state_dict()[name], expected)
    assert ours.patch == 16 and ours.tower.embed(images(48, 32)).grid == (3, 2)


def test_images_are_normalised_anew():
    """ImageNet's statistics become the model's: CLIP's, or those that the configuration names."""
    pixels = torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    clip = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(-1, 1, 1), torch.tensor(open_clip.OPENAI_DATASET_STD)
    ours = build().normalised((pixels - mean) / std)
    torch.testing.assert_close(ours, (pixels - clip[0]) / clip[1].view(-1, 1, 1), rtol=1e-4, atol=1e-5)
    half = build(TINY | {"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    torch.testing.assert_close(half.normalised((pixels - mean) / std), 2 * pixels - 1, rtol=1e-4, atol=1e-5)


def test_names_without_learnt_tokens_equal_open_clip():
    """The embedding of a name is open_clip's of its text, however short the padding."""
    torch.manual_seed(0)
    theirs = CustomTextCLIP(**WHOLE).eval()
    ours = build(WHOLE)
    ours.load_state_dict(theirs.state_dict())
    names = ["red", "traffic light"]
    ids = name_tokens(ours, names, length=5, where="mfuser.text")
    tokens = open_clip.get_tokenizer("ViT-B-16")(names, context_length=16)
    found = ClassNames(ids, ours.text, contexts=0, where="mfuser.text")(ours.text)
    torch.testing.assert_close(found, theirs.encode_text(tokens), rtol=1e-4, atol=1e-5)


def test_learnt_tokens_stand_behind_the_start():
    """Two learnt tokens that are embeddings of two words give the text with these words in front."""
    ours = build(WHOLE)
    tokenize = open_clip.get_tokenizer("ViT-B-16")
    expected = ours.text(tokenize(["a clean street"], context_length=16))
    names = ClassNames(tokenize(["street"], context_length=5), ours.text, contexts=2, where="mfuser.text")
    words = tokenize(["a clean"], context_length=5)[0, 1:3]
    with torch.no_grad():
        names.contexts.copy_(ours.text.token_embedding(words))
    torch.testing.assert_close(names(ours.text), expected, rtol=1e-4, atol=1e-5)


def test_text_tower_that_pools_the_last_token():
    """SigLIP's: no causal mask, projection with bias, the last position is read."""
    config = TINY | {"text_cfg": TINY["text_cfg"] | {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}}
    ours = build(config)
    ids = name_tokens(ours, tiny_jobs.CLASSES, length=16, where="mfuser.text")
    names = ClassNames(ids, ours.text, contexts=0, where="mfuser.text")
    torch.testing.assert_close(names(ours.text), ours.text(ids), rtol=1e-4, atol=1e-5)


def test_cut_vocabulary_renumbers_tokens():
    """A model with the embeddings of six tokens gives names what the whole one gives them."""
    whole, cut = build(WHOLE), build()
    kept = torch.tensor(TINY["vocabulary"])
    state = whole.state_dict()
    cut.load_state_dict(state | {"text.token_embedding.weight": state["text.token_embedding.weight"][kept]})
    found = []
    for model in (whole, cut):
        ids = name_tokens(model, tiny_jobs.CLASSES, length=5, where="mfuser.text")
        found.append(ClassNames(ids, model.text, contexts=0, where="mfuser.text")(model.text))
    assert torch.equal(*found)
    with pytest.raises(BadInput, match=r"mfuser\.vlm\.model: class 'car' has a token that its vocabulary lacks"):
        name_tokens(cut, ["red", "car"], length=5, where="mfuser.text")


def test_frozen_with_gradients_through():
    """No parameter of either tower takes a gradient; images and learnt tokens do."""
    model = build()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    given = images(32, 32).requires_grad_()
    tokens = through(model.tower, given)
    model.tower.joint(tokens, nothing(tokens)).square().sum().backward()
    assert given.grad.abs().sum() > 0
    ids = name_tokens(model, tiny_jobs.CLASSES, length=5, where="mfuser.text")
    names = ClassNames(ids, model.text, contexts=2, where="mfuser.text")
    names(model.text).square().sum().backward()
    assert names.contexts.grad.abs().sum() > 0 and ids.shape == (3, 5)


@pytest.mark.parametrize("kind", [CLIP, CustomTextCLIP])
def test_weights_from_a_file(tmp_path, kind):
    """With the text tower apart or not, as open_clip's files have it; patches resampled to the side that is set."""
    torch.manual_seed(3)
    donor = kind(**WHOLE)
    save_file({key: value.contiguous() for key, value in donor.state_dict().items()}, tmp_path / "clip.safetensors")
    settings = VisionLanguageModel(model=WHOLE, weights=str(tmp_path / "clip.safetensors"))
    ours = VisionLanguage(settings, patch=16, fused=True, where="mfuser.vlm")
    ours.load_pretrained()
    assert torch.equal(ours.visual.proj, donor.visual.proj)
    theirs = donor.text if kind is CustomTextCLIP else donor
    assert torch.equal(ours.text.positional_embedding, theirs.positional_embedding)
    expected = F.interpolate(donor.visual.conv1.weight, (16, 16), mode="bicubic", align_corners=False)
    torch.testing.assert_close(ours.visual.conv1.weight, expected)
    assert not ours.visual.conv1.weight.requires_grad


@pytest.mark.parametrize("patch", [14, 16])
def test_vision_weights_from_a_file(tmp_path, patch):
    """DINOv2's own file, whose mask token has no place; patches are resampled bicubically, positions stay."""
    torch.manual_seed(3)
    name = "vit_small_patch14_dinov2"
    donor = timm.create_model(name, num_classes=0)
    torch.save(donor.state_dict() | {"mask_token": torch.zeros(1, 384)}, tmp_path / "dinov2.pth")
    settings = VisionModel(encoder=name, weights=str(tmp_path / "dinov2.pth"))
    trunk = create_vision(settings, patch=patch, fused=True, segmenter="mfuser.vfm")
    fill_vision(trunk, settings, segmenter="mfuser.vfm")
    assert torch.equal(trunk.pos_embed, donor.pos_embed)
    assert torch.equal(trunk.blocks[0].mlp.fc1.weight, donor.blocks[0].mlp.fc1.weight)
    kernel = donor.patch_embed.proj.weight
    expected = F.interpolate(kernel, (patch, patch), mode="bicubic", align_corners=False)
    torch.testing.assert_close(trunk.patch_embed.proj.weight, expected)
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "EVA02-L-14-366"},
            r"mfuser\.vlm\.model: open_clip has no 'EVA02-L-14-366'; did you mean 'EVA02-L-14",
        ),
        ({"model": "ViT-B-16", "tag": "opnai"}, r"mfuser\.vlm\.tag: no 'opnai' of ViT-B-16; did you mean 'openai'\?"),
        ({"model": {"embed_dim": 8}}, r"vlm\.model: no configuration of a model of open_clip, as it has no vision_cfg"),
        ({"model": "nowhere/clip.json"}, r"nowhere/clip\.json: no such file; name a model of open_clip"),
        ({"model": TINY | {"text_cfg": {"widht": 8}}}, r"mfuser\.vlm\.model: open_clip cannot build it: .*widht"),
        ({"model": TINY | {"vocabulary": [0, 736, 5]}}, r"mfuser\.vlm\.model: its vocabulary does not rise"),
        ({"model": "RN50"}, r"mfuser\.vlm\.model: its image tower is no plain vision transformer"),
    ],
)
def test_wrong_models_are_told_in_one_line(settings, message):
    """Names, tags and configurations that are not there, with what is."""
    with pytest.raises(BadInput, match=message) as caught:
        build(**settings)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_told_in_one_line(tmp_path, monkeypatch):
    """Which file of which page is wanted, and where to put it; offline too."""

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    model = build()
    file, page = (
        r"open_clip_model\.safetensors",
        r"huggingface\.co/timm/eva02_large_patch14_clip_336\.merged2b_s6b_b61k",
    )
    for weights, message in (
        (
            str(tmp_path / "eva.safetensors"),
            rf"eva\.safetensors: no such file; save open_clip_model\.safetensors of {page}",
        ),
        ("open_clip", rf"cannot download {page} \(OSError\); save its {file} to a local file"),
    ):
        model.settings = VisionLanguageModel(weights=weights)
        with pytest.raises(BadInput, match=message):
            model.load_pretrained()
    model.settings = VisionLanguageModel(model="ViT-L-14-336", weights="open_clip")
    with pytest.raises(BadInput, match=r"QuickGELU; take ViT-L-14-336-quickgelu"):
        model.load_pretrained()
    trunk = create_vision(VisionModel(encoder=SMALLEST), patch=None, fused=True, segmenter="mfuser.vfm")
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BadInput, match=r"mfuser\.vfm\.weights: cannot download timm/vit_large_patch14_dinov2"):
        fill_vision(trunk, VisionModel(weights="timm"), segmenter="mfuser.vfm")


def test_names_that_are_cut_are_told_in_one_line():
    """A class whose name is longer than the tokens that are set; and too many learnt tokens."""
    model = build(WHOLE)
    with pytest.raises(BadInput, match=r"mfuser\.text\.length: class 'a very long name' has more than 5 tokens"):
        name_tokens(model, ["red", "a very long name"], length=5, where="mfuser.text")
    ids = name_tokens(model, ["a_very_long_name"], length=6, where="mfuser.text")
    with pytest.raises(BadInput, match=r"mfuser\.text\.contexts: 11 and 6 tokens of a name, but the text tower has 16"):
        ClassNames(ids, model.text, contexts=11, where="mfuser.text")


def test_small_images_are_refused():
    """Two patches a side are needed, as one map has half the grid."""
    assert whole_patches(images(30, 47), 8, origin="mfuser").shape[-2:] == (24, 40)
    with pytest.raises(BadInput, match=r"mfuser: images of 15x40 pixels; take sides of 16 at least"):
        whole_patches(images(15, 40), 8, origin="mfuser")


def test_file_of_a_configuration_is_its_content(tmp_path):
    """In a fingerprint it is what decides the model, wherever the file lies; a run's own record can build it again."""
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"model_cfg": WHOLE, "vocabulary": TINY["vocabulary"], "note": "made in a day"}))
    identity = cells._with_contents(MFuser(vlm={"model": str(path)}).identity())
    assert identity == {"vlm": {"model": TINY}} == cells._with_contents(MFuser(vlm={"model": TINY}).identity())
    assert model_config(str(path)) == TINY and MFuser(**identity).vlm.model == TINY
    (tmp_path / "clip.pth").write_bytes(b"abc")
    weights = cells._with_contents(MFuser(vlm={"weights": str(tmp_path / "clip.pth")}).identity())["vlm"]["weights"]
    assert weights.startswith("ba7816bf")
