"""Joins rounded latents of a FittedPyramid with moves of single ones by which the loss falls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from inrcodec.coding.latents import MAX_LATENT
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import AnyStep, PyramidState, straight
from inrcodec.fitting.pyramid_result import FittedPyramid, integers, measured
from inrcodec.fitting.pyramid_step import Floats, Levels
from inrcodec.fitting.pyramid_windows import covered, onto, summits, window_sums
from inrcodec.fitting.schedule import Budget, Progress, finished, quiet

ROUNDS = 8
"""Times that all levels are gone through, at most."""

COARSER = 3
"""Levels up to which latents are contexts of finer ones."""

JITTER = 2.0**-10
"""By how much promises are made to differ: of equal ones next to each other one has to be first."""


@dataclass(frozen=True)
class Maps:
    """Where a loss comes from, in bits: squared errors `[*lattice]`, and bits by level."""

    errors: Floats
    bits: Levels

    def total(self) -> float:
        """The loss, but for the networks' bits."""
        return sum(float(part.sum(dtype=np.float64)) for part in (self.errors, *self.bits))

    def grids(self, level: int) -> Iterator[tuple[Floats, int]]:
        """What latents of a level change, and how many times as fine each of these grids is along
        axes that are not kept.
        """
        yield self.errors, 2**level
        for finer in range(max(0, level - COARSER), level + 1):
            yield self.bits[finer], 2 ** (level - finer)


def decided(
    result: FittedPyramid,
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    budget: Budget,
    progress: Progress = quiet,
) -> FittedPyramid:
    """The result with single latents moved by one where that makes the loss less.

    `state` has the networks of the result; its latents follow where they are moved. The loss is
    never more than before: if it is, the result itself is given back. An interrupt ends it.
    """
    if not preset.decisions or budget.interrupted:
        return result
    hard = replace(state, latents=[plane.astype(np.float32) for plane in result.latents])
    try:
        decide(hard, step, preset.decisions / preset.steps, budget, progress)
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True
    planes, old = integers(hard.latents), result.latents
    if all((plane == before).all() for plane, before in zip(planes, old, strict=True)):
        return result
    found = finished(
        lambda: measured(result.quantised, planes, state, step, result.float_psnr), budget
    )
    if _loss(found, state) >= _loss(result, state):
        return result
    for latents, plane, before in zip(state.latents, planes, old, strict=True):
        np.copyto(latents, plane, where=plane != before)
    return found


def decide(
    state: PyramidState,
    step: AnyStep,
    least: float,
    budget: Budget,
    progress: Progress = quiet,
) -> None:
    """Move latents, which are integers, until a round saves less than an evaluation should.

    That is `least` as a share of the loss. A round takes the gradient once, then goes through the
    levels, finest first.
    """
    maps = seen(state, step)
    before = maps.total()
    for _ in range(ROUNDS):
        kept = [plane.copy() for plane in state.latents]
        slopes = straight(state, step).latents
        assert slopes is not None
        # A step may use its arrays again, but an evaluation does not.
        for level, own in enumerate(slopes):
            progress("round", level / len(slopes), state.psnr)
            _sweep(state, step, level, own, maps, least * before, budget)
        maps = seen(state, step)
        after = maps.total()
        if after > before:
            # Windows do not hold all that latents change.
            for plane, old in zip(state.latents, kept, strict=True):
                plane[...] = old
        if after > before * (1 - least) or budget.elapsed() > 1:
            break
        before = after


def _sweep(
    state: PyramidState,
    step: AnyStep,
    level: int,
    slopes: Floats,
    maps: Maps,
    least: float,
    budget: Budget,
) -> None:
    """Move latents of a level in waves, each of those that promise most around them.

    Ends with a wave that saves less than `least` bits.
    """
    plane = state.latents[level]
    jitter = np.random.default_rng(level).random(plane.shape, np.float32)
    promise = np.abs(slopes) * (1 + np.float32(JITTER) * jitter)
    moved = np.clip(plane - np.sign(slopes), -MAX_LATENT, MAX_LATENT)
    saved = np.inf
    while saved >= least and budget.elapsed() <= 1:
        chosen = summits(promise)
        if not chosen.any():
            break
        promise[chosen] = 0
        trial = np.where(chosen, moved, plane)
        latents = [*state.latents[:level], trial, *state.latents[level + 1 :]]
        now = seen(replace(state, latents=latents), step)
        change = _changes(maps, now, level, step.spec.kept)
        better = chosen & (change < 0)
        saved = -float(change[better].sum())
        for (old, scale), (new, _) in zip(maps.grids(level), now.grids(level), strict=True):
            np.copyto(old, new, where=covered(better, old.shape, scale, step.spec.kept))
        np.copyto(plane, moved, where=better)


def _changes(before: Maps, after: Maps, level: int, kept: int) -> Floats:
    """By how much the loss changes in the window of every latent of a level."""
    change = np.zeros_like(before.bits[level])
    for (old, scale), (new, _) in zip(before.grids(level), after.grids(level), strict=True):
        change += onto(new - old, scale, kept)
    return window_sums(change)


def seen(state: PyramidState, step: AnyStep) -> Maps:
    """The maps of a state whose latents are integers."""
    now = step.evaluate(
        state.networks.flat, state.latents, state.peak, render=True, latent_bits=True
    )
    assert now.render is not None
    assert now.latent_bits is not None
    error = np.subtract(now.render, step.target, out=now.render)
    np.square(error, out=error)
    errors = np.zeros(error.shape[:-1], np.float32)
    for channel in range(error.shape[-1]):
        errors += error[..., channel]
    errors *= np.float32(1 / (error.shape[-1] * state.rate_weight))
    return Maps(errors, now.latent_bits)


def _loss(result: FittedPyramid, state: PyramidState) -> float:
    return float(10 ** (-result.psnr / 10) + state.rate_weight * result.bits / state.positions)
