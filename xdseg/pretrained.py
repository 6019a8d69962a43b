"""Which pre-trained weights a setting means: their content, never their path. Light to import.

A record beside a file of weights (`mit_b0.json` beside `mit_b0.safetensors`, as `xdseg pretrain` writes it) says the
file's SHA-256. Fingerprints take it from there, so that they are known where the file is not; whoever loads the file
compares. A file without a record is hashed.
"""

import json
from functools import lru_cache
from pathlib import Path

from xdseg.errors import BadInput
from xdseg.files import file_digest

IMAGENET, TIMM = "imagenet", "timm"  # fetched by the library that publishes them
PUBLISHED = (IMAGENET, TIMM)
DIGEST = "weights_sha256"


def weights_identity(weights: str) -> str:
    """Digest of a weights file, or the name of published weights.

    Raises BadInput if there is neither the file nor a record of it.
    """
    if weights in PUBLISHED:
        return weights
    path = weights_file(weights)
    if (said := recorded(path)) is not None:
        return said
    if not path.is_file():
        raise BadInput(f"params: segmenters: weights {weights}: no such file; name a file, or `imagenet`")
    found = path.stat()
    return _digest(path, found.st_mtime_ns, found.st_size)


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
