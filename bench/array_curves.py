"""Joins the rows of an array with what each codec takes at an error, or reaches at a size."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from bjontegaard.interpolation import interpolate

from bench.array_rows import ArrayRow
from bench.bd import METHOD

FEWEST = 2
"""Points of a curve."""


@dataclass(frozen=True)
class ArrayCurve:
    """What a codec does with one array: logarithms of bytes and RMSEs, of points none of which is
    beaten by another; between them monotone cubics."""

    codec: str
    log_bytes: tuple[float, ...]
    log_rmse: tuple[float, ...]

    @property
    def most_bytes(self) -> float:
        """Size of the largest file."""
        return math.exp(self.log_bytes[-1]) * (1 + 1e-9)

    def bytes_at(self, rmse: float) -> float | None:
        """Size of the file of that error, or of the smallest, which has less; None below the least
        error.
        """
        found = _between(self.log_rmse[::-1], self.log_bytes[::-1], rmse)
        return None if found is None else math.exp(found)

    def rmse_at(self, size: float) -> float | None:
        """Error of the file of so many bytes, or of the largest, which is smaller; None below the
        smallest.
        """
        found = _between(self.log_bytes, self.log_rmse, size)
        return None if found is None else math.exp(found)


def _between(x: Sequence[float], y: Sequence[float], value: float) -> float | None:
    """Interpolated; past the last `x` the last `y`, which a codec that does more reaches too."""
    if value <= 0 or len(x) < FEWEST or math.log(value) < x[0]:
        return None
    return float(interpolate(np.array(x), np.array(y), METHOD)(min(math.log(value), x[-1])))


def curves(rows: Iterable[ArrayRow]) -> list[ArrayCurve]:
    """A curve per codec, from rows of one array."""
    points: defaultdict[str, list[ArrayRow]] = defaultdict(list)
    for row in rows:
        if row.rmse > 0:
            points[row.codec].append(row)
    return [_curve(codec, own) for codec, own in points.items()]


def _curve(codec: str, rows: list[ArrayRow]) -> ArrayCurve:
    kept: list[ArrayRow] = []
    for row in sorted(rows, key=lambda row: (row.bytes, row.rmse)):
        if not kept or row.rmse < kept[-1].rmse:
            kept.append(row)
    sizes = tuple(math.log(row.bytes) for row in kept)
    return ArrayCurve(codec, sizes, tuple(math.log(row.rmse) for row in kept))


def smallest_at(found: Iterable[ArrayCurve], rmse: float) -> tuple[str, float] | None:
    """The codec that needs the fewest bytes for that error, and how many."""
    sizes = [(size, each.codec) for each in found if (size := each.bytes_at(rmse)) is not None]
    return (min(sizes)[1], min(sizes)[0]) if sizes else None


def best_at(found: Iterable[ArrayCurve], size: float) -> tuple[str, float] | None:
    """The codec with the least error at that size, and that error."""
    errors = [(error, each.codec) for each in found if (error := each.rmse_at(size)) is not None]
    return (min(errors)[1], min(errors)[0]) if errors else None
