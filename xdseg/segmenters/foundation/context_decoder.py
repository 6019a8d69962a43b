"""Class names look at the image: DenseCLIP's context decoder, with MFuser's MTEnhancer or with cross-attention.

Zhang & Tan, CVPR 2025. The enhancer is self-attention among names, an MVFuser over [names | image | names], and a
feed-forward network. Of its MVFuser both copies of the names are read; as it scans forwards, the first sees no image
and the last all of it. Against the paper's figure there is no cross-attention in it.

The paper's row "w/o hybrid" (67.40, where the enhancer has 68.20 and none 66.91) leaves out one of the two that make it
hybrid, attention or Mamba, and does not say which: `mamba` and `self-attention` are its halves, each a reconstruction.
Of `self-attention` alone names do not see the image.

Two oddities of the code are switches: the decoder draws all its linear layers anew, also those of the enhancer's
MVFuser, whose step biases become 0; and the share `gamma` of the image is drawn of deviation 1, over the small constant
that it was set to.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.mvfuser import MVFuser
from xdseg.segmenters.scan.backends import Backend
from xdseg.settings.text import Text as Settings

DEVIATION = 0.02  # of linear layers at first
SMALL_GAMMA = 1e-4
RATIO = 4  # of the hidden width of the feed-forward network


class ContextDecoder(nn.Module):
    """1.494 million parameters for embeddings of 768, of which the enhancer has 0.899; `backend` is of its scan."""

    def __init__(self, embedding: int, settings: Settings, *, backend: Backend = "auto") -> None:
        super().__init__()
        width, make = settings.width, LAYERS[settings.enhancer]
        self.image: nn.Module | None = None
        if make.looks:
            self.image = nn.Sequential(nn.LayerNorm(embedding), nn.Linear(embedding, width), nn.LayerNorm(width))
        self.text = nn.Sequential(nn.LayerNorm(embedding), nn.Linear(embedding, width))
        self.layers = nn.ModuleList(make(settings, backend=backend) for _ in range(settings.layers))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, embedding))
        self.gamma = nn.Parameter(torch.full((embedding,), SMALL_GAMMA))
        self._initialise(settings)

    def _initialise(self, settings: Settings) -> None:
        fusers = [part for module in self.modules() if isinstance(module, MVFuser) for part in module.modules()]
        kept = set() if settings.reinitialise else set(fusers)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module not in kept:
                nn.init.trunc_normal_(module.weight, std=DEVIATION)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if settings.gamma == "drawn":
            nn.init.trunc_normal_(self.gamma)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        """Embeddings of names (B, K, E) after seeing the image's [global | patches] (B, T, E)."""
        seen, x = image if self.image is None else self.image(image), self.text(text)
        for layer in self.layers:
            x = layer(x, seen)
        return text + self.gamma * self.output(x)


class SelfAttention(nn.Module):
    """Of names; without biases before it, as in timm's first transformers."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.qkv = nn.Linear(settings.width, 3 * settings.width, bias=False)
        self.proj = nn.Linear(settings.width, settings.width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, width) to the same."""
        return self.dropout(self.proj(attend(*self.qkv(x).chunk(3, dim=-1), heads=self.heads)))


def attend(q: Tensor, k: Tensor, v: Tensor, *, heads: int) -> Tensor:
    """Attention of queries (B, Q, C) to keys and values (B, N, C), by heads."""
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Layer(nn.Module):
    """Attention among names, what sees the image, feed-forward network; norms come before.

    `attends` and `looks` say whether a kind has the first and the second; `backend` is of a kind's scan, if it has one.
    """

    attends = looks = True

    def __init__(self, settings: Settings, *, backend: Backend = "auto") -> None:
        super().__init__()
        width = settings.width
        if self.attends:
            self.attention, self.attention_norm = SelfAttention(settings), nn.LayerNorm(width)
        if self.looks:
            self.image_norm = nn.LayerNorm(width)
        self.dropout, self.feedforward_norm = nn.Dropout(settings.dropout), nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, RATIO * width), nn.GELU(), nn.Dropout(settings.dropout), nn.Linear(RATIO * width, width)
        )

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Names (B, K, width) beside the image (B, T, width)."""
        if self.attends:
            x = x + self.attention(self.attention_norm(x))
        if self.looks:
            x = x + self.look(self.image_norm(x), image)
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))

    def look(self, x: Tensor, image: Tensor) -> Tensor:
        """What normed names (B, K, width) take from the image."""
        raise NotImplementedError


class MTEnhancer(Layer):
    """MFuser's: an MVFuser over names, image and names."""

    def __init__(self, settings: Settings, *, backend: Backend = "auto") -> None:
        super().__init__(settings)
        self.fuser = MVFuser(
            settings.width,
            states=settings.states,
            dropout=settings.dropout,
            double_dt_bias=settings.double_dt_bias,
            double_silu=settings.double_silu,
            backend=backend,
        )

    def look(self, x: Tensor, image: Tensor) -> Tensor:
        """Both copies of the names, summed; what it says of the image is dropped."""
        made = self.fuser(torch.cat([x, image, x], dim=1))
        return made[:, : x.shape[1]] + made[:, -x.shape[1] :]


class Mamba(MTEnhancer):
    """The enhancer without attention among names."""

    attends = False


class AttentionLayer(Layer):
    """The enhancer without its MVFuser, so that names see one another and not the image."""

    looks = False


class CrossLayer(Layer):
    """DenseCLIP's and tqdm's: cross-attention."""

    def __init__(self, settings: Settings, *, backend: Backend = "auto") -> None:
        super().__init__(settings)
        width = settings.width
        self.heads = settings.heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def look(self, x: Tensor, image: Tensor) -> Tensor:
        """Attention of names to the image."""
        made = attend(self.query(x), self.key(image), self.value(image), heads=self.heads)
        return self.dropout(self.proj(made))


LAYERS: dict[str, type[Layer]] = {
    "mt-enhancer": MTEnhancer,
    "mamba": Mamba,
    "self-attention": AttentionLayer,
    "cross-attention": CrossLayer,
}
