"""All of TMT that prediction needs: readers of maps, and what leads attention; and the steers made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.adaptations.tmt.attention import Attention, key_of
from xdseg.adaptations.tmt.need import combined, placed, standardised, uncertainty
from xdseg.adaptations.tmt.prototypes import SOURCE
from xdseg.adaptations.tmt.reader import Read, Reader
from xdseg.segmenters.contract import Features, MapSpec, Site, Size, seen_at
from xdseg.segmenters.mask_prediction import class_scores, normalised
from xdseg.segmenters.steering import INPUT, PREDICT, Steering
from xdseg.settings.tmt import Tmt

Doubt = Callable[[], Tensor]  # (B, H, W): uncertainty of the pixels that a pass shows


@dataclass(frozen=True)
class Need:
    """Of regions (B, G, H) in [0, 1] and of cells of the map (B, h, w)."""

    transfer: Tensor
    doubt: Tensor
    need: Tensor
    dense: Tensor  # in [0, 1]
    standard: Tensor


class Guide(nn.Module):
    """Readers by the name of their map, and the attention of sites by name."""

    def __init__(self, settings: Tmt, sites: list[Site], maps: Mapping[str, MapSpec], classes: int) -> None:
        super().__init__()
        self.settings, self.sites = settings, {site.name: site for site in sites}
        self.readers = nn.ModuleDict(
            {key_of(name): Reader(spec, settings.acte, classes) for name, spec in maps.items()}
        )
        self.attention = Attention(settings.tma, sites)

    def read(self, name: str, feature: Tensor) -> Read:
        """A map of that name."""
        return self.readers[key_of(name)].read(feature)

    def need(self, read: Read, *, doubt: Tensor | None = None, seen_from: int = SOURCE) -> Need:
        """Where adaptation needs most; `doubt` (B, h, w) stands for the head's uncertainty."""
        read = read if torch.is_grad_enabled() else read.detached()
        acte, regions = self.settings.acte, read.regions
        with torch.autocast(read.x.device.type, enabled=False):
            if doubt is None:
                doubt = uncertainty(read.reader.probabilities(read.x))
            unsure = regions.pooled(doubt[:, None])[:, 0]
            transfer = read.reader.transfer(regions, seen_from=seen_from)
            need = combined(transfer, unsure, acte)
            dense = regions.dense(placed(need, acte.shuffle)[:, None])[:, 0]
            return Need(transfer, unsure, need, dense, standardised(dense, acte.norm, floor=acte.norm_floor))


class Lead:
    """The steer of one pass, or of all at test time. It remembers what it read, and nothing that changes an answer."""

    def __init__(
        self, guide: Guide, *, strength: float, seen_from: int, doubt: Doubt | None = None, keeps: bool = False
    ) -> None:
        self.guide, self.strength, self.seen_from, self.doubt = guide, strength, seen_from, doubt
        self.keeps = keeps  # every map that is seen, for terms on it; else the last one
        self.seen: list[tuple[str, Tensor]] = []
        self._reads: list[Read] = []
        self._needs: list[tuple[Read, Need]] = []
        self._led: list[tuple[Read, Need]] = []  # by a decoder's own prediction, which is another one at every layer

    def __call__(self, site: str, features: Features, keys: Size) -> Tensor | Steering | None:
        """What leads the attention of a site, if TMA has it."""
        described = self.guide.sites.get(site)
        if described is None:
            return None
        feature = seen_at(described, features)
        self.note(described.reads.name, feature)
        if self.guide.attention.rests(described, self.strength):
            return None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.guide.settings.tma.detach):
            need = self._need_at(described, feature, features).standard
        entering = features.context.get(INPUT)
        queries = keys if entering is None else tuple(entering.shape[-2:])
        return self.guide.attention(described, need, keys, queries, self.strength)

    def reads(self) -> list[Read]:
        """What became of the maps that were seen, in their order, each once."""
        return [self._read(name, feature) for name, feature in self.seen]

    def need_of(self, read: Read) -> Need:
        """Of a map that was read. With another head's or the teacher's uncertainty, resized to it."""
        for known, need in self._needs:
            if known is read:
                return need
        doubt = None if self.doubt is None else _resized(self.doubt(), tuple(read.x.shape[-2:]))
        need = self.guide.need(read, doubt=doubt, seen_from=self.seen_from)
        self._needs = [*(self._needs if self.keeps else ()), (read, need)]
        return need

    def _need_at(self, site: Site, feature: Tensor, features: Features) -> Need:
        read = self._read(site.reads.name, feature)
        if self.guide.settings.acte.uncertainty != "previous" or PREDICT not in features.context:
            return self.need_of(read)
        size = tuple(read.x.shape[-2:])
        masks, classes = features.context[PREDICT]()
        doubt = uncertainty(normalised(class_scores(masks.detach(), classes.detach(), size)))
        need = self.guide.need(read, doubt=doubt, seen_from=self.seen_from)
        self._led = [*(one for one in self._led if one[0] is not read), (read, need)]
        return need

    def led_by(self, read: Read) -> Need:
        """What leads attention by this map: with `uncertainty: previous` that of the last layer."""
        return next((need for known, need in self._led if known is read), None) or self.need_of(read)

    def note(self, name: str, feature: Tensor) -> None:
        """Remember a map that a site sees."""
        if any(feature is known for _, known in self.seen):
            return
        if not self.keeps:
            self._reads, self._needs, self._led, self.seen = [], [], [], []
        self.seen.append((name, feature))

    def _read(self, name: str, feature: Tensor) -> Read:
        for known in self._reads:
            if known.feature is feature:
                return known
        with torch.set_grad_enabled(self.keeps or torch.is_grad_enabled()):
            self._reads.append(self.guide.read(name, feature))
        return self._reads[-1]


def _resized(values: Tensor, size: Size) -> Tensor:
    return F.interpolate(values[:, None], size, mode="area")[:, 0]
