"""Networks of the papers' size on this machine: memory and seconds of a prediction and of a training step at 512 × 512.

MFuser with DINOv2-L and EVA02-CLIP-L at 336 (patches of 14), and Rein on DINOv2-L (patches of 16) with Mask2Former's
decoder; 19 classes, drawn weights, AdamW over what is trained, single precision. On a processor: one image, one
thread, each network in a process of its own, whose most memory is told; the first step, which makes the optimiser's
state, counts. On a GPU instead: two images, the published batch, in single precision and bfloat16; there memory is
what tensors hold at most beyond the network and, in training, its optimiser's state.

Bound: a training step's process stays within 24 GiB.
"""

import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import measure
import torch
from device_costs import cost, free
from torch import Tensor

from xdseg.registry import SEGMENTERS
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.scan.resolved import scan_backends
from xdseg.training import device as devices

MOST_GIB = 24
KIB_PER_GIB = 1 << 20
SIDE, BATCH, GPU_BATCH, ROUNDS = 512, 1, 2, 9
CLASSES = tuple(str(number) for number in range(19))
RECIPE = {"lr": 1e-4, "weight_decay": 1e-2}
CASES: dict[str, tuple[str, dict]] = {  # kind, what differs from its defaults, which are the published ones
    "mfuser-eva": ("mfuser", {}),
    "rein": ("foundation", {"tuning": {"kind": "rein"}, "size": SIDE}),
}
TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 8, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
QUICK_SIDE = 64
QUICK: dict[str, dict] = {
    "mfuser-eva": {"vfm": {"encoder": "xdseg_vit_tiny_patch8"}, "vlm": {"model": TINY}, "neck": {"width": 16}},
    "rein": {"encoder": "xdseg_vit_tiny_patch8", "patch": None, "size": QUICK_SIDE},
}


def network(case: str, *, quick: bool) -> Segmenter:
    """One of the cases with drawn weights, in training."""
    kind, changes = CASES[case]
    settings = SEGMENTERS[kind].settings(**changes | (QUICK[case] if quick else {}))
    return build_segmenter(kind, settings, CLASSES, seed=0).train()


def inputs(side: int, batch: int) -> tuple[Tensor, Tensor]:
    """Normalised images and their labels, drawn."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.randint(len(CLASSES), (batch, side // 8, side // 8), generator=draws)  # in squares
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return torch.randn(batch, 3, side, side, generator=draws), labels


class Step:
    """A training step, again and again."""

    def __init__(self, segmenter: Segmenter, images: Tensor, labels: Tensor, *, precision: str) -> None:
        self.segmenter, self.images, self.labels, self.precision = segmenter, images, labels, precision
        trained = [parameter for parameter in segmenter.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, **RECIPE)

    def __call__(self) -> None:
        """Forward, loss, backward, update."""
        self.optimiser.zero_grad()
        with devices.autocast(self.images.device, self.precision):
            losses = self.segmenter.decode(self.segmenter.encode(self.images)).loss(self.labels)
        sum(losses.values()).backward()
        self.optimiser.step()


class Prediction:
    """Scores of images, as at test time."""

    def __init__(self, segmenter: Segmenter, images: Tensor, *, precision: str) -> None:
        self.segmenter, self.images, self.precision = segmenter, images, precision

    def __call__(self) -> None:
        """One pass."""
        self.segmenter.eval()
        with torch.no_grad(), devices.autocast(self.images.device, self.precision):
            self.segmenter.predict(self.images)
        self.segmenter.train()


def on_processor(case: str, quick: bool) -> dict[str, float]:
    """Counts, seconds of the processor, and most memory in GiB; for a process of its own."""
    torch.set_num_threads(1)
    segmenter, (images, labels) = network(case, quick=quick), inputs(QUICK_SIDE if quick else SIDE, BATCH)
    every = list(segmenter.parameters())
    found = {"parameters": sum(p.numel() for p in every) / 1e6}
    found["trained"] = sum(p.numel() for p in every if p.requires_grad) / 1e6
    runs = {"forward": Prediction(segmenter, images, precision="fp32")}
    runs["training"] = Step(segmenter, images, labels, precision="fp32")
    for name, run in runs.items():
        began = time.process_time()
        run()
        found[f"s_{name}"] = time.process_time() - began
        found[f"gib_{name}"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GIB
    return found


def add_processor(found: measure.Results, *, quick: bool) -> None:
    """Add the figures of all cases, one process after another."""
    for case in CASES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            told = apart.submit(on_processor, case, quick).result()
        peak = measure.Figure(
            f"gib_{case}", [told["gib_training"]], most=MOST_GIB, unit="GiB", about=f"{case}: a training step's process"
        )
        found.bounded.append(peak)
        for key, unit, about in (
            ("gib_forward", "GiB", "a prediction's process"),
            ("s_forward", "s", "prediction"),
            ("s_training", "s", "training step"),
            ("parameters", "M", "parameters"),
            ("trained", "M", "of them trained"),
        ):
            found.others.append(measure.Figure(f"{key}_{case}", [told[key]], unit=unit, about=f"{case}: {about}"))


def add_gpu(found: measure.Results) -> None:
    """Add what two images take on the GPU, in two precisions."""
    device = torch.device("cuda")
    images, labels = (x.to(device) for x in inputs(SIDE, GPU_BATCH))
    for case in CASES:
        segmenter, runs = network(case, quick=False).to(device), {}
        for precision in ("fp32", "bf16"):
            runs[f"forward {precision}"] = Prediction(segmenter, images, precision=precision)
            runs[f"training {precision}"] = Step(segmenter, images, labels, precision=precision)
        found.notes |= {case: cost(device, runs, rounds=ROUNDS) | {"scan": scan_backends(segmenter, device)}}
        del segmenter, runs
        free(device)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    found = measure.Results(notes={"side": SIDE, "batch": BATCH, "gpu_batch": GPU_BATCH})
    if torch.cuda.is_available() and not chosen.quick:
        add_gpu(found)
    else:
        add_processor(found, quick=chosen.quick)
    return measure.report(found, chosen)


if __name__ == "__main__":
    sys.exit(main())
