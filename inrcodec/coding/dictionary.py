"""Joins Symbols, atoms of a seeded dictionary and their coefficients, with one parameter array.

SINR (Jayasundara et al. 2025): a vector of weights is a sum of a few of many random vectors, which
whoever decodes makes again. Here all of that is integers, and so the same bits everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.errors import CorruptError

Integers = NDArray[np.int64]

MAX_DICTIONARY_BITS = 16
"""A dictionary has at most 2^MAX_DICTIONARY_BITS atoms."""

MAX_VECTOR = 4096
"""Elements of an atom, at most."""

MAX_ELEMENTS = 2**28
"""Elements of all atoms that one track uses: making them is work that few bytes can ask for."""

MAX_COEFFICIENT = 32767

UNIT_BITS = 8
"""Elements of atoms count 2^-UNIT_BITS: their standard deviation is 209 of these, about 0.8."""

ATOM_CENTRE = 1020
"""Mean of the sum of eight random bytes."""

SPLIT_GAMMA = 0x9E3779B97F4A7C15
SPLIT_FIRST = 0xBF58476D1CE4E5B9
SPLIT_SECOND = 0x94D049BB133111EB

_BATCH = 2**20
"""Elements of atoms that are made at once."""


@dataclass(frozen=True)
class Dictionary:
    """2^`bits` atoms for vectors that are runs of `rows` rows of a parameter array.

    The last vector may have fewer rows, and then uses the first elements of an atom.
    """

    bits: int
    rows: int

    def length(self, shape: tuple[int, ...]) -> int:
        """Elements of a vector of an array `[outputs, inputs]`."""
        return min(self.rows, shape[0]) * math.prod(shape[1:])

    def places(self, shape: tuple[int, ...]) -> int:
        """Vectors times atoms: vector v may use atom a at place v * 2^bits + a."""
        return -(-shape[0] // self.rows) << self.bits


def most_atoms(size: int) -> int:
    """Atoms that an array of `size` elements may use: more would be more numbers than it has."""
    return size // 2


def atoms(numbers: NDArray[Any], length: int) -> Integers:
    """The first `length` elements of some atoms, `[atoms, length]`, nearly Gaussian integers.

    Element i of atom a is the sum of the eight bytes of output MAX_VECTOR * a + i of SplitMix64
    (Steele, Lea and Flood 2014) from seed 0, less their mean.
    """
    first = np.asarray(numbers, np.uint64)[:, None] * np.uint64(MAX_VECTOR) + np.uint64(1)
    state = np.asarray(first + np.arange(length, dtype=np.uint64), np.uint64)
    state *= np.uint64(SPLIT_GAMMA)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(SPLIT_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(SPLIT_SECOND)
    state ^= state >> np.uint64(31)
    spread = state.view(np.uint8).reshape(*state.shape, 8)
    summed: Integers = spread.sum(axis=-1, dtype=np.int64)
    return summed - ATOM_CENTRE


def sums(symbols: NDArray[np.int32], dictionary: Dictionary, shape: tuple[int, ...]) -> Integers:
    """The array that `symbols`, a place and a coefficient `[atoms, 2]`, stand for, in units."""
    length = dictionary.length(shape)
    vectors = np.zeros((-(-shape[0] // dictionary.rows), length), np.int64)
    batch = max(1, _BATCH // length)
    for start in range(0, len(symbols), batch):
        places, coefficients = symbols[start : start + batch].T
        made = atoms(places & ((1 << dictionary.bits) - 1), length)
        np.add.at(vectors, places >> dictionary.bits, made * coefficients[:, None].astype(np.int64))
    return vectors.ravel()[: math.prod(shape)].reshape(shape)


def rice_bits(places: int, count: int) -> int:
    """Low bits of a gap between `count` places out of `places` that are coded as plain bits.

    The best Rice code (Kiely 2004): within 0.12 bits per atom of log2 C(places, count).
    """
    bits = 0
    while count and count << (bits + 5) <= 15 * places:
        bits += 1
    return bits


def gaps_of(symbols: NDArray[np.int32]) -> Integers:
    """Unused places before each used one, back to the one before it."""
    places = symbols[:, 0].astype(np.int64)
    before = np.concatenate([[-1], places])[:-1].astype(np.int64)
    return places - before - 1


def put_atoms(
    encoder: SymbolEncoder,
    symbols: NDArray[np.int32],
    dictionary: Dictionary,
    shape: tuple[int, ...],
    table: int,
) -> None:
    """Gaps of the ascending places: their high parts in unary, then all low bits; coefficients."""
    low = rice_bits(dictionary.places(shape), len(symbols))
    gaps = gaps_of(symbols)
    ends = np.cumsum((gaps >> low) + 1)
    unary = np.ones(ends[-1] if len(ends) else 0, np.int32)
    unary[ends - 1] = 0
    encoder.put_bits(unary)
    order = np.arange(low - 1, -1, -1)
    encoder.put_bits((gaps[:, None] >> order & 1).astype(np.int32).ravel())
    encoder.put(symbols[:, 1].copy(), table)


def get_atoms(
    decoder: SymbolDecoder,
    count: int,
    dictionary: Dictionary,
    shape: tuple[int, ...],
    table: int,
    what: str,
) -> NDArray[np.int32]:
    """What `put_atoms` wrote. Raises CorruptError, naming `what`, for anything else."""
    places = dictionary.places(shape)
    low = rice_bits(places, count)
    most, total = places >> low, 0
    highs = np.zeros(count, np.int64)
    for index in range(count):
        while decoder.get_bit():
            highs[index] += 1
            total += 1
            if total > most:
                raise CorruptError(f"{what}: an atom beyond the last one; the file is damaged")
    bits = decoder.get_bits(count * low).reshape(count, low).astype(np.int64)
    gaps = (highs << low) + (bits << np.arange(low - 1, -1, -1)).sum(axis=1, dtype=np.int64)
    found = np.cumsum(gaps + 1) - 1
    if count and found[-1] >= places:
        raise CorruptError(f"{what}: an atom beyond the last one; the file is damaged")
    coefficients = decoder.get(count, table)
    if np.any(coefficients == 0) or np.any(np.abs(coefficients) > MAX_COEFFICIENT):
        raise CorruptError(f"{what}: impossible coefficient of an atom; the file is damaged")
    return np.stack([found, coefficients], axis=1).astype(np.int32)
