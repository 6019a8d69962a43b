"""Canonical JSON and the fingerprints made of it."""

import hashlib
import json
from typing import Any

SHORT = 8  # characters of a fingerprint that stand in paths; records hold all 64


def canonical_json(payload: Any) -> str:
    """One spelling per value: sorted keys, no blanks, no NaN. Raises ValueError for NaN and infinity."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def fingerprint(payload: Any) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def short(digest: str) -> str:
    """The first eight characters of a digest, as they stand in paths."""
    return digest[:SHORT]
