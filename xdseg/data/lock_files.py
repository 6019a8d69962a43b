"""What the files of all locks share."""

from pathlib import Path

from pydantic import BaseModel


class SplitEntry(BaseModel):
    """One split in a lock."""

    count: int
    images: str
    labelled: bool
    pixels: int


class LockedSplits:
    """What a lock of files says of a split; `_split` finds its entry or raises BadInput."""

    def _split(self, domain: str, split: str) -> SplitEntry:
        raise NotImplementedError

    def count(self, domain: str, split: str) -> int:
        """Number of images."""
        return self._split(domain, split).count

    def pixels(self, domain: str, split: str) -> int:
        """Pixels of all images together."""
        return self._split(domain, split).pixels

    def images(self, domain: str, split: str) -> str:
        """Digest of the split's images and their order."""
        return self._split(domain, split).images


def label_lock(lock: Path, domain: str, split: str) -> Path:
    """File with digest and statistics of one split's labels."""
    return lock.with_suffix("") / f"{domain}--{split}.labels.json"


def first_line(error: Exception) -> str:
    """What an error says, without its details."""
    return str(error).splitlines()[0]
