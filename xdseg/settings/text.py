"""Settings of class names as queries, as tqdm (Pak et al., ECCV 2024) and MFuser (CVPR 2025) make them."""

from typing import Literal

from pydantic import Field

from xdseg.settings.base import Settings
from xdseg.settings.dense import MeanOver

Enhancer = Literal["mt-enhancer", "mamba", "self-attention", "cross-attention", "none"]


class Text(Settings):
    """How class names become queries."""

    length: int = Field(5, ge=3, description="tokens of a class name, with start and end; published for Cityscapes: 5")
    contexts: int = Field(8, ge=0, description="learnt tokens before each name; published: 8 with EVA-02, else 5")
    enhancer: Enhancer = Field(
        "mt-enhancer",
        description="how names see the image; `mamba` and `self-attention` are the halves of MFuser's, the latter sees "
        "no image; `cross-attention` is tqdm's, of which it has 3 layers",
    )
    layers: int = Field(1, gt=0)
    width: int = Field(256, gt=0)
    heads: int = Field(4, gt=0)
    states: int = Field(16, gt=0, description="of the MVFuser in the enhancer, per channel")
    double_dt_bias: bool = Field(
        True, description="of that MVFuser: the code adds the bias of its step sizes twice, 0 at first (`reinitialise`)"
    )
    double_silu: bool = Field(True, description="of that MVFuser: the code sends its gate through SiLU twice")
    dropout: float = Field(0.1, ge=0, lt=1)
    reinitialise: bool = Field(
        True,
        description="the code draws all linear layers anew, the enhancer's MVFuser's too: its step biases are 0",
    )
    gamma: Literal["drawn", "small"] = Field(
        "drawn",
        description="share of the image in the text, per channel: the code draws it of deviation 1 and so "
        "overwrites its own 1e-4, which `small` keeps",
    )


class PixelText(Settings):
    """The loss that aligns patches with class names."""

    weight: float = Field(1.0, ge=0)
    temperature: float | None = Field(
        0.07, gt=0, description="of the cosine; null: the model's own scale and bias, published with SigLIP"
    )
    mean_over: MeanOver = Field("all", description="the pixels of the mean; the code counts ignored ones too")
