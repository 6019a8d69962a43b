"""Decoded pixels on a node's own disk, for a cluster whose shared folder is slow to read in small pieces.

Off unless $XDSEG_STAGE names a folder, in which variables are looked up on the node: `XDSEG_STAGE='$TMPDIR'`. A split
is copied once per folder, by the first process that reads it; where that fails, the shared folder is read as ever.
"""

import os
import platform
import shutil
import stat
from pathlib import Path

from xdseg.errors import BadInput
from xdseg.files import temporary, write_text
from xdseg.process import run_lock

VARIABLE = "XDSEG_STAGE"


def staged(index: Path) -> Path:
    """Index of the local copy of a store, made now if there is none; `index` itself where staging is off or fails.

    Raises BadInput if the variable names one that this node does not have.
    """
    asked = os.environ.get(VARIABLE)
    if not asked:
        return index
    folder = os.path.expandvars(asked)
    if "$" in folder:
        raise BadInput(f"{VARIABLE}={asked}: not set on {platform.node()}; name a folder on the node's own disk")
    try:
        return _copied(index, _own_folder(Path(folder)) / index.parent.name / index.name)
    except OSError as error:
        print(f"{index}: not staged in {folder} ({error.strerror or error}); read where it is", flush=True)
        return index


def _own_folder(folder: Path) -> Path:
    """A folder below `folder` that nobody else can write to, also where everybody can write to `folder`."""
    own = folder / f"xdseg-{os.getuid()}"
    own.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    status = own.lstat()
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.getuid()
        or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError(f"{own} is not this user's alone")
    return own


def _copied(index: Path, copy: Path) -> Path:
    """The pixels first, the index last and by renaming, so that an interrupted copy is never taken for whole."""
    contents = index.read_text()
    with run_lock(copy.parent / ".locks" / copy.stem):
        if not (copy.exists() and copy.read_text() == contents):
            with temporary(copy.with_suffix(".bin")) as unfinished:
                shutil.copyfile(index.with_suffix(".bin"), unfinished)
            write_text(copy, contents)
    return copy
