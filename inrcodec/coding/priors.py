"""Freezes probability tables: integer frequencies of Symbols, made by integer arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

PRECISION = 16
"""Frequencies of one table sum to 2^PRECISION."""

SHAPES = ("gaussian", "laplace")

SCALES = 48
"""Scale index s stands for a standard deviation of 2^(s/4 - 3) symbols."""

TABLES = len(SHAPES) * SCALES
"""Table index = shape index * SCALES + scale index."""

MAX_REACH = 2047
"""No table lists symbols beyond +-MAX_REACH."""

SUBPOINTS = 4
"""A Gaussian bin is the sum of the density at this many evenly spaced points."""

BITS = 96
"""Fixed-point numbers have this many bits after the point."""

ONE = 1 << BITS


@dataclass(frozen=True)
class Table:
    """Frequencies of the symbols -reach..reach and, last, of the escape symbol."""

    reach: int
    frequencies: tuple[int, ...]


@lru_cache(maxsize=TABLES)
def table(index: int) -> Table:
    """The frozen table `index` in 0..TABLES-1: the same numbers on every machine, for ever."""
    if not 0 <= index < TABLES:
        raise IndexError(f"no probability table {index}")
    shape, scale = divmod(index, SCALES)
    make = _gaussian if SHAPES[shape] == "gaussian" else _laplace
    reach = min(MAX_REACH, 2 + isqrt(isqrt(1 << scale)) * (5 if make is _gaussian else 8) // 8)
    half, tail = make(scale, reach)
    return normalised(reach, [*half[:0:-1], *half, tail])


def normalised(reach: int, weights: list[int]) -> Table:
    """Table of frequencies as nearly proportional to `weights` as coding allows.

    Every frequency is at least 1, so that every symbol can be coded; the centre takes the rest.
    """
    spare = (1 << PRECISION) - len(weights)
    total = sum(weights)
    frequencies = [1 + weight * spare // total for weight in weights]
    frequencies[reach] += (1 << PRECISION) - sum(frequencies)
    return Table(reach, tuple(frequencies))


def multiply(a: int, b: int) -> int:
    """Product of two fixed-point numbers, rounded down."""
    return (a * b) >> BITS


def exp_minus(x: int) -> int:
    """exp(-x) of a fixed-point x >= 0: Taylor series of x / 16, squared four times."""
    x >>= 4
    term, total, order = ONE, 0, 0
    while term:
        total += -term if order & 1 else term
        order += 1
        term = multiply(term, x) // order
    for _ in range(4):
        total = multiply(total, total)
    return total


def _gaussian(scale: int, reach: int) -> tuple[list[int], int]:
    """Weights of the symbols 0..reach and of the escape.

    The density at (2m + 1) / (2 SUBPOINTS) follows from its neighbour's by one factor, which
    itself changes by a constant factor.
    """
    # exponent of the first point: 1 / (2 sigma^2 (2 SUBPOINTS)^2) = 2^(-1 - scale/2)
    exponent = isqrt(1 << (2 * BITS - scale)) >> 1
    density, ratio = exp_minus(exponent), exp_minus(8 * exponent)
    change = ratio
    points = []
    for _ in range(SUBPOINTS * reach + SUBPOINTS // 2):
        points.append(density)
        density, ratio = multiply(density, ratio), multiply(ratio, change)
    first = SUBPOINTS // 2
    centre = 2 * sum(points[:first])
    bins = [sum(points[i : i + SUBPOINTS]) for i in range(first, len(points), SUBPOINTS)]
    return [centre, *bins], 0


def _laplace(scale: int, reach: int) -> tuple[list[int], int]:
    """Weights of the symbols 0..reach and of the escape, from the closed form of the bins."""
    # 1 / (2 b) = sqrt(2) / (2 sigma) = sqrt(32) 2^(-scale/4)
    fourth_root = isqrt(isqrt(1 << (4 * BITS - scale)))
    half = exp_minus(multiply(isqrt(32 << (2 * BITS)), fourth_root))
    decay = multiply(half, half)
    edge, bins = half, [2 * (ONE - half)]
    for _ in range(reach):
        following = multiply(edge, decay)
        bins.append(edge - following)
        edge = following
    return bins, 2 * edge
