"""Joins integers on a grid of any axes with bytes: digits, each coded as one level of latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.kinds import context_macs, pack_edges, tile_count, unpack_edges
from inrcodec.bitstream.primitives import within
from inrcodec.bitstream.wire import Limits
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import tile_window
from inrcodec.coding.native_latents import pack_levels
from inrcodec.coding.quantize import TensorRecipe, dequantize
from inrcodec.coding.tiles import Coded, TiledLatents
from inrcodec.coding.weights import Symbols, pack_weights, unpack_weights
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import REACH, PyramidSpec

MAX_DIGITS, MAX_BASE = 4, 65535
"""No number of so many digits to that base leaves 64 bits."""

ONE_LEVEL = b"\1"
"""What the payload of a section of latents begins with; here it goes without saying."""

Integers = NDArray[np.int64]
Window = Sequence[tuple[int, int]]
Network = tuple[Symbols, Sequence[TensorRecipe]]


def grid_axes(sizes: Sequence[int]) -> list[int]:
    """The sizes that are more than 1."""
    return [size for size in sizes if size > 1]


def grid_of(sizes: Sequence[int]) -> tuple[int, ...]:
    """The grid that an array of up to five axes is coded as: without axes of one element; of five
    that are left the first two are one.
    """
    grid = grid_axes(sizes) or [1]
    if len(grid) > max(REACH):
        grid[:2] = [grid[0] * grid[1]]
    return tuple(grid)


def digit_spec(
    sizes: Sequence[int], contexts: tuple[int, ...], tile: int = 0, edges: tuple[int, ...] = ()
) -> PyramidSpec:
    """A digit of an array as a pyramid of one level that nothing is made of."""
    return PyramidSpec(grid_of(sizes), 0, 1, contexts, (), 0, tile, edges=edges)


@dataclass(frozen=True)
class CodedGrid:
    """An array of integers: each is the sum of its digits times powers of `base`.

    A digit is decoded where it is read.
    """

    sizes: tuple[int, ...]
    base: int
    digits: tuple[TiledLatents, ...]

    def read(self, window: Window) -> Integers:
        """The integers in a window: start and stop along every axis."""
        total = np.zeros([stop - start for start, stop in window], np.int64)
        for place, part in self._parts(window):
            for digit in reversed(self.digits):
                own = digit.read(0, part)
                total[place] = total[place] * self.base + own.reshape(total[place].shape)
        return total

    def at(self, positions: Integers) -> Integers:
        """The integers at positions `[positions, axes]`."""
        out = np.zeros(len(positions), np.int64)
        if not len(positions) or not self.digits:
            return out
        _, group = np.unique(positions // self._edges, axis=0, return_inverse=True)
        group = group.reshape(-1)
        order = np.argsort(group, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            own = positions[members]
            low, high = own.min(axis=0), own.max(axis=0) + 1
            values = self.read(list(zip(low.tolist(), high.tolist(), strict=True)))
            out[members] = values[tuple((own - low).T)]
        return out

    @property
    def _edges(self) -> list[int]:
        """Edges of tiles along every axis, of five the least."""
        edges = self.digits[0].spec.tile_edges
        own = iter(edges if len(edges) >= len(grid_axes(self.sizes)) else [min(edges)] * 5)
        return [next(own) if size > 1 else 1 for size in self.sizes]

    def _parts(self, window: Window) -> list[tuple[slice, Window]]:
        """Windows of the grid that a window is, each with its place along the first axis."""
        kept = [ends for ends, size in zip(window, self.sizes, strict=True) if size > 1]
        if len(kept) <= max(REACH):
            return [(slice(None), kept or [(0, 1)] * (window[0][1] > window[0][0]) or [(0, 0)])]
        (start, stop), (low, high), *rest = kept
        size = self.sizes[1]
        return [
            (slice(i - start, i - start + 1), [(i * size + low, i * size + high), *rest])
            for i in range(start, stop)
        ]


def to_digits(values: Integers, base: int, count: int) -> list[NDArray[np.int32]]:
    """Digits of numbers, the lowest first, each within half of the base around 0 but the last."""
    digits = []
    for _ in range(count - 1):
        low = (values + base // 2) % base - base // 2
        digits.append(low.astype(np.int32))
        values = (values - low) // base
    return [*digits, values.astype(np.int32)]


def pack_grid(values: Integers, base: int, spec: PyramidSpec, networks: Sequence[Network]) -> bytes:
    """The bytes of an array whose digits `spec` describes, with a network per digit; without
    networks, of zeros.
    """
    flag = wire.GRID_TILED if spec.edges and networks else 0
    out = primitives.row(wire.GRID_FIELDS, {"digits": len(networks) | flag})
    if not networks:
        return out
    own = {"base": base if len(networks) > 1 else 0, "tile": spec.tile, "contexts": spec.contexts}
    out += primitives.row(wire.GRID_CODE_FIELDS, own) + (pack_edges(spec.edges) if flag else b"")
    lengths, runs = [], []
    planes = to_digits(values.reshape(spec.lattice), base, len(networks))
    for plane, (symbols, recipes) in zip(planes, networks, strict=True):
        weights = pack_weights(spec, symbols, recipes)
        out += primitives.varint(len(weights)) + weights
        network = IntegerNetwork.of(spec, dequantize(spec, symbols, recipes).parameters)
        for index in range(tile_count(spec)):
            part = plane[tuple(slice(*ends) for ends in tile_window(spec, index, 0))]
            run = b""
            if part.any():
                run = pack_levels(spec, network, [part], [0], index)[len(ONE_LEVEL) :]
            lengths.append(primitives.varint(len(run)))
            runs.append(run)
    return out + b"".join(lengths) + b"".join(runs)


def unpack_grid(reader: primitives.Reader, sizes: tuple[int, ...], limits: Limits) -> CodedGrid:
    """The array of given sizes that `pack_grid` wrote; it ends with the payload.

    Raises CorruptError for what that cannot have written, and LimitError.
    """
    what = reader.what
    count = reader.row(wire.GRID_FIELDS)["digits"]
    tiled, count = count & wire.GRID_TILED, count & ~wire.GRID_TILED
    if count > MAX_DIGITS or (tiled and not count):
        raise CorruptError(f"{what}: {count} digits; the file is damaged")
    if not count:
        reader.finish()
        return CodedGrid(sizes, 0, ())
    row = reader.row(wire.GRID_CODE_FIELDS)
    base, tile, contexts = row["base"], row["tile"], row["contexts"]
    known = 3 <= base <= MAX_BASE and base % 2 == 1 if count > 1 else base == 0
    if not known or 0 in contexts or (tile and tile >= max(grid_of(sizes))):
        raise CorruptError(f"{what}: impossible code {row}; the file is damaged")
    within("hidden layers", len(contexts), limits.layers)
    within("units of a layer", max(contexts, default=0), limits.units)
    spec = digit_spec(sizes, contexts, tile)
    if tiled:
        if tile:
            raise CorruptError(f"{what}: both an edge and edges of tiles; the file is damaged")
        spec = replace(spec, edges=unpack_edges(reader, spec.lattice))
        within("tiles", tile_count(spec) * count, limits.tiles)
    within("latents of a grid", spec.latent_count * count, limits.latents)
    within("multiply-accumulates of context networks", context_macs(spec) * count, limits.macs)
    networks = []
    for digit in range(count):
        weights = unpack_weights(spec, reader.take(reader.varint()), f"{what}: digit {digit}")
        networks.append(IntegerNetwork.of(spec, dequantize(spec, *weights).parameters))
    tiles = tile_count(spec)
    # Each has a byte or more here: no damage makes a long list of a short payload.
    lengths = [reader.varint() for _ in range(min(tiles * count, len(reader.data) + 1))]
    runs = [reader.take(length) for length in lengths]
    reader.finish()
    digits = []
    for digit, network in enumerate(networks):
        coded: dict[int, list[Coded]] = {
            index: [(range(1), ONE_LEVEL + run, f"{what}: tile {index}")]
            for index, run in enumerate(runs[digit * tiles : (digit + 1) * tiles])
            if run
        }
        digits.append(TiledLatents(spec, network, coded))
    return CodedGrid(sizes, base, tuple(digits))
