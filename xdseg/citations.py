"""The papers behind segmenters, tunings and adaptations, by kind, as far as they have been confirmed.

A field stands here only where the paper's own repository, the entry that it asks to be cited by, or the project's notes
on it say so. What none of them says is left out, and entries name what they lack: a reader takes it from the paper.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from xdseg import __version__

PAPERS: dict[str, dict[str, str]] = {
    "adaptsegnet": {
        "note": "AdaptSegNet",
        "author": "Y.-H. Tsai and W.-C. Hung and S. Schulter and K. Sohn and M.-H. Yang and M. Chandraker",
        "title": "Learning to Adapt Structured Output Space for Semantic Segmentation",
        "booktitle": "CVPR",
        "year": "2018",
        "eprint": "1802.10349",
    },
    "advent": {
        "note": "ADVENT: AdvEnt and MinEnt",
        "author": "T.-H. Vu and H. Jain and M. Bucher and M. Cord and P. P{\\'e}rez",
        "title": "{ADVENT}: Adversarial Entropy Minimization for Domain Adaptation in Semantic Segmentation",
        "booktitle": "CVPR",
        "year": "2019",
        "eprint": "1811.12833",
    },
    "dacs": {
        "note": "DACS",
        "author": "W. Tranheden and V. Olsson and J. Pinto and L. Svensson",
        "title": "{DACS}: Domain Adaptation via Cross-domain Mixed Sampling",
        "booktitle": "WACV",
        "year": "2021",
        "eprint": "2007.08702",
    },
    "daformer": {
        "note": "DAFormer",
        "author": "L. Hoyer and D. Dai and L. {Van Gool}",
        "title": "{DAFormer}: Improving Network Architectures and Training Strategies for Domain-Adaptive Semantic "
        "Segmentation",
        "booktitle": "CVPR",
        "year": "2022",
        "eprint": "2111.14887",
    },
    "deeplabv2": {
        "note": "DeepLabV2",
        "author": "L.-C. Chen and G. Papandreou and I. Kokkinos and K. Murphy and A. L. Yuille",
        "title": "{DeepLab}: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully "
        "Connected {CRFs}",
        "journal": "IEEE TPAMI",
        "year": "2017",
    },
    "deeplabv3plus": {
        "note": "DeepLabV3+",
        "author": "L.-C. Chen and Y. Zhu and G. Papandreou and F. Schroff and H. Adam",
        "title": "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
        "booktitle": "ECCV",
        "year": "2018",
        "eprint": "1802.02611",
    },
    "dora": {
        "note": "DoRA",
        "author": "S.-Y. Liu and C.-Y. Wang and H. Yin and P. Molchanov and Y.-C. F. Wang and K.-T. Cheng "
        "and M.-H. Chen",
        "title": "{DoRA}: Weight-Decomposed Low-Rank Adaptation",
        "booktitle": "ICML",
        "year": "2024",
        "eprint": "2402.09353",
    },
    "eomt": {
        "note": "EoMT",
        "author": "T. Kerssies and N. Cavagnero and A. Hermans and N. Norouzi and G. Averta and B. Leibe and "
        "G. Dubbelman and D. {de Geus}",
        "title": "Your {ViT} is Secretly an Image Segmentation Model",
        "booktitle": "CVPR",
        "year": "2025",
        "eprint": "2503.19108",
        "url": "https://github.com/tue-mps/eomt",
    },
    "hrda": {
        "note": "HRDA",
        "author": "L. Hoyer and D. Dai and L. {Van Gool}",
        "title": "{HRDA}: Context-Aware High-Resolution Domain-Adaptive Semantic Segmentation",
        "booktitle": "ECCV",
        "year": "2022",
        "eprint": "2204.13132",
    },
    "lora": {
        "note": "LoRA",
        "author": "E. J. Hu and Y. Shen and P. Wallis and Z. Allen-Zhu and Y. Li and S. Wang and L. Wang and W. Chen",
        "title": "{LoRA}: Low-Rank Adaptation of Large Language Models",
        "booktitle": "ICLR",
        "year": "2022",
        "eprint": "2106.09685",
    },
    "mask2former": {
        "note": "Mask2Former",
        "author": "B. Cheng and I. Misra and A. G. Schwing and A. Kirillov and R. Girdhar",
        "title": "Masked-attention Mask Transformer for Universal Image Segmentation",
        "booktitle": "CVPR",
        "year": "2022",
        "eprint": "2112.01527",
    },
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
        "author": "X. Zhang and R. T. Tan",
        "title": "Mamba as a Bridge: Where Vision Foundation Models Meet Vision Language Models for Domain-Generalized "
        "Semantic Segmentation",
        "booktitle": "CVPR",
        "year": "2025",
        "eprint": "2504.03193",
        "url": "https://github.com/devinxzhang/MFuser",
    },
    "mic": {
        "note": "MIC",
        "author": "L. Hoyer and D. Dai and H. Wang and L. {Van Gool}",
        "title": "{MIC}: Masked Image Consistency for Context-Enhanced Domain Adaptation",
        "booktitle": "CVPR",
        "year": "2023",
        "eprint": "2212.01322",
        "url": "https://github.com/lhoyer/MIC",
    },
    "rein": {
        "note": "Rein",
        "author": "Z. Wei and L. Chen and Y. Jin and X. Ma and T. Liu and P. Ling and B. Wang and H. Chen and J. Zheng",
        "title": "Stronger, Fewer, \\& Superior: Harnessing Vision Foundation Models for Domain Generalized Semantic "
        "Segmentation",
        "booktitle": "CVPR",
        "year": "2024",
        "eprint": "2312.04265",
        "url": "https://github.com/w1oves/Rein",
    },
    "segformer": {
        "note": "SegFormer",
        "author": "E. Xie and W. Wang and Z. Yu and A. Anandkumar and J. M. Alvarez and P. Luo",
        "title": "{SegFormer}: Simple and Efficient Design for Semantic Segmentation with Transformers",
        "booktitle": "NeurIPS",
        "year": "2021",
        "eprint": "2105.15203",
    },
    "soma": {
        "note": "SoMA",
        "author": "S. Yun and S. Chae and D. Lee and Y. Ro",
        "title": "{SoMA}: Singular Value Decomposed Minor Components Adaptation for Domain Generalizable "
        "Representation Learning",
        "booktitle": "CVPR",
        "year": "2025",
        "eprint": "2412.04077",
        "url": "https://github.com/ysj9909/SoMA",
    },
    "tmt": {
        "note": "TMT; authors of its first version",
        "author": "E. Zhang and Z. Li and Y. Wu and J. Wang and Y. Tan and R. Zhao and G. Wang and Y. Li",
        "year": "2025",
        "eprint": "2504.05774",
    },
    "tqdm": {
        "note": "tqdm",
        "author": "B. Pak and B. Woo and S. Kim and D. Kim and H. Kim",
        "title": "Textual Query-Driven Mask Transformer for Domain Generalized Segmentation",
        "booktitle": "ECCV",
        "year": "2024",
        "eprint": "2407.09033",
        "url": "https://github.com/ByeongHyunPak/tqdm",
    },
    "vit-adapter": {
        "note": "ViT-Adapter",
        "author": "Z. Chen and Y. Duan and W. Wang and J. He and T. Lu and J. Dai and Y. Qiao",
        "title": "Vision Transformer Adapter for Dense Predictions",
        "year": "2022",
        "eprint": "2205.08534",
        "url": "https://github.com/czczup/ViT-Adapter",
    },
    "vltseg": {
        "note": "VLTSeg",
        "title": "Strong but simple: A Baseline for Domain Generalized Dense Perception by {CLIP}-based Transfer "
        "Learning",
        "booktitle": "ACCV",
        "year": "2024",
        "eprint": "2312.02021",
        "url": "https://github.com/VLTSeg/VLTSeg",
    },
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

KINDS = {"booktitle": "inproceedings", "journal": "article"}  # of entry, by the field that it needs
EXPECTED = ("author", "title", "year")  # of every paper
ORDER = ("author", "title", "booktitle", "journal", "year", "eprint", "archivePrefix", "version", "url", "note")
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
    kind = next((kind for field, kind in KINDS.items() if field in fields), "misc")
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
