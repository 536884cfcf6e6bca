"""Arrays larger than memory: streamed to stores of blocks and back, a block at a time."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import inrcodec
from inrcodec.errors import InrcodecError, OutputError, UsageError
from inrcodec.files.streamed import Streamed, streamed
from inrcodec.plugins.blocks import decode_blocks, encode_blocks, places

xarray = pytest.importorskip("xarray")
pytest.importorskip("zarr")
pytest.importorskip("h5netcdf")

FAST = {"steps": 4, "effort": 1, "net": "/4/0"}


def field() -> np.ndarray:
    z, y, x = np.mgrid[0:6, 0:9, 0:10]
    samples = (np.sin(z / 2) + y * x / 30).astype(np.float32)
    samples[2, 3:5, 4] = np.nan
    return samples


def stored(path: Path, samples: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, samples)
    elif path.suffix == ".raw":
        samples.astype(">f4").tofile(path)
    else:
        filled = np.where(np.isnan(samples), -999, samples).astype(np.float32)
        variable = ("time", "lat", "lon"), filled, {"units": "K", "_FillValue": np.float32(-999)}
        coordinates = {"lat": ("lat", np.linspace(40, 48, 9), {"units": "degrees_north"})}
        data = xarray.Dataset({"t2m": variable, "other": ("lat", np.arange(9.0))}, coordinates)
        if path.suffix == ".nc":
            data.to_netcdf(path, engine="h5netcdf")
        else:
            data.to_zarr(path, consolidated=False)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".raw", ".nc", ".zarr"])
def test_blocks_keep_the_bound_of_the_whole_array(suffix: str, tmp_path: Path) -> None:
    samples = field()
    source, store = stored(tmp_path / f"in{suffix}", samples), tmp_path / "out.zarr"
    how = {"shape": samples.shape, "dtype": ">f4"} if suffix == ".raw" else {}
    named = {"variable": "t2m"} if suffix in (".nc", ".zarr") else {}
    encode_blocks(source, store, block=(4, 9, 6), max_error="2%", **FAST, **how, **named)
    with xarray.open_dataset(store, engine="zarr", consolidated=False) as data:
        (name,) = data.data_vars
        found = data[name].values
        if named:
            assert name == "t2m"
            assert data[name].attrs["units"] == "K"
            assert data.lat.attrs["units"] == "degrees_north"
            np.testing.assert_array_equal(data[name].sel(lat=41, lon=3).values, found[:, 1, 3])
    limit = 0.02 * (np.nanmax(samples) - np.nanmin(samples))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(samples))
    assert np.nanmax(np.abs(found.astype(np.float64) - samples)) <= limit * (1 + 1e-12)
    decode_blocks(store, tmp_path / "back.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), found)
    decode_blocks(store, tmp_path / "back.raw")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "back.raw", "f4"), found.ravel())


def test_no_more_than_a_block_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, real = [], Streamed.read

    def seen(array: Streamed, place: tuple[slice, ...]) -> np.ndarray:
        read.append(real(array, place))
        return read[-1]

    monkeypatch.setattr(Streamed, "read", seen)
    source, store = stored(tmp_path / "in.npy", field()), tmp_path / "out.zarr"
    encode_blocks(source, store, block=(2, 9, 10), max_error="5%", **FAST)
    decode_blocks(store, tmp_path / "back.npy")
    assert {part.size for part in read} == {180}
    assert len(read) == 3 * 3


def test_places_tile_an_array() -> None:
    seen = np.zeros((5, 7, 3), int)
    for place in places(seen.shape, (2, 7, 2)):
        assert seen[place].size
        seen[place] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"block": (2, 2)}, "block"),
        ({"block": (0, 2, 2)}, "block"),
        ({"variable": "other"}, "variable"),
        ({"target_size": 10}, "target_size"),
        ({"axes": "yx"}, "axes"),
        ({"kind": "no such"}, "kind"),
        ({"shape": (6, 9, 10)}, "give both"),
    ],
)
def test_what_makes_no_sense_is_refused(how: dict[str, object], told: str, tmp_path: Path) -> None:
    source = stored(tmp_path / "in.npy", field())
    with pytest.raises(InrcodecError, match=told):
        encode_blocks(source, tmp_path / "out.zarr", **how)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_integers_with_a_fill_value_are_kept_without_loss_only(tmp_path: Path) -> None:
    samples = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    data = xarray.Dataset({"v": (("t", "y", "x"), samples, {"_FillValue": np.int16(7)})})
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    with pytest.raises(UsageError, match="fill value 7"):
        encode_blocks(tmp_path / "in.nc", tmp_path / "out.zarr", max_error=1, **FAST)
    encode_blocks(tmp_path / "in.nc", tmp_path / "out.zarr", max_error=0, **FAST)
    with streamed(tmp_path / "out.zarr") as back:
        np.testing.assert_array_equal(back.read((slice(None),) * 3), samples)
    with xarray.open_dataset(tmp_path / "out.zarr", engine="zarr", consolidated=False) as found:
        assert np.isnan(found.v.values[0, 1, 2])


def test_a_block_that_cannot_be_coded_leaves_nothing(tmp_path: Path) -> None:
    samples = field()
    samples[5, 8, 9] = np.inf
    source = stored(tmp_path / "in.npy", samples)
    with pytest.raises(InrcodecError, match="infinite"):
        encode_blocks(source, tmp_path / "out.zarr", block=(3, 9, 10), **FAST)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


def test_a_full_disk_leaves_no_part_of_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, store = stored(tmp_path / "in.npy", field()), tmp_path / "out.zarr"
    encode_blocks(source, store, block=(3, 9, 10), **FAST)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that grows beyond it fails, as on a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(OutputError, match="larger than the system allows"):
            decode_blocks(store, tmp_path / "back.npy")
        with pytest.raises(OutputError, match="larger than the system allows"):
            encode_blocks(source, tmp_path / "second.zarr", max_error="0.01%", **FAST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.zarr"]


@pytest.mark.parametrize("suffix", [".npy", ".nc", ".zarr", ".nii", ".raw"])
def test_a_file_larger_than_the_disk_is_an_error_and_leaves_nothing(
    suffix: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 9, (8, 9, 10), np.uint8)
    file = tmp_path / "in.inrc"
    file.write_bytes(inrcodec.encode(noise, axes="zyx", **FAST))
    limit = 100 if suffix == ".zarr" else 300

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = ["-m", "inrcodec", "decode", str(file), str(tmp_path / f"out{suffix}")]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, preexec_fn=full
    )
    assert done.returncode == OutputError.exit_code, done.stderr
    assert "larger than the system allows" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.inrc"]
