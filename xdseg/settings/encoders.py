"""Settings of frozen foundation models: a vision model of timm, a vision-language model of open_clip."""

from typing import Any, Literal

from pydantic import Field

from xdseg.settings.base import Settings

Resampling = Literal["bicubic", "bilinear"]


class VisionModel(Settings):
    """A plain vision transformer of timm."""

    encoder: str = Field("vit_large_patch14_dinov2", description="vision transformer of timm, by its name there")
    weights: str | None = Field(
        None,
        description="file (.safetensors, .pth) in timm's names or its publisher's, such as dinov2_vitl14_pretrain.pth; "
        "`timm`: what timm publishes",
    )
    positions: Resampling = Field("bicubic", description="how its positions are resampled to the grid of patches")


class VisionLanguageModel(Settings):
    """A model of open_clip whose image tower is a plain transformer: EVA-02, CLIP, SigLIP, or a small one."""

    model: str | dict[str, Any] = Field(
        "EVA02-L-14-336",
        description="name in open_clip; or its configuration, as a mapping or as a file .json: embed_dim, vision_cfg, "
        "text_cfg, as open_clip's, with `preprocess_cfg` (mean, std) and `vocabulary` (ids of the tokens that have an "
        "embedding, ascending) where these differ from CLIP's",
    )
    weights: str | None = Field(
        None, description="file of the whole model in open_clip's names; `open_clip`: what it publishes under the tag"
    )
    tag: str | None = Field(None, description="of published weights, as merged2b_s6b_b61k; null: the model's first")
    tokenizer: str | None = Field(
        None, description="folder of a tokenizer of transformers, for models that have no tokenizer of CLIP's (SigLIP)"
    )
    positions: Resampling = Field(
        "bicubic",
        description="how positions are resampled; published: bicubic for EVA-02, bilinear for others",
    )
    class_token_twice: bool = Field(
        True, description="MFuser's code adds it to its own position once more, as DenseCLIP's does; of OpenAI's CLIP"
    )
