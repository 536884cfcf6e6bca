"""Joins samples of any lattice with a Mask: what is missing is NaN or the fill value again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.mask import Mask, Truths
from inrcodec.query.lattice import Window, native_positions


def missing_in(mask: Mask, size: Sequence[int], window: Window) -> Truths:
    """Whether the native sample nearest to each one of a window of the lattice of `size` is
    missing: `[*window, channels]`. Of two equally near ones, the later counts.
    """
    near = []
    for native, cells, (start, stop) in zip(mask.info.lattice, size, window, strict=True):
        below, fraction = native_positions(native, cells, start, stop)
        near.append(np.clip(below + (fraction >= 0.5), 0, native - 1))
    if not all(map(len, near)):
        return np.zeros([*map(len, near), len(mask.info.channels)], np.bool_)
    bounds = [(int(along[0]), int(along[-1]) + 1) for along in near]
    places = [along - first for along, (first, _) in zip(near, bounds, strict=True)]
    return mask.read(bounds)[np.ix_(*places)]


def blank(samples: NDArray[np.generic], mask: Mask, size: Sequence[int], window: Window) -> None:
    """Put what stands for missing samples into those of a window."""
    samples[missing_in(mask, size, window)] = np.nan if mask.fill is None else mask.fill


def blank_points(values: NDArray[np.floating], mask: Mask, points: NDArray[np.floating]) -> None:
    """Make values `[points, channels, ...]` NaN where the nearest sample is missing."""
    last = np.array(mask.info.lattice) - 1
    near = np.clip(np.floor(np.asarray(points, np.float64) + 0.5), 0, last).astype(np.int64)
    values[mask.at(near)] = np.nan
