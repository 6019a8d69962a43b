"""The vision-language model: any model of open_clip with a plain transformer as image tower, frozen.

Its parameters have open_clip's names, so that its files fit. Gradients go through both towers: to what stands between
the blocks of one, and to the learnt tokens that the other reads.
"""

import torch
from torch import Tensor, nn

from xdseg.data.tensors import MEAN, STD
from xdseg.segmenters.foundation.patches import with_patches
from xdseg.segmenters.foundation.towers import ClipTower, TimmTower
from xdseg.segmenters.foundation.vlm_config import built, configuration, statistics
from xdseg.segmenters.foundation.vlm_weights import fill_vision_language
from xdseg.settings.encoders import VisionLanguageModel as Settings


class VisionLanguage(nn.Module):
    """Image tower, text tower, and the scale and bias of their cosine.

    `embedding` is the width of what both towers end in; `vocabulary` has the ids of the tokens that are embedded,
    None: all. Raises BadInput, whose line begins with `where`, for a model that open_clip does not know or that is of
    another kind.
    """

    def __init__(self, settings: Settings, *, patch: int | None, fused: bool, where: str) -> None:
        super().__init__()
        self.settings, self.where, self.fused = settings, where, fused
        config = configuration(settings, where=where)
        model = built(config, where=where)
        self.visual, self.text = model.visual, model.text
        self.logit_scale, self.logit_bias = model.logit_scale, model.logit_bias
        self.embedding: int = config["embed_dim"]
        self.vocabulary: tuple[int, ...] | None = tuple(config["vocabulary"]) if "vocabulary" in config else None
        owner, name = (self._trunk.patch_embed, "proj") if self._trunk else (self.visual, "conv1")
        if patch is not None:
            setattr(owner, name, with_patches(getattr(owner, name), patch))
        self.patch: int = getattr(owner, name).kernel_size[0]
        for block in self._trunk.blocks if self._trunk else ():
            block.attn.fused_attn = fused
        self._set_statistics(*statistics(settings, config, where=where))
        self.requires_grad_(False)

    @property
    def _trunk(self) -> nn.Module | None:
        """timm's network, in a tower that is one of timm's."""
        return getattr(self.visual, "trunk", None)

    @property
    def tower(self) -> TimmTower | ClipTower:
        """The image tower."""
        return self.tower_of(self.visual)

    def tower_of(self, visual: nn.Module) -> TimmTower | ClipTower:
        """The image tower, or a copy of its network, as a tower."""
        if (trunk := getattr(visual, "trunk", None)) is not None:
            return TimmTower(trunk, self.settings.positions, visual.head)
        return ClipTower(visual, self.settings.positions, self.settings.class_token_twice, self.fused)

    def _set_statistics(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """How images of ImageNet's mean and deviation become those of this model."""
        ours, theirs = torch.tensor((MEAN, STD)), torch.tensor((mean, std))
        self.register_buffer("scale", (ours[1] / theirs[1]).view(-1, 1, 1), persistent=False)
        self.register_buffer("shift", ((ours[0] - theirs[0]) / theirs[1]).view(-1, 1, 1), persistent=False)

    def normalised(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) of ImageNet's mean and deviation as this model takes them."""
        return images * self.scale + self.shift

    def load_pretrained(self) -> None:
        """Load what `weights` names, if anything. Raises BadInput for weights that are missing or do not fit."""
        fill_vision_language(self, self.settings, patch=self.patch, where=self.where)
