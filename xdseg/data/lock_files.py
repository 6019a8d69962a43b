"""What the files of all locks share."""

from pathlib import Path

from pydantic import BaseModel


class SplitEntry(BaseModel):
    """One split in a lock."""

    count: int
    images: str
    labelled: bool
    pixels: int


def label_lock(lock: Path, domain: str, split: str) -> Path:
    """File with digest and statistics of one split's labels."""
    return lock.with_suffix("") / f"{domain}--{split}.labels.json"


def first_line(error: Exception) -> str:
    """What an error says, without its details."""
    return str(error).splitlines()[0]
