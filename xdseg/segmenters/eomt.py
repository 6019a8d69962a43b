"""EoMT, the encoder-only mask transformer: a vision transformer whose last blocks run queries beside its patches.

Kerssies et al., "Your ViT is Secretly an Image Segmentation Model", CVPR 2025. Queries are put in front of the sequence
before the last blocks; one norm, the encoder's, and one head read masks and classes from it. In training each of these
blocks is preceded by a prediction, which is supervised and masks the queries' attention to patches; the masking is
annealed, so that at test time there is one prediction and no mask.

Beyond the released code: images of any size that is a multiple of the patch; annealing by the run's length; `always`
masks at test time too. A teacher, which is in training mode without gradients, masks a block as long as more than half
of the student's queries are masked there, and draws nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters import vit
from xdseg.segmenters.annealing import annealing_steps, mask_probability
from xdseg.segmenters.contract import Description, Features, MapSpec, Segmenter, Site, Steer
from xdseg.segmenters.eomt_weights.load import load_into
from xdseg.segmenters.mask_head import MaskHead
from xdseg.segmenters.mask_prediction import MaskPrediction, normalised, point_stream
from xdseg.segmenters.steering import INPUT
from xdseg.segmenters.vit import Tokens
from xdseg.segmenters.vit_steering import Guided, patch_bias, query_steering, with_mask
from xdseg.settings.eomt import EoMT as Settings
from xdseg.training import ranks

PATCHES, PREFIX, ROPE = "patches", "prefix", "rope"
MOSTLY = 0.5  # share of masked queries from which a network without gradient masks all


class EoMT(Segmenter):
    """The network; all but `encoder` takes the head's learning rate."""

    divisible = True

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__()
        self.settings, self.classes = settings, tuple(classes)
        sides = {"patch": settings.patch, "size": settings.size}
        self.encoder = vit.create(settings.encoder, **sides, drop_path=settings.drop_path, segmenter="eomt")
        self.patch, self.layers = vit.patch_side(self.encoder), len(self.encoder.blocks)
        self.first = vit.queries_enter(self.encoder, settings.query_blocks, queries=settings.queries, segmenter="eomt")
        for block in self.encoder.blocks:
            block.attn.fused_attn = settings.fused
        self.queries = nn.Parameter(torch.randn(settings.queries, self.encoder.embed_dim))
        self.head = MaskHead(self.encoder.embed_dim, len(self.classes), patch=self.patch)
        always = settings.masking == "always"
        self.register_buffer("mask_probabilities", torch.full((settings.query_blocks,), float(always)), False)
        self.masked = self.mostly_masked = (always,) * settings.query_blocks

    def describe(self) -> Description:
        """One map, of the patches before queries enter. Sites: each block, and the queries of those that have them."""
        heads = [block.attn.num_heads for block in self.encoder.blocks]
        maps = (MapSpec(PATCHES, self.encoder.embed_dim, self.patch),)
        reads = [replace(maps[0], name=INPUT)] * self.first + [maps[0]] * (self.layers - self.first)
        sites = [Site(f"blocks.{number}", many, reads=reads[number]) for number, many in enumerate(heads)]
        late = range(self.first, self.layers)
        sites += [Site(f"blocks.{number}.queries", heads[number], "cross", maps[0]) for number in late]
        return Description(classes=self.classes, maps=maps, multiple=self.patch, sites=tuple(sites))

    def set_progress(self, step: int, total: int) -> None:
        """Anneal the masks."""
        if self.settings.masking != "annealed":
            return
        spans = annealing_steps(total, self.settings.query_blocks)
        found = [mask_probability(step, *span) for span in spans]
        self.mask_probabilities.copy_(torch.tensor(found))
        self.masked = tuple(share > 0 for share in found)
        self.mostly_masked = tuple(share > MOSTLY for share in found)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """The patches before the queries enter; the context holds class and register tokens and rotations."""
        tokens = vit.embed(self.encoder, images)
        for number in range(self.first):
            bias = patch_bias(f"blocks.{number}", tokens, steer)
            tokens = vit.run(self.encoder.blocks[number], tokens, bias)
        context = {PREFIX: tokens.x[:, : tokens.before], ROPE: tokens.rope}
        return Features({PATCHES: tokens.patches}, context)

    def decode(self, features: Features, *, steer: Steer | None = None) -> MaskPrediction:
        """Queries through the last blocks; with gradients in training, a prediction before each of them too."""
        supervised = self.training and torch.is_grad_enabled()
        patches, queries = features.maps[PATCHES], self.queries.expand(len(features.context[PREFIX]), -1, -1)
        x = torch.cat([queries, features.context[PREFIX], patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = Tokens(x, tuple(patches.shape[-2:]), features.context[ROPE])
        found = []
        for number, block in enumerate(self.encoder.blocks[self.first :]):
            mask = None
            if supervised and self.settings.masking != "never":
                found.append(self.read(tokens))
            if self.masks_block(number, supervised=supervised):
                mask = self.attention_mask(tokens, found[-1][0] if found else self.read(tokens)[0], number, supervised)
            tokens = vit.run(block, tokens, self.steered(mask, self.first + number, tokens, steer, patches))
        masks, classes = zip(*found, self.read(tokens), strict=True)
        return MaskPrediction(masks, classes, self.settings.loss, point_stream(supervised))

    def read(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Mask logits (B, Q, s h, s w) and class logits (B, Q, K + 1) of tokens that begin with queries."""
        normed = Tokens(self.encoder.norm(tokens.x), tokens.grid)
        return self.head(normed.x[:, : len(self.queries)], normed.patches)

    def masks_block(self, number: int, *, supervised: bool) -> bool:
        """Whether any query is masked in a block, counted from the first that has queries."""
        if self.settings.masking == "annealed" and not self.training:
            return False
        return self.masked[number] if supervised else self.mostly_masked[number]

    def attention_mask(self, tokens: Tokens, logits: Tensor, number: int, supervised: bool) -> Tensor:
        """(B, 1, T, T), false where a query may not see a patch: outside its mask, unless it is spared at random."""
        resized = F.interpolate(logits.detach().float(), tokens.grid, mode="bilinear", align_corners=False)
        seen = resized.flatten(2) > 0  # (B, Q, h w)
        if supervised:
            spared = ranks.rand(*seen.shape[:2], device=seen.device) >= self.mask_probabilities[number]
            seen |= spared[..., None]
        batch, length = tokens.x.shape[:2]
        mask = torch.ones(batch, 1, length, length, dtype=torch.bool, device=seen.device)
        mask[:, 0, : len(self.queries), tokens.before :] = seen
        return mask

    def steered(
        self, mask: Tensor | None, block: int, tokens: Tokens, steer: Steer | None, patches: Tensor | None = None
    ) -> Tensor | Guided | None:
        """The mask with what a steer, which sees the map of patches, adds in a block that has queries."""
        site, maps = f"blocks.{block}", {PATCHES: tokens.patches if patches is None else patches}
        own = patch_bias(site, tokens, steer, maps=maps)
        seen = {"maps": maps, "predict": partial(self.read, tokens)}
        cross = query_steering(f"{site}.queries", tokens, steer, queries=len(self.queries), **seen)
        return with_mask(mask, own, cross)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores over their sum, as they are no logits."""
        return normalised(scores)

    def layer_of(self, parameter: str) -> int | None:
        """Block of the encoder whose learning rate a parameter shares; None for the last norm and all that is new."""
        encoder = "encoder."
        return vit.block_of(parameter.removeprefix(encoder)) if parameter.startswith(encoder) else None

    def load_pretrained(self) -> None:
        """Fill encoder or network as the settings say."""
        load_into(self, self.settings)
