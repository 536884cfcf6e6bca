"""Joins field values and targets with the loss that fitting descends."""

from __future__ import annotations

import math

from torch import Tensor


def squared_error(values: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of `values` clamped to 0..1, as the decoder clamps them.

    The clamp is straight-through: an overshoot costs nothing, yet never loses its gradient. A hard
    clamp has no gradient outside the range and collapses bright pictures.
    """
    clamped = values + (values.clamp(0, 1) - values).detach()
    return (clamped - targets).square().mean()


def psnr_of(mean_squared_error: float) -> float:
    """PSNR in dB for values whose range is 1; infinite for no error."""
    return math.inf if mean_squared_error <= 0 else -10 * math.log10(mean_squared_error)
