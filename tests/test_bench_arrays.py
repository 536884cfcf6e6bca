"""Checks the bench of arrays: rivals' files, rows, curves between them, what is asked of ours."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrcodec
from bench import array_access, array_bound, array_claims
from bench.array_curves import best_at, curves, smallest_at
from bench.array_points import CLASSICAL, Point, points_of
from bench.array_rows import (
    RIVALS,
    ArrayRow,
    append_array_row,
    compare,
    measured_row,
    of,
    read_array_rows,
)
from bench.array_tables import RATIOS
from bench.arrays import CODECS, ENTRIES, main
from bench.codecs.arrays import Known, from_levels, from_slices, to_levels, to_slices
from bench.codecs.codec import CodecMissingError
from bench.codecs.hdf5 import FILTERS
from bench.codecs.own_arrays import Wanted, axes_of
from bench.datasets import DatasetError
from bench.volumes import VOLUMES, Array, Volume, folder_of, read_volume

SETTINGS = {
    "sz3": (0.1, 0.01),
    "zfp": (0.5, 0.01),
    "sperr": (100, 10),
    "sperr-bound": (0.1, 0.01),
    "av1-aom12": (20, 70),
    "av1-svt10": (60, 30),
    "klt-jpeg2000": (0.5, 2.0),
    "klt-avif": (0.5, 2.0),
}
"""Of low and of high rate."""


def waves(*shape: int) -> Array:
    """Smooth in every axis, and integers of 12 bits."""
    grid = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij")
    total = sum(np.sin((3 + axis) * part + axis) for axis, part in enumerate(grid))
    noise = np.random.default_rng(0).normal(0, 0.02, shape)
    return np.rint(700 * (total + noise) + 2048).astype(np.int16)


def volume(kind: str = "volume", shape: tuple[int, ...] = (12, 26, 34)) -> Volume:
    names = ("t", "z", "y", "x")[-len(shape) :]
    picture = (0, 1) if kind == "cube" else (len(shape) - 2, len(shape) - 1)
    return Volume("waves", waves(*shape), names, picture, kind)


def row(data: str, codec: str, size: int, rmse: float, **more: Any) -> ArrayRow:
    shown = {"psnr": round(20 * math.log10(100 / rmse), 4), "rmse": rmse, "max_error": 3 * rmse}
    family = codec.partition("-")[0]
    times = {"encode_seconds": 1.0, "decode_seconds": 0.5}
    values = {**shown, **times, "setting": float(size), "ratio": 1e5 / size, **more}
    return ArrayRow(data, codec, family, bytes=size, versions="", measured="", **values)


@pytest.mark.parametrize("name", CODECS)
def test_files_of_every_rival_decode_and_gain_by_their_bytes(name: str) -> None:
    try:
        codec = next(entry for entry in ENTRIES if entry.name == name).load()
    except CodecMissingError as error:
        pytest.skip(str(error))
    subject = volume(codec.kinds[0], (16, 18, 20) if codec.kinds == ("cube",) else (12, 26, 34))
    low, high = (
        measured_row(subject, codec, setting) for setting in SETTINGS[name.removesuffix("-2d")]
    )
    assert low.bytes < high.bytes < subject.samples.nbytes
    assert low.rmse > high.rmse
    assert high.psnr > 30
    if name in ("sz3", "zfp", "sperr-bound"):
        assert high.max_error <= high.setting * subject.span * (1 + 1e-5)


def test_sperr_gets_the_axes_in_their_order() -> None:
    plugin = pytest.importorskip("hdf5plugin")
    from bench.codecs import hdf5

    subject, used = volume(shape=(4, 24, 60)), FILTERS["sperr"]
    known = Known.of(subject)

    def reversed_axes(_: Any, ratio: float, __: float, bits: int) -> Any:
        return plugin.Sperr(rate=bits / ratio, swap=False)

    psnr = {}
    for name, each in (("right", used), ("reversed", replace(used, options=reversed_axes))):
        data = hdf5.encode(each, subject.samples, known, 20)
        psnr[name] = compare(subject, hdf5.decode(each, data, known, 20))["psnr"]
    assert psnr["right"] > psnr["reversed"] + 5


@pytest.mark.parametrize("picture", [(0, 1), (2, 3), (3, 1)])
def test_slices_and_levels_lead_back(picture: tuple[int, int]) -> None:
    samples = waves(3, 4, 5, 6)
    known = replace(Known.of(volume(shape=(3, 4, 5, 6))), picture=picture)
    slices = to_slices(samples, known)
    assert slices.shape[1:] == tuple(samples.shape[axis] for axis in picture)
    assert (from_slices(slices, known) == samples).all()
    back = from_levels(to_levels(samples, known, 10), known, 10)
    assert np.abs(back - samples).max() <= known.span / 1023 / 2 * 1.001


def test_rows_come_back_and_the_last_of_a_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"
    first, other = row("a", "sz3", 100, 2.0), row("b", "sz3", 100, 2.0)
    for each in (first, other, replace(first, rmse=1.5)):
        append_array_row(path, each)
    found = read_array_rows(path)
    assert {(r.data, r.rmse) for r in found} == {("a", 1.5), ("b", 2.0)}
    assert found[0] == replace(first, rmse=1.5)


def test_curves_pass_through_points_and_between_them() -> None:
    # bytes * rmse = 1000, and a point that no one would choose
    rows = [row("a", "sz3", size, 1000 / size) for size in (100, 200, 400)]
    rows += [row("a", "sz3", 300, 9.0), row("a", "zfp", 150, 10.0), row("a", "zfp", 600, 1.0)]
    sz3, zfp = curves(rows)
    assert sz3.bytes_at(5.0) == pytest.approx(200)
    assert sz3.rmse_at(250) == pytest.approx(4.0)
    assert sz3.rmse_at(99) is None
    assert sz3.bytes_at(2.4) is None
    assert sz3.bytes_at(11) == pytest.approx(100), "the smallest file is better still"
    assert smallest_at([sz3, zfp], 10.0) == ("sz3", pytest.approx(100))
    assert smallest_at([sz3, zfp], 1.0) == ("zfp", pytest.approx(600))
    assert best_at([sz3, zfp], 600) == ("zfp", pytest.approx(1.0))


def test_points_are_judged_by_bytes_errors_and_seconds() -> None:
    rivals = [row("air", "sperr", size, 1000 / size) for size in (100, 200, 400)]
    point = Point({"target_size": 150}, 10.0, CLASSICAL, gain=1.0, share=1.0)
    better, worse = row("air", "own", 150, 5.0), row("air", "own", 150, 7.0)
    assert point.judged(better, rivals).met is True
    assert point.judged(worse, rivals).met is False
    assert point.judged(replace(better, encode_seconds=11.0), rivals).met is False
    assert point.judged(better, []).met is None
    assert "0.750 (sperr)" in point.judged(better, rivals).cells
    bounded = Point({"max_error": "1%"}, 10.0, bounded=True)
    rivals = [replace(rivals[2], rmse=0.3, psnr=20 * math.log10(100 / 0.3), max_error=0.9)]
    assert bounded.judged(row("air", "own", 400, 0.2), rivals).met is True
    assert bounded.judged(row("air", "own", 401, 0.2), rivals).met is False


def test_points_ask_for_the_bytes_of_the_arrays_own_file() -> None:
    air = replace(volume("climate"), name="air")
    sizes = [point.target.get("target_size") for point in points_of("climate", air)]
    assert sizes == [
        air.samples.nbytes // 400,
        air.samples.nbytes // 200,
        air.samples.nbytes // 100,
        None,
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "micro_brain_64x64x64_u16.npz", volume=waves(6, 7, 8).astype(np.uint16))
    np.savez(
        tmp_path / "climate_air_temperature_240x37x49_f32.npz",
        air_temperature=waves(5, 4, 3).astype(np.float32),
        latitude=np.linspace(15, 60, 4),
        longitude=np.linspace(225, 315, 3),
    )
    cube = waves(8, 7, 9).astype(np.uint16)
    np.savez(tmp_path / "hyperspectral_jasper_ridge_100x100x198_u16.npz", cube=cube)
    return tmp_path


def test_arrays_are_found_and_their_absence_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VOLUMES, raising=False)
    with pytest.raises(DatasetError, match=VOLUMES):
        folder_of(None)
    monkeypatch.setenv(VOLUMES, str(folder))
    assert folder_of(None) == folder
    air = read_volume("air", folder)
    latitude = axes_of(air)[1]
    assert (latitude.name, latitude.origin, latitude.spacing) == ("latitude", 15, 15)
    assert latitude.unit == "degrees_north"
    for name, said in (("t1", "can't be read"), ("mars", "known: brain")):
        with pytest.raises(DatasetError, match=said):
            read_volume(name, folder)


@pytest.mark.parametrize(
    ("part", "name"), [("brain", "brain"), ("cube", "jasper"), ("climate", "air")]
)
def test_claims_measure_and_print(
    part: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [part, "--only", name, "--volumes", str(folder), "--out", str(folder / "own.csv")]
    words += ["--kind", "siren", "--effort", "1", "--targets", "target_size=400", "--set"]
    assert array_claims.main([*words, "steps=2"]) == 0
    assert f"| {name} | target_size=400 |" in capsys.readouterr().out
    (own,) = read_array_rows(folder / "own.csv")
    assert own.bytes <= 400
    assert array_claims.main([*words, "stepps=2"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("argument 'stepps'")
    assert array_claims.main(["medical", "--volumes", str(folder)]) == 2
    assert "can't be read" in capsys.readouterr().err


@pytest.mark.parametrize("step", [1.9, 2.5])
def test_bound_counts_the_samples_that_break_it(
    step: float, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stand-in rounds to multiples of a step; over twice the bound, some samples break it."""
    kept: dict[bytes, Array] = {}

    def encode(samples: Array, *, max_error: float, **_: Any) -> bytes:
        name = f"{len(kept)}".encode()
        kept[name] = np.rint(samples / (step * max_error)) * (step * max_error)
        return name

    def decoded_by(backend: str, file: Path) -> tuple[Array, str]:
        return kept[file.read_bytes()][..., None], backend or "native"

    monkeypatch.setattr(inrcodec, "encode", encode)
    monkeypatch.setattr(array_bound, "decoded_by", decoded_by)
    words = ["bound", "--volumes", str(folder), "--only", "brain", "air", "--bounds", "1%", "20"]
    words += ["--out", str(folder / "rows.csv")]
    assert array_claims.main(words) == (0 if step < 2 else 1)
    # What is kept is not measured again.
    monkeypatch.setattr(inrcodec, "encode", None)
    capsys.readouterr()
    assert array_claims.main(words) == (0 if step < 2 else 1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| all")]
    assert len(lines) == len(array_bound.BACKENDS)
    samples = 2 * (6 * 7 * 8 + 5 * 4 * 3)
    assert all(f"| {samples:,} |" in line for line in lines)


def test_nan_breaks_every_bound() -> None:
    subject = volume()
    decoded = subject.samples.astype(np.float32)
    decoded[0, 0, 0] = np.nan
    assert array_bound.errors_of(subject, decoded, 1e9)[0] == 1


def test_both_backends_decode_a_file(tmp_path: Path) -> None:
    data = inrcodec.encode(waves(4, 5, 6), axes="zyx", kind="siren", effort=1, steps=2)
    file = tmp_path / "a.inrc"
    file.write_bytes(data)
    (native, _), (python, name) = (array_bound.decoded_by(b, file) for b in array_bound.BACKENDS)
    assert name == "pure Python"
    assert np.abs(native.astype(int) - python).max() <= 1


def test_crops_are_within_and_small() -> None:
    found = array_access.crops((188, 256, 190))
    assert found["block"] == [(62, 126), (96, 160), (63, 127)]
    assert found["slab of axis 0"] == [(94, 96), (0, 256), (0, 190)]
    assert array_access.crops((3, 10))["block"] == [(0, 3), (0, 10)]


def test_access_times_parts_beside_the_whole() -> None:
    wanted = Wanted("siren", 1, {"steps": 2})
    (heads, lines), _ = array_access.access([volume()], wanted, None, 1)
    assert [line[1] for line in lines] == ["whole", *array_access.crops((3, 3, 3))]
    assert all(len(line) == len(heads) for line in lines)


def test_kept_rows_of_the_rivals_cover_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_array_rows(RIVALS)
    for data, ratios in {**RATIOS, "brain": (64.0,)}.items():
        families = ("klt",) if data == "jasper" else CLASSICAL
        for family in families:
            own = of(rows, data, [family])
            assert len({r.setting for r in own}) >= 6, (data, family)
        reached = of(rows, data, ["sperr"])
        assert (
            min(r.ratio for r in reached)
            <= min(ratios)
            <= max(ratios)
            < max(r.ratio for r in reached)
        )
    assert main(["--kept"]) == 0
    assert capsys.readouterr().out.count("| jasper |") > 1


def test_plugins_are_named_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    for entry in ENTRIES:
        with pytest.raises(CodecMissingError, match=f"{entry.name}: .*pip install"):
            entry.load()
