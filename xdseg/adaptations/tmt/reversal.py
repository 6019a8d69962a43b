"""Gradient reversal (Ganin and Lempitsky, ICML 2015), and the factor that lets it grow."""

import math
from typing import Any

import torch
from torch import Tensor

STEEPNESS = 10.0


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def reversed_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself; backwards, the gradient times -factor."""
    return _Reversal.apply(x, factor)


def grown(step: int, total: int) -> float:
    """2 / (1 + exp(-10 t / T)) - 1: from 0 at the first step towards 1."""
    return 2 / (1 + math.exp(-STEEPNESS * step / total)) - 1
