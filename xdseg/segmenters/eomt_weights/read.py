"""Reading a file of EoMT, in whichever form it is, under our names.

Forms: the authors' (all names begin with `network.`; plain or within Lightning's checkpoint; on DINOv3 as differences
too), transformers' EomtForUniversalSegmentation and EomtDinov3ForUniversalSegmentation, and our own of a trained run.
No published file was opened for this: names and shapes are those of the authors' code and of transformers.
"""

from dataclasses import dataclass
from pathlib import Path

from xdseg.errors import BadInput
from xdseg.pretrained import check_content
from xdseg.segmenters.eomt_weights.layers import gated, merged, merged_gates
from xdseg.segmenters.eomt_weights.names import AUTHORS, TRANSFORMERS, State, authors_v3, transformers_v3
from xdseg.segmenters.weights import read_weights

COMPILED = "_orig_mod."
PROBABILITIES = "attn_mask_probs"  # a buffer of both, one number per block that has queries
BUFFERS = (PROBABILITIES, "pixel_mean", "pixel_std", "criterion.empty_weight")
POSITIONS = "encoder.pos_embed"


@dataclass(frozen=True)
class Found:
    """Tensors of a file: under our names if it holds a whole network, else as they are, those of an encoder."""

    state: State
    whole: bool
    query_blocks: int | None = None  # where the file tells


def read(path: Path) -> Found:
    """What a file holds. Raises BadInput if it cannot be read or is not the one that the record beside it names."""
    check_content(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file; name a file of weights, or `timm`")
    state = {name.replace(COMPILED, ""): value for name, value in read_weights(path).items()}
    if "queries" in state:
        return Found(state, whole=True)
    probabilities = next((value for name, value in state.items() if name.endswith(PROBABILITIES)), None)
    number = None if probabilities is None else len(probabilities)
    plain = {name: value for name, value in state.items() if not name.endswith(BUFFERS)}
    if any(name.startswith("network.") for name in plain):
        return Found(_from_authors(plain), whole=True, query_blocks=number)
    if "query.weight" in plain:
        return Found(_from_transformers(plain), whole=True, query_blocks=number)
    return Found(plain, whole=False)


def _from_authors(state: State) -> State:
    if any(".attention." in name for name in state):
        return merged(authors_v3(gated=gated(state)).to_ours(state))
    return AUTHORS.to_ours(state)


def _from_transformers(state: State) -> State:
    if any(name.endswith(".o_proj.weight") for name in state):
        return merged(transformers_v3(gated=gated(state)).to_ours(state))
    found = merged(TRANSFORMERS.to_ours(merged_gates(state) if gated(state) else state))
    if POSITIONS in found:
        found[POSITIONS] = found[POSITIONS][None]
    return found
