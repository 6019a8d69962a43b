"""What of an image has maps of its own: the whole, and the parts that a segmenter sees at another scale (HRDA).

By convention maps of a part have the names and channels of the whole's, so that one rebuilder serves both.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from xdseg.adaptations.mfm.masks import spread
from xdseg.segmenters.contract import Features, Size

WHOLE = "whole"  # no part has that name
Maps = Mapping[str, Tensor]


def places(features: Features, *, parts: bool) -> dict[str, Maps]:
    """Maps by place: of the whole, then of each part if wanted."""
    found = {WHOLE: features.maps}
    return found | ({name: part.features.maps for name, part in features.parts.items()} if parts else {})


def replaced(features: Features, maps: Mapping[str, Maps]) -> Features:
    """Features with other maps in some places."""
    parts = {
        name: replace(features.parts[name], features=features.parts[name].features.with_maps(new))
        for name, new in maps.items()
        if name != WHOLE
    }
    return features.with_maps(maps.get(WHOLE, {})).with_parts(parts)


def cut(values: Tensor, features: Features, place: str) -> Tensor:
    """The rectangle of (.., H, W) that a place shows."""
    if place == WHOLE:
        return values
    top, left, height, width = features.parts[place].box
    return values[..., top : top + height, left : left + width]


def hidden_pixels(keeps: Mapping[str, Tensor], features: Features, size: Size) -> Tensor:
    """(B, *size) bool: pixels whose token is hidden in any place that shows them."""
    hidden = torch.zeros(len(keeps[WHOLE]), *size, dtype=torch.bool, device=keeps[WHOLE].device)
    for place, keep in keeps.items():
        seen = cut(hidden, features, place)  # a view
        seen |= ~spread(keep, tuple(seen.shape[-2:]))
    return hidden


def detached(value: Any) -> Any:
    """Features, or what stands in their context, without gradient."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {name: detached(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(detached(part) for part in value)
    if isinstance(value, Features):
        parts = {name: replace(part, features=detached(part.features)) for name, part in value.parts.items()}
        return Features(detached(value.maps), detached(value.context), parts)
    return value
