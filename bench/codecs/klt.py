"""Joins cubes of many bands with their principal components, and these with side information.

The KLT of the bands is the best linear transform along them. What a file says of it is the number
of its components, the mean and the basis, both as 16-bit floats.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RATES = (0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3)
"""Bits per pixel and band, of whole files."""

HALVINGS = 24
"""Of the interval in which a rate control searches."""

SIZE = struct.Struct("<H")


@dataclass(frozen=True)
class Transform:
    """A cube `[pixels, bands]` in its KLT: as stored, and the components after that rounding."""

    mean: NDArray[np.float16]
    basis: NDArray[np.float16]
    components: Floats

    @classmethod
    def of(cls, pixels: Floats, rank: int) -> Transform:
        """The first components; they make up for the rounding of the basis."""
        mean = pixels.mean(0).astype(np.float16)
        centred = pixels - mean.astype(np.float64)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        basis = vectors[:, ::-1][:, :rank].astype(np.float16)
        components = centred @ np.linalg.pinv(basis.astype(np.float64)).T
        return cls(mean, basis, components)

    def packed(self, columns: Sequence[int]) -> bytes:
        """The side information of those components."""
        basis = np.ascontiguousarray(self.basis[:, columns]).astype("<f2").tobytes()
        return SIZE.pack(len(columns)) + self.mean.astype("<f2").tobytes() + basis


def unpacked(data: bytes, bands: int) -> tuple[Floats, Floats, bytes]:
    """Mean, basis and what follows the side information."""
    (rank,) = SIZE.unpack_from(data)
    stop = SIZE.size + 2 * bands * (rank + 1)
    values = np.frombuffer(data[SIZE.size : stop], "<f2").astype(np.float64)
    return values[:bands], values[bands:].reshape(bands, rank), data[stop:]
