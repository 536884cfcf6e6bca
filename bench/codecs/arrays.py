"""Joins one setting of a codec with the bytes that it makes of an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.volumes import Array, Volume

KINDS = ("volume", "climate", "cube")

Decoded = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Known:
    """What a decoder is told beside the bytes, which a real file would have to say.

    No rival is charged for it, nor for the setting: shape, the range of the samples, and the two
    axes of the slices.
    """

    shape: tuple[int, ...]
    low: float
    span: float
    picture: tuple[int, int]

    @classmethod
    def of(cls, volume: Volume) -> Known:
        """Of an array."""
        return cls(volume.samples.shape, volume.low, volume.span, volume.picture)


@dataclass(frozen=True)
class ArrayCodec:
    """A codec of arrays in one configuration; a number, its setting, is left free.

    `encode` gets the samples as their file stores them. `settings` run from low to high rate, and
    `kinds` are the kinds of arrays that it is measured on.
    """

    name: str
    family: str
    line: str
    settings: tuple[float, ...]
    encode: Callable[[Array, Known, float], bytes]
    decode: Callable[[bytes, Known, float], Decoded]
    versions: Mapping[str, str]
    kinds: tuple[str, ...] = KINDS
    least_ratio: float = 3.0
    """Of the array's file to the codec's: a sweep ends below it, as fields are for high ratios."""


@dataclass(frozen=True)
class ArrayEntry:
    """A codec that can be asked for; `load` raises CodecMissingError where it cannot run."""

    name: str
    load: Callable[[], ArrayCodec]


def to_levels(samples: Array, known: Known, bits: int) -> NDArray[np.uint16]:
    """Integers of so many bits over the range."""
    scaled = (samples.astype(np.float64) - known.low) * ((2**bits - 1) / known.span)
    levels: NDArray[np.uint16] = np.rint(scaled).astype(np.uint16)
    return levels


def from_levels(levels: Array, known: Known, bits: int) -> Decoded:
    """Values of such integers."""
    values: Decoded = levels.astype(np.float64) * (known.span / (2**bits - 1)) + known.low
    return values


def to_slices(samples: Array, known: Known) -> Array:
    """Pictures `[count, rows, columns]`."""
    rows, columns = known.picture
    moved = np.moveaxis(samples, (rows, columns), (-2, -1))
    return np.ascontiguousarray(moved).reshape(-1, *moved.shape[-2:])


def from_slices(slices: Array, known: Known) -> Array:
    """The array that `to_slices` was given."""
    rows, columns = known.picture
    others = [n for axis, n in enumerate(known.shape) if axis not in known.picture]
    moved = slices.reshape(*others, known.shape[rows], known.shape[columns])
    return np.moveaxis(moved, (-2, -1), (rows, columns))
