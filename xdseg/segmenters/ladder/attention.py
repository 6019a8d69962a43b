"""Multi-head attention of queries with positions, on the fused kernel."""

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Projections, and attention between them; at first Xavier's weights and no biases."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        for layer in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
        factor: Tensor | None = None,
    ) -> Tensor:
        """(B, Q, C) for queries (B, Q, C), keys and values (B, N, C); a factor (B, heads or 1, N, 1) is on the values.

        The mask, broadcastable to (B, heads, Q, N), is true where a key may be seen, or is added to the logits.
        """
        q, k, v = self._split(self.query(queries)), self._split(self.key(keys)), self._split(self.value(values))
        v = v if factor is None else v * factor.to(v.dtype)
        mask = mask if mask is None or not mask.is_floating_point() else mask.to(q.dtype)
        return self.output(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, C / heads)
