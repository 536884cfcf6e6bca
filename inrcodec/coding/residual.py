"""Joins the Residual of a track, integers on its lattice, with the payload of its section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.container import Section
from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits, SectionType
from inrcodec.coding.grids import CodedGrid, Integers, Window, unpack_grid
from inrcodec.errors import CorruptError
from inrcodec.signal import SignalInfo


@dataclass(frozen=True)
class Residual:
    """Multiples of `step` to add to the samples that a field gives at native size."""

    info: SignalInfo
    step: float
    grid: CodedGrid

    def read(self, window: Window) -> Integers:
        """The multiples `[*window, channels]` in a window of the lattice."""
        return np.moveaxis(self.grid.read([(0, len(self.info.channels)), *window]), 0, -1)

    def at(self, positions: Integers) -> Integers:
        """The multiples `[positions, channels]` at lattice positions `[positions, axes]`."""
        return at_every_channel(self.grid, positions, len(self.info.channels))


def at_every_channel(grid: CodedGrid, positions: Integers, channels: int) -> Integers:
    """What a grid of channels first has at lattice positions: `[positions, channels]`."""
    of_channel = [np.insert(positions, 0, channel, axis=1) for channel in range(channels)]
    return np.stack([grid.at(places) for places in of_channel], axis=-1)


def grid_sizes(info: SignalInfo) -> tuple[int, ...]:
    """Channels, then the lattice."""
    return (len(info.channels), *info.lattice)


def pack_residual(step: float, grid: bytes) -> bytes:
    """Payload of the section of multiples of a step, which `pack_grid` made bytes of."""
    return primitives.row(wire.RESIDUAL_FIELDS, {"step": step}) + grid


def unpack_residual(
    number: int, info: SignalInfo, sections: Sequence[Section], limits: Limits = DEFAULT_LIMITS
) -> Residual | None:
    """The residual of track `number`, of all sections of a file, if it has one.

    Raises CorruptError for what `pack_residual` cannot have written, and LimitError.
    """
    for index, section in enumerate(sections):
        if section.track == number and section.type == SectionType.RESIDUAL:
            what = f"section {index} ({section.name} of track {number})"
            reader = primitives.Reader(section.payload, what)
            step = reader.row(wire.RESIDUAL_FIELDS)["step"]
            if step <= 0 or not (info.dtype.startswith("float") or step.is_integer()):
                raise CorruptError(f"{what}: steps of {step}; the file is damaged")
            return Residual(info, step, unpack_grid(reader, grid_sizes(info), limits))
    return None
