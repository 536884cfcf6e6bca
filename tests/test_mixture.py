"""Checks that signals become mixtures of components along one axis, and come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import inrcodec
from inrcodec.errors import TargetMissedError, UsageError
from inrcodec.files.arrays import from_array
from inrcodec.fitting.mixture import component_goal, mixture
from inrcodec.fitting.pyramid_targets import PyramidGoal
from inrcodec.fitting.settings import Settings
from inrcodec.query.evaluator import evaluator
from inrcodec.query.quality import psnr
from inrcodec.query.view import SignalView

AXES = ("y", "x", "band")
QUICK = {"axes": AXES, "mix": "band", "effort": 1, "steps": 60}


def cube(bands: int = 30, materials: int = 3, channels: int = 1) -> np.ndarray:
    """Few spectra, mixed by smooth maps."""
    y, x = np.mgrid[0:24, 0:28] / 28
    maps = [np.sin(5 * x + k) * np.cos((3 + k) * y) / (1 + 2 * k) for k in range(materials)]
    wavelength = np.linspace(0, 1, bands)
    spectra = [np.exp(-((wavelength - 0.3 * k) ** 2) / 0.05) for k in range(materials)]
    parts = [np.multiply.outer(a, b) for a, b in zip(maps, spectra, strict=True)]
    whole = np.sum(parts, axis=0)
    return np.stack([whole * (c + 1) for c in range(channels)], axis=-1).astype(np.float32)


def view_of(**settings: object) -> SignalView:
    return inrcodec.open(inrcodec.encode(cube(), **{**QUICK, "rate_weight": 1e-4, **settings}))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 2])
def test_all_components_are_the_signal(axis: int, channels: int) -> None:
    part = from_array(cube(bands=9, channels=channels), AXES)
    whole = mixture(part, axis, PyramidGoal(rate_weight=1e-4), rank=9)
    components = (whole.components.samples.astype(np.float64) - 0.5) * whole.reach
    found = components.reshape(9, -1)
    # The basis has unit vectors: what one has of the signal is what the signal has of one.
    projected = (whole.values @ found.T) @ np.linalg.pinv(found @ found.T) @ found
    assert np.allclose(projected, whole.values, atol=1e-4)
    assert whole.left_out == pytest.approx(0, abs=1e-9)
    energies = np.square(found).sum(axis=1)
    assert (np.diff(energies) <= 1e-9 * energies[0]).all(), "the largest come first"


def test_what_is_left_out_is_the_error_without_it() -> None:
    part = from_array(cube(), AXES)
    errors = []
    for rank in (1, 2, 3):
        made = mixture(part, 2, PyramidGoal(rate_weight=1e-4), rank)
        found = (made.components.samples.astype(np.float64) - 0.5).reshape(rank, -1)
        nearest = made.values @ found.T @ np.linalg.inv(found @ found.T) @ found
        errors.append(np.square(made.values - nearest).mean())
        assert made.left_out == pytest.approx(errors[-1], abs=1e-9)
        assert made.error(0.0) == made.left_out
    assert errors[0] > 10 * errors[1] > 10 * errors[2]


@pytest.mark.parametrize(("weight", "rank"), [(1e-6, 4), (1.0, 1)])
def test_as_many_components_as_are_worth_it(weight: float, rank: int) -> None:
    """Of three spectra and the middle of the range, which values are counted from."""
    made = mixture(from_array(cube(), AXES), 2, PyramidGoal(rate_weight=weight))
    assert made.rank == rank


def test_a_rate_weight_means_the_same_for_components() -> None:
    made = mixture(from_array(cube(), AXES), 2, PyramidGoal(rate_weight=1e-4))
    own = component_goal(PyramidGoal(rate_weight=1e-4), made)
    assert own.rate_weight == pytest.approx(1e-4 / made.reach**2)
    asked = component_goal(PyramidGoal(psnr=40.0), made)
    assert asked.psnr is not None
    reached = -10 * np.log10(made.error(10 ** (-asked.psnr / 10)))
    assert 40 <= reached < 40.5


def test_a_mixture_is_smaller_and_better() -> None:
    noise = np.random.default_rng(0).random((24, 28, 1, 1), np.float32)
    wild = cube() + noise * cube()[12, 14]
    plain = inrcodec.encode(wild, axes=AXES, effort=1, steps=200, rate_weight=1e-4)
    mixed = inrcodec.encode(wild, **{**QUICK, "steps": 200}, rate_weight=1e-4)
    signal = from_array(wild, AXES)
    assert len(mixed) < len(plain)
    assert psnr(signal, inrcodec.decode(mixed)) > psnr(signal, inrcodec.decode(plain))
    told = inrcodec.info(mixed)
    assert told["format"] == "1.2"
    assert told["tracks"][0]["rank"] in (3, 4, 5)
    assert told["tracks"][0]["lattice"] == {"y": 24, "x": 28, "band": 30}


def test_windows_are_those_of_the_whole() -> None:
    view = view_of()
    whole = view.resize(view.info.lattice)
    assert (view[3:9, 20:, 4:5] == whole[3:9, 20:, 4:5]).all()
    assert (view[..., 29, :] == whole[..., 29, :]).all()
    large = view.resize((30, 56, 45))
    part = view.resize((30, 56, 45), [(2, 30), (11, 12), (7, 40)])
    assert (part == large[2:30, 11:12, 7:40]).all()
    small = view.resize((12, 28, 10))
    assert small.shape == (12, 28, 10, 1)
    assert np.abs(small[..., 0] - cube()[::2, :, 1::3, 0]).max() < 0.3


def test_points_lie_on_the_lattice_and_between() -> None:
    view = view_of()
    whole = view.resize(view.info.lattice)
    places = np.array([[0, 0, 0], [23, 27, 29], [5, 6, 7]])
    found = view.at(places.astype(np.float64))
    assert found[:, 0] == pytest.approx(whole[tuple(places.T)][:, 0], abs=1e-5)
    dense = view.resize((48, 56, 60))
    between = (np.array([[9, 20, 31]]) + 0.5) / 2 - 0.5
    assert view.at(between)[0, 0] == pytest.approx(dense[9, 20, 31, 0], abs=1e-5)


def test_slopes_are_those_of_the_values() -> None:
    view = view_of()
    layer = view.layers[0]
    asked = evaluator(layer.field, layer.info)
    points = np.random.default_rng(0).uniform(2, 20, (40, 3))
    slopes = asked.slopes(points)[:, 0]
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-2
        ahead, behind = asked.at(points + step), asked.at(points - step)
        rise = (ahead.astype(np.float64) - behind)[:, 0] / 2e-2
        assert slopes[:, axis] == pytest.approx(rise, abs=1e-3)


def test_work_counts_components_and_their_mixing() -> None:
    layer = view_of().layers[0]
    asked = evaluator(layer.field, layer.info)
    whole = [(0, size) for size in layer.info.lattice]
    rank = layer.field.spec.rank
    assert asked.work(layer.info.lattice, whole) >= rank * layer.info.positions
    assert asked.work_at(np.zeros((10, 3))) >= 10 * rank


def test_a_size_is_met() -> None:
    made = inrcodec.encode(cube(), **QUICK, target_size=900)
    assert 800 <= len(made) <= 900
    with pytest.raises(TargetMissedError, match="size"):
        inrcodec.encode(cube(), **QUICK, target_size=100)


def test_a_psnr_is_met() -> None:
    settings = {**QUICK, "steps": 150}
    signal = from_array(cube(), AXES)
    made = inrcodec.decode(inrcodec.encode(cube(), **settings, psnr=36.0))
    assert psnr(signal, made) >= 35.9


def test_more_channels_share_the_loadings() -> None:
    array = cube(channels=2)
    made = inrcodec.decode(inrcodec.encode(array, **QUICK, rate_weight=1e-5))
    assert made.samples.shape == array.shape
    assert psnr(from_array(array, AXES), made) > 30


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"mix": "time"}, "no such axis, but y, x, band"),
        ({"rank": 31}, "rank 31: 1 to 30"),
        ({"mix": None, "rank": 2}, "of which axis"),
        ({"kind": "siren"}, "a pyramid is needed"),
        ({"tune": "ms-ssim"}, "tune ms-ssim"),
        ({"kept": 3}, "kept 3"),
    ],
)
def test_what_cannot_be_mixed_is_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        inrcodec.encode(cube(), **{**QUICK, **settings})


@pytest.mark.parametrize("shape", [(20,), (20, 1), (1, 20)])
def test_an_axis_alone_cannot_be_mixed(shape: tuple[int, ...]) -> None:
    axes = ("band",) if len(shape) == 1 else ("band", "x")
    array = np.random.default_rng(0).random(shape)
    if shape == (20, 1):
        assert inrcodec.decode(
            inrcodec.encode(array, axes=axes, mix="band", effort=1, steps=5)
        ).samples.shape == (20, 1, 1)
        return
    with pytest.raises(UsageError, match="an axis of 2 to"):
        inrcodec.encode(array, axes=axes, mix="band", effort=1, steps=5)


def test_settings_know_components() -> None:
    assert replace(Settings(), mix="band", rank=3).rank == 3
