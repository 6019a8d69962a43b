"""A vision transformer of timm with a tuning: what is trained of it, and when in a segmenter's life it begins.

Constructor: `Tuned(encoder, settings)` adds what is new, so that a network has all its names before any weights are
loaded; it is then the encoder that was given, but for Rein. `load_pretrained`: `load(fill)` lets `fill` load weights
into the encoder under timm's own names, then begins the tuning from them: SoMA splits them, DoRA measures them. Weights
of a run, and of a resume, already are what the tuning made of them, and are loaded as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

from xdseg.errors import BadInput
from xdseg.segmenters import vit
from xdseg.segmenters.tunings.dora import DoRA
from xdseg.segmenters.tunings.linears import biases, call_layers, places
from xdseg.segmenters.tunings.lora import LoRA
from xdseg.segmenters.tunings.low_rank import LowRank
from xdseg.segmenters.tunings.rein import Queries, Rein
from xdseg.segmenters.tunings.soma import SoMA
from xdseg.segmenters.vit import Guided, Tokens
from xdseg.settings import tunings as settings_of
from xdseg.settings.tunings import Tuning

BESIDE: dict[str, type[LowRank]] = {"lora": LoRA, "dora": DoRA, "soma": SoMA}
RESTING = ("frozen", "rein")  # whose encoder stays as at test time


class Tuned(nn.Module):
    """The encoder, and Rein if it is the tuning; the other tunings stand in the place of the layers that they tune."""

    def __init__(self, encoder: nn.Module, settings: Tuning, *, query_width: int | None = None) -> None:
        super().__init__()
        self.encoder, self.settings = encoder.requires_grad_(settings.kind == "full"), settings
        self.rein: Rein | None = None
        if isinstance(settings, settings_of.Rein):
            sides = {"width": encoder.embed_dim, "patch": vit.patch_side(encoder), "query_width": query_width}
            self.rein = Rein(settings, blocks=len(encoder.blocks), **sides)
        elif settings.kind in BESIDE:
            put_beside(encoder, settings)

    def train(self, mode: bool = True) -> "Tuned":
        """Set the mode; an encoder of which nothing is trained stays as at test time."""
        super().train(mode)
        if self.settings.kind in RESTING:
            self.encoder.eval()
        return self

    def run(self, block: int, tokens: Tokens, mask: Tensor | Guided | None = None) -> Tokens:
        """One block, as `vit.run`, and what follows it."""
        return self.after_block(block, vit.run(self.encoder.blocks[block], tokens, mask))

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        """Refined patches behind what stands in front of them; without Rein the tokens as they are."""
        if self.rein is None:
            return tokens
        before, patches = tokens.x.tensor_split([tokens.before], dim=1)
        return Tokens(torch.cat([before, self.rein(block, patches)], dim=1), tokens.grid, tokens.rope)

    @property
    def gives_queries(self) -> bool:
        """Whether `queries` gives any."""
        return self.rein is not None and self.rein.link is not None

    def queries(self) -> Queries | None:
        """What the tuning hands to a decoder in place of queries of its own; None: nothing."""
        return self.rein and self.rein.queries()

    def load(self, fill: Callable[[nn.Module], object]) -> None:
        """Let `fill` load pre-trained weights into the encoder, if there are any, and begin the tuning from them."""
        for layer in self.beside().values():
            layer.fold()
        with self.plain() as encoder:
            fill(encoder)
        for layer in self.beside().values():
            layer.start()

    def merged(self) -> nn.Module:
        """A plain encoder with the same outputs, at no cost. Raises ValueError for Rein, which changes no weight."""
        if self.rein is not None:
            raise ValueError("rein refines patches; there is no plain encoder with the same outputs")
        copy = deepcopy(self)
        for name, layer in copy.beside().items():
            layer.fold()
            copy.encoder.set_submodule(name, layer.plain)
        return copy.encoder

    def beside(self) -> dict[str, LowRank]:
        """Tuned layers by their names in the encoder."""
        return {name: layer for name, layer in self.encoder.named_modules() if isinstance(layer, LowRank)}

    @contextmanager
    def plain(self) -> Iterator[nn.Module]:
        """The encoder with timm's own layers and names, as long as the block lasts."""
        layers = self.beside()
        for name, layer in layers.items():
            self.encoder.set_submodule(name, layer.plain)
        try:
            yield self.encoder
        finally:
            for name, layer in layers.items():
                self.encoder.set_submodule(name, layer)


def put_beside(encoder: nn.Module, settings: settings_of.LoRA | settings_of.SoMA) -> None:
    """Put the tuning in the place of the layers that it tunes. Raises BadInput if none is left to tune."""
    many = len(encoder.blocks)
    if settings.first_block >= many:
        raise BadInput(f"tuning.first_block: {settings.first_block}, of an encoder of {many} blocks; set fewer")
    for block in encoder.blocks[settings.first_block :]:
        found = places(block, settings.targets)
        if isinstance(settings, settings_of.SoMA) and settings.biases:
            for bias in biases(block, found):
                bias.requires_grad_(True)
        for place in found:
            parts, chosen = len(place.letters), place.parts(settings.targets)
            block.set_submodule(place.name, BESIDE[settings.kind](place.layer, settings, parts=parts, tuned=chosen))
        call_layers(block)
