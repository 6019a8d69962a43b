"""The papers behind segmenters, tunings and adaptations, by kind, as far as they have been confirmed.

A field stands here only where the project's own notes on the paper or its code say it. What they do not say is left
out, and BibTeX entries name what they lack: a reader takes it from the paper.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from xdseg import __version__

PAPERS: dict[str, dict[str, str]] = {
    "adaptsegnet": {"note": "AdaptSegNet", "booktitle": "CVPR", "year": "2018"},
    "advent": {"note": "ADVENT: AdvEnt and MinEnt"},
    "dacs": {"note": "DACS"},
    "daformer": {"note": "DAFormer"},
    "deeplabv2": {"note": "DeepLabV2"},
    "deeplabv3plus": {"note": "DeepLabV3+"},
    "dora": {"note": "DoRA"},
    "eomt": {
        "note": "EoMT",
        "title": "Your {ViT} is Secretly an Image Segmentation Model",
        "booktitle": "CVPR",
        "year": "2025",
        "eprint": "2503.19108",
        "url": "https://github.com/tue-mps/eomt",
    },
    "hrda": {"note": "HRDA"},
    "lora": {"note": "LoRA"},
    "mask2former": {"note": "Mask2Former"},
    "mfm": {
        "note": "MRM, first called MFM",
        "author": "W. Zhou and Z. Zhou and T. Xian and Y. Zhai and W. Wu and B. Ma",
        "title": "Masked Representation Modeling for Domain-Adaptive Segmentation",
        "booktitle": "CVPR",
        "year": "2026",
        "eprint": "2509.13801",
        "url": "https://github.com/Wenlve-Zhou/MRM",
    },
    "mfuser": {
        "note": "MFuser",
        "author": "Zhang and Tan",
        "booktitle": "CVPR",
        "year": "2025",
        "eprint": "2504.03193",
        "url": "https://github.com/devinxzhang/MFuser",
    },
    "mic": {"note": "MIC", "url": "https://github.com/lhoyer/MIC"},
    "rein": {"note": "Rein"},
    "segformer": {"note": "SegFormer"},
    "soma": {"note": "SoMA"},
    "tmt": {
        "note": "TMT; authors of its first version",
        "author": "E. Zhang and Z. Li and Y. Wu and J. Wang and Y. Tan and R. Zhao and G. Wang and Y. Li",
        "year": "2025",
        "eprint": "2504.05774",
    },
    "tqdm": {"note": "tqdm"},
    "vit-adapter": {"note": "ViT-Adapter", "url": "https://github.com/czczup/ViT-Adapter"},
    "vltseg": {"note": "VLTSeg"},
}

OURS: tuple[str, ...] = ()  # nobody's paper: what needs none, or what is this project's own
SEGMENTERS = {
    "daformer": ("daformer", "segformer"),
    "deeplabv2": ("deeplabv2",),
    "deeplabv3plus": ("deeplabv3plus",),
    "eomt": ("eomt",),
    "foundation": ("mask2former",),
    "hrda": ("hrda",),
    "mfuser": ("mfuser", "tqdm", "mask2former"),
    "segformer": ("segformer",),
    "tqdm": ("tqdm", "mask2former"),
    "vit-mask2former": ("vit-adapter", "mask2former", "eomt"),  # and the steps from one to the other, EoMT's
}
TUNINGS = {
    "dora": ("dora",),
    "frozen": OURS,
    "full": OURS,
    "lora": ("lora",),
    "rein": ("rein",),
    "soma": ("soma",),
}
ADAPTATIONS = {
    "adversarial": ("adaptsegnet",),
    "dacs": ("dacs",),
    "feature-distance": ("daformer",),
    "masked-consistency": ("mic",),
    "mfm": ("mfm",),
    "minent": ("advent",),
    "tmt": ("tmt",),
}
CASES = {  # kind, setting, value: what it rests on besides
    ("adversarial", "input", "self-information"): ("advent",),
    ("dacs", "classes_of", "batch"): ("daformer",),
}
ENTRIES = {"vltseg": ("vltseg",)}  # entries of segmenters: in params.yaml whose paper their kind does not tell

EXPECTED = ("author", "title", "year")  # of every paper
ORDER = ("author", "title", "booktitle", "year", "eprint", "archivePrefix", "version", "url", "note")
XDSEG = {
    "author": "{The XDSeg developers}",
    "title": "{XDSeg}: a benchmark of semantic segmentation across domains",
    "version": __version__,
}


def cases(kind: str, settings: Any) -> tuple[str, ...]:
    """Papers that a component's settings add to those of its kind."""
    found = [keys for (of, name, value), keys in CASES.items() if of == kind and getattr(settings, name, None) == value]
    return tuple(key for keys in found for key in keys)


def bibtex(key: str) -> str:
    """The BibTeX entry of a paper, below a comment that names what is not confirmed, if anything is not."""
    fields = PAPERS[key]
    lacking = [name for name in EXPECTED if name not in fields]
    kind = "inproceedings" if "booktitle" in fields else "misc"
    prefix = {"archivePrefix": "arXiv"} if "eprint" in fields else {}
    comment = f"% {fields['note']}: not confirmed here, take from the paper: {', '.join(lacking)}\n" if lacking else ""
    return comment + "\n".join(_entry(kind, key, fields | prefix))


def own_bibtex() -> str:
    """The entry of XDSeg itself."""
    return "\n".join(_entry("misc", "xdseg", XDSEG))


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> Iterator[str]:
    yield f"@{kind}{{{key},"
    yield from (f"  {name} = {{{fields[name]}}}," for name in ORDER if name in fields)
    yield "}"
