"""Checks xarray's engine: labelled values, computed where they are asked."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.errors import CorruptError, InrcodecError
from inrcodec.files.arrays import from_array
from inrcodec.plugins.xarray import InrcodecBackend, ViewArray
from inrcodec.query.view import SignalView
from inrcodec.signal import Axis

QUICK: dict[str, Any] = {"effort": 1, "steps": 8, "quality": 90}

HOURS = {"values": [0, 6, 12], "dtype": "<i4", "attributes": {"units": "hours since 2000-01-01"}}
LATS = {"values": [60.0, 50.0, 42.5, 30.0], "dtype": "<f4", "attributes": {"axis": "Y"}}
LABELS = {
    "name": "air",
    "attributes": {"units": "K", "long_name": "temperature", "levels": [1, 2]},
    "coordinates": {"time": HOURS, "lat": LATS},
}
AXES = (Axis("time", 3), Axis("lat", 4, unit="degrees_north"), Axis("lon", 10, 2.5, -5.0, "deg"))


def written(path: Path, array: np.ndarray, axes: Any, labels: Mapping[str, Any] | None) -> Path:
    metadata = {} if labels is None else {"labels": json.dumps(labels).encode()}
    signal = replace(from_array(array, axes), metadata=metadata)
    path.write_bytes(inrcodec.encode(signal, **QUICK))
    return path


def waves(*shape: int, dtype: str = "float32") -> np.ndarray:
    return (280 + 20 * np.sin(np.indices(shape).sum(axis=0) / 3)).astype(dtype)


@pytest.fixture(scope="module")
def climate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Temperatures by time, latitude and longitude; the name says nothing."""
    path = tmp_path_factory.mktemp("xarray") / "climate.bin"
    return written(path, waves(3, 4, 10), AXES, LABELS)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What views are asked to compute."""
    asked: list[Any] = []
    resize = SignalView.resize

    def watched(self: SignalView, size: Any, window: Any = None) -> Any:
        asked.append(window)
        return resize(self, size, window)

    monkeypatch.setattr(SignalView, "resize", watched)
    return asked


def test_a_file_is_a_labelled_array(climate: Path) -> None:
    with xarray.open_dataset(climate, engine="inrcodec") as data:
        air = data["air"]
        assert air.dims == ("time", "lat", "lon")
        assert air.dtype == np.float32
        assert air.attrs == {"units": "K", "long_name": "temperature", "levels": [1, 2]}
        expected = inrcodec.decode(climate).samples[..., 0]
        np.testing.assert_array_equal(air.values, expected)
        times = np.array(["2000-01-01T00", "2000-01-01T06", "2000-01-01T12"], "M8[ns]")
        np.testing.assert_array_equal(data["time"].values, times)
        assert data["lat"].dtype == np.float32
        assert data["lat"].values.tolist() == LATS["values"]
        assert data["lat"].attrs == {"axis": "Y", "units": "degrees_north"}
        np.testing.assert_array_equal(data["lon"].values, -5 + 2.5 * np.arange(10))
        found = air.sel(time="2000-01-01T06", lat=50, lon=slice(0, 5))
        np.testing.assert_array_equal(found, expected[1, 1, 2:5])
        nearest = air.sel(lat=41, lon=[16, -5], method="nearest").isel(time=-1)
        np.testing.assert_array_equal(nearest, expected[2, 2, [8, 0]])


def test_what_is_asked_alone_is_computed(climate: Path, windows: list[Any]) -> None:
    data = xarray.open_dataset(climate, engine="inrcodec")
    air = data["air"].isel(time=1)[1:, ::2]
    assert windows == []
    assert air.sel(lat=30).values.shape == (5,)
    assert windows.pop() == [(1, 2), (3, 4), (0, 9)]
    assert air.isel(lat=[2, 0], lon=[1, 2]).values.shape == (2, 2)
    assert windows.pop() == [(1, 2), (1, 4), (2, 5)]
    assert not windows


@given(st.data())
@settings(deadline=None, max_examples=25)
def test_every_index_is_that_of_the_array(data: st.DataObject) -> None:
    array = np.arange(120).reshape(3, 4, 10)
    lazy = _lazy(array)
    ours = xarray.Variable(("a", "b", "c"), xarray.core.indexing.LazilyIndexedArray(lazy))
    theirs = xarray.Variable(("a", "b", "c"), array)
    for _ in range(2):
        key = {}
        for name, size in theirs.sizes.items():
            places = st.integers(-size, size - 1)
            # xarray itself fails where a slice runs backwards over nothing.
            some = st.slices(size).filter(lambda s, n=size: range(n)[s])
            lists = st.lists(places, min_size=1, max_size=4)
            key[name] = data.draw(st.one_of(places, some, lists))
        ours, theirs = ours.isel(key), theirs.isel(key)
        assert ours.dims == theirs.dims
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_points_are_computed_together(climate: Path) -> None:
    air = xarray.open_dataset(climate, engine="inrcodec")["air"]
    points = {"lat": ("n", [0, 3, 1]), "lon": ("n", [9, 0, 4])}
    chosen = {name: xarray.DataArray(index, dims=dims) for name, (dims, index) in points.items()}
    np.testing.assert_array_equal(
        air.isel(chosen).values, air.values[:, points["lat"][1], points["lon"][1]]
    )


def test_dask_takes_chunks(climate: Path, windows: list[Any]) -> None:
    pytest.importorskip("dask")
    data = xarray.open_dataset(climate, engine="inrcodec", chunks={"time": 1, "lon": 5})
    assert data["air"].chunks == ((1, 1, 1), (4,), (5, 5))
    found = data["air"].isel(time=2, lon=slice(5, None)).compute(scheduler="threads")
    assert windows == [[(2, 3), (0, 4), (5, 10)]]
    np.testing.assert_array_equal(found, inrcodec.open(climate)[2, :, 5:, 0])


def test_the_magic_decides(climate: Path, tmp_path: Path) -> None:
    with xarray.open_dataset(climate) as found:
        assert list(found) == ["air"]
    backend = InrcodecBackend()
    data = climate.read_bytes()
    file = io.BytesIO(data)
    assert backend.guess_can_open(file)
    assert file.tell() == 0
    assert backend.guess_can_open(data)
    assert backend.guess_can_open(str(climate))
    other = tmp_path / "other.inrc"
    other.write_bytes(b"CDF\x01" + data)
    for source in (other, tmp_path / "missing", tmp_path, "https://example.org/x.inrc", 7, b"CDF"):
        assert not backend.guess_can_open(source)
    with pytest.raises(InrcodecError, match="not a"):
        xarray.open_dataset(other, engine="inrcodec")
    with pytest.raises(InrcodecError, match="no such file"):
        xarray.open_dataset(tmp_path / "missing", engine="inrcodec")
    assert list(xarray.open_dataset(io.BytesIO(data), engine="inrcodec")) == ["air"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_types_and_channels_are_kept(dtype: str, tmp_path: Path) -> None:
    array = np.stack([waves(4, 5, dtype="float32") / 3, waves(4, 5) / 4], -1).astype(dtype)
    path = written(
        tmp_path / "x.inrc",
        array,
        "yx",
        {"coordinates": {"channel": {"dtype": "str", "values": ["u", "v"]}}},
    )
    data = xarray.open_dataset(path, engine="inrcodec")
    assert data["values"].dims == ("y", "x", "channel")
    assert data["values"].dtype == dtype
    assert data["channel"].values.tolist() == ["u", "v"]
    np.testing.assert_array_equal(
        data["values"].sel(channel="v"), inrcodec.decode(path).samples[..., 1]
    )
    assert set(data.coords) == {"channel"}
    assert not xarray.open_dataset(path, engine="inrcodec", drop_variables="values").data_vars


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    labels = {"attributes": {"scale_factor": 0.5, "add_offset": 100.0}}
    path = written(tmp_path / "x.inrc", waves(5, 6, dtype="int16"), "yx", labels)
    expected = inrcodec.decode(path).samples[..., 0]
    found = xarray.open_dataset(path, engine="inrcodec")["values"]
    np.testing.assert_allclose(found, 100 + 0.5 * expected)
    raw = xarray.open_dataset(path, engine="inrcodec", mask_and_scale=False)["values"]
    np.testing.assert_array_equal(raw, expected)


def test_everything_that_labels_say_is_there(tmp_path: Path) -> None:
    labels = {
        "name": "y",
        "attributes": {"_FillValue": {"dtype": "<i2", "value": -1}},
        "coordinates": {
            "y": {"dtype": "str", "values": ["a", "b", "c", "d", "e"]},
            "height": {"dtype": "<f4", "values": 2.0, "attributes": {"units": "m"}},
        },
        "dataset": {"title": "waves"},
    }
    path = written(tmp_path / "x.inrc", waves(5, 6, dtype="int16"), "yx", labels)
    data = xarray.open_dataset(path, engine="inrcodec", mask_and_scale=False)
    assert data.attrs == {"title": "waves"}
    assert data["height"].item() == 2.0
    fill = data["y_values"].attrs["_FillValue"]
    assert (fill, fill.dtype) == (-1, np.int16)
    np.testing.assert_array_equal(data["y_values"].sel(y="d"), inrcodec.open(path)[3, :, 0])


def test_a_variable_of_netcdf_is_the_same_one_here(tmp_path: Path) -> None:
    levels = np.array([1000.0, 850.0, 500.0, 100.0], np.float32)
    times = np.array(["2000-01-01", "2000-01-02", "2000-01-05"], "M8[ns]")
    source = xarray.Dataset(
        {"u": (("time", "level", "x"), waves(3, 4, 6), {"units": "m/s"})},
        {"time": times, "level": ("level", levels, {"units": "hPa"}), "x": np.arange(6) * 0.25},
        {"title": "winds"},
    )
    source.to_netcdf(tmp_path / "u.nc", engine="h5netcdf")
    data = inrcodec.encode(tmp_path / "u.nc", keep=("labels", "dataset"), **QUICK)
    (tmp_path / "u.inrc").write_bytes(data)
    with xarray.open_dataset(tmp_path / "u.inrc", engine="inrcodec") as found:
        xarray.testing.assert_identical(found.drop_vars("u"), source.drop_vars("u"))
        assert found["u"].attrs == source["u"].attrs
        one = found["u"].sel(time="2000-01-02", level=500, x=0.75)
    asked = {"time": np.datetime64("2000-01-02"), "level": 500, "x": 0.75}
    assert inrcodec.open(data).at(**asked) == pytest.approx(one.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "error", "what"),
    [
        ({"coordinates": [1]}, CorruptError, "labels"),
        ({"attributes": "K"}, CorruptError, "attributes"),
        ({"coordinates": {"y": {"values": [1]}}}, CorruptError, "dtype of coordinate y"),
        ({"attributes": {"a": {"dtype": "O", "value": 1}}}, CorruptError, "dtype 'O'"),
    ],
)
def test_labels_that_make_no_dataset(
    labels: Any, error: type[InrcodecError], what: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "x.inrc", np.zeros((5, 6)), "yx", labels)
    with pytest.raises(error, match=what):
        xarray.open_dataset(path, engine="inrcodec")


def _lazy(array: np.ndarray) -> ViewArray:
    """The backend's array of something in the place of a view."""

    class View:
        shape, dtype = (*array.shape, 1), array.dtype

        def __getitem__(self, key: Any) -> np.ndarray:
            assert all(isinstance(part, slice) for part in key)
            return array[..., None][key]

    view: Any = View()
    return ViewArray(view, array.shape)
