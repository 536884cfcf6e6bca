"""Joins a Signal and a Base with a FittedTrack: a few inner steps, then rounding by its bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.base_format import Base
from inrcodec.coding.latents import MAX_LATENT
from inrcodec.coding.patch_latents import estimated_bits
from inrcodec.fields.modulated import CENTRE_STEP, STEPS_PER_OCTAVE, ModulatedSpec
from inrcodec.fitting.base_file import tensors_of
from inrcodec.fitting.base_training import WORTH
from inrcodec.fitting.modulated_model import (
    Windows,
    adapt,
    basis,
    gradient,
    positions,
    precondition,
    synthesis,
)
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.schedule import Budget

ROUNDS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 12, 8: 20, 9: 40}
"""Rounds of rounding by effort."""

TRIAL_ROUNDS = 2
"""Of a step that is tried for a size or a PSNR."""

MOST_STEP = 255


@dataclass(frozen=True)
class Trial:
    """Latents at one step, and what they cost and reach."""

    step: int
    latents: NDArray[np.int32]
    bits: float
    psnr: float


class PatchFit:
    """A signal `[channels, *lattice]`, around 0, in the windows of a base's patches."""

    def __init__(self, target: Tensor, base: Base, budget: Budget) -> None:
        self.target, self.base, self.budget = target, base, budget
        self.trials: list[Trial] = []
        lattice, outputs = tuple(target.shape[1:]), len(target)
        self.spec = ModulatedSpec(
            lattice,
            outputs,
            base.short,
            base.patches.patch,
            base.patches.margin,
            base.dimensions,
            base.units,
        )
        self.parameters = tensors_of(base, outputs)
        self.windows = Windows(lattice, base.patches)
        places = positions(base.patches, len(lattice))
        self.waves = basis(self.parameters, places, base.patches.patch)
        # Dimensions of colours alone hardly move a grey field: what bounds the mean of all outputs,
        # a share of what bounds them together, leaves them alone.
        whole = tensors_of(base, base.outputs)
        waves = basis(whole, places, base.patches.patch)
        self.inverse = precondition(whole, waves, base.patches, len(lattice))
        self.inverse = self.inverse * (base.outputs / outputs)
        self.weights = 1 / self.inverse.diagonal()

    def free(self) -> Tensor:
        """Latents before rounding."""
        rates = torch.from_numpy(self.base.rates.copy())
        own = (self.parameters, self.target, self.waves, self.windows, self.inverse, rates)
        return adapt(*own)

    def left(self, latents: Tensor) -> Tensor:
        """The target less what latents say."""
        return self.target - synthesis(self.parameters, latents, self.waves, self.windows)

    def psnr(self, left: Tensor) -> float:
        """PSNR in dB of what is clamped to the value range."""
        clamped = self.target - (self.target - left).clamp(-0.5, 0.5)
        return psnr_of(float(clamped.square().mean()))

    def rounded(self, free: Tensor, step: int, rounds: int) -> Trial:
        """Integers near latents that balance squared error and bits, better with every round.

        A round looks at every latent alone, where the preconditioner bounds what all together do,
        with the probabilities that the round before left it.
        """
        spec = replace(self.spec, step=step)
        width = spec.step_size
        worth = WORTH * width**2
        wanted, best = free / width, None
        known = wanted.round().clamp(-MAX_LATENT, MAX_LATENT)
        for number in range(rounds + 1):
            flat = known.numpy().astype(np.int32)
            mean, scale = (
                torch.from_numpy(each.astype(np.float32))
                for each in estimated_bits(spec, self.base.network, flat)
            )
            left = self.left(known * width)
            bits = float(_bits(known, mean, scale).sum())
            cost = float(left.square().sum()) + worth * bits
            if number and (best is None or cost < best[0]):
                best = cost, flat, bits, self.psnr(left)
            if number == rounds or (self.budget.elapsed() > 1 and best):
                break
            if number:
                moved = gradient(self.parameters, known * width, self.waves, self.windows, left)
                wanted = known + moved @ self.inverse / width
            known = _nearest(wanted, known, mean, scale, self.weights * width**2, worth)
        assert best is not None
        _, flat, bits, psnr = best
        self.trials.append(Trial(step, flat, bits, psnr))
        return self.trials[-1]


def _bits(latents: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Code lengths under Laplace distributions of scale b."""
    away = (latents - mean).abs()
    beyond = 1 - torch.log2(-torch.expm1(-1 / scale)) + (away - 0.5) / (scale * math.log(2))
    inner = torch.exp(-(away + 0.5) / scale) + torch.exp((away - 0.5).clamp(max=0) / scale)
    within = -torch.log2((1 - 0.5 * inner).clamp(min=2.0**-16))
    # No table gives a symbol less than 2^-16, nor more than all.
    return torch.where(away > 0.5, beyond, within)


def _nearest(
    wanted: Tensor, known: Tensor, mean: Tensor, scale: Tensor, weights: Tensor, worth: float
) -> Tensor:
    """The integers of least weighted squared distance + bits, of those around what is wanted, one
    nearer to the mean, and the mean.
    """
    below = torch.floor(wanted)
    toward = torch.where(wanted > mean, below - 1, below + 2)
    best, least = known, torch.full_like(wanted, math.inf)
    for candidate in (below, below + 1, toward, mean.round(), torch.zeros_like(below)):
        cost = weights * (candidate - wanted).square() + worth * _bits(candidate, mean, scale)
        best = torch.where(cost < least, candidate.clamp(-MAX_LATENT, MAX_LATENT), best)
        least = torch.minimum(cost, least)
    return best


def least_step(trial: Callable[[int], bool]) -> int | None:
    """The least step index for which something holds that holds for all greater ones; None if it
    holds for none.
    """
    low, high = -1, MOST_STEP + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if trial(middle) else (middle, high)
    return high if high <= MOST_STEP else None


def step_of_weight(rate_weight: float, outputs: int) -> int:
    """The step index at which a bit is worth as much as lambda says."""
    octave = 0.5 * math.log2(outputs * rate_weight / WORTH)
    return min(max(round(CENTRE_STEP + STEPS_PER_OCTAVE * octave), 0), MOST_STEP)
