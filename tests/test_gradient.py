"""Checks derivatives of fields against differences of them, and coordinates against positions."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.bitstream.wire import Limits
from inrcodec.coding.planes import DenseLatents
from inrcodec.errors import CorruptError, LimitError, UsageError
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.query import interpolation
from inrcodec.query.coordinates import places
from inrcodec.query.kernels.reference import MATHS
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, SignalInfo

MakeView = Callable[..., SignalView]

LATTICES = [(9,), (7, 5), (4, 6, 5), (3, 4, 3, 2)]
every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=str)
every_kind = pytest.mark.parametrize("kind", ["siren", "pyramid"])
quick = settings(deadline=None, max_examples=40)


def pyramid_view(lattice: tuple[int, ...], seed: int = 0) -> SignalView:
    """A random pyramid of three channels, between 100 and 350."""
    spec = PyramidSpec(lattice, 3, 2, (), (5,), 1)
    generator = np.random.default_rng(seed)
    parameters = {
        tensor.name: generator.normal(0, 0.3, tensor.shape).astype(np.float32)
        for tensor in spec.tensors()
    }
    levels = [generator.integers(-3, 4, spec.grid(n)).astype(np.int32) for n in range(2)]
    axes = tuple(Axis(f"axis{number}", size) for number, size in enumerate(lattice))
    info = SignalInfo(axes, ("a", "b", "c"), "float64", (100.0, 350.0))
    return SignalView((Layer(info, Field(spec, parameters, DenseLatents(tuple(levels)))),))


def view_of(kind: str, lattice: tuple[int, ...], make_view: MakeView) -> SignalView:
    if kind == "pyramid":
        return pyramid_view(lattice)
    # The fixture has names for three axes.
    (layer,) = make_view(lattice[-3:], "float32", [(3, 2, 8)]).layers
    return SignalView((replace(layer, info=replace(layer.info, value_range=(100.0, 350.0))),))


def in_double(view: SignalView, points: np.ndarray) -> np.ndarray:
    """`at` in float64 from the definition, to take differences of."""
    (layer,) = view.layers
    low, high = layer.info.value_range
    spec, lattice = layer.field.spec, np.array(layer.info.lattice)
    if isinstance(spec, PyramidSpec):
        values = (np.asarray(view).astype(np.float64) - low) / (high - low)
        return low + (high - low) * np.stack([kernel_sum(values, point) for point in points])
    parameters = {name: each.astype(np.float64) for name, each in layer.field.parameters.items()}
    coordinates = (2 * points + 1 - lattice) / lattice.max()
    found = spec.evaluate(parameters, coordinates, lambda h, w, b: h @ w.T + b, MATHS)
    return low + (high - low) * found


def kernel(distance: float) -> float:
    """K of the specification."""
    whole = int(abs(distance))
    if whole > 2:
        return 0.0
    u = abs(distance) - whole
    piece = interpolation.PIECES[whole]
    return sum(each * u**power for power, each in enumerate(piece)) / interpolation.DENOMINATOR


def kernel_sum(values: np.ndarray, point: np.ndarray) -> np.ndarray:
    for p in point:
        near = np.arange(np.floor(p) - 2, np.floor(p) + 4).astype(int)
        rows = values[np.clip(near, 0, len(values) - 1)]
        values = np.tensordot([kernel(p - j) for j in near], rows, 1)
    return values


def differences(view: SignalView, points: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Central differences `[points, channels, axes]`, of fourth order."""
    slopes = []
    for ahead in step * np.eye(points.shape[1]):
        near, far = (
            in_double(view, points + k * ahead) - in_double(view, points - k * ahead)
            for k in (1, 2)
        )
        slopes.append((8 * near - far) / (12 * step))
    return np.stack(slopes, axis=-1)


# Derivatives


@every_kind
@every_lattice
def test_a_gradient_is_the_limit_of_differences(
    lattice: tuple[int, ...], kind: str, make_view: MakeView
) -> None:
    view = view_of(kind, lattice, make_view)
    sizes = np.array(view.info.lattice)
    points = np.random.default_rng(1).uniform(-3, sizes + 2, (25, len(sizes)))
    points = np.concatenate([points, [np.zeros(len(sizes)), sizes - 1, sizes // 2]])
    found = view.gradient(points)
    assert found.shape == (28, 3, len(sizes))
    assert found.dtype == np.float64
    expected = differences(view, points)
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@every_kind
def test_a_gradient_is_that_of_at(kind: str, make_view: MakeView) -> None:
    view = view_of(kind, (7, 5), make_view)
    points = np.random.default_rng(2).uniform(0, 4, (50, 2))
    for axis, ahead in enumerate(0.01 * np.eye(2)):
        coarse = (view.at(points + ahead) - view.at(points - ahead)) / 0.02
        slopes = view.gradient(points)[..., axis]
        np.testing.assert_allclose(slopes, coarse, atol=0.02 * np.abs(coarse).max())


def test_a_pyramid_has_one_derivative_on_both_sides_of_a_sample() -> None:
    view = pyramid_view((9,))
    inside, ends = np.arange(9.0)[:, None], np.array([[-5.0], [-3.0], [10.0], [11.0]])
    for places_ in (inside, ends):
        before, after = (view.gradient(places_ + side) for side in (-1e-9, 1e-9))
        np.testing.assert_allclose(before, after, atol=1e-4)
    assert (view.gradient(np.array([[-7.0], [-1e9], [14.0], [1e9]])) == 0).all()


def test_layers_keep_their_channels(make_view: MakeView) -> None:
    view = make_view((7, 9), "uint8", [(3, 2, 8), (1, 1, 5)])
    points = np.array([[0.5, 1.5], [6, 8]])
    alone = [SignalView((layer,)).gradient(points) for layer in view.layers]
    np.testing.assert_array_equal(view.gradient(points), np.concatenate(alone, axis=1))


@every_kind
@pytest.mark.parametrize("ask", ["at", "gradient"])
@pytest.mark.parametrize(
    ("points", "what"),
    [
        ([[0.0, np.nan]], "NaN"),
        ([[np.inf, 0.0]], "NaN or infinite"),
        ([0.0, 0.0], "points, 2"),
        ([[0.0, 0.0, 0.0]], "points, 2"),
    ],
)
def test_no_positions(points: Any, what: str, ask: str, kind: str, make_view: MakeView) -> None:
    view = view_of(kind, (7, 5), make_view)
    with pytest.raises(UsageError, match=what):
        getattr(view, ask)(np.array(points))


@every_kind
def test_gradients_of_no_points_and_beyond_limits(kind: str, make_view: MakeView) -> None:
    view = view_of(kind, (7, 5), make_view)
    assert view.gradient(np.empty((0, 2))).shape == (0, 3, 2)
    small = replace(view, limits=Limits(samples=20))
    assert small.at(np.zeros((6, 2))).shape == (6, 3)
    with pytest.raises(LimitError, match="samples"):
        small.gradient(np.zeros((6, 2)))


# Coordinates


def labelled(view: SignalView, coordinates: dict[str, Any], axes: list[Axis]) -> SignalView:
    """The view with other axes, and with labels for its coordinates."""
    (layer,) = view.layers
    metadata = {"labels": json.dumps({"coordinates": coordinates}).encode()}
    layer = replace(layer, info=replace(layer.info, axes=tuple(axes)))
    return replace(view, layers=(layer,), metadata=metadata)


def weather() -> SignalView:
    """Times, uneven levels from top to bottom, and longitudes that the header alone describes."""
    hours = {"values": [0, 6, 12, 18], "dtype": "<i4"}
    hours["attributes"] = {"units": "hours since 2000-02-28 12:00:00.0", "calendar": "standard"}
    levels = {"values": [1000.0, 850.0, 500.0, 200.0, 100.0, 50.0], "dtype": "<f4"}
    axes = [Axis("time", 4), Axis("level", 6, unit="hPa"), Axis("lon", 5, -0.5, 10.0, "degrees")]
    return labelled(pyramid_view((4, 6, 5)), {"time": hours, "level": levels}, axes)


def test_coordinates_are_positions() -> None:
    view = weather()
    points = np.array([[0.5, 1.5, 2.0], [3.0, 4.25, 0.0], [-0.25, 5.25, 4.5]])
    levels = np.array([675.0, 87.5, 37.5])
    found = view.at(time=[3.0, 18.0, -1.5], level=levels, lon=[9.0, 10.0, 7.75])
    np.testing.assert_array_equal(found, view.at(points))
    one = view.at(lon=9.0, level=675, time=3)
    np.testing.assert_array_equal(one, view.at(points[:1])[0])
    table = view.at(time=[[3.0], [18.0]], level=levels, lon=9)
    assert table.shape == (2, 3, 3)
    np.testing.assert_array_equal(table[0, 0], one)


@pytest.mark.parametrize(
    "date",
    [
        np.datetime64("2000-02-29T00"),
        np.datetime64("2000-02-29T00:00:00", "ns"),
        "2000-02-29",
        datetime.datetime(2000, 2, 29),
    ],
)
def test_dates_are_coordinates_of_time(date: Any) -> None:
    view = weather()
    expected = view.at(time=12, level=500, lon=9)
    np.testing.assert_array_equal(view.at(time=date, level=500, lon=9), expected)
    stamps = {"values": [951739200 + 21600 * n for n in range(4)], "dtype": "<M8[s]"}
    again = labelled(view, {"time": stamps}, list(view.info.axes))
    np.testing.assert_array_equal(again.at(time=date, level=2, lon=9), expected)


def test_a_gradient_by_coordinates_is_per_unit() -> None:
    view = weather()
    plain = view.gradient(np.array([[0.5, 1.5, 2.0], [3.0, 1.0, 0.0]]))
    found = view.gradient(time=[3, 18], level=[675, 850], lon=[9, 10])
    assert found.shape == (2, 3, 3)
    # At a level's own coordinate, the gap after it counts.
    np.testing.assert_allclose(found, plain / [6, -350, -0.5], rtol=1e-12)
    assert view.gradient(time=3, level=675, lon=9).shape == (3, 3)


@given(st.data())
@quick
def test_every_sample_lies_at_its_coordinate(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 30))
    gaps = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=size, max_size=size))
    sign = data.draw(st.sampled_from([1, -1]))
    values = sign * (data.draw(st.floats(-1e4, 1e4)) + np.cumsum(gaps))
    labels = {"coordinates": {"x": {"values": values.tolist()}}}
    info = SignalInfo((Axis("x", size),), ("grey",), "float32", (0.0, 1.0))
    found = places(info, {"labels": json.dumps(labels).encode()}, {"x": values})
    np.testing.assert_allclose(found.points[:, 0], np.arange(size), atol=1e-9)
    assert (np.sign(found.per_unit) == (sign if size > 1 else 1)).all()


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"time": 0, "level": 500}, "lon is missing"),
        ({"time": 0, "level": 500, "lon": 9, "x": 1}, "no axis 'x'"),
        ({"time": 0, "level": 500, "lon": 11}, r"11 lies outside 10\.\.8"),
        ({"time": 0, "level": 1080, "lon": 9}, "1080 lies outside"),
        ({"time": [0, 1], "level": [500] * 3, "lon": 9}, "shapes do not fit"),
        ({"time": 0, "level": np.nan, "lon": 9}, "NaN"),
        ({"time": 0, "level": [np.inf, 500], "lon": 9}, "infinite"),
        ({"time": "1999-01-01", "level": 500, "lon": 9}, "outside"),
        ({"time": np.datetime64("NaT"), "level": 500, "lon": 9}, "NaT"),
        ({"time": "noon", "level": 500, "lon": 9}, "neither number nor date"),
        ({"time": 0, "level": "2000-02-29", "lon": 9}, "does not say how numbers are dates"),
        ({"time": 0, "level": True, "lon": 9}, "bool"),
    ],
)
def test_coordinates_that_say_no_place(asked: dict[str, Any], what: str) -> None:
    for ask in (weather().at, weather().gradient):
        with pytest.raises(UsageError, match=what):
            ask(**asked)


def test_points_or_coordinates_and_not_both() -> None:
    with pytest.raises(UsageError, match="one of them"):
        weather().at(np.zeros((1, 3)), time=0)
    with pytest.raises(UsageError, match="missing"):
        weather().at()


@pytest.mark.parametrize(
    "units", ["days since 0001-01-01", "months since 2000-01-01", "days since 2001-02-30", "hours"]
)
def test_dates_in_units_that_are_not_known(units: str) -> None:
    time = {"values": [0, 6, 12, 18], "attributes": {"units": units}}
    view = labelled(weather(), {"time": time}, list(weather().info.axes))
    assert view.at(time=6, level=0, lon=9).shape == (3,)
    with pytest.raises(UsageError, match=r"time: .*give numbers"):
        view.at(time="2000-01-01", level=0, lon=9)


def test_coordinates_that_turn_around_are_refused() -> None:
    view = labelled(pyramid_view((3,)), {"x": {"values": [0, 2, 1]}}, [Axis("x", 3)])
    with pytest.raises(UsageError, match="neither rise nor fall"):
        view.at(x=1)
    assert view.at(np.array([[1.0]])).shape == (1, 3)


@pytest.mark.parametrize(
    "labels",
    [
        b"\xff",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"coordinates": 1}',
        b'{"coordinates": {"x": []}}',
        b'{"coordinates": {"x": {"values": [1, 2]}}}',
        b'{"coordinates": {"x": {"values": "123"}}}',
        b'{"coordinates": {"x": {"values": [1, 2, [3]]}}}',
        b'{"coordinates": {"x": {"values": [1, 2, {}]}}}',
        b'{"coordinates": {"x": {"values": [1, 2, 300], "dtype": "<i1"}}}',
        b'{"coordinates": {"x": {"values": [1, 2, 3], "dtype": "O"}}}',
        b'{"coordinates": {"x": {"values": [1, 2, 3], "dtype": "<M8[M]"}}}',
        b'{"coordinates": {"x": {"values": [1, 2, 3], "dtype": {}}}}',
        b'{"coordinates": {"x": {"values": [1, 2, 3], "attributes": 1}}}',
    ],
)
def test_labels_that_are_damaged(labels: bytes) -> None:
    view = replace(labelled(pyramid_view((3,)), {}, [Axis("x", 3)]), metadata={"labels": labels})
    with pytest.raises(CorruptError, match="labels"):
        view.at(x=1)


@pytest.mark.parametrize(
    "own", [{"dtype": "str", "values": list("abc")}, {"values": [1, 2, "nan"]}], ids=str
)
def test_coordinates_that_are_no_numbers(own: dict[str, Any]) -> None:
    view = labelled(pyramid_view((3,)), {"x": own}, [Axis("x", 3)])
    with pytest.raises(UsageError, match="use positions"):
        view.at(x=1)


def test_a_part_keeps_the_coordinates_of_the_whole() -> None:
    """Its axis counts entries of the table."""
    own = {"x": {"values": [10, 20, 40, 80], "dtype": "<i4"}}
    view = labelled(pyramid_view((3,)), own, [Axis("x", 3, 0.5, 1.0)])
    np.testing.assert_array_equal(
        view.at(x=[20, 30, 35, 40]), view.at(np.array([[0.0], [1.0], [1.5], [2.0]]))
    )


def test_coordinates_of_a_file() -> None:
    x = np.linspace(0, 3, 40)
    axes = [Axis("x", 40, x[1], unit="m")]
    data = inrcodec.encode(np.sin(x), axes=axes, net="2x12", steps=200, rate_weight=1e-7)
    field = inrcodec.open(data)
    asked = np.linspace(0.2, 2.8, 17)
    np.testing.assert_allclose(field.at(x=asked)[:, 0], np.sin(asked), atol=0.15)
    around = (field.at(x=asked + 1e-3) - field.at(x=asked - 1e-3)) / 2e-3
    np.testing.assert_allclose(field.gradient(x=asked)[..., 0], around, atol=0.02)
