"""The suites that a pack is about, as they are locked here: the numbers are about the same data, or refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdseg.data.locks import Lock, open_lock
from xdseg.errors import BadInput, suggest
from xdseg.exchange.leaning import BETWEEN
from xdseg.exchange.manifest import SuiteDigests
from xdseg.panels import allows_showing
from xdseg.settings.suites import Suite


@dataclass(frozen=True)
class Here:
    """A suite whose lock here is the sender's too, as far as the pack leans on it."""

    lock: Lock
    images: bool  # may they be handed on?


def locked_here(suites: Mapping[str, Suite], said: Mapping[str, SuiteDigests]) -> tuple[dict[str, Here], list[str]]:
    """Suites by name, and why others are none; `suites` are those of the settings in force."""
    found, faults = {}, []
    for name, digests in sorted(said.items()):
        if name not in suites:
            faults.append(f"suite {name!r} is not among the settings in force; {suggest(name, suites)}")
            continue
        lock = open_lock(name, suites[name])
        if differing := [*_faults(lock, digests)]:
            faults += [f"suite {name}: {fault}" for fault in differing]
        else:
            found[name] = Here(lock, allows_showing(suites[name], lock))
    return found, faults


def _faults(lock: Lock, said: SuiteDigests) -> Iterator[str]:
    try:
        if (list(lock.classes), lock.ignore_index) != (said.classes, said.ignore_index):
            yield "its classes or their ids are others here"
            return
    except BadInput as error:  # no lock here
        yield str(error)
        return
    for at, digests in sorted(said.splits.items()):
        domain, _, split = at.partition(BETWEEN)
        if not lock.has(domain, split) or not lock.locked(domain, split):
            yield f"{domain} {split} is not locked here"
            continue
        if lock.images(domain, split) != digests.images:
            yield f"{domain} {split}: other images are locked here"
        if (lock.labels(domain, split) if lock.labelled(domain, split) else None) != digests.labels:
            yield f"{domain} {split}: other labels are locked here"
