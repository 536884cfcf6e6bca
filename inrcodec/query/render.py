"""Joins a Field and a lattice with samples: whole signals, other resolutions, crops, points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits
from inrcodec.errors import LimitError, UsageError
from inrcodec.fields.field import Field
from inrcodec.query.kernels import native, reference
from inrcodec.query.kernels.reference import Floats
from inrcodec.signal import SignalInfo

Window = Sequence[tuple[int, int]]
"""Start and stop on every lattice axis, as in a slice."""

Samples = NDArray[np.generic]

SLAB = 2**15
"""Positions per call of a native kernel: what is made of their values stays in the cache."""

SLAB_MACS = 2**32
"""Multiply-accumulates per call of a native kernel, which hears no Ctrl-C meanwhile."""


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
    coarse = tuple(info.lattice if size is None else size)
    window = [(0, cells) for cells in coarse] if window is None else window
    size, window = fine_window(info, coarse, window)
    factors = [fine // cells for fine, cells in zip(size, coarse, strict=True)]
    check_work([field], size, window, limits)
    if math.prod(factors) == 1:
        out = np.empty([*(stop - start for start, stop in window), field.spec.outputs], info.dtype)
        _fill(out, lambda values: to_samples(values, info), field, info, size, window)
        return out
    fine = np.empty([*(stop - start for start, stop in window), field.spec.outputs], np.float32)
    _fill(fine, lambda values: values, field, info, size, window)
    return to_samples(_mean_of_cells(fine, factors), info)


def _fill(
    out: Samples,
    convert: Callable[[Floats], Samples],
    field: Field,
    info: SignalInfo,
    size: Sequence[int],
    window: Window,
) -> None:
    """Write the window's field values, converted, to `out`."""
    if any(start == stop for start, stop in window):
        return
    # No lattice reaches beyond 1 on any axis: the kernel is the same for every window.
    net = native.network(field, farthest=1.0)
    if net is None:
        for place, values in _tiles(field, info, size, window):
            out[place] = convert(values)
        return
    axes = [
        lattice_coordinates(info, size, axis, np.arange(start, stop)).astype(np.float32)
        for axis, (start, stop) in enumerate(window)
    ]
    rows = out.reshape(-1, field.spec.outputs)
    step = max(reference.CHUNK, min(SLAB, SLAB_MACS // field.spec.macs_per_sample))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        rows[start:stop] = convert(native.on_lattice(net, axes, start, stop))


def tile_shape(size: Sequence[int]) -> tuple[int, ...]:
    """Edges of the tiles of a lattice: at most CHUNK positions, as cubic as the lattice allows."""
    edges, room = [1] * len(size), reference.CHUNK
    for left, axis in enumerate(sorted(range(len(size)), key=lambda axis: size[axis])):
        edges[axis] = min(size[axis], round(room ** (1 / (len(size) - left))))
        room //= edges[axis]
    return tuple(edges)


def _tiles(
    field: Field, info: SignalInfo, size: Sequence[int], window: Window
) -> Iterator[tuple[tuple[slice, ...], Floats]]:
    """Field values of the window in pieces, each with its place in the window.

    Tiles lie on a fixed grid and are always computed whole, in arrays of one shape, so that a
    sample never depends on which window asked for it.
    """
    edges = tile_shape(size)
    starts = [
        range(start - start % edge, stop, edge)
        for (start, stop), edge in zip(window, edges, strict=True)
    ]
    for corner in itertools.product(*starts):
        yield _tile(field, info, size, window, corner, edges)


def _tile(
    field: Field,
    info: SignalInfo,
    size: Sequence[int],
    window: Window,
    corner: Sequence[int],
    edges: Sequence[int],
) -> tuple[tuple[slice, ...], Floats]:
    along = [
        lattice_coordinates(info, size, axis, np.arange(first, first + edge))
        for axis, (first, edge) in enumerate(zip(corner, edges, strict=True))
    ]
    grid = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1)
    values = reference.evaluate(field, grid.reshape(-1, len(size)).astype(np.float32))
    source, target = [], []
    for first, edge, (start, stop) in zip(corner, edges, window, strict=True):
        low, high = max(first, start), min(first + edge, stop)
        source.append(slice(low - first, high - first))
        target.append(slice(low - start, high - start))
    return tuple(target), values.reshape(*grid.shape[:-1], -1)[tuple(source)]


def _mean_of_cells(fine: Floats, factors: Sequence[int]) -> Floats:
    cells = [size // k for size, k in zip(fine.shape, factors, strict=False)]
    total = np.zeros([*cells, fine.shape[-1]], np.float32)
    # One plain addition after the other: numpy's own sums group their terms by array shape.
    for offset in itertools.product(*(range(k) for k in factors)):
        total += fine[tuple(slice(at, None, k) for at, k in zip(offset, factors, strict=True))]
    mean: Floats = total / np.float32(math.prod(factors))
    return mean


def to_samples(values: Floats, info: SignalInfo) -> Samples:
    """Field values as samples: 0..1 spans the value range; integers are clamped and rounded."""
    if info.dtype.startswith("float"):
        return from_field_values(values, info)
    low, high = info.value_range
    scaled = np.clip(values, 0, 1)
    scaled *= np.float32(high - low)
    scaled += np.float32(low + 0.5)
    samples: Samples = np.floor(scaled, out=scaled).astype(info.dtype)
    return samples


def from_field_values(values: Floats, info: SignalInfo) -> Floats:
    """Field values in the unit of the samples, neither rounded nor clamped."""
    low, high = info.value_range
    # A field may overshoot the largest of ranges: that is infinity, not a warning.
    with np.errstate(over="ignore"):
        scaled: Floats = values * np.float32(high - low) + np.float32(low)
    return scaled


def point_coordinates(info: SignalInfo, points: NDArray[np.floating]) -> Floats:
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
) -> Floats:
    """Values `[points, channels]` at lattice positions, in the unit of the samples."""
    coordinates = point_coordinates(info, points)
    check_cost([field], len(coordinates), len(coordinates), limits)
    net = native.network_for(field, coordinates)
    if net is None:
        values = reference.evaluate_chunks(field, coordinates)
    else:
        values = native.at_points(net, coordinates)
    return from_field_values(values, info)


def fine_window(
    info: SignalInfo, size: Sequence[int], window: Window
) -> tuple[list[int], list[tuple[int, int]]]:
    """The lattice that is computed for one of `size`, at least as dense as the native, and the
    window in it.
    """
    factors = [math.ceil(native / cells) for native, cells in zip(info.lattice, size, strict=True)]
    fine = [cells * k for cells, k in zip(size, factors, strict=True)]
    return fine, [(start * k, stop * k) for (start, stop), k in zip(window, factors, strict=True)]


def check_work(
    fields: Sequence[Field], size: Sequence[int], window: Window, limits: Limits
) -> None:
    """Raise LimitError if computing a window asks for too much memory or arithmetic.

    Samples count in the window, arithmetic in the whole tiles that cover it.
    """
    samples = math.prod(stop - start for start, stop in window)
    computed = 1 if samples else 0
    for (start, stop), edge in zip(window, tile_shape(size), strict=True):
        computed *= (math.ceil(stop / edge) - start // edge) * edge
    check_cost(fields, samples, computed, limits)


def check_cost(fields: Sequence[Field], values: int, computed: int, limits: Limits) -> None:
    """Raise LimitError if keeping `values` positions, or computing `computed`, is too much."""
    outputs = sum(field.spec.outputs for field in fields)
    macs = sum(field.spec.macs_per_sample for field in fields)
    for what, asked, allowed in (
        ("output samples", values * outputs, limits.samples),
        ("multiply-accumulates", computed * macs, limits.macs),
    ):
        if asked > allowed:
            raise LimitError(what, asked, allowed)
