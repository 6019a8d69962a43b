"""Class names as embeddings, with learnt tokens before them (CoOp, Zhou et al., IJCV 2022), as MFuser uses them.

The sequence is [start | learnt | name | end | padding]; the learnt tokens are shared by all classes, positions are the
first of the table. The text tower is frozen, gradients go through it to the learnt tokens.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters.foundation.encoders_vlm import VisionLanguage

CLIP = "ViT-B-16"  # has CLIP's tokenizer, which models have that are built from a configuration
PLACE = "{}"  # of the name in a template
POOLINGS = ("argmax", "eos", "last")

Tokenize = Callable[..., Tensor]  # (texts, context_length=…) to (texts, context_length) int64


def tokenizer(model: VisionLanguage) -> Tokenize:
    """The model's. Raises BadInput for one of transformers that is not at hand."""
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    settings, longest = model.settings, model.text.context_length
    try:
        if settings.tokenizer is not None:
            return HFTokenizer(settings.tokenizer, context_length=longest, clean="canonicalize")
        name = (
            settings.model if isinstance(settings.model, str) and not settings.model.endswith(".json") else "ViT-B-16"
        )
        return open_clip.get_tokenizer(name, context_length=longest)
    except Exception as error:  # transformers raises some ten types for "not there"
        said = f"cannot load its tokenizer ({type(error).__name__})"
        raise BadInput(f"{model.where}.tokenizer: {said}; give the folder of a local copy") from error


def name_tokens(
    model: VisionLanguage, classes: Sequence[str], *, length: int, where: str, template: str = "{}"
) -> Tensor:
    """Ids (K, length) of class names, as rows of the model's embedding; underscores are read as blanks.

    Names stand at the braces of the template. Raises BadInput if one is longer than `length`, with start and end, or
    has a token without an embedding.
    """
    tokenize, longest = tokenizer(model), model.text.context_length
    names = [template.replace(PLACE, name.replace("_", " ")) for name in classes]
    with torch.device("cpu"):  # also where a network is only counted
        whole, cut = (tokenize(names, context_length=many) for many in (longest, length))
    for name, all_of_it, kept in zip(classes, whole, cut, strict=True):
        if not torch.equal(all_of_it[:length], kept):  # its end was put where it was cut
            raise BadInput(
                f"{where}.length: class {name!r} has more than {length} tokens, with start and end; set more"
            )
    return cut if model.vocabulary is None else _rows(cut, model, classes)


def _rows(ids: Tensor, model: VisionLanguage, classes: Sequence[str]) -> Tensor:
    """Where ids stand in a cut vocabulary."""
    vocabulary = torch.tensor(model.vocabulary, device=ids.device)
    found = torch.searchsorted(vocabulary, ids).clamp(max=len(vocabulary) - 1)
    for name, missing in zip(classes, (vocabulary[found] != ids).any(1), strict=True):
        if missing:
            raise BadInput(f"{model.where}.model: class {name!r} has a token that its vocabulary lacks; add it there")
    return found


class ClassNames(nn.Module):
    """Learnt tokens, and embeddings of names made with them; `ids` (K, n) are the names' tokens."""

    def __init__(self, ids: Tensor, text: nn.Module, *, contexts: int, where: str) -> None:
        super().__init__()
        if ids.shape[1] + contexts > text.num_pos:
            raise BadInput(
                f"{where}.contexts: {contexts} and {ids.shape[1]} tokens of a name, but the text tower has "
                f"{text.num_pos} positions; set fewer"
            )
        if text.pool_type not in POOLINGS:
            raise BadInput(f"{where}: a text tower that pools by {text.pool_type!r}; take one of EVA02, ViT or SigLIP")
        self.register_buffer("ids", ids, persistent=False)
        self.contexts = nn.Parameter(nn.init.trunc_normal_(torch.empty(contexts, text.width)))

    def forward(self, text: nn.Module) -> Tensor:
        """(K, E), of the frozen text tower."""
        return embeddings(text, self.ids, self.contexts)


def embeddings(text: nn.Module, ids: Tensor, contexts: Tensor | None = None) -> Tensor:
    """(K, E): what a text tower makes of tokens (K, n), with learnt ones (m, D) behind the first."""
    x, learnt = text.token_embedding(ids), 0  # (K, n, D)
    if contexts is not None:
        learnt = len(contexts)
        x = torch.cat([x[:, :1], contexts.expand(len(x), -1, -1), x[:, 1:]], dim=1)
    length = x.shape[1]
    mask = None if text.attn_mask is None else text.attn_mask[:length, :length]
    x = text.ln_final(text.transformer(x + text.positional_embedding[:length], attn_mask=mask))
    x = x[torch.arange(len(x), device=x.device), _ends(text, ids, learnt)]
    projection = text.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Module) else x @ projection


def _ends(text: nn.Module, ids: Tensor, learnt: int) -> Tensor:
    """Where in the sequence each name's embedding is read."""
    if text.pool_type == "last":
        return ids.new_full((len(ids),), ids.shape[1] + learnt - 1)
    ends = ids.argmax(1) if text.pool_type == "argmax" else (ids == text.eos_id).int().argmax(1)
    return ends + learnt
