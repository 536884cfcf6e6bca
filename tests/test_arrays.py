"""Checks that arrays of one to four axes, of every sample type, become files and come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import inrcodec
from inrcodec.errors import InputError, UsageError
from inrcodec.files.arrays import TYPES, from_array
from inrcodec.signal import Axis, Signal, full_range

QUICK = {"steps": 40, "effort": 1, "quality": 90}

KINDS = {"pyramid": QUICK, "siren": {"steps": 200, "effort": 1, "net": "3x12", "rate_weight": 1e-6}}


def waves(*shape: int, dtype: str = "float32") -> np.ndarray:
    """A smooth array over a good part of what its type can hold."""
    grids = np.meshgrid(
        *[np.linspace(0, 2 + axis, n) for axis, n in enumerate(shape)], indexing="ij"
    )
    values = np.sin(sum(grids)) * 0.4 + 0.1 * np.cos(3 * grids[0])
    low, high = (-50.0, 1000.0) if dtype.startswith("float") else full_range(dtype)
    return (low + (high - low) * (0.5 + 0.9 * values)).astype(dtype)


def error(array: np.ndarray, decoded: Signal) -> float:
    """Largest difference as a part of the range."""
    low, high = decoded.info.value_range
    ours = array.reshape(decoded.samples.shape).astype(np.float64)
    return float(np.abs(ours - decoded.samples.astype(np.float64)).max() / (high - low))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_volume_of_every_type_comes_back(dtype: str, kind: str) -> None:
    volume = waves(6, 12, 10, dtype=dtype)
    data = inrcodec.encode(volume, **KINDS[kind])
    decoded = inrcodec.decode(data)
    assert decoded.samples.shape == (6, 12, 10, 1)
    assert decoded.samples.dtype == volume.dtype == np.dtype(dtype)
    assert [axis.name for axis in decoded.info.axes] == ["z", "y", "x"]
    assert decoded.info.channels == ("value0",)
    assert decoded.info.value_range == pytest.approx((volume.min(), volume.max()))
    assert error(volume, decoded) < 0.35


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40,), (9, 11), (5, 9, 8), (3, 5, 6, 7), (1, 1, 1), (1, 30, 1)])
def test_a_window_is_the_same_window_of_the_whole(shape: tuple[int, ...], kind: str) -> None:
    axes = [Axis(f"axis{index}", size) for index, size in enumerate(shape)]
    view = inrcodec.open(inrcodec.encode(waves(*shape), axes=axes, **KINDS[kind]))
    whole = view.resize(view.info.lattice)
    window = [(size // 3, max(size // 3 + 1, size - 1)) for size in shape]
    part = view.resize(shape, window)
    assert (part == whole[tuple(slice(*ends) for ends in window)]).all()
    points = np.array([[size // 2 for size in shape]], np.float64)
    middle = whole[tuple(size // 2 for size in shape)]
    span = float(np.ptp(view.info.value_range))
    assert view.at(points)[0] == pytest.approx(middle, abs=1e-5 * span)


@pytest.mark.parametrize(
    ("shape", "kept"), [((7, 40), 1), ((5, 12, 14), 1), ((3, 4, 30), 2), ((2, 3, 8, 9), 2)]
)
def test_axes_may_be_kept(shape: tuple[int, ...], kept: int) -> None:
    """Every level has all samples along them; crops, sizes and targets are those of any file."""
    axes = [Axis(f"axis{index}", size) for index, size in enumerate(shape)]
    array = waves(*shape, dtype="uint8")
    settings = {"axes": axes, "kept": kept, "steps": 25, "effort": 1}
    data = inrcodec.encode(array, quality=80, **settings)
    described = inrcodec.info(data)
    assert (described["format"], described["tracks"][0]["kept"]) == ("1.2", kept)
    view = inrcodec.open(data)
    assert [view.layers[0].field.spec.grid(3)[axis] for axis in range(kept)] == [*shape[:kept]]
    whole = view.resize(shape)
    assert np.sqrt(np.mean((whole - array[..., None].astype(float)) ** 2)) < 15
    window = [(size // 3, max(size // 3 + 1, size - 1)) for size in shape]
    place = tuple(slice(*ends) for ends in window)
    assert (view.resize(shape, window) == whole[place]).all()
    size = [2 * n for n in shape]
    assert (view.resize(size, window) == view.resize(size)[place]).all()
    points = np.argwhere(np.ones(shape))[:: 1 + array.size // 50]
    found = view.at(points).clip(*view.info.value_range)
    assert found == pytest.approx(whole[tuple(points.T)], abs=0.51)
    assert len(inrcodec.encode(array, target_size=len(data) - 12, **settings)) <= len(data) - 12


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"kept": 3}, "kept 3: the signal has 3 axes"),
        ({"kept": 4}, "kept 4: a number"),
        ({"kept": -1}, "kept -1: a number"),
        ({"kept": 1, "kind": "siren"}, "a pyramid is needed"),
        ({"kept": 1, "kind": "auto"}, "a pyramid is needed"),
    ],
)
def test_axes_that_cannot_be_kept_are_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        inrcodec.encode(waves(3, 4, 5), **settings)


def test_an_array_is_resampled_along_every_axis() -> None:
    data = inrcodec.encode(waves(6, 12, 10), **KINDS["siren"])
    large = inrcodec.decode(data, scale=2)
    assert large.samples.shape == (12, 24, 20, 1)
    assert [axis.spacing for axis in large.info.axes] == [0.5] * 3
    small = inrcodec.decode(data, size=(3, 6, 5))
    assert error(waves(6, 12, 10)[::2, ::2, ::2], small) < 0.6


def test_channels_follow_the_axes_that_are_named() -> None:
    array = np.stack([waves(20, 30), -waves(20, 30)], axis=-1)
    signal = from_array(array, axes=("lat", "lon"))
    assert signal.info.channels == ("value0", "value1")
    assert [(axis.name, axis.size) for axis in signal.info.axes] == [("lat", 20), ("lon", 30)]
    decoded = inrcodec.decode(inrcodec.encode(array, axes=("lat", "lon"), **QUICK))
    assert decoded.info == signal.info


def test_geometry_comes_back() -> None:
    axes = Axis("depth", 5, -2.5, 100.0, "m"), Axis("lat", 6, 0.1, -89.95), Axis("lon", 7)
    data = inrcodec.encode(waves(5, 6, 7), axes=axes, **QUICK)
    assert inrcodec.decode(data).info.axes == axes
    corner = inrcodec.decode(data, crop=((1, 3), (0, 6), (2, 7)))
    assert corner.info.axes[0] == Axis("depth", 2, -2.5, 97.5, "m")


def test_byte_order_and_strides_do_not_matter() -> None:
    volume = waves(6, 8, 10, dtype="int16")
    plain = inrcodec.encode(volume, **QUICK)
    assert inrcodec.encode(volume.astype(">i2"), **QUICK) == plain
    assert inrcodec.encode(np.asfortranarray(volume), **QUICK) == plain
    padded = np.zeros((12, 8, 20), np.int16)
    padded[::2, :, ::2] = volume
    assert inrcodec.encode(padded[::2, :, ::2], **QUICK) == plain


@pytest.mark.parametrize(
    ("wide", "narrow"), [("int64", "int32"), ("uint64", "uint32"), ("bool", "uint8")]
)
def test_wide_types_become_narrow_ones_that_hold_them(wide: str, narrow: str) -> None:
    array = np.arange(20).reshape(4, 5).astype(wide)
    signal = from_array(array)
    assert signal.info.dtype == narrow
    assert signal.info.channels == ("value0",)
    assert (signal.samples[..., 0] == array).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("value", [0.0, 7, 101.3, "lowest", "highest"])
def test_a_constant_volume_is_exact(value: float | str, dtype: str) -> None:
    if isinstance(value, str):
        value = full_range(dtype)[value == "highest"] if dtype[0] in "iu" else -3.3e-20
    volume = np.full((4, 5, 6), value, dtype)
    data = inrcodec.encode(volume, **QUICK)
    assert len(data) < 80
    assert (inrcodec.decode(data).samples[..., 0] == volume).all()
    assert (inrcodec.decode(data, scale=1.5).samples == volume[0, 0, 0]).all()


def test_pictures_stay_pictures() -> None:
    assert from_array(np.zeros((4, 5, 3), np.uint8)).info.channels == ("red", "green", "blue")
    assert from_array(np.zeros((4, 5))).info.channels == ("grey",)
    assert from_array(np.zeros((4, 5, 3), np.uint8), "zyx").info.channels == ("value0",)
    assert from_array(np.zeros((4, 5), np.int16)).info.channels == ("value0",)


@pytest.mark.parametrize(
    ("array", "axes", "what"),
    [
        (np.zeros((2, 2, 2, 2, 2)), None, "5 dimensions"),
        (np.zeros((2, 2, 2)), ("y",), "3 dimensions for 1 axes"),
        (np.zeros((2, 2, 2)), ("a", "b", "c", "d"), "3 dimensions for 4 axes"),
        (np.zeros((2, 2, 2)), ("y", "y", "x"), "twice"),
        (np.zeros((2, 2, 2)), ("", "y", "x"), "''"),
        (np.zeros((2, 2, 2)), (Axis("z", 3), "y", "x"), "axis z of 3"),
        (np.zeros((2, 2, 2)), "zyxwv", "5 axes"),
        (np.zeros((0, 2, 2)), None, "no samples"),
        (np.zeros((2, 2, 2), np.complex64), None, "complex64"),
        (np.full((2, 2, 2), -(2**40)), None, "do not fit int32"),
        (np.full((2, 2, 2), 2**33, np.uint64), None, "do not fit uint32"),
        (np.array([[None] * 3] * 3), None, "object"),
        (np.array("text"), None, "<U4"),
        (np.float32(1.0), None, "0 dimensions"),
    ],
)
def test_what_is_no_array_of_samples_is_refused(array: object, axes: object, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        inrcodec.encode(array, axes=axes)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e38])
def test_samples_that_are_no_numbers_are_refused(bad: float) -> None:
    volume = waves(4, 5, 6)
    volume[1, 2, 3] = bad
    with pytest.raises(InputError, match=r"NaN|scale"):
        inrcodec.encode(volume)


def test_a_signal_may_have_axes_of_its_own() -> None:
    signal = from_array(waves(4, 5, 6, dtype="uint16"))
    axes = tuple(replace(axis, unit="µm", spacing=0.5) for axis in signal.info.axes)
    signal = replace(signal, info=replace(signal.info, axes=axes))
    assert inrcodec.decode(inrcodec.encode(signal, **QUICK)).info == signal.info


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_offset_does_not_widen_the_range(kind: str) -> None:
    volume = waves(5, 6, 7).astype(np.float64) / 50 + 1e9
    decoded = inrcodec.decode(inrcodec.encode(volume, **KINDS[kind]))
    assert decoded.info.value_range == (volume.min(), volume.max())
    assert error(volume, decoded) < 0.35


def test_a_bound_holds_beside_a_large_offset() -> None:
    volume = waves(5, 6, 7).astype(np.float64) / 50 + 101325
    decoded = inrcodec.decode(inrcodec.encode(volume, **QUICK | {"quality": None}, max_error="1%"))
    assert error(volume, decoded) <= 0.01


def test_many_channels_are_coded() -> None:
    array = waves(12, 14, 6)
    decoded = inrcodec.decode(inrcodec.encode(array, axes="yx", effort=1, steps=5))
    assert decoded.samples.shape == (12, 14, 6)
    assert len(decoded.info.channels) == 6
