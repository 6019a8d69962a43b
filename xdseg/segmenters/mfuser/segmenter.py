"""MFuser: a vision model and a vision-language model, both frozen, with a co-adapter after each pair of their blocks.

Zhang & Tan, "Mamba as a Bridge: Where Vision Foundation Models Meet Vision Language Models for Domain-Generalized
Semantic Segmentation", CVPR 2025. Patches of both, side by side, go through the neck to tqdm's decoder, whose queries
are the class names after they saw the image. The code is the reference; where the paper says less or else, a setting
holds what the code does.

Departs from the code: positions are resampled with each pass, so that images may have any size; CLIP's image tower
drops no paths in training; a parameter that the code never reads (`random_text`) is not there.

With `streams` one encoder alone sees the image, and a fuser of its own stands behind each of its blocks: a
reconstruction of the paper's rows "VFM-only" and "VLM-only", of which it gives the scores alone (another reading: both
see the image, and one of them is adapted). Texts are the vision-language model's in either row. The vision model's
tokens alone, normed, go through the frozen projection beside the texts, as they do where they are added to the other's;
where it has no class token, the mean of its patches stands for the image.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from xdseg.segmenters.contract import Site, Steer
from xdseg.segmenters.foundation import streams
from xdseg.segmenters.foundation.encoders_vfm import create_vision, fill_vision
from xdseg.segmenters.foundation.text_queries import Seen, TextQueries
from xdseg.segmenters.foundation.towers import TimmTower
from xdseg.segmenters.mfuser.fusers import create_fuser, create_single, projects
from xdseg.segmenters.vit import Tokens
from xdseg.settings.mfuser import MFuser as Settings

NAME = "mfuser"
VFM, VLM = "vfm", "vlm"


class MFuser(TextQueries):
    """The network; encoders and fusers count as encoder, all else takes the head's learning rate."""

    encoders = ("vfm.", "vlm.", "fusers.")

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes, name=NAME)
        self.vfm: nn.Module | None = None
        if settings.streams != VLM:
            where = f"{NAME}.vfm"
            self.vfm = create_vision(settings.vfm, patch=self.patch, fused=settings.fused, segmenter=where)
        blocks = streams.depth(self.towers)
        self.taps = streams.tapped(blocks, settings.taps)
        fusers = [self._fuser() for _ in range(blocks)]
        self.fusers = nn.ModuleList(fuser for fuser in fusers if fuser is not None)
        self.projection = self._projection()
        self.add_decoders(sum(tower.width for tower in self.towers.values()), backend=settings.fuser.backend)

    def _fuser(self) -> nn.Module | None:
        widths = {name: tower.width for name, tower in self.towers.items()}
        if len(widths) > 1:
            return create_fuser(self.settings.fuser, **widths)
        return create_single(self.settings.fuser, *widths.values())

    def _projection(self) -> nn.Module:
        """From the vision model's width to that of the tokens which the vision-language model projects."""
        if self.vfm is None:
            return nn.Identity()
        widths = {VFM: self.towers[VFM].width, VLM: self.vlm.tower.width}
        return nn.Linear(widths[VFM], widths[VLM]) if projects(self.settings.fuser, **widths) else nn.Identity()

    @property
    def towers(self) -> dict[str, streams.Tower]:
        """The encoders that see the image, the vision model first."""
        found: dict[str, streams.Tower] = {}
        if self.vfm is not None:
            found[VFM] = TimmTower(self.vfm, self.settings.vfm.positions)
        if self.settings.streams != VFM:
            found[VLM] = self.vlm.tower
        return found

    def encoder_sites(self) -> list[Site]:
        """Blocks of the vision model, or of the vision-language model where it is alone."""
        return streams.sites(self.towers)

    def look(self, images: Tensor, steer: Steer | None) -> Seen:
        """All streams, block by block."""
        towers, given = self.towers, {VFM: images}
        if VLM in towers:
            given[VLM] = self.vlm.normalised(images)
        tokens = [tower.embed(given[name]) for name, tower in towers.items()]
        passed = streams.run(towers, tokens, self.fusers, taps=self.taps, steer=steer)
        return Seen(passed.maps, self.joint(passed.ends), tokens[0].grid)

    def joint(self, ends: dict[str, Tokens]) -> Tensor:
        """[global | patches] (B, 1 + h w, E) of the streams, beside the texts."""
        vfm = ends.get(VFM)
        if vfm is not None:
            vfm = self.towers[VFM].normed(vfm) if self.vlm.tower.joins_normed else vfm
            vfm = Tokens(self.projection(vfm.x), vfm.grid)
        return self.vlm.tower.joint(ends.get(VLM), vfm)

    def load_pretrained(self) -> None:
        """Fill the encoders as the settings say."""
        if self.vfm is not None:
            fill_vision(self.vfm, self.settings.vfm, segmenter=f"{NAME}.vfm")
        self.vlm.load_pretrained()
