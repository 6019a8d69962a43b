"""Pre-trained weights for the encoders of segmentation-models-pytorch: from a file, or as the library pins them.

A file may hold the whole network of AdaptSegNet or its successors, whose ResNet has torchvision's names.
"""

from pathlib import Path

import segmentation_models_pytorch as smp
from safetensors import safe_open
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.pretrained import IMAGENET, check_content, weights_file
from xdseg.segmenters.weights import fit, read_weights

# Of ImageNet: of a ResNet, of a Mix Transformer; of AdaptSegNet's two. They have no place here.
CLASSIFIERS = ("fc.", "head.", "layer5.", "layer6.")
WRAPPER = "Scale."  # prefix of all names in the weights that AdaptSegNet starts from
COUNTER = "num_batches_tracked"  # of batch norm, where nothing reads it; files made before torch 0.4.1 have none
LEFT_OUT = "left_out"  # metadata of a file: prefix of the encoder's parameters that it does not hold


def fill(encoder: nn.Module, weights: str | None, *, name: str, segmenter: str) -> dict[str, Tensor]:
    """Load what the setting `weights` of `segmenter` names into its encoder `name`; None leaves the initial draws.

    Returns the classifiers that the file holds besides, by their names there. Raises BadInput for weights that are
    missing, not those of the record beside them, or of another network.
    """
    if weights is None:
        return {}
    found = _published(name, weights, segmenter) if weights == IMAGENET else _from_file(weights_file(weights), encoder)
    classifiers = {key: value for key, value in found.items() if key.startswith(CLASSIFIERS)}
    fit(encoder, {key: value for key, value in found.items() if key not in classifiers}, origin=weights)
    return classifiers


def _from_file(path: Path, encoder: nn.Module) -> dict[str, Tensor]:
    """The file's weights, and the encoder's own where the file says that it leaves a part out, or has no counters."""
    check_content(path)
    weights = {key.removeprefix(WRAPPER): value for key, value in read_weights(path).items()}
    own = encoder.state_dict()
    if not any(key.endswith(COUNTER) for key in weights):
        weights |= {key: value for key, value in own.items() if key.endswith(COUNTER)}
    if prefix := _left_out(path):
        weights |= {key: value for key, value in own.items() if key.startswith(prefix)}
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
