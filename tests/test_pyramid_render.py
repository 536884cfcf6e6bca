"""Checks that a pyramid's samples are those of its definition, whoever asks and wherever."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec import native_choice as choice
from inrcodec.bitstream.wire import Limits
from inrcodec.coding.planes import DenseLatents
from inrcodec.errors import CorruptError, LimitError
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.query import interpolation, pyramids
from inrcodec.query import render as render_module
from inrcodec.query.kernels import pyramid
from inrcodec.query.lattice import native_positions
from inrcodec.query.render import render, sample_points
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, SignalInfo, full_range

MakeView = Callable[..., SignalView]
Window = list[tuple[int, int]]

LONGEST = {1: 40, 2: 14, 3: 7, 4: 5}

quick = settings(deadline=None, max_examples=25)

EXTENSION = choice.extension()
BACKENDS = [choice.OFF, *(EXTENSION.available() if EXTENSION else [])]
every_backend = pytest.mark.parametrize("backend", BACKENDS)


def random_field(spec: PyramidSpec, seed: int = 0) -> Field:
    """Values leave 0..1 now and then, and every unit of the networks matters somewhere."""
    generator = np.random.default_rng(seed)
    parameters = {}
    for tensor in spec.tensors():
        spread = 0.7 / math.sqrt(math.prod(tensor.shape[1:]))
        parameters[tensor.name] = generator.normal(0, spread, tensor.shape).astype(np.float32)
    if spec.levels > 1:
        parameters["upsampling"] += np.float32([-0.1, 0.3, 0.9, -0.1])
    levels = [
        generator.integers(-3, 4, spec.grid(level)).astype(np.int32) for level in range(spec.levels)
    ]
    return Field(spec, parameters, DenseLatents(tuple(levels)))


def layer_of(one: Field, dtype: str = "float32") -> Layer:
    lattice = one.spec.lattice
    axes = tuple(
        Axis(name, size) for name, size in zip("tzyx"[-len(lattice) :], lattice, strict=True)
    )
    names = tuple(f"channel{index}" for index in range(one.spec.outputs))
    return Layer(SignalInfo(axes, names, dtype, full_range(dtype)), one)


def view_of(lattice: Sequence[int], dtype: str = "uint8", seed: int = 0) -> SignalView:
    spec = PyramidSpec(tuple(lattice), 3, 4, (), (5,), 2)
    return SignalView((layer_of(random_field(spec, seed), dtype),))


@st.composite
def fields(draw: st.DrawFn, longest: dict[int, int] = LONGEST) -> Field:
    axes = draw(st.integers(1, 4))
    kept = draw(st.integers(0, axes - 1))
    spec = PyramidSpec(
        lattice=tuple(draw(st.integers(1, longest[axes])) for _ in range(axes)),
        outputs=draw(st.integers(1, 3)),
        levels=draw(st.integers(1, 5)),
        contexts=(),
        synthesis=draw(st.sampled_from([(), (3,), (4, 2)])),
        residuals=draw(st.integers(0, 3 if axes - kept < 3 else 1)),
        kept=kept,
    )
    return random_field(spec, draw(st.integers(0, 99)))


def windows(size: Sequence[int]) -> st.SearchStrategy[Window]:
    ends = [st.tuples(*[st.integers(0, n)] * 2).map(lambda ends: tuple(sorted(ends))) for n in size]
    return st.tuples(*ends).map(list)


def part_of(samples: np.ndarray, window: Window) -> np.ndarray:
    return samples[tuple(slice(start, stop) for start, stop in window)]


def all_points(lattice: Sequence[int]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, lattice), indexing="ij"), -1).reshape(
        -1, len(lattice)
    )


# The definition, one number after the other

Plane = dict[tuple[int, ...], np.float32]


def near(values: Plane, index: Sequence[int], sizes: Sequence[int]) -> np.float32:
    return values[tuple(min(max(i, 0), n - 1) for i, n in zip(index, sizes, strict=True))]


def doubled(values: Plane, sizes: list[int], axis: int, size: int, k: np.ndarray) -> Plane:
    out = {}
    for index in itertools.product(*map(range, [*sizes[:axis], size, *sizes[axis + 1 :]])):

        def x(i: int, index: tuple[int, ...] = index) -> np.float32:
            return near(values, (*index[:axis], i, *index[axis + 1 :]), sizes)

        i = index[axis] >> 1
        if index[axis] % 2 == 0:
            total = k[0] * x(i - 2) + k[1] * x(i - 1)
            out[index] = total + k[2] * x(i) + k[3] * x(i + 1)
        else:
            total = k[3] * x(i - 1) + k[2] * x(i)
            out[index] = total + k[1] * x(i + 1) + k[0] * x(i + 2)
    return out


def slow_network(spec: PyramidSpec, weights: dict[str, np.ndarray], x: list[np.float32]) -> list:
    values = x
    for layer in range(len(spec.synthesis) + 1):
        matrix = weights[f"synthesis_weight{layer}"]
        outputs = []
        for row, total in zip(matrix, weights[f"synthesis_bias{layer}"], strict=True):
            for weight, value in zip(row, values, strict=True):
                total = total + weight * value
            outputs.append(total if layer == len(spec.synthesis) else max(total, np.float32(0)))
        values = outputs
    for output, row in enumerate(weights["synthesis_skip"]):
        for weight, value in zip(row, x, strict=True):
            values[output] = values[output] + weight * value
        values[output] = values[output] + np.float32(0.5)
    return values


def slow_synthesis(one: Field) -> np.ndarray:
    """Values `[*lattice, outputs]`."""
    spec, weights = one.spec, one.parameters
    lattice = spec.lattice
    features = []
    for level in range(spec.levels):
        sizes = list(spec.grid(level))
        read = one.latents.read(level, [(0, n) for n in sizes])
        plane = {index: np.float32(read[index]) for index in np.ndindex(*sizes)}
        for stage in reversed(range(level)):
            for axis, size in list(enumerate(spec.grid(stage)))[spec.kept :]:
                plane = doubled(plane, sizes, axis, size, weights["upsampling"][stage])
                sizes[axis] = size
        features.append(plane)
    places = list(np.ndindex(*lattice))
    found = {p: slow_network(spec, weights, [plane[p] for plane in features]) for p in places}
    z = [{p: found[p][output] for p in places} for output in range(spec.outputs)]
    for number in range(spec.residuals):
        kernel, bias = weights[f"residual_weight{number}"], weights[f"residual_bias{number}"]
        after = []
        for output in range(spec.outputs):
            plane = {}
            for p in places:
                c = bias[output]
                for channel in range(spec.outputs):
                    for offset in itertools.product(*map(range, kernel.shape[2:])):
                        middle = [0] * spec.kept + [1] * spec.halved
                        index = [i + o - m for i, o, m in zip(p, offset, middle, strict=True)]
                        c = c + kernel[(output, channel, *offset)] * near(
                            z[channel], index, lattice
                        )
                if number < spec.residuals - 1:
                    c = max(c, np.float32(0))
                plane[p] = z[output][p] + c
            after.append(plane)
        z = after
    out = np.empty((*lattice, spec.outputs), np.float32)
    for p in places:
        out[p] = [plane[p] for plane in z]
    return out


@every_backend
@settings(deadline=None, max_examples=12)
@given(one=fields({1: 12, 2: 5, 3: 3, 4: 2}), data=st.data())
def test_samples_have_the_bits_of_the_definition(
    backend: str, one: Field, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(choice.VARIABLE, backend)
        assert_bits_of_the_definition(one, data)


def assert_bits_of_the_definition(one: Field, data: st.DataObject) -> None:
    found = render(one, layer_of(one).info)
    expected = slow_synthesis(one)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
    window = data.draw(windows(one.spec.lattice))
    crop = render(one, layer_of(one).info, window=window)
    np.testing.assert_array_equal(crop.view(np.int32), part_of(expected, window).view(np.int32))


# Crops and sizes


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@quick
@given(data=st.data())
def test_crop_equals_the_crop_of_the_whole(dtype: str, data: st.DataObject) -> None:
    one = layer_of(data.draw(fields()), dtype)
    size = [
        data.draw(st.one_of(st.just(n), st.integers(1, 2 * n + 1))) for n in one.field.spec.lattice
    ]
    window = data.draw(windows(size))
    whole = render(one.field, one.info, size)
    assert (whole.shape, whole.dtype) == ((*size, one.field.spec.outputs), np.dtype(dtype))
    np.testing.assert_array_equal(render(one.field, one.info, size, window), part_of(whole, window))


@every_backend
@pytest.mark.parametrize("size", [None, (17, 25), (5, 4), (12, 3)])
def test_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, backend: str, size: tuple[int, int] | None
) -> None:
    monkeypatch.setenv(choice.VARIABLE, backend)
    view = view_of((9, 11), "float32")
    points = np.random.default_rng(0).uniform(-5, 15, (30, 2))
    whole, at = view.resize(size or (9, 11)), view.at(points)
    for room in (1, 7, 64):
        for module, name in (
            (pyramids, "BLOCK"),
            (pyramids, "DENSE_BLOCK"),
            (pyramids, "GATHER"),
            (render_module, "BAND"),
            (pyramid, "CHUNK"),
        ):
            monkeypatch.setattr(module, name, room)
        np.testing.assert_array_equal(view.resize(size or (9, 11)), whole)
        np.testing.assert_array_equal(view.at(points), at)


@quick
@given(one=fields(), data=st.data())
def test_points_between_equal_the_samples_between(one: Field, data: st.DataObject) -> None:
    layer = layer_of(one)
    size = [n * data.draw(st.integers(1, 3)) for n in one.spec.lattice]
    samples = render(one, layer.info, size)
    scale = np.array(one.spec.lattice) / np.array(size)
    points = (all_points(size) + 0.5) * scale - 0.5
    at = sample_points(one, layer.info, points)
    np.testing.assert_allclose(at.reshape(samples.shape), samples, rtol=1e-5, atol=1e-5)


@quick
@given(one=fields())
def test_points_of_the_lattice_are_its_samples_exactly(one: Field) -> None:
    layer = layer_of(one)
    samples = render(one, layer.info)
    at = sample_points(one, layer.info, all_points(one.spec.lattice))
    np.testing.assert_array_equal(at.reshape(samples.shape), samples)


def test_native_size_asks_no_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_given: object) -> None:
        raise AssertionError("a lattice position lies on no other sample")

    monkeypatch.setattr(pyramids, "interpolate", never)
    view = view_of((9, 12))
    assert view[...].shape == (9, 12, 3)
    assert view.resize((3, 4)).shape == (3, 4, 3)
    with pytest.raises(AssertionError):
        view.resize((9, 13))


@quick
@given(size=st.lists(st.integers(1, 40), min_size=2, max_size=2))
def test_samples_of_any_size_are_means_over_their_cells(size: list[int]) -> None:
    one = view_of((17, 12), "float32").layers[0]
    cells = [math.ceil(n / m) for n, m in zip((17, 12), size, strict=True)]
    fine = render(one.field, one.info, [n * k for n, k in zip(size, cells, strict=True)])
    split = fine.reshape(size[0], cells[0], size[1], cells[1], 3).astype(np.float64)
    found = render(one.field, one.info, size)
    np.testing.assert_allclose(found, split.mean((1, 3)), rtol=1e-6, atol=1e-6)


@quick
@given(one=fields(), data=st.data())
def test_constant_stays_constant_exactly(one: Field, data: st.DataObject) -> None:
    zeros = [np.zeros(one.spec.grid(level), np.int32) for level in range(one.spec.levels)]
    layer = layer_of(replace(one, latents=DenseLatents(tuple(zeros))))
    constant = render(layer.field, layer.info).reshape(-1, one.spec.outputs)[0]
    for size in (one.spec.lattice, [data.draw(st.integers(1, 2 * n)) for n in one.spec.lattice]):
        samples = render(layer.field, layer.info, size)
        np.testing.assert_array_equal(samples, np.broadcast_to(constant, samples.shape))
    points = np.random.default_rng(0).uniform(-9, 30, (7, one.spec.inputs))
    at = sample_points(layer.field, layer.info, points)
    np.testing.assert_array_equal(at, np.broadcast_to(constant, at.shape))


@pytest.mark.parametrize("lattice", [(1,), (1, 1), (1, 9), (9, 1), (1, 1, 1), (2, 1, 3, 1)])
def test_thin_lattices_have_samples_of_every_size(lattice: tuple[int, ...]) -> None:
    view = view_of(lattice)
    assert view[...].shape == (*lattice, 3)
    doubled_size = tuple(2 * n for n in lattice)
    assert view.resize(doubled_size).shape == (*doubled_size, 3)
    assert view.resize((1,) * len(lattice)).shape == (*(1,) * len(lattice), 3)
    assert view.at(np.zeros((0, len(lattice)))).shape == (0, 3)


def test_window_of_an_enormous_lattice_costs_only_the_window() -> None:
    one = view_of((48, 40)).layers[0]
    for size, middle in ((10**9, 10**9 // 2), (10**30, 10**30 // 2)):
        window = [(middle - 1, middle + 1)] * 2
        found = render(one.field, one.info, (size, size), window)
        expected = render(one.field, one.info, (97, 81), [(48, 49), (40, 41)])
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


# Interpolation


def polynomial(piece: int, u: Fraction, order: int = 0) -> Fraction:
    terms = enumerate(interpolation.PIECES[piece])
    return sum(
        (Fraction(math.perm(k, order) * c) * u ** (k - order) for k, c in terms if k >= order),
        Fraction(0),
    )


@pytest.mark.parametrize("order", [0, 1, 2])
def test_kernel_is_smooth(order: int) -> None:
    start, end = ([polynomial(i, Fraction(u), order) for i in range(3)] for u in (0, 1))
    assert end == [*start[1:], 0]
    if order == 0:
        assert start == [interpolation.DENOMINATOR, 0, 0]
    if order == 1:
        assert start[0] == 0


@given(u=st.fractions(0, 1), degree=st.integers(0, 3))
def test_kernel_is_exact_for_cubics(u: Fraction, degree: int) -> None:
    weights = {-i: polynomial(i, u) for i in range(3)} | {
        i + 1: polynomial(i, 1 - u) for i in range(3)
    }
    found = sum(weight * Fraction(place) ** degree for place, weight in weights.items())
    assert found == interpolation.DENOMINATOR * u**degree
    taps = interpolation.tap_weights(np.array([float(u)]))[:, 0]
    wanted = [float(weights[tap] / interpolation.DENOMINATOR) for tap in interpolation.TAPS]
    np.testing.assert_allclose(taps, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_polynomials_are_interpolated_exactly(degree: int) -> None:
    places = np.arange(20.0)
    values = ((places / 10) ** degree).astype(np.float32)[None]
    below, fraction = native_positions(20, 70, 10, 60)
    weights = interpolation.tap_weights(fraction)
    found = interpolation.interpolate(values, 1, below, weights, 0, 20)[0]
    np.testing.assert_allclose(found, ((below + fraction) / 10) ** degree, atol=2e-6)


def test_far_points_are_the_edge() -> None:
    view = view_of((7, 9), "float32")
    far = np.array([[-1e300, 4.0], [6 + 1e15, 4.0], [3.0, -4.5], [3.0, 12.5]])
    edge = np.array([[0, 4], [6, 4], [3, 0], [3, 8]])
    np.testing.assert_array_equal(view.at(far), view.at(edge))


@quick
@given(seed=st.integers(0, 99), count=st.integers(0, 60))
def test_point_does_not_depend_on_its_company(seed: int, count: int) -> None:
    view = view_of((300, 290), "float32")
    generator = np.random.default_rng(seed)
    points = generator.uniform(-5, 310, (count, 2))
    order = generator.permutation(count)
    np.testing.assert_array_equal(view.at(points[order]), view.at(points)[order])


# Latents


@dataclass
class Recording:
    """Latents that know what was read of them."""

    latents: DenseLatents
    seen: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen = [np.zeros(level.shape, bool) for level in self.latents.levels]

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> np.ndarray:
        sizes = self.latents.levels[level].shape
        assert all(0 <= a < b <= n for (a, b), n in zip(window, sizes, strict=True))
        part_of(self.seen[level], list(window))[...] = True
        return self.latents.read(level, window)


class Broken:
    def read(self, level: int, window: Sequence[tuple[int, int]]) -> np.ndarray:
        raise CorruptError(f"level {level}: nothing but holes")


@pytest.mark.parametrize(
    ("lattice", "size", "window"),
    [
        ((70,), (70,), [(31, 32)]),
        ((70,), (70,), [(32, 40)]),
        ((69,), (69,), [(63, 69)]),
        ((70,), (140,), [(60, 61)]),
        ((70,), (141,), [(139, 141)]),
        ((33, 30), (33, 30), [(4, 5), (11, 13)]),
        ((18, 20), (37, 20), [(16, 17), (2, 3)]),
    ],
    ids=str,
)
@pytest.mark.parametrize(("residuals", "kept"), [(0, 0), (1, 0), (2, 0), (1, 1)])
def test_what_is_read_is_what_matters(
    lattice: tuple[int, ...], size: tuple[int, ...], window: Window, residuals: int, kept: int
) -> None:
    kept = min(kept, len(lattice) - 1)
    one = random_field(PyramidSpec(lattice, 1, 4, (), (), residuals, kept=kept))
    if residuals == 2:
        # An open ReLU, so that everything gets through.
        one.parameters["residual_bias0"][:] = 1e3
    recording = Recording(one.latents)
    info = layer_of(one).info
    before = render(replace(one, latents=recording), info, size, window)
    for level, seen in enumerate(recording.seen):
        for place in np.ndindex(seen.shape):
            changed = [plane.copy() for plane in one.latents.levels]
            changed[level][place] += 20000
            after = render(replace(one, latents=DenseLatents(tuple(changed))), info, size, window)
            assert seen[place] == (after != before).any(), (level, place)


def test_far_latents_are_not_read_for_points_or_other_sizes() -> None:
    one = view_of((256, 256)).layers[0]
    for ask in (
        lambda f: sample_points(f, one.info, np.array([[20.5, 30.5], [3.0, 9.0]])),
        lambda f: render(f, one.info, (1024, 300), [(80, 90), (20, 30)]),
        lambda f: render(f, one.info, (32, 32), [(2, 4), (2, 4)]),
    ):
        recording = Recording(one.field.latents)
        ask(replace(one.field, latents=recording))
        for level, seen in enumerate(recording.seen):
            assert seen.any()
            edge = (60 >> level) + 6
            assert not seen[edge:].any()
            assert not seen[:, edge:].any()


def test_what_a_read_raises_comes_through() -> None:
    one = view_of((9, 12)).layers[0]
    broken = replace(one.field, latents=Broken())
    with pytest.raises(CorruptError, match="holes"):
        render(broken, one.info)
    with pytest.raises(CorruptError, match="holes"):
        sample_points(broken, one.info, np.zeros((1, 2)))


# Views


def test_kinds_mix_in_one_view(make_view: MakeView) -> None:
    colours = view_of((7, 9)).layers
    siren = make_view((7, 9), nets=[(1, 1, 5)]).layers
    alpha = layer_of(random_field(PyramidSpec((7, 9), 1, 2, (), (), 1)), "uint8")
    points = np.random.default_rng(0).uniform(0, 6, (11, 2))
    views = [
        SignalView((*colours, *siren)),
        SignalView((*colours, alpha)),
        SignalView((*siren, *colours)),
        make_view((7, 9)),
    ]
    for view in views[:3]:
        parts = [SignalView((layer,)) for layer in view.layers]
        for size in ((7, 9), (15, 4)):
            expected = np.concatenate([part.resize(size) for part in parts], axis=-1)
            np.testing.assert_array_equal(view.resize(size), expected)
        np.testing.assert_array_equal(view[2:5, ::-2], np.asarray(view)[2:5, ::-2])
        assert "pyramid" in repr(view)
    for found, view in zip(inrcodec.query_many(views, points), views, strict=True):
        np.testing.assert_allclose(found, view.at(points), rtol=0, atol=255e-5)


# Work


def test_too_much_is_refused_before_latents_are_read() -> None:
    one = view_of((300, 200)).layers[0]
    broken = replace(one.field, latents=Broken())
    macs = 300 * 200 * one.field.spec.macs_per_sample
    for limits, what in (
        (Limits(samples=300 * 200 * 3 - 1), "samples"),
        (Limits(macs=macs - 1), "multiply-accumulates"),
    ):
        for size in ((300, 200), (10, 10), (301, 400)):
            with pytest.raises(LimitError, match=what):
                render(broken, one.info, size, limits=limits)
        with pytest.raises(LimitError, match=what):
            sample_points(broken, one.info, all_points((300, 200)), limits)
    enough = Limits(samples=300 * 200 * 3, macs=macs * 11 // 10)
    assert render(one.field, one.info, limits=enough).shape == (300, 200, 3)
    with pytest.raises(LimitError, match="samples"):
        render(broken, one.info, (10**30, 1))


def test_few_points_are_cheap() -> None:
    one = view_of((300, 200)).layers[0]
    near_by = Limits(macs=400 * one.field.spec.macs_per_sample)
    assert len(sample_points(one.field, one.info, np.array([[20.5, 20.5]] * 9), near_by)) == 9


@pytest.mark.parametrize("size", [(1500, 1400), (700, 750), (1, 1), (3000, 1401)], ids=str)
def test_memory_is_that_of_the_output(size: tuple[int, int]) -> None:
    spec = PyramidSpec((1500, 1400), 3, 3, (), (), 1)
    one = layer_of(random_field(spec), "uint8")
    tracemalloc.start()
    try:
        samples = render(one.field, one.info, size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One plane of the lattice in float32 has 8 MiB, and there are three of values alone.
    assert peak < samples.nbytes + 20 * 2**20


@pytest.mark.parametrize("weight", [1e30, 3e38, np.inf, np.nan])
def test_weights_out_of_range_do_no_harm(weight: float) -> None:
    view = view_of((20, 30))
    for array in view.layers[0].field.parameters.values():
        array.reshape(-1)[0] = weight
    whole = view[...]
    np.testing.assert_array_equal(view[3:8, 20:], whole[3:8, 20:])
    assert view.resize((31, 40)).shape == (31, 40, 3)
    assert view.resize((3, 4)).shape == (3, 4, 3)
    assert view.at(np.ones((2, 2))).shape == (2, 3)
