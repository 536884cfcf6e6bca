"""Joins a Field and a lattice with samples: whole signals, other resolutions, crops, points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits
from inrcodec.coding.residual import Residual
from inrcodec.errors import LimitError
from inrcodec.fields.field import Field
from inrcodec.query.bounded import bounded_points, bounded_samples
from inrcodec.query.evaluator import Evaluator, evaluator
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, blocks, checked_points, fine_window
from inrcodec.signal import SignalInfo

Samples = NDArray[np.generic]

WIDE = ("uint32", "int32", "float64")
"""Types whose samples are made in float64: float32 cannot tell their values apart."""

BAND = 2**18
"""Positions whose means are taken at once."""


def render(
    field: Field,
    info: SignalInfo,
    size: Sequence[int] | None = None,
    window: Window | None = None,
    limits: Limits = DEFAULT_LIMITS,
    residual: Residual | None = None,
) -> Samples:
    """Samples `[*window, channels]` of the field resampled to `size`, in the signal's dtype.

    At native size the residual, if there is one, is added.

    Where `size` is smaller than the native lattice, each sample is the mean of evenly spaced
    points of its cell, at least as dense as the native lattice. Any window equals the same window
    of the whole render, bit for bit.
    """
    coarse = tuple(info.lattice if size is None else size)
    window = [(0, cells) for cells in coarse] if window is None else window
    fine, inner = fine_window(info, coarse, window)
    asked = evaluator(field, info)
    check_work([asked], fine, inner, limits)
    out = np.empty([*(stop - start for start, stop in window), field.spec.outputs], info.dtype)
    factors = [whole // cells for whole, cells in zip(fine, coarse, strict=True)]
    if out.size == 0:
        return out
    if residual is not None and coarse == tuple(info.lattice):
        _fill_bounded(out, asked, residual, window)
    elif math.prod(factors) == 1:
        asked.fill(out, lambda values: to_samples(values, info), fine, inner)
    else:
        _fill_with_means(out, asked, info, fine, window, factors)
    return out


def _fill_bounded(out: Samples, asked: Evaluator, residual: Residual, window: Window) -> None:
    """Write samples of a window at native size, block by block."""
    for place, part in blocks(window, BAND):
        values = np.empty([*(stop - start for start, stop in part), out.shape[-1]], np.float32)
        asked.fill(values, lambda same: same, residual.info.lattice, part)
        out[place] = bounded_samples(values, residual, part)


def _fill_with_means(
    out: Samples,
    asked: Evaluator,
    info: SignalInfo,
    size: Sequence[int],
    window: Window,
    factors: Sequence[int],
) -> None:
    """Write samples of a window that are means over the cells of `factors` positions of `size`.

    In bands of rows (of axis 0), and if need be in bands of the rows of one cell: whatever the
    bands, the same sums in the same order.
    """
    inner = [(start * k, stop * k) for (start, stop), k in zip(window, factors, strict=True)]
    row = math.prod(stop - start for start, stop in inner[1:])
    rows = max(1, BAND // (factors[0] * row))
    for first in range(*window[0], rows):
        last = min(first + rows, window[0][1])
        total = np.zeros([last - first, *out.shape[1:]], np.float64)
        step = factors[0] * rows if rows > 1 else max(1, min(factors[0], BAND // row))
        for low in range(first * factors[0], last * factors[0], step):
            high = min(low + step, last * factors[0])
            band = [(low, high), *inner[1:]]
            values = np.empty([stop - start for start, stop in band] + [out.shape[-1]], np.float32)
            asked.fill(values, lambda values: values, size, band)
            _add_cells(total, values, [min(factors[0], high - low), *factors[1:]])
        mean = (total / math.prod(factors)).astype(np.float32)
        out[first - window[0][0] : last - window[0][0]] = to_samples(mean, info)


def _add_cells(total: NDArray[np.float64], values: Floats, factors: Sequence[int]) -> None:
    """Add to `total` the sums over cells, axis after axis from the last to the first.

    One plain addition after the other: numpy's own sums group their terms by array shape. In
    float64 the mean of equal values is that value.
    """
    sums: NDArray[np.floating] = values
    for axis in range(len(factors) - 1, 0, -1):
        if factors[axis] > 1:
            first, *others = _every(sums, axis, factors[axis])
            sums = first.astype(np.float64)
            for part in others:
                sums += part
    for part in _every(sums, 0, factors[0]):
        total += part


def _every(values: NDArray[np.floating], axis: int, step: int) -> list[NDArray[np.floating]]:
    before = (slice(None),) * axis
    return [values[(*before, slice(at, None, step))] for at in range(step)]


def to_samples(values: Floats, info: SignalInfo) -> Samples:
    """Field values as samples: 0..1 spans the value range; integers are clamped and rounded.

    What is not a number, as weights of a damaged file may give, is the lowest of integers.
    """
    low, high = info.value_range
    if info.dtype.startswith("float"):
        return _scaled(values, low, high, info.dtype)
    wide = np.float64 if info.dtype in WIDE else np.float32
    scaled: NDArray[Any] = np.fmax(values, np.float32(0)).astype(wide, copy=False)
    np.fmin(scaled, wide(1), out=scaled)
    scaled *= wide(high - low)
    scaled += wide(low + 0.5)
    samples: Samples = np.floor(scaled, out=scaled).astype(info.dtype)
    return samples


def from_field_values(values: Floats, info: SignalInfo) -> Floats:
    """Field values in the unit of the samples, neither rounded nor clamped."""
    return _scaled(values, *info.value_range, "float32")


def _scaled(values: Floats, low: float, high: float, dtype: str) -> NDArray[Any]:
    wide = np.float64 if dtype in WIDE else np.float32
    # A field may overshoot the largest of ranges: that is infinity, not a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        return (values * wide(high - low) + wide(low)).astype(dtype, copy=False)


def sample_points(
    field: Field,
    info: SignalInfo,
    points: NDArray[np.floating],
    limits: Limits = DEFAULT_LIMITS,
    residual: Residual | None = None,
) -> Floats:
    """Values `[points, channels]` at lattice positions, in the unit of the samples.

    The residual, if there is one, is added at positions of samples.
    """
    places = checked_points(info, points)
    asked = evaluator(field, info)
    check_points(asked, places, limits)
    return point_values(asked.at(places), info, places, residual)


def point_values(
    values: Floats, info: SignalInfo, places: NDArray[np.float64], residual: Residual | None
) -> Floats:
    """Field values at points in the unit of the samples."""
    known = from_field_values(values, info)
    return known if residual is None else bounded_points(values, residual, places, known)


def sample_slopes(
    field: Field, info: SignalInfo, points: NDArray[np.floating], limits: Limits = DEFAULT_LIMITS
) -> NDArray[np.float64]:
    """Derivatives `[points, channels, axes]` of `sample_points` by the lattice position."""
    places = checked_points(info, points)
    asked = evaluator(field, info)
    check_points(asked, places, limits, 1 + len(info.axes))
    low, high = info.value_range
    return asked.slopes(places) * (high - low)


def check_work(
    asked: Sequence[Evaluator], size: Sequence[int], window: Window, limits: Limits
) -> None:
    """Raise LimitError if computing a window asks for too much memory or arithmetic."""
    samples = math.prod(stop - start for start, stop in window)
    _refuse("output samples", samples * sum(one.spec.outputs for one in asked), limits.samples)
    if samples:
        _refuse("multiply-accumulates", sum(one.work(size, window) for one in asked), limits.macs)


def check_points(
    asked: Evaluator, points: NDArray[np.float64], limits: Limits, values: int = 1
) -> None:
    """Raise LimitError if asking at points, for so many `values` per output, is too much."""
    _refuse("output samples", values * len(points) * asked.spec.outputs, limits.samples)
    _refuse("multiply-accumulates", values * asked.work_at(points), limits.macs)


def _refuse(what: str, asked: int, allowed: int) -> None:
    if asked > allowed:
        raise LimitError(what, asked, allowed)
