"""Joins a FittedPyramid with a number of bits that it must not exceed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.context import IntegerNetwork, LevelContexts, wavefronts
from inrcodec.coding.latent_tables import PHASES, flat_tables, reaches, table_numbers
from inrcodec.coding.priors import PRECISION
from inrcodec.fitting.pyramid_descent import IDENTITY, AnyStep, PyramidState
from inrcodec.fitting.pyramid_result import FittedPyramid, measured
from inrcodec.fitting.pyramid_step import STRAIGHT, Floats
from inrcodec.fitting.schedule import Budget, Progress, quiet

TRIMMED = 0.995
"""Part of the limit that is near enough."""

TRIMS = 12
"""Times that latents are taken towards zero to come below a size."""

LEVELS = 3
"""Levels whose latents may change: those above are contexts of too many others."""

LEAST = 0.1
"""Least error that a change is taken to cause, as a share of the level's mean curvature."""

Floats64 = NDArray[np.float64]
Planes = list[NDArray[np.int32]]


def trimmed_to(
    result: FittedPyramid,
    limit: float,
    state: PyramidState,
    step: AnyStep,
    budget: Budget,
    progress: Progress = quiet,
) -> FittedPyramid:
    """Take latents towards zero until the bits are no more than the limit, and hardly less.

    `state` has the networks of the result. When the time is over, and after an interrupt, the
    first try below the limit is good enough.
    """
    start = found = result
    best: FittedPyramid | None = None
    # Bits that were asked for and did not save enough, and that saved too much.
    low, high = 0.0, math.inf
    asked = start.bits - limit
    for index in range(TRIMS):
        if best is None and start.bits <= limit:
            return start
        if best is not None and (budget.interrupted or budget.elapsed() > 1):
            break
        try:
            progress("round", index / TRIMS, found.psnr)
            network = IntegerNetwork.of(result.spec, state.networks.named())
            planes = trimmed(state, step, network, list(start.latents), asked)
            found = measured(start.quantised, planes, state, step, start.float_psnr)
        except KeyboardInterrupt:
            if budget.interrupted:
                raise
            budget.interrupted = True
            continue
        saved = max(start.bits - found.bits, 1.0)
        if found.bits <= limit:
            best, high = found, asked
            if found.bits >= TRIMMED * limit:
                break
        else:
            low = asked
            if best is None and asked > 4 * (start.bits - limit):
                # One step towards zero is not enough: go on from there.
                start, low, asked = found, 0.0, found.bits - limit
                continue
        grown = asked * min(max((start.bits - limit) / saved, 1.1), 2.0)
        asked = grown if high == math.inf else 0.5 * (low + high)
    return best or found


def trimmed(
    state: PyramidState, step: AnyStep, network: IntegerNetwork, planes: Planes, bits: float
) -> Planes:
    """Latents nearer to zero by one where a saved bit costs least, until about `bits` are saved.

    The error that a change causes is taken from the gradient and each level's curvature, the bits
    from the tables chosen before the change; changes next to each other are not told apart.
    """
    floats = [plane.astype(np.float32) for plane in planes]
    base, of_error = _slopes(state, step, floats, 0.0)
    _, of_both = _slopes(state, step, floats, 1.0)
    harm, saved = [], []
    for level, plane in enumerate(planes):
        towards = np.sign(plane)
        curvature = _curvature(state, step, floats, level, base)
        rise = -of_error[level] * towards + 0.5 * curvature
        rise = np.maximum(rise, LEAST * curvature)
        harm.append(np.where((towards != 0) & (level < LEVELS), rise, np.inf).ravel())
        own, slope = _own_bits(network, planes, level, step.spec.kept)
        # What a latent tells its neighbours: the slope of all bits less that of its own.
        told = (of_both[level] - of_error[level]) * state.positions
        saved.append((own + towards * (told - slope)).ravel())
    price = np.concatenate(harm) / np.maximum(np.concatenate(saved), 1e-3)
    gain = np.concatenate(saved)
    price[gain <= 0.05] = np.inf
    order = np.argsort(price)
    order = order[np.isfinite(price[order])]
    count = int(np.searchsorted(np.cumsum(gain[order]), bits)) + 1
    chosen = np.zeros(len(price), bool)
    chosen[order[:count]] = True
    result, start = [], 0
    for plane in planes:
        mask = chosen[start : start + plane.size].reshape(plane.shape)
        result.append(np.where(mask, plane - np.sign(plane), plane).astype(np.int32))
        start += plane.size
    return result


def _curvature(
    state: PyramidState, step: AnyStep, latents: list[Floats], level: int, error: float
) -> float:
    """Mean second derivative of the distortion by the latents of a level."""
    generator = np.random.default_rng(level)
    signs = generator.choice(np.array([-1, 1], np.float32), latents[level].shape)
    moved = [*latents[:level], latents[level] + signs, *latents[level + 1 :]]
    outcome = step.evaluate(state.networks.flat, moved, state.peak)
    return max(2 * (outcome.distortion - error) / signs.size, 0.0)


def _slopes(
    state: PyramidState, step: AnyStep, latents: list[Floats], rate_weight: float
) -> tuple[float, list[Floats]]:
    """Distortion, and the loss's gradient by the latents."""
    outcome = step.step(state.networks.flat, latents, rate_weight, IDENTITY, 0.0, STRAIGHT)
    assert outcome.latents is not None
    # A step may use its arrays again.
    return outcome.distortion, [slopes.copy() for slopes in outcome.latents]


def _own_bits(
    network: IntegerNetwork, planes: Planes, level: int, kept: int
) -> tuple[Floats64, Floats64]:
    """Bits every latent itself saves by moving one towards zero, and their slope where it is."""
    plane = planes[level]
    order, _ = wavefronts(plane.shape)
    contexts = LevelContexts(plane.shape, planes[level + 1 :], kept)
    contexts.fill(plane)
    sums = network.sums(contexts.own(contexts.places(order)))
    sums += network.sums(contexts.coarser(order), contexts.own_count)
    mean, phase, index = network.predict(sums)
    tables = table_numbers(phase, index)
    values = plane.ravel()[order]
    saving, slope = np.empty(plane.size), np.empty(plane.size)
    saving[order] = _bits(values - mean, tables) - _bits(values - np.sign(values) - mean, tables)
    scale = np.exp2(index / 8 - 5)
    slope[order] = _slope(values - mean - phase / PHASES, scale)
    return saving.reshape(plane.shape), slope.reshape(plane.shape)


def _slope(error: Floats64, scale: Floats64) -> Floats64:
    """Derivative of the code length of a Laplace bin by the distance from the mean."""
    distance, half = np.abs(error), 0.5 / scale
    inside = np.minimum(distance, 0.5) / scale
    centre = 0.5 * (np.exp(inside - half) - np.exp(-inside - half))
    centre /= np.maximum(1 - 0.5 * (np.exp(inside - half) + np.exp(-inside - half)), 1e-6)
    size = np.where(distance < 0.5, centre, 1.0) / (scale * math.log(2))
    return np.asarray(np.sign(error) * size)


def _bits(symbols: NDArray[np.int64], tables: NDArray[np.int64]) -> NDArray[np.float64]:
    offsets, _, cumulative = flat_tables()
    reach = reaches()[tables]
    excess = np.abs(symbols) - reach
    places = offsets[tables] + np.where(excess > 0, 2 * reach + 1, symbols + reach)
    bits = PRECISION - np.log2(cumulative[places + 1] - cumulative[places])
    escaped = 2 + 2 * np.floor(np.log2(np.maximum(excess, 1)))
    return np.asarray(bits + np.where(excess > 0, escaped, 0.0))
