"""Checks that a sample of a field is the same whichever lattice, crop, thread or process asks."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.bitstream.wire import Limits
from inrcodec.errors import LimitError, UsageError
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.kernels import native, reference
from inrcodec.query.lattice import lattice_coordinates
from inrcodec.query.render import render, sample_points, to_samples
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, SignalInfo, full_range

ROOT = Path(__file__).resolve().parents[1]

MakeView = Callable[..., SignalView]

LONGEST = {1: 9000, 2: 140, 3: 36}
"""Samples per axis, by the number of axes: enough for several tiles on each."""

DTYPES = ["uint8", "uint16", "float32"]

quick = settings(deadline=None, max_examples=25)


@st.composite
def requests(draw: st.DrawFn, axes: int) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """A native lattice, another size of it (smaller, equal, larger), and a window of that."""
    sizes = st.integers(1, LONGEST[axes])
    native = [draw(sizes) for _ in range(axes)]
    size = [draw(st.one_of(sizes, st.just(n), st.integers(max(1, n // 3), n))) for n in native]
    window = [tuple(sorted(draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in size]
    return native, size, window


def layer(make_view: MakeView, *given: object, **named: object) -> Layer:
    return make_view(*given, **named).layers[0]


def all_points(lattice: Sequence[int]) -> np.ndarray:
    """Every lattice position, in the order of the samples."""
    return np.stack(np.meshgrid(*map(np.arange, lattice), indexing="ij"), -1).reshape(
        -1, len(lattice)
    )


def part_of(samples: np.ndarray, window: Sequence[tuple[int, int]]) -> np.ndarray:
    return samples[tuple(slice(start, stop) for start, stop in window)]


def refuse_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_given: object) -> None:
        raise AssertionError("nothing had to be computed")

    monkeypatch.setattr(reference, "evaluate", never)
    monkeypatch.setattr(native, "on_lattice", never)


# Crops


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [1, 2, 3])
@quick
@given(data=st.data())
def test_crop_equals_the_crop_of_the_whole(
    make_view: MakeView, axes: int, dtype: str, data: st.DataObject
) -> None:
    native, size, window = data.draw(requests(axes))
    one = layer(make_view, native, dtype, seed=data.draw(st.integers(0, 9)))
    whole = render(one.field, one.info, size)
    crop = render(one.field, one.info, size, window)
    assert (whole.shape, whole.dtype) == ((*size, 3), np.dtype(dtype))
    assert crop.dtype == whole.dtype
    if dtype == "float32":
        np.testing.assert_allclose(crop, part_of(whole, window), rtol=0, atol=1e-6)
    else:
        np.testing.assert_array_equal(crop, part_of(whole, window))


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_pixel_alone_equals_the_whole(make_view: MakeView, depth: int, channels: int) -> None:
    one = layer(make_view, (3, 66), "uint16", [(channels, depth, depth * 5)])
    whole = render(one.field, one.info)
    for y in range(3):
        for x in range(66):
            pixel = render(one.field, one.info, window=[(y, y + 1), (x, x + 1)])
            np.testing.assert_array_equal(pixel[0, 0], whole[y, x])


@pytest.mark.parametrize("window", [[(0, 0), (2, 5)], [(3, 3), (2, 5)], [(7, 7), (9, 9)]])
@pytest.mark.parametrize("size", [(7, 9), (14, 18), (10**9, 10**9)])
def test_empty_window_costs_nothing(
    make_view: MakeView,
    monkeypatch: pytest.MonkeyPatch,
    window: list[tuple[int, int]],
    size: tuple[int, int],
) -> None:
    one = layer(make_view, (7, 9))
    refuse_to_work(monkeypatch)
    samples = render(one.field, one.info, size, window)
    assert samples.shape == (*(stop - start for start, stop in window), 3)
    assert samples.dtype == np.uint8


def test_window_of_an_enormous_lattice_costs_only_the_window(make_view: MakeView) -> None:
    one = layer(make_view, (48, 40))
    middle = 10**9 // 2
    window = [(middle - 1, middle + 1)] * 2
    found = render(one.field, one.info, (10**9, 10**9), window)
    expected = render(one.field, one.info, (97, 81), [(48, 49), (40, 41)])
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


# Lattices


@quick
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4), data=st.data())
def test_lattice_is_centred_and_its_longest_axis_spans_two(
    sizes: list[int], data: st.DataObject
) -> None:
    info = SignalInfo(tuple(Axis("x", n) for n in sizes), ("grey",), "uint8", (0.0, 255.0))
    cells = [data.draw(st.integers(1, 300)) for _ in sizes]
    for axis, (own, count) in enumerate(zip(sizes, cells, strict=True)):
        places = lattice_coordinates(info, cells, axis, np.arange(count))
        np.testing.assert_allclose(places, -places[::-1], atol=1e-12)
        extent = own / max(sizes)
        np.testing.assert_allclose(places[0], -extent + extent / count, atol=1e-12)
        np.testing.assert_allclose(np.diff(places), 2 * extent / count, atol=1e-12)


@pytest.mark.parametrize("lattice", [(5000,), (70, 90), (5, 17, 20)])
def test_points_of_the_lattice_equal_the_render(
    make_view: MakeView, lattice: tuple[int, ...]
) -> None:
    one = layer(make_view, lattice, "float32")
    at = sample_points(one.field, one.info, all_points(lattice))
    samples = render(one.field, one.info)
    np.testing.assert_allclose(at.reshape(samples.shape), samples, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("uint8", 0.501), ("uint16", 1.1)])
def test_integers_are_the_clamped_points_rounded(
    make_view: MakeView, dtype: str, tolerance: float
) -> None:
    one = layer(make_view, (50, 60), dtype)
    at = sample_points(one.field, one.info, all_points((50, 60))).reshape(50, 60, 3)
    samples = render(one.field, one.info).astype(np.float64)
    assert (at < 0).any()
    assert (at > full_range(dtype)[1]).any()
    assert np.abs(samples - np.clip(at, *full_range(dtype))).max() <= tolerance


@quick
@given(size=st.lists(st.integers(1, 90), min_size=2, max_size=2))
@example(size=[1, 1])
@example(size=[48, 40])
@example(size=[96, 80])
def test_samples_of_any_size_are_means_over_their_cells(
    make_view: MakeView, size: list[int]
) -> None:
    one = layer(make_view, (48, 40), "float32")
    cells = [math.ceil(n / m) for n, m in zip((48, 40), size, strict=True)]
    fine = render(one.field, one.info, [n * k for n, k in zip(size, cells, strict=True)])
    blocks = fine.reshape(size[0], cells[0], size[1], cells[1], 3).astype(np.float64)
    found = render(one.field, one.info, size)
    np.testing.assert_allclose(found, blocks.mean((1, 3)), rtol=0, atol=1e-5)


def test_mean_comes_before_clamp_and_rounding(make_view: MakeView) -> None:
    real, whole = (layer(make_view, (48, 40), dtype) for dtype in ("float32", "uint8"))
    mean = render(real.field, real.info, (6, 5)).astype(np.float64)
    found = render(whole.field, whole.info, (6, 5)).astype(np.float64)
    assert np.abs(found - 255 * np.clip(mean, 0, 1)).max() <= 0.501


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (20, 30), (64, 65)])
def test_affine_field_is_its_own_mean(size: tuple[int, int]) -> None:
    spec = SirenSpec(2, 1, 0, 0)
    weights = {"weight0": np.array([[0.25, 0.125]]), "bias0": np.array([0.0])}
    field = Field(spec, {name: array.astype(np.float32) for name, array in weights.items()})
    info = SignalInfo((Axis("y", 20), Axis("x", 30)), ("grey",), "float32", (0.0, 1.0))
    y, x = (lattice_coordinates(info, size, axis, np.arange(size[axis])) for axis in (0, 1))
    expected = 0.5 + 0.25 * y[:, None] + 0.125 * x[None, :]
    np.testing.assert_allclose(render(field, info, size)[..., 0], expected, atol=1e-6)


# Samples


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_code_value_comes_back(dtype: str) -> None:
    _, top = full_range(dtype)
    info = SignalInfo((Axis("x", int(top) + 1),), ("grey",), dtype, full_range(dtype))
    codes = np.arange(int(top) + 1, dtype=dtype)
    np.testing.assert_array_equal(to_samples((codes / top).astype(np.float32), info), codes)


@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [("uint8", (0.0, 255.0)), ("uint16", (0.0, 65535.0)), ("uint16", (100.0, 4095.0))],
)
def test_overshoot_is_clamped_to_the_value_range(
    dtype: str, value_range: tuple[float, float]
) -> None:
    info = SignalInfo((Axis("x", 4),), ("grey",), dtype, value_range)
    values = np.array([-1e30, -0.01, 1.01, 1e30], np.float32)
    low, high = map(int, value_range)
    assert to_samples(values, info).tolist() == [low, low, high, high]
    assert to_samples(np.full(4, np.nan, np.float32), info).tolist() == [low] * 4


# Work


@pytest.mark.parametrize("size", [(2**15, 2**15), (2**40, 2**40), (10**30, 1)])
def test_too_many_samples_are_refused_before_memory_is_taken(
    make_view: MakeView, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    one = layer(make_view, (48, 40))
    refuse_to_work(monkeypatch)
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="samples"):
            render(one.field, one.info, size)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_limits_are_met_exactly(make_view: MakeView) -> None:
    one = layer(make_view, (6, 5))
    work = 30 * one.field.spec.macs_per_sample
    enough = Limits(samples=90, macs=work)
    assert render(one.field, one.info, limits=enough).shape == (6, 5, 3)
    assert len(sample_points(one.field, one.info, all_points((6, 5)), enough)) == 30
    for little, what in [
        (Limits(samples=89, macs=work), "samples"),
        (Limits(samples=90, macs=work - 1), "multiply-accumulates"),
    ]:
        with pytest.raises(LimitError, match=what):
            render(one.field, one.info, limits=little)
        with pytest.raises(LimitError, match=what):
            sample_points(one.field, one.info, all_points((6, 5)), little)


def test_a_mean_counts_all_the_points_it_asks(make_view: MakeView) -> None:
    one = layer(make_view, (60, 50))
    with pytest.raises(LimitError):
        render(one.field, one.info, (1, 1), limits=Limits(samples=60 * 50 * 3 - 1))


# Points


@pytest.mark.parametrize("spare", [-1, 0, 1])
@pytest.mark.parametrize("chunks", [1, 2])
def test_chunks_leave_no_seam(make_view: MakeView, chunks: int, spare: int) -> None:
    one = layer(make_view, (48, 40), "float32")
    points = np.random.default_rng(1).uniform(0, 40, (chunks * reference.CHUNK + spare, 2))
    at = sample_points(one.field, one.info, points)
    assert at.shape == (len(points), 3)
    seam = points[reference.CHUNK - 3 : reference.CHUNK + 3]
    alone = np.concatenate([sample_points(one.field, one.info, p[None]) for p in seam])
    np.testing.assert_allclose(
        at[reference.CHUNK - 3 : reference.CHUNK + 3], alone, rtol=0, atol=1e-5
    )


def test_points_beyond_float32_have_no_value(make_view: MakeView) -> None:
    """And give no warning, whoever asks."""
    view = make_view((9, 7))
    values = view.at(np.array([[3.0, 2.0], [1e39, 0.0], [0.0, -1e300]]))
    assert np.isfinite(values).all(axis=-1).tolist() == [True, False, False]


@quick
@given(seed=st.integers(0, 99), count=st.integers(0, 60))
def test_point_does_not_depend_on_its_company(make_view: MakeView, seed: int, count: int) -> None:
    one = layer(make_view, (48, 40), "float32", [(3, 3, 13)])
    generator = np.random.default_rng(seed)
    points = generator.uniform(-5, 60, (count, 2))
    order = generator.permutation(count)
    at = sample_points(one.field, one.info, points)
    assert at.shape == (count, 3)
    again = sample_points(one.field, one.info, points[order])
    np.testing.assert_allclose(again, at[order], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((3, 3)),
        np.zeros(2),
        np.zeros((1, 3, 2)),
        np.array([[0.0, np.nan]]),
        np.array([[np.inf, 0.0]]),
    ],
    ids=["axes", "vector", "cube", "nan", "infinite"],
)
def test_points_of_another_kind_are_refused(make_view: MakeView, points: np.ndarray) -> None:
    one = layer(make_view, (48, 40))
    with pytest.raises(UsageError, match="points"):
        sample_points(one.field, one.info, points)


# Threads


def test_threads_get_what_one_gets(small_file: bytes) -> None:
    scales = [1.0, 2.0, 0.5, 3.3] * 4
    alone = [inrcodec.decode(small_file, scale=scale).samples for scale in scales]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda scale: inrcodec.decode(small_file, scale=scale).samples, scales)
        for ours, theirs in zip(alone, together, strict=True):
            np.testing.assert_array_equal(theirs, ours)


def test_one_view_serves_many_threads(make_view: MakeView) -> None:
    view = make_view((150, 170), "uint16")
    rows = [view[y] for y in range(0, 150, 10)]
    with ThreadPoolExecutor(8) as pool:
        for ours, theirs in zip(rows, pool.map(lambda y: view[y], range(0, 150, 10)), strict=True):
            np.testing.assert_array_equal(theirs, ours)


DIGEST = """
import hashlib, pathlib, sys
import inrcodec
data = pathlib.Path(sys.argv[1]).read_bytes()
digest = hashlib.sha256()
for scale in (1.0, 3.0, 0.4):
    digest.update(inrcodec.decode(data, scale=scale).samples.tobytes())
print(digest.hexdigest())
"""


def test_threads_of_the_matrix_library_change_nothing(small_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.inrc"
    path.write_bytes(small_file)
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, path],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for threads in ("1", "2")
    }
    here = hashlib.sha256()
    for scale in (1.0, 3.0, 0.4):
        here.update(inrcodec.decode(small_file, scale=scale).samples.tobytes())
    assert digests == {here.hexdigest()}
