"""MFuser: published sizes and operations, who sees whom, its switches and controls, and what it refuses."""

import pytest
import tiny_jobs
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from xdseg.errors import BadInput
from xdseg.segmenters import mvfuser
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.foundation.streams import tapped
from xdseg.segmenters.foundation.text_queries import GRID, JOINT, TEXT
from xdseg.segmenters.ladder.deformable_attention import DeformableAttention
from xdseg.segmenters.mfuser.fusers import Projected, create_fuser
from xdseg.segmenters.mfuser.segmenter import MFuser
from xdseg.segmenters.mvfuser import MVFuser
from xdseg.segmenters.scan import backends
from xdseg.segmenters.vit import Tokens
from xdseg.settings.mfuser import Fuser
from xdseg.settings.mfuser import MFuser as Settings

NAME = "mfuser"
KINDS = ("mvfuser", "separate-mvfuser", "concat-attention", "separate-attention", "bi-deformable-attention")
CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)


def settings(**changes):
    """Small ones; those of a part are changed, not replaced."""
    small = tiny_jobs.SMALL[NAME]
    merged = {key: small[key] | value if isinstance(small.get(key), dict) else value for key, value in changes.items()}
    return Settings(**(small | merged))


def build(seed=0, **changes):
    """A small network in evaluation."""
    return build_segmenter(NAME, settings(**changes), tiny_jobs.CLASSES, seed=seed).eval()


def images(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def labels(*size, batch=2):
    return torch.randint(len(tiny_jobs.CLASSES), (batch, *size), generator=torch.Generator().manual_seed(1))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def trained(network):
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def pair(width=16, *, before=1, seed=0, batch=1):
    """Tokens of two encoders: `before` in front and a 2 x 3 grid each, in double precision."""
    draws = torch.randn(2, batch, before + 6, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return tuple(Tokens(part.requires_grad_(), (2, 3)) for part in draws)


def drawn(module):
    """Every parameter drawn, double precision, in evaluation."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


def unused(network):
    """Names of trained parameters whose gradient is 0."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    return [name for name, parameter in trained.items() if parameter.grad is None or not parameter.grad.any()]


def fuser(width=16, **changes):
    return drawn(create_fuser(Fuser(heads=4, states=4, **changes), vfm=width, vlm=width))


def test_published_sizes():
    """With DINOv2-L and EVA02-L: 24 adapters of 1,667,585; 115.5 million parameters are trained, 732 are frozen."""
    with torch.device("meta"):
        network = MFuser(Settings(), CITYSCAPES)
    assert [count(part) for part in network.fusers] == [1_667_585] * 24
    assert count(network.neck) == 50_341_888
    assert count(network.context_decoder) == 1_494_401 + 768
    assert count(network.decoder) == 23_613_908
    assert network.names.contexts.shape == (8, 768)
    assert trained(network) == 24 * 1_667_585 + 50_341_888 + 1_495_169 + 23_613_908 + 8 * 768 == 115_479_149
    assert count(network.vlm) == 428_083_137 and round(count(network.vfm) / 1e6) == 304
    assert network.taps == (7, 11, 15, 23) and network.patch == 14
    strides = [spec.stride for spec in network.describe().maps]
    assert strides == [3.5, 7, 14, 28] and {spec.channels for spec in network.describe().maps} == {2048}


def test_published_size_with_projections():
    """CLIP's variant has linear layers around each adapter, and one before the joint embedding: 51.4 million."""
    model, sizes = "ViT-L-14-336", {}
    for project in ("always", "auto"):
        with torch.device("meta"):
            changes = {"vlm": {"model": model}, "fuser": {"project": project}, "patch": 16}
            network = MFuser(Settings(**changes), CITYSCAPES)
        sizes[project] = trained(network)
    assert sizes["always"] - sizes["auto"] == 49 * (1024 * 1024 + 1024) == 51_430_400
    assert network.patch == 16 and network.vfm.patch_embed.proj.kernel_size == (16, 16)


def test_published_operations(monkeypatch):
    """One adapter on two images of 2594 tokens, two operations per product: 98.64, 71.08 and 17.20 billion."""
    monkeypatch.setattr(mvfuser, "selective_scan", lambda x, *_, **__: x)  # which the paper does not count
    found, sizes = {}, {}
    for kind in ("concat-attention", "separate-attention", "mvfuser"):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            module = create_fuser(Fuser(kind=kind), vfm=1024, vlm=1024)
            module(*(Tokens(torch.empty(2, 1297, 1024), (36, 36)) for _ in range(2)))
        found[kind], sizes[kind] = round(counter.get_total_flops() / 1e9, 2), round(count(module) / 1e6, 2)
    assert found == {"concat-attention": 98.64, "separate-attention": 71.08, "mvfuser": 17.20}
    assert sizes == {"concat-attention": 4.20, "separate-attention": 8.40, "mvfuser": 1.67}


def places(gradient):
    """Numbers of the tokens that have one."""
    return set() if gradient is None else set((gradient[0].abs().amax(1) > 0).nonzero().flatten().tolist())


def seen(module, **options):
    """Of both encoders' tokens in turn: which of (vision, language) tokens each sees, as sets of numbers."""
    tokens = pair(**options)
    made, found = module(*tokens), []
    for part in made:
        for place in range(part.shape[1]):
            gradients = torch.autograd.grad(
                part[0, place].sum(), [t.x for t in tokens], retain_graph=True, allow_unused=True
            )
            rows = [
                set() if g is None else set((g[0].abs().amax(1) > 0).nonzero().flatten().tolist()) for g in gradients
            ]
            found.append(tuple(rows))
    return found[:7], found[7:]


ALL = set(range(7))


def test_vision_tokens_see_no_language():
    """Vision first: but for its last token, one ahead, it sees none of the other; language sees all vision."""
    vision, language = seen(fuser())
    assert [other for _, other in vision] == [set()] * 6 + [{0}]
    assert [own for own, _ in vision] == [set(range(min(n + 2, 7))) for n in range(7)]
    assert [other for other, _ in language] == [ALL] * 7
    assert [own for _, own in language] == [set(range(min(n + 2, 7))) for n in range(7)]


def test_order_turns_who_sees_whom():
    """Language first: vision sees all of it, and it sees the first vision token with its last."""
    vision, language = seen(fuser(order="vlm-first"))
    assert [other for _, other in vision] == [ALL] * 7
    assert [other for other, _ in language] == [set()] * 6 + [{0}]


def test_scan_both_ways_sees_everything():
    """Each token of either sees all; the same parameters as one way."""
    vision, language = seen(fuser(scan="both"))
    assert all(row == (ALL, ALL) for row in (*vision, *language))
    assert count(fuser(scan="both")) == count(fuser())


def test_scan_both_ways_is_the_mean():
    """Of the scan, and of the scan of the sequence turned round, turned back."""
    module = fuser(scan="both").mixer
    x = torch.randn(1, 8, 9, dtype=torch.float64)
    expected = (module.scan(x) + module.scan(x.flip(2)).flip(2)) / 2
    torch.testing.assert_close(module.mixed(x), expected)
    assert not torch.allclose(module.mixed(x), module.scan(x))


def test_convolutions_alone_see_neighbours():
    """Without the scan a token sees itself and one to each side, across the border of the sequences; nothing unused."""
    module = fuser(scan="none")
    vision, language = seen(module)
    assert [own for own, _ in vision] == [set(range(max(n - 1, 0), min(n + 2, 7))) for n in range(7)]
    assert vision[6][1] == {0} and language[0] == ({6}, {0, 1})
    assert {name for name, _ in module.mixer.named_parameters()} == {
        *("scale", "in_proj.weight", "conv1d_x.weight", "conv1d_z.weight", "norm.weight", "out_proj.weight"),
    }


def test_separate_ones_pass_nothing():
    """Each encoder has a fuser of its own, which sees that encoder alone."""
    for kind in ("separate-mvfuser", "separate-attention"):
        vision, language = seen(fuser(kind=kind))
        assert all(not other for _, other in vision) and all(not other for other, _ in language), kind
        assert vision[6][0] == ALL


def test_attention_over_both_sees_everything():
    """As one sequence, in whichever order it is."""
    for order in ("vfm-first", "vlm-first"):
        vision, language = seen(fuser(kind="concat-attention", order=order))
        assert all(row == (ALL, ALL) for row in (*vision, *language))


def test_deformable_attention_looks_at_the_other_map():
    """A patch asks with itself and sees patches of the other map; tokens in front take and give nothing."""
    module = fuser(kind="bi-deformable-attention")
    for attention in (module.to_vfm, module.to_vlm):
        nn.init.normal_(attention.offsets.weight, std=0.01)  # so that nobody looks beyond the border
        nn.init.zeros_(attention.offsets.bias)
    vision, language = seen(module)
    assert vision[0] == language[0] == (set(), set())
    for number in range(1, 7):
        own, other = vision[number]
        assert own == {number} and other and 0 not in other
        other, own = language[number]
        assert own == {number} and other and 0 not in other


def test_projections_stand_around_the_fuser():
    """Tokens of the vision model go to the other's width and back; what is added to the other is as it is."""
    module = drawn(create_fuser(Fuser(states=4), vfm=10, vlm=16))
    vision, language = Tokens(torch.randn(1, 7, 10).double(), (2, 3)), pair()[1]
    to_vision, to_language = module(vision, language)
    made = module.fuser.mixer(torch.cat([module.there(vision.x), language.x], dim=1))
    torch.testing.assert_close(to_vision, module.back(made[:, :7]))
    torch.testing.assert_close(to_language, made[:, 7:])
    for project, kind in (("always", True), ("auto", False), ("never", False)):
        assert isinstance(create_fuser(Fuser(project=project), vfm=16, vlm=16), Projected) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_training_begins_at_the_frozen_encoders(kind):
    """At first little is added, times a learnt scale of 0.001."""
    torch.manual_seed(0)
    module = create_fuser(Fuser(kind=kind, heads=4), vfm=64, vlm=64).double()
    for part in module(*pair(64)):
        assert part.square().mean().sqrt() < 5e-3
    scales = [parameter.item() for name, parameter in module.named_parameters() if name.endswith("scale")]
    assert scales and scales == pytest.approx([1e-3] * len(scales))


def test_streams_equal_the_encoders_where_nothing_is_added():
    """With fusers of scale 0, and without any, each encoder's tokens are its own."""
    network, none = build(), build(fuser={"kind": "none"})
    for module in network.fusers.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name == "scale":
                nn.init.zeros_(parameter)
    nn.init.zeros_(network.projection.weight)
    nn.init.zeros_(network.projection.bias)
    for part in network.fusers:
        nn.init.zeros_(part.back.bias)
    none.vfm.load_state_dict(network.vfm.state_dict())
    none.vlm.load_state_dict(network.vlm.state_dict())
    none.projection.load_state_dict(network.projection.state_dict())
    assert not list(none.fusers.parameters())
    given = images(32, 32)
    joints = [each.encode(given).context[JOINT] for each in (network, none)]
    torch.testing.assert_close(*joints)
    none.vlm.settings = none.vlm.settings.model_copy(update={"class_token_twice": False})
    theirs = none.vlm.visual(none.vlm.normalised(given))
    torch.testing.assert_close(none.encode(given).context[JOINT][:, 0], theirs, rtol=1e-4, atol=1e-5)


def test_neck_reads_patches_of_both_after_the_fuser():
    """Vision before language in the channels, at the blocks that are tapped."""
    network, found = build(taps=[0, 2, 4, 7]), []
    network.neck.register_forward_pre_hook(lambda _, inputs: found.extend(inputs[0]))
    ends = {}
    for number in (0, 2, 4, 7):
        network.fusers[number].register_forward_hook(
            lambda _, inputs, outputs, n=number: ends.update(
                {n: [t.x + x for t, x in zip(inputs, outputs, strict=True)]}
            )
        )
    network.encode(images(32, 48))
    for x, (vision, language) in zip(found, ends.values(), strict=True):
        expected = torch.cat([vision, language[:, 1:]], dim=2).transpose(1, 2).unflatten(2, (4, 6))
        torch.testing.assert_close(x, expected)


def test_taps():
    """A third, half, two thirds and all of the blocks; or those that are named, which must be there."""
    assert [tapped(n, None) for n in (24, 12, 8)] == [(7, 11, 15, 23), (3, 5, 7, 11), (2, 3, 4, 7)]
    with pytest.raises(BadInput, match=r"mfuser\.taps: \[0, 1, 2, 8\], of encoders of 8 blocks"):
        tapped(8, (0, 1, 2, 8))


def test_pixel_text_logits_by_hand():
    """Cosines of each patch and each class name, over the temperature; or by the model's scale and bias."""
    network = build()
    joint = torch.tensor([[9.0, 9.0], [3.0, 4.0], [0.0, 2.0]])[None]  # global, and two patches
    text = torch.tensor([[1.0, 0.0], [0.0, 5.0]])[None]
    found = network.alike(joint, text, (1, 2))
    torch.testing.assert_close(found, torch.tensor([[[0.6, 0.0]], [[0.8, 1.0]]])[None] / 0.07)
    bias = {"model": tiny_jobs.TINY_CLIP | {"init_logit_scale": 0.5, "init_logit_bias": -3.0}}
    own = build(vlm=bias, pixel_text={"temperature": None})
    torch.testing.assert_close(own.alike(joint, text, (1, 2)), found * 0.07 * torch.tensor(0.5).exp() - 3)


def test_losses():
    """Class, mask and dice of fixed matching, and the pixel-text term, with its weight; each has a gradient."""
    network, truth = build().train(), labels(32, 32)
    terms = network.decode(network.encode(images(32, 32))).loss(truth)
    assert set(terms) == {"class", "mask", "dice", "pixel_text"}
    sum(terms.values()).backward()
    unused = [
        name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert unused == []
    off = build(pixel_text={"weight": 0})
    assert set(off.decode(off.encode(images(32, 32))).loss(truth)) == {"class", "mask", "dice"}


def test_pixel_text_term_equals_the_plain_one():
    """Cross entropy of logits resized to the labels, over all pixels, ignored ones too."""
    network, truth = build(), labels(32, 32)
    truth[:, :8] = 255
    features = network.encode(images(32, 32))
    joint, text = features.context[JOINT], features.context[TEXT].expand(2, -1, -1)
    text = network.context_decoder(text, joint)
    logits = network.alike(joint, text, features.context[GRID])
    resized = F.interpolate(logits, (32, 32), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(resized, truth, ignore_index=255, reduction="sum") / truth.numel()
    torch.testing.assert_close(network.decode(features).loss(truth)["pixel_text"], expected)


def test_encoders_are_frozen_and_kept():
    """They take no gradient and are in no group, but stay in the state."""
    network = build().train()
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in network.named_parameters() if name.startswith(("vfm.", "vlm."))}
    assert frozen <= set(network.state_dict())
    sum(network.decode(network.encode(images(32, 32))).loss(labels(32, 32)).values()).backward()
    assert all(network.get_parameter(name).grad is None for name in frozen)
    assert network.fusers[0].fuser.mixer.in_proj.weight.grad.abs().sum() > 0


def test_remainder_is_cut_or_padded():
    """`cut`: what whole patches show, stretched over the image; `pad`: multiples alone, and zeros at test time."""
    given = images(35, 53)
    cut = build(remainder="cut")
    kept = cut.decode(cut.encode(given[..., :32, :48]))
    assert torch.equal(cut.predict(given), kept.scores((35, 53)))
    assert torch.equal(cut.decode(cut.encode(given)).scores((32, 48)), kept.scores((32, 48)))
    with pytest.raises(BadInput, match=r"mfuser: images of 35x53 pixels; take a crop whose sides 16 divides"):
        build().encode(given)
    with pytest.raises(BadInput, match=r"mfuser: images of 8x32 pixels; take sides of 16 at least"):
        cut.encode(images(8, 32))


@pytest.mark.parametrize("switch", ["double_dt_bias", "double_silu"])
def test_co_adapters_and_enhancer_have_their_own_switches(switch):
    """`fuser.…` is of the co-adapters only, `text.…` of the enhancer's only; what runs their scans is one choice."""

    def found(**changes):
        network = build(**changes)
        fusers = [module for module in network.modules() if isinstance(module, MVFuser)]
        own = network.context_decoder.layers[0].fuser
        others = {getattr(one, switch) for one in fusers if one is not own}
        return others, getattr(own, switch), {one.backend for one in fusers}

    assert found() == ({True}, True, {"auto"})
    assert found(fuser={switch: False, "backend": "chunked"}) == ({False}, True, {"chunked"})
    assert found(text={switch: False}) == ({True}, False, {"auto"})


@pytest.mark.parametrize(
    "changes",
    [
        *({"fuser": {"kind": kind, "heads": 4}} for kind in (*KINDS[1:], "none")),
        *({"fuser": {"scan": scan}} for scan in ("both", "none")),
        {"fuser": {"order": "vlm-first", "double_dt_bias": False, "double_silu": False}},
        {"text": {"double_dt_bias": False, "double_silu": False}},
        *({"streams": streams} for streams in ("vfm", "vlm")),
        *({"streams": "vfm", "fuser": {"kind": kind, "heads": 4}} for kind in ("concat-attention", "none")),
        *({"text": {"enhancer": kind}} for kind in ("none", "mamba", "self-attention")),
        {"text": {"enhancer": "cross-attention", "layers": 3}},
        {"decoder": {"text_attention": False}},
        {"neck": {"scaling": "bilinear"}},
    ],
    ids=str,
)
def test_controls_learn(changes):
    """Each control trains: all its parameters get a gradient."""
    network = build(**changes).train()
    for module in network.modules():
        if isinstance(module, DeformableAttention):  # whose offsets do not read the queries at first
            nn.init.normal_(module.offsets.weight, std=0.01)
    sum(network.decode(network.encode(images(32, 32))).loss(labels(32, 32)).values()).backward()
    unused = [
        name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert unused == []


def test_text_queries_are_matched_to_their_class():
    """Queries learnt without names are another segmenter's."""
    with pytest.raises(ValidationError, match=r"decoder\.kind: MFuser's queries are class names; set text"):
        settings(decoder={"kind": "learnt"})


def test_pairs_of_one_depth():
    """Encoders with other numbers of blocks are refused."""
    with pytest.raises(BadInput, match=r"mfuser\.vfm\.encoder: 12 blocks, but 8 of vlm\.model"):
        build(vfm={"encoder": "vit_tiny_patch16_224"})
    with pytest.raises(BadInput, match=r"mfuser\.vfm\.encoder: timm has no 'vit_tiny_patch16_225'; did you mean"):
        build(vfm={"encoder": "vit_tiny_patch16_225"})


def test_kernel_that_fails_half_way_is_told(monkeypatch):
    """Asked for by name, mamba-ssm that cannot be imported ends in one line with its reason; else other code runs."""
    backends.kernel.cache_clear()
    backends.resolve.cache_clear()
    monkeypatch.setattr(backends, "kernel", lambda: (None, "importing it failed: ImportError: selective_scan_cuda"))
    network = build(fuser={"backend": "mamba-ssm"})
    with pytest.raises(BadInput, match=r"backend 'mamba-ssm' cannot run: "):
        network.encode(images(32, 32))
    backends.resolve.cache_clear()
    assert build().encode(images(32, 32)).maps


def test_steer_reaches_the_vision_model():
    """Each block of it asks at its site; a bias there changes what the neck makes."""
    network, asked = build(), []

    def steer(site, features, keys):
        asked.append((site, keys))
        return torch.linspace(0, 9, keys[0] * keys[1]) if site == "vfm.blocks.3" else None

    plain, steered = network.encode(images(32, 32)), network.encode(images(32, 32), steer=steer)
    assert asked == [(f"vfm.blocks.{n}", (4, 4)) for n in range(8)]
    assert not torch.equal(plain.maps["neck3"], steered.maps["neck3"])
    names = {site.name for site in network.describe().sites}
    assert {f"vfm.blocks.{n}" for n in range(8)} | {f"decoder.{n}" for n in range(3)} == names
