"""Joins the latents of neighbouring patches with probability tables: integer networks of a base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.context import HIDDEN_BITS, MAX_HIDDEN, SCALE_CENTRE, WEIGHT_BITS
from inrcodec.coding.latent_tables import PHASED, PHASES, SCALES
from inrcodec.errors import CorruptError
from inrcodec.fields.modulated import CENTRE_STEP, causal_neighbours

MAGNITUDE_BITS = 3
"""Magnitudes are seen as eighths of an octave, 8 log2(1 + |z|), rounded down."""

MAX_SEEN = 2**12 - 1
"""Greater latents look like this one."""

STEP_BITS = 5
"""A step, as a context, is in 2^-STEP_BITS octaves."""

MAX_STEP = 128
"""Its largest magnitude."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Latents = NDArray[np.int32]

_FIRST_BITS = WEIGHT_BITS + MAGNITUDE_BITS
_LAST_BITS = WEIGHT_BITS + HIDDEN_BITS


@lru_cache(maxsize=1)
def seen_magnitudes() -> NDArray[np.float64]:
    """How contexts see the magnitudes 0..MAX_SEEN."""
    powers = ((1 + size) ** (1 << MAGNITUDE_BITS) for size in range(MAX_SEEN + 1))
    return np.array([power.bit_length() - 1 for power in powers], np.float64)


def seen(latents: NDArray[Any]) -> Floats:
    """Magnitudes of latents as contexts see them: whole numbers."""
    return np.asarray(seen_magnitudes()[np.minimum(np.abs(latents), MAX_SEEN)])


@dataclass(frozen=True, eq=False)
class GroupNetwork:
    """The context network of a group of `size` dimensions, as integers.

    Rows of `first` and `bias` are hidden units, then one sum for every dimension, to which `second`
    adds what the hidden units say. Columns of `first` are contexts: the group's magnitudes at every
    causal neighbour, those of earlier groups in the patch, then around it, and the step.
    """

    size: int
    first: NDArray[np.int16]
    bias: NDArray[np.int32]
    second: NDArray[np.int16]

    @property
    def hidden(self) -> int:
        """Hidden units."""
        return len(self.bias) - self.size

    @cached_property
    def columns(self) -> Floats:
        """`first`, one row per context."""
        return np.ascontiguousarray(self.first.T, np.float64)

    def largest(self, near: int) -> int:
        """Bound of the magnitude of every sum, rounding included."""
        most = float(seen_magnitudes()[-1])
        reach = np.full(self.first.shape[1], most)
        earlier = (self.first.shape[1] - 1 - near * self.size) // 2
        reach[-1 - earlier : -1] = (2 * near * most + 4) // 8
        reach[-1] = MAX_STEP
        sums = np.abs(self.first.astype(np.float64)) @ reach + np.abs(self.bias.astype(np.float64))
        last = sums[self.hidden :] * 2.0 ** (_LAST_BITS - _FIRST_BITS)
        last += np.abs(self.second.astype(np.float64)).sum(axis=1) * MAX_HIDDEN
        return int(max([*sums, *last])) + (1 << _LAST_BITS)

    def scale_index(self, sums: Floats) -> Numbers:
        """Scale indices `[patches, size]` of all contexts' sums `[patches, hidden + size]`."""
        shift = _FIRST_BITS - HIDDEN_BITS
        hidden = np.floor((sums[:, : self.hidden] + 2.0 ** (shift - 1)) * 2.0**-shift)
        np.minimum(np.maximum(hidden, 0, out=hidden), MAX_HIDDEN, out=hidden)
        outputs = sums[:, self.hidden :] * 2.0 ** (_LAST_BITS - _FIRST_BITS)
        outputs += hidden @ self.second.T.astype(np.float64)
        rounded = np.floor(outputs * 2.0 ** (3 - _LAST_BITS) + 0.5).astype(np.int64)
        return np.minimum(np.maximum(rounded + SCALE_CENTRE, 0), SCALES - 1)


# Whole numbers below 2^53 are exact in float64 in whatever order a matrix product adds them, and
# BLAS is fast: nothing here is ever rounded but by `floor`.


@dataclass(frozen=True, eq=False)
class PatchNetwork:
    """What predicts every latent of a patch: `mean` `[dimensions, causal neighbours]`, and the
    networks of all groups.
    """

    mean: NDArray[np.int16]
    groups: tuple[GroupNetwork, ...]

    def check(self, what: str) -> None:
        """Raise CorruptError if a sum could leave 32 bits."""
        near = self.mean.shape[1]
        largest = [group.largest(near) for group in self.groups]
        largest.append(int(np.abs(self.mean.astype(np.int64)).sum(axis=1).max()) * MAX_SEEN + 16)
        if max(largest) >= 2**31:
            raise CorruptError(f"{what}: sums of its context networks can leave 32 bits")

    def predict(self, dims: slice, signed: Floats, index: Numbers) -> tuple[Numbers, Numbers]:
        """Nearest integer of the mean, and its phase, of latents whose causal neighbours are
        `signed` `[patches, neighbours, dims]`, clamped to +-MAX_SEEN.
        """
        sums = np.einsum("pnd,dn->pd", signed, self.mean[dims].astype(np.float64))
        rounded = np.floor((sums + 16) / 32).astype(np.int64)
        centred = rounded + PHASES // 2
        mean = centred // PHASES
        phase = centred - mean * PHASES - PHASES // 2
        phase[index >= PHASED] = 0
        return mean, phase


class Neighbourhood:
    """Rows of numbers, one for every patch of a grid, and their neighbours; 0 beyond the grid."""

    def __init__(self, grid: Sequence[int], columns: int) -> None:
        self._grid = tuple(grid)
        whole = [size + 2 for size in grid]
        strides = np.array([int(np.prod(whole[axis + 1 :])) for axis in range(len(whole))])
        self.rows = np.zeros((int(np.prod(whole)), columns))
        self.before = np.array(causal_neighbours(len(whole))) @ strides
        indices = np.indices(self._grid).reshape(len(whole), -1) + 1
        self.places = strides @ indices

    def fill(self, values: NDArray[Any]) -> None:
        """Set the rows of all patches, in raster order."""
        self.rows[self.places] = values

    def causal(self, patches: NDArray[np.int64]) -> Floats:
        """Rows of the causal neighbours `[patches, neighbours, columns]`."""
        return np.asarray(self.rows[self.places[patches][:, np.newaxis] + self.before])

    def around(self) -> Floats:
        """Sums of all neighbours' rows, divided by 8, to the nearest integer (up at half)."""
        total = sum(
            self.rows[self.places + side * step] for step in self.before for side in (1, -1)
        )
        return np.asarray(np.floor((total + 4) / 8))


def earlier_sums(
    group: GroupNetwork, near: int, centre: Floats, around: Floats, step: int
) -> Floats:
    """What earlier groups and the step add to the sums of a group, `[patches, hidden + size]`."""
    own = near * group.size
    start = centre.shape[1]
    columns = group.columns
    sums = centre @ columns[own : own + start] + around @ columns[own + start : own + 2 * start]
    return np.asarray(sums + columns[-1] * (step - CENTRE_STEP) + group.bias)
