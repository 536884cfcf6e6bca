"""Joins a Signal with the nearest one on a coarser lattice, for a pyramid that has that lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import coarser
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.pyramid_targets import PyramidGoal, first_weight
from inrcodec.fitting.samples import normalised
from inrcodec.query.interpolation import interpolate, tap_weights
from inrcodec.query.lattice import native_positions
from inrcodec.signal import Signal, SignalInfo

MOST_SAMPLES = 2**13
"""Along an axis that is made coarser: least squares along a longer one take too long."""

LEAST_SAMPLES = 8
"""Along every axis of a coarser lattice that is chosen."""

PROBED = 2**23
"""Positions of the part that a lattice is chosen by, about."""

LITTLE = 0.08
"""A band is left out if its samples have less variance than this part of the error that pays. On
average that is: it allows for places, such as edges, that have more."""

LEFT_OUT = 0.7
"""Most of the squared error that a PSNR asks for that a coarser lattice may leave out."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Coarsened:
    """A signal on a lattice halved `coarse` times along all axes but the first ones.

    `signal` is float32, about 0..1, and such that what is interpolated from it has the least
    squared error, the mean of which is `left_out`; `share` is its positions over the signal's.
    """

    signal: Signal
    coarse: int
    left_out: float
    share: float

    def psnr(self, psnr: float) -> float:
        """PSNR of the signal for that on the coarser lattice."""
        # What is added there is smooth: interpolated, it stays as large.
        return psnr_of(10 ** (-psnr / 10) + self.left_out)


def coarsened(part: Signal, kept: int, coarse: int) -> Coarsened:
    """The part on a coarser lattice. Raises UsageError for axes that are too long for it."""
    native, lattice = part.info.lattice, coarser(part.info.lattice, kept, coarse)
    original = normalised(part).astype(np.float64)
    values, left_out = _least_squares(original, lattice)
    axes = tuple(
        replace(axis, size=cells) for axis, cells in zip(part.info.axes, lattice, strict=True)
    )
    info = SignalInfo(axes, part.info.channels, "float32", (0.0, 1.0))
    share = math.prod(lattice) / math.prod(native)
    return Coarsened(Signal(values.astype(np.float32), info), coarse, left_out, share)


def coarse_goal(goal: PyramidGoal, own: Coarsened) -> PyramidGoal:
    """What the coarser signal is fitted to, so that the signal meets its goal."""
    if goal.psnr is not None:
        error = 10 ** (-goal.psnr / 10)
        return replace(goal, psnr=psnr_of(max(error - own.left_out, (1 - LEFT_OUT) * error)))
    if goal.rate_weight is not None:
        return replace(goal, rate_weight=goal.rate_weight * own.share)
    begin = None if goal.begin is None else goal.begin * own.share
    return replace(goal, share=own.share, begin=begin)


def chosen_coarse(part: Signal, kept: int, goal: PyramidGoal) -> int:
    """How often the lattice can be halved before that costs more than it saves, about.

    Between one lattice and the next lies a band of the signal. By the rate-distortion function of
    Gaussian sources (reverse water-filling: Cover and Thomas, 10.3.3), bands of less variance than
    the error that pays are not coded; latents would be there for nothing, and take time.
    """
    window = _middle(part.info.lattice)
    original = normalised(part)[window].astype(np.float64)
    if max(original.shape[:-1]) > MOST_SAMPLES:
        return 0
    native = original.shape[:-1]
    errors, shares = [0.0], [1.0]
    while True:
        lattice = coarser(native, kept, len(errors))
        if any(a < LEAST_SAMPLES and a < b for a, b in zip(lattice, native, strict=True)):
            break
        if lattice == native:
            break
        errors.append(_least_squares(original, lattice)[1])
        shares.append(math.prod(lattice) / math.prod(native))
    # Of what remains on the coarsest, too.
    errors.append(max(float(original.var()), errors[-1]))
    shares.append(0.0)
    counts = -np.diff(shares)
    variances = np.diff(errors) / counts
    error = _error_that_pays(variances, counts * len(part.info.channels), goal, part.info)
    little = variances[:-1] < LITTLE * error
    return int(np.argmin([*little, False]))


def _error_that_pays(
    variances: Doubles, counts: Doubles, goal: PyramidGoal, info: SignalInfo
) -> float:
    """Squared error per sample at which the bands take the bits, or have the PSNR, of a goal.

    `counts` is samples of each band per position of the signal.
    """
    if goal.bits is None and goal.psnr is None:
        return first_weight(goal, info.positions) / (2 * math.log(2))
    low, high = 1e-16, 1.0
    for _ in range(60):
        error = math.sqrt(low * high)
        if goal.psnr is not None:
            lost = np.minimum(variances, error) @ counts / counts.sum()
            enough = lost < 10 ** (-goal.psnr / 10)
        else:
            bits = 0.5 * np.log2(np.maximum(variances / error, 1.0)) @ counts
            enough = bits * info.positions > (goal.bits or 0.0)
        low, high = (error, high) if enough else (low, error)
    return high


def _middle(lattice: tuple[int, ...]) -> tuple[slice, ...]:
    """The middle of a lattice, of at most about PROBED positions."""
    by = min(1.0, (PROBED / math.prod(lattice)) ** (1 / len(lattice)))
    edges = [max(1, round(size * by)) for size in lattice]
    starts = [(size - edge) // 2 for size, edge in zip(lattice, edges, strict=True)]
    return tuple(slice(a, a + edge) for a, edge in zip(starts, edges, strict=True))


def _least_squares(original: Doubles, lattice: tuple[int, ...]) -> tuple[Doubles, float]:
    """Values on a coarser lattice, and the mean squared error of what is interpolated from them."""
    pairs = [
        (axis, _matrix(size, cells))
        for axis, (size, cells) in enumerate(zip(original.shape[:-1], lattice, strict=True))
        if cells < size
    ]
    values = original
    for axis, matrix in pairs:
        inverse: Doubles = np.linalg.solve(matrix.T @ matrix, matrix.T).astype(np.float64)
        values = _along(inverse, values, axis)
    again = values
    for axis, matrix in pairs:
        again = _along(matrix, again, axis)
    return values, float(np.square(again - original).mean())


def _matrix(size: int, cells: int) -> Doubles:
    """What interpolates `size` samples of an axis from `cells` of them: `[size, cells]`."""
    if size > MOST_SAMPLES:
        raise UsageError(f"coarse: an axis of {size} samples is too long; {MOST_SAMPLES} at most")
    below, fraction = native_positions(cells, size, 0, size)
    unit = np.eye(cells, dtype=np.float32)
    return interpolate(unit, 0, below, tap_weights(fraction), 0, cells).astype(np.float64)


def _along(matrix: Doubles, values: Doubles, axis: int) -> Doubles:
    return np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
