"""Joins values on a lattice with positions between them: a piecewise polynomial through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.query.kernels.reference import Floats

BELOW, ABOVE = 2, 3
"""Samples that a position needs below and above the one at or before it."""

TAPS = (-2, -1, 1, 2, 3)
"""The samples in the order of their terms; the one at 0 is what they are differences to."""

DENOMINATOR = 12

PIECES = (
    (12, 0, 42, -244, 310, -120),
    (0, -8, -30, 143, -165, 60),
    (0, 1, 9, -33, 35, -12),
)
"""The kernel at i + u for u in 0..1 and i = 0, 1, 2, times DENOMINATOR: coefficients of u^0, u^1..

Even, twice differentiable, and exact for polynomials of degree 3 (order 4, as the kernel of six
points of Keys 1981). One free parameter is left in quintics with these properties; it was fitted
to photographs reduced by area means and by Lanczos's filter, and rounded.
"""


def tap_weights(fraction: NDArray[np.float64]) -> Floats:
    """Weights `[taps, positions]` of TAPS at positions `fraction` (0..1) after a sample."""
    return np.stack(_terms(PIECES, fraction)).astype(np.float32)


def tap_slopes(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivatives of `tap_weights` by the position."""
    slopes = [[power * each for power, each in enumerate(piece)][1:] for piece in PIECES]
    terms = _terms(slopes, fraction)
    # The samples above see the position come nearer.
    return np.stack([*terms[:2], *(-term for term in terms[2:])])


def _terms(
    pieces: Sequence[Sequence[int]], fraction: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """The pieces at the distances of TAPS."""
    rest = 1 - fraction
    return [
        _polynomial(pieces[2], fraction),
        _polynomial(pieces[1], fraction),
        _polynomial(pieces[0], rest),
        _polynomial(pieces[1], rest),
        _polynomial(pieces[2], rest),
    ]


def _polynomial(coefficients: Sequence[int], u: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.full_like(u, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * u + coefficient
    return value / DENOMINATOR


def interpolate(
    values: Floats, axis: int, below: NDArray[np.int64], weights: Floats, first: int, size: int
) -> Floats:
    """Values at positions along one axis of a part of a lattice.

    `below` is the sample at or before each position. The part starts at sample `first` of the
    `size` samples of the axis, beyond which the outermost repeat.

    The sum of differences times weights makes an equal neighbourhood exactly itself.
    """
    shape = [1] * values.ndim
    shape[axis] = -1
    centre = np.take(values, _index(below, first, size), axis)
    total, term = centre.copy(), np.empty_like(centre)
    for tap, weight in zip(TAPS, weights, strict=True):
        # Into the same memory, where fresh pages would take longer; no index is out of range.
        np.take(values, _index(below + tap, first, size), axis, out=term, mode="clip")
        term -= centre
        term *= weight.reshape(shape)
        total += term
    return total


def interpolate_points(
    values: Floats,
    below: Sequence[NDArray[np.int64]],
    weights: Sequence[Floats],
    first: Sequence[int],
    sizes: Sequence[int],
) -> Floats:
    """As `interpolate` along every axis in turn, for scattered points: `[channels, points]`.

    `below` and `weights` are given for every axis.
    """
    found: Floats = _around(values, below, first, sizes)
    for own_weights in weights:
        centre = found[:, BELOW]
        total = centre.copy()
        for tap, weight in zip(TAPS, own_weights, strict=True):
            term = found[:, BELOW + tap] - centre
            term *= weight
            total += term
        found = total
    return found


def interpolate_slopes(
    values: Floats,
    below: Sequence[NDArray[np.int64]],
    fraction: Sequence[NDArray[np.float64]],
    first: Sequence[int],
    sizes: Sequence[int],
) -> NDArray[np.float64]:
    """Derivatives `[axes, channels, points]`, by the position along each axis, of what
    `interpolate_points` gives for the weights of `fraction`.
    """
    weights = [np.stack(_terms(PIECES, own)) for own in fraction]
    around = _around(values, below, first, sizes).astype(np.float64)
    slopes = []
    for chosen, own in enumerate(fraction):
        found = around
        for axis, plain in enumerate(weights):
            centre = found[:, BELOW]
            # The weights of all six samples add up to 1, so their derivatives to 0.
            total = np.zeros_like(centre) if axis == chosen else centre.copy()
            for tap, weight in zip(TAPS, tap_slopes(own) if axis == chosen else plain, strict=True):
                total += (found[:, BELOW + tap] - centre) * weight
            found = total
        slopes.append(found)
    return np.stack(slopes)


def _around(
    values: Floats,
    below: Sequence[NDArray[np.int64]],
    first: Sequence[int],
    sizes: Sequence[int],
) -> Floats:
    """The samples `[channels, *neighbours, points]` that points are interpolated from."""
    steps = np.arange(-BELOW, ABOVE + 1)
    around: list[Any] = [slice(None)]
    for axis, (own, start, size) in enumerate(zip(below, first, sizes, strict=True)):
        shape = [1] * len(sizes) + [-1]
        shape[axis] = len(steps)
        around.append(_index(own[None, :] + steps[:, None], start, size).reshape(shape))
    found: Floats = values[tuple(around)]
    return found


def _index(sample: NDArray[np.int64], first: int, size: int) -> NDArray[np.int64]:
    return np.clip(sample, 0, size - 1) - first
