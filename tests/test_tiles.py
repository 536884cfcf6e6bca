"""Checks that latents read tile by tile are those written, and that no tile too many is decoded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.bitstream.container import Place
from inrcodec.coding import tiles
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import tile_counts, tile_window
from inrcodec.coding.native_latents import code_length
from inrcodec.coding.planes import DenseLatents
from inrcodec.coding.tiles import (
    GROUP_BYTES,
    TiledLatents,
    level_groups,
    pack_latents,
    tiles_of_section,
)
from inrcodec.errors import CorruptError, UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting import tilings
from inrcodec.native_choice import instruction_set

Planes = tuple[np.ndarray, ...]
Sections = dict[int, list[tuple[range, bytes, str]]]
Window = list[tuple[int, int]]

SPEC = PyramidSpec((19, 26), 1, 3, (4,), (), 0, 8)

quick = settings(deadline=None, max_examples=50)


def network_of(spec: PyramidSpec, seed: int = 0) -> IntegerNetwork:
    generator = np.random.default_rng(seed)
    return IntegerNetwork.of(
        spec, {t.name: generator.normal(size=t.shape) * 0.1 for t in spec.tensors()}
    )


def planes_of(spec: PyramidSpec, seed: int = 0, spread: float = 2.0) -> Planes:
    generator = np.random.default_rng(seed)
    return tuple(
        np.rint(generator.laplace(size=spec.grid(level)) * spread).astype(np.int32)
        for level in range(spec.levels)
    )


def written(spec: PyramidSpec, planes: Planes, group_bytes: int = GROUP_BYTES) -> Sections:
    """Sections by tile, as a file gives them."""
    network, count = network_of(spec), math.prod(tile_counts(spec))
    with mock.patch.object(tiles, "GROUP_BYTES", group_bytes):
        groups = level_groups(spec, code_length(spec, network, planes))
        payloads = pack_latents(spec, network, planes)
    assert len(payloads) == len(groups) * count
    sections: Sections = {}
    for payload, (group, tile) in zip(
        payloads, itertools.product(groups, range(count)), strict=True
    ):
        sections.setdefault(tile, []).append((group, payload, f"tile {tile}"))
    return sections


def tiled(spec: PyramidSpec, sections: Sections) -> TiledLatents:
    return TiledLatents(spec, network_of(spec), sections)


def whole(spec: PyramidSpec, level: int) -> Window:
    return [(0, size) for size in spec.grid(level)]


@st.composite
def specs(draw: st.DrawFn) -> PyramidSpec:
    axes = draw(st.integers(1, 3))
    largest = (60, 22, 8)[axes - 1]
    lattice = tuple(draw(st.integers(1, largest)) for _ in range(axes))
    levels = draw(st.integers(1, 4))
    tile = draw(st.integers(0, 3)) << (levels - 1)
    kept = draw(st.integers(0, axes - 1))
    return PyramidSpec(lattice, 1, levels, (3,), (), 0, tile, kept=kept)


@st.composite
def windows(draw: st.DrawFn, grid: Sequence[int]) -> Window:
    ends = [sorted(draw(st.tuples(*[st.integers(0, size)] * 2))) for size in grid]
    return [(start, stop) for start, stop in ends]


# Reading


@quick
@given(specs(), st.sampled_from([1, 20, GROUP_BYTES]), st.integers(0, 99), st.data())
def test_windows_are_those_of_dense_latents(
    spec: PyramidSpec, group_bytes: int, seed: int, data: st.DataObject
) -> None:
    planes = planes_of(spec, seed, data.draw(st.sampled_from([0.1, 2.0])))
    read = tiled(spec, written(spec, planes, group_bytes))
    dense = DenseLatents(planes)
    for _ in range(4):
        level = data.draw(st.integers(0, spec.levels - 1))
        window = data.draw(windows(spec.grid(level)))
        found = read.read(level, window)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, dense.read(level, window))


def test_what_is_read_belongs_to_the_reader() -> None:
    planes = planes_of(SPEC)
    latents = tiled(SPEC, written(SPEC, planes))
    latents.read(0, whole(SPEC, 0))[...] = 77
    np.testing.assert_array_equal(latents.read(0, whole(SPEC, 0)), planes[0])


@quick
@given(st.integers(0, SPEC.levels - 1), st.data())
def test_only_the_tiles_of_a_window_are_decoded(level: int, data: st.DataObject) -> None:
    """All others are damaged."""
    planes = planes_of(SPEC)
    window = data.draw(windows(SPEC.grid(level)))
    touched = {
        tile
        for tile in range(math.prod(tile_counts(SPEC)))
        if all(
            max(start, first) < min(stop, last)
            for (start, stop), (first, last) in zip(
                window, tile_window(SPEC, tile, level), strict=True
            )
        )
    }
    sections = written(SPEC, planes)
    for tile, coded in sections.items():
        if tile not in touched:
            sections[tile] = [(group, b"", what) for group, _, what in coded]
    found = tiled(SPEC, sections).read(level, window)
    np.testing.assert_array_equal(found, DenseLatents(planes).read(level, window))


def test_a_damaged_tile_is_named_every_time_and_alone() -> None:
    planes = planes_of(SPEC)
    sections = written(SPEC, planes)
    (group, payload, _) = sections[1][0]
    sections[1][0] = (group, payload[:-3], "tile 1")
    latents = tiled(SPEC, sections)
    for _ in range(2):
        with pytest.raises(CorruptError, match="tile 1"):
            latents.read(0, whole(SPEC, 0))
    np.testing.assert_array_equal(latents.read(0, [(0, 8), (0, 8)]), planes[0][:8, :8])


def test_every_section_is_decoded_once_by_however_many_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planes, decoded = planes_of(SPEC), []
    begin = tiles.begin_levels

    def counted(*arguments: object) -> tiles.Unpacking:
        decoded.append((arguments[4], arguments[3]))
        return begin(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiles, "begin_levels", counted)
    latents = tiled(SPEC, written(SPEC, planes, 20))
    asked = [
        (level, [(row, row + 1), (0, SPEC.grid(level)[1])])
        for level in range(SPEC.levels)
        for row in range(SPEC.grid(level)[0])
    ]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda place: latents.read(*place), asked))
    for (level, [(row, _), _]), values in zip(asked, rows, strict=True):
        np.testing.assert_array_equal(values[0], planes[level][row])
    assert len(decoded) == len({(tile, str(levels)) for tile, levels in decoded})
    assert len({tile for tile, _ in decoded}) == math.prod(tile_counts(SPEC))


@pytest.mark.skipif(instruction_set() is None, reason="without the extension a tile is whole")
def test_what_comes_after_a_window_is_not_decoded() -> None:
    """It is damaged; who reads so far hears of it, every time, and others read on."""
    spec = replace(SPEC, lattice=(64, 64), tile=64)
    planes = planes_of(spec)
    sections = written(spec, planes, 1)
    (group, payload, what) = sections[0][-1]
    sections[0][-1] = (group, payload[:-40], what)
    latents = tiled(spec, sections)
    corner = [(0, 20), (0, 20)]
    for _ in range(2):
        np.testing.assert_array_equal(latents.read(0, corner), planes[0][:20, :20])
        with pytest.raises(CorruptError, match="tile 0"):
            latents.read(0, [(60, 64), (60, 64)])
    np.testing.assert_array_equal(latents.read(1, whole(spec, 1)), planes[1])


# What is missing


def test_missing_sections_read_as_zero() -> None:
    planes = planes_of(SPEC)
    sections = written(SPEC, planes, 1)
    assert len(sections[0]) == SPEC.levels
    # Of tile 0 the finest level is missing, of tile 1 all but the coarsest, of tile 2 all.
    cut = {0: 2, 1: 1, 2: 0}
    latents = tiled(
        SPEC,
        {tile: coded[: cut.get(tile)] for tile, coded in sections.items() if cut.get(tile) != 0},
    )
    for level in range(SPEC.levels):
        expected = planes[level].copy()
        for tile, groups in cut.items():
            if level < SPEC.levels - groups:
                expected[tuple(slice(*ends) for ends in tile_window(SPEC, tile, level))] = 0
        np.testing.assert_array_equal(latents.read(level, whole(SPEC, level)), expected)


# Which levels share a section


@quick
@given(specs(), st.data())
def test_groups_hold_every_level_once_and_are_long_enough(
    spec: PyramidSpec, data: st.DataObject
) -> None:
    bits = [data.draw(st.floats(0, 1e6)) for _ in range(spec.levels)]
    groups = level_groups(spec, bits)
    assert [level for group in groups for level in group] == list(range(spec.levels))[::-1]
    least = 8 * GROUP_BYTES * math.prod(tile_counts(spec))
    if len(groups) > 1:
        assert all(sum(bits[level] for level in group) >= least for group in groups)
    if len(groups) == 1 and spec.levels > 1:
        # No cut would have left enough on both sides.
        assert not any(sum(bits[cut:]) >= least <= sum(bits[:cut]) for cut in range(1, spec.levels))


def test_sections_come_coarse_to_fine_then_tile_by_tile() -> None:
    """As the container counts them."""
    planes = planes_of(SPEC)
    sections = written(SPEC, planes, 1)
    for coded in sections.values():
        assert [list(group) for group, _, _ in coded] == [[2], [1], [0]]
    with mock.patch.object(tiles, "GROUP_BYTES", 1):
        payloads = pack_latents(SPEC, network_of(SPEC), planes)
    count = math.prod(tile_counts(SPEC))
    assert payloads[count] == sections[0][1][1]
    assert payloads[count + 1] == sections[1][1][1]


EDGED = [
    PyramidSpec((20, 17, 9), 1, 4, (6,), (), 0, edges=(8, 4, 16)),
    PyramidSpec((20, 17), 1, 5, (6,), (), 0, edges=(4, 32)),
    PyramidSpec((7, 20, 17), 1, 4, (6,), (), 0, kept=1, edges=(2, 8, 8)),
    PyramidSpec((33,), 1, 4, (6,), (), 0, edges=(4,)),
    PyramidSpec((5, 9, 8, 7), 1, 3, (6,), (), 0, kept=2, edges=(2, 16, 2, 2)),
]


def edged(spec: PyramidSpec, planes: Planes) -> dict[int, list[tuple[range, bytes, str]]]:
    """What the tiles of a pyramid with edges have in its sections."""
    network = network_of(spec)
    found: Sections = {}
    groups = level_groups(spec, code_length(spec, network, planes))
    for group, payload in zip(groups, pack_latents(spec, network, planes), strict=True):
        for tile, coded in tiles_of_section(spec, Place(group, 0), payload, "test"):
            found.setdefault(tile, []).append(coded)
    return found


@pytest.mark.parametrize("spec", EDGED, ids=str)
def test_any_window_is_read_from_tiles_with_edges(spec: PyramidSpec) -> None:
    generator = np.random.default_rng(4)
    planes = planes_of(spec, spread=0.4)
    planes[0][:2] = 0
    sections = edged(spec, planes)
    for _ in range(12):
        latents = TiledLatents(spec, network_of(spec), sections)
        for level in generator.permutation(spec.levels).tolist():
            ends = [sorted(generator.integers(0, n + 1, 2).tolist()) for n in spec.grid(level)]
            part = tuple(slice(*each) for each in ends)
            found = latents.read(level, [(low, high) for low, high in ends])
            np.testing.assert_array_equal(found, planes[level][part])


def test_coarse_levels_are_in_one_piece_and_others_in_tiles() -> None:
    spec = EDGED[0]
    assert spec.tiled == 3  # 2^3 samples are more than the edge of 4
    found = edged(spec, planes_of(spec))
    assert [levels for levels, _, _ in found.pop(-1)] == [range(3, 2, -1)]
    assert sorted(found) == list(range(math.prod(tile_counts(spec))))


def test_a_window_needs_no_other_tile_with_edges() -> None:
    spec = EDGED[2]
    planes = planes_of(spec)
    whole = edged(spec, planes)
    few = {tile: whole[tile] for tile in (-1, 0) if tile in whole}
    latents = TiledLatents(spec, network_of(spec), few)
    window = [(0, 2), (0, 8), (0, 8)]
    np.testing.assert_array_equal(latents.read(0, window), planes[0][:2, :8, :8])


def test_the_smallest_tiles_under_a_share_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tilings, "TILED_FROM", 64**3)
    lattice = (64, 64, 64)
    spec = PyramidSpec(lattice, 1, 2, (4,), (), 0)
    # Without weights of contexts, borders cost nothing: what is left are runs.
    zeros = {t.name: np.zeros(t.shape) for t in spec.tensors()}
    network = IntegerNetwork.of(spec, zeros)
    planes = planes_of(spec)
    chosen = tilings.in_tiles(spec, network, planes)
    assert chosen.edges[0] <= chosen.edges[-1] < 64
    bits = [sum(code_length(each, network, planes)) for each in (spec, chosen)]
    assert bits[1] <= (1 + tilings.TILE_COST) * bits[0]
    assert tilings.in_tiles(spec, network, planes, (8, 64, 128)).edges == (8, 64, 64)
    assert tilings.in_tiles(spec, network, planes, (64, 64, 64)).edges == ()
    for wrong in ((8, 8), (8, 8, 9), (0, 8, 8)):
        with pytest.raises(UsageError, match="tile"):
            tilings.in_tiles(spec, network, planes, wrong)
