"""Joins a Field of components with the lattices and points of the signal that is their mixture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import OUTPUT_CENTRE
from inrcodec.query.interpolation import (
    ABOVE,
    BELOW,
    interpolate,
    interpolate_points,
    interpolate_slopes,
    tap_weights,
)
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, blocks, native_positions
from inrcodec.query.pyramids import PyramidEvaluator

BLOCK = 2**17
"""Positions of components, and of the mixture, that are computed at once."""

CENTRE = np.float32(OUTPUT_CENTRE)

Each = TypeVar("Each")


@dataclass(frozen=True)
class MixtureEvaluator:
    """A mixture of components, asked in lattice positions of the signal.

    `components` answers for the components; `loadings` is `[components, samples]` of the axis.
    Sums are made of separate float32 multiplications and additions in the order of the components:
    any window or block gives the same bits.
    """

    spec: PyramidSpec
    components: PyramidEvaluator
    loadings: Floats

    def fill(
        self,
        out: NDArray[np.generic],
        convert: Callable[[Floats], NDArray[np.generic]],
        size: Sequence[int],
        window: Window,
    ) -> None:
        """Write the field values of a window `[*window, outputs]` of `size`, converted."""
        loadings = self._loadings(size[self.spec.axis], *window[self.spec.axis])
        planar = np.moveaxis(out, (-1, self.spec.axis), (0, 1))
        rest = self._rest(window)
        for place, part in blocks(rest, max(1, BLOCK // self.spec.rank)):
            values = self.components.resampled(
                (self.spec.rank, *self._rest(size)), [(0, self.spec.rank), *part]
            )
            values -= CENTRE
            step = max(1, BLOCK // (values.size // self.spec.rank))
            for start in range(0, loadings.shape[1], step):
                chosen = slice(start, start + step)
                mixed = _mixed(values, loadings[:, chosen])
                planar[(slice(None), chosen, *place)] = convert(mixed)

    def at(self, points: NDArray[np.float64]) -> Floats:
        """Field values `[points, outputs]` at lattice positions `[points, axes]`."""
        below, fraction = self._split(points[:, self.spec.axis])
        loadings = interpolate_points(
            self.loadings, [below], [tap_weights(fraction)], [0], [self.spec.mixed]
        )
        values = self.components.at(self._component_points(points)) - CENTRE
        total = np.full((len(points), self.spec.outputs), CENTRE)
        for own, loading in zip(np.split(values, self.spec.rank), loadings, strict=True):
            total += own * loading[:, None]
        return total

    def slopes(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives `[points, outputs, axes]` of `at` by the lattice position."""
        below, fraction = self._split(points[:, self.spec.axis])
        split = [below], [fraction], [0], [self.spec.mixed]
        (steep,) = interpolate_slopes(self.loadings, *split)
        flat = interpolate_points(
            self.loadings, [below], [tap_weights(fraction)], [0], [self.spec.mixed]
        )
        asked = self._component_points(points)
        values = np.split(self.components.at(asked).astype(np.float64) - CENTRE, self.spec.rank)
        slopes = np.split(self.components.slopes(asked)[..., 1:], self.spec.rank)
        across = sum(a[:, None, None] * s for a, s in zip(flat, slopes, strict=True))
        along = sum(a[:, None] * v for a, v in zip(steep, values, strict=True))
        return np.insert(np.asarray(across), self.spec.axis, along, axis=-1)

    def work(self, size: Sequence[int], window: Window) -> int:
        """Multiply-accumulates of a window, about."""
        whole = (self.spec.rank, *self._rest(size))
        own = self.components.work(whole, [(0, self.spec.rank), *self._rest(window)])
        return own + math.prod(stop - start for start, stop in window) * self._mixing

    def work_at(self, points: NDArray[np.float64]) -> int:
        """Multiply-accumulates of `at`, about."""
        own = self.components.work_at(self._component_points(points))
        return own + len(points) * self._mixing

    @property
    def _mixing(self) -> int:
        return self.spec.rank * self.spec.outputs

    def _rest(self, axes: Sequence[Each]) -> list[Each]:
        """What is given for every axis of the signal, without the mixed one's."""
        return [each for axis, each in enumerate(axes) if axis != self.spec.axis]

    def _loadings(self, cells: int, start: int, stop: int) -> Floats:
        if cells == self.spec.mixed:
            return self.loadings[:, start:stop]
        below, fraction = native_positions(self.spec.mixed, cells, start, stop)
        return interpolate(self.loadings, 1, below, tap_weights(fraction), 0, self.spec.mixed)

    def _split(self, along: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Sample below and fraction of positions on the mixed axis; its ends repeat."""
        near = np.clip(along, -float(BELOW + ABOVE), float(self.spec.mixed - 1 + ABOVE))
        below = np.floor(near)
        return below.astype(np.int64), near - below

    def _component_points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions in the lattice of components, one component after the other."""
        rest = np.delete(points, self.spec.axis, axis=1)
        which = np.repeat(np.arange(self.spec.rank, dtype=np.float64), len(points))
        return np.column_stack([which, np.tile(rest, (self.spec.rank, 1))])


def mixture_evaluator(
    spec: PyramidSpec, field: Field, lattice: tuple[int, ...]
) -> MixtureEvaluator:
    """What answers for a field that is a mixture, in positions of a signal of `lattice`."""
    plain = replace(spec, mixed=0, axis=0, differences=False)
    loadings = [field.parameters[f"loading{index}"] for index in range(spec.rank)]
    size = (spec.rank, *lattice[: spec.axis], *lattice[spec.axis + 1 :])
    components = PyramidEvaluator(plain, replace(field, spec=plain), size)
    return MixtureEvaluator(spec, components, np.stack(loadings))


def _mixed(components: Floats, loadings: Floats) -> Floats:
    """Values `[outputs, samples, *positions]`; components `[outputs, rank, *positions]` about 0."""
    shape = (components.shape[0], loadings.shape[1], *components.shape[2:])
    total, term = np.full(shape, CENTRE), np.empty(shape, np.float32)
    for index, loading in enumerate(loadings):
        along = loading.reshape(1, -1, *[1] * (components.ndim - 2))
        np.multiply(components[:, index, None], along, out=term)
        total += term
    return total
