"""Checks that latents survive their sections, that damage is noticed, and what they cost."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.bitstream import primitives
from inrcodec.coding import latents
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.entropy import SymbolEncoder
from inrcodec.coding.latent_tables import table_numbers
from inrcodec.coding.latents import (
    MAX_LATENT,
    code_length,
    pack_levels,
    tile_counts,
    tile_window,
    unpack_levels,
)
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import PyramidSpec

Planes = list[np.ndarray]

SHA256 = "043b207880f04ad36d5c446b1a10bb1076261ec202add53810bee5b05232990e"


def network_of(spec: PyramidSpec, seed: int = 0, size: float = 0.1) -> IntegerNetwork:
    generator = np.random.Generator(np.random.PCG64(seed))
    return IntegerNetwork.of(
        spec, {t.name: generator.normal(size=t.shape) * size for t in spec.tensors()}
    )


def planes_of(spec: PyramidSpec, seed: int = 0, spread: float = 2.0) -> Planes:
    generator = np.random.Generator(np.random.PCG64(seed))
    return [
        np.rint(generator.laplace(size=spec.grid(level)) * spread).astype(np.int32)
        for level in range(spec.levels)
    ]


def zeros_of(spec: PyramidSpec) -> Planes:
    return [np.zeros(spec.grid(level), np.int32) for level in range(spec.levels)]


def tile_of(spec: PyramidSpec, planes: Planes, tile: int) -> Planes:
    return [
        plane[tuple(slice(*ends) for ends in tile_window(spec, tile, level))]
        for level, plane in enumerate(planes)
    ]


def packed(
    spec: PyramidSpec, network: IntegerNetwork, planes: Planes, groups: list[range]
) -> list[bytes]:
    return [
        pack_levels(spec, network, tile_of(spec, planes, tile), group, tile)
        for group in groups
        for tile in range(math.prod(tile_counts(spec)))
    ]


def unpacked(
    spec: PyramidSpec, network: IntegerNetwork, payloads: list[bytes], groups: list[range]
) -> Planes:
    planes = [np.full(spec.grid(level), 77, np.int32) for level in range(spec.levels)]
    rest = iter(payloads)
    for group in groups:
        for tile in range(math.prod(tile_counts(spec))):
            views = tile_of(spec, planes, tile)
            unpack_levels(spec, network, views, group, tile, next(rest), "test")
    return planes


def same(one: Planes, other: Planes) -> bool:
    return all((a == b).all() for a, b in zip(one, other, strict=True))


@st.composite
def specs(draw: st.DrawFn) -> PyramidSpec:
    axes = draw(st.integers(1, 4))
    largest = (40, 14, 7, 4)[axes - 1]
    lattice = tuple(draw(st.integers(1, largest)) for _ in range(axes))
    levels = draw(st.integers(1, 4))
    contexts = tuple(draw(st.lists(st.integers(1, 5), max_size=2)))
    tile = draw(st.integers(0, 3)) << (levels - 1)
    kept = draw(st.integers(0, axes - 1))
    return PyramidSpec(lattice, 1, levels, contexts, (), 0, tile, kept=kept)


@settings(max_examples=80, deadline=None)
@given(specs(), st.integers(0, 99), st.sampled_from([0.0, 0.1, 2.0, 300.0]), st.data())
def test_latents_come_back(
    spec: PyramidSpec, seed: int, spread: float, data: st.DataObject
) -> None:
    network = network_of(spec, seed)
    planes = planes_of(spec, seed, spread)
    for level in data.draw(st.sets(st.integers(0, spec.levels - 1), max_size=2)):
        planes[level][...] = 0
    planes[0].flat[0] = data.draw(st.sampled_from([0, 1, MAX_LATENT, -MAX_LATENT]))
    cut = data.draw(st.integers(1, spec.levels))
    groups = [range(spec.levels - 1, cut - 1, -1), range(cut - 1, -1, -1)]
    groups = [group for group in groups if group]
    payloads = packed(spec, network, planes, groups)
    assert same(unpacked(spec, network, payloads, groups), planes)


@settings(max_examples=60, deadline=None)
@given(specs())
def test_tiles_cover_every_latent_once(spec: PyramidSpec) -> None:
    covered = zeros_of(spec)
    for tile in range(math.prod(tile_counts(spec))):
        for part in tile_of(spec, covered, tile):
            assert part.size
            part += 1
    assert all((plane == 1).all() for plane in covered)


def test_tiles_are_in_raster_order() -> None:
    spec = PyramidSpec((10, 13), 1, 2, (), (), 0, 4)
    assert tile_counts(spec) == (3, 4)
    assert tile_window(spec, 5, 0) == ((4, 8), (4, 8))
    assert tile_window(spec, 11, 1) == ((4, 5), (6, 7))


SPEC = PyramidSpec((11, 14), 1, 3, (4,), (), 0)
ALL = [range(2, -1, -1)]


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_results_do_not_depend_on_the_batch(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, planes = network_of(SPEC), planes_of(SPEC)
    payloads = packed(SPEC, network, planes, ALL)
    bits = code_length(SPEC, network, planes)
    monkeypatch.setattr(latents, "BATCH", batch)
    assert packed(SPEC, network, planes, ALL) == payloads
    assert same(unpacked(SPEC, network, payloads, ALL), planes)
    assert code_length(SPEC, network, planes) == pytest.approx(bits)


def test_the_payload_is_pinned() -> None:
    """Other bytes would be another format. Made without random numbers."""
    parameters = {}
    for position, tensor in enumerate(SPEC.tensors()):
        ramp = (np.arange(tensor.size) * 37 + 11 * position) % 41 - 20
        parameters[tensor.name] = ramp.reshape(tensor.shape) / 128
    planes = []
    for level in range(3):
        size = math.prod(SPEC.grid(level))
        values = (np.arange(size) ** 2 * 7 + level) % 23 // 4 - 2
        planes.append(values.reshape(SPEC.grid(level)).astype(np.int32))
    planes[0][5, 6] = 4000
    (payload,) = packed(SPEC, IntegerNetwork.of(SPEC, parameters), planes, ALL)
    assert hashlib.sha256(payload).hexdigest() == SHA256


def test_levels_without_latents_take_a_bit() -> None:
    (payload,) = packed(SPEC, network_of(SPEC), zeros_of(SPEC), ALL)
    assert len(payload) <= 3
    assert code_length(SPEC, network_of(SPEC), zeros_of(SPEC)) == [1, 1, 1]


@settings(max_examples=25, deadline=None)
@given(specs(), st.integers(0, 99), st.sampled_from([0.2, 2.0, 300.0]))
def test_code_length_is_what_the_bytes_take(spec: PyramidSpec, seed: int, spread: float) -> None:
    network, planes = network_of(spec, seed), planes_of(spec, seed, spread)
    payloads = packed(spec, network, planes, [range(spec.levels - 1, -1, -1)])
    bits = code_length(spec, network, planes)
    taken = sum(map(len, payloads))
    assert abs(taken - sum(bits) / 8) <= 0.001 * taken + 8 * len(payloads)


def test_code_length_of_many_latents() -> None:
    spec = PyramidSpec((160, 200), 1, 4, (8, 8), (), 0)
    for spread in (0.3, 3.0, 40.0):
        network, planes = network_of(spec, 5), planes_of(spec, 5, spread)
        bits = code_length(spec, network, planes)
        for level in range(4):
            payload = pack_levels(spec, network, planes, [level], 0)
            assert abs(len(payload) - bits[level] / 8) <= 0.001 * len(payload) + 8


def test_damage_is_an_error_or_other_latents() -> None:
    network, planes = network_of(SPEC, size=0.02), planes_of(SPEC, spread=1.0)
    (payload,) = packed(SPEC, network, planes, ALL)
    generator = np.random.Generator(np.random.PCG64(0))
    outcomes = {"error": 0, "other": 0}
    damaged = [payload[:size] for size in range(len(payload))]
    for position in range(len(payload)):
        flipped = bytearray(payload)
        flipped[position] ^= int(generator.integers(1, 256))
        damaged.append(bytes(flipped))
    for broken in damaged:
        try:
            found = unpacked(SPEC, network, [broken], ALL)
        except CorruptError:
            outcomes["error"] += 1
            continue
        assert not same(found, planes)
        assert all(np.abs(plane).max() <= MAX_LATENT for plane in found)
        outcomes["other"] += 1
    assert outcomes["error"] > 10
    assert outcomes["other"] > 10


@settings(max_examples=100, deadline=None)
@given(specs(), st.binary(max_size=80))
def test_garbage_is_an_error_or_latents(spec: PyramidSpec, data: bytes) -> None:
    groups = [range(spec.levels - 1, -1, -1)]
    payloads = [primitives.varint(spec.levels) + data] * math.prod(tile_counts(spec))
    try:
        found = unpacked(spec, network_of(spec), payloads, groups)
    except CorruptError:
        return
    assert all(np.abs(plane).max() <= MAX_LATENT for plane in found)


ONE = PyramidSpec((1,), 1, 1, (), (), 0)


def single(flag: bool, symbol: int) -> bytes:
    """Payload that says `symbol` for the one latent of ONE, also what pack_levels refuses."""
    network = network_of(ONE)
    mean, phase, index = network.evaluate(np.zeros((ONE.context_count, 1), np.int32))
    assert mean[0] == 0
    encoder = SymbolEncoder()
    encoder.put_bit(flag)
    encoder.put_latents(np.array([symbol]), table_numbers(phase, index))
    return primitives.varint(1) + encoder.finish()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_latent_of_more_than_16_bits_is_corrupt(sign: int) -> None:
    (plane,) = unpacked(ONE, network_of(ONE), [single(True, sign * MAX_LATENT)], [range(1)])
    assert plane.tolist() == [sign * MAX_LATENT]
    for magnitude in (MAX_LATENT + 1, 2**31 - 1):
        with pytest.raises(CorruptError, match="32767"):
            unpacked(ONE, network_of(ONE), [single(True, sign * magnitude)], [range(1)])
    with pytest.raises(ValueError, match="32767"):
        pack_levels(ONE, network_of(ONE), [np.array([sign * (MAX_LATENT + 1)])], [0], 0)


def test_a_level_of_zeros_has_one_form() -> None:
    with pytest.raises(CorruptError, match="flag"):
        unpacked(ONE, network_of(ONE), [single(True, 0)], [range(1)])


@pytest.mark.parametrize("count", [0, 2, 4])
def test_the_number_of_levels_is_checked(count: int) -> None:
    (payload,) = packed(SPEC, network_of(SPEC), planes_of(SPEC), ALL)
    with pytest.raises(CorruptError, match=f"{count} levels"):
        unpacked(SPEC, network_of(SPEC), [primitives.varint(count) + payload[1:]], ALL)


def test_bytes_left_over_are_corrupt() -> None:
    (payload,) = packed(SPEC, network_of(SPEC), planes_of(SPEC), ALL)
    with pytest.raises(CorruptError, match="left over"):
        unpacked(SPEC, network_of(SPEC), [payload + b"\1" * 12], ALL)


@pytest.mark.parametrize("levels", [[], [0, 1], [2, 0]])
def test_levels_go_down_one_by_one(levels: list[int]) -> None:
    with pytest.raises(ValueError, match="one by one"):
        pack_levels(SPEC, network_of(SPEC), planes_of(SPEC), levels, 0)


def test_planes_have_the_shapes_of_their_tile() -> None:
    planes = planes_of(SPEC)
    with pytest.raises(ValueError, match="2 planes"):
        pack_levels(SPEC, network_of(SPEC), planes[:2], [1], 0)
    planes[1] = planes[1][1:]
    pack_levels(SPEC, network_of(SPEC), planes, [2], 0)
    with pytest.raises(ValueError, match="plane 1"):
        pack_levels(SPEC, network_of(SPEC), planes, [1], 0)
