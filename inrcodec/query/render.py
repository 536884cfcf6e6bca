"""Joins a Field and a lattice with samples: whole signals, other resolutions, crops, points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits
from inrcodec.errors import LimitError, UsageError
from inrcodec.fields.field import Field
from inrcodec.query.kernels import reference
from inrcodec.signal import SignalInfo

Window = Sequence[tuple[int, int]]
"""Start and stop on every lattice axis, as in a slice."""

Samples = NDArray[np.generic]


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


def render(
    field: Field,
    info: SignalInfo,
    size: Sequence[int] | None = None,
    window: Window | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Samples:
    """Samples `[*window, channels]` of the field resampled to `size`, in the signal's dtype.

    Where `size` is smaller than the native lattice, each sample is the mean of evenly spaced
    points of its cell, at least as dense as the native lattice. Any window equals the same window
    of the whole render, bit for bit.
    """
    size = tuple(info.lattice if size is None else size)
    window = [(0, n) for n in size] if window is None else list(window)
    factors = [max(1, math.ceil(native / n)) for native, n in zip(info.lattice, size, strict=True)]
    check_work(
        field,
        [(stop - start) * k for (start, stop), k in zip(window, factors, strict=True)],
        limits,
    )
    fine_size = [n * k for n, k in zip(size, factors, strict=True)]
    fine_window = [(a * k, b * k) for (a, b), k in zip(window, factors, strict=True)]
    if math.prod(factors) == 1:
        return _render_tiles(field, info, size, window, info.dtype)
    fine = _render_tiles(field, info, fine_size, fine_window, None)
    return to_samples(_mean_of_cells(fine, factors), info)


def _render_tiles(
    field: Field, info: SignalInfo, size: Sequence[int], window: Window, dtype: str | None
) -> Samples:
    """Fill the window tile by tile; field values as they are where `dtype` is None.

    Tiles lie on a fixed grid and are always computed whole, in arrays of one shape, so that a
    sample never depends on which window asked for it.
    """
    axes = len(size)
    edge = round(reference.CHUNK ** (1 / axes))
    channels = field.spec.outputs
    out = np.empty([*(stop - start for start, stop in window), channels], dtype or np.float32)
    starts = [range(start - start % edge, stop, edge) for start, stop in window]
    for corner in itertools.product(*starts):
        positions = [
            lattice_coordinates(info, size, axis, np.arange(first, first + edge))
            for axis, first in enumerate(corner)
        ]
        grid = np.stack(np.meshgrid(*positions, indexing="ij"), axis=-1)
        coordinates = grid.reshape(-1, axes).astype(np.float32)
        tile = reference.evaluate(field, coordinates).reshape(*[edge] * axes, channels)
        inside = [
            (max(first, start), min(first + edge, stop))
            for first, (start, stop) in zip(corner, window, strict=True)
        ]
        source = tuple(
            slice(a - first, b - first) for (a, b), first in zip(inside, corner, strict=True)
        )
        target = tuple(
            slice(a - start, b - start) for (a, b), (start, _) in zip(inside, window, strict=True)
        )
        out[target] = tile[source] if dtype is None else to_samples(tile[source], info)
    return out


def _mean_of_cells(fine: Samples, factors: Sequence[int]) -> NDArray[np.float32]:
    # One plain addition after the other: numpy's own sums group their terms by array shape.
    offsets = itertools.product(*(range(k) for k in factors))
    total = np.zeros(
        [*(n // k for n, k in zip(fine.shape, factors, strict=False)), fine.shape[-1]], np.float32
    )
    for offset in offsets:
        total += fine[
            tuple(slice(first, None, k) for first, k in zip(offset, factors, strict=True))
        ]
    return total / np.float32(math.prod(factors))


def to_samples(values: NDArray[np.float32], info: SignalInfo) -> Samples:
    """Field values as samples: 0..1 spans the value range; integers are clamped and rounded."""
    low, high = info.value_range
    if info.dtype.startswith("float"):
        return from_field_values(values, info).astype(info.dtype)
    scaled = np.clip(values, 0, 1) * np.float32(high - low) + np.float32(low + 0.5)
    return np.floor(scaled).astype(info.dtype)


def from_field_values(values: NDArray[np.float32], info: SignalInfo) -> NDArray[np.float32]:
    """Field values in the unit of the samples, neither rounded nor clamped."""
    low, high = info.value_range
    return values * np.float32(high - low) + np.float32(low)


def point_coordinates(info: SignalInfo, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Field coordinates of lattice positions `points` `[points, axes]`.

    0 is the centre of the first sample of an axis; fractions lie between samples.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != len(info.axes):
        raise UsageError(
            f"points: an array [points, {len(info.axes)}] is needed, not {list(points.shape)}"
        )
    if not np.isfinite(points).all():
        raise UsageError("points: NaN or infinite positions")
    columns = [
        lattice_coordinates(info, info.lattice, axis, points[:, axis])
        for axis in range(len(info.axes))
    ]
    return np.stack(columns, axis=-1).astype(np.float32)


def sample_points(
    field: Field, info: SignalInfo, points: NDArray[np.floating], limits: Limits = DEFAULT_LIMITS
) -> NDArray[np.float32]:
    """Values `[points, channels]` at lattice positions, in the unit of the samples."""
    coordinates = point_coordinates(info, points)
    check_work(field, [len(coordinates)], limits)
    return from_field_values(reference.evaluate_chunks(field, coordinates), info)


def check_work(field: Field, size: Sequence[int], limits: Limits) -> None:
    """Raise LimitError if evaluating `size` positions asks for too much memory or arithmetic."""
    positions = math.prod(int(n) for n in size)
    for what, asked, allowed in (
        ("output samples", positions * field.spec.outputs, limits.samples),
        ("multiply-accumulates", positions * field.spec.macs_per_sample, limits.macs),
    ):
        if asked > allowed:
            raise LimitError(what, asked, allowed)
