"""What may stand between two encoders after a pair of blocks: MVFuser, and its rivals and controls.

Each takes the tokens of both encoders and gives what is to be added to each, times a learnt scale that begins at 0.001,
so that training begins at the frozen encoders. The rivals of MFuser's Table 4 are built from its words: attention over
both sequences as one, or over each (their numbers of parameters and operations are the published ones); deformable
attention of each map to the other (of which the paper says too little: 3.35 million parameters, here 2.49).

A fuser takes as many sequences as there are streams, and gives as many.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xdseg.segmenters.ladder.attention import Attention
from xdseg.segmenters.ladder.deformable_attention import DeformableAttention, centres
from xdseg.segmenters.mvfuser import FIRST_SCALE, MVFuser
from xdseg.segmenters.vit import Tokens
from xdseg.settings.mfuser import Fuser as Settings

Added = tuple[Tensor, Tensor]  # to the vision model's tokens, to the vision-language model's


def create_fuser(settings: Settings, *, vfm: int, vlm: int) -> nn.Module | None:
    """A fuser for tokens of these widths, as settings say; None where there is none."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "mvfuser": lambda: Joint(_mvfuser(vlm, settings), vfm_first=settings.order == "vfm-first"),
        "concat-attention": lambda: Joint(SelfAttention(vlm, settings), vfm_first=settings.order == "vfm-first"),
        "separate-mvfuser": lambda: Separate(_mvfuser(vlm, settings), _mvfuser(vlm, settings)),
        "separate-attention": lambda: Separate(SelfAttention(vlm, settings), SelfAttention(vlm, settings)),
        "bi-deformable-attention": lambda: Deformable(vlm, settings),
    }
    if settings.kind == "none":
        return None
    fuser = makers[settings.kind]()
    return Projected(fuser, vfm=vfm, vlm=vlm) if projects(settings, vfm=vfm, vlm=vlm) else fuser


def create_single(settings: Settings, width: int) -> nn.Module | None:
    """The fuser of an encoder that is alone, of which those that pass nothing between two are the same."""
    if settings.kind == "none":
        return None
    make = _mvfuser if settings.kind.endswith("mvfuser") else SelfAttention
    return Single(make(width, settings))


def projects(settings: Settings, *, vfm: int, vlm: int) -> bool:
    """Whether linear layers bring the vision model's tokens to the other's width and back."""
    return settings.project == "always" or (settings.project == "auto" and vfm != vlm)


def _mvfuser(width: int, settings: Settings) -> MVFuser:
    return MVFuser(
        width,
        states=settings.states,
        dropout=settings.dropout,
        double_dt_bias=settings.double_dt_bias,
        double_silu=settings.double_silu,
        direction=settings.scan,
        backend=settings.backend,
    )


class Joint(nn.Module):
    """One module over both sequences, one after the other."""

    def __init__(self, mixer: nn.Module, *, vfm_first: bool) -> None:
        super().__init__()
        self.mixer, self.vfm_first = mixer, vfm_first

    def forward(self, vfm: Tokens, vlm: Tokens) -> Added:
        """What is to be added to the tokens of each."""
        parts = (vfm.x, vlm.x) if self.vfm_first else (vlm.x, vfm.x)
        made = self.mixer(torch.cat(parts, dim=1)).split([part.shape[1] for part in parts], dim=1)
        return made if self.vfm_first else made[::-1]


class Separate(nn.Module):
    """One module for each sequence, so that nothing passes between them."""

    def __init__(self, vfm: nn.Module, vlm: nn.Module) -> None:
        super().__init__()
        self.vfm, self.vlm = vfm, vlm

    def forward(self, vfm: Tokens, vlm: Tokens) -> Added:
        """What is to be added to the tokens of each."""
        return self.vfm(vfm.x), self.vlm(vlm.x)


class Single(nn.Module):
    """One module over the only sequence."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, tokens: Tokens) -> tuple[Tensor]:
        """What is to be added to the tokens."""
        return (self.mixer(tokens.x),)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, without norm; 4.20 million parameters at width 1024."""

    def __init__(self, width: int, settings: Settings) -> None:
        super().__init__()
        self.attention, self.dropout = Attention(width, heads=settings.heads), nn.Dropout(settings.dropout)
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same."""
        return self.dropout(self.attention(x, x, x)) * self.scale


class Deformable(nn.Module):
    """Patches of each encoder look at the other's map, near their own place; tokens in front take no part."""

    def __init__(self, width: int, settings: Settings) -> None:
        super().__init__()
        inner = round(width * settings.ratio)
        shape = {"heads": settings.heads, "levels": 1, "points": settings.points, "inner": inner}
        self.to_vfm, self.to_vlm = (DeformableAttention(width, **shape) for _ in range(2))
        self.dropout = nn.Dropout(settings.dropout)
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))

    def forward(self, vfm: Tokens, vlm: Tokens) -> Added:
        """What is to be added to the tokens of each."""
        return self.look(self.to_vfm, vfm, vlm), self.look(self.to_vlm, vlm, vfm)

    def look(self, attention: DeformableAttention, tokens: Tokens, other: Tokens) -> Tensor:
        """What tokens take from the patches of another sequence; nothing for those in front."""
        places = centres([tokens.grid], tokens.x.device)
        seen = attention(tokens.x[:, tokens.before :], places, other.x[:, other.before :], [other.grid])
        return nn.functional.pad(self.dropout(seen) * self.scale, (0, 0, tokens.before, 0))


class Projected(nn.Module):
    """A fuser between linear layers, which bring the vision model's tokens to the other's width and back."""

    def __init__(self, fuser: nn.Module, *, vfm: int, vlm: int) -> None:
        super().__init__()
        self.fuser, self.there, self.back = fuser, nn.Linear(vfm, vlm), nn.Linear(vlm, vfm)

    def forward(self, vfm: Tokens, vlm: Tokens) -> Added:
        """What is to be added to the tokens of each."""
        to_vfm, to_vlm = self.fuser(Tokens(self.there(vfm.x), vfm.grid), vlm)
        return self.back(to_vfm), to_vlm
