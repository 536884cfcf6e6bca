"""Joins the Mask of a track, which of its samples are missing, with the payload of its section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.container import Section
from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits, SectionType
from inrcodec.coding.grids import CodedGrid, Integers, Window, unpack_grid
from inrcodec.coding.residual import at_every_channel, grid_sizes
from inrcodec.errors import CorruptError
from inrcodec.signal import SignalInfo, full_range

Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Mask:
    """Which samples are missing; `fill` stands for them, None for NaN.

    Where `grid` has one element along an axis, it is the same all along it.
    """

    info: SignalInfo
    fill: float | None
    grid: CodedGrid

    def read(self, window: Window) -> Truths:
        """Where samples are missing in a window of the lattice: `[*window, channels]`."""
        whole = [(0, len(self.info.channels)), *window]
        own = [
            (0, min(1, stop - start)) if size == 1 else (start, stop)
            for (start, stop), size in zip(whole, self.grid.sizes, strict=True)
        ]
        found = np.broadcast_to(
            _checked(self.grid.read(own)), [stop - start for start, stop in whole]
        )
        return np.moveaxis(found, 0, -1)

    def at(self, positions: Integers) -> Truths:
        """Where samples are missing at lattice positions: `[positions, channels]`."""
        sizes = np.array(self.grid.sizes)
        own = np.minimum(positions, sizes[1:] - 1)
        found = _checked(at_every_channel(self.grid, own, int(sizes[0])))
        return np.broadcast_to(found, (len(positions), len(self.info.channels)))


def _checked(values: Integers) -> Truths:
    if ((values != 0) & (values != 1)).any():
        raise CorruptError("mask: a number that is neither 0 nor 1; the file is damaged")
    truths: Truths = values == 1
    return truths


def shared_axes(missing: Truths) -> int:
    """Bits of the axes (channels, then the lattice's) along which a mask is the same."""
    whole = np.moveaxis(missing, -1, 0)
    bits = 0
    for axis, size in enumerate(whole.shape):
        if size > 1 and (whole == np.take(whole, [0], axis)).all():
            bits |= 1 << axis
    return bits


def distinct(missing: Truths, shared: int) -> Integers:
    """What of a mask is coded: one element along every axis that shares it."""
    whole = np.moveaxis(missing, -1, 0)
    kept = tuple(slice(0, 1) if shared >> axis & 1 else slice(None) for axis in range(whole.ndim))
    return np.ascontiguousarray(whole[kept]).astype(np.int64)


def pack_mask(shared: int, fill: float | None, grid: bytes) -> bytes:
    """Payload of the section of a mask, of whose distinct part `pack_grid` made bytes."""
    out = primitives.row(wire.MASK_FIELDS, {"shared": shared, "filled": fill is not None})
    if fill is not None:
        out += primitives.row(wire.FILL_FIELDS, {"fill": fill})
    return out + grid


def unpack_mask(
    number: int, info: SignalInfo, sections: Sequence[Section], limits: Limits = DEFAULT_LIMITS
) -> Mask | None:
    """The mask of track `number`, of all sections of a file, if it has one.

    Raises CorruptError for what `pack_mask` cannot have written, and LimitError.
    """
    for index, section in enumerate(sections):
        if section.track == number and section.type == SectionType.MASK:
            what = f"section {index} ({section.name} of track {number})"
            return _unpacked(info, primitives.Reader(section.payload, what), limits)
    return None


def _unpacked(info: SignalInfo, reader: primitives.Reader, limits: Limits) -> Mask:
    row = reader.row(wire.MASK_FIELDS)
    fill = reader.row(wire.FILL_FIELDS)["fill"] if row["filled"] == 1 else None
    sizes = grid_sizes(info)
    shared = [axis for axis in range(8) if row["shared"] >> axis & 1]
    known = all(axis < len(sizes) and sizes[axis] > 1 for axis in shared)
    if not known or row["filled"] > 1 or not _fits(fill, info.dtype):
        raise CorruptError(f"{reader.what}: impossible mask {row}, fill {fill}")
    own = tuple(1 if axis in shared else size for axis, size in enumerate(sizes))
    grid = unpack_grid(reader, own, limits)
    if len(grid.digits) != 1:
        raise CorruptError(f"{reader.what}: {len(grid.digits)} digits where there is one")
    return Mask(info, fill, grid)


def _fits(fill: float | None, dtype: str) -> bool:
    """Whether a fill value is one of a type; of floats NaN needs none."""
    if fill is None:
        return dtype.startswith("float")
    if dtype.startswith("float"):
        with np.errstate(over="ignore"):
            return float(np.array(fill).astype(dtype)) == fill
    low, high = full_range(dtype)
    return fill.is_integer() and low <= fill <= high
