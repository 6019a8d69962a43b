"""tqdm: class names as queries, on a vision-language model that is tuned in full and held near its pre-training.

Pak et al., "Textual Query-Driven Mask Transformer for Domain Generalized Segmentation", ECCV 2024. MFuser takes over
its neck, names, decoder and pixel-text loss; without MFuser's second encoder and fusers, with a plain context decoder,
and with two regularisers of whole images in training. Their weights are 1, as in the code, which is the reference.

The text tower is frozen. The encoder as it was before training is kept beside the one that is trained, for the vision
regulariser, and is part of the state: so a run that is resumed, or that starts from another, is held near the same one.
Departs from the code: positions are resampled with each pass; an image without a labelled pixel has no part in the
regularisers; biases are not decayed (there all but norms are).
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from xdseg.segmenters.contract import Features, Site, Steer
from xdseg.segmenters.foundation import regularisers, streams
from xdseg.segmenters.foundation.text import embeddings, name_tokens
from xdseg.segmenters.foundation.text_queries import JOINT, Seen, TextQueries
from xdseg.settings.tqdm import Tqdm as Settings
from xdseg.settings.training import Training

NAME = "tqdm"
STREAM, INITIAL = "vlm", "initial"


class Tqdm(TextQueries):
    """The network; the image's encoder takes `tuning.lr_factor` of the learning rate, all else the head's."""

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes, name=NAME)
        self.taps = streams.tapped(len(self.vlm.tower.blocks), settings.taps, where=NAME)
        self.add_decoders(self.vlm.tower.width)
        self.initial = deepcopy(self.vlm.visual) if settings.vision.weight else None
        if settings.language.weight:
            said = settings.language
            options = {"length": said.length, "template": said.template, "where": f"{NAME}.language"}
            self.register_buffer("sentences", name_tokens(self.vlm, classes, **options), persistent=False)
        self.vlm.visual.requires_grad_(settings.tuning.kind == "full")

    def train(self, mode: bool = True) -> "Tqdm":
        """Set the mode of all but the initial encoder, which stays as at test time."""
        super().train(mode)
        if self.initial is not None:
            self.initial.eval()
        return self

    @property
    def towers(self) -> dict[str, streams.Tower]:
        """The only encoder that sees the image."""
        return {STREAM: self.vlm.tower}

    def encoder_sites(self) -> list[Site]:
        """Its blocks."""
        return streams.sites(self.towers)

    def look(self, images: Tensor, steer: Steer | None) -> Seen:
        """The encoder's patches behind four of its blocks, and its own embedding."""
        return self._seen(self.towers, images, steer)

    def _seen(self, towers: dict[str, streams.Tower], images: Tensor, steer: Steer | None) -> Seen:
        tower = towers[STREAM]
        tokens = tower.embed(self.vlm.normalised(images))
        passed = streams.run(towers, [tokens], (), taps=self.taps, steer=steer)
        return Seen(passed.maps, tower.joint(passed.ends[STREAM]), tokens.grid)

    def encode(self, images: Tensor, *, stream: torch.Generator | None = None, steer: Steer | None = None) -> Features:
        """As others', and in training what the initial encoder makes of the whole image."""
        features = super().encode(images, stream=stream, steer=steer)
        if self.initial is None or not self.supervised:
            return features
        with torch.no_grad():
            towers = {STREAM: self.vlm.tower_of(self.initial)}
            first = self._seen(towers, self.fitted(images), steer=None).joint[:, 0]
        return Features(features.maps, {**features.context, INITIAL: first})

    def regularisers(self, features: Features, text: Tensor) -> dict[str, Tensor]:
        """In training: texts among fixed sentences, and the image's embedding beside the initial one."""
        found: dict[str, Tensor] = {}
        if not self.supervised:
            return found
        if weight := self.settings.language.weight:
            with torch.no_grad():
                fixed = embeddings(self.vlm.text, self.sentences)
            found["language"] = weight * regularisers.language(text, fixed)
        if INITIAL in features.context:
            difference = regularisers.vision(features.context[JOINT][:, 0], features.context[INITIAL])
            found["vision"] = self.settings.vision.weight * difference
        return found

    def parameter_groups(self, recipe: Training) -> list[dict]:
        """As others', the encoder's at its own rate."""
        factor, groups = getattr(self.settings.tuning, "lr_factor", 1.0), super().parameter_groups(recipe)
        return [group | {"lr": group["lr"] * (factor if group["part"] == "encoder" else 1)} for group in groups]

    def load_pretrained(self) -> None:
        """Fill the vision-language model as the settings say; the initial encoder is then the same."""
        self.vlm.load_pretrained()
        if self.initial is not None:
            self.initial.load_state_dict(self.vlm.visual.state_dict())
