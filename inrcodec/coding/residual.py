"""Joins the Residual of a track, integers on its lattice, with the payload of its section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.container import Section
from inrcodec.bitstream.kinds import context_macs
from inrcodec.bitstream.primitives import within
from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits, SectionType
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import tile_counts, tile_window
from inrcodec.coding.native_latents import pack_levels
from inrcodec.coding.quantize import TensorRecipe, dequantize
from inrcodec.coding.tiles import Coded, TiledLatents
from inrcodec.coding.weights import Symbols, pack_weights, unpack_weights
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import REACH, PyramidSpec
from inrcodec.signal import SignalInfo

MAX_DIGITS, MAX_BASE = 4, 65535
"""No residual of so many digits to that base leaves 64 bits."""

ONE_LEVEL = b"\1"
"""What the payload of a section of latents begins with; here it goes without saying."""

Integers = NDArray[np.int64]
Window = Sequence[tuple[int, int]]
Network = tuple[Symbols, Sequence[TensorRecipe]]


def grid_of(info: SignalInfo) -> tuple[int, ...]:
    """The grid that a residual is coded as: channels, then the lattice, without axes of one
    sample; of five axes the first two are one.
    """
    sizes = [size for size in (len(info.channels), *info.lattice) if size > 1] or [1]
    if len(sizes) > max(REACH):
        sizes[:2] = [sizes[0] * sizes[1]]
    return tuple(sizes)


def digit_spec(info: SignalInfo, contexts: tuple[int, ...], tile: int) -> PyramidSpec:
    """One digit of a residual as a pyramid of one level that nothing is made of."""
    return PyramidSpec(grid_of(info), 0, 1, contexts, (), 0, tile)


@dataclass(frozen=True)
class Residual:
    """Multiples of `step` to add to the samples that a field gives at native size.

    Every one is the sum of its digits times powers of `base`; each digit is decoded when read.
    """

    info: SignalInfo
    step: float
    base: int
    digits: tuple[TiledLatents, ...]

    def read(self, window: Window) -> Integers:
        """The multiples `[*window, channels]` in a window of the lattice."""
        channels = len(self.info.channels)
        shape = [stop - start for start, stop in window]
        total = np.zeros([channels, *shape], np.int64)
        for place, part in _grid_windows(self.info, window):
            for digit in reversed(self.digits):
                own = digit.read(0, part)
                total[place] = total[place] * self.base + own.reshape(total[place].shape)
        return np.moveaxis(total, 0, -1)

    def at(self, positions: NDArray[np.int64]) -> Integers:
        """The multiples `[positions, channels]` at lattice positions `[positions, axes]`."""
        out = np.empty((len(positions), len(self.info.channels)), np.int64)
        if not len(positions) or not self.digits:
            out[...] = 0
            return out
        edge = self.digits[0].spec.tile or max(self.info.lattice)
        _, group = np.unique(positions // edge, axis=0, return_inverse=True)
        order = np.argsort(group.reshape(-1), kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(group.reshape(-1)[order])) + 1):
            own = positions[members]
            low, high = own.min(axis=0), own.max(axis=0) + 1
            values = self.read(list(zip(low.tolist(), high.tolist(), strict=True)))
            out[members] = values[tuple((own - low).T)]
        return out


def _grid_windows(info: SignalInfo, window: Window) -> list[tuple[slice, Window]]:
    """Windows of the grid that a window of the lattice is, and the channels that each holds."""
    channels = len(info.channels)
    whole = [(0, channels), *window]
    kept = [ends for ends, size in zip(whole, (channels, *info.lattice), strict=True) if size > 1]
    if len(kept) <= max(REACH):
        return [(slice(0, channels), kept or [(0, 1)])]
    _, (start, stop), *rest = kept
    first = info.lattice[0]
    return [
        (slice(c, c + 1), [(c * first + start, c * first + stop), *rest]) for c in range(channels)
    ]


def to_digits(multiples: Integers, base: int, count: int) -> list[NDArray[np.int32]]:
    """Digits of numbers, the lowest first, each within half of the base around 0 but the last."""
    digits = []
    for _ in range(count - 1):
        low = (multiples + base // 2) % base - base // 2
        digits.append(low.astype(np.int32))
        multiples = (multiples - low) // base
    return [*digits, multiples.astype(np.int32)]


def pack_residual(
    info: SignalInfo,
    step: float,
    multiples: Integers,
    base: int,
    tile: int,
    contexts: tuple[int, ...],
    networks: Sequence[Network],
) -> bytes:
    """Payload of the section of `multiples` `[*lattice, channels]`, with a network per digit.

    Without networks all multiples are 0.
    """
    out = primitives.row(wire.RESIDUAL_FIELDS, {"step": step, "digits": len(networks)})
    if not networks:
        return out
    spec = digit_spec(info, contexts, tile)
    fields = {"base": base if len(networks) > 1 else 0, "tile": tile, "contexts": contexts}
    out += primitives.row(wire.RESIDUAL_CODE_FIELDS, fields)
    grid = np.moveaxis(multiples, -1, 0).reshape(spec.lattice)
    lengths, runs = [], []
    for plane, (symbols, recipes) in zip(
        to_digits(grid, base, len(networks)), networks, strict=True
    ):
        weights = pack_weights(spec, symbols, recipes)
        out += primitives.varint(len(weights)) + weights
        network = IntegerNetwork.of(spec, dequantize(spec, symbols, recipes).parameters)
        for tile_index in range(math.prod(tile_counts(spec))):
            own = plane[tuple(slice(*ends) for ends in tile_window(spec, tile_index, 0))]
            run = b""
            if own.any():
                run = pack_levels(spec, network, [own], [0], tile_index)[len(ONE_LEVEL) :]
            lengths.append(primitives.varint(len(run)))
            runs.append(run)
    return out + b"".join(lengths) + b"".join(runs)


def unpack_residual(
    number: int, info: SignalInfo, sections: Sequence[Section], limits: Limits = DEFAULT_LIMITS
) -> Residual | None:
    """The residual of track `number`, of all sections of a file, if it has one.

    Raises CorruptError for what `pack_residual` cannot have written, and LimitError.
    """
    for index, section in enumerate(sections):
        if section.track == number and section.type == SectionType.RESIDUAL:
            what = f"section {index} ({section.name} of track {number})"
            return _unpacked(info, section.payload, what, limits)
    return None


def _unpacked(info: SignalInfo, payload: bytes, what: str, limits: Limits) -> Residual:
    reader = primitives.Reader(payload, what)
    row = reader.row(wire.RESIDUAL_FIELDS)
    step, count = row["step"], row["digits"]
    whole = info.dtype.startswith("float") or step.is_integer()
    if step <= 0 or not whole or count > MAX_DIGITS:
        raise CorruptError(f"{what}: {count} digits of steps of {step}; the file is damaged")
    if not count:
        reader.finish()
        return Residual(info, step, 0, ())
    row = reader.row(wire.RESIDUAL_CODE_FIELDS)
    base, tile, contexts = row["base"], row["tile"], row["contexts"]
    known = 3 <= base <= MAX_BASE and base % 2 == 1 if count > 1 else base == 0
    if not known or 0 in contexts or (tile and tile >= max(grid_of(info))):
        raise CorruptError(f"{what}: impossible code {row}; the file is damaged")
    within("hidden layers", len(contexts), limits.layers)
    within("units of a layer", max(contexts, default=0), limits.units)
    spec = digit_spec(info, contexts, tile)
    within("latents of a residual", spec.latent_count * count, limits.latents)
    within("multiply-accumulates of context networks", context_macs(spec) * count, limits.macs)
    networks = []
    for digit in range(count):
        own = f"{what}: digit {digit}"
        quantised = unpack_weights(spec, reader.take(reader.varint()), own)
        networks.append(IntegerNetwork.of(spec, dequantize(spec, *quantised).parameters))
    tiles = math.prod(tile_counts(spec))
    # Each tile has a byte or more here: no damage makes a long list of a short payload.
    lengths = [reader.varint() for _ in range(min(tiles * count, len(payload) + 1))]
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
    return Residual(info, step, base, tuple(digits))
