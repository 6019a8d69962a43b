"""A Vision Transformer (Dosovitskiy et al., ICLR 2021) small enough for one core, known to timm by its name."""

from typing import Any

from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

__all__ = ["xdseg_vit_tiny_patch8"]  # timm registers what a module exports


@register_model
def xdseg_vit_tiny_patch8(pretrained: bool = False, **changes: Any) -> VisionTransformer:
    """3.7 million parameters: 8 blocks of 192 channels, 3 heads; patches of 8 pixels, so that poles have a token.

    No class token, as nothing would teach it; positions of a 16 x 16 grid, resampled for other sizes. Raises
    ValueError for `pretrained`, since the weights come from `xdseg pretrain`.
    """
    if pretrained:
        raise ValueError("xdseg_vit_tiny_patch8: load the weights that xdseg pretrain makes")
    settings = {"img_size": 128, "patch_size": 8, "embed_dim": 192, "depth": 8, "num_heads": 3, "class_token": False}
    settings |= {"global_pool": "", "num_classes": 0, "dynamic_img_size": True}
    changes = {
        key: value for key, value in changes.items() if not key.startswith("pretrained_cfg") and key != "cache_dir"
    }
    return VisionTransformer(**(settings | changes))
