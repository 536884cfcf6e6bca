"""Joins one part of a Signal and a PyramidGoal with the networks and latents of a pyramid."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.starts import start_values
from inrcodec.errors import TargetMissedError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_correction import correct
from inrcodec.fitting.pyramid_decisions import decided
from inrcodec.fitting.pyramid_descent import AnyStep, PyramidState, Weight, descend
from inrcodec.fitting.pyramid_networks import Networks, random_networks
from inrcodec.fitting.pyramid_pilot import chosen_damping
from inrcodec.fitting.pyramid_result import FittedPyramid, Probe, rounded
from inrcodec.fitting.pyramid_rounding import expected_bits
from inrcodec.fitting.pyramid_targets import (
    AIM,
    FIRST_LATENTS,
    LEAST_LATENTS,
    PICTURE_SHARES,
    VOLUME_SHARES,
    PyramidGoal,
    Shared,
    Steered,
    first_weight,
)
from inrcodec.fitting.pyramid_trim import trimmed_to
from inrcodec.fitting.schedule import Budget, Progress

HURRIED_STEPS = 20
"""Steps that follow where an interrupt comes before the descent has begun."""

PROBES = (0.2, 0.4, 0.6, 0.8)
"""Shares of a descent at which the bits of the networks are estimated."""


def fit_pyramid(
    spec: PyramidSpec,
    step: AnyStep,
    peak: int,
    goal: PyramidGoal,
    preset: PyramidPreset,
    seed: int,
    budget: Budget,
    progress: Progress,
    probe: Probe | None = None,
) -> FittedPyramid:
    """Fit one track: descend, round the networks, decide on single latents, and go on while a
    target is missed.

    Networks are rounded by looking at the probe, if there is one, instead of everything. An
    interrupt sets `budget.interrupted`, and what was reached so far is brought to an end; a second
    one is raised. Raises TargetMissedError for a target out of reach.
    """
    positions = math.prod(spec.lattice)
    networks = Networks(spec, _first_networks(spec, seed))
    latents = [np.zeros(spec.grid(level), np.float32) for level in range(spec.levels)]
    state = PyramidState(networks, latents, positions, peak)
    weight = _weight(goal, positions, spec.inputs)
    if isinstance(weight, Steered) and goal.bits is not None:
        weight = _measuring(weight, state, step, goal.bits)
    before = budget.interrupted
    first = weight(0.0, math.nan, math.nan)
    damping = chosen_damping(state, step, preset, first, budget, probe, progress)
    preset = replace(preset, dampings=(damping,))
    if budget.interrupted and not before:
        preset = replace(preset, steps=min(HURRIED_STEPS, preset.steps))
    descend(state, step, preset, weight, budget, progress)
    result = rounded(state, step, preset, budget, probe, progress)
    result = decided(result, state, step, preset, budget, progress)
    result = correct(result, state, step, goal, preset, budget, progress, probe)
    if goal.bits is not None:
        result = trimmed_to(result, goal.bits, state, step, budget, progress)
    if goal.psnr is not None and result.psnr < goal.psnr - 0.1 and not budget.interrupted:
        raise TargetMissedError(
            f"PSNR: {goal.psnr:.2f} dB asked, {result.psnr:.2f} dB reached with net {spec.net}; "
            "give a higher effort, more time or a lower target"
        )
    return result


def _first_networks(spec: PyramidSpec, seed: int) -> dict[str, NDArray[np.float32]]:
    """The networks of the start that the architecture names, random where it has none."""
    values = random_networks(spec, seed)
    for name, known in start_values(spec).items():
        if known.any():
            values[name] = known.astype(np.float32)
    return values


def _weight(goal: PyramidGoal, positions: int, axes: int) -> Weight:
    first = first_weight(goal, positions)
    if goal.rate_weight is not None:
        return lambda share, error, bpp: first
    if goal.psnr is not None:
        return Steered(first, psnr=goal.psnr)
    if goal.bound is not None:
        loose, tight = PICTURE_SHARES if axes == 2 else VOLUME_SHARES
        return Shared(first, goal.bound, loose * goal.share, tight * goal.share)
    assert goal.bits is not None
    # Until `_measuring` knows what the networks will take.
    return Steered(first, bpp=FIRST_LATENTS * goal.bits / positions)


def _measuring(steered: Steered, state: PyramidState, step: AnyStep, bits: float) -> Weight:
    """The steered weight; the bits of the networks are estimated anew at every one of PROBES."""
    left = list(PROBES)

    def weight(share: float, error: float, bpp: float) -> float:
        if left and share >= left[0]:
            left.pop(0)
            latents = bits * AIM - expected_bits(state, step)
            steered.bpp = max(latents, LEAST_LATENTS * bits) / state.positions
        return steered(share, error, bpp)

    return weight
