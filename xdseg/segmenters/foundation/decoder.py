"""The mask decoder on the neck's maps: with queries made of class names (tqdm, MFuser), or with learnt ones.

With `text` there is one query per class, whose content is made of the class's embedding and whose position is learnt;
it answers for that class and no other. With `learnt` it is Mask2Former's, whose queries are matched by cost (as Rein's
and VLTSeg's).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.segmenters.contract import Site, Steer
from xdseg.segmenters.foundation.fixed_prediction import FixedPrediction
from xdseg.segmenters.foundation.pixel_decoder import TextPixelDecoder
from xdseg.segmenters.ladder.pixel_decoder import PixelDecoder
from xdseg.segmenters.ladder.transformer_decoder import TransformerDecoder, decoder_sites
from xdseg.segmenters.mask_prediction import MaskPrediction, point_stream
from xdseg.settings.query_decoder import QueryDecoder as Settings

LEVELS = 3  # maps that are attended to: all but the finest, which masks are made of


class MaskDecoder(nn.Module):
    """`MaskDecoder(width, settings, classes=19, text=768)` for four maps of `width` channels, finest first.

    `text` is the width of the embeddings of class names; None where queries are learnt, which read none.
    """

    def __init__(self, width: int, settings: Settings, *, classes: int, text: int | None = None) -> None:
        super().__init__()
        self.settings = settings
        by_text = settings.kind == "text"
        if by_text != (text is not None):
            raise ValueError(f"{settings.kind} queries, and text of width {text}")
        if by_text and settings.text_attention:
            self.pixel_decoder = TextPixelDecoder(width, settings, levels=LEVELS, text=text, classes=classes)
        else:
            self.pixel_decoder = PixelDecoder(width, settings, levels=LEVELS)
        if by_text:
            self.decoder = TextDecoder(settings, levels=LEVELS, classes=classes, text=text)
        else:
            self.decoder = TransformerDecoder(settings, levels=LEVELS, classes=classes)

    def sites(self, *, stride: float) -> list[Site]:
        """Attention of each layer to its map, where the finest that is attended to has that stride."""
        return decoder_sites(self.settings, layers=self.settings.decoder_layers, stride=stride)

    def forward(
        self, maps: Sequence[Tensor], text: Tensor | None = None, *, steer: Steer | None = None
    ) -> MaskPrediction:
        """The prediction for maps (B, width, h_i, w_i), finest first, and text (B, K, text).

        With gradients in training, all predictions: before each layer of the transformer decoder and after the last.
        """
        supervised = self.training and torch.is_grad_enabled()
        beside = (text,) if isinstance(self.pixel_decoder, TextPixelDecoder) else ()
        levels, mask_map = self.pixel_decoder(maps, *beside)
        queries = {} if text is None else {"contents": self.decoder.text(text)}
        masks, classes = self.decoder(levels, mask_map, all_predictions=supervised, steer=steer, **queries)
        make = MaskPrediction if text is None else FixedPrediction
        return make(masks, classes, self.settings.loss, point_stream(supervised))


class TextDecoder(TransformerDecoder):
    """Mask2Former's transformer decoder, one query per class; 14.68 million parameters at MFuser's sizes."""

    def __init__(self, settings: Settings, *, levels: int, classes: int, text: int) -> None:
        super().__init__(settings.model_copy(update={"queries": classes}), levels=levels, classes=classes)
        dim = settings.dim
        del self.queries  # their contents are made, not learnt
        self.text = nn.Sequential(nn.Linear(text, dim), nn.ReLU(), nn.Linear(dim, dim))
