"""Joins a `siren` Field with lattices and points: native kernel where it promises, else numpy."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.kernels import native, reference, tangents
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Place, Window, block_shape, lattice_coordinates
from inrcodec.signal import SignalInfo

SLAB = 2**15
"""Positions per call of a native kernel: what is made of their values stays in the cache."""

SLAB_MACS = 2**32
"""Multiply-accumulates per call of a native kernel, which hears no Ctrl-C meanwhile."""


@dataclass(frozen=True)
class SirenEvaluator:
    """A `siren` field, asked in the lattice positions of one signal."""

    spec: SirenSpec
    field: Field
    info: SignalInfo

    def fill(
        self,
        out: NDArray[np.generic],
        convert: Callable[[Floats], NDArray[np.generic]],
        size: Sequence[int],
        window: Window,
    ) -> None:
        """Write the field values of a window `[*window, outputs]` of `size`, converted."""
        # No lattice reaches beyond 1 on any axis: the kernel is the same for every window.
        net = native.network(self.field, farthest=1.0)
        if net is None:
            for place, values in self._tiles(size, window):
                out[place] = convert(values)
            return
        axes = [
            lattice_coordinates(self.info, size, axis, np.arange(start, stop)).astype(np.float32)
            for axis, (start, stop) in enumerate(window)
        ]
        rows = out.reshape(-1, self.spec.outputs)
        step = max(reference.CHUNK, min(SLAB, SLAB_MACS // self.spec.macs_per_sample))
        for start in range(0, len(rows), step):
            stop = min(start + step, len(rows))
            rows[start:stop] = convert(native.on_lattice(net, axes, start, stop))

    def at(self, points: NDArray[np.float64]) -> Floats:
        """Field values `[points, outputs]` at lattice positions `[points, axes]`."""
        return at_many([self], [points])[0]

    def slopes(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives `[points, outputs, axes]` of the field values by the lattice position."""
        axes = len(self.info.axes)
        ends = np.stack([np.zeros(axes), np.ones(axes)])
        here, there = self._coordinates(ends)
        found = tangents.slopes(self.field, self._coordinates(points))
        found *= there - here
        return found

    def work(self, size: Sequence[int], window: Window) -> int:
        """Multiply-accumulates of the whole tiles that cover a window."""
        computed = 1
        for (start, stop), edge in zip(window, tile_shape(size), strict=True):
            computed *= (math.ceil(stop / edge) - start // edge) * edge
        return computed * self.spec.macs_per_sample

    def work_at(self, points: NDArray[np.float64]) -> int:
        """Multiply-accumulates of `at`."""
        return len(points) * self.spec.macs_per_sample

    def coordinates(self, points: NDArray[np.float64]) -> Floats:
        """Field coordinates of lattice positions."""
        return self._coordinates(points).astype(np.float32)

    def _coordinates(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = [
            lattice_coordinates(self.info, self.info.lattice, axis, points[:, axis])
            for axis in range(len(self.info.axes))
        ]
        return np.stack(columns, axis=-1)

    def _tiles(self, size: Sequence[int], window: Window) -> Iterator[tuple[Place, Floats]]:
        """Field values of the window in pieces, each with its place in the window.

        Tiles lie on a fixed grid and are always computed whole, in arrays of one shape, so that a
        sample never depends on which window asked for it.
        """
        edges = tile_shape(size)
        starts = [
            range(start - start % edge, stop, edge)
            for (start, stop), edge in zip(window, edges, strict=True)
        ]
        for corner in itertools.product(*starts):
            yield self._tile(size, window, corner, edges)

    def _tile(
        self, size: Sequence[int], window: Window, corner: Sequence[int], edges: Sequence[int]
    ) -> tuple[Place, Floats]:
        along = [
            lattice_coordinates(self.info, size, axis, np.arange(first, first + edge))
            for axis, (first, edge) in enumerate(zip(corner, edges, strict=True))
        ]
        grid = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1)
        values = reference.evaluate(self.field, grid.reshape(-1, len(size)).astype(np.float32))
        source, target = [], []
        for first, edge, (start, stop) in zip(corner, edges, window, strict=True):
            low, high = max(first, start), min(first + edge, stop)
            source.append(slice(low - first, high - first))
            target.append(slice(low - start, high - start))
        return tuple(target), values.reshape(*grid.shape[:-1], -1)[tuple(source)]


def tile_shape(size: Sequence[int]) -> tuple[int, ...]:
    """Edges of the reference's tiles of a lattice: at most CHUNK positions."""
    return block_shape(size, reference.CHUNK)


def at_many(asked: Sequence[SirenEvaluator], points: Sequence[NDArray[np.float64]]) -> list[Floats]:
    """`at` of every field, as many points each.

    Where the native kernel does not answer, fields of one architecture become one stack of
    matrices, so that many small ones cost as much as one large.
    """
    values: dict[int, Floats] = {}
    groups = defaultdict(list)
    # Beyond what float32 can hold, a sine has no value: NaN, not a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        for index, (one, own) in enumerate(zip(asked, points, strict=True)):
            coordinates = one.coordinates(own)
            if net := native.network_for(one.field, coordinates):
                values[index] = native.at_points(net, coordinates)
            else:
                groups[one.spec].append((index, one.field, coordinates))
        for spec, members in groups.items():
            indices, fields, coordinates_of = zip(*members, strict=True)
            values.update(
                zip(indices, _stacked(spec, fields, np.stack(coordinates_of)), strict=True)
            )
    return [values[index] for index in range(len(asked))]


def _stacked(spec: SirenSpec, fields: Sequence[Field], coordinates: Floats) -> Floats:
    if len(fields) == 1:
        return reference.evaluate_chunks(fields[0], coordinates[0])[None]
    stacks = {
        tensor.name: np.stack([field.parameters[tensor.name] for field in fields])
        for tensor in spec.tensors()
    }
    return reference.evaluate_chunks(Field(spec, stacks), coordinates)
