"""Decoding with parameters that take no gradient, though the maps that are decoded do."""

from torch import nn
from torch.func import functional_call

from xdseg.segmenters.contract import Features, Prediction, Segmenter, Steer


class _Decoder(nn.Module):
    """Decoding as a forward pass, in which other tensors can stand for the parameters."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, features: Features, steer: Steer | None) -> Prediction:
        return self.segmenter.decode(features, steer=steer)


def decode_frozen(segmenter: Segmenter, features: Features, *, steer: Steer | None) -> Prediction:
    """What `segmenter.decode` says, bit for bit; whatever parameters it reads are constants."""
    decoder = _Decoder(segmenter)
    constants = {name: parameter.detach() for name, parameter in decoder.named_parameters()}
    return functional_call(decoder, constants, (features, steer))
