"""What a vision-language model is built of: open_clip's configuration of a name, or one that settings give.

open_clip is imported when it is asked, as that takes seconds. Beyond its keys a configuration may hold `preprocess_cfg`
(mean and deviation of its images) and `vocabulary`: ids, in the tokenizer's numbering and ascending, of the tokens that
have an embedding, in the order of these.
"""

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from xdseg.errors import BadInput, suggest
from xdseg.pretrained import BESIDE, model_config
from xdseg.settings.encoders import VisionLanguageModel as Settings

if TYPE_CHECKING:
    from open_clip import CustomTextCLIP

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
NOT_TAKEN = (*BESIDE, "custom_text")  # by the class of the model
MEND = "take one of EVA02, ViT or SigLIP"


def configuration(settings: Settings, *, where: str) -> dict[str, Any]:
    """The configuration, as open_clip's files have it.

    Raises BadInput for a name that open_clip does not know, or a vocabulary that is not in order.
    """
    model = model_config(settings.model)
    if isinstance(model, dict):
        vocabulary = list(model.get("vocabulary", ()))
        if vocabulary != sorted(set(vocabulary)):
            raise BadInput(f"{where}.model: its vocabulary does not rise; sort the ids, each once")
        return deepcopy(model)
    import open_clip

    if (found := open_clip.get_model_config(model)) is None:
        raise BadInput(f"{where}.model: open_clip has no {model!r}; {suggest(model, open_clip.list_models())}")
    return found


def built(config: dict[str, Any], *, where: str) -> "CustomTextCLIP":
    """open_clip's model with drawn weights. Raises BadInput for a configuration that it refuses, or other towers."""
    from open_clip import CustomTextCLIP

    own = {key: value for key, value in config.items() if key not in NOT_TAKEN}
    if "vocabulary" in config:
        own["text_cfg"] = own["text_cfg"] | {"vocab_size": len(config["vocabulary"])}
    try:
        model = CustomTextCLIP(**own)
    except Exception as error:  # of any type: the keys are the user's
        raise BadInput(f"{where}.model: open_clip cannot build it: {error}") from error
    _check_towers(model, where)
    return model


def _check_towers(model: "CustomTextCLIP", where: str) -> None:
    trunk = getattr(model.visual, "trunk", None)
    own = hasattr(model.visual, "conv1") and hasattr(model.visual, "transformer")
    plain = own if trunk is None else isinstance(trunk, VisionTransformer | Eva)
    if not plain or getattr(model.visual, "attn_pool", None) is not None:
        raise BadInput(f"{where}.model: its image tower is no plain vision transformer; {MEND}")
    if not hasattr(model.text, "token_embedding") or model.text.cls_emb is not None:
        raise BadInput(f"{where}.model: its text tower is not one of open_clip's plain ones; {MEND}")


def published(settings: Settings, *, where: str) -> dict[str, Any] | None:
    """What open_clip knows of the weights under the tag; None for a model without published weights.

    Raises BadInput for an unknown tag.
    """
    if not isinstance(model_config(settings.model), str):
        return None
    import open_clip

    if not (known := open_clip.list_pretrained_tags_by_model(settings.model)):
        return None
    tag = settings.tag or known[0]
    if tag not in known:
        raise BadInput(f"{where}.tag: no {tag!r} of {settings.model}; {suggest(tag, known)}")
    return open_clip.get_pretrained_cfg(settings.model, tag)


def statistics(settings: Settings, config: dict[str, Any], *, where: str) -> Statistics:
    """Mean and deviation of the images that the model was trained on; CLIP's where nothing is said."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    said = config.get("preprocess_cfg") or published(settings, where=where) or {}
    return tuple(said.get("mean") or OPENAI_DATASET_MEAN), tuple(said.get("std") or OPENAI_DATASET_STD)
