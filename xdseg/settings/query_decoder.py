"""Settings of the mask decoder behind the neck: Mask2Former's, with queries made of class names or learnt."""

from typing import Literal

from pydantic import Field

from xdseg.settings.mask2former import Mask2Former


class QueryDecoder(Mask2Former):
    """With `text` queries tqdm's (Pak et al., ECCV 2024), which MFuser takes over; with `learnt` Mask2Former's."""

    kind: Literal["text", "learnt"] = Field(
        "text", description="queries: one per class, made of its name, matched to it; or `queries`, matched by cost"
    )
    text_attention: bool = Field(True, description="pixels attend to class names in the pixel decoder; of `text` alone")
