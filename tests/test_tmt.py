"""TMT: attention that is led, gradients that stop where they should, both settings, and what is saved."""

import json
from dataclasses import replace

import pytest
import tiny_jobs
import torch
from safetensors.torch import load_file
from timm.models.eva import Eva
from tiny_runs import fit
from torch.nn import functional as F

from xdseg.adaptations.mfm.masks import shares_of
from xdseg.adaptations.tmt.attention import Attention, at_grid, highest
from xdseg.adaptations.tmt.prototypes import SOURCE, TARGET, Prototypes
from xdseg.adaptations.tmt.tmt import Tmt, deviation
from xdseg.data.loading import StepBatches
from xdseg.errors import BadInput
from xdseg.registry import ADAPTATIONS
from xdseg.segmenters import vit
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.contract import Site, seen_at
from xdseg.segmenters.ladder.attention import Attention as LadderAttention
from xdseg.segmenters.mit import attention
from xdseg.segmenters.steered import Steered
from xdseg.segmenters.steering import Steering, together
from xdseg.segmenters.vit_steering import Guided
from xdseg.settings.tmt import Tma
from xdseg.settings.tmt import Tmt as Settings
from xdseg.training.checkpoint import load_segmenter
from xdseg.training.loop import Run

ATTENTIVE = ("daformer", "eomt", "vit-mask2former", "foundation", "mfuser", "tqdm")
SMALL = {"acte": {"width": 32, "hidden": 32}}


def network(name, seed=0):
    return build_segmenter(name, tiny_jobs.segmenter_settings(name), tiny_jobs.CLASSES, seed=seed)


def images(count=2, side=64, seed=0):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def values(**changes):
    return {**changes, "acte": SMALL["acte"] | changes.get("acte", {})}


def part_for(host, **changes):
    """The adaptation for a network."""
    torch.manual_seed(1)
    return Tmt(Settings(**values(**changes)), host.describe())


def run_of(
    tmp_path, *, segmenter="toy", target="images", extra=(), steps=10, supervision="granted", crop=32, **changes
):
    """A run of TMT that has not begun."""
    terms = [*extra, ("tmt", values(**changes))]
    options = {"segmenter": segmenter, "target": target, "steps": steps, "supervision": supervision}
    job = tiny_jobs.make_job(tmp_path, adaptations=terms, **options)
    job = replace(job, augmentation=job.augmentation.model_copy(update={"crop": crop}))
    return Run(job, tmp_path / "run", tiny_jobs.CPU)


@pytest.mark.parametrize("name", ATTENTIVE)
def test_gamma_of_zero_is_the_host(name):
    """At test time bit for bit, with gradients to 1e-5 of the scores in fp32; another gamma is another network."""
    host = network(name).eval()
    part = part_for(
        host, tma={"site": "encoder" if name == "daformer" else "both", "blocks": 3 if name == "eomt" else 2}
    )
    steer = part.steer(None)
    with torch.no_grad():
        plain = host.predict(images())
        assert torch.equal(host.predict(images(), steer=steer), plain)
    zero = host.predict(images(), steer=steer)
    torch.testing.assert_close(zero, plain, rtol=1e-5, atol=1e-5 * float(plain.abs().max()))
    zero.square().sum().backward()
    assert all(gamma.grad is not None and gamma.grad.any() for gamma in part.guide.attention.gammas.values())
    for gamma in part.guide.attention.gammas.values():
        torch.nn.init.constant_(gamma, 1.5)
    with torch.no_grad():
        assert not torch.equal(host.predict(images(), steer=steer), plain)


@pytest.mark.parametrize("kind", ["bias", "mult-raw", "query-gate"])
@pytest.mark.parametrize("name", ["daformer", "eomt"])
def test_gamma_of_zero_trains_as_the_host(name, kind):
    """In fp32, with what training draws: scores and gradients to 1e-5 of their largest."""

    def trained(steered):
        host = network(name).train()
        part = part_for(host, tma={"site": "encoder", "kind": kind, "blocks": 2})
        torch.manual_seed(3)
        scores = host.predict(images(), steer=part.steer(None) if steered else None)
        scores.square().mean().backward()
        return {"scores": scores.detach()} | {key: p.grad for key, p in host.named_parameters() if p.grad is not None}

    plain, led = trained(False), trained(True)
    assert plain.keys() == led.keys() and len(plain) > 20
    for key, value in plain.items():
        torch.testing.assert_close(led[key], value, rtol=0, atol=1e-5 * float(value.abs().max()) + 1e-9, msg=key)


@pytest.mark.parametrize("name", ATTENTIVE)
def test_equal_arguments_equal_bias(name):
    """What was passed before changes no bit of a later pass with the same steer."""
    host = network(name).eval()
    part = part_for(host, tma={"site": "encoder" if name == "daformer" else "both"})
    for gamma in part.guide.attention.gammas.values():
        torch.nn.init.normal_(gamma)
    with torch.no_grad():
        alone = host.predict(images(seed=1), steer=part.steer(None))
        steer = part.steer(None)
        host.predict(images(seed=2), steer=steer)
        assert torch.equal(host.predict(images(seed=1), steer=steer), alone)


def test_sites_read_what_they_say():
    """Every described site sees its map, of the channels and stride that are described."""
    for name in ATTENTIVE:
        host, found = network(name).eval(), {}
        sites = {site.name: site for site in host.describe().sites}

        def spy(site, features, keys, sites=sites, found=found):
            if sites[site].reads is not None:
                found[site] = seen_at(sites[site], features).shape

        with torch.no_grad():
            host.decode(host.encode(images(side=64), steer=spy), steer=spy)
        wanted = {
            site.name: (2, site.reads.channels, *2 * [64 // site.reads.stride]) for site in sites.values() if site.reads
        }
        assert {key: tuple(shape) for key, shape in found.items()} == wanted, name


def test_renormalised_multiplication_is_the_bias():
    """softmax(x) m / sum equals softmax(x + log m); without the division it is another thing, that of `mult-raw`."""
    layers = network("daformer").eval().encoder.block4[0].attn
    tokens, need = torch.randn(1, 4, 256), torch.tensor([[1.0, -2, 0.5, 0]])
    gamma = torch.linspace(-1, 1, layers.num_heads)
    raised = gamma.view(1, -1, 1, 1) * need[:, None, None]
    q = layers.q(tokens).unflatten(2, (8, 32)).transpose(1, 2)
    k, v = layers.kv(tokens).unflatten(2, (2, 8, 32)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) * layers.scale).softmax(-1)
    raw = weights * raised.exp()

    def output(attended):
        return layers.proj((attended @ v).transpose(1, 2).flatten(2))

    with torch.no_grad():
        site = Site("block4.0", 8)
        for kind, wanted in (("bias", raw / raw.sum(-1, keepdim=True)), ("mult-raw", raw)):
            led = Attention(Tma(kind=kind, limit=None), [site])
            led.gammas["block4-0"].copy_(gamma)
            given = led(site, need.view(1, 2, 2), (2, 2), (2, 2), 1.0)
            torch.testing.assert_close(attention(layers, tokens, (2, 2), given), output(wanted), rtol=1e-4, atol=1e-5)
        gate = Attention(Tma(kind="query-gate", limit=None), [site])
        gate.gammas["block4-0"].fill_(0.5)
        given = gate(site, need.view(1, 2, 2), (2, 2), (2, 2), 1.0)
        wanted = output(weights) * torch.tensor([1.5, 0, 1.25, 1]).view(1, 4, 1)
        torch.testing.assert_close(attention(layers, tokens, (2, 2), given), wanted, rtol=1e-4, atol=1e-5)


def test_a_gamma_nears_its_limit_and_can_come_back():
    """2 tanh(gamma / 2), whose gradient is never 0; what is measured is what acts."""
    part = Attention(Tma(), [Site("block4.0", 3)])
    part.gammas["block4-0"].data.copy_(torch.tensor([2.0, -6.0, 0.0]))
    acting = part.gamma(Site("block4.0", 3))
    torch.testing.assert_close(acting, torch.tensor([1.523188, -1.990110, 0.0]))
    acting.sum().backward()
    torch.testing.assert_close(
        part.gammas["block4-0"].grad, torch.tensor([0.419974, 0.009866, 1.0]), atol=1e-6, rtol=1e-4
    )
    assert part.largest() == {"gamma": pytest.approx(1.990110, abs=1e-6)}
    assert Attention(Tma(kind="hard"), [Site("block4.0", 3)]).largest() == {}


def encoder_of(name):
    """Of timm, or one whose values have a layer of their own, as in the larger EVA-02."""
    if name != "own values":
        return vit.create(name, patch=None, size=None, drop_path=0, segmenter="eomt").eval()
    shape = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "dynamic_img_size": True}
    return Eva(**shape, qkv_fused=False, use_rot_pos_emb=True, num_classes=0, global_pool="").eval()


def test_values_without_a_layer():
    """An encoder whose values cannot be reached is refused, not left alone."""
    block = encoder_of("eva02_tiny_patch14_224").blocks[0]
    tokens = vit.Tokens(torch.randn(1, 4, 192), (2, 2))
    with pytest.raises(BadInput, match=r"values cannot be scaled; take tma\.kind bias"):
        vit.run(block, tokens, Guided(values=torch.ones(1, 1, 4, 1)))


@pytest.mark.parametrize("encoder", ["xdseg_vit_tiny_patch8", "vit_small_patch16_dinov3", "own values"])
def test_factors_in_a_vit(encoder):
    """Values times a factor and rows times a gate, against the same block with its layers changed by hand."""
    made = encoder_of(encoder)
    block, side = made.blocks[0], 2 * vit.patch_side(made)
    tokens = vit.embed(made, torch.randn(1, 3, side, side))
    length, heads = tokens.x.shape[1], block.attn.num_heads
    factor, gate = torch.rand(1, heads, length, 1) + 0.5, torch.rand(1, length, 1)
    calls = []
    inner = F.scaled_dot_product_attention

    def by_hand(q, k, v, **options):
        calls.append(v)
        return inner(q, k, v * factor, **options)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        found = vit.run(block, tokens, Guided(values=factor)).x
        patch.setattr(F, "scaled_dot_product_attention", by_hand)
        wanted = vit.run(block, tokens).x
    assert calls
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        seen = []
        hook = block.attn.register_forward_hook(lambda module, inputs, x: seen.append(x))
        vit.run(block, tokens)
        hook.remove()
        hook = block.attn.register_forward_hook(lambda module, inputs, x: seen[0] * gate)
        wanted = vit.run(block, tokens).x
        hook.remove()
        found = vit.run(block, tokens, Guided(gate=gate)).x
    assert torch.equal(found, wanted) and not block.attn._forward_hooks


def test_factor_in_the_decoders_attention():
    """A factor on values equals one on the attention's weights."""
    layer = LadderAttention(8, heads=2)
    x, memory, factor = torch.randn(1, 3, 8), torch.randn(1, 5, 8), torch.rand(1, 2, 5, 1)
    q, k, v = layer._split(layer.query(x)), layer._split(layer.key(memory)), layer._split(layer.value(memory))
    weights = (q @ k.transpose(-1, -2) / 2).softmax(-1) * factor.transpose(-1, -2)
    wanted = layer.output((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, memory, memory, factor=factor), wanted)


def test_hard_attention_by_hand():
    """Half the heads see the two neediest of ten keys alone, or all where all are alike; the other heads see all."""
    need = torch.arange(10.0).view(1, 2, 5)
    site = Site("blocks.1", 4)
    led = Attention(Tma(kind="hard"), [site])
    bias = led(site, need, (2, 5), (2, 5), 1.0)
    assert bias.shape == (1, 4, 1, 10)
    assert bias.isinf().sum(-1).flatten().tolist() == [8, 8, 0, 0]
    assert (bias[0, 0, 0] == 0).nonzero().flatten().tolist() == [8, 9]
    assert not led(site, torch.ones(1, 2, 5), (2, 5), (2, 5), 1.0).any()
    opened = led(Site("decoder.1", 4, "cross"), need, (2, 5), (2, 5), 1.0).opened
    assert opened.sum(-1).flatten().tolist() == [2, 2, 0, 0]
    assert led.rests(site, 0.49) and not led.rests(site, 0.5)


def test_masks_open_before_they_fall_back():
    """A query with an empty mask sees the needed keys where there are any, and everything where there are none."""
    from xdseg.segmenters.ladder.transformer_decoder import Level, seen

    level = Level((1, 3), torch.zeros(1, 3, 1), torch.zeros(1, 3, 1), torch.tensor([[[1.0, -1, -1]]]))
    embedded = torch.tensor([[[1.0], [-1.0], [0.0]]])
    embedded[0, 2] = torch.nan  # compares as false: an empty mask
    opened = torch.tensor([[False, False, True], [False, False, False]]).view(1, 2, 1, 3)
    found = seen(embedded, level, opened)
    assert found[0, 0].tolist() == [[True, False, True], [False, True, True], [False, False, True]]
    assert found[0, 1].tolist() == [[True, False, False], [False, True, True], [True, True, True]]
    assert torch.equal(seen(embedded, level), found[:, 1:])


def test_need_on_another_grid():
    """Means over areas; a finer grid repeats."""
    need = torch.arange(8.0).view(1, 2, 4)
    assert at_grid(need, (1, 2)).tolist() == [[2.5, 4.5]]
    assert at_grid(need, (2, 8))[0, :4].tolist() == [0, 0, 1, 1]
    assert highest(torch.tensor([[3.0, 1, 2, 3]]), 0.25).tolist() == [[True, False, False, True]]


def test_steers_join():
    """Biases add up, factors multiply, what either opens is open; a plain bias joins with more."""
    both = together(torch.ones(2), Steering(torch.ones(2), values=torch.full((2,), 3.0)))
    assert both.bias.tolist() == [2, 2] and both.values.tolist() == [3, 3] and both.gate is None
    opened = together(Steering(opened=torch.tensor([True, False])), Steering(opened=torch.tensor([False, False])))
    assert opened.opened.tolist() == [True, False]


def part_of(name):
    """`readers.stage3.head.weight` to `readers.head`."""
    first, *others = name.split(".")
    return f"{first}.{others[1]}" if first == "readers" else first


def gradients(module):
    """Names of what a backward pass reached."""
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("detach", [True, False])
def test_gradients_stop_where_they_should(tmp_path, detach):
    """Segmentation reaches gammas alone, or with detach off ACTE too; the head's loss reaches nothing of the network;

    the region term reaches discriminator and projection, and of the network what comes before the map.
    """
    run = run_of(tmp_path, segmenter="daformer", crop=64, tma={"detach": detach})
    module, part = run.module, run.module.adaptations["tmt"]
    for gamma in part.guide.attention.gammas.values():
        torch.nn.init.constant_(gamma, 0.7)
    batches = StepBatches(run.job)
    found = {}
    for term in ("source/cross_entropy", "tmt/head", "tmt/region"):
        module.zero_grad()
        module(batches[5])[term].backward()
        found[term] = gradients(module.segmenter), {part_of(name) for name in gradients(part.guide)}
        module.after_step()
    network_of, guide_of = found["source/cross_entropy"]
    assert any(name.startswith("head.") for name in network_of) and "attention" in guide_of
    assert ("readers.discriminator" in guide_of) == (not detach) and ("readers.projection" in guide_of) == (not detach)
    assert found["tmt/head"] == (set(), {"readers.projection", "readers.norm", "readers.head"})
    network_of, guide_of = found["tmt/region"]
    assert guide_of == {"readers.projection", "readers.norm", "readers.discriminator"}
    assert any("block3" in name for name in network_of)
    assert not any("block4" in name or name.startswith("head.") for name in network_of)


def test_the_networks_gradient_is_turned_round(tmp_path):
    """The projection's is -g times what a plain discriminator would send it, the discriminator's own is plain."""
    run = run_of(tmp_path, acte={"dropout": 0})
    reader = next(iter(run.module.adaptations["tmt"].guide.readers.values()))
    feature, ends = torch.randn(2, 16, 8, 8), []
    for reversal in (-1.0, 0.25):  # -1: no reversal
        reader.zero_grad()
        reader.domain_loss(reader.read(feature).regions, 1.0, reversal=reversal, draws=torch.Generator()).backward()
        ends.append((reader.projection.weight.grad.clone(), reader.discriminator.answer.weight.grad.clone()))
    torch.testing.assert_close(ends[1][0], -0.25 * ends[0][0])
    torch.testing.assert_close(ends[1][1], ends[0][1])


def test_domain_loss_by_hand(tmp_path):
    """Cross entropy of each region, weighted by mass: of 3 x 2 pixels in cells of 2 the second row weighs half."""
    run = run_of(tmp_path, acte={"dropout": 0, "iterations": 0, "cell_px": 8})
    reader = next(iter(run.module.adaptations["tmt"].guide.readers.values()))
    assert reader.cell == 2
    read = reader.read(torch.randn(1, 16, 3, 2))
    logits = reader.discriminator(read.regions.features)
    a, b = F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none").flatten()
    found = reader.domain_loss(read.regions, 0.0, reversal=1.0, draws=torch.Generator())
    torch.testing.assert_close(found, (4 * a + 2 * b) / 6)


def test_prototypes_by_hand():
    """First the mean itself, then a step towards the next one; likeness to the nearest class of the other domain."""
    made = Prototypes(2, 2, rate=0.75)
    features = torch.tensor([1.0, 0]).view(1, 2, 1, 1)
    assert made.likeness(features, domain=TARGET).item() == 1  # nothing is known
    x = torch.tensor([[2.0, 0], [4, 0], [0, 5]]).T.reshape(1, 2, 1, 3)
    made.follow(x, torch.tensor([[[0, 0, 255]]]), domain=TARGET)
    assert made.means[TARGET, 0].tolist() == [3, 0] and made.known.tolist() == [[False, False], [True, False]]
    made.follow(x, torch.tensor([[[1, 1, 0]]]), domain=TARGET)
    torch.testing.assert_close(made.means[TARGET, 0], torch.tensor([2.25, 1.25]))
    made.means[TARGET] = torch.tensor([[0.0, 1], [-1, 0]])
    assert made.likeness(features, domain=TARGET).item() == pytest.approx(0.5)
    assert made.likeness(features, domain=SOURCE).item() == 1


@pytest.mark.parametrize("supervision", ["granted", "target"])
@pytest.mark.parametrize("target", ["images", "labels"])
def test_both_settings(tmp_path, target, supervision):
    """With and without the target's labels; the source passes no further than it must where it is not supervised."""
    if (target, supervision) == ("images", "target"):
        pytest.skip("no such setting")
    run = run_of(tmp_path, segmenter="daformer", target=target, supervision=supervision)
    decoded = []
    decode = run.module.segmenter.decode
    run.module.segmenter.decode = lambda features, **options: decoded.append(1) or decode(features, **options)
    terms = run.module(StepBatches(run.job)[0])
    wanted = {"tmt/region", "tmt/head"} | ({"source/cross_entropy"} if supervision == "granted" else set())
    assert set(terms) == wanted | ({"target/cross_entropy"} if target == "labels" else set())
    assert len(decoded) == (2 if (target, supervision) == ("labels", "granted") else 1)


@pytest.mark.parametrize(
    ("segmenter", "extra", "changes"),
    [
        ("daformer", (), {"acte": {"transferability": "proto"}, "weight": 0, "entropy_weight": 0.1}),
        ("daformer", [("dacs", {})], {"acte": {"uncertainty": "teacher", "gradient": "full"}}),
        ("vit-mask2former", (), {"acte": {"uncertainty": "previous"}, "tma": {"site": "decoder", "kind": "mult-raw"}}),
        ("eomt", (), {"acte": {"uncertainty": "previous", "combine": "noisy-or"}, "tma": {"site": "decoder"}}),
        (
            "eomt",
            (),
            {"acte": {"shuffle": "roll"}, "tma": {"site": "both", "kind": "hard", "blocks": 3, "start": "delay"}},
        ),
        ("eomt", (), {"acte": {"iterations": 0, "prefer": "high"}, "tma": {"kind": "query-gate"}}),
        ("foundation", (), {"tma": {"site": "both", "kind": "hard"}}),
        ("hrda", (), {"acte": {"norm": "minmax"}}),
    ],
)
def test_switches_train_and_predict(tmp_path, segmenter, extra, changes):
    """Each goes through two late steps, where the lead is strong, and predicts what its saved run predicts."""
    run = run_of(tmp_path, segmenter=segmenter, extra=extra, steps=4, crop=64, **changes)
    batches = StepBatches(run.job)
    for index in (2, 3):
        run.optimisers.set_rates(index)
        losses = run.update(batches[index])
        assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    measured = set() if changes.get("weight") == 0 else {"tmt/accuracy", "tmt/spread", "tmt/contrast"}
    learnt = segmenter != "hrda" and changes.get("tma", {}).get("kind") != "hard"  # without attention there is no gamma
    assert run.module.measures().keys() == measured | ({"tmt/gamma"} if learnt else set())
    folder, run.seconds = tmp_path / "run", 1.0
    folder.mkdir(parents=True, exist_ok=True)
    run.finish({})
    found = load_segmenter(folder, **loaded(run.job))
    host, part = run.module.segmenter.eval(), run.module.adaptations["tmt"].eval()
    with torch.no_grad():
        wanted = host.predict(images(), steer=part.steer(None))
        assert torch.equal(found.predict(images()), wanted)
        assert isinstance(found, Steered) == (part.steer(None) is not None)


def loaded(job):
    """What a network is loaded by."""
    names = {"segmenter": job.segmenter, "settings": job.segmenter_settings, "classes": job.classes}
    return names | {"fingerprint": job.fingerprint, "adaptations": job.adaptations}


def test_off_at_test_time_saves_nothing(tmp_path):
    """Keys and prediction are the host's; so are they without TMA, and those who ask get no steer."""
    for changes in ({"tma": {"test": False}}, {"tma": {"kind": "none"}}):
        run = run_of(tmp_path, segmenter="daformer", **changes)
        part = run.module.adaptations["tmt"]
        assert part.inference_modules() == {} and part.steer(None) is None
        assert set(run.module.inference_state()) == set(run.module.segmenter.state_dict())


def test_cost_at_test_time_is_counted(tmp_path):
    """Parameters in the report are the host's and the guide's; a run that starts from it takes the network alone."""
    terms = [("tmt", values())]
    job = tiny_jobs.make_job(tmp_path, segmenter="daformer", adaptations=terms, target="images", steps=1)
    report = fit(job, tmp_path / "tmt")
    host = network("daformer")
    own = sum(p.numel() for p in host.parameters())
    guide = part_for(host).guide
    assert report["parameters"] == own + sum(p.numel() for p in guide.parameters())
    path = tmp_path / "tmt" / "weights.safetensors"
    child = build_segmenter("daformer", job.segmenter_settings, job.classes, seed=9, parent=path)
    assert all(torch.equal(value, load_file(path)[name]) for name, value in child.state_dict().items())
    with pytest.raises(BadInput, match="prediction needs adaptation tmt, of which the run says nothing"):
        load_segmenter(tmp_path / "tmt", **loaded(job) | {"adaptations": ()})


def test_curve_tells_what_the_map_is_worth(tmp_path):
    """Accuracy of the discriminator and spread of T stand in every point, as columns in a record."""
    from xdseg.curve import read_curve

    job = tiny_jobs.make_job(tmp_path, adaptations=[("tmt", values())], target="images", steps=4)
    fit(job, tmp_path / "run")
    points = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    assert all(
        set(point["measures"]) == {"tmt/accuracy", "tmt/spread", "tmt/contrast", "tmt/gamma"} for point in points
    )
    assert all(0 <= point["measures"]["tmt/accuracy"] <= 1 for point in points)
    columns = read_curve(tmp_path / "run" / "curve.jsonl")
    assert columns["measures"]["tmt/spread"] == [point["measures"]["tmt/spread"] for point in points]


def test_measures_by_hand(tmp_path):
    """A discriminator that says "source" of everything is right for half of it, and T has no spread.

    Contrast by hand: 0, 1/2, 1/2, 0 deviates by 1/4, an even map by 0; their mean is 1/8.
    """
    run = run_of(tmp_path)
    part = run.module.adaptations["tmt"]
    for reader in part.guide.readers.values():
        torch.nn.init.zeros_(reader.discriminator.answer.weight)
        torch.nn.init.constant_(reader.discriminator.answer.bias, 2.0)
    run.module(StepBatches(run.job)[0])
    found = part.measures()
    none = pytest.approx(0, abs=1e-6)  # crops of 32 pixels are one region
    assert found == {"accuracy": pytest.approx(0.5), "spread": none, "contrast": none, "gamma": 0}
    dense = torch.tensor([[[0.0, 0.5], [0.5, 0.0]], [[0.25, 0.25], [0.25, 0.25]]])
    assert deviation(dense) == pytest.approx(1 / 8)


def test_measures_are_those_of_target_images(tmp_path):
    """Spread of T and contrast of the need, from the discriminator's own answers about the target's regions."""
    run = run_of(tmp_path, segmenter="daformer", crop=64)
    part = run.module.adaptations["tmt"]
    run.module(StepBatches(run.job)[0])
    found, (read,) = part.measures(), part.lead(run.module._step, "target").reads()
    with torch.no_grad():
        d = read.reader.verdict(read.regions).sigmoid()
    assert d.shape == (4, 2, 2)
    transfer = -(d * d.log2() + (1 - d) * (1 - d).log2())
    assert found["spread"] == pytest.approx(float(transfer.flatten(1).std(1, correction=0).mean()), rel=1e-3)
    dense = part.need(run.module._step, "target")
    assert found["contrast"] == pytest.approx(float(dense.flatten(1).std(1, correction=0).mean()), rel=1e-5)
    assert found["spread"] > 0 and found["contrast"] > 0


def test_need_by_a_decoders_prediction_is_what_leads(tmp_path):
    """With `previous`, others get and the curve measures the need of the last layer, not the auxiliary head's."""
    changes = {"acte": {"uncertainty": "previous"}, "tma": {"site": "decoder"}}
    run = run_of(tmp_path, segmenter="eomt", crop=64, steps=4, **changes)
    part = run.module.adaptations["tmt"]
    run.module(StepBatches(run.job)[3])  # at first nothing is led
    lead = part.lead(run.module._step, "target")
    (read,) = lead.reads()
    led, head = lead.led_by(read).dense, lead.need_of(read).dense
    assert not torch.allclose(led, head, atol=1e-4)
    assert torch.equal(part.need(run.module._step, "target"), led.detach())
    assert part.measures()["contrast"] == pytest.approx(float(deviation(led.detach())))


def test_need_is_for_others_too(tmp_path):
    """One map per view, in [0, 1], without gradient; a method without TMT has none."""
    from xdseg.training.step import Step
    from xdseg.training.train_step import prepared

    run = run_of(tmp_path, segmenter="daformer")
    run.module(StepBatches(run.job)[0])
    need = run.module._step.need("target")
    assert need.shape == (4, 2, 2) and not need.requires_grad and 0 <= need.min() <= need.max() <= 1
    assert need is run.module._step.need("target")
    plain = Run(tiny_jobs.make_job(tmp_path, target="images"), tmp_path / "plain", tiny_jobs.CPU)
    with pytest.raises(LookupError, match="there is no need in this method"):
        Step(plain.module, prepared(StepBatches(plain.job)[0])).need("target")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tma": {"kind": "query-gate", "site": "both"}}, "set site encoder"),
        ({"acte": {"uncertainty": "previous"}}, "set tma.site decoder"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    """Refused when settings are read."""
    with pytest.raises(ValueError, match=message):
        ADAPTATIONS["tmt"].settings(**changes)


def test_sites_that_are_not_there():
    """A decoder without queries, and blocks that see no map: one line each."""
    with pytest.raises(BadInput, match=r"tmt\.tma\.site: decoder, but no queries"):
        part_for(network("daformer"), tma={"site": "decoder"})
    with pytest.raises(BadInput, match=r"tmt\.tma\.blocks: 7 reach block1\.1, which sees no map"):
        part_for(network("daformer"), tma={"blocks": 7})


def test_masked_modeling_by_need(tmp_path):
    """Tokens are hidden in proportion to need, 1 at most, at the same mean ratio; without TMT the method is refused."""
    need = torch.tensor([[[0.9, 0.1], [0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]]])
    shares = shares_of(need, (2, 2), 0.4)
    torch.testing.assert_close(shares.mean((1, 2)), torch.full((3,), 0.4))
    torch.testing.assert_close(shares[0].flatten(), torch.tensor([1.0, 0.6, 0, 0]), rtol=0, atol=1e-4)
    torch.testing.assert_close(shares[1:], torch.full((2, 2, 2), 0.4))
    torch.testing.assert_close(shares_of(need[:1], (1, 1), 0.4), torch.full((1, 1, 1), 0.4))
    terms = [tiny_jobs.PROVIDER, ("tmt", values()), ("mfm", {"mask": "need", "token_px": 8})]
    digests = {
        fit(tiny_jobs.make_job(tmp_path, adaptations=terms, target="images", steps=2), tmp_path / str(n))[
            "weights_sha256"
        ]
        for n in range(2)
    }
    assert len(digests) == 1
    with pytest.raises(
        BadInput, match="adaptation mfm: needs a map of need, which no other one of the method provides"
    ):
        Run(
            tiny_jobs.make_job(tmp_path, adaptations=[terms[0], terms[2]], target="images"),
            tmp_path / "x",
            tiny_jobs.CPU,
        )


def test_gammas_and_acte_have_rates_of_their_own(tmp_path):
    """The heads' times a factor each; gammas are undecayed."""
    run = run_of(tmp_path, tma={"lr_factor": 10}, acte={"lr_factor": 0.5})
    part = run.module.adaptations["tmt"]
    groups = part.parameter_groups(run.job.training)
    rates = {id(p): (round(group["lr"], 9), group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(rates) == len(list(part.parameters()))
    assert {rates[id(p)] for p in part.guide.attention.gammas.values()} == {(0.1, 0)}
    assert {rates[id(p)][0] for p in part.guide.readers.parameters()} == {0.005}


def test_any_image_is_segmented_as_it_was_scored(project):
    """A run that is led at test time: `xdseg predict RUN FOLDER` gives the bytes of the run's own evaluation."""
    import io
    import zipfile

    from conftest import small_config
    from PIL import Image

    from xdseg.cells import Context, predictions_path
    from xdseg.cli import main
    from xdseg.grid import expand
    from xdseg.params import data_root, parse
    from xdseg.stages.predict import PREDICTIONS
    from xdseg.workflow import cache_path

    config = small_config(methods=["led"], pairs=["a->b"])
    config["segmenters"]["net"] = {"kind": "daformer", "encoder": "mit_b0", "channels": 16, "dilations": [1, 2]}
    acte = {"width": 16, "hidden": 16, "cell_px": 16, "norm": "none"}  # images of one key: a gate tells them apart
    config["adaptations"] = {"led": {"kind": "tmt", "acte": acte, "tma": {"kind": "query-gate"}}}
    config["methods"]["led"] = {"setting": "uda", "segmenter": "net", "adaptations": ["led"], "training": {"lr": 0.3}}
    project.write(config)
    context = Context.of(parse(config))
    cell = expand(context).cells[0]
    for seen in [*cell.run.sees, ("b", "val", "images")]:
        assert main(["cache", cache_path(context, *seen)]) == 0
    assert main(["train", str(cell.run.folder / "run.json")]) == 0
    assert main(["predict", str(predictions_path(cell.run, [cell]))]) == 0
    assert main(["predict", str(cell.run.folder), str(data_root() / "toy" / "b" / "images"), "--out", "found"]) == 0
    with zipfile.ZipFile(cell.folder / PREDICTIONS) as scored:
        for name in scored.namelist():
            ours = Image.open(f"found/ids/{name}")
            assert ours.tobytes() == Image.open(io.BytesIO(scored.read(name))).tobytes()
    weights = load_file(cell.run.folder / "weights.safetensors")
    assert any(value.any() for name, value in weights.items() if "gammas" in name)
