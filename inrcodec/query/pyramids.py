"""Joins a `pyramid` Field with lattices and points: its own lattice, and interpolation between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.query.interpolation import (
    ABOVE,
    BELOW,
    TAPS,
    interpolate,
    interpolate_points,
    interpolate_slopes,
    tap_weights,
)
from inrcodec.query.kernels.native_pyramid import synthesise
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, block_shape, blocks, native_positions

BLOCK = 2**16
"""Lattice positions synthesised at once: a few arrays of them stay in the cache."""

DENSE_BLOCK = 2**18
"""Positions interpolated at once."""

GATHER = 2**20
"""Values gathered at once for scattered points."""

Piece = tuple[
    NDArray[np.int64], Floats, list[int], list[NDArray[np.int64]], list[NDArray[np.float64]]
]
"""Indices of points; values of a part of the lattice and its first sample per axis; per axis the
samples below the points, and how far they are beyond them."""


Positions = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Samples below, and how far positions are beyond them."""


@dataclass(frozen=True)
class PyramidEvaluator:
    """A `pyramid` field, asked in lattice positions of a signal of `size`."""

    spec: PyramidSpec
    field: Field
    size: tuple[int, ...]

    def fill(
        self,
        out: NDArray[np.generic],
        convert: Callable[[Floats], NDArray[np.generic]],
        size: Sequence[int],
        window: Window,
    ) -> None:
        """Write the field values of a window `[*window, outputs]` of `size`, converted."""
        planar = np.moveaxis(out, -1, 0)
        native = tuple(size) == self.spec.lattice
        for place, part in blocks(window, BLOCK if native else DENSE_BLOCK):
            planar[(slice(None), *place)] = convert(self.resampled(size, part))

    def at(self, points: NDArray[np.float64]) -> Floats:
        """Field values `[points, outputs]` at lattice positions `[points, axes]`.

        Beyond the lattice its outermost samples repeat.
        """
        out = np.empty((len(points), self.spec.outputs), np.float32)
        for chosen, values, first, below, fraction in self._pieces(self._own(points)):
            weights = [tap_weights(along) for along in fraction]
            own = interpolate_points(values, below, weights, first, self.spec.lattice)
            out[chosen] = own.T
        return out

    def slopes(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives `[points, outputs, axes]` of `at` by the lattice position.

        The kernel is twice differentiable everywhere, at samples and at the ends too.
        """
        out = np.empty((len(points), self.spec.outputs, self.spec.inputs), np.float64)
        for chosen, values, first, below, fraction in self._pieces(self._own(points)):
            own = interpolate_slopes(values, below, fraction, first, self.spec.lattice)
            out[chosen] = own.T
        np.multiply(out, self._scale, out=out)
        return out

    @property
    def _scale(self) -> NDArray[np.float64]:
        """Samples of the field's lattice in one of the signal's, along every axis."""
        return np.array(self.spec.lattice, np.float64) / np.array(self.size, np.float64)

    def _own(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions in the field's lattice: samples of both are cells that tile one extent."""
        if self.size == self.spec.lattice:
            return points
        return (points + 0.5) * self._scale - 0.5

    def _pieces(self, points: NDArray[np.float64]) -> Iterator[Piece]:
        """Points that are interpolated together, and what they need."""
        room = max(1, GATHER // self._gathered)
        below, fraction = self._split(points)
        for members, window in self._neighbourhoods(below):
            values = self._lattice(window)
            first = [start for start, _ in window]
            for start in range(0, len(members), room):
                chosen = members[start : start + room]
                yield chosen, values, first, list(below[chosen].T), list(fraction[chosen].T)

    def work(self, size: Sequence[int], window: Window) -> int:
        """Multiply-accumulates of a window, what blocks compute twice included, about."""
        native = tuple(size) == self.spec.lattice
        lengths = [stop - start for start, stop in window]
        edges = block_shape(lengths, BLOCK if native else DENSE_BLOCK)
        computed = 1
        for length, edge, cells, whole, margin in zip(
            lengths, edges, size, self.spec.lattice, self._margins, strict=True
        ):
            parts = -(-length // max(1, edge))
            margin += 0 if cells == whole else ABOVE
            near = -(-length * whole // cells) + 2 * margin * parts
            computed *= min(near, whole * parts)
        between = 0 if native else math.prod(lengths) * len(TAPS) * self.spec.inputs
        return computed * self.spec.macs_per_sample + between * self.spec.outputs

    def work_at(self, points: NDArray[np.float64]) -> int:
        """Multiply-accumulates of `at`, about."""
        computed = 0
        for _, window in self._neighbourhoods(self._split(self._own(points))[0]):
            computed += math.prod(
                stop - start + 2 * margin
                for (start, stop), margin in zip(window, self._margins, strict=True)
            )
        return computed * self.spec.macs_per_sample + len(points) * self._gathered

    @property
    def _margins(self) -> list[int]:
        """Samples that residual convolutions reach to, along every axis."""
        return [0] * self.spec.kept + [self.spec.residuals] * self.spec.halved

    @property
    def _gathered(self) -> int:
        """Values that one point is made of."""
        return self.spec.outputs * math.prod([BELOW + 1 + ABOVE] * self.spec.inputs)

    def _lattice(self, window: Window) -> Floats:
        """Field values `[outputs, *window]` at lattice positions."""
        return synthesise(self.field, window)

    def resampled(self, size: Sequence[int], window: Window) -> Floats:
        """Field values `[outputs, *window]` of the lattice resampled to `size`."""
        along, near = resampling(self.spec, size, window)
        values = self._lattice(near)
        for axis, (found, (first, _), whole) in enumerate(
            zip(along, near, self.spec.lattice, strict=True)
        ):
            if found is not None:
                below, fraction = found
                values = interpolate(values, axis + 1, below, tap_weights(fraction), first, whole)
        return values

    def _split(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Index below and fraction of positions; those far outside come near, where values stay."""
        beyond = np.array(self.spec.lattice, np.float64) - 1 + ABOVE
        near = np.clip(points, -float(BELOW + ABOVE), beyond)
        below = np.floor(near)
        return below.astype(np.int64), near - below

    def _neighbourhoods(
        self, below: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], list[tuple[int, int]]]]:
        """Points that lie together in one block, by index, and the window that they need."""
        if not len(below):
            return
        edges = np.array(block_shape(self.spec.lattice, BLOCK))
        inside = np.clip(below, 0, np.array(self.spec.lattice) - 1)
        _, group = np.unique(inside // edges, axis=0, return_inverse=True)
        group = group.reshape(-1)
        order = np.argsort(group, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            own = below[members]
            yield (
                members,
                [
                    _reach(low, high, whole)
                    for low, high, whole in zip(
                        own.min(axis=0), own.max(axis=0), self.spec.lattice, strict=True
                    )
                ],
            )


def resampling(
    spec: PyramidSpec, size: Sequence[int], window: Window
) -> tuple[list[Positions | None], list[tuple[int, int]]]:
    """Where samples of a window of the lattice of `size` lie, None along axes of native size, and
    the window of the lattice that they are made of.
    """
    along = [
        None if cells == whole else native_positions(whole, cells, start, stop)
        for whole, cells, (start, stop) in zip(spec.lattice, size, window, strict=True)
    ]
    near = [
        (bounds[0], bounds[1]) if found is None else _reach(found[0].min(), found[0].max(), whole)
        for found, bounds, whole in zip(along, window, spec.lattice, strict=True)
    ]
    return along, near


def _reach(lowest: int, highest: int, size: int) -> tuple[int, int]:
    """The samples of an axis that positions after `lowest` to `highest` need."""
    start, stop = int(lowest) - BELOW, int(highest) + ABOVE + 1
    return min(max(start, 0), size - 1), max(min(stop, size), 1)
