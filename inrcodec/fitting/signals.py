"""Joins the parts of a Signal and the user's Settings with a fit of each part's kind of field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from inrcodec.coding.mask import distinct, pack_mask, shared_axes
from inrcodec.coding.weights import pack_weights
from inrcodec.errors import UsageError
from inrcodec.fields.siren import OMEGA_DENOMINATOR, SirenSpec
from inrcodec.fitting.bounds import (
    absolute_bound,
    step_of_bound,
    within_bound,
)
from inrcodec.fitting.constant import constant_track
from inrcodec.fitting.frequency import matched
from inrcodec.fitting.grid_fit import fitted_grid
from inrcodec.fitting.modulated_track import SECTION_FRAME, chosen_base, modulated_track
from inrcodec.fitting.ms_ssim import scale_count
from inrcodec.fitting.pyramid_part import fit_pyramid_part, goal_of
from inrcodec.fitting.rate_control import Goal, fit_track
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, Progress, finished, quiet
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import FAMILIES, Family
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.fitting.workers import Workers, working
from inrcodec.signal import Signal

ALPHA_SHARE = 0.15
"""Part of the bits, and of a time limit, that an alpha channel gets."""

USUAL_LAYERS = (5, 24)
"""Of the random networks that are compared with a signal where no network is named."""

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
    fit_part = FITS[settings.chosen_kind]
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
    family = _family(part, settings)
    spec = None
    if settings.net is not None:
        spec = family.of(SirenSpec(axes, channels, *settings.layers()))
    goal = Goal(8 * available, settings.psnr, settings.rate_weight, spec, family)
    samples = Samples(part, chosen_device(settings.device), settings.seed, workers)
    how = family.paced(settings.preset()), settings.seed, budget, progress, settings.sparsify
    track = fit_track(samples, axes, goal, *how)
    coded = pack_weights(track.spec, track.quantised.symbols, track.quantised.recipes)
    return replace(track, bytes=len(coded))


def _family(part: Signal, settings: Settings) -> Family:
    """The family asked for, at the omega_0 asked for, or the one that suits the signal."""
    family = FAMILIES[settings.activation]
    if settings.omega_0 is None:
        return family
    if isinstance(settings.omega_0, str):
        layers = settings.layers() if settings.net else USUAL_LAYERS
        return matched(family, part, layers, settings.seed)
    return replace(family, omega_0=round(settings.omega_0 * OMEGA_DENOMINATOR) / OMEGA_DENOMINATOR)


def _fit_modulated(
    part: Signal,
    settings: Settings,
    available: float,
    budget: Budget,
    progress: Progress,
    workers: Workers,
) -> FittedTrack:
    goal = goal_of(part, settings, available - SECTION_FRAME)
    base = chosen_base(settings.base, part.info)
    return modulated_track(part, base, goal, settings.effort, budget, progress)


FITS = {"siren": _fit_siren, "pyramid": fit_pyramid_part, "modulated": _fit_modulated}


def coded_mask(part: Signal, seed: int) -> bytes:
    """Payload of the section that says which samples of a part are missing."""
    assert part.missing is not None
    shared = shared_axes(part.missing)
    return pack_mask(shared, part.info.fill, fitted_grid(distinct(part.missing, shared), seed))


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
