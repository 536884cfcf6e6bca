"""Joins a PyramidSpec and its latents with the smallest tiles that are cheap to code them in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.kinds import tile_count
from inrcodec.bitstream.wire import DEFAULT_LIMITS
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.native_latents import code_length
from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec

LEAST = {1: 2**12, 2: 128, 3: 8, 4: 4}
"""Edges of the smallest tiles, by number of axes."""

TILE_COST, RUN_BYTES = 0.02, 3
"""Share of the bytes that tiles may cost, and what each needs beside its bits."""

TILED_FROM = 2**22
"""Latents of a volume from which tiles are worth having."""

MOST = DEFAULT_LIMITS.tiles // 4


def tilings(lattice: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Edges of tiles, the smallest first: from one to the next the last of the shortest doubles,
    so that tiles are flat along the first axes. None is longer than it has to be to hold its axis.
    """
    most = [whole_edge(size) for size in lattice]
    edges = [min(LEAST[len(lattice)], each) for each in most]
    while edges != most:
        if math.prod(-(-size // edge) for size, edge in zip(lattice, edges, strict=True)) <= MOST:
            yield tuple(edges)
        growing = [axis for axis, edge in enumerate(edges) if edge < most[axis]]
        edges[min(growing, key=lambda axis: (edges[axis], -axis))] *= 2


def whole_edge(size: int) -> int:
    """The least power of 2 that is no less than a size."""
    return 1 << (size - 1).bit_length()


def may_be_tiled(spec: PyramidSpec) -> bool:
    """Whether the latents of a pyramid get tiles by what they cost, once they are known."""
    return spec.inputs > 2 and not spec.mixed and math.prod(spec.lattice) >= TILED_FROM


def in_tiles(
    spec: PyramidSpec,
    network: IntegerNetwork,
    latents: Sequence[NDArray[np.int32]],
    asked: Sequence[int] | None = None,
) -> PyramidSpec:
    """The pyramid with the smallest tiles that are cheap, or with those that are asked for."""
    if asked is not None:
        return replace(spec, tile=0, edges=asked_edges(spec, asked))
    if not may_be_tiled(spec):
        return spec
    best, most = spec, (1 + TILE_COST) * sum(code_length(spec, network, latents))
    for edges in reversed(list(tilings(spec.lattice))):
        tiled = replace(spec, edges=edges)
        bits = sum(code_length(tiled, network, latents))
        if bits + 8 * RUN_BYTES * tile_count(tiled) > most:
            break
        best = tiled
    return best


def asked_edges(spec: PyramidSpec, asked: Sequence[int]) -> tuple[int, ...]:
    """Edges as a file can have them. Raises UsageError for what is no tile of a lattice."""
    if len(asked) != spec.inputs or any(edge < 1 or edge & (edge - 1) for edge in asked):
        raise UsageError(
            f"tile {list(asked)}: {spec.inputs} powers of 2 are needed, samples along every axis"
        )
    most = [whole_edge(size) for size in spec.lattice]
    edges = tuple(map(min, asked, most))
    count = tile_count(replace(spec, edges=edges))
    if count > DEFAULT_LIMITS.tiles:
        raise UsageError(f"tile {list(asked)}: {count:,} tiles; up to {DEFAULT_LIMITS.tiles:,}")
    return () if list(edges) == most else edges
