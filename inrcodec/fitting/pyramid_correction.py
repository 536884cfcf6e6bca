"""Joins a FittedPyramid that missed its PyramidGoal with short descents that come nearer to it."""

from __future__ import annotations

import math
from dataclasses import replace

from inrcodec.fitting.presets import PyramidPreset
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

TOLERANCE = 0.97
"""Part of the bits allowed that a file has at least."""

PSNR_TOLERANCE = 0.06
"""How far from the asked PSNR, in dB, is near enough."""

CORRECTIONS = 9
"""Times that the latents go on for a while because the target was missed."""

CORRECTION_SHARE, MIN_CORRECTION, CORRECTION_RATE = 0.05, 25, 0.06
"""Steps of such a time, as a share of all and at least; their rate as a share of the peak."""

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
    """Descend further until the goal is nearly met, the time is over, or nothing helps.

    `state` is left with the networks of what is given back. An interrupt gives the last whole
    result.
    """
    tried: list[tuple[float, float]] = []
    try:
        for index in range(CORRECTIONS):
            over = budget.interrupted or budget.elapsed() > 1
            if over or _near(result, goal):
                break
            tried.append((state.rate_weight, _excess(result, goal)))
            ends = tried[0][0] / FARTHEST, tried[0][0] * FARTHEST
            to = min(max(corrected(tried), ends[0]), ends[1])
            # What is too far for the latents alone needs the networks, too.
            far = index < FAR_CORRECTIONS and abs(tried[-1][1]) > FAR
            own = _again(preset) if far else _latents_alone(preset, abs(tried[-1][1]))
            descend(state, step, own, lambda *_, to=to: to, budget, progress, networks=far)
            if budget.interrupted:
                break
            if far:
                result = rounded(state, step, preset, budget, probe, progress)
            else:
                planes = integers(state.latents)
                result = measured(result.quantised, planes, state, step, result.float_psnr)
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True
    if budget.interrupted:
        restore(state, result)
    return result


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
