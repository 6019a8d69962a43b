"""Versions of the parts of XDSeg that decide results, and the sources that each stands for.

Sources include the settings, since a changed default changes results that no setting names.
A version enters fingerprints; raising one makes every result that depends on it stale. `tests/versions.lock` holds a
digest of each part's code. Code that changed without its version is refused by a test; then either raise the version,
or say why the change alters no result:

    python -m xdseg.versions                                     lists what changed
    python -m xdseg.versions NAME --neutral "renamed a variable"   writes the new digest with that reason
    python -m xdseg.versions NAME                                writes it after the version was raised
"""

import argparse
import ast
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from xdseg.canonical import fingerprint

PACKAGE = Path(__file__).parent
LOCK = PACKAGE.parent / "tests" / "versions.lock"

VERSIONS = {
    "augmentation": 1,
    "backbones": 1,
    "backbones clip": 1,
    "board": 8,
    "contract": 1,
    "datasets": 1,
    "inference": 1,
    "loading": 1,
    "metric": 1,
    "training": 1,
}

DENSE_SOURCES = ("segmenters/encoders.py", "settings/dense.py")

MIT_SOURCES = (*DENSE_SOURCES, "segmenters/layers.py", "segmenters/mit.py", "settings/mit.py")

MASK_SOURCES = ("mask_loss", "mask_prediction", "matching", "points", "vit", "vit_steering")

FOUNDATION_SOURCES = (
    *(f"segmenters/{name}.py" for name in (*MASK_SOURCES, "dense", "weights")),
    *("segmenters/foundation/*.py", "segmenters/ladder/*.py", "segmenters/eomt_weights/*.py"),
    *(f"settings/{name}.py" for name in ("encoders", "mask2former", "mask_loss", "neck", "query_decoder", "text")),
    "settings/text_queries.py",
)

SOURCES = {
    "augmentation": (
        *(f"data/{name}.py" for name in ("augmentation", "crops", "distortion", "tensors")),
        *("settings/photometric.py", "settings/training.py"),
        *("evaluation/sizes.py", "settings/sizes.py"),
    ),
    "backbones": ("backbones/*.py", "settings/backbones.py"),
    "backbones clip": ("backbones/clip/*.py", "settings/clip.py"),
    "board": ("reporting/*.py", "reporting/statistics/*.py", "reporting/templates/*"),
    "contract": (
        "adaptations/build.py",
        "segmenters/build.py",
        "segmenters/weights.py",
        "segmenters/contract.py",
        "segmenters/dense.py",
        "segmenters/parameters.py",
        "segmenters/steering.py",
        "adaptations/contract.py",
    ),
    "datasets": ("datasets/*.py",),  # a reader alone raises its own version, and this part is declared neutral
    "inference": (
        "data/tensors.py",
        "evaluation/inference.py",
        "evaluation/predictions.py",
        "evaluation/sizes.py",
        "settings/evaluation.py",
        "settings/sizes.py",
        "stages/predict.py",
    ),
    "loading": (
        *(f"data/{name}.py" for name in ("cache", "class_counts", "decoding", "loading", "order", "pixels")),
        *(f"data/{name}.py" for name in ("rare_classes", "store")),
        "settings/sampling.py",
        "training/streams.py",
    ),
    "metric": (
        *(f"evaluation/{name}.py" for name in ("confusion", "dice", "raw_ids", "scores", "summary", "truth_size")),
        "datasets/spaces.py",
        "settings/evaluation.py",
        "settings/sizes.py",
        "stages/score.py",
    ),
    "training": (
        *(
            f"training/{name}.py"
            for name in (
                "checkpoint",
                "device",
                "frozen",
                "loop",
                "optimisers",
                "ranks",
                "schedule",
                "shared_norm",
                "step",
                "teacher",
                "train_step",
                "whole_draws",
            )
        ),
        "training/frozen.py",
        "settings/photometric.py",
        "settings/training.py",
        "stages/train.py",
    ),
    "streetworld": ("data/streetworld/*.py",),
    "adaptation adversarial": (
        *(f"adaptations/{name}.py" for name in ("adversarial", "discriminator", "entropy", "levels")),
        *("settings/adversarial.py", "settings/levels.py"),
    ),
    "adaptation dacs": (
        *(f"adaptations/{name}.py" for name in ("classmix", "dacs", "photometric", "pseudo_labels")),
        "settings/dacs.py",
    ),
    "adaptation minent": (
        *(f"adaptations/{name}.py" for name in ("entropy", "levels", "minent", "pseudo_labels")),
        *("settings/levels.py", "settings/minent.py"),
    ),
    "adaptation feature-distance": ("adaptations/feature_distance.py", "settings/feature_distance.py"),
    "adaptation masked-consistency": (
        *(f"adaptations/{name}.py" for name in ("masked_consistency", "photometric")),
        *(f"settings/{name}.py" for name in ("dacs", "masked_consistency")),
    ),
    "adaptation mfm": (
        *("adaptations/mfm/*.py", "adaptations/photometric.py"),
        *("settings/dacs.py", "settings/mfm.py"),
    ),
    "adaptation tmt": ("adaptations/tmt/*.py", "adaptations/entropy.py", "settings/tmt.py"),
    "segmenter daformer": ("segmenters/daformer.py", *MIT_SOURCES),
    "segmenter deeplabv2": ("segmenters/deeplabv2.py", "settings/deeplabv2.py", *DENSE_SOURCES),
    "segmenter deeplabv3plus": ("segmenters/deeplabv3plus.py", "settings/segmenters.py", *DENSE_SOURCES),
    "segmenter eomt": (
        *(f"segmenters/{name}.py" for name in ("annealing", "eomt", "mask_head", *MASK_SOURCES)),
        *("segmenters/eomt_weights/*.py", "settings/eomt.py", "settings/mask_loss.py"),
    ),
    "segmenter foundation": (
        *(f"segmenters/{name}.py" for name in ("foundation_segmenter", *MASK_SOURCES)),
        *("segmenters/foundation/neck.py", "segmenters/foundation/statistics.py"),
        *("segmenters/ladder/*.py", "segmenters/tunings/*.py"),
        *(f"settings/{name}.py" for name in ("foundation", "mask2former", "mask_loss", "neck", "tunings")),
    ),
    "segmenter hrda": (
        *("segmenters/hrda/*.py", "segmenters/layers.py", "segmenters/segformer.py", "evaluation/inference.py"),
        *("settings/hrda.py", "settings/wrapped.py"),
    ),
    "segmenter mfuser": (
        *FOUNDATION_SOURCES,
        *("segmenters/mfuser/*.py", "segmenters/mvfuser.py", "segmenters/scan/*.py", "settings/mfuser.py"),
    ),
    "segmenter segformer": ("segmenters/segformer.py", *MIT_SOURCES),
    "segmenter tqdm": (
        *FOUNDATION_SOURCES,
        *("segmenters/tqdm.py", "segmenters/mvfuser.py", "segmenters/scan/*.py"),
        *("settings/tqdm.py", "settings/tunings.py"),
    ),
    "segmenter vit-mask2former": (
        *(f"segmenters/{name}.py" for name in MASK_SOURCES),
        *("segmenters/ladder/*.py", "settings/ladder.py", "settings/mask2former.py", "settings/mask_loss.py"),
    ),
}


def current_versions() -> dict[str, int]:
    """Version of every part that has sources: of the frame, the generator and each component."""
    from xdseg.data.streetworld.settings import VERSION
    from xdseg.registry import ADAPTATIONS, SEGMENTERS

    found = VERSIONS | {"streetworld": VERSION}
    for registry in (SEGMENTERS, ADAPTATIONS):
        found |= {f"{registry.kind} {name}": registry[name].version for name in registry}
    return {name: found[name] for name in SOURCES}


def sources_of(name: str) -> list[Path]:
    """Files that a part's version stands for."""
    return sorted(path for pattern in SOURCES[name] for path in PACKAGE.glob(pattern))


def code_digest(paths: Iterable[Path]) -> str:
    """Digest of the code in files: of Python without comments, docstrings and layout, of templates every letter."""
    return fingerprint([[path.name, _code(path)] for path in paths])


def _code(path: Path) -> str:
    return ast.unparse(_without_docstrings(path)) if path.suffix == ".py" else path.read_text()


def _without_docstrings(path: Path) -> ast.Module:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    """A bare string: a docstring of a module, class, function or attribute."""
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


def read_lock(path: Path = LOCK) -> dict[str, dict]:
    """The digests last agreed to."""
    return json.loads(path.read_text()) if path.exists() else {}


def changed(lock: dict[str, dict]) -> list[str]:
    """Parts whose code is not the agreed one, each with what to do."""
    lines = []
    for name, version in current_versions().items():
        entry = lock.get(name, {"version": 0, "digest": ""})
        if entry["digest"] != code_digest(sources_of(name)):
            raised = version > entry["version"]
            mend = f"run `python -m xdseg.versions '{name}'`" if raised else "raise its version, or declare it neutral"
            lines.append(f"{name}: its code changed since version {entry['version']}; {mend}")
        elif entry["version"] != version:
            lines.append(f"{name}: version {version} without a change of code; set it back or run xdseg.versions")
    return lines


def agree(name: str, reason: str | None, path: Path = LOCK) -> str | None:
    """Write the digest of a part; returns why that is refused, or None."""
    lock, version = read_lock(path), current_versions()[name]
    entry = lock.get(name, {"version": 0, "neutral": []})
    if version <= entry["version"] and not reason:
        return f"{name}: still version {version}; raise it, or give --neutral with a reason"
    neutral = [*entry["neutral"], reason] if reason else []
    lock[name] = {"version": version, "digest": code_digest(sources_of(name)), "neutral": neutral}
    path.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n")
    return None


def main() -> int:
    """List what changed, or agree to one change."""
    parser = argparse.ArgumentParser(prog="python -m xdseg.versions", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(SOURCES))
    parser.add_argument("--neutral", metavar="REASON", help="why the change alters no result")
    options = parser.parse_args()
    lines = [agree(options.name, options.neutral)] if options.name else changed(read_lock())
    for line in filter(None, lines):
        print(line)
    return int(any(lines))


if __name__ == "__main__":
    sys.exit(main())
