"""The linear probe of the image tower, and the same cells classified by the names of the classes instead."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from xdseg.backbones.clip.evidence import zero_shot
from xdseg.backbones.clip.model import Contrast, Texts, configuration, through
from xdseg.backbones.probe import Probe, drawn, probe_maps
from xdseg.data.streetworld.settings import Streetworld
from xdseg.segmenters.weights import fit, read_weights
from xdseg.settings.clip import Clip
from xdseg.training import device as devices
from xdseg.training.streams import global_draws

if TYPE_CHECKING:
    from open_clip import CustomTextCLIP


class Patches(nn.Module):
    """The image tower as an encoder with one map: its patches behind the last norm, (B, D, h, w)."""

    def __init__(self, network: "CustomTextCLIP") -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        """Of normalised images (B, 3, H, W)."""
        tokens = through(self.network, images)[1]
        return [self.network.visual.ln_post(tokens.x)[:, 1:].transpose(1, 2).unflatten(2, tokens.grid)]


def probe_patches(
    recipe: Clip, weights: Path | None, *, seed: int, settings: Probe, scenes: Streetworld
) -> dict[str, float]:
    """MIoU in [0, 1] of a linear classifier, by target domain; see `xdseg.backbones.probe.probe`."""
    return probe_maps(Patches(loaded(recipe, weights, seed)), settings=settings, scenes=scenes)


def probe_names(
    recipe: Clip, weights: Path | None, *, seed: int, settings: Probe, scenes: Streetworld
) -> dict[str, float]:
    """MIoU in [0, 1] of patches called by the nearest class name, by target domain; nothing is fitted.

    They are seen in tiles of the side of small crops. In whole images their embeddings tell more of the scene, which
    has a bit of every class, than of the place.
    """
    network, texts = loaded(recipe, weights, seed), Texts(recipe)
    with devices.reproducible():
        return {
            target: zero_shot(network, texts, drawn(scenes, target, "val", settings.test), tile=recipe.crop)["miou"]
            for target in settings.targets
        }


def loaded(recipe: Clip, weights: Path | None, seed: int) -> "CustomTextCLIP":
    """The model in evaluation, as a file has it or as drawn. Raises BadInput for a file of another model."""
    config = configuration(recipe, Texts(recipe).vocabulary)
    with global_draws(seed, "probe init", 0):
        network = Contrast(config, patches=recipe.patches).network.eval()
    if weights is not None:
        fit(network, {name: value.float() for name, value in read_weights(weights).items()}, origin=str(weights))
    return network
