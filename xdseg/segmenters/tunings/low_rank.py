"""A frozen linear layer with trained matrices of low rank beside it: what LoRA, DoRA and SoMA share.

The layer keeps timm's weight and bias as `plain`. The change is computed of the inputs, not added to the weight, so
that training makes no gradient of the size of the weight; `fold` adds it to the weight, where it costs nothing.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.errors import BadInput


class LowRank(nn.Module):
    """Outputs of the layer plus scale * up @ down of its inputs, for some of `parts` equal parts of the outputs.

    `down` is (n, rank, inputs) and `up` (n, outputs / parts, rank), of the n tuned parts; both begin with 0.
    """

    def __init__(self, plain: nn.Linear, *, rank: int, parts: int, tuned: Sequence[int], scale: float = 1.0) -> None:
        super().__init__()
        self.plain, self.parts, self.tuned, self.scale = plain, parts, list(tuned), scale
        self.outputs = plain.out_features // parts
        if rank > min(self.outputs, plain.in_features):
            sides = f"{plain.in_features} inputs and {self.outputs} outputs"
            raise BadInput(f"tuning.rank: {rank}, of a layer of {sides}; set no more than the smaller")
        self.down = nn.Parameter(plain.weight.new_zeros(len(tuned), rank, plain.in_features))
        self.up = nn.Parameter(plain.weight.new_zeros(len(tuned), self.outputs, rank))

    def start(self) -> None:
        """Begin the tuning from the layer's weight as it is; called after pre-trained weights were loaded."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return self.plain(x) + self.spread(self.change(x))

    def change(self, x: Tensor) -> Tensor:
        """(..., inputs) to what is added to the n tuned parts, (..., n, outputs / parts)."""
        low = F.linear(x, self.down.flatten(0, 1)).unflatten(-1, self.down.shape[:2])  # (..., n, rank)
        return self.scale * torch.einsum("...nr,nor->...no", low, self.up)

    def spread(self, change: Tensor) -> Tensor:
        """Values of the tuned parts, (..., n, outputs / parts), as values of all, 0 elsewhere: (..., outputs)."""
        if len(self.tuned) == self.parts:
            return change.flatten(-2)
        nothing = torch.zeros_like(change[..., 0, :])
        pieces = dict(zip(self.tuned, change.unbind(-2), strict=True))
        return torch.cat([pieces.get(part, nothing) for part in range(self.parts)], dim=-1)

    def rows(self) -> Tensor:
        """The tuned parts of the plain weight, (n, outputs / parts, inputs)."""
        return self.plain.weight.unflatten(0, (self.parts, self.outputs))[self.tuned]

    def changed_rows(self) -> Tensor:
        """The same with the change."""
        return self.rows() + self.scale * (self.up @ self.down)

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Write the tuned parts of the plain weight."""
        self.plain.weight.unflatten(0, (self.parts, self.outputs))[self.tuned] = rows

    @torch.no_grad()
    def fold(self) -> None:
        """Move the change into the plain weight; the outputs stay."""
        self.set_rows(self.changed_rows())
        self.up.zero_()
