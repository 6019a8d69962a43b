"""What a run leaves on disk: its resume state, and in the end its weights with a report beside them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.files import file_digest, temporary, write_json
from xdseg.registry import ADAPTATIONS, SEGMENTERS
from xdseg.saved import adaptations_in, added_weights, own_weights
from xdseg.segmenters.contract import Segmenter
from xdseg.segmenters.steered import Steered
from xdseg.segmenters.weights import fit, read_weights
from xdseg.settings.base import Settings
from xdseg.training.streams import global_draws

PLAIN_FILE = 0o666
RESUME, WEIGHTS, REPORT = "resume.pt", "weights.safetensors", "training.json"


def save_resume(folder: Path, state: dict[str, Any]) -> None:
    """Write a plain dict of tensors and numbers, `fingerprint` among them, atomically."""
    with temporary(folder / RESUME) as unfinished:
        torch.save(state, unfinished)


def load_resume(folder: Path, fingerprint: str, *, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The resume state of this very run, or None; says in a line why one that lies there is not used."""
    path = folder / RESUME
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile and pickle raise types of their own for damaged files
        say(f"{path}: not readable ({type(error).__name__}); training starts anew")
        return None
    if not isinstance(state, dict) or state.get("fingerprint") != fingerprint:
        say(f"{path}: of other settings or data; training starts anew")
        return None
    return state


def save_weights(folder: Path, state: dict[str, Tensor], report: dict[str, Any], *, fingerprint: str) -> dict[str, Any]:
    """Write weights and report and drop the resume state; returns the report with the weights' SHA-256.

    The weights come last: where they lie with this fingerprint, the run is complete.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with temporary(folder / WEIGHTS) as unfinished:
        save_file(tensors, unfinished, metadata={"fingerprint": fingerprint})
        unfinished.chmod(folder.stat().st_mode & PLAIN_FILE)  # safetensors keeps others out; the folder may share
        report = {**report, "fingerprint": fingerprint, "weights_sha256": file_digest(unfinished)}
        write_json(folder / REPORT, report)
    (folder / RESUME).unlink(missing_ok=True)
    return report


def finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The report of a run that is complete and unharmed, else None."""
    try:
        report = json.loads((folder / REPORT).read_text())
        if report["fingerprint"] != fingerprint or report["weights_sha256"] != file_digest(folder / WEIGHTS):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    (folder / RESUME).unlink(missing_ok=True)  # left by a kill between the weights and here
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
