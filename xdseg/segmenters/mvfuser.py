"""MVFuser, the co-adapter of MFuser (Zhang & Tan, CVPR 2025), which passes features between two frozen encoders.

After each pair of layers it reads the tokens of both, one sequence after the other, and returns what is to be added to
them. The code is the reference, not the figure: the "spatial" branch is a convolution along the sequence, both ways by
one token; the scan runs forwards alone, so that tokens of the first encoder see none of the second, but for the last
of them, which sees one. Two oddities of the code are switches: the bias of the step sizes is added twice, and the gate
goes through SiLU twice.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdseg.segmenters.scan.api import selective_scan
from xdseg.segmenters.scan.backends import Backend

CHANNELS_PER_RANK = 16  # of the tokens, per rank of the step sizes
STEP_SIZES = (1e-3, 1e-1)  # at first, log-uniform, as in Mamba
LEAST_STEP_SIZE = 1e-4
EPSILON = 1e-5  # of the norm
FIRST_SCALE = 1e-3

Direction = Literal["forward", "both", "none"]


class MVFuser(nn.Module):
    """Parameters are named as in the published code; both branches have half the width of the tokens.

    Beyond the paper `direction` is a control: `both` is the mean of the scan and of the same scan from the end, so that
    each token sees all; `none` leaves the scan and its parameters out, so that a token sees its neighbours alone.
    """

    def __init__(
        self,
        width: int,
        *,
        states: int = 16,
        kernel: int = 3,
        dropout: float = 0.1,
        double_dt_bias: bool = True,
        double_silu: bool = True,
        direction: Direction = "forward",
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        inner, self.rank = width // 2, math.ceil(width / CHANNELS_PER_RANK)
        self.states, self.direction, self.backend = states, direction, backend
        self.double_dt_bias, self.double_silu = double_dt_bias, double_silu
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d_x, self.conv1d_z = (
            nn.Conv1d(inner, inner, kernel, padding="same", groups=inner, bias=False) for _ in range(2)
        )
        if direction != "none":
            self._add_scan(inner)
        self.norm = nn.RMSNorm(inner, eps=EPSILON)
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        if direction != "none":
            self._initialise_step_sizes()

    def _add_scan(self, inner: int) -> None:
        self.x_proj = nn.Linear(inner, self.rank + 2 * self.states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, self.states + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))

    def _initialise_step_sizes(self) -> None:
        """As Mamba's: the bias is where softplus gives the first step sizes."""
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        low, high = map(math.log, STEP_SIZES)
        steps = (torch.rand(len(self.D)) * (high - low) + low).exp().clamp(min=LEAST_STEP_SIZE)
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # the inverse of softplus

    def forward(self, tokens: Tensor) -> Tensor:
        """What is to be added to tokens (B, L, width), those of the first encoder before those of the second."""
        x, z = self.in_proj(tokens).transpose(1, 2).chunk(2, dim=1)  # (B, inner, L)
        x, z = F.silu(self.conv1d_x(x)), self.conv1d_z(z)
        gate = F.silu(F.silu(z) if self.double_silu else z)
        y = self.norm(self.mixed(x).transpose(1, 2).to(self.norm.weight.dtype)) * gate.transpose(1, 2)  # (B, L, inner)
        return self.dropout(self.out_proj(y)) * self.scale

    def mixed(self, x: Tensor) -> Tensor:
        """The sequential branch (B, inner, L) after its scan, if there is one."""
        if self.direction == "none":
            return x
        found = self.scan(x)
        return (found + self.scan(x.flip(-1)).flip(-1)) / 2 if self.direction == "both" else found

    def scan(self, x: Tensor) -> Tensor:
        """The selective scan of (B, inner, L), whose step sizes, B and C are made of x itself."""
        made = self.x_proj(x.transpose(1, 2))
        low, B, C = made.split((self.rank, self.states, self.states), dim=-1)  # (B, L, rank), (B, L, states) twice
        dt = F.linear(low, self.dt_proj.weight, self.dt_proj.bias if self.double_dt_bias else None)
        return selective_scan(
            x,
            dt.transpose(1, 2),
            -self.A_log.exp(),
            B.transpose(1, 2),
            C.transpose(1, 2),
            D=self.D,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            backend=self.backend,
        )
