"""Freezes probability tables of latents: integer frequencies by the mean's phase and a scale."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, repeat
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.priors import BITS, ONE, Table, exp_minus, multiply, normalised

PHASES = 32
"""A mean lies at a multiple of 1/PHASES; its phase -PHASES/2..PHASES/2-1 is what is left of it
when the nearest integer is taken off."""

SCALES = 97
"""Scale index i stands for a Laplace distribution exp(-|x|/b) / 2b with b = 2^(i/8 - 5)."""

PHASED = 56
"""From this scale index on (b >= 4) phase 0 is the only one: the others would gain nothing."""

LATENT_TABLES = PHASED * PHASES + SCALES - PHASED
"""Number of tables, and of the first number that names none."""


def reach(index: int) -> int:
    """Symbols -reach..reach are in the tables of scale index `index`: 1 + floor(8 b)."""
    return 1 + isqrt(isqrt(isqrt(1 << index))) // 4


@lru_cache(maxsize=LATENT_TABLES)
def latent_table(phase: int, index: int) -> Table:
    """The frozen table of mean phase / PHASES and scale index `index`: the same for ever.

    Raises IndexError for a phase or an index that has none.
    """
    limit = PHASES // 2 if index < PHASED else 0
    if not (0 <= index < SCALES and -limit <= phase <= max(0, limit - 1)):
        raise IndexError(f"no latent table of phase {phase} and scale {index}")
    if phase > 0:
        mirrored = latent_table(-phase, index)
        *listed, escape = mirrored.frequencies
        return Table(mirrored.reach, (*reversed(listed), escape))
    half = PHASES // 2
    above, below = _edges(index, half - phase), _edges(index, half + phase)
    last = reach(index)
    weights = [below[k] - below[k + 1] for k in range(last - 1, -1, -1)]
    weights.append(2 * ONE - below[0] - above[0])
    weights.extend(above[k] - above[k + 1] for k in range(last))
    # Both tails are the escape's.
    weights.append(below[last] + above[last])
    return normalised(last, weights)


@lru_cache(maxsize=2 * PHASES)
def _edges(index: int, first: int) -> list[int]:
    """exp(-x / b) at x = first/PHASES + 0..reach, 0 <= first <= PHASES."""
    powers = _powers(index)
    edge, decay = powers[first], powers[PHASES]
    edges = [edge]
    for _ in range(reach(index)):
        edge = multiply(edge, decay)
        edges.append(edge)
    return edges


@lru_cache(maxsize=SCALES)
def _powers(index: int) -> list[int]:
    """exp(-x / b) at x = 0/PHASES..PHASES/PHASES."""
    # 1 / (PHASES b) = 2^(-index/8), whose eighth root is exact to the last bit.
    factor = exp_minus(isqrt(isqrt(isqrt(1 << (8 * BITS - index)))))
    # The specification has a series for each: that takes longer, and gives the same tables.
    return list(accumulate(repeat(factor, PHASES), multiply, initial=ONE))


@lru_cache(maxsize=1)
def _numbers() -> tuple[tuple[int, int], ...]:
    """(phase, index) of every table, in order."""
    phases = range(-PHASES // 2, PHASES // 2)
    return tuple(
        (phase, index) for index in range(SCALES) for phase in (phases if index < PHASED else (0,))
    )


def numbered_table(number: int) -> Table:
    """The table `number` in 0..LATENT_TABLES-1: by scale index, then by phase."""
    return latent_table(*_numbers()[number])


def table_numbers(phase: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the tables of phases and scale indices, as `numbered_table` takes them.

    Phases of scale indices from PHASED on are 0.
    """
    phased = index * PHASES + (phase + PHASES // 2)
    return np.where(index < PHASED, phased, index + (PHASED * PHASES - PHASED))


@lru_cache(maxsize=1)
def reaches() -> NDArray[np.int32]:
    """`reach` of every table, by number."""
    return np.array([reach(index) for _, index in _numbers()], np.int32)


@lru_cache(maxsize=1)
def flat_tables() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Every table for a decoder that is not Python: (offsets, reaches, cumulative).

    The cumulative frequencies of table `number` are cumulative[offsets[number] :] up to the first
    2^16: 2 reach + 3 numbers from 0 to 2^16. The arrays must not be changed.
    """
    sums = [[0, *accumulate(numbered_table(number).frequencies)] for number in range(LATENT_TABLES)]
    offsets = [0, *accumulate(len(one) for one in sums[:-1])]
    flat = [value for one in sums for value in one]
    return np.array(offsets, np.int32), reaches(), np.array(flat, np.int32)
