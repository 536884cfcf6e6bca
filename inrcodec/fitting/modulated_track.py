"""Joins a Signal, a Base and a goal with a FittedTrack of the step that meets it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from inrcodec.coding.base_format import Base
from inrcodec.coding.bases import known_bases
from inrcodec.errors import TargetMissedError, UsageError
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.siren import OUTPUT_CENTRE
from inrcodec.fitting.modulated_fit import (
    MOST_STEP,
    ROUNDS,
    TRIAL_ROUNDS,
    PatchFit,
    Trial,
    least_step,
    step_of_weight,
)
from inrcodec.fitting.pyramid_targets import PyramidGoal, first_weight
from inrcodec.fitting.rate_control import PSNR_TOLERANCE
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.samples import normalised
from inrcodec.fitting.schedule import Budget, Progress
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.signal import Signal, SignalInfo

SECTION_FRAME = 14
"""Most bytes that a section of latents has beside its symbols."""


def fit_modulated(
    target: Tensor,
    base: Base,
    goal: PyramidGoal,
    effort: int,
    budget: Budget,
    progress: Progress,
) -> tuple[ModulatedSpec, Trial, float]:
    """The architecture, rounded latents that meet a goal, and the PSNR before rounding.

    An interrupt sets `budget.interrupted`, and the best of what was tried so far is taken.
    """
    fit = PatchFit(target, base, budget)
    progress("fit", 0.0, math.nan)
    free = fit.free()
    float_psnr = fit.psnr(fit.left(free))
    try:
        progress("fit", 0.3, float_psnr)
        found = _searched(fit, free, goal, ROUNDS[effort])
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True
        progress("round", 0.0, float_psnr)
        if not fit.trials:
            fit.rounded(free, _usual_step(fit, goal), 1)
        found = _best(fit.trials, goal)
    progress("round", 1.0, found.psnr)
    return replace(fit.spec, step=found.step), found, float_psnr


def _searched(fit: PatchFit, free: Tensor, goal: PyramidGoal, rounds: int) -> Trial:
    if goal.psnr is not None:
        return _for_psnr(fit, free, goal.psnr, rounds)
    if goal.bits is not None:
        return _for_bits(fit, free, goal.bits, rounds)
    return fit.rounded(free, _usual_step(fit, goal), rounds)


def _usual_step(fit: PatchFit, goal: PyramidGoal) -> int:
    return step_of_weight(first_weight(goal, fit.target[0].numel()), len(fit.target))


def _best(trials: Sequence[Trial], goal: PyramidGoal) -> Trial:
    """Of what was tried, what comes nearest to a goal; the last where that says nothing."""
    if goal.bits is not None:
        most = goal.bits
        return min(trials, key=lambda each: (each.bits > most, -each.psnr))
    if goal.psnr is not None:
        least = goal.psnr
        return min(trials, key=lambda each: (each.psnr < least, each.bits))
    return trials[-1]


def _for_bits(fit: PatchFit, free: Tensor, bits: float, rounds: int) -> Trial:
    """The finest step whose latents take no more bits; the coarsest if none does."""
    trials: dict[int, Trial] = {}

    def fits(step: int) -> bool:
        trials[step] = fit.rounded(free, step, TRIAL_ROUNDS)
        return trials[step].bits <= bits

    step = least_step(fits)
    step = MOST_STEP if step is None else step
    # More rounds may find a little more to code, or leave room for a finer step.
    found = fit.rounded(free, step, rounds)
    while found.bits > bits and step < MOST_STEP:
        step += 1
        found = fit.rounded(free, step, rounds)
    return found


def _for_psnr(fit: PatchFit, free: Tensor, psnr: float, rounds: int) -> Trial:
    """The coarsest step that reaches a PSNR."""
    step = least_step(lambda step: fit.rounded(free, step, TRIAL_ROUNDS).psnr < psnr)
    step = MOST_STEP if step is None else max(step - 1, 0)
    found = fit.rounded(free, step, rounds)
    while found.psnr < psnr and step > 0:
        step -= 1
        found = fit.rounded(free, step, rounds)
    if found.psnr < psnr - PSNR_TOLERANCE and not fit.budget.interrupted:
        raise TargetMissedError(
            f"PSNR: {psnr:.2f} dB asked, {found.psnr:.2f} dB reached with base {fit.base.name}; "
            "give a lower target or another kind of field"
        )
    return found


def chosen_base(name: str | None, info: SignalInfo) -> Base:
    """The base of a name, or whose hash begins with it; else the first that suits a signal."""
    axes, outputs = len(info.axes), len(info.channels)
    bases = list(known_bases())
    named = [b for b in bases if name in (None, b.name) or b.digest.startswith(str(name))]
    for base in named:
        if base.suits(axes, outputs):
            return base
    if name is not None and not named:
        raise UsageError(f"base {name}: none of that name or hash; see `inrcodec base list`")
    what = "none is" if name is None else f"{name} is not"
    raise UsageError(
        f"modulated: of the bases at hand {what} for {axes} axes and {outputs} channels; train one "
        "with `inrcodec base train`, or name another kind"
    )


def modulated_track(
    part: Signal,
    base: Base,
    goal: PyramidGoal,
    effort: int,
    budget: Budget,
    progress: Progress,
) -> FittedTrack:
    """What the encoder writes of one part of a signal."""
    values = np.moveaxis(normalised(part), -1, 0) - np.float32(OUTPUT_CENTRE)
    target = torch.from_numpy(np.ascontiguousarray(values))
    spec, found, float_psnr = fit_modulated(target, base, goal, effort, budget, progress)
    latents = found.latents.reshape(*spec.grid, spec.dimensions)
    size = found.bits / 8 + SECTION_FRAME
    nothing = Quantised({}, (), 0.0)
    return FittedTrack(spec, nothing, ROUNDS[effort], float_psnr, (latents,), bytes=size)
