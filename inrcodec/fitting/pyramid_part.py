"""Joins one part of a Signal and the user's Settings with the FittedTrack of a pyramid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.quantize import dequantize
from inrcodec.errors import TargetMissedError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.bounds import absolute_bound, bound_share
from inrcodec.fitting.coarsening import chosen_coarse, coarse_goal, coarsened
from inrcodec.fitting.mixture import component_goal, joined, mixed_axis, mixture
from inrcodec.fitting.ms_ssim import MsSsim
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.pyramid_fit import fit_pyramid
from inrcodec.fitting.pyramid_result import FittedPyramid, Probe, decoded_values
from inrcodec.fitting.pyramid_spec import (
    PROBED_FROM,
    chosen_spec,
    probe_window,
    section_bytes,
    started,
)
from inrcodec.fitting.pyramid_step import Distortion, Floats
from inrcodec.fitting.pyramid_targets import PyramidGoal, first_weight, weight_of_quality
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.samples import normalised
from inrcodec.fitting.schedule import Budget, Progress
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.tilings import in_tiles
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.fitting.workers import Workers
from inrcodec.signal import Signal, is_picture

MANY = 2**20
"""Code values that stand for floats."""

PSNR_WITHIN = 0.1
"""What a PSNR may be missed by, in dB."""


def goal_of(part: Signal, settings: Settings, available: float) -> PyramidGoal:
    """What the settings ask of a part, where its symbols may take `available` bytes."""
    if settings.rate_weight is not None:
        return PyramidGoal(rate_weight=settings.rate_weight)
    if settings.max_error is not None:
        bound = absolute_bound(settings.max_error, part.info)
        return PyramidGoal(bound=bound_share(bound, part.info))
    if settings.psnr is not None:
        return PyramidGoal(psnr=settings.psnr + _missing_decibels(part))
    if math.isfinite(available) and settings.quality is None:
        return PyramidGoal(bits=8 * max(available, 1.0))
    return PyramidGoal(rate_weight=weight_of_quality(settings.asked_quality))


def fit_pyramid_part(
    part: Signal,
    settings: Settings,
    available: float,
    budget: Budget,
    progress: Progress,
    workers: Workers,
) -> FittedTrack:
    """Fit a pyramid that meets the settings' target, in `available` bytes where that is a size."""
    preset = settings.pyramid_preset()
    kept = max(settings.kept or 0, int(settings.mix is not None))
    spec = chosen_spec(part.info, preset, settings.kept or 0)
    if math.isfinite(available):
        available -= section_bytes(spec, available)
    goal = goal_of(part, settings, available)
    if settings.mix is None:
        fitted = _fitted_coarse(part, kept, goal, settings, budget, progress, workers)
        known = dequantize(fitted.spec, fitted.quantised.symbols, fitted.quantised.recipes)
        network = IntegerNetwork.of(fitted.spec, known.parameters)
        tiled = in_tiles(fitted.spec, network, fitted.latents, settings.tile)
        return _track(fitted, tiled, fitted.quantised, fitted.float_psnr)
    mixed = mixture(part, mixed_axis(part.info, settings.mix), goal, settings.rank)

    def seen(stage: str, share: float, psnr: float) -> None:
        progress(stage, share, psnr_of(mixed.error(10 ** (-psnr / 10))))

    own = component_goal(goal, mixed)
    fitted = _fitted_coarse(mixed.components, kept, own, settings, budget, seen, workers)
    spec, quantised = joined(fitted, mixed, math.inf if goal.bits is None else goal.bits)
    float_psnr = psnr_of(mixed.error(10 ** (-fitted.float_psnr / 10)))
    return _track(fitted, spec, quantised, float_psnr)


def _fitted_coarse(
    part: Signal,
    kept: int,
    goal: PyramidGoal,
    settings: Settings,
    budget: Budget,
    progress: Progress,
    workers: Workers,
) -> FittedPyramid:
    """A pyramid of one part that meets the goal, on the lattice that suits it."""
    coarse, chosen = settings.coarse, settings.coarse is None
    if coarse is None:
        # A picture may be asked for more than there is of it: its field has the picture's lattice.
        coarse = 0 if is_picture(part.info) else chosen_coarse(part, kept, goal)
    preset = settings.pyramid_preset()
    if coarse == 0:
        spec = chosen_spec(part.info, preset, kept)
        return _fitted(part, spec, goal, settings, budget, progress, workers)
    own = coarsened(part, kept, coarse)
    spec = chosen_spec(own.signal.info, preset, kept, coarse)

    def seen(stage: str, share: float, psnr: float) -> None:
        progress(stage, share, own.psnr(psnr))

    aim, target = goal, normalised(part)
    try:
        while True:
            inner = coarse_goal(aim, own)
            fitted = _fitted(own.signal, spec, inner, settings, budget, seen, workers)
            values = decoded_values(fitted, part.info.lattice)
            reached = psnr_of(float(np.square(values - target).mean()))
            if goal.psnr is None or reached > goal.psnr - PSNR_WITHIN or budget.interrupted:
                break
            # Ends of short axes count more than `own` says.
            assert aim.psnr is not None
            aim = replace(goal, psnr=aim.psnr + goal.psnr - reached)
    except TargetMissedError:
        if not chosen:
            raise
        settings = replace(settings, coarse=0)
        return _fitted_coarse(part, kept, goal, settings, budget, progress, workers)
    float_psnr, rate_weight = own.psnr(fitted.float_psnr), fitted.rate_weight / own.share
    return replace(fitted, psnr=reached, float_psnr=float_psnr, rate_weight=rate_weight)


def _fitted(
    part: Signal,
    spec: PyramidSpec,
    goal: PyramidGoal,
    settings: Settings,
    budget: Budget,
    progress: Progress,
    workers: Workers,
) -> FittedPyramid:
    """A pyramid of one part that meets the goal, from the start that suits it."""
    preset = settings.pyramid_preset()
    spec = started(spec, first_weight(goal, part.info.positions), preset.steps)
    target = normalised(part)
    distorted = _distortion(part, settings, workers)
    distortion = distorted(target)
    if distortion is not None:
        # Decisions look at windows of squared errors.
        preset = replace(preset, decisions=0.0)
    step, probe = step_for(spec, target, workers.count, distortion), None
    if part.info.positions > PROBED_FROM:
        window = probe_window(spec)
        own = target[tuple(slice(*ends) for ends in window)]
        smaller = replace(spec, lattice=own.shape[:-1], tile=0)
        inner = step_for(smaller, own, workers.count, distorted(own))
        probe = Probe(inner, tuple(start for start, _ in window))
    seed, peak = settings.seed, _peak(part)
    return fit_pyramid(spec, step, peak, goal, preset, seed, budget, progress, probe)


def _track(
    fitted: FittedPyramid, spec: PyramidSpec, quantised: Quantised, float_psnr: float
) -> FittedTrack:
    size = (fitted.bits - fitted.quantised.bits + quantised.bits) / 8
    return FittedTrack(
        spec,
        quantised,
        fitted.steps,
        float_psnr,
        fitted.latents,
        bytes=size + section_bytes(spec, size),
    )


def _missing_decibels(part: Signal) -> float:
    """What the PSNR of a fit seems to gain by samples that are missing, and easily met."""
    there = 1.0 if part.missing is None else 1 - float(part.missing.mean())
    return -10 * math.log10(there)


def _distortion(
    part: Signal, settings: Settings, workers: Workers
) -> Callable[[Floats], Distortion | None]:
    """What makes the distortion from a target; none is the MSE, and what alpha is tuned for."""
    if settings.tune == "mse" or part.info.channels == ("alpha",):
        return lambda target: None
    return lambda target: MsSsim(target, workers)


def _peak(part: Signal) -> int:
    """Code values of the samples over their range, less one; of many, as many as matter."""
    if part.info.dtype.startswith("float"):
        return MANY
    low, high = part.info.value_range
    return int(min(high - low, MANY))
