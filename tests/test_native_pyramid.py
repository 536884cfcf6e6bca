"""Checks that the compiled render of a pyramid gives the bits of numpy's, and what it refuses."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import inrcodec
from inrcodec import native_choice as choice
from inrcodec.coding.planes import DenseLatents
from inrcodec.errors import UsageError
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.query.kernels import native_pyramid, pyramid
from inrcodec.query.kernels.native_pyramid import synthesise
from inrcodec.query.threads import THREADS

EXTENSION = choice.extension()
AVAILABLE = EXTENSION.available() if EXTENSION else []
built = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")

SPECS = [
    PyramidSpec((37, 70), 3, 4, (), (32,), 2),
    PyramidSpec((1, 1), 3, 1, (), (), 2),
    PyramidSpec((1, 1), 2, 10, (), (4,), 1),
    PyramidSpec((1, 45), 1, 5, (), (6, 5), 2),
    PyramidSpec((45, 1), 4, 5, (), (3,), 1),
    PyramidSpec((3, 130), 1, 7, (), (), 0),
    PyramidSpec((33, 31), 8, 3, (), (64, 5, 7), 4),
    PyramidSpec((20, 20), 2, 16, (), (256, 1), 2),
    PyramidSpec((700,), 1, 5, (), (8,), 2),
    PyramidSpec((9, 10, 11), 3, 4, (), (8,), 2),
    PyramidSpec((5, 4, 6, 7), 2, 3, (), (8,), 1),
    PyramidSpec((6, 45), 2, 4, (), (5,), 2, kept=1),
    PyramidSpec((1, 1), 1, 3, (), (4,), 1, kept=1),
    PyramidSpec((5, 9, 11), 3, 4, (), (8,), 2, kept=1),
    PyramidSpec((3, 4, 21), 2, 4, (), (8,), 1, kept=2),
    PyramidSpec((3, 5, 6, 7), 1, 3, (), (8,), 1, kept=1),
    PyramidSpec((4, 3, 6, 7), 2, 3, (), (8,), 2, kept=2),
    PyramidSpec((2, 3, 2, 9), 1, 16, (), (8,), 4, kept=3),
    # So large that the extension cuts them into tiles.
    PyramidSpec((131, 549), 3, 7, (), (24,), 2),
    PyramidSpec((50_003,), 2, 4, (), (8,), 1),
    PyramidSpec((19, 52, 133), 1, 3, (), (), 1),
    PyramidSpec((9, 12, 13, 50), 1, 3, (), (5,), 2),
    PyramidSpec((9, 300), 40, 2, (), (), 1),
    PyramidSpec((400, 160), 1, 3, (), (8,), 2, kept=1),
    PyramidSpec((7, 97, 300), 1, 5, (), (5,), 2, kept=1),
    PyramidSpec((13, 12, 11, 50), 1, 3, (), (5,), 1, kept=2),
]
every_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda s: f"{s.lattice}-{s.net}-{s.kept}".replace(" ", "")
)

Window = list[tuple[int, int]]


@pytest.fixture
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The instruction set of this test, which everything uses meanwhile."""
    monkeypatch.setenv(choice.VARIABLE, request.param)
    return str(request.param)


in_each = pytest.mark.parametrize("isa", AVAILABLE, indirect=True)


def random_field(spec: PyramidSpec) -> Field:
    """Every unit of the networks matters somewhere, and no filter is symmetric."""
    generator = np.random.default_rng(0)
    parameters = {}
    for tensor in spec.tensors():
        spread = 0.7 / math.sqrt(math.prod(tensor.shape[1:]))
        parameters[tensor.name] = generator.normal(0, spread, tensor.shape).astype(np.float32)
    levels = [
        generator.integers(-300, 300, spec.grid(level)).astype(np.int32)
        for level in range(spec.levels)
    ]
    return Field(spec, parameters, DenseLatents(tuple(levels)))


def whole(spec: PyramidSpec) -> Window:
    return [(0, size) for size in spec.lattice]


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


@in_each
@every_spec
def test_values_and_crops_have_the_bits_of_numpy(
    monkeypatch: pytest.MonkeyPatch, isa: str, spec: PyramidSpec
) -> None:
    one = random_field(spec)
    expected = pyramid.synthesise(one, whole(spec))
    for threads in ("1", "3"):
        monkeypatch.setenv(THREADS, threads)
        assert_same_bits(synthesise(one, whole(spec)), expected)
    generator = np.random.default_rng(1)
    for _ in range(8):
        ends = [sorted(generator.choice(n + 1, 2, replace=False)) for n in spec.lattice]
        part = (slice(None), *(slice(*pair) for pair in ends))
        assert_same_bits(synthesise(one, [tuple(pair) for pair in ends]), expected[part])


@in_each
def test_pictures_are_those_of_numpy(
    small_pyramid: bytes, monkeypatch: pytest.MonkeyPatch, isa: str
) -> None:
    sizes = (None, (96, 80), (100, 33), (10, 7))
    found = [inrcodec.decode(small_pyramid, size=size).samples for size in sizes]
    monkeypatch.setenv(choice.VARIABLE, choice.OFF)
    for size, samples in zip(sizes, found, strict=True):
        np.testing.assert_array_equal(inrcodec.decode(small_pyramid, size=size).samples, samples)


@in_each
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40])
def test_odd_numbers_do_what_they_do_to_numpy(isa: str, odd: float) -> None:
    one = random_field(SPECS[0])
    for name in one.parameters:
        weights = one.parameters[name].copy()
        weights.flat[weights.size // 2] = odd
        other = replace(one, parameters={**one.parameters, name: weights})
        expected = pyramid.synthesise(other, whole(one.spec))
        np.testing.assert_array_equal(synthesise(other, whole(one.spec)), expected)


@built
def test_the_extension_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_given: object) -> None:
        raise AssertionError("numpy does the work")

    monkeypatch.setenv(choice.VARIABLE, AVAILABLE[0])
    monkeypatch.setattr(native_pyramid.pyramid, "synthesise", never)
    one = random_field(SPECS[0])
    assert synthesise(one, [(3, 9), (4, 8)]).shape == (3, 6, 4)
    monkeypatch.setenv(choice.VARIABLE, choice.OFF)
    with pytest.raises(AssertionError, match="numpy"):
        synthesise(one, [(3, 9), (4, 8)])


@built
def test_a_crop_costs_only_the_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, AVAILABLE[0])
    spec = PyramidSpec((2**16, 2**16), 3, 7, (), (8,), 2)
    one = replace(random_field(replace(spec, lattice=(64, 64))), spec=spec, latents=Zeros(spec))
    tracemalloc.start()
    values = synthesise(one, [(2**15, 2**15 + 64), (2**16 - 64, 2**16)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    np.testing.assert_array_equal(values, np.broadcast_to(values[:, :1, :1], values.shape))


class Zeros:
    """Latents of a picture that no machine could hold."""

    def __init__(self, spec: PyramidSpec) -> None:
        self.spec = spec

    def read(self, level: int, window: Window) -> np.ndarray:
        for (start, stop), size in zip(window, self.spec.grid(level), strict=True):
            assert 0 <= start < stop <= size
        return np.zeros([stop - start for start, stop in window], np.int32)


# What does not fit


@built
def test_sizes_that_do_not_fit_are_refused() -> None:
    assert EXTENSION is not None
    spec, window = PyramidSpec((9, 12), 3, 2, (), (4,), 1), [(2, 5), (3, 12)]
    given = {
        "isa": AVAILABLE[0],
        "lattice": spec.lattice,
        "kept": 0,
        "outputs": 3,
        "synthesis": spec.synthesis,
        "residuals": 1,
        "parameters": np.zeros(4 + 12 + 15 + 6 + 84, np.float32),
        "latents": [np.zeros((5, 10), np.int32), np.zeros((5, 6), np.int32)],
        "window": window,
        "out": np.zeros((3, 3, 9), np.float32),
        "threads": 1,
    }
    EXTENSION.pyramid_values(**given)
    levels, out = given["latents"], given["out"]
    for name, values in {
        "isa": ["none"],
        "lattice": [(), (0, 12), (9,), (2**32, 12), (9, 12, 1, 1, 1)],
        "kept": [1, 2, 2**40],
        "outputs": [0, 2, 2**40],
        "synthesis": [(), (5,), (0,), (2**40,), (4,) * 99],
        "residuals": [0, 2, 2**40],
        "parameters": [np.zeros(120, np.float32)],
        "latents": [
            [],
            levels[:1],
            [*levels, levels[1]],
            levels[::-1],
            [levels[0], levels[1][1:]],
            [levels[0], levels[1].ravel()],
        ],
        "window": [[], window[:1], [*window, (0, 1)], [(2, 5), (3, 13)], [(5, 2), (3, 12)]],
        "out": [out[:, :2].copy(), out[:2], out.ravel(), np.zeros((4, 3, 9), np.float32)],
        "threads": [0, 2**20],
    }.items():
        for value in values:
            with pytest.raises(ValueError, match=r"^\w+( \d)?: "):
                EXTENSION.pyramid_values(**{**given, name: value})
    for name, other in (
        ("parameters", np.zeros(121)),
        ("latents", [level.astype(np.int64) for level in levels]),
        ("latents", [np.zeros((10, 5), np.int32).T, levels[1]]),
        ("out", np.zeros((3, 3, 18), np.float32)[..., ::2]),
        ("window", [(-1, 5), (3, 12)]),
        ("threads", -1),
    ):
        with pytest.raises(TypeError):
            EXTENSION.pyramid_values(**{**given, name: other})
    out.flags.writeable = False
    with pytest.raises(TypeError):
        EXTENSION.pyramid_values(**given)


@built
def test_errors_of_the_extension_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, AVAILABLE[0])
    one = random_field(SPECS[0])
    short = {**one.parameters, "synthesis_skip": np.zeros(2, np.float32)}
    with pytest.raises(UsageError, match="native kernel: parameters"):
        synthesise(replace(one, parameters=short), whole(one.spec))
