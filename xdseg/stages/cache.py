"""`xdseg cache INDEX`: decode or draw one split's images or labels."""

import re
from pathlib import Path

from xdseg.cells import Context
from xdseg.data.cache import fill_from_folder, fill_from_generator
from xdseg.data.cache_public import fill_from_public
from xdseg.data.locks import FolderLock
from xdseg.data.public_lock import PublicLock
from xdseg.errors import BadInput
from xdseg.process import run_lock
from xdseg.workflow import cache_path

INDEX = re.compile(r"(?P<domain>.+?)--(?P<split>.+?)--(?P<what>images|labels)--[0-9a-f]{8}\.json")


def cache(index: Path, context: Context) -> None:
    """Fill one store. Raises BadInput if the settings or the data are not those that its name stands for."""
    found = INDEX.fullmatch(index.name)
    if not found:
        raise BadInput(f"{index}: no name of a decoded split")
    domain, split, what = found["domain"], found["split"], found["what"]
    if cache_path(context, domain, split, what) != str(index):
        raise BadInput(f"{index}: not the {what} of {domain} {split} in the lock; run snakemake again")
    fill(index, context, domain=domain, split=split, what=what)


def fill(index: Path, context: Context, *, domain: str, split: str, what: str) -> None:
    """Decode or draw a split into `index`, unless that is done."""
    suite = context.params.suites[context.suite]
    with run_lock(index.parent / ".locks" / index.stem):
        if index.exists():
            return
        if isinstance(context.lock, FolderLock):
            line = fill_from_folder(
                index,
                context.lock,
                context.suite,
                suite,
                domain=domain,
                split=split,
                what=what,
                cache_gb=context.params.runtime.cache_gb,
            )
        elif isinstance(context.lock, PublicLock):
            line = fill_from_public(
                index, context.lock, domain=domain, split=split, what=what, cache_gb=context.params.runtime.cache_gb
            )
        else:
            digest = context.lock.images(domain, split) if what == "images" else context.lock.labels(domain, split)
            line = fill_from_generator(index, suite.generator, domain=domain, split=split, what=what, digest=digest)
    print(line, flush=True)
