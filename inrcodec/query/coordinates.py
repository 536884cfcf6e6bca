"""Joins coordinates in the units of a signal's axes with positions on its lattice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.query.labels import axis_labels, plain_numbers, read_labels
from inrcodec.query.times import time_numbers
from inrcodec.signal import Axis, SignalInfo

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """Lattice positions `[points, axes]`, the shape that they were asked in, and how far a position
    moves per unit of its coordinate: `[points, axes]`.
    """

    points: Doubles
    shape: tuple[int, ...]
    per_unit: Doubles


def places(info: SignalInfo, metadata: Mapping[str, bytes], asked: Mapping[str, Any]) -> Places:
    """Where coordinates, numbers or dates given for every axis and broadcast, lie on the lattice.

    Positions between samples are linear between the coordinates of the samples. Raises UsageError
    for what is no number, or beyond the cells of the outermost samples.
    """
    names = [axis.name for axis in info.axes]
    unknown = [name for name in asked if name not in names]
    missing = [name for name in names if name not in asked]
    if unknown or missing:
        what = f"no axis {unknown[0]!r}" if unknown else f"{missing[0]} is missing"
        raise UsageError(f"coordinates: {what}; every axis is needed: {', '.join(names)}")
    labels = read_labels(metadata)
    columns, steps = [], []
    for axis in info.axes:
        table, attributes = axis_labels(labels, axis)
        if table.dtype.kind == "U" or not np.isfinite(table).all():
            raise UsageError(f"{axis.name}: not all of its coordinates are numbers; use positions")
        numbers = _numbers(asked[axis.name], table.dtype, attributes, axis.name)
        column, step = _positions(axis, plain_numbers(table), numbers)
        columns.append(column)
        steps.append(step)
    try:
        points = np.broadcast_arrays(*columns)
    except ValueError as error:
        shapes = ", ".join(f"{n} {list(c.shape)}" for n, c in zip(names, columns, strict=True))
        raise UsageError(f"coordinates: shapes do not fit: {shapes}") from error
    per_unit = np.broadcast_arrays(*steps, points[0])[:-1]
    flat = [np.stack([each.ravel() for each in part], axis=-1) for part in (points, per_unit)]
    return Places(flat[0], points[0].shape, flat[1])


def _numbers(asked: Any, dtype: np.dtype[Any], attributes: Mapping[str, Any], name: str) -> Doubles:
    found = np.asarray(asked)
    if found.dtype.kind in "iuf":
        numbers = found.astype(np.float64)
    elif found.dtype.kind in "MOSU":
        numbers = time_numbers(asked, dtype, attributes, name)
    else:
        raise UsageError(f"{name}: numbers or dates are needed, not {found.dtype}")
    if not np.isfinite(numbers).all():
        raise UsageError(f"{name}: NaN or infinite coordinates")
    return numbers


def _positions(axis: Axis, table: Doubles, numbers: Doubles) -> tuple[Doubles, Doubles]:
    """Positions along one axis, and their derivatives by the coordinate."""
    if axis.size == 1:
        gaps, below = np.array([axis.spacing]), np.zeros(numbers.shape, np.int64)
    else:
        gaps = np.diff(table)
        if not ((gaps > 0).all() or (gaps < 0).all()):
            raise UsageError(
                f"{axis.name}: its coordinates neither rise nor fall all along; ask by positions"
            )
        sign = np.sign(gaps[0])
        after = np.searchsorted(sign * table, sign * numbers, side="right")
        # At a sample the gap after it counts; beyond the ends the outermost ones go on.
        below = np.clip(after - 1, 0, axis.size - 2)
    found = below + (numbers - table[below]) / gaps[below]
    outside = (found < -0.5) | (found > axis.size - 0.5)
    if outside.any():
        first = numbers[outside].flat[0]
        raise UsageError(
            f"{axis.name}: {first:g} lies outside {table[0]:g}..{table[-1]:g} and the half cells "
            "around it; ask by positions to go on beyond"
        )
    return found, 1 / gaps[below]
