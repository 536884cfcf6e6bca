"""Joins SignalInfo and a size with positions: where the samples of a lattice lie in a field."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.signal import SignalInfo

Window = Sequence[tuple[int, int]]
"""Start and stop on every lattice axis, as in a slice."""

Place = tuple[slice, ...]

EXACT = 2**30
"""Sizes below it have positions that int64 arithmetic counts without overflow."""


def lattice_coordinates(
    info: SignalInfo, size: Sequence[int], axis: int, index: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Field coordinate of sample `index` when `axis` is resampled to `size[axis]` samples.

    Samples are cells of equal width that tile the extent of the signal, each asked at its centre;
    the longest native axis spans -1..1 and the others keep its scale.
    """
    cells = size[axis]
    aspect = info.lattice[axis] / max(info.lattice)
    centre: NDArray[np.float64] = (2 * np.asarray(index, np.float64) + 1 - cells) / cells * aspect
    return centre


def native_positions(
    native: int, cells: int, start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Native index below, and fraction 0..1 above it, of samples `start`... of `cells`.

    Whole numbers until the one division: a sample's position does not depend on its window.
    """
    if max(native, cells) < EXACT:
        index = np.arange(start, stop, dtype=np.int64)
    else:
        index = np.array(range(start, stop), object)
    ahead = (2 * index + 1) * native - cells
    below, rest = ahead // (2 * cells), ahead % (2 * cells)
    return below.astype(np.int64), (rest / (2 * cells)).astype(np.float64)


def checked_points(info: SignalInfo, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """`points` as lattice positions `[points, axes]`, or UsageError.

    0 is the centre of the first sample of an axis; fractions lie between samples.
    """
    places = np.asarray(points, np.float64)
    if places.ndim != 2 or places.shape[1] != len(info.axes):
        raise UsageError(
            f"points: an array [points, {len(info.axes)}] is needed, not {list(places.shape)}"
        )
    if not np.isfinite(places).all():
        raise UsageError("points: NaN or infinite positions")
    return places


def fine_window(
    info: SignalInfo, size: Sequence[int], window: Window
) -> tuple[list[int], list[tuple[int, int]]]:
    """The lattice that is computed for one of `size`, at least as dense as the native, and the
    window in it.
    """
    factors = [math.ceil(native / cells) for native, cells in zip(info.lattice, size, strict=True)]
    fine = [cells * k for cells, k in zip(size, factors, strict=True)]
    return fine, [(start * k, stop * k) for (start, stop), k in zip(window, factors, strict=True)]


def block_shape(size: Sequence[int], room: int) -> tuple[int, ...]:
    """Edges of a block of at most `room` positions, as cubic as `size` allows."""
    edges = [1] * len(size)
    for left, axis in enumerate(sorted(range(len(size)), key=lambda axis: size[axis])):
        edges[axis] = min(size[axis], round(room ** (1 / (len(size) - left))))
        room //= max(1, edges[axis])
    return tuple(edges)


def blocks(window: Window, room: int) -> Iterator[tuple[Place, list[tuple[int, int]]]]:
    """Parts of at most `room` positions that tile a window: place in it, and window of their own.

    Axis 0 changes last, so that neighbours in memory follow one another.
    """
    edges = block_shape([stop - start for start, stop in window], room)
    starts = [
        range(start, stop, max(1, edge)) for (start, stop), edge in zip(window, edges, strict=True)
    ]
    for corner in itertools.product(*starts):
        part = [
            (first, min(first + edge, stop))
            for first, edge, (_, stop) in zip(corner, edges, window, strict=True)
        ]
        yield inside(part, window), part


def inside(part: Window, window: Window) -> Place:
    """Slices of a part in an array that holds a window around it."""
    return tuple(
        slice(low - start, high - start)
        for (low, high), (start, _) in zip(part, window, strict=True)
    )
