"""tqdm's regularisers beside the pixel-text loss (Pak et al., ECCV 2024): texts stay texts, the encoder stays near.

Both are of whole images and read no labels; each gives a number per image, whose mean over a batch is the published
term.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def language(text: Tensor, fixed: Tensor) -> Tensor:
    """(B,): cross entropy of each class's embedding (B, K, E) among fixed ones (K, E), by cosine as it is, in [-1, 1].

    Without temperature, so that of K classes it lies above ln(1 + (K - 1) exp(-2)).
    """
    with torch.autocast(text.device.type, enabled=False):
        cosines = F.normalize(text.float(), dim=-1) @ F.normalize(fixed.float(), dim=-1).T  # (B, K, K)
        truth = torch.arange(len(fixed), device=text.device).expand(len(text), -1)
        return F.cross_entropy(cosines.transpose(1, 2), truth, reduction="none").mean(1)


def vision(ours: Tensor, initial: Tensor) -> Tensor:
    """(B,): mean squared difference of what two encoders make of an image, (B, E) each."""
    with torch.autocast(ours.device.type, enabled=False):
        return (ours.float() - initial.float()).square().mean(1)
