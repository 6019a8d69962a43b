"""What a run leaves on disk: its last two resume states, and in the end its weights with a report beside them.

A state is torch's zip file. It holds a CRC-32 of every part, which torch writes and does not look at: it is checked
here, so a damaged state is found out, and the one before it is used.
"""

import errno
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xdseg.errors import BadInput, TrainingFailed
from xdseg.faults import machine_fault
from xdseg.files import file_digest, sync, temporary, write_json
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.saved import adaptations_in, added_weights, own_weights
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.steered import Steered
from xdseg.segmenters.weights import fit, read_weights
from xdseg.settings.base import Settings
from xdseg.training.streams import global_draws

PLAIN_FILE = 0o666
FOLDER = 0x10  # in a zip's attributes of a part, which no checksum covers
LONGEST = 120  # characters of an error's text in a line
RESUME, PREVIOUS, WEIGHTS, REPORT = "resume.pt", "resume.previous.pt", "weights.safetensors", "training.json"


def save_resume(folder: Path, state: dict[str, Any]) -> None:
    """Write a plain dict of tensors and numbers, `fingerprint` among them; the state before it is kept beside it.

    At any moment one of the two is whole: a kill between the two renames leaves the one before.
    """
    path = folder / RESUME
    with temporary(path) as unfinished:
        with unfinished.open("wb") as file:  # given a name, torch hides what the disk said
            torch.save(state, file)
        sync(unfinished)
        if path.exists():
            path.replace(folder / PREVIOUS)


def load_resume(
    folder: Path, fingerprint: str, *, say: Callable[[str], None], tidy: bool = True
) -> dict[str, Any] | None:
    """The latest whole resume state of this very run, or None; says in a line why one that lies there is not used.

    `tidy`: remove what is damaged, as one alone of several processes does. Nothing is removed where the machine fails,
    and not what is read: raises TrainingFailed for a disk that cannot be read, and what short memory raises.
    """
    paths = [path for path in (folder / RESUME, folder / PREVIOUS) if path.exists()]
    for path in paths:
        otherwise = "training starts anew" if path == paths[-1] else "the state before it is tried"
        try:
            state = _read_state(path)
        except FileNotFoundError:  # the first of several processes has found it damaged
            continue
        except Exception as error:  # torch, zipfile and pickle raise types of their own for damaged files
            _blame_file(path, error)
            say(f"{path}: not readable ({_first_line(error)}); {otherwise}")
            if tidy:  # else the next save would keep it in place of a whole one
                path.unlink(missing_ok=True)
            continue
        if isinstance(state, dict) and state.get("fingerprint") == fingerprint:
            return state
        say(f"{path}: of other settings or data; {otherwise}")
    return None


def _read_state(path: Path) -> Any:
    with zipfile.ZipFile(path) as stored:
        if damaged := stored.testzip():
            raise zipfile.BadZipFile(f"checksum of {damaged} differs")
        if damaged := next((part.filename for part in stored.infolist() if part.external_attr & FOLDER), None):
            raise zipfile.BadZipFile(f"{damaged} is said to be a folder")  # torch would load it with any numbers
    return torch.load(path, map_location="cpu", weights_only=True)


def _blame_file(path: Path, error: Exception) -> None:
    """Raises where it is not the file's fault that it was not read: it may be whole, and be read by the next start."""
    if machine_fault(error) is not None:
        raise error
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an offset that is none
        raise TrainingFailed(f"{path}: {error.strerror}; it is kept, run it again once it can be read") from error


def _first_line(error: Exception) -> str:
    """Type and finding of an error whose text may be pages."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text[:LONGEST]}"


def drop_resume(folder: Path) -> None:
    """Remove what nobody will resume from."""
    for name in (RESUME, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def save_weights(folder: Path, state: dict[str, Tensor], report: dict[str, Any], *, fingerprint: str) -> dict[str, Any]:
    """Write weights and report and drop the resume state; returns the report with the weights' SHA-256.

    The weights come last: where they lie with this fingerprint, the run is complete.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with temporary(folder / WEIGHTS) as unfinished:
        save_file(tensors, unfinished, metadata={"fingerprint": fingerprint})
        unfinished.chmod(folder.stat().st_mode & PLAIN_FILE)  # safetensors keeps others out; the folder may share
        report = {**report, "fingerprint": fingerprint, "weights_sha256": file_digest(unfinished)}
        sync(unfinished)
        write_json(folder / REPORT, report)
    drop_resume(folder)
    return report


def finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The report of a run that is complete and unharmed, else None."""
    try:
        report = json.loads((folder / REPORT).read_text())
        if report["fingerprint"] != fingerprint or report["weights_sha256"] != file_digest(folder / WEIGHTS):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    drop_resume(folder)  # left by a kill between the weights and here
    return report


def weights_fingerprint(path: Path) -> str:
    """The fingerprint that weights carry. Raises BadInput if the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("fingerprint", "")
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path}: no readable weights ({error}); train the run again") from error


def load_segmenter(
    folder: Path,
    *,
    segmenter: str,
    settings: Settings,
    classes: Sequence[str],
    fingerprint: str,
    adaptations: Iterable[tuple[str, Settings]] = (),
) -> Segmenter:
    """A trained network on the CPU in eval mode, led by the steers of those adaptations that saved what they need.

    `adaptations` are the run's, as in its job. Raises BadInput if the weights are another run's or do not fit.
    """
    path = folder / WEIGHTS
    if (found := weights_fingerprint(path)) != fingerprint:
        raise BadInput(
            f"{path}: weights of run {found[:8] or 'unknown'}, not of {fingerprint[:8]}; train the run again"
        )
    with global_draws(0, "init", 0):  # all of it is overwritten
        network = SEGMENTERS[segmenter].load()(settings, classes)
    weights = read_weights(path)
    fit(network, own_weights(weights), origin=str(path))
    return _with_steers(network, weights, dict(adaptations), origin=str(path)).eval()


def _with_steers(
    network: Segmenter, weights: dict[str, Tensor], adaptations: Mapping[str, Settings], *, origin: str
) -> Segmenter:
    """The network, led by what the weights hold of adaptations; itself where they hold nothing."""
    for name in adaptations_in(weights):
        if name not in adaptations:
            raise BadInput(
                f"{origin}: prediction needs adaptation {name}, of which the run says nothing; train it again"
            )
        with global_draws(0, f"init/{name}", 0):
            part = ADAPTATIONS[name].load()(adaptations[name], network.describe()).eval().requires_grad_(False)
        fit(nn.ModuleDict(part.inference_modules()), added_weights(weights, name), origin=origin)
        if (steer := part.steer(None)) is not None:
            network = Steered(network, steer, part)
    return network
