"""Joins samples of which some are missing with values for those: smooth ones, cheap to fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMOOTHINGS = 4
"""Times that filled-in values become the mean of their neighbours, per scale."""

Floats = NDArray[np.floating]
Truths = NDArray[np.bool_]


def inpainted(values: Floats, missing: Truths) -> Floats:
    """`values` `[*lattice, channels]` with those that are missing replaced.

    From coarse to fine: a cell of 2 samples along every axis has the mean of those that are there,
    or what the coarser lattice says. A channel that is missing as a whole becomes 0.5.
    """
    known = np.where(missing, np.float32(0), values)
    return _filled(known, (~missing).astype(np.float32))


def _filled(sums: Floats, weights: Floats) -> Floats:
    """Means of sums by weights, and where a weight is 0 what is around it."""
    means = sums / np.maximum(weights, np.float32(1))
    holes = weights == 0
    if not holes.any():
        return means
    if max(sums.shape[:-1]) == 1:
        means[holes] = 0.5
        return means
    coarse = _filled(_halved(sums), _halved(weights))
    for axis, size in enumerate(means.shape[:-1]):
        coarse = coarse.repeat(2, axis).take(np.arange(size), axis) if size > 1 else coarse
    np.copyto(means, coarse, where=holes)
    for _ in range(SMOOTHINGS):
        np.copyto(means, _neighbours(means), where=holes)
    return means


def _halved(values: Floats) -> Floats:
    """Sums over cells of 2 samples along every axis that has several."""
    for axis, size in enumerate(values.shape[:-1]):
        if size > 1:
            values = np.add.reduceat(values, np.arange(0, size, 2), axis)
    return values


def _neighbours(values: Floats) -> Floats:
    """The mean of the neighbours along every axis that has several; the outermost repeat."""
    total, count = np.zeros_like(values), 0
    for axis, size in enumerate(values.shape[:-1]):
        if size > 1:
            for step in (-1, 1):
                total += values.take(np.clip(np.arange(size) + step, 0, size - 1), axis)
                count += 1
    total /= count
    return total
