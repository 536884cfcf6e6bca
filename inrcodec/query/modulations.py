"""Joins a `modulated` Field with lattices and points: sums of the functions of its patches."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import Field
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.siren import OUTPUT_CENTRE
from inrcodec.query.kernels.patches import Wave, coefficients, values_at, waves
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, blocks, native_positions

BLOCK = 2**20
"""Positions whose values are summed at once."""

PIECE = 2**12
"""Most positions of a patch that are computed together."""

RUN = 16
"""Patches in a row that are computed together, whichever are asked: so that no crop differs."""

GATHER = 2**12
"""Points asked at once."""


@dataclass(frozen=True)
class Piece:
    """Samples start..stop of an axis that a patch has a say in: where they lie seen from its
    centre, and what it counts there.
    """

    patch: int
    start: int
    stop: int
    places: NDArray[np.float64]
    weight: NDArray[np.float64]


@dataclass(frozen=True)
class ModulatedEvaluator:
    """A `modulated` field, asked in its own lattice positions."""

    spec: ModulatedSpec
    field: Field
    _waves: dict[bytes, Wave] = dataclasses.field(default_factory=dict)

    def fill(
        self,
        out: NDArray[np.generic],
        convert: Callable[[Floats], NDArray[np.generic]],
        size: Sequence[int],
        window: Window,
    ) -> None:
        """Write the field values of a window `[*window, outputs]` of `size`, converted."""
        for place, part in blocks(window, BLOCK):
            out[place] = convert(self._summed(size, part))

    def at(self, points: NDArray[np.float64]) -> Floats:
        """Field values `[points, outputs]` at lattice positions `[points, axes]`; beyond the
        outermost samples' cells they stay as they are at the end of these.
        """
        return self._asked(points, False).astype(np.float32)

    def slopes(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives `[points, outputs, axes]` of `at` by the lattice position."""
        return self._asked(points, True)

    def work(self, size: Sequence[int], window: Window) -> int:
        """Multiply-accumulates of a window, about."""
        computed = repeated = 1
        for cells, whole, (start, stop) in zip(size, self.spec.lattice, window, strict=True):
            # Samples per patch, and those of the patches around a window.
            support = -(-self.spec.patches.support * cells // whole)
            shared = self.spec.patches.support / self.spec.patch
            computed *= math.ceil((min(stop - start + 2 * support, cells)) * shared)
            repeated *= support if cells % whole == 0 else math.ceil((stop - start) * shared)
        products = 2 * self.spec.units * self.spec.outputs
        shifts = math.prod(self.spec.grid) * self.spec.dimensions * self.spec.units
        return computed * products + repeated * self._phase_macs + shifts

    def work_at(self, points: NDArray[np.float64]) -> int:
        """Multiply-accumulates of `at`, at most."""
        shifts = math.prod(self.spec.grid) * self.spec.dimensions * self.spec.units
        own = self._phase_macs + self.spec.units * (2 + self.spec.outputs)
        return len(points) * (1 << self.spec.inputs) * own + shifts

    @property
    def _phase_macs(self) -> int:
        return self.spec.units * (len(self.field.parameters["bias0"]) + self.spec.inputs)

    @cached_property
    def _shifts(self) -> Floats:
        """Shifts `[patches, units]`."""
        assert self.field.latents is not None
        latents = self.field.latents.read(0, [(0, count) for count in self.spec.grid])
        values = latents.reshape(-1, self.spec.dimensions) * np.float32(self.spec.step_size)
        return values.astype(np.float32) @ self.field.parameters["shift"].T

    @cached_property
    def _coefficients(self) -> Floats:
        return coefficients(self._shifts)

    def _summed(self, size: Sequence[int], window: Window) -> Floats:
        """Values `[*window, outputs]`: in raster order of the patches, whatever the window."""
        total = np.full(
            [*(stop - start for start, stop in window), self.spec.outputs],
            OUTPUT_CENTRE,
            np.float32,
        )
        axes = [list(self._pieces(axis, size[axis], *ends)) for axis, ends in enumerate(window)]
        runs = list(_runs(axes[-1], window[-1]))
        for before in itertools.product(*axes[:-1]):
            for run in runs:
                self._add(total, window, before, run)
        return total

    def _pieces(self, axis: int, cells: int, start: int, stop: int) -> Iterator[Piece]:
        """Pieces of the patches along an axis; where a run of the last axis is asked in part, those
        beyond the window too.
        """
        patches, whole, count = self.spec.patches, self.spec.lattice[axis], self.spec.grid[axis]
        edge = math.floor(PIECE ** (1 / self.spec.inputs) + 1e-9)
        # Patches that a sample of the window can belong to.
        first = (start * whole // cells - patches.margin) // patches.patch - 1
        last = (-(-stop * whole // cells) + patches.margin) // patches.patch + 1
        if axis == self.spec.inputs - 1:
            first, last = first // RUN * RUN, -(-(last + 1) // RUN) * RUN - 1
        for patch in range(max(0, first), min(last, count - 1) + 1):
            corner = patch * patches.patch
            # Sample i lies beyond an edge e if (2i + 1) whole > 2 e cells.
            low = 2 * (corner - patches.margin) * cells - whole
            high = 2 * (corner + patches.patch + patches.margin) * cells - whole
            begin = max(0, low // (2 * whole) + 1)
            end = min(cells, -(-high // (2 * whole)))
            for left in range(begin, end, edge):
                right = min(left + edge, end)
                if axis < self.spec.inputs - 1 and (right <= start or left >= stop):
                    continue
                below, fraction = native_positions(whole, cells, left, right)
                places = (below - corner) + (fraction + 0.5 - patches.patch / 2)
                weight = patches.weight(places, patch == 0, patch == count - 1, np)
                yield Piece(patch, left, right, places, weight)

    def _add(
        self, total: Floats, window: Window, before: Sequence[Piece], run: Sequence[Piece]
    ) -> None:
        """Add what a run of patches, of one row, says about the same pieces of their windows."""
        row = np.ravel_multi_index([*(piece.patch for piece in before), 0], self.spec.grid)
        members = [int(row) + piece.patch for piece in run]
        known = self._wave([*(piece.places for piece in before), run[0].places])
        asked = np.zeros((RUN, 2 * self.spec.units), np.float32)
        asked[: len(members)] = self._coefficients[members]
        values = (asked @ known).reshape(RUN, -1, self.spec.outputs)
        for own, last in zip(values, run, strict=False):
            pieces = [*before, last]
            shape = [len(piece.places) for piece in pieces]
            weighted = own.reshape(*shape, -1)
            for axis, piece in enumerate(pieces):
                along = piece.weight.astype(np.float32)
                weighted = weighted * along.reshape((-1,) + (1,) * (len(pieces) - axis))
            source, target = [], []
            for piece, (start, stop) in zip(pieces, window, strict=True):
                low, high = max(piece.start, start), min(piece.stop, stop)
                source.append(slice(low - piece.start, max(low, high) - piece.start))
                target.append(slice(low - start, max(low, high) - start))
            total[tuple(target)] += weighted[tuple(source)]

    def _wave(self, places: Sequence[NDArray[np.float64]]) -> Wave:
        """What coefficients are multiplied with at a grid of places; few are kept."""
        key = b"".join(len(along).to_bytes(8, "little") + along.tobytes() for along in places)
        known = self._waves.get(key)
        if known is None:
            if len(self._waves) >= 32:
                self._waves.clear()
            grid = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
            flat = grid.reshape(-1, self.spec.inputs)
            known = waves(self.field.parameters, flat, self.spec.patch)
            self._waves[key] = known
        return known

    def _asked(self, points: NDArray[np.float64], slopes: bool) -> NDArray[np.float64]:
        """Values, or derivatives by the position, at points."""
        axes, outputs = self.spec.inputs, self.spec.outputs
        shape = (len(points), outputs, axes) if slopes else (len(points), outputs)
        out = np.full(shape, 0.0 if slopes else OUTPUT_CENTRE)
        lattice = np.array(self.spec.lattice, np.float64)
        for first in range(0, len(points), GATHER):
            asked = points[first : first + GATHER]
            near = np.clip(asked, -0.5, lattice - 0.5)
            inside = near == asked
            for side in itertools.product((-1, 0, 1), repeat=axes):
                chosen, members, places, weight, rise = self._near(near, side)
                if not len(chosen):
                    continue
                found = values_at(
                    self.field.parameters, self._shifts[members], places, self.spec.patch
                )
                own = found.values * weight.prod(axis=1)[:, None]
                if slopes:
                    own = found.slopes() * weight.prod(axis=1)[:, None, None]
                    for axis in range(axes):
                        others = np.delete(weight, axis, axis=1).prod(axis=1)
                        own[:, :, axis] += found.values * (others * rise[:, axis])[:, None]
                    own *= inside[chosen][:, None, :]
                out[first + chosen] += own
        return out

    def _near(self, points: NDArray[np.float64], side: Sequence[int]) -> tuple[Any, ...]:
        """Points that the patch on one `side` of their own has a say in: their numbers, those of
        the patches, places seen from its centre, weights and the weights' derivatives.
        """
        patches = self.spec.patches
        grid = np.array(self.spec.grid)
        own = np.clip(np.floor((points + 0.5) / patches.patch), 0, grid - 1).astype(np.int64)
        asked = own + np.array(side)
        places = points - (asked * patches.patch + patches.patch / 2 - 0.5)
        there = ((asked >= 0) & (asked < grid)).all(axis=1)
        there &= (np.abs(places) < patches.patch / 2 + patches.margin).all(axis=1)
        chosen = np.flatnonzero(there)
        asked, places = asked[chosen], places[chosen]
        weight, rise = np.ones_like(places), np.zeros_like(places)
        for axis in range(places.shape[1]):
            for first, last in itertools.product((False, True), repeat=2):
                ends = (asked[:, axis] == 0) == first
                ends &= (asked[:, axis] == grid[axis] - 1) == last
                along = places[ends, axis]
                weight[ends, axis] = patches.weight(along, first, last, np)
                rise[ends, axis] = patches.slope(along, first, last, np)
        members = np.ravel_multi_index(list(asked.T), self.spec.grid)
        return chosen, members, places, weight, rise


def _runs(pieces: Sequence[Piece], window: tuple[int, int]) -> Iterator[list[Piece]]:
    """Pieces of patches that lie alike, among each RUN of patches, of which the window needs one
    or more.
    """
    for _, group in itertools.groupby(pieces, lambda piece: piece.patch // RUN):
        alike: dict[bytes, list[Piece]] = {}
        for piece in group:
            alike.setdefault(piece.places.tobytes(), []).append(piece)
        for run in alike.values():
            if any(piece.start < window[1] and piece.stop > window[0] for piece in run):
                yield run
