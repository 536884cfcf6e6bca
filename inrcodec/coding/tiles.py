"""Joins a PyramidSpec's latents with the payloads of all their sections, tile by tile."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import tile_counts, tile_window
from inrcodec.coding.native_latents import (
    Unpacking,
    begin_levels,
    code_length,
    pack_levels,
)
from inrcodec.fields.pyramid import PyramidSpec

GROUP_BYTES = 1500
"""A section is closed when it is about this long: its frame is then under 1 %."""

Planes = tuple[NDArray[np.int32], ...]
Coded = tuple[range, bytes, str]
"""Levels of a section, coarse to fine, its payload, and what errors call it."""


def level_groups(spec: PyramidSpec, bits: Sequence[float]) -> list[range]:
    """Levels that share a section, coarse to fine, given the bits of every level, finest first.

    Coarse levels are small and share one; where all are small there is one section.
    """
    tiles = math.prod(tile_counts(spec))
    groups, first = [], spec.levels - 1
    for level in range(spec.levels - 1, -1, -1):
        rest = sum(bits[:level])
        full = sum(bits[level : first + 1]) >= 8 * GROUP_BYTES * tiles
        if level == 0 or (full and rest >= 8 * GROUP_BYTES * tiles):
            groups.append(range(first, level - 1, -1))
            first = level - 1
    return groups


def pack_latents(
    spec: PyramidSpec, network: IntegerNetwork, latents: Sequence[NDArray[np.int32]]
) -> list[bytes]:
    """Payloads of the sections of all latents, in the order of the file."""
    groups = level_groups(spec, code_length(spec, network, latents))
    tiles = range(math.prod(tile_counts(spec)))
    planes = [_cut(spec, latents, tile) for tile in tiles]
    return [
        pack_levels(spec, network, planes[tile], group, tile) for group in groups for tile in tiles
    ]


def _cut(spec: PyramidSpec, latents: Sequence[NDArray[np.int32]], tile: int) -> Planes:
    return tuple(
        plane[tuple(slice(*ends) for ends in tile_window(spec, tile, level))]
        for level, plane in enumerate(latents)
    )


@dataclass(frozen=True)
class _Tile:
    """Latents of a tile, finest first. `rest` fills `finest`, the last level that there is, on."""

    planes: Planes
    rest: Unpacking | None
    finest: int


class TiledLatents:
    """Latents that are decoded when they are first read, a tile at a time, and of its finest level
    no more than what comes before them.

    `sections` holds what there is of every tile, coarse to fine; latents that are missing are 0.
    """

    def __init__(
        self,
        spec: PyramidSpec,
        network: IntegerNetwork,
        sections: Mapping[int, Sequence[Coded]],
    ) -> None:
        self.spec, self._network, self._sections = spec, network, sections
        self._begun: dict[int, _Tile] = {}
        self._locks = [threading.Lock() for _ in range(math.prod(tile_counts(spec)))]

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Latents of one level in a window: start and stop along every axis of its grid.

        Raises CorruptError where a tile it needs is damaged.
        """
        out = np.zeros([stop - start for start, stop in window], np.int32)
        if out.size == 0:
            return out
        for tile in self._tiles(level, window):
            own = tile_window(self.spec, tile, level)
            source, target = [], []
            for (first, last), (start, stop) in zip(own, window, strict=True):
                low, high = max(first, start), min(last, stop)
                source.append(slice(low - first, high - first))
                target.append(slice(low - start, high - start))
            out[tuple(target)] = self._decoded(tile, level, source)[tuple(source)]
        return out

    def _tiles(self, level: int, window: Sequence[tuple[int, int]]) -> list[int]:
        """Tiles that have latents of a level in a window."""
        counts = tile_counts(self.spec)
        sides = [
            (self.spec.tile >> times) or max(self.spec.lattice)
            for times in self.spec.halvings(level)
        ]
        along = [
            range(start // side, (stop - 1) // side + 1)
            for (start, stop), side in zip(window, sides, strict=True)
        ]
        return [int(np.ravel_multi_index(place, counts)) for place in itertools.product(*along)]

    def _decoded(self, tile: int, level: int, part: Sequence[slice]) -> NDArray[np.int32]:
        """A tile's latents of one level, those of a part of it known."""
        with self._locks[tile]:
            try:
                if tile not in self._begun:
                    self._begun[tile] = self._begin(tile)
                begun = self._begun[tile]
                if begun.rest is not None:
                    begun.rest.decode(_wave(part) + 1 if level == begun.finest else 0)
            except BaseException:
                # Whoever reads it next has to hear the same.
                self._begun.pop(tile, None)
                raise
        return begun.planes[level]

    def _begin(self, tile: int) -> _Tile:
        """The tile with all but its last section decoded."""
        windows = [tile_window(self.spec, tile, level) for level in range(self.spec.levels)]
        planes = tuple(
            np.zeros([stop - start for start, stop in each], np.int32) for each in windows
        )
        rest, finest = None, 0
        for levels, payload, what in self._sections.get(tile, ()):
            if rest is not None:
                rest.decode(sys.maxsize)
            rest = begin_levels(self.spec, self._network, planes, levels, tile, payload, what)
            finest = levels[-1]
        return _Tile(planes, rest, finest)


def _wave(part: Sequence[slice]) -> int:
    """The last wavefront of a part of a grid (see `context.wavefronts`)."""
    wave = 0
    for along in part:
        wave = 3 * wave + int(along.stop) - 1
    return wave
