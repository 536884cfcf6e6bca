"""Checks that array files become signals and come back with their names, places and attributes."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import inrcodec
from inrcodec.cli import main
from inrcodec.errors import CorruptError, ExitCode, InputError, UnsupportedError, UsageError
from inrcodec.files.arrays import TYPES
from inrcodec.files.coordinates import (
    coordinate_values,
    described_axis,
    native_attributes,
    plain_attributes,
)
from inrcodec.files.formats import write_signal
from inrcodec.files.labels import Labels, pack_labels, unpack_labels
from inrcodec.files.signals import read_signal

with warnings.catch_warnings():
    # Their own imports warn of each other.
    warnings.simplefilter("ignore")
    import h5py
    import xarray
    import zarr

QUICK = ("-e", "1", "--steps", "3", "--net", "6/8/1", "--quiet")
AFFINE = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


def volume(*shape: int, dtype: str = "int16") -> np.ndarray:
    grids = np.meshgrid(*[np.arange(size) for size in shape], indexing="ij")
    return (sum(grid * (3 + axis) for axis, grid in enumerate(grids)) % 120).astype(dtype)


def series(dtype: str = "int16") -> xarray.Dataset:
    """Packed temperatures on uniform times and longitudes and on latitudes that are not."""
    attributes = {
        "units": "K",
        "scale_factor": np.float32(0.01),
        "long_name": "Lufttemperatur — 2 m",
        "valid_range": np.array([-5, 300], "i2"),
    }
    if dtype == "int16":
        attributes["_FillValue"] = np.int16(-999)
    time = {"units": "hours since 1900-01-01 00:00:00", "calendar": "gregorian"}
    coordinates = {
        "time": ("time", np.arange(4) * 6 + 100, time),
        "lat": ("lat", np.array([88.5, 80, 61, 30, 0], "f4"), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(6, dtype="f4") * np.float32(0.1) + 1, {"units": "degrees_east"}),
        "height": ((), 2.0, {"units": "m"}),
    }
    data = {"air": (("time", "lat", "lon"), volume(4, 5, 6, dtype=dtype), attributes)}
    return xarray.Dataset(data, coordinates, {"title": "a test"})


def quietly(save: Callable[..., object], *words: object, **how: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(*words, **how)


def save_nifti(path: Path, array: np.ndarray) -> None:
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"a test"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"kept"))
    if array.dtype.kind in "iu":
        image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, path)


def save_zipped(data: xarray.Dataset, path: Path) -> None:
    with zarr.storage.ZipStore(path, mode="w") as store:
        quietly(data.to_zarr, store, consolidated=False)


def dataset(array: np.ndarray) -> xarray.Dataset:
    return xarray.Dataset({"air": (("z", "y", "x"), array)})


def save_h5(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["air"] = array


SAVERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "a.npy": np.save,
    "a.npz": np.savez,
    "a.nii": save_nifti,
    "a.nii.gz": save_nifti,
    "a.nc": lambda path, array: dataset(array).to_netcdf(path, engine="h5netcdf"),
    "a3.nc": lambda path, array: dataset(array).to_netcdf(path, engine="scipy"),
    "a.h5": save_h5,
    "a.zarr": lambda path, array: dataset(array).to_zarr(path, consolidated=False),
    "a2.zarr": lambda path, array: dataset(array).to_zarr(path, zarr_format=2),
    "alone.zarr": lambda path, array: zarr.save_array(path, array),
    "a.zip": lambda path, array: save_zipped(dataset(array), path),
}

every_format = pytest.mark.parametrize("name", SAVERS)


@every_format
def test_every_format_is_read_as_it_is_stored(name: str, tmp_path: Path) -> None:
    array, path = volume(4, 5, 6), tmp_path / name
    quietly(SAVERS[name], path, array)
    signal = read_signal(path)
    assert signal.samples.shape == (4, 5, 6, 1)
    assert signal.samples.dtype == array.dtype
    assert (signal.samples[..., 0] == array).all()
    if path.is_file() and path.suffix != ".zip":
        again = read_signal(io.BytesIO(path.read_bytes()))
        assert (again.samples == signal.samples).all()
        # The content says what it is, whatever it is called.
        path.rename(tmp_path / "called.png")
        assert read_signal(tmp_path / "called.png").info == signal.info


@pytest.mark.parametrize("dtype", [*TYPES, ">i2", ">f4", ">u4"])
@pytest.mark.parametrize("name", ["a.npy", "a.nii", "a.h5", "alone.zarr"])
def test_every_sample_type_is_read(name: str, dtype: str, tmp_path: Path) -> None:
    if name == "a.nii" and dtype == "float16":
        pytest.skip("NIfTI has none")
    array = np.asfortranarray(volume(4, 5, 6, dtype=dtype))
    quietly(SAVERS[name], tmp_path / name, array)
    signal = read_signal(tmp_path / name)
    assert signal.samples.dtype == array.dtype.newbyteorder("=")
    assert (signal.samples[..., 0] == array).all()


@pytest.mark.parametrize("dtype", ["uint16", ">i2", "<f8", "bool"])
def test_raw_samples(dtype: str, tmp_path: Path) -> None:
    array, path = volume(4, 5, 6).astype(dtype), tmp_path / "a.raw"
    array.tofile(path)
    signal = read_signal(path, shape=(4, 5, 6), dtype=dtype, axes=("t", "y", "x"))
    assert (signal.samples[..., 0] == array).all()
    assert [axis.name for axis in signal.info.axes] == ["t", "y", "x"]
    with pytest.raises(InputError, match="bytes, where"):
        read_signal(path, shape=(4, 5, 7), dtype=dtype)
    with pytest.raises(InputError, match="shape and dtype"):
        read_signal(path)


def run(*words: object) -> int:
    return main([str(word) for word in words])


def round_trip(source: Path, *words: object, encode: Sequence[object] = ()) -> Path:
    """The file that a file becomes by way of `.inrc`, in its own format."""
    middle, target = source.with_name("middle.inrc"), source.with_name(f"back_{source.name}")
    assert run("encode", source, middle, *QUICK, *encode) == ExitCode.OK
    assert run("decode", middle, target, "--quiet", *words) == ExitCode.OK
    return target


def opened(path: Path) -> xarray.Dataset:
    how = {"mask_and_scale": False, "decode_times": False, "decode_coords": "all"}
    engine = "zarr" if path.suffix == ".zarr" else "h5netcdf"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xarray.open_dataset(path, engine=engine, **how).load()


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("name", ["s.nc", "s.zarr"])
def test_labels_come_back(name: str, dtype: str, tmp_path: Path) -> None:
    data, path = series(dtype), tmp_path / name
    if name == "s.nc":
        data.to_netcdf(path, engine="h5netcdf")
    else:
        quietly(data.to_zarr, path, consolidated=False)
    data = opened(path)
    back = opened(round_trip(path, encode=("--metadata", "all")))
    assert [*back.data_vars] == ["air"]
    assert back.air.dims == data.air.dims
    assert back.air.dtype == data.air.dtype
    expected = inrcodec.decode(tmp_path / "middle.inrc").samples[..., 0]
    assert (back.air.values == expected).all()
    assert back.attrs == data.attrs
    for axis in ("time", "lat", "lon", "height"):
        assert back[axis].dtype == data[axis].dtype
        assert (back[axis].values == data[axis].values).all()
        assert without_fill(back[axis].attrs) == without_fill(data[axis].attrs)
    assert back.air.attrs.keys() == data.air.attrs.keys()
    for attribute, value in data.air.attrs.items():
        assert np.array_equal(back.air.attrs[attribute], value, equal_nan="F" in attribute)
        assert np.asarray(back.air.attrs[attribute]).dtype == np.asarray(value).dtype


def without_fill(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name != "_FillValue"}


def test_the_engine_of_xarray_sees_the_same_labels(tmp_path: Path) -> None:
    data, path, middle = series(), tmp_path / "s.nc", tmp_path / "s.inrc"
    data = data.assign_coords(lat=("lat", [f"band {index}" for index in range(5)]))
    data.to_netcdf(path, engine="h5netcdf")
    for axes in ("time,lat,lon", "lat,lon"):
        assert run("encode", path, middle, *QUICK, "--axes", axes, "-f") == ExitCode.OK
        found = xarray.open_dataset(middle, engine="inrcodec")
        source = xarray.open_dataset(path, engine="h5netcdf").transpose(*axes.split(","), ...)
        assert found.air.dims == source.air.dims
        assert found.air.attrs.keys() == source.air.attrs.keys()
        assert found.air.encoding["_FillValue"] == -999
        assert found.air.dtype == source.air.dtype == np.float32
        for axis in ("time", "lat", "lon"):
            assert (found[axis].values == source[axis].values).all()
            assert found[axis].attrs == source[axis].attrs


def test_coordinates_follow_a_crop_and_another_size(tmp_path: Path) -> None:
    data, path = series(), tmp_path / "s.nc"
    data.to_netcdf(path, engine="h5netcdf")
    part = opened(round_trip(path, "--crop", "time=1:3,lat=2:,lon=:4"))
    expected = data.isel(time=slice(1, 3), lat=slice(2, None), lon=slice(4))
    whole = inrcodec.decode(tmp_path / "middle.inrc").samples[..., 0]
    assert (part.air.values == whole[1:3, 2:, :4]).all()
    for axis in ("time", "lat", "lon"):
        assert part[axis].values == pytest.approx(expected[axis].values, rel=1e-6)
    target = tmp_path / "large.nc"
    words = ("--size", "lat=10,lon=3", "--quiet")
    assert run("decode", tmp_path / "middle.inrc", target, *words) == ExitCode.OK
    large = opened(target)
    assert large.air.shape == (4, 10, 3)
    # Each sample was cut in halves: their centres lie a quarter of a step to both sides.
    assert large.lat.values[2:4] == pytest.approx([80 + 8.5 / 4, 80 - 19 / 4])
    assert large.lon.values == pytest.approx([1.05, 1.25, 1.45])
    assert (large.time.values == data.time.values).all()


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (4, 5, 3, 2)])
def test_a_nifti_header_comes_back(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    save_nifti(tmp_path / name, volume(*shape))
    source = nibabel.load(tmp_path / name)
    back = nibabel.load(round_trip(tmp_path / name))
    assert back.header == source.header
    assert back.header.extensions == source.header.extensions
    assert (back.affine == source.affine).all()
    assert (back.dataobj.slope, back.dataobj.inter) == (0.5, 3)
    decoded = inrcodec.decode(tmp_path / "middle.inrc")
    assert (back.dataobj.get_unscaled() == decoded.samples[..., 0]).all()
    assert [axis.spacing for axis in decoded.info.axes][:3] == [1.5, 2, 3]
    assert decoded.info.axes[0].unit == "mm"


def test_an_affine_follows_the_samples(tmp_path: Path) -> None:
    save_nifti(tmp_path / "v.nii", volume(6, 7, 8))
    moved = nibabel.load(round_trip(tmp_path / "v.nii", "--size", "x=12", "--crop", "x=2:6,z=3:"))
    assert moved.shape == (4, 7, 5)
    # The first of two halves of the second sample, a quarter of a step before its centre.
    assert moved.affine @ [0, 0, 0, 1] == pytest.approx(AFFINE @ [0.75, 0, 3, 1])
    assert moved.affine @ [2, 1, 1, 1] == pytest.approx(AFFINE @ [1.75, 1, 4, 1])
    assert moved.header.get_zooms() == pytest.approx((0.75, 2, 3))


def test_an_array_becomes_a_nifti_file(tmp_path: Path) -> None:
    axes = (inrcodec.Axis("z", 4, 3.0, 1.0, "mm"), inrcodec.Axis("y", 5), inrcodec.Axis("x", 6))
    signal = inrcodec.decode(inrcodec.encode(volume(4, 5, 6), axes=axes, steps=3, effort=1))
    with (tmp_path / "v.nii").open("wb") as file:
        write_signal(signal, file, "nii")
    image = nibabel.load(tmp_path / "v.nii")
    assert (image.dataobj.get_unscaled() == signal.samples[..., 0].T).all()
    assert (image.affine @ [0, 0, 1, 1] == [0, 0, 4, 1]).all()


def test_formats_of_samples_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", density=volume(4, 5, 6))
    back = round_trip(tmp_path / "named.npz")
    middle = tmp_path / "middle.inrc"
    expected = inrcodec.decode(middle).samples[..., 0]
    with np.load(back) as archive:
        assert archive.files == ["density"]
        assert (archive["density"] == expected).all()
    for name in ("o.npy", "o.raw"):
        assert run("decode", middle, tmp_path / name, "--quiet") == ExitCode.OK
    assert (np.load(tmp_path / "o.npy") == expected).all()
    assert (np.fromfile(tmp_path / "o.raw", "<i2") == expected.ravel()).all()


def test_one_more_dimension_is_that_of_the_channels(tmp_path: Path) -> None:
    data, path = series(), tmp_path / "s.nc"
    data.to_netcdf(path, engine="h5netcdf")
    signal = read_signal(path, axes=("lon", "lat"))
    assert signal.samples.shape == (6, 5, 4)
    assert (signal.samples == data.air.values.T).all()
    buffer = io.BytesIO()
    write_signal(signal, buffer, "nc")
    back = read_signal(buffer.getvalue(), axes=("lon", "lat"))
    assert (back.info, back.metadata) == (signal.info, signal.metadata)
    with pytest.raises(UsageError, match="time, lat, lon"):
        read_signal(path, axes=("lon", "depth"))


def test_variables_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["deep/inside"], file["other"] = volume(4, 5, 6), volume(3, 3)
    np.savez(tmp_path / "s.npz", inside=volume(4, 5, 6), other=volume(3, 3))
    for name, key in (("s.h5", "deep/inside"), ("s.npz", "inside")):
        assert read_signal(tmp_path / name, variable=key).samples.shape == (4, 5, 6, 1)
        for words in ((), ("--variable", "wind")):
            code = run("encode", tmp_path / name, tmp_path / "new.inrc", *QUICK, *words)
            said = capsys.readouterr().err
            assert code == ExitCode.USAGE
            assert key in said
            assert "other" in said
    assert inrcodec.encode(tmp_path / "s.npz", variable="other", steps=3, effort=1)


def test_info_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, middle = tmp_path / "s.nc", tmp_path / "middle.inrc"
    series().to_netcdf(path, engine="h5netcdf")
    back = round_trip(path)
    assert run("info", middle) == ExitCode.OK
    told = capsys.readouterr().out
    for part in ("air", "long_name: Lufttemperatur", "degrees_north", "lon: from 1 by 0.1"):
        assert part in told
    assert run("info", middle, "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["labels"]["name"] == "air"
    assert inrcodec.info(middle)["labels"]["name"] == "air"
    found = []
    for pair in ((path, middle), (path, back), (middle, back)):
        assert run("compare", *pair, "--json") == ExitCode.OK
        found.append(json.loads(capsys.readouterr().out))
    decoded = inrcodec.decode(middle).samples[..., 0].astype(float)
    source = volume(4, 5, 6).astype(float)
    expected = 20 * np.log10(np.ptp(source) / np.sqrt(np.square(source - decoded).mean()))
    assert found[0]["psnr"] == found[1]["psnr"] == pytest.approx(expected)
    assert found[0]["max_error"] == np.abs(source - decoded).max()
    assert found[2]["max_error"] == 0


def test_a_folder_of_arrays(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save_nifti(folder / "v.nii.gz", volume(4, 5, 6))
    quietly(dataset(volume(4, 5, 6)).to_zarr, folder / "s.zarr", consolidated=False)
    np.save(folder / "a.npy", volume(4, 5, 6))
    (folder / "notes.txt").write_text("no array")
    code = run("encode", folder, tmp_path / "small", *QUICK)
    assert code == ExitCode.CANNOT_READ
    assert {path.name for path in (tmp_path / "small").iterdir()} == {
        "v.inrc",
        "s.inrc",
        "a.inrc",
    }
    assert run("decode", tmp_path / "small", tmp_path / "out", "--quiet") == ExitCode.OK
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"v.npy", "s.npy", "a.npy"}


def test_a_store_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    quietly(dataset(volume(4, 5, 6)).to_zarr, path, consolidated=False)
    assert run("encode", path, tmp_path / "s.inrc", *QUICK) == ExitCode.OK
    before = opened(path).air.values
    decode = ("decode", tmp_path / "s.inrc", path, "--quiet")
    assert run(*decode) == ExitCode.EXISTS
    assert (opened(path).air.values == before).all()
    assert run(*decode, "-f") == ExitCode.OK
    decoded = inrcodec.decode(tmp_path / "s.inrc").samples[..., 0]
    assert (opened(path).air.values == decoded).all()
    mine = tmp_path / "mine.zarr"
    mine.mkdir()
    (mine / "letter.txt").write_text("no store")
    assert run("decode", tmp_path / "s.inrc", mine, "-f") == ExitCode.CANNOT_WRITE
    assert (mine / "letter.txt").exists()
    assert not [*tmp_path.glob(".inrcodec*")]


@every_format
def test_a_file_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    array = np.random.default_rng(0).integers(0, 99, (9, 9, 9), np.int16)
    quietly(SAVERS[name], path, array)
    if path.is_dir():
        largest = max((file for file in path.rglob("*") if file.is_file()), key=size_of)
    else:
        largest = path
    data = largest.read_bytes()
    for kept in (len(data) // 2, len(data) - 9):
        largest.write_bytes(data[:kept])
        with pytest.raises(InputError, match=path.stem):
            read_signal(path)


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array([1.0, np.inf]), "infinite"),
        (np.full((3, 3, 3), np.nan), "all 27 are missing"),
        (np.ones((3, 3), complex), "complex128"),
        (np.array([{}, 1], dtype=object), "pickled"),
        (np.ones((2, 2, 2, 2, 2), np.int16), "5 dimensions"),
        (np.full((3, 3), 2**40), "do not fit int32"),
        (np.ones((0, 3)), "no samples"),
        (np.array("text"), "<U4"),
    ],
)
def test_samples_that_cannot_be_encoded(
    array: np.ndarray, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    code = run("encode", tmp_path / "a.npy", tmp_path / "a.inrc", *QUICK)
    said = capsys.readouterr().err
    assert code in (ExitCode.USAGE, ExitCode.CANNOT_READ)
    assert what in said
    assert "a.npy" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "a.inrc").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--crop", "q=1:2"), "z, y, x"),
        (("--crop", "0,0,2,2"), "name the axes"),
        (("--crop", "z=2:2"), "empty"),
        (("--crop", "z=1:99"), "does not lie within"),
        (("--size", "9x9"), "name the axes"),
        (("--size", "q=9"), "z, y, x"),
        (("--size", "z=0"), "positive"),
        (("--size", "z=2,z=3"), "form"),
    ],
)
def test_axes_that_are_not_there(
    words: Sequence[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = inrcodec.encode(volume(4, 5, 6), steps=3, effort=1)
    (tmp_path / "a.inrc").write_bytes(data)
    assert run("decode", tmp_path / "a.inrc", tmp_path / "a.npy", *words) == ExitCode.USAGE
    assert what in capsys.readouterr().err


def test_points_of_any_number_of_axes(tmp_path: Path) -> None:
    data = inrcodec.encode(volume(4, 5, 6), steps=3, effort=1)
    (tmp_path / "a.inrc").write_bytes(data)
    points = np.array([[0, 0, 0], [3, 4, 5], [1.5, 2, 2.25]])
    np.save(tmp_path / "points.npy", points)
    words = ("--at", tmp_path / "points.npy", "--quiet")
    assert run("decode", tmp_path / "a.inrc", tmp_path / "values.npy", *words) == ExitCode.OK
    assert (np.load(tmp_path / "values.npy") == inrcodec.open(data).at(points)).all()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_nifti(tmp_path / "v.nii", volume(4, 5, 6))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UnsupportedError, match=r"nibabel; pip install inrcodec\[arrays\]"):
        read_signal(tmp_path / "v.nii")


@pytest.mark.parametrize(
    "labels",
    [
        b"\xff",
        b"{",
        b"[]",
        b'{"name":3}',
        b'{"coordinates":{"z":[]}}',
        b'{"coordinates":{"z":{"dtype":"O","values":[1]}}}',
        b'{"coordinates":{"z":{"dtype":"<f4","values":["a"]}}}',
        b'{"coordinates":{"z":{"dtype":"<f4","values":[]}}}',
        b'{"attributes":{"a":{"dtype":"<i2","value":"text"}}}',
        b"[" * 9999,
    ],
)
def test_labels_that_make_no_sense(labels: bytes) -> None:
    signal = inrcodec.decode(inrcodec.encode(volume(4, 5, 6), steps=3, effort=1))
    signal = inrcodec.Signal(signal.samples, signal.info, {"labels": labels})
    with pytest.raises(CorruptError, match="labels"):
        write_signal(signal, io.BytesIO(), "nc")


@pytest.mark.parametrize("header", [b"", bytes(352), b"\xff" * 600])
def test_a_nifti_header_that_makes_no_sense(header: bytes) -> None:
    signal = inrcodec.decode(inrcodec.encode(volume(4, 5, 6), steps=3, effort=1))
    signal = inrcodec.Signal(signal.samples, signal.info, {"nifti": header})
    with pytest.raises(CorruptError, match="nifti"):
        write_signal(signal, io.BytesIO(), "nii")


few = settings(max_examples=40)
kinds = st.sampled_from(["<f4", ">f8", "<i4", "<i8", "<M8[ns]"])


@few
@given(hnp.arrays(kinds, st.integers(1, 9), elements=None))
def test_any_coordinates_come_back(values: np.ndarray) -> None:
    axis, coordinate = described_axis("z", values, {"units": "m"})
    text = pack_labels(Labels(coordinates={"z": coordinate}))
    back = coordinate_values(axis, unpack_labels(text).coordinates["z"])
    assert back.dtype == values.dtype.newbyteorder("<")
    assert np.array_equal(back, values, equal_nan=values.dtype.kind in "fM")


@few
@given(
    st.integers(-1000, 1000),
    st.sampled_from([0.75, -2.5, 6.0]),
    st.integers(1, 50),
    st.sampled_from(["<f8", "<f4"]),
)
def test_uniform_coordinates_are_origin_and_spacing(
    origin: int, spacing: float, size: int, dtype: str
) -> None:
    values = (origin + spacing * np.arange(size)).astype(dtype)
    axis, coordinate = described_axis("z", values, {"units": "m"})
    assert axis == inrcodec.Axis("z", size, spacing if size > 1 else 1.0, origin, "m")
    assert (coordinate.values, coordinate.attributes) == (None, {})


@few
@given(
    st.one_of(
        st.text(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        hnp.arrays(st.sampled_from(["<f4", "<i2", "<f8", "<u8"]), st.integers(1, 4)),
        st.floats(width=32).map(np.float32),
        st.lists(st.text(), min_size=1),
    )
)
def test_any_attribute_comes_back(value: Any) -> None:
    labels = unpack_labels(pack_labels(Labels(attributes=plain_attributes({"a": value}))))
    if "a" in labels.attributes:
        ours, back = np.asarray(value), np.asarray(native_attributes(labels.attributes)["a"])
        assert np.array_equal(back, ours, equal_nan=ours.dtype.kind == "f")
