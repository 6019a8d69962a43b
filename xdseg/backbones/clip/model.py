"""open_clip's model of a recipe, with the embeddings of those tokens alone that its captions and names have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from open_clip.loss import ClipLoss
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional

from xdseg.backbones.clip.words import all_phrases
from xdseg.data.tensors import MEAN, STD
from xdseg.segmenters.foundation.towers import ClipTower
from xdseg.segmenters.foundation.vlm_config import built
from xdseg.segmenters.vit import Tokens
from xdseg.settings.clip import Clip

if TYPE_CHECKING:
    from open_clip import CustomTextCLIP

PADDING = 0
LARGEST_SCALE = 100.0  # of the cosine, as published
FRAME = 2  # tokens: start and end


class Texts:
    """CLIP's tokens of texts, as rows of a cut embedding."""

    def __init__(self, settings: Clip) -> None:
        self.context, self.tokenizer = settings.text.context, SimpleTokenizer(context_length=settings.text.context)
        frame = (PADDING, self.tokenizer.sot_token_id, self.tokenizer.eot_token_id)
        used = {token for text in (*all_phrases(), *settings.names) for token in self.tokenizer.encode(text)}
        self.vocabulary = sorted(used | set(frame))

    def fits(self, text: str) -> bool:
        """Whether the text tower reads all of a text."""
        return len(self.tokenizer.encode(text)) + FRAME <= self.context

    def rows(self, texts: Sequence[str]) -> Tensor:
        """(N, context) int64. Raises ValueError for a text with a token that has no embedding."""
        ids, vocabulary = self.tokenizer(list(texts)), torch.tensor(self.vocabulary)
        rows = torch.searchsorted(vocabulary, ids).clamp(max=len(vocabulary) - 1)
        if bad := [text for text, same in zip(texts, (vocabulary[rows] == ids).all(1), strict=True) if not same]:
            raise ValueError(f"{bad[0]!r} has a token that the vocabulary lacks")
        return rows


def configuration(settings: Clip, vocabulary: Sequence[int]) -> dict[str, Any]:
    """The model in the words of open_clip's files, with what xdseg reads beside them."""
    vision, text = settings.vision, settings.text
    return {
        "embed_dim": settings.embed,
        "vision_cfg": {
            **{"image_size": vision.image, "patch_size": vision.patch},
            **{"width": vision.width, "head_width": vision.head_width, "layers": vision.layers},
        },
        "text_cfg": {
            **{"context_length": text.context, "width": text.width, "heads": text.heads, "layers": text.layers},
        },
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)},
        "vocabulary": list(vocabulary),
    }


class Contrast(nn.Module):
    """The model, and the loss by which crops and captions of a batch find each other."""

    def __init__(self, config: dict[str, Any], *, patches: float) -> None:
        super().__init__()
        self.network: CustomTextCLIP = built(config, where="pretrain")
        self.patches, self.loss = patches, ClipLoss()

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """CLIP's loss of normalised images (B, 3, H, W) and rows of texts (B, T): of each row its own is the one.

        Departs from CLIP: a share of it compares the mean of the patches' embeddings in place of the class token's.
        """
        read = embeddings(self.network, images)[0]  # (B, 1 + N, E)
        words = functional.normalize(self.network.encode_text(texts), dim=-1)
        scale = self.network.logit_scale.exp().clamp(max=LARGEST_SCALE)
        readings = ((1 - self.patches, read[:, 0]), (self.patches, read[:, 1:].mean(1)))
        losses = [
            w * self.loss(functional.normalize(x, dim=-1).float(), words.float(), scale) for w, x in readings if w
        ]
        return torch.stack(losses).sum()


def embeddings(network: "CustomTextCLIP", images: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[class token | patches] (B, 1 + h w, E) beside the texts, and (h, w), of images of any size of whole patches."""
    tower, tokens = through(network, images)
    return tower.joint(tokens, Tokens(torch.zeros_like(tokens.x), tokens.grid)), tokens.grid


def through(network: "CustomTextCLIP", images: Tensor) -> tuple[ClipTower, Tokens]:
    """The image tower as segmenters run it, and tokens behind its last block."""
    tower = ClipTower(network.visual, positions="bicubic", class_token_twice=False)
    tokens = tower.embed(images)
    for number in range(len(tower.blocks)):
        tokens = tower.run(number, tokens)
    return tower, tokens
