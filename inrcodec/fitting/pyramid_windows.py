"""Joins single latents of a level with the windows, on all grids, that a change of them reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.fitting.pyramid_step import Floats

WINDOW = {1: 6, 2: 6, 3: 4, 4: 3}
"""Edge of a window by number of axes, in latents: (WINDOW - 1) // 2 of them lie before its own,
WINDOW // 2 after it. No latent of its level outside it has its own as a context, and the main lobes
of upsampling and two residual convolutions stay in it.
"""

Mask = NDArray[np.bool_]


def summits(values: Floats) -> Mask:
    """Where a positive value is the largest of all those whose windows would overlap with its."""
    edge = WINDOW[values.ndim]
    return np.asarray((values == _largest(values, edge - 1, edge - 1)) & (values > 0))


def onto(values: Floats, scale: int, kept: int = 0) -> Floats:
    """Sums of what each latent covers of a grid that is `scale`, a power of 2, times as fine along
    every axis but the first `kept` ones."""
    while scale > 1:
        for axis, size in list(enumerate(values.shape))[kept:]:
            pairs = values[_part(axis, None, None, 2)].copy()
            pairs[_part(axis, 0, size // 2)] += values[_part(axis, 1, None, 2)]
            values = pairs
        scale //= 2
    return values


def window_sums(values: Floats) -> Floats:
    """Sums over the windows of all latents of a grid."""
    edge = WINDOW[values.ndim]
    for axis, size in enumerate(values.shape):
        wide = _padded(values, axis, (edge - 1) // 2, edge // 2)
        values = wide[_part(axis, 0, size)].copy()
        for shift in range(1, edge):
            values += wide[_part(axis, shift, shift + size)]
    return values


def covered(chosen: Mask, shape: tuple[int, ...], scale: int, kept: int = 0) -> Mask:
    """What lies in the windows of chosen latents, on a grid of `shape`, `scale` times as fine along
    every axis but the first `kept` ones."""
    edge = WINDOW[chosen.ndim]
    inside = _largest(chosen, edge // 2, (edge - 1) // 2)
    if scale > 1:
        # The last axis first: copies of whole rows come last.
        for axis in reversed(range(kept, chosen.ndim)):
            inside = np.repeat(inside, scale, axis)[_part(axis, 0, shape[axis])]
    return inside


def _largest(values: NDArray[Any], before: int, after: int) -> NDArray[Any]:
    """The largest value around every place: `before` to `after` it along every axis."""
    for axis in range(values.ndim):
        wide = _padded(values, axis, before, after)
        reach, length = 1, wide.shape[axis]
        # Twice as far each time.
        while reach <= before + after:
            step = min(reach, before + after + 1 - reach)
            length -= step
            wide = np.maximum(wide[_part(axis, 0, length)], wide[_part(axis, step, None)])
            reach += step
        values = wide
    return values


def _padded(values: NDArray[Any], axis: int, before: int, after: int) -> NDArray[Any]:
    beyond = [(before, after) if other == axis else (0, 0) for other in range(values.ndim)]
    return np.pad(values, beyond)


def _part(
    axis: int, start: int | None, stop: int | None, step: int | None = None
) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(start, stop, step))
