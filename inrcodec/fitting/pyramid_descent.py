"""Joins a picture and a PyramidSpec in latents and networks of floats: the descent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.fitting.native_step import NativeStep
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_networks import Networks
from inrcodec.fitting.pyramid_step import SOFT, STRAIGHT, Evaluation, Floats, Step, TorchStep
from inrcodec.fitting.schedule import Budget, Progress

EPSILON = 1e-12
"""What keeps a latent's step finite where its gradient was always zero."""

IDENTITY = 10.0
"""Temperature at which soft-rounding is the identity: gradients by the latents themselves."""

FIT_SHARE = 0.8
"""Share of a time limit after which networks are rounded."""

MEMORY = 0.1
"""What the last step counts in the running mean of the loss."""

CHECKS = 20
"""Times per descent that the rounded state is measured."""

AnyStep = NativeStep | TorchStep

Weight = Callable[[float, float, float], float]
"""The rate weight (lambda) by share of the descent, mean squared error and bits per position."""


@dataclass
class PyramidState:
    """A fit on its way: networks, unrounded latents, and what has been spent.

    `peak` is the number of code values less one that samples are rounded to, `psnr` in dB what was
    measured last, `loss` a running mean of what a descent makes small.
    """

    networks: Networks
    latents: list[Floats]
    positions: int
    peak: int
    steps: int = 0
    rate_weight: float = math.nan
    psnr: float = math.nan
    loss: float = math.nan


def descend(
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    weight: Weight,
    budget: Budget,
    progress: Progress,
    networks: bool = True,
    until: float = 1.0,
) -> None:
    """Fit latents and, if asked, networks together, rounding made ever harder.

    Soft-rounding with shaped noise, its temperature and noise falling (C3, Kim et al. 2023); cosine
    rates; Adam of short memory on the latents, SOAP on the networks, whose gradient is clipped.
    Ends at the share `until` of its steps, or of the time; damped by the first of the preset's
    dampings. An interrupt ends it and sets `budget.interrupted`. What is not finite goes back to
    the last check, and on at half the rate.
    """
    error, bpp = math.nan, math.nan
    # What rounding changes, by the last check.
    more_error, more_bits = 1.0, 1.0
    begun, count, slower = budget.elapsed(), 0, 1.0
    steps = max(1, round(preset.steps * (1 - preset.hard_share)))
    damping = preset.dampings[0] * 2**step.spec.halved
    if math.isnan(state.rate_weight):
        # Known whenever an interrupt comes.
        state.rate_weight = weight(0.0, error, bpp)
    step.forget()
    state.loss = math.nan
    try:
        soap = Soap([matrix.requires_grad_() for matrix in state.networks.matrices])
        checked = _copied(state)
        while True:
            spent = (budget.elapsed() - begun) / max(FIT_SHARE - begun, 1e-9)
            share = max(count / steps, spent if budget.seconds else 0.0)
            # At least one step: the weight has to be known.
            if share >= until and count:
                return
            share = min(share, 1.0)
            state.rate_weight = weight(share, error * more_error, bpp * more_bits)
            fall = 0.5 * (1 + math.cos(math.pi * share)) + 1e-3
            outcome = step.step(
                state.networks.flat,
                state.latents,
                state.rate_weight,
                _between(preset.temperature, share),
                _between(preset.noise, share),
                SOFT,
                state.steps,
            )
            error, bpp = outcome.mse, outcome.bits / state.positions
            assert outcome.parameters is not None
            count += 1
            if not math.isfinite(error + bpp + float(np.sum(outcome.parameters))):
                slower /= 2
                _restore(state, checked)
                soap = Soap([matrix.requires_grad_() for matrix in state.networks.matrices])
                continue
            state.steps += 1
            now = outcome.distortion + state.rate_weight * bpp
            kept = state.loss if math.isfinite(state.loss) else now
            state.loss = kept + MEMORY * (now - kept)
            if networks:
                outcome.parameters[:] += stay(state, preset)
                rate = slower * preset.rate * fall
                move_networks(state.networks, soap, outcome, preset.clip, rate)
            assert outcome.latents is not None
            rate = slower * preset.latent_rate * fall
            step.adam(state.latents, outcome.latents, rate, preset.betas, EPSILON, damping, count)
            if count % max(1, steps // CHECKS) == 0:
                hard = measure(state, step)
                more_error = hard.coded_mse / max(error, 1e-12)
                more_bits = sum(hard.level_bits) / max(bpp * state.positions, 1e-12)
                state.psnr = psnr_of(hard.coded_mse)
                checked = _copied(state)
            progress("fit", share * (1 - preset.hard_share), state.psnr)
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True


Copy = tuple[Floats, list[Floats]]


def _copied(state: PyramidState) -> Copy:
    return state.networks.flat.copy(), [plane.copy() for plane in state.latents]


def _restore(state: PyramidState, copy: Copy) -> None:
    state.networks.flat[:] = copy[0]
    state.networks.gather()
    for plane, kept in zip(state.latents, copy[1], strict=True):
        plane[...] = kept


def tune_networks(
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    count: int,
    budget: Budget,
    until: float,
    keep: NDArray[np.bool_] | None = None,
    tuned: Callable[[float], None] = lambda share: None,
) -> None:
    """Fit the networks to the rounded latents for `count` steps; those where `keep` stay.

    Calls `tuned` with the share that is done. Ends early when the budget has come to `until`, and
    at an interrupt.
    """
    try:
        soap = Soap([matrix.requires_grad_() for matrix in state.networks.matrices])
        for index in range(count):
            if budget.elapsed() > until:
                break
            outcome = straight(state, step)
            assert outcome.parameters is not None
            if not np.isfinite(outcome.parameters).all():
                break
            fall = 0.5 * (1 + math.cos(math.pi * index / count))
            before = state.networks.flat.copy()
            if keep is not None:
                outcome.parameters[keep] = 0
            move_networks(state.networks, soap, outcome, preset.clip, preset.hard_rate * fall)
            if keep is not None:
                state.networks.flat[keep] = before[keep]
                state.networks.gather()
            state.steps += 1
            tuned((index + 1) / count)
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True


def stay(state: PyramidState, preset: PyramidPreset) -> Floats:
    """Gradient of the bits that differences to the fit's beginning will take.

    As if they came from a Laplace distribution of scale `preset.spread`.
    """
    moved = state.networks.flat - state.networks.origin
    price = preset.stay * state.rate_weight / (state.positions * preset.spread * math.log(2))
    return np.asarray(price * np.tanh(moved / (0.3 * preset.spread)), np.float32)


def straight(state: PyramidState, step: AnyStep) -> Step:
    """Loss and gradients of the present state with rounded latents."""
    weight = state.rate_weight
    return step.step(state.networks.flat, state.latents, weight, IDENTITY, 0.0, STRAIGHT)


def measure(state: PyramidState, step: AnyStep) -> Evaluation:
    """The present state with rounded latents and samples."""
    return step.evaluate(state.networks.flat, state.latents, state.peak)


def loss(state: PyramidState, step: AnyStep) -> float:
    """What a descent makes least, of the rounded state."""
    now = measure(state, step)
    return now.distortion + state.rate_weight * sum(now.level_bits) / math.prod(step.spec.lattice)


def move_networks(networks: Networks, soap: Soap, outcome: Step, clip: float, rate: float) -> None:
    """One step of SOAP along the gradient, whose norm is clipped."""
    gradient = outcome.parameters
    assert gradient is not None
    norm = float(np.linalg.norm(gradient))
    if norm > clip:
        gradient = gradient * np.float32(clip / norm)
    for matrix, part in zip(networks.matrices, networks.gathered(gradient), strict=True):
        matrix.grad = part
    soap.step(rate)
    networks.scatter()


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
