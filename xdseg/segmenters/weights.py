"""Reading weights from files, and fitting them to a module or saying what does not fit."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xdseg.errors import BadInput


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from .safetensors, or from a .pth holding a plain state dict (never unpickling code)."""
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise types of their own for damaged files
        raise BadInput(f"{path}: no readable weights ({_first_line(error)}); want .safetensors or .pth") from error
    weights = weights.get("state_dict", weights) if isinstance(weights, dict) else None
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise BadInput(f"{path}: holds no state dict; save the module's state_dict() there")
    return weights


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def fit(module: nn.Module, weights: dict[str, Tensor], *, origin: str) -> None:
    """Load `weights` strictly. Raises BadInput with the number of misfits and the first one's name."""
    own = module.state_dict()
    wrong = sorted(
        {name for name in own.keys() | weights.keys() if name not in own or name not in weights}
        | {name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape}
    )
    if wrong:
        many = "parameters do" if len(wrong) > 1 else "parameter does"
        raise BadInput(f"{origin}: {len(wrong)} {many} not fit, first {wrong[0]}; is it another network's?")
    module.load_state_dict(weights)
