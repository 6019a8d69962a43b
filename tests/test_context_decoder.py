"""Class names that see the image: published sizes, plain formulas beside them, who sees whom, and what is drawn."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xdseg.segmenters.foundation.context_decoder import AttentionLayer, ContextDecoder, CrossLayer, Mamba, MTEnhancer
from xdseg.settings.text import Text

SMALL = Text(width=16, heads=2, states=4)
EMBEDDING, NAMES, TOKENS = 12, 3, 7


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def build(kind=ContextDecoder, seed=0, **changes):
    """One in evaluation, every parameter drawn."""
    torch.manual_seed(seed)
    settings = SMALL.model_copy(update=changes)
    module = kind(EMBEDDING, settings) if kind is ContextDecoder else kind(settings)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def draws(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_published_sizes():
    """At embeddings of 768: 1.494 million parameters, of which the enhancer has 0.899, and gamma."""
    with torch.device("meta"):
        decoder = ContextDecoder(768, Text())
    assert count(decoder.layers) == 899_201
    assert count(decoder) - 768 == 1_494_401


def plain_attention(q, k, v, heads):
    parts = zip(*(x.chunk(heads, dim=-1) for x in (q, k, v)), strict=True)
    return torch.cat([torch.softmax(a @ b.T / a.shape[-1] ** 0.5, -1) @ c for a, b, c in parts], dim=-1)


def plain_layer(layer, x, look):
    """Self-attention, what sees the image, feed-forward network, each after its norm and added."""
    normed = layer.attention_norm(x)
    q, k, v = (normed @ layer.attention.qkv.weight.T).split(16, dim=-1)
    x = x + layer.attention.proj(plain_attention(q, k, v, 2))
    x = x + look(layer.image_norm(x))
    widened = layer.feedforward_norm(x) @ layer.feedforward[0].weight.T + layer.feedforward[0].bias
    narrow = layer.feedforward[3]
    return x + F.gelu(widened) @ narrow.weight.T + narrow.bias


def test_enhancer_equals_the_plain_one():
    """Its MVFuser reads [names | image | names], and both copies of the names are summed."""
    layer, x, image = build(MTEnhancer), draws(NAMES, 16), draws(TOKENS, 16, seed=2)

    def look(names):
        made = layer.fuser(torch.cat([names, image, names])[None])[0]
        return made[:NAMES] + made[NAMES + TOKENS :]

    torch.testing.assert_close(layer(x[None], image[None])[0], plain_layer(layer, x, look), rtol=1e-4, atol=1e-5)


def test_cross_attention_equals_the_plain_one():
    """The control, tqdm's layer: names attend to the image."""
    layer, x, image = build(CrossLayer), draws(NAMES, 16), draws(TOKENS, 16, seed=2)

    def look(names):
        return layer.proj(plain_attention(layer.query(names), layer.key(image), layer.value(image), 2))

    torch.testing.assert_close(layer(x[None], image[None])[0], plain_layer(layer, x, look), rtol=1e-4, atol=1e-5)


def test_first_copy_sees_no_image_and_last_all_of_it():
    """Of the enhancer's MVFuser; but for one token ahead, which its convolution sees."""
    fuser = build(MTEnhancer).fuser
    sequence = draws(1, NAMES + TOKENS + NAMES, 16).requires_grad_()
    for place, seen in ((0, 2), (NAMES - 1, NAMES + 1), (NAMES + TOKENS, NAMES + TOKENS + 2)):
        (gradient,) = torch.autograd.grad(fuser(sequence)[0, place].sum(), sequence)
        assert (gradient[0].abs().amax(1) > 0).nonzero().flatten().tolist() == list(range(seen))


def test_halves_equal_the_plain_ones():
    """`mamba`: what sees the image and the feed-forward network; `self-attention`: attention and that network."""
    x, image = draws(NAMES, 16), draws(TOKENS, 16, seed=2)
    mamba, attention = build(Mamba), build(AttentionLayer)
    made = mamba.fuser(torch.cat([mamba.image_norm(x), image, mamba.image_norm(x)])[None])[0]
    seen = x + made[:NAMES] + made[NAMES + TOKENS :]
    torch.testing.assert_close(mamba(x[None], image[None])[0], seen + mamba.feedforward(mamba.feedforward_norm(seen)))
    q, k, v = (attention.attention_norm(x) @ attention.attention.qkv.weight.T).split(16, dim=-1)
    seen = x + attention.attention.proj(plain_attention(q, k, v, 2))
    expected = seen + attention.feedforward(attention.feedforward_norm(seen))
    torch.testing.assert_close(attention(x[None], image[None])[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "image"), [("mt-enhancer", True), ("mamba", True), ("self-attention", False), ("cross-attention", True)]
)
def test_who_sees_the_image(kind, image):
    """All kinds but attention among names alone, which has no parameters for it either; a name sees the others."""
    torch.manual_seed(0)
    decoder = ContextDecoder(EMBEDDING, SMALL.model_copy(update={"enhancer": kind})).eval()
    names, seen = draws(1, NAMES, EMBEDDING).requires_grad_(), draws(1, TOKENS, EMBEDDING, seed=2).requires_grad_()
    of_names, of_image = torch.autograd.grad(decoder(names, seen)[0, 1].sum(), (names, seen), allow_unused=True)
    assert (of_image is not None and bool(of_image.any())) == image == (decoder.image is not None)
    assert (of_names[0].abs().amax(1) > 0).tolist() == [True] * NAMES
    parts = {"attention": kind != "mamba", "fuser": kind in ("mt-enhancer", "mamba")}
    assert {part: hasattr(decoder.layers[0], part) for part in parts} == parts


def test_share_of_the_image_in_the_text():
    """What is returned is the text plus gamma times what was decoded, per channel; with gamma 0 the text itself."""
    decoder, text, image = build(), draws(2, NAMES, EMBEDDING), draws(2, TOKENS, EMBEDDING, seed=2)
    seen, x = decoder.image(image), decoder.text(text)
    torch.testing.assert_close(decoder(text, image), text + decoder.gamma * decoder.output(decoder.layers[0](x, seen)))
    nn.init.zeros_(decoder.gamma)
    assert torch.equal(decoder(text, image), text)


@pytest.mark.parametrize("reinitialise", [True, False])
def test_what_is_drawn_anew(reinitialise):
    """The code's: linear layers of deviation 0.02 and step biases of 0, also in the MVFuser; else it keeps its own."""
    torch.manual_seed(0)
    decoder = ContextDecoder(64, Text(reinitialise=reinitialise))
    fuser = decoder.layers[0].fuser
    assert decoder.text[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert (fuser.dt_proj.bias == 0).all() == reinitialise
    assert (abs(fuser.out_proj.weight.std().item() - 0.02) < 1e-3) == reinitialise
    assert fuser.A_log.exp()[0].round().tolist() == list(range(1, 17))


def test_gamma_is_drawn_or_small():
    """Of deviation near 1 as the code has it (cut at 2), or the 1e-4 that it first wrote."""
    torch.manual_seed(0)
    drawn = ContextDecoder(4000, Text(width=8, heads=2)).gamma
    assert 0.85 < drawn.std() < 0.91 and drawn.abs().max() <= 2
    small = ContextDecoder(8, Text(width=8, heads=2, gamma="small")).gamma
    assert small.tolist() == pytest.approx([1e-4] * 8)


def test_dropout_is_of_training_alone():
    """In evaluation two passes are equal; in training they are not."""
    decoder, text, image = build(), draws(2, NAMES, EMBEDDING), draws(2, TOKENS, EMBEDDING, seed=2)
    assert torch.equal(decoder(text, image), decoder(text, image))
    decoder.train()
    assert not torch.equal(decoder(text, image), decoder(text, image))
