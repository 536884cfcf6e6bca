"""Checks that the extension codes latents as numpy and constriction do, and harms nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from typing import Any

import numpy as np
import pytest

from inrcodec.coding import latents, native_latents
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.coding.latent_tables import LATENT_TABLES, flat_tables, reaches
from inrcodec.errors import CorruptError, UsageError
from inrcodec.fields.pyramid import PyramidSpec

EXTENSION = native_latents.extension()
AVAILABLE = EXTENSION.available() if EXTENSION else []
VARIABLE, OFF = "INRCODEC_NATIVE", "off"

Planes = list[np.ndarray]


@pytest.fixture
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The instruction set of this test, which everything uses meanwhile."""
    monkeypatch.setenv(VARIABLE, request.param)
    return str(request.param)


def specs(
    lattice: tuple[int, ...], levels: int, contexts: tuple[int, ...], tile: int
) -> Iterator[PyramidSpec]:
    """With every number of axes that are kept."""
    return (make_spec(lattice, levels, contexts, tile, kept) for kept in range(len(lattice)))


in_each = pytest.mark.parametrize("isa", AVAILABLE, indirect=True)
built = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")


def make_spec(
    lattice: tuple[int, ...],
    levels: int,
    contexts: tuple[int, ...] = (),
    tile: int = 0,
    kept: int = 0,
) -> PyramidSpec:
    return PyramidSpec(lattice, 1, levels, contexts, (), 0, tile, kept=kept)


def make_network(spec: PyramidSpec, seed: int = 0) -> IntegerNetwork:
    """Random weights, such that means and scales vary widely."""
    rng = np.random.default_rng(seed)
    shapes = {t.name: t.shape for t in spec.tensors() if t.name.startswith("context")}
    values = {
        name: rng.normal(0, 1.5 if "bias" in name else 1 / math.sqrt(shape[-1]), shape)
        for name, shape in shapes.items()
    }
    return IntegerNetwork.of(spec, values)


def constant_network(spec: PyramidSpec, scale: float) -> IntegerNetwork:
    """Every latent has mean 0 and log2 b = `scale`."""
    shapes = {t.name: t.shape for t in spec.tensors() if t.name.startswith("context")}
    values = {name: np.zeros(shape) for name, shape in shapes.items()}
    values["context_bias0"] = np.array([0.0, scale])
    return IntegerNetwork.of(spec, values)


def make_planes(spec: PyramidSpec, size: float, seed: int = 0) -> Planes:
    rng = np.random.default_rng(seed)
    limit = latents.MAX_LATENT
    grids = map(spec.grid, range(spec.levels))
    planes = [np.rint(rng.laplace(0, size, grid)).clip(-limit, limit) for grid in grids]
    return [plane.astype(np.int32) for plane in planes]


def tile_of(spec: PyramidSpec, planes: Planes, tile: int) -> Planes:
    windows = (latents.tile_window(spec, tile, level) for level in range(spec.levels))
    return [
        plane[tuple(slice(*ends) for ends in window)]
        for plane, window in zip(planes, windows, strict=True)
    ]


def empty_views(planes: Planes) -> Planes:
    """Planes of the same shapes that are neither contiguous nor zero."""
    wholes = [np.full([2 * size + 1 for size in plane.shape], 77, np.int32) for plane in planes]
    return [whole[(slice(1, None, 2),) * whole.ndim] for whole in wholes]


def coarse_first(spec: PyramidSpec) -> list[int]:
    return list(range(spec.levels))[::-1]


# Same bytes, same latents

CASES = [
    ((1, 1), 1, (16, 16), 0),
    ((1, 50), 3, (3,), 0),
    ((70, 1), 4, (5, 2), 0),
    ((33, 47), 1, (), 0),
    ((64, 100), 7, (16, 16), 0),
    ((41, 23), 3, (7, 1, 12), 0),
    ((50, 37), 3, (9,), 12),
    ((90,), 3, (8, 8), 0),
    ((100,), 4, (), 40),
    ((9, 14, 11), 4, (8,), 0),
    ((1, 3, 40), 2, (5, 2), 0),
    ((13, 20, 9), 3, (), 8),
    ((40, 1, 2), 1, (4,), 0),
    ((4, 5, 6, 7), 3, (8,), 0),
    ((9, 1, 3, 2), 2, (3,), 4),
]


@in_each
@pytest.mark.parametrize("size", [0.2, 1.0, 60.0, 9000.0])
@pytest.mark.parametrize(("lattice", "levels", "contexts", "tile"), CASES, ids=str)
def test_payloads_and_latents_are_those_of_numpy(
    isa: str,
    lattice: tuple[int, ...],
    levels: int,
    contexts: tuple[int, ...],
    tile: int,
    size: float,
) -> None:
    for spec, index in product(specs(lattice, levels, contexts, tile), range(4)):
        if index >= math.prod(latents.tile_counts(spec)):
            continue
        network, planes = make_network(spec, levels), make_planes(spec, size)
        own = tile_of(spec, planes, index)
        payload = latents.pack_levels(spec, network, own, coarse_first(spec), index)
        native = native_latents.pack_levels(spec, network, own, coarse_first(spec), index)
        assert native == payload
        found = empty_views(own)
        native_latents.unpack_levels(
            spec, network, found, coarse_first(spec), index, payload, "test"
        )
        for ours, theirs in zip(found, own, strict=True):
            np.testing.assert_array_equal(ours, theirs)
            # Nothing was written between the rows and columns of the views.
            assert ours.base is not None
            assert (ours.base[(slice(0, None, 2),) * ours.ndim] == 77).all()


@in_each
@pytest.mark.parametrize(("lattice", "levels", "contexts", "tile"), CASES, ids=str)
def test_the_finest_level_is_decoded_as_far_as_it_is_asked_for(
    isa: str, lattice: tuple[int, ...], levels: int, contexts: tuple[int, ...], tile: int
) -> None:
    for spec in specs(lattice, levels, contexts, tile):
        compare_partial(spec, levels)


def compare_partial(spec: PyramidSpec, levels: int) -> None:
    network, planes = make_network(spec, levels), tile_of(spec, make_planes(spec, 2.0), 0)
    payload = latents.pack_levels(spec, network, planes, coarse_first(spec), 0)
    found = empty_views(planes)
    unpacking = native_latents.begin_levels(
        spec, network, found, coarse_first(spec), 0, payload, "test"
    )
    waves = np.tensordot(3 ** np.arange(planes[0].ndim)[::-1], np.indices(planes[0].shape), 1)
    last, known = int(waves.max()), 0
    for wave in (0, 1, 2, 1, last // 2, last // 3, last, 2**40, 0):
        unpacking.decode(0, wave)
        for ours, theirs in zip(found[1:], planes[1:], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        known = max(wave, known)
        np.testing.assert_array_equal(found[0], np.where(waves < known, planes[0], 77))


@in_each
def test_levels_apart_are_coded_as_numpy_codes_them(isa: str) -> None:
    spec = make_spec((37, 50), 5, (6, 6))
    network, planes = make_network(spec), make_planes(spec, 2.0)
    planes[1][...] = 0
    found = empty_views(planes)
    for levels in ([4, 3], [2, 1], [0]):
        payload = latents.pack_levels(spec, network, planes, levels, 0)
        assert native_latents.pack_levels(spec, network, planes, levels, 0) == payload
        native_latents.unpack_levels(spec, network, found, levels, 0, payload, "test")
        # What is decoded may be frozen: finer levels only read it.
        for level in levels:
            found[level].flags.writeable = False
    for ours, theirs in zip(found, planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@in_each
@pytest.mark.parametrize("scale", [-2.0, 0.0, 3.0, 7.0])
def test_long_carries_are_constrictions(isa: str, scale: float) -> None:
    """Intervals of many symbols hold one short number, until one lies above or below it."""
    rng = np.random.default_rng(0)
    number = latents.table_numbers(np.zeros(1, np.int64), np.array([40 + 8 * int(scale)]))
    long_runs = set()
    for first in rng.integers(2**31, 2**32, 20).tolist():
        decoder = SymbolDecoder(int(first).to_bytes(4, "little").rstrip(b"\0"), "test")
        assert decoder.get_bit()
        symbols: list[int] = []
        # Some numbers lie in no interval at last.
        with suppress(CorruptError):
            while len(symbols) < 400:
                symbols += decoder.get_latents(number).tolist()
        for count in (1, 2, 3, 50, 400):
            plane = np.concatenate([symbols[:count], rng.integers(-9, 10, 20)])
            plane = plane[np.newaxis].clip(-3000, 3000).astype(np.int32)
            spec = make_spec(plane.shape, 1)
            network = constant_network(spec, scale)
            payload = latents.pack_levels(spec, network, [plane], [0], 0)
            assert native_latents.pack_levels(spec, network, [plane], [0], 0) == payload
            long_runs |= {run for run in (bytes(8), b"\xff" * 8) if run in payload}
    assert len(long_runs) == 2


@in_each
def test_sums_may_reach_the_end_of_32_bits(isa: str) -> None:
    spec = make_spec((20, 30), 2, (3, 2))
    rng = np.random.default_rng(0)

    def extreme(shape: tuple[int, ...], largest: int) -> np.ndarray:
        return rng.choice([-largest, largest], shape).astype(np.int16)

    # Sums of hidden values may have weights that add to 2^16 - 1.
    hidden = np.array([[32767, 0, -32767], [-21845, 21845, 21000]], np.int16)
    network = IntegerNetwork(
        (extreme((3, 21), 32767), hidden, extreme((2, 2), 16000)),
        tuple(np.array(bias, np.int32) for bias in ([2**29] * 3, [-5, 5], [2**20, -(2**20)])),
        extreme((2, 21), 1500),
    )
    assert all(max(network.largest_sums(layer)) < 2**31 for layer in range(3))
    planes = make_planes(spec, 5000.0)
    payload = latents.pack_levels(spec, network, planes, [1, 0], 0)
    assert native_latents.pack_levels(spec, network, planes, [1, 0], 0) == payload
    found = empty_views(planes)
    native_latents.unpack_levels(spec, network, found, [1, 0], 0, payload, "test")
    np.testing.assert_array_equal(found[0], planes[0])


@in_each
def test_code_length_is_that_of_numpy(isa: str) -> None:
    spec = make_spec((50, 37), 3, (9,), 12)
    network, planes = make_network(spec), make_planes(spec, 30.0)
    planes[2][...] = 0
    native = native_latents.code_length(spec, network, planes)
    np.testing.assert_allclose(native, latents.code_length(spec, network, planes), rtol=1e-12)


@in_each
def test_tiles_may_be_decoded_at_once(isa: str) -> None:
    spec = make_spec((64, 64), 3, (8, 8), 16)
    network, planes = make_network(spec), make_planes(spec, 1.0)
    tiles = [tile_of(spec, planes, index) for index in range(16)]
    found = [np.full_like(plane, 77) for plane in planes]

    def decode(index: int) -> None:
        payload = native_latents.pack_levels(spec, network, tiles[index], [2, 1, 0], index)
        own = tile_of(spec, found, index)
        native_latents.unpack_levels(spec, network, own, [2, 1, 0], index, payload, "test")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(decode, range(16)))
    for ours, theirs in zip(found, planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# Damage


def outcome(
    module: Any, spec: PyramidSpec, network: IntegerNetwork, planes: Planes, payload: bytes
) -> list[bytes] | None:
    """Latents, or None for a refusal."""
    levels = coarse_first(spec)
    try:
        module.unpack_levels(spec, network, planes, levels, 0, payload, "section 5")
    except CorruptError as error:
        named = str(error).startswith("section 5")
        return None if named else [b"unnamed"]
    return [plane.tobytes() for plane in planes]


@in_each
@pytest.mark.parametrize("scale", [-5.0, 1.0, 7.0])
def test_garbage_is_refused_or_read_as_numpy_reads_it(isa: str, scale: float) -> None:
    rng = np.random.default_rng(int(scale) + 5)
    spec = make_spec((9, 7), 2)
    network = constant_network(spec, scale)
    sizes = rng.integers(0, 40, 200)
    payloads = [b"\2" + rng.bytes(int(size)) for size in sizes]
    payloads += [b"\2" + b"\xff" * int(size) for size in sizes[:20]]
    real = latents.pack_levels(spec, network, make_planes(spec, 2**scale), [1, 0], 0)
    for size in range(len(real)):
        payloads += [real[:size], real[:size] + bytes([real[size] ^ 1]) + real[size + 1 :]]
    payloads += [real, real + b"\1", real + b"\0", real + b"\1\2\3\4\5"]
    results = []
    for payload in payloads:
        ours, theirs = (empty_views(make_planes(spec, 1.0)) for _ in range(2))
        results.append(outcome(native_latents, spec, network, ours, payload))
        assert results[-1] == outcome(latents, spec, network, theirs, payload)
    assert None in results
    assert any(result is not None for result in results)


@in_each
def test_garbage_for_any_network_stays_inside(isa: str) -> None:
    rng = np.random.default_rng(3)
    for seed in range(60):
        spec = make_spec((int(rng.integers(1, 60)), int(rng.integers(1, 60))), 3, (5, 4))
        network, planes = make_network(spec, seed), empty_views(make_planes(spec, 1.0))
        payload = b"\3" + rng.bytes(int(rng.integers(1, 2000)))
        outcome(native_latents, spec, network, planes, payload)
        for plane in planes:
            assert plane.base is not None
            assert (plane.base[::2, ::2] == 77).all()


def refused(payload: bytes, match: str) -> None:
    spec = make_spec((1, 1), 1)
    network = constant_network(spec, 0.0)
    for module in (native_latents, latents):
        with pytest.raises(CorruptError, match=match):
            module.unpack_levels(
                spec, network, [np.zeros((1, 1), np.int32)], [0], 0, payload, "test"
            )


def written(symbol: int) -> bytes:
    """One latent with the table of b = 1."""
    encoder = SymbolEncoder()
    encoder.put_bit(True)
    encoder.put_latents(np.array([symbol]), np.array([40 * 32 + 16]))
    return b"\1" + encoder.finish()


@in_each
@pytest.mark.parametrize("latent", [32768, -32768, 2**31 - 1, 1 - 2**31])
def test_latents_out_of_range_are_refused(isa: str, latent: int) -> None:
    refused(written(latent), "test")


@in_each
def test_other_damage_is_named(isa: str) -> None:
    refused(b"", "test")
    refused(b"\2", "2 levels where 1 are due")
    refused(written(0), "against its flag")
    refused(written(5) + b"\0", "superfluous zero byte")
    refused(written(5) + b"\1" * 9, "left over")
    refused(b"\1" + b"\xff" * 40, r"do not decode|impossible escape code")
    refused(written(3)[:1] + written(2**31 - 1)[1:5], "test")


@in_each
def test_latents_out_of_range_are_not_written(isa: str) -> None:
    spec = make_spec((2, 3), 1)
    for latent in (32768, -32768):
        plane = np.full((2, 3), latent, np.int32)
        with pytest.raises(ValueError, match="32767"):
            native_latents.pack_levels(spec, constant_network(spec, 0.0), [plane], [0], 0)


# Choice


def test_numpy_codes_where_the_extension_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, picture = make_spec((4, 5, 6), 2), make_spec((5, 6), 2)
    monkeypatch.setenv(VARIABLE, OFF)
    for spec in (volume, picture):
        assert native_latents.coder(spec, make_network(spec)) is None
        network, planes = make_network(spec), make_planes(spec, 2.0)
        payload = native_latents.pack_levels(spec, network, planes, [1, 0], 0)
        found = empty_views(planes)
        native_latents.unpack_levels(spec, network, found, [1, 0], 0, payload, "test")
        np.testing.assert_array_equal(found[0], planes[0])
        lengths = native_latents.code_length(spec, network, planes)
        assert lengths == latents.code_length(spec, network, planes)


def test_what_is_not_available_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "sse9")
    spec = make_spec((5, 6), 2)
    with pytest.raises(UsageError, match="INRCODEC_NATIVE=sse9"):
        native_latents.coder(spec, make_network(spec))


# What does not fit


@built
def test_arrays_that_do_not_fit_are_refused() -> None:
    assert EXTENSION is not None
    offsets, reach, cumulative = flat_tables()
    tables = EXTENSION.LatentTables(offsets, reach, cumulative)
    worse = [(offsets[:-1], reach, cumulative), (offsets, reach, cumulative[:-1])]
    for place in (0, LATENT_TABLES - 1):
        for array, odd in ((0, -1), (0, 2**31 - 1), (0, 1), (1, -1), (1, 2**31 - 1), (1, 30000)):
            changed = [offsets.copy(), reach.copy(), cumulative]
            changed[array][place] = odd
            worse.append(tuple(changed))
    for place, odd in ((0, 1), (1, 0), (int(reaches()[0]) * 2 + 2, 65535)):
        sums = cumulative.copy()
        sums[place] = odd
        worse.append((offsets, reach, sums))
    for arrays in worse:
        with pytest.raises(ValueError, match="tables"):
            EXTENSION.LatentTables(*arrays)

    near = [(0, 0, -1), (1, 0, 0)]
    weights, biases = np.ones(2 * 3 + 3 * 2 + 2 * 2, np.int16), np.ones(5, np.int32)
    network = EXTENSION.ContextNetwork(near, 0, [3], weights, biases)
    for contexts, widths, some, others in (
        ([], [3], weights, biases),
        ([(0, 0, 0), near[1]], [3], weights, biases),
        ([(0, 0, 1), near[1]], [3], weights, biases),
        ([(0, -4, 0), near[1]], [3], weights, biases),
        ([(0, 1, -9), near[1]], [3], weights, biases),
        ([(0, -1, 3), near[1]], [3], weights, biases),
        ([(0, 0, -16), near[1]], [3], weights, biases),
        ([(0, 0, -(2**31)), near[1]], [3], weights, biases),
        ([near[0], (1, 1, 1)], [3], weights, biases),
        ([near[0], (4, 0, 0)], [3], weights, biases),
        ([near[0], (-1, 0, 0)], [3], weights, biases),
        ([(0, -1, 9, 0), (1, 0, 0, 0)], [3], weights, biases),
        ([(0, 1, 0, 0), (1, 0, 0, 0)], [3], weights, biases),
        ([(0, 0, 0, -1), (1, 0, 0, 2)], [3], weights, biases),
        ([(0, 0, 0, -1), (2, 1, 0, 0)], [3], weights, biases),
        ([(0, 0, 0, -1), (1, 0, 0)], [3], weights, biases),
        ([(0, 0, 0, 0, 0, -1), (1, 0, 0, 0, 0, 0)], [3], weights, biases),
        ([(0, -1), (1, 0)], [3], weights, biases),
        (near, [2], weights, biases),
        (near, [], weights, biases),
        (near, [0], weights, biases),
        (near, [2**40], weights, biases),
        (near, [3, 3], weights, biases),
        (near, [3], weights[:-1], biases),
        (near, [3], weights, biases[:-1]),
        (near, [3], weights, np.ones(6, np.int32)),
    ):
        with pytest.raises(ValueError, match=r"contexts|widths|weights"):
            EXTENSION.ContextNetwork(contexts, 0, widths, some, others)

    fine, coarse = np.zeros((5, 4), np.int32), np.zeros((3, 2), np.int32)
    isa = AVAILABLE[0]
    payload = EXTENSION.encode_latents(isa, network, tables, [fine, coarse], [1, 0])
    decoder = EXTENSION.LatentDecoder(isa, network, tables, [fine, coarse], [1, 0], payload)
    assert [decoder.decode(1, wave) for wave in (0, 3, 100, 5)] == [None] * 4
    for planes, levels in (
        ([fine[None].repeat(2, axis=0), coarse[None]], [1, 0]),
        ([fine, coarse], [0, 1]),
        ([fine, coarse], [1, 1]),
        ([fine, coarse], [2]),
        ([fine, coarse], [2**63]),
        ([], [0]),
        ([fine, coarse.T], [1, 0]),
        ([fine[:0], coarse[:0]], [1, 0]),
    ):
        with pytest.raises(ValueError, match=r"planes|levels"):
            EXTENSION.encode_latents(isa, network, tables, planes, levels)
        with pytest.raises(ValueError, match=r"planes|levels"):
            EXTENSION.LatentDecoder(isa, network, tables, planes, levels, payload)
    with pytest.raises(ValueError, match="isa"):
        EXTENSION.encode_latents("none", network, tables, [fine], [0])
    for odd in (fine.astype(np.int64), fine[0], None):
        with pytest.raises(TypeError):
            EXTENSION.LatentDecoder(isa, network, tables, [odd], [0], payload)
    fine.flags.writeable = False
    with pytest.raises(TypeError):
        EXTENSION.LatentDecoder(isa, network, tables, [fine], [0], payload)
    with pytest.raises(ValueError, match="isa"):
        EXTENSION.LatentDecoder("none", network, tables, [coarse], [0], payload)
    with pytest.raises(TypeError):
        decoder.decode(0, -1)


def test_numbers_of_tables_are_shared() -> None:
    """The kernels number tables by themselves."""
    numbers: Sequence[int] = latents.table_numbers(
        np.array([-16, 15, -16, 0, 0]), np.array([0, 0, 55, 56, 96])
    ).tolist()
    assert numbers == [0, 31, 1760, 1792, 1832]
