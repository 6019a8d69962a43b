"""Context and details as one map of logits (HRDA, section 3.3).

fused = up((1 - a) c) + up(a) d, with the context's logits c, the details' d, and the attention a at the context's
resolution, which is 0 where no detail was seen. Growing is bilinear. All is done in float32, also under autocast.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from xdseg.segmenters.contract import Size
from xdseg.segmenters.hrda.boxes import Box, cut, in_cells


def resized(x: Tensor, size: Size) -> Tensor:
    """(B, C, h, w) at another size, bilinearly."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def spread(details: Sequence[Tensor], boxes: Sequence[Box], image: Size) -> Tensor:
    """Logits (B, K, h_i, w_i) of boxes of an image as one map of all of it: their mean, 0 where there is none."""
    (many, classes, rows, columns), (_, _, height, width) = details[0].shape, boxes[0]
    grid = (image[0] * rows // height, image[1] * columns // width)
    total = details[0].new_zeros(many, classes, *grid, dtype=torch.float32)
    seen = total.new_zeros(1, 1, *grid)
    for detail, box in zip(details, boxes, strict=True):
        place = in_cells(box, image, grid)
        cut(total, place).add_(detail)
        cut(seen, place).add_(1)
    return total / seen.clamp(min=1)


def covered(boxes: Sequence[Box], image: Size, like: Tensor) -> Tensor:
    """(1, 1, h, w) for a map `like` (B, C, h, w) of the image: 1 in the boxes, else 0."""
    mask = like.new_zeros(1, 1, *like.shape[2:])
    for box in boxes:
        cut(mask, in_cells(box, image, tuple(like.shape[2:]))).fill_(1)
    return mask


def fused(context: Tensor, detail: Tensor, attention: Tensor) -> Tensor:
    """Logits (B, K, h, w) at the detail's size; `attention` (B, K or 1, ...) at the context's."""
    size = tuple(detail.shape[2:])
    return resized((1 - attention) * context.float(), size) + resized(attention, size) * detail
