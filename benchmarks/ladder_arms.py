"""The networks of EoMT's ladder as arms of a benchmark: built, counted, run with and without what is around them."""

import tempfile
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import EomtForUniversalSegmentation
from transformers.utils.logging import disable_progress_bar

from xdseg.data.tensors import normalise
from xdseg.registry import SEGMENTERS
from xdseg.segmenters.eomt_weights.save import save_transformers
from xdseg.segmenters.mask_prediction import class_scores

LEFT_OUT = ("adapter", "pixel_decoder", "multi_scale")  # of the baseline, one more at each step
MASKED, PLAIN, THEIRS = "masked EoMT", "EoMT", "EoMT of transformers"
NAMES = ("ViT-Adapter + Mask2Former", "without adapter", "without pixel decoder", "without multiple scales")
STEPS = (*NAMES, MASKED, PLAIN)
FLOPS_PER_MAC = 2

Outputs = tuple[Tensor, Tensor]  # mask logits (B, Q, h, w), class logits (B, Q, K + 1)


@dataclass(frozen=True)
class Case:
    """What one comparison runs on; `encoder` is timm's name."""

    name: str
    encoder: str
    side: int
    batch: int = 1
    classes: int = 19
    queries: int = 100
    query_blocks: int = 4

    def at(self, side: int) -> "Case":
        """The same at another image side."""
        return replace(self, side=side)


class Arm(nn.Module):
    """A network as images to logits of masks and classes, and nothing else."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Outputs:
        """Of normalised images (B, 3, H, W); ours or transformers'."""
        if isinstance(self.network, EomtForUniversalSegmentation):
            found = self.network(pixel_values=images)
            return found.masks_queries_logits, found.class_queries_logits
        found = self.network.decode(self.network.encode(images))
        return found.masks[-1], found.classes[-1]


def build(case: Case, step: str) -> Arm:
    """One of STEPS with drawn weights, in evaluation, on torch's present default device."""
    shared = {"encoder": case.encoder, "size": case.side, "queries": case.queries}
    if step in NAMES:
        kind, settings = "vit-mask2former", dict.fromkeys(LEFT_OUT[: NAMES.index(step)], False)
    else:
        masking = "always" if step == MASKED else "never"
        kind, settings = "eomt", {"query_blocks": case.query_blocks, "masking": masking}
    component = SEGMENTERS[kind]
    classes = [str(number) for number in range(case.classes)]
    return Arm(component.load()(component.settings(**shared, **settings), classes)).eval().requires_grad_(False)


def transformers_twin(arm: Arm) -> Arm:
    """The same EoMT as transformers runs it, on its fast path: fused attention, no masks."""
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        save_transformers(arm.network, Path(folder))
        found = EomtForUniversalSegmentation.from_pretrained(folder, attn_implementation="sdpa")
    found.attn_mask_probs.zero_()
    return Arm(found).eval().requires_grad_(False)


def counts(case: Case, step: str) -> tuple[float, float]:
    """Millions of parameters, and 10^9 multiply-accumulates per batch, counted without computing.

    Counted are convolutions and matrix products, attention's among them; not counted are bilinear samples (deformable
    attention), resizing, norms, activations and softmax.
    """
    with torch.device("meta"):
        arm, images = build(case, step), torch.empty(case.batch, 3, case.side, case.side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        arm(images)
    parameters = sum(parameter.numel() for parameter in arm.parameters())
    return parameters / 1e6, counter.get_total_flops() / FLOPS_PER_MAC / 1e9


def whole(network: Callable[[Tensor], Outputs], pixels: Tensor) -> Tensor:
    """With pre- and post-processing: 8-bit pixels (B, 3, H, W) to class ids (B, H, W), uint8."""
    masks, classes = network(normalise(pixels))
    return class_scores(masks, classes, tuple(pixels.shape[-2:])).argmax(1).to(torch.uint8)


@contextmanager
def precision(device: torch.device):
    """Half precision on a GPU, as published; single on a processor."""
    mixed = torch.autocast(device.type, torch.float16) if device.type == "cuda" else nullcontext()
    with torch.inference_mode(), mixed:
        yield
