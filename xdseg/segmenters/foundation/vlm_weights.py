"""Weights of a vision-language model: from a file in open_clip's names, or as open_clip publishes them."""

from pathlib import Path

from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.pretrained import OPEN_CLIP, check_content, weights_file
from xdseg.segmenters.foundation.patches import resampled_kernel
from xdseg.segmenters.foundation.vlm_config import published
from xdseg.segmenters.weights import fit, read_weights
from xdseg.settings.encoders import VisionLanguageModel as Settings

KERNELS = ("visual.trunk.patch_embed.proj.weight", "visual.conv1.weight")  # of timm's tower, of open_clip's
SCALARS = ("logit_scale", "logit_bias")  # which some files hold as vectors of one
FILE = "open_clip_model.safetensors"


def fill_vision_language(model: nn.Module, settings: Settings, *, patch: int, where: str) -> None:
    """Load what `weights` names, if anything. Raises BadInput for weights that are missing or do not fit."""
    if settings.weights is None:
        return
    fetched = settings.weights == OPEN_CLIP
    path = _fetched(settings, where) if fetched else _file(settings, where)
    fit(model, _converted(read_weights(path), model, patch), origin=settings.weights)


def _file(settings: Settings, where: str) -> Path:
    path = weights_file(settings.weights)
    if not path.is_file():
        said = published(settings, where=where)
        mend = f"save {FILE} of {_page(said)} there" if said else "name the file of the model's state_dict()"
        raise BadInput(f"{where}.weights: {path}: no such file; {mend}")
    check_content(path)
    return path


def _page(said: dict) -> str:
    return f"huggingface.co/{said['hf_hub'].strip('/')}"


def _fetched(settings: Settings, where: str) -> Path:
    """Download by open_clip. Raises BadInput without a network, or for weights of another activation."""
    import open_clip

    said = published(settings, where=where)
    if said is None:
        raise BadInput(f"{where}.weights: open_clip publishes none of this model; name a file")
    if said.get("quick_gelu", False) != open_clip.get_model_config(settings.model).get("quick_gelu", False):
        raise BadInput(f"{where}.model: these weights are of a model with QuickGELU; take {settings.model}-quickgelu")
    try:
        return Path(open_clip.download_pretrained(said))
    except Exception as error:  # huggingface_hub raises some ten types for "no network"
        raise BadInput(
            f"{where}.weights: cannot download {_page(said)} ({type(error).__name__}); save its {FILE} to a local file "
            "and give that file's path as weights"
        ) from error


def _converted(state: dict[str, Tensor], model: nn.Module, patch: int) -> dict[str, Tensor]:
    """With the text tower apart, as it is here, patches of this side, and scalars of this shape."""
    from open_clip.model import convert_to_custom_text_state_dict

    state, own = convert_to_custom_text_state_dict(state), model.state_dict()
    changes = {name: resampled_kernel(state[name], patch) for name in KERNELS if name in state}
    changes |= {name: state[name].reshape(own[name].shape) for name in SCALARS if name in state and name in own}
    return {name: value.float() for name, value in (state | changes).items()}
