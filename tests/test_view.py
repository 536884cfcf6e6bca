"""Checks that a view behaves as the array it stands for, and tells where its samples lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import inrcodec
from inrcodec.bitstream.wire import Limits
from inrcodec.errors import InrcodecError, LimitError, UsageError
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.query import view as view_module
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, SignalInfo

MakeView = Callable[..., SignalView]

NETS = {"colours": [(3, 2, 8)], "colours and alpha": [(3, 2, 8), (1, 1, 5)]}
LATTICES = [(20,), (7, 9), (3, 4, 5)]

quick = settings(deadline=None, max_examples=60)
every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=str)


# As an array


@every_lattice
@pytest.mark.parametrize("nets", NETS.values(), ids=NETS.keys())
def test_view_has_the_shape_and_type_of_its_array(
    make_view: MakeView, lattice: tuple[int, ...], nets: list[tuple[int, int, int]]
) -> None:
    view = make_view(lattice, "uint16", nets)
    array = np.asarray(view)
    channels = sum(net[0] for net in nets)
    assert view.shape == array.shape == (*lattice, channels)
    assert view.dtype == array.dtype == np.uint16
    assert len(view.info.channels) == channels
    assert view.info.lattice == lattice


def test_array_is_read_in_any_type(make_view: MakeView) -> None:
    view = make_view((7, 9))
    samples = np.asarray(view)
    assert np.asarray(view, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.asarray(view, np.float64), samples)
    np.testing.assert_array_equal(np.array(view, copy=True), samples)
    np.testing.assert_array_equal(np.stack([view, view])[1], samples)


def test_array_without_a_copy_is_impossible(make_view: MakeView) -> None:
    with pytest.raises(ValueError, match="copy"):
        np.array(make_view((7, 9)), copy=False)


def test_rows_come_one_after_the_other(make_view: MakeView) -> None:
    view = make_view((7, 9))
    rows = list(view)
    assert len(rows) == 7
    np.testing.assert_array_equal(np.stack(rows), np.asarray(view))


def test_view_names_its_fields(make_view: MakeView) -> None:
    text = repr(make_view((7, 9), nets=NETS["colours and alpha"]))
    for part in ("(7, 9, 4)", "uint8", "2x8", "1x5"):
        assert part in text


def test_layers_give_channels_in_their_order(make_view: MakeView) -> None:
    view = make_view((7, 9), nets=NETS["colours and alpha"])
    alone = [np.asarray(SignalView((layer,))) for layer in view.layers]
    np.testing.assert_array_equal(view[...], np.concatenate(alone, axis=-1))
    points = np.array([[0.5, 1.5], [6, 8]])
    at = [SignalView((layer,)).at(points) for layer in view.layers]
    np.testing.assert_array_equal(view.at(points), np.concatenate(at, axis=-1))


# Indexing


@every_lattice
@pytest.mark.parametrize("nets", NETS.values(), ids=NETS.keys())
@quick
@given(data=st.data())
def test_index_means_what_numpy_means(
    make_view: MakeView,
    lattice: tuple[int, ...],
    nets: list[tuple[int, int, int]],
    data: st.DataObject,
) -> None:
    view = make_view(lattice, nets=nets)
    index = data.draw(basic_indices(view.shape, allow_ellipsis=True))
    found = view[index]
    expected = np.asarray(view)[index]
    assert np.shape(found) == np.shape(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[3],
        np.s_[-1],
        np.s_[2:5, 1:3],
        np.s_[::-1],
        np.s_[::3, ::-2],
        np.s_[-2:0:-2],
        np.s_[5:2],
        np.s_[99:, -99:2],
        np.s_[...],
        np.s_[..., 0],
        np.s_[1, ..., -1],
        np.s_[:, :, ::-1],
        np.s_[1, 2, 0],
        np.s_[()],
        np.s_[1:1, ..., :0],
        np.s_[np.int64(2), np.uint8(3)],
        np.s_[1, 2, 0, ...],
    ],
    ids=repr,
)
def test_common_index_means_what_numpy_means(make_view: MakeView, index: Any) -> None:
    view = make_view((7, 9))
    found, expected = view[index], np.asarray(view)[index]
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "index",
    [
        7,
        -8,
        (0, 9),
        (..., 3),
        (..., -4),
        (0, 0, 0, 0),
        (..., ...),
        None,
        (None, 0),
        True,
        1.0,
        "y",
        [1, 2],
        np.array([1, 2]),
        np.ones((7, 9), bool),
        slice(0.5, 3),
        slice(None, None, 0),
        (..., slice(None, None, 0)),
        slice("a", None),
        (0, slice(1.0)),
    ],
    ids=lambda index: repr(index)[:30],
)
def test_other_index_is_refused(make_view: MakeView, index: Any) -> None:
    with pytest.raises(UsageError, match="index"):
        make_view((7, 9))[index]


def test_index_computes_only_the_window_around_it(
    make_view: MakeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(field: Any, info: Any, size: Any, window: Any, *rest: Any) -> Any:
        asked.append([tuple(bounds) for bounds in window])
        return real(field, info, size, window, *rest)

    real = view_module.render
    monkeypatch.setattr(view_module, "render", spy)
    view = make_view((70, 90))
    _ = view[5], view[10:20:4, -3:], view[60:50:-5]
    assert asked == [[(5, 6), (0, 90)], [(10, 19), (87, 90)], [(55, 61), (0, 90)]]


# Other sizes


@every_lattice
def test_native_size_is_the_file_itself(make_view: MakeView, lattice: tuple[int, ...]) -> None:
    view = make_view(lattice, nets=NETS["colours and alpha"])
    np.testing.assert_array_equal(view.resize(lattice), view.read().samples)
    np.testing.assert_array_equal(view.resize(lattice), view[...])
    assert view.read().info == view.info


@quick
@given(
    size=st.tuples(*[st.integers(1, 40)] * 2),
    ends=st.tuples(*[st.tuples(st.floats(0, 1), st.floats(0, 1))] * 2),
)
def test_window_of_a_size_is_the_same_part_of_it(
    make_view: MakeView, size: tuple[int, int], ends: tuple[tuple[float, float], ...]
) -> None:
    view = make_view((17, 23), nets=NETS["colours and alpha"])
    window = [tuple(sorted((int(a * n), int(b * n)))) for n, (a, b) in zip(size, ends, strict=True)]
    whole = view.resize(size)
    part = whole[tuple(slice(start, stop) for start, stop in window)]
    np.testing.assert_array_equal(view.resize(size, window), part)
    np.testing.assert_array_equal(view.read(size, window).samples, part)


@pytest.mark.parametrize(
    "size", [(4,), (4, 4, 4), (0, 4), (4, -1), (4, 1.5), (4, float("nan")), (), (4, "a")], ids=repr
)
def test_impossible_size_is_refused(make_view: MakeView, size: Any) -> None:
    view = make_view((7, 9))
    for ask in (view.resize, view.read):
        with pytest.raises(UsageError, match="size"):
            ask(size)


@pytest.mark.parametrize(
    "window",
    [
        [(0, 7)],
        [(0, 7)] * 3,
        [(0, 8), (0, 9)],
        [(-1, 7), (0, 9)],
        [(4, 3), (0, 9)],
        [(0, 7), (0, 1.5)],
        [(0, 7), (0, float("nan"))],
        [(0, 7), (0, 1, 2)],
    ],
    ids=repr,
)
def test_impossible_window_is_refused(make_view: MakeView, window: Any) -> None:
    view = make_view((7, 9))
    for ask in (view.resize, view.read):
        with pytest.raises(UsageError, match="crop"):
            ask((7, 9), window)


def test_limits_hold_for_every_way_to_ask(make_view: MakeView) -> None:
    view = replace(make_view((7, 9)), limits=Limits(samples=7 * 9 * 3 - 1))
    ask: list[Callable[[], Any]] = [
        lambda: view[...],
        lambda: view.read(),
        lambda: view.resize((70, 90)),
        lambda: np.asarray(view),
        lambda: view.at(np.zeros((63, 2))),
    ]
    for one in ask:
        with pytest.raises(LimitError):
            one()
    assert view[:6].shape == (6, 9, 3)
    assert view.at(np.zeros((62, 2))).shape == (62, 3)


# Where samples lie


def positions_view(axes: tuple[Axis, ...]) -> SignalView:
    """A view whose values are its own field coordinates."""
    count = len(axes)
    spec = SirenSpec(count, count, 0, 0)
    parameters = {
        "weight0": np.eye(count, dtype=np.float32),
        "bias0": np.full(count, -0.5, np.float32),
    }
    names = tuple(axis.name for axis in axes)
    info = SignalInfo(axes, names, "float32", (0.0, 1.0))
    return SignalView((Layer(info, Field(spec, parameters)),))


@st.composite
def axes_and_windows(draw: st.DrawFn) -> tuple[tuple[Axis, ...], list[int], list[tuple[int, int]]]:
    axes, size, window = [], [], []
    for name in "zyx"[-draw(st.integers(1, 3)) :]:
        spacing = draw(st.floats(0.01, 100)) * draw(st.sampled_from([-1, 1]))
        axes.append(Axis(name, draw(st.integers(1, 30)), spacing, draw(st.floats(-100, 100)), "mm"))
        size.append(draw(st.integers(1, 60)))
        start = draw(st.integers(0, size[-1] - 1))
        window.append((start, draw(st.integers(start + 1, size[-1]))))
    return tuple(axes), size, window


@quick
@given(request=axes_and_windows())
def test_sample_keeps_its_physical_position(
    request: tuple[tuple[Axis, ...], list[int], list[tuple[int, int]]],
) -> None:
    axes, size, window = request
    view = positions_view(axes)
    read = view.read(size, window)
    assert read.info.lattice == read.samples.shape[:-1]
    longest = max(view.info.lattice)
    for place, (native, after) in enumerate(zip(axes, read.info.axes, strict=True)):
        assert (after.name, after.unit) == (native.name, native.unit)
        along = np.moveaxis(read.samples[..., place], place, 0).reshape(after.size, -1)[:, 0]
        native_index = (along.astype(np.float64) * longest + native.size - 1) / 2
        wanted = native.origin + native.spacing * native_index
        found = after.origin + after.spacing * np.arange(after.size)
        tolerance = 1e-5 * abs(native.spacing) * longest
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@quick
@given(spacing=st.floats(1e-9, 1e9), origin=st.floats(-1e9, 1e9), size=st.integers(1, 40))
def test_native_signal_keeps_its_geometry_to_the_last_bit(
    spacing: float, origin: float, size: int
) -> None:
    axis = Axis("x", size, spacing, origin, "nm")
    assert positions_view((axis,)).read().info.axes == (axis,)


def test_crop_moves_the_origin_and_scale_divides_the_spacing() -> None:
    view = positions_view((Axis("y", 8, 2.0, 10.0, "mm"), Axis("x", 4, 0.5, 0.0, "mm")))
    assert view.read(window=[(3, 5), (0, 4)]).info.axes == (
        Axis("y", 2, 2.0, 16.0, "mm"),
        Axis("x", 4, 0.5, 0.0, "mm"),
    )
    assert view.read((16, 2)).info.axes == (
        Axis("y", 16, 1.0, 9.5, "mm"),
        Axis("x", 2, 1.0, 0.25, "mm"),
    )


def test_empty_window_is_an_empty_signal(make_view: MakeView) -> None:
    read = make_view((7, 9)).read(window=[(3, 3), (0, 9)])
    assert read.samples.shape == (0, 9, 3)
    assert read.info.lattice == (0, 9)


def test_metadata_go_with_what_is_read(make_view: MakeView) -> None:
    view = replace(make_view((7, 9)), metadata={"icc": b"profile"})
    assert view.read((3, 3)).metadata == {"icc": b"profile"}


# Of a file


def test_file_opens_as_a_view_of_what_decode_gives(small_file: bytes, photo: np.ndarray) -> None:
    view = inrcodec.open(small_file)
    signal = inrcodec.decode(small_file)
    assert view.shape == photo.shape
    assert view.dtype == photo.dtype
    np.testing.assert_array_equal(view[...], signal.samples)
    np.testing.assert_array_equal(
        inrcodec.decode(small_file, scale=2, crop=[(10, 30), (5, 6)]).samples,
        view.resize((96, 80))[10:30, 5:6],
    )
    np.testing.assert_array_equal(
        inrcodec.decode(small_file, size=(5, 6)).samples, view.resize((5, 6))
    )


@pytest.mark.parametrize(
    "request_",
    [
        {"scale": 0},
        {"scale": -1},
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"scale": 2, "size": (4, 4)},
        {"size": (4,)},
        {"crop": [(0, 4)]},
        {"crop": [(0, 49), (0, 40)]},
        {"size": (2**20, 2**20)},
        {"scale": 2**20},
    ],
    ids=repr,
)
def test_decode_refuses_what_makes_no_sense(small_file: bytes, request_: dict[str, Any]) -> None:
    with pytest.raises(InrcodecError):
        inrcodec.decode(small_file, **request_)


@pytest.mark.parametrize("scale", [0.001, 0.3, 0.5, 1, 1.49, 3])
def test_scale_rounds_every_axis_and_keeps_one_sample(small_file: bytes, scale: float) -> None:
    shape = inrcodec.decode(small_file, scale=scale).samples.shape
    assert shape == (max(1, round(48 * scale)), max(1, round(40 * scale)), 3)
