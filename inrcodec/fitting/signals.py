"""Joins the parts of a Signal and the user's Settings with a fit of each part's kind of field."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from inrcodec.coding.mask import distinct, pack_mask, shared_axes
from inrcodec.coding.weights import pack_weights
from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import OMEGA_DENOMINATOR, SirenSpec
from inrcodec.fitting.bounds import (
    absolute_bound,
    bound_share,
    step_of_bound,
    within_bound,
)
from inrcodec.fitting.constant import constant_track
from inrcodec.fitting.grid_fit import fitted_grid
from inrcodec.fitting.mixture import component_goal, joined, mixed_axis, mixture
from inrcodec.fitting.ms_ssim import MsSsim, scale_count
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.presets import Settings
from inrcodec.fitting.pyramid_fit import fit_pyramid
from inrcodec.fitting.pyramid_result import FittedPyramid, Probe
from inrcodec.fitting.pyramid_spec import (
    PROBED_FROM,
    chosen_spec,
    probe_window,
    section_bytes,
    started,
)
from inrcodec.fitting.pyramid_step import Distortion, Floats
from inrcodec.fitting.pyramid_targets import PyramidGoal, first_weight, weight_of_quality
from inrcodec.fitting.rate_control import Goal, fit_track
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.samples import Samples, normalised
from inrcodec.fitting.schedule import Budget, Progress, finished, quiet
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.fitting.workers import Workers, working
from inrcodec.signal import Signal

ALPHA_SHARE = 0.15
"""Part of the bits, and of a time limit, that an alpha channel gets."""

MANY = 2**20
"""Code values that stand for floats."""

MASK_FRAME = 9
"""Most bytes of the frame of a section that says what is missing."""

HURRIED_FIT_STEPS = 50
"""Steps for the tracks that follow an interrupt."""


def fit_signal(
    parts: Sequence[Signal],
    settings: Settings,
    fixed_bytes: int,
    budget: Budget,
    progress: Progress = quiet,
) -> list[FittedTrack]:
    """Fit every part of a signal so that the file, `fixed_bytes` of it given, meets the target."""
    device = chosen_device(settings.device)
    if settings.tune == "ms-ssim":
        # Refused before alpha is fitted.
        scale_count(parts[0].info.lattice)
    if settings.max_error is not None:
        for part in parts:
            step_of_bound(absolute_bound(settings.max_error, part.info), part.info)
    left = settings.budget_bytes(parts[0].info.positions) - fixed_bytes
    fit_part = _fit_siren if settings.chosen_kind == "siren" else _fit_pyramid
    fitted: list[FittedTrack] = []
    with working(device) as workers:
        # Alpha first: what it does not need is for the colours.
        for part in reversed(parts):
            last = len(fitted) == len(parts) - 1
            own = budget.part(1 - ALPHA_SHARE if last and fitted else 1 if last else ALPHA_SHARE)
            hurried = settings
            if budget.interrupted:
                own.interrupted = True
                hurried = replace(settings, steps=min(HURRIED_FIT_STEPS, settings.steps or 10**9))
            mask = None
            if part.missing is not None:
                mask = finished(partial(coded_mask, part, settings.seed), own)
                left -= len(mask) + MASK_FRAME
            available = max(left if last else left * ALPHA_SHARE, 0.0)
            # A constant is exact without more.
            track = constant_track(part)
            if track is None:
                track = fit_part(part, hurried, available, own, progress, workers)
                if settings.max_error is not None:
                    bound = absolute_bound(settings.max_error, part.info)
                    bounded = partial(within_bound, part, track, bound, settings.seed)
                    track = finished(bounded, own)
            if mask is not None:
                track = replace(track, mask=mask)
            budget.interrupted |= own.interrupted
            left -= track.bytes
            fitted.insert(0, track)
    return fitted


def _fit_siren(
    part: Signal,
    settings: Settings,
    available: float,
    budget: Budget,
    progress: Progress,
    workers: Workers,
) -> FittedTrack:
    axes, channels = len(part.info.axes), len(part.info.channels)
    omega_0 = round(settings.omega_0 * OMEGA_DENOMINATOR) / OMEGA_DENOMINATOR
    spec = None
    if settings.net is not None:
        spec = SirenSpec(axes, channels, *settings.layers(), omega_0)
    goal = Goal(8 * available, settings.psnr, settings.rate_weight, spec, omega_0)
    samples = Samples(part, chosen_device(settings.device), settings.seed, workers)
    track = fit_track(samples, axes, goal, settings.preset(), settings.seed, budget, progress)
    coded = pack_weights(track.spec, track.quantised.symbols, track.quantised.recipes)
    return replace(track, bytes=len(coded))


def _fit_pyramid(
    part: Signal,
    settings: Settings,
    available: float,
    budget: Budget,
    progress: Progress,
    workers: Workers,
) -> FittedTrack:
    preset = settings.pyramid_preset()
    spec = chosen_spec(part.info, preset, settings.kept or 0)
    goal = PyramidGoal(rate_weight=weight_of_quality(settings.asked_quality))
    if settings.rate_weight is not None:
        goal = PyramidGoal(rate_weight=settings.rate_weight)
    elif settings.max_error is not None:
        bound = absolute_bound(settings.max_error, part.info)
        goal = PyramidGoal(bound=bound_share(bound, part.info))
    elif settings.psnr is not None:
        goal = PyramidGoal(psnr=settings.psnr + _missing_decibels(part))
    elif math.isfinite(available) and settings.quality is None:
        goal = PyramidGoal(bits=8 * max(available - section_bytes(spec, available), 1.0))
    if settings.mix is None:
        fitted = _fitted(part, spec, goal, settings, budget, progress, workers)
        return _track(fitted, fitted.spec, fitted.quantised, fitted.float_psnr)
    mixed = mixture(part, mixed_axis(part.info, settings.mix), goal, settings.rank)
    spec = chosen_spec(mixed.components.info, preset, kept=max(1, settings.kept or 0))

    def seen(stage: str, share: float, psnr: float) -> None:
        progress(stage, share, psnr_of(mixed.error(10 ** (-psnr / 10))))

    own = component_goal(goal, mixed)
    fitted = _fitted(mixed.components, spec, own, settings, budget, seen, workers)
    spec, quantised = joined(fitted, mixed, math.inf if goal.bits is None else goal.bits)
    float_psnr = psnr_of(mixed.error(10 ** (-fitted.float_psnr / 10)))
    return _track(fitted, spec, quantised, float_psnr)


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


def coded_mask(part: Signal, seed: int) -> bytes:
    """Payload of the section that says which samples of a part are missing."""
    assert part.missing is not None
    shared = shared_axes(part.missing)
    return pack_mask(shared, part.info.fill, fitted_grid(distinct(part.missing, shared), seed))


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


def chosen_device(name: str) -> str:
    """A torch device for `auto`, `cpu` or `cuda`; UsageError if it is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used: {first}") from error
    return name
