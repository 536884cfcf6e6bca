"""Joins latents and their sections' payloads through the extension."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from inrcodec.bitstream import primitives
from inrcodec.coding import latents
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latent_tables import flat_tables
from inrcodec.coding.latents import MAX_LATENT, Plane, check, pieces, tile_planes
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets
from inrcodec.native_choice import extension, instruction_set

LEAST_AXES = 2
"""Axes that the extension knows at least: a line is a picture of one row."""


@dataclass(frozen=True)
class Coder:
    """What the extension needs of a context network, and itself."""

    native: Any
    isa: str
    network: Any
    tables: Any


@dataclass(frozen=True)
class Unpacking:
    """A section on its way into the planes of its levels, coarse to fine; `decoder` is None where
    all is done.
    """

    decoder: Any
    levels: Sequence[int]
    what: str

    def decode(self, level: int = 0, wave: int = sys.maxsize) -> None:
        """Fill all levels coarser than `level`, and of that at least the wavefronts before `wave`.

        Raises CorruptError for what it meets that cannot have been written.
        """
        if self.decoder is None or level > self.levels[0]:
            return
        before = self.levels[0] - level
        damage = self.decoder.decode(min(before, len(self.levels) - 1), wave)
        if damage:
            raise CorruptError(f"{self.what}: {damage}; the file is damaged")


def coder(spec: PyramidSpec, network: IntegerNetwork) -> Coder | None:
    """The coder of a pyramid's latents, or None where numpy has to do the work.

    Raises UsageError where the environment asks for an instruction set that is not to be had.
    """
    isa, native = instruction_set(), extension()
    if isa is None or native is None:
        return None
    rows = (0,) * (LEAST_AXES - spec.inputs)
    contexts = [(0, *rows, *offset) for offset in causal_offsets(spec.inputs)]
    contexts += [(up, *rows, *offset) for up, offset in coarser_offsets(spec.inputs)]
    weights = np.concatenate([weight.ravel() for weight in (*network.weights, network.skip)])
    biases = np.concatenate(network.biases)
    return Coder(
        native,
        isa,
        native.ContextNetwork(contexts, spec.kept, list(spec.contexts), weights, biases),
        _tables(native),
    )


@lru_cache(maxsize=1)
def _tables(native: Any) -> Any:
    return native.LatentTables(*flat_tables())


def pack_levels(
    spec: PyramidSpec,
    network: IntegerNetwork,
    planes: Sequence[Plane],
    levels: Sequence[int],
    tile_index: int,
) -> bytes:
    """As `latents.pack_levels`: the same bytes."""
    native = coder(spec, network)
    if native is None:
        return latents.pack_levels(spec, network, planes, levels, tile_index)
    check(spec, planes, levels, tile_index)
    for level in levels:
        if max(-int(planes[level].min()), int(planes[level].max())) > MAX_LATENT:
            raise ValueError(f"a latent of level {level} lies beyond +-{MAX_LATENT}")
    run = native.native.encode_latents(*_arguments(native, planes, levels))
    return primitives.varint(len(levels)) + bytes(run)


def unpack_levels(
    spec: PyramidSpec,
    network: IntegerNetwork,
    planes: Sequence[Plane],
    levels: Sequence[int],
    tile_index: int,
    payload: bytes,
    what: str,
) -> None:
    """As `latents.unpack_levels`: the same latents, and an error for the same payloads."""
    begin_levels(spec, network, planes, levels, tile_index, payload, what).decode()


def begin_levels(
    spec: PyramidSpec,
    network: IntegerNetwork,
    planes: Sequence[Plane],
    levels: Sequence[int],
    tile_index: int,
    payload: bytes,
    what: str,
) -> Unpacking:
    """As `unpack_levels`, but the planes are filled as far as the result is told to."""
    native = coder(spec, network)
    if native is None:
        latents.unpack_levels(spec, network, planes, levels, tile_index, payload, what)
        return Unpacking(None, levels, what)
    check(spec, planes, levels, tile_index)
    reader = primitives.Reader(payload, what)
    count = reader.varint()
    if count != len(levels):
        raise CorruptError(f"{what}: {count} levels where {len(levels)} are due")
    run = payload[reader.offset :]
    decoder = native.native.LatentDecoder(*_arguments(native, planes, levels), run)
    return Unpacking(decoder, levels, what)


def code_length(spec: PyramidSpec, network: IntegerNetwork, planes: Sequence[Plane]) -> list[float]:
    """As `latents.code_length`, but for the rounding of a sum."""
    native = coder(spec, network)
    if native is None:
        return latents.code_length(spec, network, planes)
    bits = np.zeros(spec.levels)
    for tile_index, levels in pieces(spec):
        tile = tile_planes(spec, planes, tile_index)
        check(spec, tile, levels, tile_index)
        bits[levels] += native.native.latent_bits(*_arguments(native, tile, levels))
    return [float(value) for value in bits]


def _arguments(native: Coder, planes: Sequence[Plane], levels: Sequence[int]) -> tuple[Any, ...]:
    """Arguments of the extension: it sees no level finer than the finest that it codes."""
    finest = levels[-1]
    pictures = [
        plane[np.newaxis] if plane.ndim < LEAST_AXES else plane for plane in planes[finest:]
    ]
    # Coarser levels are only read, but the extension takes all planes alike.
    known = levels[0] - finest + 1
    pictures[known:] = [
        plane if plane.flags.writeable else plane.copy() for plane in pictures[known:]
    ]
    return (
        native.isa,
        native.network,
        native.tables,
        pictures,
        [level - finest for level in levels],
    )
