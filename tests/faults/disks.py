"""Small disks to fill and to close: tmpfs mounts, for which a test needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = b"\0" * 4096


class Disk:
    """A mounted file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no block free."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(BLOCK)
            except OSError:
                pass

    def empty(self) -> None:
        """Take the ballast away."""
        (self.folder / "ballast").unlink()

    def close(self) -> None:
        """Make it read-only, for root too."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)

    def reopen(self) -> None:
        """Make it writable again."""
        subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)


@contextmanager
def disk(folder: Path, *, size: str) -> Iterator[Disk]:
    """A file system of `size`, as of tmpfs, at a folder. Skips the test where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
