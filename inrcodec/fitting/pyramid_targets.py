"""Joins what a user asks of a file (quality, bits, PSNR) with the rate weight of a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

COARSEST_WEIGHT = 1e-2
"""Rate weight (lambda) of quality 0: mean squared error of values 0..1 per bit per position."""

QUALITY_PER_HALVING = 12.5
"""Quality that halves the rate weight."""

WEIGHTS = (1e-7, 1.0)
"""Least and largest rate weight."""

STEERED_FROM, GAIN = 0.15, 5.0
"""Share of a descent from which the weight is steered, and how fast."""

EXPONENT = -0.6
"""Power of the weight that the rate goes with, on photographs."""

MOST_PER_ERROR = 8.0
"""Largest rate weight over the mean squared error that is asked for: photographs end near 4."""

DB_PER_DOUBLING = 6.0
"""PSNR that twice the rate brings."""

AIM = 0.994
"""Part of the bits allowed that a fit aims at: what it misses by must not be too much."""

FIRST_LATENTS = 0.65
"""Part of the bits that latents are aimed at before the networks' share is known."""

LEAST_LATENTS = 0.1
"""Part of the bits that latents are aimed at where networks seem to take all."""


PICTURE_SHARES, VOLUME_SHARES = (0.4, 1.2), (0.6, 2.5)
"""Rate weight of a field that a residual follows: over the square of the bound, or, if that is
more, over its own squared error. A bit of the field then lowers the residual by about a bit. By the
entropy of Laplace distributed errors that would be at 0.5 and 1.4; the contexts of the residual
of a volume say more than those of a picture, and its field fits noise worse."""

FEW = 0.16
"""Squared error over the square of the bound below which errors beyond the bound get so few that a
field that good is not worth its bits."""

FIRST_TIGHT = 3e-4
"""Where the search for the weight of a tight bound starts: what the noise of photographs asks."""


def weight_of_quality(quality: float) -> float:
    """Rate weight of a quality 0..100."""
    return float(COARSEST_WEIGHT * 2.0 ** (-quality / QUALITY_PER_HALVING))


def weight_of_bpp(bpp: float) -> float:
    """Where the search for a rate starts: what photographs of middling detail need."""
    return bounded(float(3.5e-4 * bpp**-1.7))


def weight_of_psnr(psnr: float) -> float:
    """Where the search for a PSNR in dB starts."""
    return bounded(1.5e-3 * 2.0 ** ((33.5 - psnr) / 3.6))


@dataclass(frozen=True)
class PyramidGoal:
    """What one track is fitted to; exactly one of the first four is given.

    `bits` is what parameters and latents may take together. `bound`, a share of the value range, is
    half the step of a residual that follows: both are to be small together. `begin` is the rate
    weight to begin with, where more is known than what photographs need. `share` is positions of
    the field's lattice over the signal's: a residual is of the signal.
    """

    rate_weight: float | None = None
    bits: float | None = None
    psnr: float | None = None
    bound: float | None = None
    begin: float | None = None
    share: float = 1.0


def first_weight(goal: PyramidGoal, positions: int) -> float:
    """Rate weight that a fit to the goal begins with."""
    if goal.rate_weight is not None:
        return goal.rate_weight
    if goal.begin is not None:
        return goal.begin
    if goal.psnr is not None:
        return weight_of_psnr(goal.psnr)
    if goal.bound is not None:
        return bounded(max(PICTURE_SHARES[0] * goal.bound**2, FIRST_TIGHT) * goal.share)
    assert goal.bits is not None
    return weight_of_bpp(FIRST_LATENTS * goal.bits / positions)


@dataclass
class Steered:
    """A rate weight that follows what a descent reaches, towards a rate or a PSNR.

    One of the two goals is given: bits per position of the latents, or dB.
    """

    weight: float
    bpp: float | None = None
    psnr: float | None = None
    last_share: float = 0.0

    def __call__(self, share: float, error: float, bpp: float) -> float:
        """The weight at `share` of the descent, after the error and bpp just seen."""
        passed, self.last_share = max(share - self.last_share, 0.0), share
        if share < STEERED_FROM or not math.isfinite(error + bpp):
            return self.weight
        # Logarithm of the rate spent over the rate that is needed.
        if self.bpp is not None:
            excess = math.log(max(bpp, 1e-9) / self.bpp)
        else:
            assert self.psnr is not None
            reached = -10 * math.log10(max(error, 1e-12))
            excess = (reached - self.psnr) / DB_PER_DOUBLING * math.log(2)
        excess = min(max(excess, -0.5), 0.5)
        self.weight = bounded(self.weight * math.exp(-GAIN * passed * excess / EXPONENT))
        if self.psnr is not None:
            # An exact fit would never stop asking for less.
            self.weight = min(self.weight, MOST_PER_ERROR * 10 ** (-self.psnr / 10))
        return self.weight


@dataclass
class Shared:
    """A rate weight that follows the error: the one of a field whose errors a residual codes."""

    weight: float
    bound: float
    loose: float
    tight: float
    last_share: float = 0.0

    def __call__(self, share: float, error: float, bpp: float) -> float:
        """The weight at `share` of the descent, after the error just seen."""
        passed, self.last_share = max(share - self.last_share, 0.0), share
        if share >= STEERED_FROM and math.isfinite(error):
            square = self.bound**2
            few = max(1.0, FEW * square / max(error, 1e-12)) ** 2
            wanted = bounded(max(self.loose * square * few, self.tight * error))
            self.weight *= (wanted / self.weight) ** min(2 * GAIN * passed, 1.0)
        return self.weight


def corrected(tried: list[tuple[float, float]]) -> float:
    """The weight to go on with, after (weight, log of the rate over the one needed) so far."""
    weight, excess = tried[-1]
    slope = EXPONENT
    if len(tried) > 1:
        before, more = tried[-2]
        if weight != before:
            slope = (excess - more) / math.log(weight / before)
    # A short descent follows the weight only in part.
    slope = min(max(slope, 1.5 * EXPONENT), 0.3 * EXPONENT)
    return bounded(weight * math.exp(-excess / slope))


def bounded(weight: float) -> float:
    """The weight itself, kept between the least and the largest."""
    return min(max(weight, WEIGHTS[0]), WEIGHTS[1])
