"""The vision model: any plain transformer of timm, frozen, its patches and positions resampled.

Gradients go through it to whatever stands between its blocks; its own parameters take none. Positions stay those of
the grid that they were learnt on and are resampled with each pass, so that images may have any size.
"""

from torch import nn

from xdseg.segmenters import vit
from xdseg.segmenters.foundation.patches import with_patches
from xdseg.segmenters.ladder.encoder_weights import fill_encoder
from xdseg.settings.encoders import VisionModel


def create_vision(settings: VisionModel, *, patch: int | None, fused: bool, segmenter: str) -> nn.Module:
    """timm's network with drawn weights, frozen. Raises BadInput for a name that timm does not know."""
    trunk = vit.create(settings.encoder, patch=None, size=None, drop_path=0.0, segmenter=segmenter)
    if patch is not None:
        trunk.patch_embed.proj = with_patches(trunk.patch_embed.proj, patch)
    for block in trunk.blocks:
        block.attn.fused_attn = fused
    return trunk.requires_grad_(False)


def fill_vision(trunk: nn.Module, settings: VisionModel, *, segmenter: str) -> None:
    """Load what `weights` names, if anything; patches of another side are resampled.

    Raises BadInput for weights that are missing or do not fit.
    """
    if settings.weights is None:
        return
    patches = trunk.patch_embed
    side = patches.proj.kernel_size[0]
    patches.proj = with_patches(patches.proj, patches.patch_size[0])  # as files have them
    fill_encoder(trunk, settings, segmenter=segmenter)
    patches.proj = with_patches(patches.proj, side)
    trunk.requires_grad_(False)
