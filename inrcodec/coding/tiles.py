"""Joins a PyramidSpec's latents with the payloads of all their sections, tile by tile."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives
from inrcodec.bitstream.container import Place
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import tile_counts, tile_planes, tile_window
from inrcodec.coding.native_latents import (
    Unpacking,
    begin_levels,
    code_length,
    pack_levels,
)
from inrcodec.errors import CorruptError
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.pyramid import WHOLE, PyramidSpec

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
        if level in (0, spec.tiled) or (full and rest >= 8 * GROUP_BYTES * tiles):
            groups.append(range(first, level - 1, -1))
            first = level - 1
    return groups


def pack_latents(
    spec: PyramidSpec, network: IntegerNetwork, latents: Sequence[NDArray[np.int32]]
) -> list[bytes]:
    """Payloads of the sections of all latents, in the order of the file."""
    groups = level_groups(spec, code_length(spec, network, latents))
    tiles = range(math.prod(tile_counts(spec)))
    payloads = []
    for group in groups:
        numbers = [WHOLE] if group[-1] >= spec.tiled else list(tiles)
        own = []
        for tile in numbers:
            planes = tile_planes(spec, latents, tile)
            # In sections of several tiles, no byte says that all is 0.
            silent = bool(spec.edges) and not any(planes[level].any() for level in group)
            own.append(b"" if silent else pack_levels(spec, network, planes, group, tile))
        payloads += [joined_runs(own, group)] if spec.edges else own
    return payloads


def joined_runs(payloads: Sequence[bytes], levels: range) -> bytes:
    """Payload of the section of `levels` of several tiles, from that of each, `b""` if silent."""
    count = primitives.varint(len(levels))
    runs = [payload[len(count) :] for payload in payloads]
    lengths = [primitives.varint(len(run)) for run in runs]
    return count + b"".join(lengths) + b"".join(runs)


def tiles_of_section(
    spec: FieldSpec, place: Place, payload: bytes, what: str
) -> Iterator[tuple[int, Coded]]:
    """The tiles, or WHOLE, that a section has latents of, and what each would have alone.

    Raises CorruptError where one of several tiles is not what `joined_runs` made.
    """
    levels = place.levels
    if not isinstance(spec, PyramidSpec) or not spec.edges:
        yield place.tile, (levels, payload, what)
        return
    if levels[0] >= spec.tiled > levels[-1]:
        raise CorruptError(
            f"{what}: levels {levels[0]} to {levels[-1]}, where {spec.tiled - 1} and finer ones are"
            " in tiles, and others not; the file is damaged"
        )
    tiles = [WHOLE] if levels[-1] >= spec.tiled else range(math.prod(tile_counts(spec)))
    reader = primitives.Reader(payload, what)
    count = primitives.varint(reader.varint())
    # Each has a byte or more: no damage makes a long list of a short payload.
    lengths = [reader.varint() for _ in tiles]
    runs = [reader.take(length) for length in lengths]
    reader.finish()
    for tile, run in zip(tiles, runs, strict=True):
        if run:
            yield tile, (levels, count + run, f"{what}: tile {tile}" if tile >= 0 else what)


@dataclass(frozen=True)
class _Tile:
    """Latents of a tile, finest first; `rest` fills those of its last section."""

    planes: Planes
    rest: Unpacking | None


class TiledLatents:
    """Latents that are decoded when they are first read, a tile at a time, and of its last section
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
        self._locks: dict[int, threading.Lock] = {}
        self._windows: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Latents of one level in a window: start and stop along every axis of its grid.

        Raises CorruptError where a tile it needs is damaged.
        """
        out = np.zeros([stop - start for start, stop in window], np.int32)
        if out.size == 0:
            return out
        tiles = self._tiles(level, window) if level < self.spec.tiled else [WHOLE]
        for tile in tiles:
            own = self._window(tile, level)
            source, target = [], []
            for (first, last), (start, stop) in zip(own, window, strict=True):
                low, high = max(first, start), min(last, stop)
                source.append(slice(low - first, high - first))
                target.append(slice(low - start, high - start))
            out[tuple(target)] = self._decoded(tile, level, source)[tuple(source)]
        return out

    def _window(self, tile: int, level: int) -> tuple[tuple[int, int], ...]:
        """As `tile_window`; looked up many times, worked out once."""
        known = self._windows.get((tile, level))
        if known is None:
            known = self._windows[tile, level] = tile_window(self.spec, tile, level)
        return known

    def _tiles(self, level: int, window: Sequence[tuple[int, int]]) -> list[int]:
        """Tiles that have latents of a level in a window."""
        counts = tile_counts(self.spec)
        along = [
            range((start << times) // edge, ((stop - 1) << times) // edge + 1)
            for (start, stop), edge, times in zip(
                window, self.spec.tile_edges, self.spec.halvings(level), strict=True
            )
        ]
        return [int(np.ravel_multi_index(place, counts)) for place in itertools.product(*along)]

    def _decoded(self, tile: int, level: int, part: Sequence[slice]) -> NDArray[np.int32]:
        """A tile's latents of one level, those of a part of it known."""
        with self._locks.setdefault(tile, threading.Lock()):
            try:
                if tile not in self._begun:
                    self._begun[tile] = self._begin(tile)
                begun = self._begun[tile]
                if begun.rest is not None:
                    begun.rest.decode(level, _wave(part) + 1)
            except BaseException:
                # Whoever reads it next has to hear the same.
                self._begun.pop(tile, None)
                raise
        return begun.planes[level]

    def _begin(self, tile: int) -> _Tile:
        """The tile with all but its last section decoded."""
        own = range(self.spec.tiled, self.spec.levels) if tile == WHOLE else range(self.spec.tiled)
        planes = tuple(
            self._empty(tile, level) if level in own else self._coarser(tile, level)
            for level in range(self.spec.levels)
        )
        rest = None
        for levels, payload, what in self._sections.get(tile, ()):
            if rest is not None:
                rest.decode()
            rest = begin_levels(self.spec, self._network, planes, levels, tile, payload, what)
        return _Tile(planes, rest)

    def _empty(self, tile: int, level: int) -> NDArray[np.int32]:
        window = tile_window(self.spec, tile, level)
        return np.zeros([stop - start for start, stop in window], np.int32)

    def _coarser(self, tile: int, level: int) -> NDArray[np.int32]:
        """Latents of other tiles' levels that a tile needs: of WHOLE none."""
        if tile == WHOLE:
            return np.zeros([0] * self.spec.inputs, np.int32)
        return self.read(level, tile_window(self.spec, tile, level))


def _wave(part: Sequence[slice]) -> int:
    """The last wavefront of a part of a grid (see `context.wavefronts`)."""
    wave = 0
    for along in part:
        wave = 3 * wave + int(along.stop) - 1
    return wave
