"""Joins the latents of a PyramidSpec's tiles with the payloads of their sections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives
from inrcodec.coding.context import IntegerNetwork, LevelContexts, wavefronts
from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.coding.latent_tables import flat_tables, reaches, table_numbers
from inrcodec.coding.priors import PRECISION
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import WHOLE, PyramidSpec

MAX_LATENT = 2**15 - 1
"""Latents lie in -MAX_LATENT..MAX_LATENT."""

BATCH = 1 << 14
"""About this many latents are looked at together; no result depends on it."""

Plane = NDArray[np.int32]
Batch = tuple[NDArray[np.int64], NDArray[np.int64]]


def tile_counts(spec: PyramidSpec) -> tuple[int, ...]:
    """Tiles along every axis; tiles are numbered in raster order."""
    return tuple(-(-size // edge) for size, edge in zip(spec.lattice, spec.tile_edges, strict=True))


def pieces(spec: PyramidSpec) -> Iterator[tuple[int, range]]:
    """What is coded on its own: the number of a tile, or WHOLE, and its levels, coarse to fine."""
    if spec.tiled < spec.levels:
        yield WHOLE, range(spec.levels - 1, spec.tiled - 1, -1)
    for tile_index in range(math.prod(tile_counts(spec))):
        yield tile_index, range(spec.tiled - 1, -1, -1)


def tile_window(spec: PyramidSpec, tile_index: int, level: int) -> tuple[tuple[int, int], ...]:
    """Start and stop, along every axis of a level's grid, of the latents of tile `tile_index`.

    Of a level that is not tiled, those that cover the tile.
    """
    grid = spec.grid(level)
    if tile_index == WHOLE:
        return tuple((0, size) for size in grid)
    window = []
    for count, edge, times, size in reversed(
        list(zip(tile_counts(spec), spec.tile_edges, spec.halvings(level), grid, strict=True))
    ):
        tile_index, along = divmod(tile_index, count)
        window.append(((along * edge) >> times, min(-((-(along + 1) * edge) >> times), size)))
    return tuple(reversed(window))


def tile_planes(spec: PyramidSpec, planes: Sequence[Plane], tile_index: int) -> tuple[Plane, ...]:
    """Views of a tile's latents of all levels, finest first, of those of the whole grids."""
    return tuple(
        plane[tuple(slice(*ends) for ends in tile_window(spec, tile_index, level))]
        for level, plane in enumerate(planes)
    )


def pack_levels(
    spec: PyramidSpec,
    network: IntegerNetwork,
    planes: Sequence[Plane],
    levels: Sequence[int],
    tile_index: int,
) -> bytes:
    """Payload of the section of `levels` (coarse to fine, consecutive) of one tile.

    `planes` are the tile's latents of all levels, finest first, at most MAX_LATENT in magnitude.
    """
    check(spec, planes, levels, tile_index)
    encoder = SymbolEncoder()
    for level in levels:
        if max(-int(planes[level].min()), int(planes[level].max())) > MAX_LATENT:
            raise ValueError(f"a latent of level {level} lies beyond +-{MAX_LATENT}")
        used = bool(planes[level].any())
        encoder.put_bit(used)
        for symbols, tables in _coded(network, planes, level, spec.kept) if used else ():
            encoder.put_latents(symbols, tables)
    return primitives.varint(len(levels)) + encoder.finish()


def unpack_levels(
    spec: PyramidSpec,
    network: IntegerNetwork,
    planes: Sequence[Plane],
    levels: Sequence[int],
    tile_index: int,
    payload: bytes,
    what: str,
) -> None:
    """Fill the arrays `planes[level]` of `levels` in place with what pack_levels wrote.

    `planes` are arrays of the tile's shapes, finest first (views of larger ones will do); those of
    all coarser levels hold their latents already. Raises CorruptError, naming `what`, for anything
    that pack_levels cannot have written; the arrays are then not to be used.
    """
    check(spec, planes, levels, tile_index)
    reader = primitives.Reader(payload, what)
    count = reader.varint()
    if count != len(levels):
        raise CorruptError(f"{what}: {count} levels where {len(levels)} are due")
    decoder = SymbolDecoder(payload[reader.offset :], what)
    for level in levels:
        if decoder.get_bit():
            _decode(decoder, network, planes, level, spec.kept, f"{what}: level {level}")
        else:
            planes[level][...] = 0
    decoder.finish()


def code_length(spec: PyramidSpec, network: IntegerNetwork, planes: Sequence[Plane]) -> list[float]:
    """Bits that the latents of every level take, finest first; `planes` are the whole grids."""
    offsets, _, cumulative = flat_tables()
    # Where one table ends and the next begins, the difference means nothing and is never read.
    costs = PRECISION - np.log2(np.maximum(np.diff(cumulative), 1))
    bits = [0.0] * spec.levels
    for tile_index, levels in pieces(spec):
        tile = tile_planes(spec, planes, tile_index)
        check(spec, tile, levels, tile_index)
        for level in levels:
            bits[level] += 1
            used = tile[level].any()
            for symbols, tables in _coded(network, tile, level, spec.kept) if used else ():
                reach = reaches()[tables]
                excess = np.abs(symbols) - reach
                codes = np.where(excess > 0, 2 * reach + 1, symbols + reach)
                bits[level] += float(costs[offsets[tables] + codes].sum())
                escapes = 2 + 2 * np.floor(np.log2(np.maximum(excess, 1)))
                bits[level] += float(escapes[excess > 0].sum())
    return bits


def check(
    spec: PyramidSpec, planes: Sequence[Plane], levels: Sequence[int], tile_index: int
) -> None:
    """Demand what no file can break: these are mistakes of the caller."""
    if not levels or list(levels) != list(range(levels[0], levels[0] - len(levels), -1)):
        raise ValueError(f"levels {list(levels)} do not go down one by one")
    if len(planes) != spec.levels:
        raise ValueError(f"{len(planes)} planes for {spec.levels} levels")
    for level in range(levels[-1], spec.levels):
        shape = tuple(stop - start for start, stop in tile_window(spec, tile_index, level))
        if planes[level].shape != shape:
            raise ValueError(f"plane {level} is {planes[level].shape}, its tile {shape}")


def _coded(
    network: IntegerNetwork, planes: Sequence[Plane], level: int, kept: int
) -> Iterator[Batch]:
    """Symbols and numbers of their tables of one level, in the order of coding."""
    plane = planes[level]
    order, _ = wavefronts(plane.shape)
    contexts = LevelContexts(plane.shape, planes[level + 1 :], kept)
    contexts.fill(plane)
    own_count = contexts.own_count
    values = plane.ravel()
    for start in range(0, len(order), BATCH):
        raster = order[start : start + BATCH]
        sums = network.sums(contexts.own(contexts.places(raster)))
        sums += network.sums(contexts.coarser(raster), own_count)
        mean, phase, index = network.predict(sums)
        yield values[raster] - mean, table_numbers(phase, index)


def _decode(
    decoder: SymbolDecoder,
    network: IntegerNetwork,
    planes: Sequence[Plane],
    level: int,
    kept: int,
    what: str,
) -> None:
    shape = planes[level].shape
    order, starts = wavefronts(shape)
    contexts = LevelContexts(shape, planes[level + 1 :], kept)
    values = np.empty(len(order), np.int32)
    for first, last in _batches(starts):
        begin = starts[first]
        raster = order[begin : starts[last]]
        places = contexts.places(raster)
        # What the coarser levels add is known for many wavefronts at once.
        known = network.sums(contexts.coarser(raster), contexts.own_count)
        for start, stop in pairwise(starts[first : last + 1]):
            here = places[start - begin : stop - begin]
            sums = network.sums(contexts.own(here)) + known[:, start - begin : stop - begin]
            mean, phase, index = network.predict(sums)
            found = mean + decoder.get_latents(table_numbers(phase, index))
            if np.abs(found).max() > MAX_LATENT:
                raise CorruptError(f"{what}: latent beyond +-{MAX_LATENT}; the file is damaged")
            contexts.put(here, found)
            values[start:stop] = found
    if not values.any():
        raise CorruptError(f"{what}: all latents are 0, against its flag; the file is damaged")
    planes[level][np.unravel_index(order, shape)] = values


def _batches(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of wavefronts, first and past the last, of about BATCH latents."""
    first = 0
    for last in range(1, len(starts)):
        if starts[last] - starts[first] >= BATCH or last == len(starts) - 1:
            yield first, last
            first = last
