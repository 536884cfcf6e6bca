"""Joins a Signal's Samples and a SirenSpec in a Field of floats: the descent and its guards."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inrcodec.fields.siren import OUTPUT_CENTRE, SirenSpec
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, Progress, cosine, quiet
from inrcodec.fitting.siren_presets import Preset
from inrcodec.fitting.siren_step import step_for
from inrcodec.fitting.stacks import Stacks, initial_stacks, layers_of

FIT_SHARE = 0.7
"""Share of a time limit after which rounding starts."""

CHECKS = 20
"""Times per fit that the quality is measured and the best state kept."""

CHECK_POINTS = 2**16
"""Positions on which the quality is measured."""

MAX_RESTARTS = 3

_log = logging.getLogger("inrcodec")


@dataclass
class Descent:
    """A fit on its way: where it stands, and the best state seen."""

    stacks: Stacks
    best: Stacks
    best_psnr: float = -math.inf
    rate_factor: float = 1.0
    steps: int = 0

    def keep(self, psnr: float) -> None:
        """Remember the present state if it is the best."""
        if psnr > self.best_psnr:
            self.best, self.best_psnr = [s.detach().clone() for s in self.stacks], psnr


def measure(spec: SirenSpec, layers: Sequence[Tensor], samples: Samples, indices: Tensor) -> float:
    """PSNR in dB at some positions, before rounding to the samples' type."""
    return psnr_of(step_for(spec, samples).error(layers, indices))


def fit(
    spec: SirenSpec,
    samples: Samples,
    preset: Preset,
    seed: int,
    budget: Budget,
    progress: Progress = quiet,
) -> Descent:
    """Fit a field in floating point; the result holds the best state seen.

    An interrupt (Ctrl-C) ends the fit and sets `budget.interrupted`. A loss that is not finite
    goes back to the best state and on at half the rate.
    """
    generator = torch.Generator().manual_seed(seed)
    start = initial_stacks(spec, generator, preset.first_scale)
    start[-1][-1, :, -1] = samples.targets(samples.some(CHECK_POINTS)).mean(0) - OUTPUT_CENTRE
    start = [stack.to(samples.device) for stack in start]
    descent = Descent([stack.clone().requires_grad_() for stack in start], best=start)
    try:
        for _ in range(MAX_RESTARTS):
            if _descend(spec, samples, preset, descent, budget, progress):
                break
            descent.stacks = [s.clone().requires_grad_() for s in descent.best]
            descent.rate_factor /= 2
        else:
            _log.warning("the fit diverged %d times; the best state before is used", MAX_RESTARTS)
    except KeyboardInterrupt:
        budget.interrupted = True
        descent.keep(measure(spec, layers_of(descent.stacks), samples, samples.some(CHECK_POINTS)))
    return descent


def _descend(
    spec: SirenSpec,
    samples: Samples,
    preset: Preset,
    descent: Descent,
    budget: Budget,
    progress: Progress,
) -> bool:
    """Follow the schedule from where `descent` stands; False if the loss diverged."""
    step = step_for(spec, samples)
    optimiser = Soap(descent.stacks)
    batches = samples.batches(preset.batch)
    watched = samples.some(CHECK_POINTS)
    next_check = 0.0
    while True:
        share = max(descent.steps / preset.steps, budget.elapsed() / FIT_SHARE)
        if share >= min(next_check, 1.0):
            psnr = psnr_of(step.error(layers_of(descent.stacks), watched))
            if math.isnan(psnr):
                return False
            descent.keep(psnr)
            progress("fit", min(share, 1.0), descent.best_psnr)
            next_check = share + 1 / CHECKS
        if share >= 1:
            return True
        loss = step.descend([], descent.stacks, next(batches))
        if not math.isfinite(loss):
            return False
        optimiser.step(preset.rate * descent.rate_factor * cosine(share))
        descent.steps += 1
