"""Joins field values and targets with the loss that fitting descends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def squared_error(values: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of `values` clamped to 0..1, as the decoder clamps them.

    The clamp is straight-through: an overshoot costs nothing, yet never loses its gradient. A hard
    clamp has no gradient outside the range and collapses bright pictures.
    """
    clamped = values + (values.clamp(0, 1) - values).detach()
    return (clamped - targets).square().mean()


def log_spread(stacks: Sequence[Tensor]) -> Tensor:
    """Mean over all weights of log2 of the root mean square of their array.

    At given quantiser steps the file shrinks by one bit per weight when this falls by one.
    """
    total, count = stacks[0].new_zeros(()), 0
    for stack in stacks:
        weights = stack[..., :-1]
        each = weights.shape[-2] * weights.shape[-1]
        total = total + 0.5 * each * (weights.square().mean((-2, -1)) + 1e-12).log2().sum()
        count += each * len(stack)
    return total / count


def psnr_of(mean_squared_error: float) -> float:
    """PSNR in dB for values whose range is 1; infinite for no error."""
    return math.inf if mean_squared_error <= 0 else -10 * math.log10(mean_squared_error)
