"""Checks that no decoded sample is farther off than the bound that was asked."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import inrcodec
from inrcodec.bitstream.container import Section, pack, pack_section, unpack
from inrcodec.bitstream.header import Header, Track
from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits, SectionType
from inrcodec.cli import main
from inrcodec.codec import as_signal, encode_signal
from inrcodec.coding.grids import grid_of, to_digits
from inrcodec.coding.quantize import TensorRecipe
from inrcodec.coding.residual import unpack_residual
from inrcodec.coding.tracks import pack_track
from inrcodec.errors import CorruptError, InrcodecError, LimitError, UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.files.arrays import TYPES
from inrcodec.fitting import grid_fit, tilings
from inrcodec.fitting.bounds import within_bound
from inrcodec.fitting.pyramid_targets import Shared
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.fitting.workers import working
from inrcodec.query.batch import query_many
from inrcodec.query.quality import largest_difference
from inrcodec.signal import Signal


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds hold for whatever network: a fit of a moment will do."""
    monkeypatch.setattr(grid_fit, "STEPS", 12)


def random_track(signal: Signal, seed: int) -> FittedTrack:
    """A field that was never fitted to the signal."""
    generator = np.random.default_rng(seed)
    spec = PyramidSpec(signal.info.lattice, len(signal.info.channels), 2, (), (3,), 1)
    symbols = {
        tensor.name: generator.integers(-9, 10, tensor.shape).astype(np.int32)
        for tensor in spec.tensors()
    }
    recipes = tuple(TensorRecipe(56, 20) for _ in spec.tensors())
    latents = tuple(
        generator.integers(-3, 4, spec.grid(level)).astype(np.int32) for level in range(2)
    )
    return FittedTrack(spec, Quantised(symbols, recipes, 0.0), 0, math.nan, latents)


def written(signal: Signal, bound: float, seed: int = 0) -> bytes:
    """A file of a random field with the residual that brings the signal within a bound."""
    with working("cpu"):
        track = within_bound(signal, random_track(signal, seed), bound, seed)
    quantised = track.quantised
    sections = pack_track(0, track.spec, quantised.symbols, quantised.recipes, track.latents)
    assert track.residual is not None
    sections.append(Section(SectionType.RESIDUAL, 0, track.residual))
    return pack(Header((Track(signal.info, track.spec),)), sections)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Arrays of 1 to 4 axes and every type: noise of some width, on a ramp, with outliers."""
    axes = draw(st.integers(1, 4))
    shape = [draw(st.integers(1, (60, 14, 7, 5)[axes - 1])) for _ in range(axes)]
    shape.append(draw(st.integers(1, 3)))
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    width = 10.0 ** draw(st.integers(-3, 0))
    values = width * generator.laplace(0, 1, shape) + np.linspace(-1, 1, shape[0]).reshape(
        -1, *[1] * axes
    )
    outliers = draw(st.sampled_from([0.0, 0.02]))
    values = np.where(generator.random(shape) < outliers, 40 * values, values)
    if dtype.kind == "f":
        scale = 10.0 ** draw(st.integers(-2, 2))
        return as_signal((values * scale).astype(dtype), axes="tzyx"[:axes])
    most = np.iinfo(dtype)
    centre, half = (most.max + most.min + 1) / 2, (float(most.max) - most.min) / 2
    scale = draw(st.sampled_from([5, 100, half]))
    clipped = np.clip(np.rint(values * scale + centre), most.min, most.max)
    return as_signal(clipped.astype(dtype), axes="tzyx"[:axes])


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(signals(), st.sampled_from([0.0005, 0.005, 0.03, 0.4, 3.0]), st.integers(0, 9), st.data())
def test_no_sample_is_farther_off(
    signal: Signal, share: float, seed: int, data: st.DataObject
) -> None:
    """By whatever field; crops and points are of the same samples; numpy gives the same bits."""
    low, high = signal.info.value_range
    bound = share * (high - low)
    bound = float(math.floor(bound)) if signal.samples.dtype.kind != "f" else bound
    try:
        file = written(signal, bound, seed)
    except UsageError:
        # Only of floats that are no finer than the bound.
        assert signal.samples.dtype.kind == "f"
        assert share < 0.01
        return
    view = inrcodec.open(file)
    whole = view.read()
    assert whole.info == signal.info
    assert largest_difference(signal.samples, whole.samples) <= bound
    window = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in signal.info.lattice]
    part = inrcodec.open(file).resize(signal.info.lattice, window)
    inside = tuple(slice(*ends) for ends in window)
    np.testing.assert_array_equal(part, whole.samples[inside])
    points = np.array([[data.draw(st.integers(0, n - 1)) for n in signal.info.lattice]] * 2)
    expected = whole.samples[tuple(points.T)].astype(np.float32)
    np.testing.assert_array_equal(view.at(points.astype(float)), expected)
    np.testing.assert_array_equal(query_many([view], points.astype(float))[0], expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INRCODEC_NATIVE", "off")
        np.testing.assert_array_equal(inrcodec.decode(file).samples, whole.samples)


# The encoder


@pytest.mark.parametrize(("bound", "most"), [(0, 0.0), (2.7, 2.0), ("1%", 2.0)])
def test_a_picture_with_alpha_is_kept_within_its_bound(bound: float | str, most: float) -> None:
    pixels = skimage.data.logo()[200:240, 200:230]
    encoded = encode_signal(as_signal(pixels), Settings(max_error=bound, net="3/4/0", steps=20))
    decoded = inrcodec.decode(encoded.data)
    assert largest_difference(pixels, decoded.samples) == encoded.max_error <= most
    assert encoded.psnr == (math.inf if most == 0 else pytest.approx(encoded.psnr, abs=1e9))
    assert encoded.data[9] == 2
    # Other sizes are the field's alone.
    assert inrcodec.decode(encoded.data, scale=2).samples.shape == (80, 60, 4)


def test_a_volume_of_floats_is_kept_within_a_share_of_its_range() -> None:
    t, y, x = np.mgrid[0:6, 0:11, 0:13]
    samples = (np.sin(0.4 * t + 0.3 * y) * x - 100).astype(np.float32)
    file = inrcodec.encode(samples, max_error="0.5%", net="/4/0", steps=20)
    decoded = inrcodec.decode(file).samples[..., 0]
    assert 0 < largest_difference(samples, decoded) <= 0.005 * float(np.ptp(samples))
    between = inrcodec.open(file).at([[2.5, 3.0, 4.0]])
    assert abs(between[0, 0] - samples[2:4, 3, 4].mean()) < 0.2 * np.ptp(samples)


@pytest.mark.parametrize("asked", [{"mix": "z"}, {"kept": 1}], ids=str)
def test_mixtures_and_pyramids_with_kept_axes_are_kept_within_a_bound(
    asked: dict[str, Any],
) -> None:
    z, y, x = np.mgrid[0:9, 0:20, 0:14]
    samples = (900 + 300 * np.sin(0.3 * y) * z + x * (z - 4)).astype(np.int16)
    file = inrcodec.encode(samples, max_error=3, net="/4/0", steps=20, **asked)
    view = inrcodec.open(file)
    whole = view.read().samples
    assert 0 < largest_difference(samples[..., None], whole) <= 3
    np.testing.assert_array_equal(view[2:5, 7, 3:11], whole[2:5, 7, 3:11])
    points = np.array([[3.0, 4.0, 5.0], [8.0, 19.0, 13.0]])
    np.testing.assert_array_equal(view.at(points)[:, 0], whole[[3, 8], [4, 19], [5, 13], 0])


def test_constants_need_no_residual() -> None:
    for constant in (np.full((4, 5), 7, np.int8), np.full((4, 5), 0.1)):
        file = inrcodec.encode(constant, axes="yx", max_error="1%")
        assert inrcodec.open(file).layers[0].residual is None
        np.testing.assert_array_equal(inrcodec.decode(file).samples[..., 0], constant)


def test_a_residual_of_zeros_takes_no_digits(noise: Signal) -> None:
    file = written(noise, 255.0)
    assert len(unpack(file)[1][-1].payload) == 3
    residual = inrcodec.open(file).layers[0].residual
    assert residual is not None
    assert residual.grid.digits == ()


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"max_error": -1}, "from 0"),
        ({"max_error": math.nan}, "from 0"),
        ({"max_error": "1 %"}, "a share as in 1%"),
        ({"max_error": "%"}, "a share as in 1%"),
        ({"max_error": 1, "psnr": 30}, "one target at a time"),
        ({"max_error": 1, "kind": "siren"}, "use a pyramid"),
        ({"max_error": 1, "net": "3x8"}, "use a pyramid"),
        ({"max_error": 1, "tune": "ms-ssim"}, "tuned for mse"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(asked: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Settings(**asked)


@pytest.mark.parametrize(("bound", "match"), [(0, "0.001%"), ("0%", "0.001%"), (1e-7, "or more")])
def test_bounds_finer_than_floats_are_refused(bound: float | str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        inrcodec.encode(np.linspace(3, 9, 40, dtype=np.float32), max_error=bound, steps=5)


def test_bounds_out_of_reach_of_digits_are_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        inrcodec.encode(np.linspace(-1, 9, 40), max_error=1e-13, steps=5)


@pytest.mark.parametrize(
    ("error", "wanted"), [(1e-2, 4e-2), (5e-5, 2e-4), (1e-5, 0.6e-4 * 1.6**2), (1e-30, 1.0)]
)
def test_the_rate_weight_follows_the_error(error: float, wanted: float) -> None:
    """Of a bound of 0.01: tight for large errors, then loose; few errors beyond it are enough."""
    weight = Shared(3e-4, 0.01, 0.6, 4.0)
    assert weight(0.1, error, 1.0) == 3e-4
    for share in np.linspace(0.1, 1.0, 100):
        reached = weight(float(share), error, 1.0)
    assert reached == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e9, math.nan])
def test_whatever_network_is_found_a_file_can_hold_it(
    monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    real = grid_fit._descended

    def wild(*arguments: Any) -> dict[str, np.ndarray]:
        return {name: values * scale for name, values in real(*arguments).items()}

    monkeypatch.setattr(grid_fit, "_descended", wild)
    signal = as_signal(np.arange(-60, 60, dtype=np.int8).reshape(4, 5, 6) ** 2)
    np.testing.assert_array_equal(inrcodec.decode(written(signal, 0.0)).samples, signal.samples)


# The section


@pytest.fixture(scope="module")
def noise() -> Signal:
    generator = np.random.default_rng(0)
    return as_signal(generator.integers(0, 200, (70, 90)).astype(np.uint8))


@pytest.fixture
def file(noise: Signal) -> bytes:
    return written(noise, 1.0)


def test_truncation_and_flips_are_errors_of_ours(file: bytes) -> None:
    payload = unpack(file)[1][-1].payload
    start = len(file) - len(payload) - 12
    for place in (*range(start, len(file), 41), len(file) - 1):
        with pytest.raises(InrcodecError):
            inrcodec.decode(file[:place])
        damaged = bytearray(file)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(InrcodecError):
            inrcodec.decode(bytes(damaged))


def test_a_payload_of_other_bytes_is_read_or_refused(file: bytes, noise: Signal) -> None:
    """Behind a right checksum: a signal, or an error of ours."""
    *_, last = sections = unpack(file)[1]
    front = file[: file.index(pack_section(sections[0]))]
    front += b"".join(map(pack_section, sections[:-1]))
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        payload = bytearray(last.payload)
        place = int(generator.integers(0, min(len(payload), int(generator.integers(1, 400)))))
        payload[place] = int(generator.integers(0, 256))
        try:
            decoded = inrcodec.decode(front + pack_section(Section(0x83, 0, bytes(payload))))
        except InrcodecError:
            refused += 1
            continue
        assert decoded.samples.shape == noise.samples.shape
    assert refused > 20


def test_what_is_left_of_a_file_is_the_field_alone(file: bytes) -> None:
    view = inrcodec.open(file[:-20], partial=True)
    assert view.problem is not None
    assert view.layers[0].residual is None


def test_only_tiles_that_are_asked_for_are_decoded(
    noise: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tilings, "LEAST", {2: 32})
    monkeypatch.setattr(grid_fit, "TILE_COST", 1.0)
    whole = written(noise, 0.0)
    last = unpack(whole)[1][-1]
    front = whole[: -len(pack_section(last))]
    # The last run belongs to the last tile.
    damaged = last.payload[:-8] + bytes(7) + b"\1"
    view = inrcodec.open(front + pack_section(Section(last.type, 0, damaged)))
    np.testing.assert_array_equal(view[:64, :64], noise.samples[:64, :64])
    with pytest.raises(CorruptError, match="tile 8"):
        view[69, 89]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(latents=6000), "latents"),
        (Limits(macs=10**5), "networks"),
        (Limits(units=7), "units"),
    ],
)
def test_limits_hold_before_anything_is_decoded(file: bytes, limits: Limits, name: str) -> None:
    *sections, last = unpack(file)[1]
    info = inrcodec.open(file).info
    with pytest.raises(LimitError, match=name):
        unpack_residual(0, info, [*sections, last], limits)
    assert unpack_residual(0, info, [*sections, last], DEFAULT_LIMITS) is not None


def test_digits_are_whole_numbers_again() -> None:
    numbers = np.array([0, 1, -1, 127, 128, -128, 32_512, 32_513, -(2**33), 2**33 + 5])
    for base, count in itertools.product((3, 255, 65535), (1, 2, 3, 4)):
        if np.abs(numbers).max() > 2**31 * base ** (count - 1):
            continue
        digits = to_digits(numbers, base, count)
        assert all(np.abs(digit).max() <= base // 2 for digit in digits[:-1])
        total = sum(digit.astype(object) * base**power for power, digit in enumerate(digits))
        np.testing.assert_array_equal(total, numbers)


def test_grids_have_at_most_four_axes() -> None:
    shapes = {(5,): (5,), (1, 1): (1,), (3, 1, 4): (3, 4), (2, 3, 4, 5): (2, 3, 4, 5)}
    for lattice, grid in shapes.items():
        for channels in (1, 3):
            own = (channels, *grid) if channels > 1 else grid
            own = tuple(size for size in own if size > 1) or (1,)
            assert grid_of((channels, *lattice)) == (own if len(own) < 5 else (6, 3, 4, 5))


# The command line


def test_a_png_without_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, packed, back = (str(tmp_path / name) for name in ("a.png", "a.inrc", "b.png"))
    pixels = skimage.data.camera()[100:130, 200:240]
    Image.fromarray(pixels).save(picture)
    fast = ["--steps", "20", "--net", "/4/0", "--json"]
    assert main(["encode", "--lossless", *fast, picture, packed]) == 0
    assert json.loads(capsys.readouterr().out)["max_error"] == 0
    assert main(["decode", packed, back]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(back)), pixels)
    assert main(["encode", "-f", "--max-error", "2%", *fast[:-1], picture, packed]) == 0
    assert "at most 5 off" in capsys.readouterr().err
    assert main(["encode", "--lossless", "--max-error", "2", picture, packed]) == 2
    assert main(["encode", "--max-error", "two", picture, packed]) == 2
