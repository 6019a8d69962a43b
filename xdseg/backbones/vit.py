"""Vision Transformers (Dosovitskiy et al., ICLR 2021) small enough for one core, known to timm by their names."""

from functools import partial
from typing import Any

from timm.data import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

__all__ = ["xdseg_clip_vit_tiny_patch8", "xdseg_vit_tiny_patch8"]  # timm registers what a module exports

EPSILON = 1e-5  # of CLIP's norms
TINY = {
    **{"img_size": 128, "patch_size": 8, "embed_dim": 192, "depth": 8, "num_heads": 3},
    **{"global_pool": "", "num_classes": 0, "dynamic_img_size": True},
}


@register_model
def xdseg_vit_tiny_patch8(pretrained: bool = False, **changes: Any) -> VisionTransformer:
    """3.7 million parameters: 8 blocks of 192 channels, 3 heads; patches of 8 pixels, so that poles have a token.

    No class token, as nothing would teach it; positions of a 16 x 16 grid, resampled for other sizes. Raises
    ValueError for `pretrained`, since the weights come from `xdseg pretrain`.
    """
    if pretrained:
        raise ValueError("xdseg_vit_tiny_patch8: load the weights that xdseg pretrain makes")
    return VisionTransformer(**(TINY | {"class_token": False} | _own(changes)))


@register_model
def xdseg_clip_vit_tiny_patch8(pretrained: bool = False, **changes: Any) -> VisionTransformer:
    """The same as a CLIP's image tower (Radford et al., ICML 2021): a class token, and a norm before the blocks.

    Fits open_clip's files of a model whose `vision_cfg` is image_size 128, patch_size 8, width 192, head_width 64,
    layers 8; images have CLIP's mean and deviation. Raises ValueError for `pretrained`, as none are published.
    """
    if pretrained:
        raise ValueError("xdseg_clip_vit_tiny_patch8: name a file of a small CLIP as weights")
    settings = TINY | {"pre_norm": True, "norm_layer": partial(nn.LayerNorm, eps=EPSILON)}
    encoder = VisionTransformer(**(settings | _own(changes)))
    encoder.pretrained_cfg = {"mean": OPENAI_CLIP_MEAN, "std": OPENAI_CLIP_STD}
    return encoder


def _own(changes: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the class, without what timm's own factory takes."""
    return {key: value for key, value in changes.items() if not key.startswith("pretrained_cfg") and key != "cache_dir"}
