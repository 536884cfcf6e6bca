"""Checks that samples that are missing are never fitted, and missing again when decoded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import inrcodec
from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import SectionType
from inrcodec.cli import main
from inrcodec.codec import as_signal, encode_signal
from inrcodec.coding.mask import distinct, shared_axes
from inrcodec.errors import CorruptError, InputError, InrcodecError, UsageError
from inrcodec.fitting import grid_fit
from inrcodec.fitting.inpainting import inpainted
from inrcodec.fitting.settings import Settings
from inrcodec.query.batch import query_many
from inrcodec.query.quality import psnr

QUICK = {"net": "/4/0", "steps": 8}


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_fit, "STEPS", 12)


def waves(dtype: str = "float32") -> np.ndarray:
    """Four by 18 by 20 samples with a hole that is everywhere the same, and one that moves."""
    t, y, x = np.mgrid[0:4, 0:18, 0:20]
    samples = (60 + 20 * np.sin(0.3 * y + t) + 2 * x).astype(dtype)
    hole = (y - 9) ** 2 + (x - 8) ** 2 < 20
    samples[hole | (x == 15 + t)] = math.nan if samples.dtype.kind == "f" else 0
    return samples


def mask_bytes(data: bytes) -> int:
    return sum(len(each.payload) for each in unpack(data)[1] if each.type == SectionType.MASK)


# Files


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrays.arrays(np.bool_, arrays.array_shapes(min_dims=1, max_dims=5, min_side=1, max_side=6)),
    st.sampled_from(["float16", "float32", "float64", "int16", "uint8"]),
    st.sampled_from(["pyramid", "siren"]),
)
def test_the_same_samples_are_missing_again(missing: np.ndarray, dtype: str, kind: str) -> None:
    """Of whatever shape; in crops, at other sizes and at points too."""
    # At most four channels.
    missing = missing[:, None] if missing.ndim == 1 else missing[..., :4]
    count = missing.ndim - 1
    generator = np.random.default_rng(missing.size)
    samples = generator.integers(1, 100, missing.shape).astype(dtype)
    fill = None if samples.dtype.kind == "f" else 0
    samples[missing] = math.nan if fill is None else fill
    axes = "tzyx"[:count]
    if missing.all():
        with pytest.raises(InputError, match="nothing to encode"):
            as_signal(samples, axes=axes, fill=fill)
        return
    net = "2x4" if kind == "siren" else QUICK["net"]
    file = inrcodec.encode(samples, axes=axes, fill=fill, kind=kind, net=net, steps=5)
    view = inrcodec.open(file)
    whole = view.read()
    assert (whole.missing is None) == (not missing.any())
    if whole.missing is None:
        return
    np.testing.assert_array_equal(whole.missing, missing)
    assert whole.info == as_signal(samples, axes=axes, fill=fill).info
    gone = np.isnan(whole.samples) if fill is None else whole.samples == fill
    assert gone[missing].all()
    window = [(size // 3, size) for size in whole.info.lattice]
    inside = tuple(slice(*ends) for ends in window)
    np.testing.assert_array_equal(view.read(None, window).missing, missing[inside])
    double = view.read([2 * size for size in whole.info.lattice])
    assert double.missing is not None
    np.testing.assert_array_equal(double.missing[(slice(0, None, 2),) * count], missing)
    points = np.argwhere(np.ones(whole.info.lattice)) + 0.25
    values = view.at(points)
    np.testing.assert_array_equal(np.isnan(values), missing.reshape(values.shape))
    np.testing.assert_array_equal(query_many([view], points)[0], values)


@pytest.mark.parametrize("asked", [{"max_error": "1%"}, {"psnr": 25}, {"kind": "siren"}])
def test_quality_is_that_of_what_is_there(asked: dict[str, Any]) -> None:
    quick = {"net": "3x8", "steps": 60} if "kind" in asked else {"effort": 1}
    encoded = encode_signal(as_signal(waves()), Settings(**asked, **quick))
    decoded = inrcodec.decode(encoded.data).samples[..., 0]
    there = ~np.isnan(waves())
    np.testing.assert_array_equal(np.isnan(decoded), ~there)
    errors = (decoded - waves())[there]
    assert np.abs(errors).max() == pytest.approx(encoded.max_error, rel=1e-6)
    reached = 10 * math.log10(np.ptp(waves()[there]) ** 2 / np.mean(errors**2))
    assert encoded.psnr == pytest.approx(reached, abs=1e-3)
    if "max_error" in asked:
        assert encoded.max_error <= 0.01 * np.ptp(waves()[there])
    if "psnr" in asked:
        assert encoded.psnr >= 24.9


def test_integers_without_loss_keep_their_fill_value() -> None:
    samples = waves("int16")
    decoded = inrcodec.decode(inrcodec.encode(samples, fill=0, max_error=0, **QUICK))
    np.testing.assert_array_equal(decoded.samples[..., 0], samples)
    assert decoded.info.fill == 0


def test_what_stands_for_missing_samples_is_never_fitted() -> None:
    """Files do not depend on it, nor does the value range."""
    samples, missing = waves("int32"), waves("int32") == 0
    files = []
    for fill in (0, -(2**31)):
        own = np.where(missing, fill, samples).astype(np.int32)
        signal = as_signal(own, fill=fill)
        assert signal.info.value_range == (samples[~missing].min(), samples[~missing].max())
        files.append(unpack(inrcodec.encode(own, fill=fill, **QUICK))[1])
    for ours, theirs in zip(*files, strict=True):
        assert ours == theirs or ours.type == SectionType.MASK


def test_masked_arrays_are_missing_what_they_mask() -> None:
    for dtype in ("float32", "int16"):
        samples = np.nan_to_num(waves()).astype(dtype)
        masked = np.ma.masked_array(samples, samples < 50, fill_value=-1)
        signal = as_signal(masked)
        np.testing.assert_array_equal(signal.missing[..., 0], samples < 50)
        assert signal.info.fill == (None if dtype == "float32" else -1)


def test_a_mask_is_coded_once_for_all_that_share_it() -> None:
    generator = np.random.default_rng(0)
    hole = generator.random((30, 30)) < 0.3
    samples = np.where(hole, np.nan, 1.0) * np.arange(8)[:, None, None]
    still = inrcodec.encode(samples, axes="tyx", **QUICK)
    assert mask_bytes(still) < 220
    moving = np.where(generator.random(samples.shape) < 0.3, np.nan, samples)
    assert mask_bytes(inrcodec.encode(moving, axes="tyx", **QUICK)) > 600


@given(
    arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=4, max_side=4)),
    st.integers(1, 3),
)
def test_what_is_shared_is_left_out(missing: np.ndarray, copies: int) -> None:
    repeated = np.repeat(missing[:1], copies, axis=0)
    shared = shared_axes(repeated)
    part = np.moveaxis(distinct(repeated, shared), 0, -1)
    assert copies == 1 or part.shape[0] == 1
    np.testing.assert_array_equal(np.broadcast_to(part, repeated.shape) == 1, repeated)


def test_damage_is_an_error_of_ours() -> None:
    data = inrcodec.encode(waves(), **QUICK)
    start = len(data) - mask_bytes(data) - 12
    for place in range(start, len(data), 7):
        damaged = bytearray(data)
        damaged[place] ^= 4
        for file in (bytes(damaged), data[:place]):
            with pytest.raises(InrcodecError):
                inrcodec.decode(file)


# Arrays


@pytest.mark.parametrize(
    ("array", "fill", "error", "match"),
    [
        (np.array([1.0, np.inf, np.nan]), None, InputError, "1 of 2 are infinite"),
        (np.full((3, 4), np.nan), None, InputError, "all 12 are missing"),
        (np.full((3, 4), 7), 7, InputError, "all 12 are missing"),
        (np.zeros(3, np.uint8), -1, UsageError, "no uint8 sample"),
        (np.zeros(3, np.int16), 0.5, UsageError, "no int16 sample"),
        (np.zeros(3, np.int16), math.nan, UsageError, "no int16 sample"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(
    array: np.ndarray, fill: float | None, error: type[InrcodecError], match: str
) -> None:
    if array.dtype == np.int64:
        array = array.astype(np.int32)
    with pytest.raises(error, match=match):
        as_signal(array, axes="yx"[: array.ndim], fill=fill)


def test_a_fill_value_of_floats_is_kept() -> None:
    samples = np.nan_to_num(waves(), nan=-9999.9)
    decoded = inrcodec.decode(inrcodec.encode(samples, fill=-9999.9, **QUICK))
    np.testing.assert_array_equal(decoded.samples[..., 0] == samples, np.isnan(waves()))
    # NaN beside it is the same as it.
    both = samples.copy()
    both[0, 0, 0] = math.nan
    assert as_signal(both, fill=-9999.9).samples[0, 0, 0, 0] == np.float32(-9999.9)


def test_signals_of_both_kinds_of_holes_are_compared_where_both_are() -> None:
    ours, theirs = as_signal(waves()), as_signal(np.nan_to_num(waves(), nan=80.0))
    assert psnr(ours, theirs) == psnr(theirs, ours) == math.inf


def test_files_say_what_is_missing(tmp_path: Path) -> None:
    """netCDF by an attribute, others by what the command line says; both come back."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    samples = waves("int16")
    data = xarray.Dataset({"wind": (("t", "y", "x"), samples, {"_FillValue": np.int16(0)})})
    names = ["a.nc", "a.npy", "a.inrc", "b.nc", "b.npy"]
    netcdf, numpy, packed, back, plain = (str(tmp_path / name) for name in names)
    data.to_netcdf(netcdf, engine="h5netcdf")
    np.save(numpy, samples)
    quick = ["--steps", "8", "--net", "/4/0", "--lossless", "--quiet", "-f"]
    for words in ([netcdf], [numpy, "--fill", "0"]):
        assert main(["encode", *quick, *words, packed]) == 0
        signal = inrcodec.decode(packed)
        np.testing.assert_array_equal(signal.missing[..., 0], samples == 0)
        np.testing.assert_array_equal(signal.samples[..., 0], samples)
        assert main(["compare", *words, packed]) == 0
        if words == [netcdf]:
            assert main(["decode", packed, back]) == 0
            with xarray.open_dataset(back, mask_and_scale=False) as read:
                np.testing.assert_array_equal(read.wind.values, samples)
                assert read.wind.attrs["_FillValue"] == 0
    assert main(["decode", packed, plain]) == 0
    np.testing.assert_array_equal(np.load(plain), samples)
    assert main(["encode", *quick, numpy, "--fill", "0.5", packed]) == 2


# Filling


def test_filled_in_values_are_smooth_and_within_those_around() -> None:
    y, x = np.mgrid[0:40, 0:50].astype(np.float32)
    plane = (x + y) / 100
    missing = (y - 20) ** 2 + (x - 25) ** 2 < 100
    filled = inpainted(np.where(missing, 0, plane)[..., None], missing[..., None])[..., 0]
    np.testing.assert_array_equal(filled[~missing], plane[~missing])
    assert np.abs(filled - plane)[missing].max() < 0.1
    assert np.abs(np.diff(filled, axis=0)).max() < 0.06


def test_a_channel_without_samples_is_grey() -> None:
    values = np.zeros((5, 6, 2), np.float32)
    missing = np.zeros(values.shape, np.bool_)
    missing[..., 1] = True
    assert (inpainted(values, missing)[..., 1] == 0.5).all()


@pytest.mark.parametrize("mix", [None, "z"])
def test_a_size_is_met_where_samples_are_missing(mix: str | None) -> None:
    generator = np.random.default_rng(0)
    volume = generator.random((12, 14, 16)).astype(np.float32)
    volume[generator.random(volume.shape) < 0.2] = np.nan
    data = inrcodec.encode(volume, mix=mix, effort=1, steps=40, target_size=2400)
    assert len(data) <= 2400
    assert (np.isnan(inrcodec.decode(data).samples[..., 0]) == np.isnan(volume)).all()


def test_what_is_left_of_a_file_still_says_where_there_is_nothing() -> None:
    """The mask stands before the latents; without it nothing is told, not something false."""
    y, x = np.mgrid[0:70, 0:90]
    samples = np.sin(x / 5).astype(np.float32) * np.cos(y / 7)
    samples[20:50, 30:44] = np.nan
    data = inrcodec.encode(samples, axes="yx", effort=1, steps=20, rate_weight=1e-5)
    sections = unpack(data)[1]
    kinds = [section.type for section in sections]
    assert kinds[:2] == [SectionType.PARAMETERS, SectionType.MASK]
    whole = np.isnan(inrcodec.decode(data).samples)
    cut = inrcodec.decode(data[:-5], partial=True)
    assert (np.isnan(cut.samples) == whole).all()
    start = data.index(sections[1].payload)
    for broken in (data[: start + 3], data[:start] + b"\xff" + data[start + 1 :]):
        with pytest.raises(CorruptError):
            inrcodec.decode(broken, partial=True)
