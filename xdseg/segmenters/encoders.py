"""Pre-trained weights for the encoders of segmentation-models-pytorch: from a file, or as the library pins them."""

from pathlib import Path

import segmentation_models_pytorch as smp
from safetensors import safe_open
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.pretrained import IMAGENET, check_content, weights_file
from xdseg.segmenters.weights import fit, read_weights

CLASSIFIERS = ("fc.", "head.")  # of ImageNet: of a ResNet, of a Mix Transformer; they have no place here
LEFT_OUT = "left_out"  # metadata of a file: prefix of the encoder's parameters that it does not hold


def fill(encoder: nn.Module, weights: str | None, *, name: str, segmenter: str) -> None:
    """Load what the setting `weights` of `segmenter` names into its encoder `name`; None leaves the initial draws.

    Raises BadInput for weights that are missing, not those of the record beside them, or of another network.
    """
    if weights is None:
        return
    found = _published(name, weights, segmenter) if weights == IMAGENET else _from_file(weights_file(weights), encoder)
    fit(encoder, {key: value for key, value in found.items() if not key.startswith(CLASSIFIERS)}, origin=weights)


def _from_file(path: Path, encoder: nn.Module) -> dict[str, Tensor]:
    """The file's weights, and the encoder's own where the file says that it leaves a part out."""
    check_content(path)
    weights = read_weights(path)
    if prefix := _left_out(path):
        weights |= {key: value for key, value in encoder.state_dict().items() if key.startswith(prefix)}
    return weights


def _left_out(path: Path) -> str:
    if path.suffix != ".safetensors":
        return ""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(LEFT_OUT, "")


def _published(name: str, weights: str, segmenter: str) -> dict[str, Tensor]:
    """Download by the library. Raises BadInput without a network."""
    try:
        return smp.encoders.get_encoder(name, weights=weights).state_dict()
    except Exception as error:  # huggingface_hub raises some ten types for "no network"
        raise BadInput(
            f"{segmenter}.weights: cannot download smp-hub/{name}.{weights} ({type(error).__name__}); save its "
            "model.safetensors to a local file and give that file's path as weights"
        ) from error
