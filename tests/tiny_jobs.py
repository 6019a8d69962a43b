"""Small jobs for tests: random images of one or two domains whose colour tells the class."""

from pathlib import Path

import numpy as np
import plugin_example  # noqa: F401  (declares the toys)

from xdseg.data.store import PixelStore, write_store
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.settings.runtime import Runtime
from xdseg.settings.training import Augmentation, Training
from xdseg.training.job import Split, TrainingJob

CLASSES = ("red", "green", "blue")
COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], dtype=np.uint8)
TINY_CLIP = {  # a model of open_clip with the eight blocks of the vision model beside it, and these classes' tokens
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 8},
    "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 2},
    "vocabulary": [0, 736, 1746, 1901, 49406, 49407],  # padding, red, blue, green, start, end
}
SENTENCES = [320, 539, 3772, 31832]  # a, of, clean, origami: what tqdm's fixed sentences say besides
TALKING_CLIP = TINY_CLIP | {"vocabulary": sorted(TINY_CLIP["vocabulary"] + SENTENCES)}
SMALL_DECODER = {
    **{"dim": 32, "heads": 2, "pixel_layers": 1, "pixel_feedforward": 32},
    **{"decoder_layers": 3, "decoder_feedforward": 32, "loss": {"points": 64}},
}
SMALL = {  # others are small by default
    "daformer": {"encoder": "mit_b0", "channels": 16, "dilations": (1, 2, 3)},
    "deeplabv2": {"encoder": "resnet18", "auxiliary": True},
    "deeplabv3plus": {"decoder_channels": 32, "atrous_rates": (1, 2, 3)},
    "eomt": {
        **{"encoder": "xdseg_vit_tiny_patch8", "patch": None, "query_blocks": 2, "queries": 6},
        "loss": {"points": 64},
    },
    "foundation": {
        **{"encoder": "xdseg_vit_tiny_patch8", "patch": None, "tuning": {"kind": "full", "lr_factor": 1}},
        "decay_embeddings": True,
        "decoder": {
            **{"dim": 32, "heads": 2, "queries": 6, "pixel_layers": 1, "pixel_feedforward": 32},
            **{"decoder_layers": 3, "decoder_feedforward": 32, "loss": {"points": 64}},
        },
    },
    "hrda": {
        "inner": {
            **{"kind": "deeplabv3plus", "output_stride": 8},
            **{"decoder_channels": 32, "atrous_rates": (1, 2, 3)},
        },
        **{"detail": 16, "detail_stride": 8, "attention_channels": 8},
    },
    "mfuser": {
        "vfm": {"encoder": "xdseg_vit_tiny_patch8"},
        "vlm": {"model": TINY_CLIP},
        "remainder": "pad",
        "neck": {"width": 16},
        "text": {"contexts": 2, "width": 16, "heads": 2},
        "decoder": SMALL_DECODER,
    },
    "segformer": {"encoder": "mit_b0", "channels": 16},
    "tqdm": {
        "vlm": {"model": TALKING_CLIP},
        "remainder": "pad",
        "neck": {"width": 16},
        "text": {"contexts": 2, "width": 16, "heads": 2},
        "tuning": {"kind": "full", "lr_factor": 1},
        "decoder": SMALL_DECODER,
    },
    "vit-mask2former": {
        **{"encoder": "xdseg_vit_tiny_patch8", "patch": None, "adapter_stem": 8, "adapter_ratio": 0.25},
        **{"dim": 32, "heads": 2, "queries": 6, "pixel_layers": 1, "pixel_feedforward": 32},
        **{"decoder_layers": 3, "decoder_feedforward": 32, "loss": {"points": 64}},
    },
}
OFF = {  # settings that switch an adaptation off; others take {"weight": 0}
    "adversarial": {"weight": 0, "auxiliary_weight": 0},
    "minent": {"weight": 0, "auxiliary_weight": 0},
    "tmt": {"weight": 0, "tma": {"kind": "none"}},
}
SMALL_TERMS = {  # what adaptations need to act on 32 x 32 pixels of three colours; others act as they are
    "feature-distance": {"classes": ["red"]},
    "masked-consistency": {"block": 8},
}
PROVIDER = ("dacs", {"threshold": 0.3})  # of pseudo-labels; of three classes one always has so much: their weight is 1
CPU = Runtime(device="cpu", log_every=2, checkpoint_every=4)


def label_map(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blocks of 8 x 8 pixels of one class, (height, width) uint8."""
    blocks = rng.integers(0, len(CLASSES), (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8), np.uint8))[:height, :width]


def make_split(folder: Path, domain: str, *, count: int = 6, labelled: bool = True, seed: int = 0) -> Split:
    """A split of images of several sizes, all labels valid, written to `folder`."""
    rng = np.random.default_rng(seed)
    maps = [label_map(rng, 40 + 4 * number, 60) for number in range(count)]
    names = [f"{number:02d}" for number in range(count)]
    write_store(folder / f"{domain}.images.json", names=names, arrays=[COLOURS[labels] for labels in maps], digest="i")
    if labelled:
        write_store(folder / f"{domain}.labels.json", names=names, arrays=maps, digest="l")
    labels = PixelStore(folder / f"{domain}.labels.json") if labelled else None
    return Split(domain, PixelStore(folder / f"{domain}.images.json"), labels)


def segmenter_settings(name: str, **changes):
    """Settings of a registered segmenter, small enough for tests."""
    return SEGMENTERS[name].settings(**(SMALL.get(name, {}) | changes))


def make_job(folder: Path, *, segmenter: str = "toy", adaptations=(), network=None, target="none", **training):
    """A job of 10 steps of 4 images; `target` is none, images or labels; adaptations are (name, settings dict)."""
    recipe = {"steps": 10, "batch": 4, "lr": 1e-2} | training
    return TrainingJob(
        fingerprint="f" * 64,
        segmenter=segmenter,
        segmenter_settings=segmenter_settings(segmenter, **(network or {})),
        adaptations=tuple((name, ADAPTATIONS[name].settings(**values)) for name, values in adaptations),
        training=Training(**recipe),
        augmentation=Augmentation(crop=32, scale=(0.8, 1.2)),
        classes=CLASSES,
        ignore_index=255,
        seed=3,
        source=(make_split(folder, "day"),),
        target=None if target == "none" else make_split(folder, "dusk", labelled=target == "labels", seed=1),
    )


def terms(name: str, **values) -> list[tuple[str, dict]]:
    """An adaptation with these settings, and before it one that provides pseudo-labels if it needs another's."""
    values = SMALL_TERMS.get(name, {}) | values
    network = segmenter_settings("toy")
    description = SEGMENTERS["toy"].load()(network, CLASSES).describe()
    part = ADAPTATIONS[name].load()(ADAPTATIONS[name].settings(**values), description)
    alone = part.provides_pseudo_labels or not part.needs.pseudo_labels
    return ([] if alone else [PROVIDER]) + [(name, values)]


def target_of(name: str) -> str:
    """What `make_job` must grant an adaptation."""
    return ADAPTATIONS[name].needs_target.replace("nothing", "none")
