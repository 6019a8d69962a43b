"""DoRA: LoRA changes the direction of each output's weights, a trained magnitude gives their length.

Liu et al., ICML 2024, equation 5: m (W + BA) / ||W + BA||, with one norm per output; m begins as ||W||, so that
training begins with the frozen network. The norm is a constant to gradients (section 4.3); a switch lets them pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdseg.segmenters.tunings.lora import LoRA
from xdseg.settings.tunings import DoRA as Settings


class DoRA(LoRA):
    """LoRA with `magnitude` (n outputs / parts), one number per tuned output."""

    def __init__(self, plain: nn.Linear, settings: Settings, *, parts: int, tuned: Sequence[int]) -> None:
        super().__init__(plain, settings, parts=parts, tuned=tuned)
        self.norm_gradient = settings.norm_gradient
        self.magnitude = nn.Parameter(self.norms().detach().flatten())

    @torch.no_grad()
    def start(self) -> None:
        """Take the magnitude from the weight."""
        self.magnitude.copy_(self.norms().flatten())

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        plain, lengths = self.plain(x), self.lengths()  # lengths in float32, whatever the layer computes in
        own = plain if self.plain.bias is None else plain - self.plain.bias.to(plain.dtype)
        own = own.unflatten(-1, (self.parts, self.outputs))[..., self.tuned, :]  # W x of the tuned parts
        # as what is added, so that the frozen network's bits stay while all lengths are 1
        change = (lengths - 1).to(plain.dtype) * own + lengths.to(plain.dtype) * self.change(x)
        return plain + self.spread(change)

    def norms(self) -> Tensor:
        """Of the changed weight, (n, outputs / parts)."""
        return torch.linalg.vector_norm(self.changed_rows(), dim=-1)

    def lengths(self) -> Tensor:
        """What the outputs of the changed weight are multiplied by, (n, outputs / parts)."""
        with torch.set_grad_enabled(self.norm_gradient and torch.is_grad_enabled()):
            norms = self.norms()
        return self.magnitude.view_as(norms) / norms

    @torch.no_grad()
    def fold(self) -> None:
        """Move the change and the magnitude into the plain weight; the outputs stay."""
        self.set_rows(self.lengths()[..., None] * self.changed_rows())
        self.up.zero_()
        self.start()
