"""Joins a FittedPyramid that missed its PyramidGoal with what comes nearer to it."""

from __future__ import annotations

import math
from dataclasses import replace

from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_decisions import decided
from inrcodec.fitting.pyramid_descent import AnyStep, PyramidState, descend
from inrcodec.fitting.pyramid_result import (
    FittedPyramid,
    Probe,
    integers,
    measured,
    restore,
    rounded,
)
from inrcodec.fitting.pyramid_targets import (
    AIM,
    DB_PER_DOUBLING,
    LEAST_LATENTS,
    PyramidGoal,
    corrected,
)
from inrcodec.fitting.schedule import Budget, Progress

TOLERANCE = 0.988
"""Part of the bits allowed that a file has at least."""

PSNR_TOLERANCE = 0.06
"""How far from the asked PSNR, in dB, is near enough."""

CORRECTIONS = 9
"""Times that a target that was missed is tried again."""

CORRECTION_SHARE, MIN_CORRECTION, CORRECTION_RATE = 0.05, 25, 0.06
"""Steps of a further descent of the latents, as a share of all and at least; their rate as a share
of the peak."""

CLOSELY = 0.01
"""As `PyramidPreset.decisions`: a rate weight that is little different moves few latents."""

STUCK = 0.7
"""Part of what was missed that decisions may leave before latents are descended, too."""

FARTHEST = 8.0
"""How far the rate weight may move from that of the descent, as a factor."""

FAR, FAR_CORRECTIONS = 0.08, 2
"""Logarithm of a rate that is missed by too much for the latents alone, and how often networks go
on, too."""


def correct(
    result: FittedPyramid,
    state: PyramidState,
    step: AnyStep,
    goal: PyramidGoal,
    preset: PyramidPreset,
    budget: Budget,
    progress: Progress,
    probe: Probe | None = None,
) -> FittedPyramid:
    """Go on until the goal is nearly met, the time is over, or nothing helps.

    By a further descent where much is missed, else by decisions at another rate weight, and where
    these do not help by a short descent of the latents. `state` is
    left with the networks of what is given back. An interrupt gives the last whole result.
    """
    tried: list[tuple[float, float]] = []
    best: FittedPyramid | None = None
    try:
        for index in range(CORRECTIONS):
            over = budget.interrupted or budget.elapsed() > 1
            if over or _near(result, goal):
                break
            tried.append((state.rate_weight, _excess(result, goal)))
            if goal.psnr is not None and result.psnr >= goal.psnr:
                best = result
            ends = tried[0][0] / FARTHEST, tried[0][0] * FARTHEST
            to = min(max(corrected(tried), ends[0]), ends[1])
            stuck = len(tried) > 1 and tried[-1][1] == tried[-2][1]
            if stuck or (index < FAR_CORRECTIONS and abs(tried[-1][1]) > FAR):
                # What latents alone do not reach needs the networks, too.
                descend(state, step, _again(preset), lambda *_, to=to: to, budget, progress)
                if budget.interrupted:
                    break
                result = rounded(state, step, preset, budget, probe, progress)
                result = decided(result, state, step, preset, budget, progress)
                continue
            state.rate_weight = to
            closely = replace(preset, decisions=min(CLOSELY, preset.decisions))
            result = decided(result, state, step, closely, budget, progress)
            missed = abs(_excess(result, goal))
            if missed > STUCK * abs(tried[-1][1]):
                own = _latents_alone(preset, missed)
                result = _descended(result, state, step, own, budget, progress)
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True
    if best is not None and goal.psnr is not None and result.psnr < goal.psnr - PSNR_TOLERANCE:
        # The last one that was good enough.
        result = best
        restore(state, result)
    elif budget.interrupted:
        restore(state, result)
    return result


def _descended(
    result: FittedPyramid,
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    budget: Budget,
    progress: Progress,
) -> FittedPyramid:
    """The result after a descent of its latents alone; itself where that is interrupted."""
    if not budget.interrupted:
        to = state.rate_weight
        descend(state, step, preset, lambda *_: to, budget, progress, networks=False)
    if budget.interrupted:
        return result
    planes = integers(state.latents)
    return measured(result.quantised, planes, state, step, result.float_psnr)


def _again(preset: PyramidPreset) -> PyramidPreset:
    """A second, shorter descent from where the first one ended."""
    return replace(
        preset,
        steps=max(MIN_CORRECTION, round(0.3 * preset.steps)),
        temperature=(_middle(preset.temperature), preset.temperature[1]),
        noise=(_middle(preset.noise), preset.noise[1]),
        rate=0.3 * preset.rate,
        latent_rate=0.5 * preset.latent_rate,
    )


def _middle(ends: tuple[float, float]) -> float:
    return (ends[0] + ends[1]) / 2


def _latents_alone(preset: PyramidPreset, excess: float) -> PyramidPreset:
    """A few steps for rounded networks, of latents that are almost where they should be."""
    hurry = min(max(CORRECTION_RATE, 0.5 * excess), 0.5)
    return replace(
        preset,
        steps=max(MIN_CORRECTION, round(preset.steps * CORRECTION_SHARE)),
        temperature=(preset.temperature[1],) * 2,
        noise=(preset.noise[1],) * 2,
        latent_rate=preset.latent_rate * hurry,
        hard_share=0.0,
    )


def _near(result: FittedPyramid, goal: PyramidGoal) -> bool:
    if goal.psnr is not None:
        return abs(result.psnr - goal.psnr) <= PSNR_TOLERANCE
    return goal.bits is None or TOLERANCE <= result.bits / goal.bits <= 1


def _excess(result: FittedPyramid, goal: PyramidGoal) -> float:
    """Logarithm of the rate of the latents over the one that would meet the goal."""
    if goal.psnr is not None:
        return min(result.psnr - goal.psnr, 20.0) / DB_PER_DOUBLING * math.log(2)
    assert goal.bits is not None
    wanted = max(goal.bits * AIM - result.quantised.bits, LEAST_LATENTS * goal.bits)
    return math.log((result.bits - result.quantised.bits) / wanted)
