"""Which pre-trained weights a setting means: their content, never their path. Light to import.

A record beside a file of weights (`mit_b0.json` beside `mit_b0.safetensors`, as `xdseg pretrain` writes it) says the
file's SHA-256. Fingerprints take it from there, so that they are known where the file is not; whoever loads the file
compares. A file without a record is hashed.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from xdseg.errors import BadInput
from xdseg.files import file_digest

IMAGENET, TIMM, OPEN_CLIP = "imagenet", "timm", "open_clip"  # fetched by the library that publishes them
PUBLISHED = (IMAGENET, TIMM, OPEN_CLIP)
CONFIG = ".json"  # ending of a file that says how a model is built
CONFIG_KEYS = ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale", "init_logit_bias")
BESIDE = ("preprocess_cfg", "vocabulary")  # what such a file may say besides
DIGEST = "weights_sha256"


def weights_identity(weights: str, *, where: str = "weights") -> str:
    """Digest of a weights file, or the name of published weights; `where` is the setting's name.

    Raises BadInput if there is neither the file nor a record of it.
    """
    if weights in PUBLISHED:
        return weights
    path = weights_file(weights)
    if (said := recorded(path)) is not None:
        return said
    if not path.is_file():
        published = " or ".join(f"`{name}`" for name in PUBLISHED)
        mend = f"name a file, or what the kind can fetch: {published}"
        raise BadInput(f"params: segmenters: {where}: {weights}: no such file; {mend}")
    found = path.stat()
    return _digest(path, found.st_mtime_ns, found.st_size)


def model_config(model: str | dict[str, Any]) -> str | dict[str, Any]:
    """A vision-language model as settings mean it: its name in open_clip, or its configuration, read from a file .json.

    A file may hold the configuration under `model_cfg`, as open_clip's do, and other keys, which decide nothing.
    Raises BadInput for a file that is missing or holds none.
    """
    if isinstance(model, str) and not model.endswith(CONFIG):
        return model
    where, found = ("vlm.model", model) if isinstance(model, dict) else (model, _read_config(Path(model).expanduser()))
    found = found | found.get("model_cfg", {})
    if missing := [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in found]:
        raise BadInput(f"{where}: no configuration of a model of open_clip, as it has no {missing[0]}")
    return {key: found[key] for key in (*CONFIG_KEYS, *BESIDE) if key in found}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        said = "no such file" if isinstance(error, FileNotFoundError) else f"not readable ({error})"
        raise BadInput(f"{path}: {said}; name a model of open_clip, or a file with its configuration") from None
    return found if isinstance(found, dict) else {}


def weights_file(weights: str) -> Path:
    """The path that a setting names."""
    return Path(weights).expanduser()


@lru_cache
def _digest(path: Path, *_: int) -> str:
    """One reading per state of a file: a grid asks for it once per method."""
    return file_digest(path)


def recorded(path: Path) -> str | None:
    """What the record beside a weights file says, or None without a record that can be read."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return None
    return record.get(DIGEST) if isinstance(record, dict) else None


def check_content(path: Path) -> None:
    """Raises BadInput if a weights file is not the one that the record beside it names."""
    said = recorded(path)
    if said is not None and path.is_file() and file_digest(path) != said:
        record = path.with_suffix(".json")
        raise BadInput(f"{path}: not the file that {record} records; fetch it again, or remove the record")
