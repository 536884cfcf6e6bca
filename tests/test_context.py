"""Checks contexts and the integer network against plain Python, one latent at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from inrcodec.coding.context import IntegerNetwork, LevelContexts, wavefronts
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets

every_axes = pytest.mark.parametrize("axes", [1, 2, 3, 4])
LATTICES = [(1,), (13,), (1, 1), (7, 10), (1, 9), (9, 1), (5, 4, 3), (1, 2, 7), (3, 2, 5, 2)]


def spec_of(
    lattice: tuple[int, ...], levels: int, contexts: tuple[int, ...], kept: int = 0
) -> PyramidSpec:
    return PyramidSpec(lattice, 1, levels, contexts, (), 0, kept=kept)


def planes_of(spec: PyramidSpec, seed: int) -> list[np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return [
        np.rint(generator.laplace(size=spec.grid(level)) * 100).astype(np.int32)
        for level in range(spec.levels)
    ]


def expected_contexts(
    planes: list[np.ndarray], level: int, at: tuple[int, ...], kept: int
) -> list[int]:
    """Contexts as the format defines them, one latent at a time."""

    def value(on: int, index: tuple[int, ...]) -> int:
        if on >= len(planes):
            return 0
        sizes = planes[on].shape
        if not all(0 <= i < size for i, size in zip(index, sizes, strict=True)):
            return 0
        return max(-255, min(255, int(planes[on][index])))

    own = [
        value(level, tuple(i + o for i, o in zip(at, offset, strict=True)))
        for offset in causal_offsets(len(at))
    ]
    above = []
    for up, offset in coarser_offsets(len(at)):
        index = []
        for axis, (i, o) in enumerate(zip(at, offset, strict=True)):
            index.append(i + o if axis < kept else (i >> up) + (o if i % 2 else -o))
        above.append(value(level + up, tuple(index)))
    return [*own, *above]


@pytest.mark.parametrize(
    ("lattice", "kept"), [(each, kept) for each in LATTICES for kept in range(len(each))]
)
def test_contexts_are_as_defined(lattice: tuple[int, ...], kept: int) -> None:
    spec = spec_of(lattice, 4, (), kept)
    planes = planes_of(spec, len(lattice))
    assert any((np.abs(plane) > 255).any() for plane in planes) or math.prod(lattice) < 20
    for level, plane in enumerate(planes):
        contexts = LevelContexts(plane.shape, planes[level + 1 :], kept)
        contexts.fill(plane)
        raster = np.arange(plane.size)
        found = np.concatenate((contexts.own(contexts.places(raster)), contexts.coarser(raster)))
        every = itertools.product(*map(range, plane.shape))
        expected = [expected_contexts(planes, level, at, kept) for at in every]
        assert found.T.tolist() == expected


def test_values_may_come_one_by_one() -> None:
    """A latent has no context that comes after it in raster order, either."""
    (plane,) = planes_of(spec_of((6, 5), 1, ()), 3)
    whole, piecewise = (LevelContexts(plane.shape, []) for _ in range(2))
    whole.fill(plane)
    for position in range(plane.size):
        place = piecewise.places(np.array([position]))
        assert (piecewise.own(place) == whole.own(place)).all()
        piecewise.put(place, plane.ravel()[[position]])
    places = whole.places(np.arange(plane.size))
    assert (piecewise.own(places) == whole.own(places)).all()


@every_axes
def test_every_causal_offset_lies_in_an_earlier_wavefront(axes: int) -> None:
    steps = [3 ** (axes - 1 - axis) for axis in range(axes)]
    for offset in causal_offsets(axes):
        assert sum(o * step for o, step in zip(offset, steps, strict=True)) < 0


@pytest.mark.parametrize("shape", LATTICES)
def test_wavefronts_order_all_latents(shape: tuple[int, ...]) -> None:
    order, starts = wavefronts(shape)
    fronts = [
        sum(3 ** (len(shape) - 1 - axis) * i for axis, i in enumerate(index))
        for index in itertools.product(*map(range, shape))
    ]
    assert order.tolist() == sorted(range(len(fronts)), key=lambda raster: (fronts[raster], raster))
    assert starts[0] == 0
    assert starts[-1] == len(fronts)
    of_runs = [
        {fronts[raster] for raster in order[start:stop].tolist()}
        for start, stop in itertools.pairwise(starts)
    ]
    assert [len(run) for run in of_runs] == [1] * len(of_runs)
    assert [min(run) for run in of_runs] == sorted(set(fronts))


def parameters_of(spec: PyramidSpec, seed: int, size: float) -> dict[str, np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return {
        tensor.name: (generator.normal(size=tensor.shape) * size).astype(np.float32)
        for tensor in spec.tensors()
    }


def expected_prediction(
    spec: PyramidSpec, parameters: dict[str, np.ndarray], inputs: list[int]
) -> tuple[int, int, int]:
    """The definition in Python's integers."""

    def rounded(name: str, bits: int) -> list[list[int]]:
        values = np.atleast_2d(parameters[name].astype(np.float64))
        return [[math.floor(value * 2**bits + 0.5) for value in row] for row in values.tolist()]

    def product(weights: list[list[int]], values: list[int]) -> list[int]:
        return [sum(w * v for w, v in zip(row, values, strict=True)) for row in weights]

    hidden, bits = inputs, 10
    for layer in range(len(spec.contexts)):
        (bias,) = rounded(f"context_bias{layer}", bits)
        sums = product(rounded(f"context_weight{layer}", 10), hidden)
        half, shift = (4, 3) if layer == 0 else (512, 10)
        hidden = [
            max(0, min(32767, (b + s + half) >> shift)) for b, s in zip(bias, sums, strict=True)
        ]
        bits = 17
    last = len(spec.contexts)
    (bias,) = rounded(f"context_bias{last}", 17)
    sums = product(rounded(f"context_weight{last}", 10), hidden)
    skip = product(rounded("context_skip", 10), inputs)
    mean, scale = (
        b + (s << (0 if last else 7)) + (k << 7) for b, s, k in zip(bias, sums, skip, strict=True)
    )
    index = max(0, min(96, ((scale + 2**13) >> 14) + 40))
    rounded_mean = (mean + 2**11) >> 12
    nearest = (rounded_mean + 16) >> 5
    return nearest, (rounded_mean - 32 * nearest if index < 56 else 0), index


@pytest.mark.parametrize("size", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("contexts", [(), (1,), (5,), (16, 16), (3, 7, 2)])
def test_predictions_are_those_of_python_integers(contexts: tuple[int, ...], size: float) -> None:
    spec = spec_of((8, 8), 3, contexts)
    parameters = parameters_of(spec, len(contexts), size)
    network = IntegerNetwork.of(spec, parameters)
    generator = np.random.Generator(np.random.PCG64(7))
    inputs = generator.integers(-255, 256, (spec.context_count, 60))
    inputs[:, 30:] //= 32
    inputs[:, 50:] //= 8
    inputs[:, -1] = 0
    found = [tuple(row) for row in np.array(network.evaluate(inputs)).T.tolist()]
    assert found == [expected_prediction(spec, parameters, list(col)) for col in inputs.T.tolist()]
    phases = np.array(found)[:, 1]
    assert phases.min() >= -16
    assert phases.max() <= 15


def test_runs_of_contexts_add_up() -> None:
    spec = spec_of((8, 8), 3, (4, 3))
    network = IntegerNetwork.of(spec, parameters_of(spec, 0, 0.2))
    inputs = np.random.Generator(np.random.PCG64(1)).integers(-9, 10, (spec.context_count, 20))
    floats = inputs.astype(np.float64)
    split = network.sums(floats[:5]) + network.sums(floats[5:], 5)
    for one, other in zip(network.predict(split), network.evaluate(inputs), strict=True):
        assert (one == other).all()


def extreme(contexts: tuple[int, ...]) -> tuple[PyramidSpec, dict[str, np.ndarray]]:
    spec = spec_of((8,), 2, contexts)
    return spec, {t.name: np.zeros(t.shape, np.float32) for t in spec.tensors()}


def test_the_largest_sums_are_exact() -> None:
    """A network one step inside the limit, at the contexts that take it there."""
    spec, parameters = extreme((2,))
    parameters["context_weight0"][:] = 16.0
    parameters["context_weight1"][:] = np.array([[31.999, 30.0], [-31.999, -30.0]])
    network = IntegerNetwork.of(spec, parameters)
    assert 2**31 > max(network.largest_sums(1)) > 0.95 * 2**31
    for value in (255, -255):
        inputs = [value] * spec.context_count
        found = network.evaluate(np.array(inputs)[:, np.newaxis])
        expected = expected_prediction(spec, parameters, inputs)
        assert tuple(int(part[0]) for part in found) == expected


@pytest.mark.parametrize(
    ("contexts", "name", "value"),
    [
        ((2,), "context_weight0", 32.0),
        ((2,), "context_weight0", -32.0),
        ((2,), "context_skip", 1e30),
        ((2,), "context_bias0", 2.0**20),
        ((2,), "context_bias1", 2.0**13),
        ((), "context_bias0", -(2.0**13)),
        ((2,), "context_weight1", np.nan),
        ((2,), "context_bias1", np.inf),
        ((4,), "context_weight1", 31.0),
        ((4, 4), "context_weight1", -31.0),
    ],
)
def test_what_could_overflow_is_refused(contexts: tuple[int, ...], name: str, value: float) -> None:
    spec, parameters = extreme(contexts)
    IntegerNetwork.of(spec, parameters)
    parameters[name][...] = value
    with pytest.raises(CorruptError, match="context network"):
        IntegerNetwork.of(spec, parameters)


def test_bounds_of_sums_are_those_of_the_worst_contexts() -> None:
    spec, parameters = extreme((1,))
    parameters["context_weight0"][:] = -1.0
    parameters["context_bias0"][:] = -3.0
    parameters["context_weight1"][0] = 2.0
    parameters["context_skip"][1] = 0.5
    parameters["context_bias1"][:] = 1.0
    network = IntegerNetwork.of(spec, parameters)
    count = spec.context_count
    assert network.largest_sums(0) == [1024 * 255 * count + 3 * 1024 + 4]
    assert network.largest_sums(1) == [
        2048 * 32767 + 2**17 + 2**11,
        512 * 255 * 128 * count + 2**17 + 2**13,
    ]
