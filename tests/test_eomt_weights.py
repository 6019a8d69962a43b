"""EoMT's weights in the forms that others publish: names and shapes as listed for them, both ways, strictly."""

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from test_contract import images
from test_eomt import DINO_V2, assert_same_logits, network, outputs
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from transformers import EomtConfig, EomtDinov3Config, EomtDinov3ForUniversalSegmentation, EomtForUniversalSegmentation

from xdseg.errors import BadInput
from xdseg.segmenters.eomt import EoMT
from xdseg.segmenters.eomt_weights import load
from xdseg.segmenters.eomt_weights.layers import merged_gates, split_gates
from xdseg.segmenters.eomt_weights.save import authors_state, save_authors, save_transformers, transformers_state
from xdseg.settings.eomt import EoMT as Settings

SMALL = DINO_V2.format("small")
V3 = "vit_small_patch16_dinov3_qkvb"


def table(width, depth, *, queries, classes, blocks, positions):
    """The authors' keys and shapes as listed: 365 of a ViT-L, 197 of a ViT-S, and the one that their loader drops."""
    d, trunk = width, "network.encoder.backbone"
    shapes = {
        "network.attn_mask_probs": (blocks,),
        "network.encoder.pixel_mean": (1, 3, 1, 1),
        "network.encoder.pixel_std": (1, 3, 1, 1),
        f"{trunk}.cls_token": (1, 1, d),
        f"{trunk}.reg_token": (1, 4, d),
        f"{trunk}.pos_embed": (1, positions, d),
        f"{trunk}.patch_embed.proj.weight": (d, 3, 16, 16),
        f"{trunk}.patch_embed.proj.bias": (d,),
        f"{trunk}.norm.weight": (d,),
        f"{trunk}.norm.bias": (d,),
        "network.q.weight": (queries, d),
        "network.class_head.weight": (classes + 1, d),
        "network.class_head.bias": (classes + 1,),
        "criterion.empty_weight": (classes + 1,),
    }
    for n in range(depth):
        block = f"{trunk}.blocks.{n}"
        shapes |= {f"{block}.norm{i}.{kind}": (d,) for i in (1, 2) for kind in ("weight", "bias")}
        shapes |= {f"{block}.attn.qkv.weight": (3 * d, d), f"{block}.attn.qkv.bias": (3 * d,)}
        shapes |= {f"{block}.attn.proj.weight": (d, d), f"{block}.attn.proj.bias": (d,)}
        shapes |= {f"{block}.ls1.gamma": (d,), f"{block}.ls2.gamma": (d,)}
        shapes |= {f"{block}.mlp.fc1.weight": (4 * d, d), f"{block}.mlp.fc1.bias": (4 * d,)}
        shapes |= {f"{block}.mlp.fc2.weight": (d, 4 * d), f"{block}.mlp.fc2.bias": (d,)}
    for n in (0, 2, 4):
        shapes |= {f"network.mask_head.{n}.weight": (d, d), f"network.mask_head.{n}.bias": (d,)}
    for n in range(2):
        up = f"network.upscale.{n}"
        shapes |= {f"{up}.conv1.weight": (d, d, 2, 2), f"{up}.conv1.bias": (d,), f"{up}.conv2.weight": (d, 1, 3, 3)}
        shapes |= {f"{up}.norm.weight": (d,), f"{up}.norm.bias": (d,)}
    return shapes


def authors_file(seed=0, **changes):
    """A made-up checkpoint of a small network for images of 64 pixels."""
    sizes = {"queries": 6, "classes": 3, "blocks": 3, "positions": 16} | changes
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draws) for name, shape in table(384, 12, **sizes).items()}


def loaded(path, encoder=SMALL, **changes):
    """A network with the weights of a file."""
    made = network(encoder, **{"size": 64, "weights": str(path)} | changes)
    made.load_pretrained()
    return made


def test_authors_names_of_the_large_network():
    """The ViT-L of Cityscapes at 1024 pixels has the listed keys and shapes, 365 of the network and one more."""
    listed = table(1024, 24, queries=100, classes=19, blocks=4, positions=4096)
    with torch.device("meta"):
        made = EoMT(Settings(size=1024), [str(number) for number in range(19)])
    assert {name: tuple(value.shape) for name, value in authors_state(made).items()} == listed
    assert len(listed) == 365 + 1


@pytest.mark.parametrize("form", ["plain", "lightning", "compiled"])
def test_authors_checkpoint_loads_strictly(tmp_path, form):
    """Every tensor arrives where it belongs, from a plain file, Lightning's, and one of a compiled network."""
    state, path = authors_file(), tmp_path / "pytorch_model.bin"
    assert len(state) == 197 + 1
    prefixed = {name.replace("network.", "network._orig_mod."): value for name, value in state.items()}
    held = {"plain": state, "lightning": {"state_dict": state, "epoch": 3}, "compiled": prefixed}
    torch.save(held[form], path)
    ours = loaded(path).state_dict()
    assert torch.equal(ours["queries"], state["network.q.weight"])
    assert torch.equal(ours["encoder.pos_embed"], state["network.encoder.backbone.pos_embed"])
    assert torch.equal(ours["encoder.blocks.11.ls2.gamma"], state["network.encoder.backbone.blocks.11.ls2.gamma"])
    assert torch.equal(ours["head.upscale.1.conv2.weight"], state["network.upscale.1.conv2.weight"])
    assert torch.equal(ours["head.mask_head.4.bias"], state["network.mask_head.4.bias"])
    assert torch.equal(ours["head.class_head.weight"], state["network.class_head.weight"])


def test_authors_form_there_and_back(tmp_path):
    """What is saved in the authors' form has their buffers, masks off, and loads to the same bits."""
    ours = network(SMALL, size=64)
    save_authors(ours, tmp_path / "out.bin")
    saved = torch.load(tmp_path / "out.bin", weights_only=True)
    shapes = table(384, 12, queries=6, classes=3, blocks=3, positions=16)
    assert {name: tuple(value.shape) for name, value in saved.items()} == shapes
    assert saved["network.attn_mask_probs"].tolist() == [0, 0, 0]
    assert saved["network.encoder.pixel_mean"].flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert saved["criterion.empty_weight"].tolist() == pytest.approx([1, 1, 1, 0.1])
    again = loaded(tmp_path / "out.bin").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in ours.state_dict().items())


def test_transformers_network_loads(tmp_path):
    """A network that transformers drew and saved gives its logits here."""
    torch.manual_seed(0)
    config = EomtConfig(
        **{"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "image_size": 64, "num_labels": 3},
        **{"num_blocks": 3, "num_queries": 6},
    )
    theirs = EomtForUniversalSegmentation(config).eval()
    theirs.attn_mask_probs.fill_(0)
    theirs.save_pretrained(tmp_path)
    assert_same_logits(loaded(tmp_path / "model.safetensors").eval(), theirs, images(64, 64))


def test_transformers_network_on_dinov3_loads(tmp_path):
    """The same on DINOv3, whose keys have no bias."""
    torch.manual_seed(0)
    config = EomtDinov3Config(
        **{"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536},
        **{"num_blocks": 3, "num_queries": 6, "num_labels": 3, "image_size": 64, "layer_norm_eps": 1e-5},
    )
    theirs = EomtDinov3ForUniversalSegmentation(config).eval()
    theirs.attn_mask_probs.fill_(0)
    theirs.save_pretrained(tmp_path)
    assert_same_logits(loaded(tmp_path / "model.safetensors", V3, patch=None).eval(), theirs, images(64, 64))


@pytest.mark.parametrize(("encoder", "patch"), [(SMALL, 16), (V3, None)])
def test_transformers_form_there_and_back(tmp_path, encoder, patch):
    """What is saved for transformers loads to the same bits, and says what it is."""
    ours = network(encoder, size=64, patch=patch)
    save_transformers(ours, tmp_path)
    again = loaded(tmp_path / "model.safetensors", encoder, patch=patch).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in ours.state_dict().items())
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["image_size"] == 64 and config["num_blocks"] == 3 and config["num_queries"] == 6
    assert config["id2label"] == {"0": "red", "1": "green", "2": "blue"}


def test_giant_network_has_transformers_names_and_shapes():
    """The gated perceptron of ViT-g, one packed layer in timm, is two layers there."""
    with torch.device("meta"):
        ours = EoMT(Settings(encoder=DINO_V2.format("giant"), size=64, query_blocks=5, queries=7), ["a", "b"])
        config = EomtConfig(
            **{"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "use_swiglu_ffn": True},
            **{"image_size": 64, "num_blocks": 5, "num_queries": 7, "num_labels": 2},
        )
        theirs = EomtForUniversalSegmentation(config).state_dict()
    shapes = {name: value.shape for name, value in transformers_state(ours).items()}
    assert shapes == {name: value.shape for name, value in theirs.items()}


def test_gates_there_and_back():
    """Packed layers hold the gate first; names of older releases, packed themselves, are read too."""
    packed = {"layers.0.mlp.fc1.weight": torch.arange(8.0).view(4, 2), "layers.0.mlp.fc2.bias": torch.ones(2)}
    apart = split_gates(packed)
    assert apart["layers.0.mlp.gate_proj.weight"].tolist() == [[0, 1], [2, 3]]
    assert apart["layers.0.mlp.up_proj.weight"].tolist() == [[4, 5], [6, 7]]
    old = {name.replace("fc1", "weights_in").replace("fc2", "weights_out"): value for name, value in packed.items()}
    for state in (apart, old):
        again = merged_gates(state)
        assert again.keys() == packed.keys() and all(torch.equal(again[name], packed[name]) for name in packed)


def v3_names(state):
    """A network on DINOv3 under the authors' names, spelt out rule by rule."""
    found = {}
    for name, value in state.items():
        name = name.replace("queries", "q.weight").removeprefix("head.")
        if name.startswith("encoder."):
            name = f"encoder.backbone.{name.removeprefix('encoder.')}"
        name = name.replace("backbone.cls_token", "backbone.patch_embed.cls_token")
        name = name.replace("backbone.reg_token", "backbone.patch_embed.register_tokens")
        name = name.replace("patch_embed.proj", "patch_embed.patch_embeddings").replace(
            ".attn.proj", ".attention.o_proj"
        )
        name = name.replace("gamma_", "layer_scale") + (".lambda1" if "gamma_" in name else "")
        name = name.replace(".mlp.fc1", ".mlp.up_proj").replace(".mlp.fc2", ".mlp.down_proj")
        if ".attn.qkv.weight" in name:
            stem = name.replace("attn.qkv.weight", "attention.")
            found |= {f"network.{stem}{p}_proj.weight": v for p, v in zip("qkv", value.chunk(3), strict=True)}
        elif name.endswith(("q_bias", "v_bias")):
            found["network." + name.replace("attn.", "attention.").replace("_bias", "_proj.bias")] = value
        else:
            found[f"network.{name}"] = value
    buffers = {"attn_mask_probs": (3,), "encoder.pixel_mean": (1, 3, 1, 1), "encoder.pixel_std": (1, 3, 1, 1)}
    return found | {f"network.{name}": torch.zeros(shape) for name, shape in buffers.items()}


def test_published_differences_are_added(tmp_path):
    """On DINOv3 the encoder's tensors are differences to its pre-trained ones, all others absolute."""
    trained = network(V3, patch=None, size=64)
    base = {name: torch.randn_like(value) for name, value in trained.encoder.state_dict().items()}
    save_file(base, tmp_path / "base.safetensors")
    state = dict(trained.state_dict())
    for name, value in base.items():
        state[f"encoder.{name}"] = state[f"encoder.{name}"] - value
    theirs = v3_names(state)
    assert len(theirs) == 12 * 17 + 2 + 4 + 19 + 3  # as 436 for the 24 blocks of a ViT-L
    torch.save(theirs, tmp_path / "delta.bin")
    found = loaded(tmp_path / "base.safetensors", V3, patch=None, delta=str(tmp_path / "delta.bin"))
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=1e-5)


def test_authors_form_on_dinov3_there_and_back(tmp_path):
    """Absolute weights on DINOv3 have the names that differences have, and load to the same bits."""
    ours = network(V3, patch=None, size=64)
    save_authors(ours, tmp_path / "out.bin")
    saved = torch.load(tmp_path / "out.bin", weights_only=True)
    assert saved.keys() - {"criterion.empty_weight"} == v3_names(ours.state_dict()).keys()
    again = loaded(tmp_path / "out.bin", V3, patch=None).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in ours.state_dict().items())


def test_differences_to_another_encoder_are_refused(tmp_path):
    """A difference needs its base: no `weights`, or those of an encoder without such tensors, end in one line."""
    torch.save(v3_names(network(V3, patch=None, size=64).state_dict()), tmp_path / "delta.bin")
    with pytest.raises(BadInput, match=r"eomt\.delta: .*`weights` must name"):
        loaded("unused", V3, patch=None, weights=None, delta=str(tmp_path / "delta.bin"))
    plain = network(V3.removesuffix("_qkvb"), patch=None, size=64)
    save_file(plain.encoder.state_dict(), tmp_path / "base.safetensors")
    with pytest.raises(BadInput, match=r"delta\.bin: 24 parameters do not fit, first encoder\.blocks\.0\.attn\.q_bias"):
        loaded(tmp_path / "base.safetensors", V3[:-5], patch=None, delta=str(tmp_path / "delta.bin"))


def test_own_run_loads(tmp_path):
    """A run's weights are a whole network, on the tiny encoder too."""
    ours = network()
    save_file(ours.state_dict(), tmp_path / "weights.safetensors")
    again = loaded(tmp_path / "weights.safetensors", "xdseg_vit_tiny_patch8", size=None)
    assert torch.equal(outputs(again.eval(), images(32, 32))[0], outputs(ours.eval(), images(32, 32))[0])


def test_positions_and_patches_are_resampled_on_load(tmp_path):
    """A file for images of 64 pixels and patches of 16 fills a network for 96 pixels and patches of 8, as timm does."""
    state, trunk = authors_file(), "network.encoder.backbone."
    torch.save(state, tmp_path / "small.bin")
    larger = loaded(tmp_path / "small.bin", size=96).encoder
    positions = resample_abs_pos_embed(state[f"{trunk}pos_embed"], [6, 6], num_prefix_tokens=0)
    assert torch.equal(larger.pos_embed, positions)
    finer = network(SMALL, size=64, patch=8).encoder
    encoder = {n.removeprefix(trunk): value for n, value in state.items() if n.startswith(trunk)}
    found = load.encoder_state(finer, encoder, origin="m")["patch_embed.proj.weight"]
    torch.testing.assert_close(found, resample_patch_embed(encoder["patch_embed.proj.weight"], [8, 8]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": 7}, "set queries to 6"),
        ({"query_blocks": 2}, "queries run through 3 blocks; set query_blocks to that"),
        ({"encoder": DINO_V2.format("base")}, r"not fit, first .* it is of an encoder of width 384"),
        ({"encoder": "vit_small_patch16_224"}, "its positions or patches are those of another encoder"),
        ({"size": (64, 96)}, None),
    ],
)
def test_files_that_do_not_fit(tmp_path, changes, message):
    """One line names the file, the first misfits and what to set; another size of images is none."""
    torch.save(authors_file(), tmp_path / "m.bin")
    if message is None:
        assert loaded(tmp_path / "m.bin", **changes).encoder.pos_embed.shape == (1, 24, 384)
        return
    with pytest.raises(BadInput, match=r"m\.bin: .*" + message):
        loaded(tmp_path / "m.bin", **changes)


def test_other_classes(tmp_path):
    """A file of other classes is refused with what to set; with a new class head the rest is taken."""
    torch.save(authors_file(classes=5), tmp_path / "m.bin")
    with pytest.raises(BadInput, match="it has 5 classes, not 3; set class_head to new"):
        loaded(tmp_path / "m.bin")
    made, drawn = loaded(tmp_path / "m.bin", class_head="new"), network(SMALL, size=64)
    assert torch.equal(made.head.class_head.weight, drawn.head.class_head.weight)
    assert not torch.equal(made.queries, drawn.queries)


def test_positions_of_no_square(tmp_path):
    """Positions whose grid cannot be told are refused; of the network's own number they are taken as they are."""
    torch.save(authors_file(positions=24), tmp_path / "m.bin")
    assert loaded(tmp_path / "m.bin", size=(64, 96)).encoder.pos_embed.shape == (1, 24, 384)
    with pytest.raises(BadInput, match="24 positions are no square grid; set size"):
        loaded(tmp_path / "m.bin")


@pytest.mark.parametrize("name", [SMALL, "deit3_small_patch16_224", "eva02_tiny_patch14_224", V3])
def test_encoder_from_timms_file(tmp_path, name):
    """Pre-training in timm's names fills the encoder, its classifier left out; queries and head stay as drawn."""
    patch = 16 if "14" in name else None
    options = {"dynamic_img_size": True} | ({"img_size": 64, "patch_size": 16} if patch else {"img_size": 64})
    donor = timm.create_model(name, num_classes=10, **options).state_dict()
    save_file(donor, tmp_path / "model.safetensors")
    made, drawn = loaded(tmp_path / "model.safetensors", name, patch=patch), network(name, patch=patch, size=64)
    for key, value in made.encoder.state_dict().items():
        assert torch.equal(value, donor[key if key in donor else key.replace("norm.", "fc_norm.")]), key
    assert torch.equal(made.queries, drawn.queries) and torch.equal(
        made.head.upscale[0].conv1.weight, drawn.head.upscale[0].conv1.weight
    )


def test_tiny_encoder_of_this_repository():
    """The committed ViT pre-trained on generated images fits as it is."""
    made = loaded("backbones/vit_tiny.safetensors", "xdseg_vit_tiny_patch8", size=None)
    held = load_file("backbones/vit_tiny.safetensors")
    assert all(torch.equal(value, held[name].float()) for name, value in made.encoder.state_dict().items())


def test_published_encoder_without_a_network(monkeypatch):
    """Offline, `timm` ends in one line that says what was wanted and where to put a file."""
    create = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no network")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        BadInput, match=r"cannot download timm/vit_small.*\(OSError\).*give that file's path as weights"
    ):
        loaded("timm")


def test_missing_file():
    """A path without a file is named."""
    with pytest.raises(BadInput, match=r"nowhere\.bin: no such file"):
        loaded("nowhere.bin")


def test_encoders_that_transformers_lacks(tmp_path):
    """Without a class token, or for images that are not square, there is no such network there."""
    with pytest.raises(BadInput, match="transformers has no EoMT on xdseg_vit_tiny_patch8"):
        save_transformers(network(), tmp_path)
    with pytest.raises(BadInput, match=r"positions for \[64, 96\]"):
        save_transformers(network(SMALL, size=(64, 96)), tmp_path)
