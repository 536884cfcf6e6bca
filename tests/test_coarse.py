"""Checks pyramids on a coarser lattice than their signal: least squares, the choice, the field."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import inrcodec
from inrcodec.bitstream.wire import SectionType
from inrcodec.codec import as_signal, encode_signal
from inrcodec.coding.planes import DenseLatents
from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec, coarser
from inrcodec.fitting.coarsening import chosen_coarse, coarse_goal, coarsened
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.pyramid_targets import PyramidGoal
from inrcodec.fitting.settings import Settings
from inrcodec.query.evaluator import evaluator
from inrcodec.signal import Axis, Signal, SignalInfo
from tests.test_spec import random_field, random_latents


def waves(size: int = 24, detail: float = 0.0) -> NDArray[np.float32]:
    """A smooth volume, with so much of the finest detail there can be."""
    z, y, x = np.mgrid[0:size, 0:size, 0:size] * (2 * math.pi / size)
    fine = np.where(np.indices((size,) * 3).sum(axis=0) % 2, 1.0, -1.0)
    return (np.sin(z + 0.3) * np.cos(y) + np.sin(x + y) + detail * fine).astype(np.float32)


def view_of(spec: PyramidSpec, lattice: tuple[int, ...], seed: int) -> inrcodec.SignalView:
    """A view of a random field for a float signal of `lattice`."""
    from inrcodec.query.view import Layer, SignalView

    field, _ = random_field(spec, seed, (72, 76))
    field = dataclasses.replace(field, latents=DenseLatents(tuple(random_latents(spec, seed, 1.0))))
    axes = tuple(Axis(name, size) for name, size in zip("zyx", lattice, strict=False))
    channels = tuple(f"value{index}" for index in range(spec.outputs))
    return SignalView((Layer(SignalInfo(axes, channels, "float32", (0.0, 1.0)), field),))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 2),
    st.lists(st.integers(1, 17), min_size=2, max_size=3),
    st.integers(0, 2**16),
    st.data(),
)
def test_every_crop_of_a_coarse_field_is_that_of_the_whole(
    coarse: int, sizes: list[int], seed: int, data: st.DataObject
) -> None:
    lattice = tuple(sizes)
    spec = PyramidSpec(coarser(lattice, 0, coarse), 1, 3, (3,), (4,), 1, coarse=coarse)
    view = view_of(spec, lattice, seed)
    size = tuple(data.draw(st.integers(n, 2 * n)) for n in lattice)
    whole = view.resize(size)
    window = []
    for cells in size:
        start = data.draw(st.integers(0, cells - 1))
        window.append((start, data.draw(st.integers(start + 1, cells))))
    part = whole[tuple(slice(*ends) for ends in window)]
    assert (view.resize(size, window) == part).all()


@pytest.mark.parametrize("kept", [0, 1])
def test_points_of_a_coarse_field_are_its_samples(kept: int) -> None:
    lattice = (5, 11, 14)
    spec = PyramidSpec(coarser(lattice, kept, 2), 2, 3, (3,), (4,), 1, kept=kept, coarse=2)
    view = view_of(spec, lattice, 5)
    points = np.stack(np.meshgrid(*map(np.arange, lattice), indexing="ij"), -1).reshape(-1, 3)
    samples = view.resize(lattice).reshape(-1, 2)
    assert np.abs(view.at(points.astype(np.float64)) - samples).max() < 2e-5


def test_gradients_of_a_coarse_field_are_those_of_its_values() -> None:
    spec = PyramidSpec((4, 6), 1, 3, (3,), (4,), 1, coarse=1)
    asked = view_of(spec, (7, 12), 3)
    points = np.random.Generator(np.random.PCG64(4)).uniform(0, (6, 11), (40, 2))
    slopes = asked.gradient(points)
    step = 1e-3
    for axis in range(2):
        offset = np.eye(2)[axis] * step
        told = (asked.at(points + offset) - asked.at(points - offset)) / (2 * step)
        assert np.abs(slopes[..., axis] - told).max() < 0.02 * np.abs(slopes).max()


def test_a_coarse_mixture_keeps_its_components_apart() -> None:
    spec = PyramidSpec((2, 3, 4), 1, 2, (3,), (4,), 0, kept=1, coarse=1, mixed=5, axis=2)
    view = view_of(spec, (6, 8, 5), 7)
    asked = evaluator(view.layers[0].field, view.layers[0].info)
    assert view.resize((6, 8, 5)).shape == (6, 8, 5, 1)
    flat = dataclasses.replace(spec, mixed=0, axis=0)
    field = dataclasses.replace(view.layers[0].field, spec=flat)
    own = SignalInfo(
        tuple(Axis(n, s) for n, s in zip("czy", (2, 6, 8), strict=True)),
        ("value0",),
        "float32",
        (0.0, 1.0),
    )
    components = np.empty((2, 6, 8, 1), np.float32)
    evaluator(field, own).fill(components, lambda v: v, (2, 6, 8), [(0, 2), (0, 6), (0, 8)])
    loadings = np.stack([view.layers[0].field.parameters[f"loading{i}"] for i in range(2)])
    expected = 0.5 + np.einsum("czyv,cx->zyxv", components - 0.5, loadings)
    assert np.abs(view.resize((6, 8, 5)) - expected).max() < 1e-4 * np.abs(expected).max()
    assert asked.spec == spec


def test_the_coarser_signal_is_the_nearest() -> None:
    part = as_signal(waves(detail=0.2), axes="zyx")
    own = coarsened(part, 0, 1)
    assert own.signal.info.lattice == (12, 12, 12)
    assert own.share == 1 / 8
    generator = np.random.Generator(np.random.PCG64(1))

    def error(values: NDArray[np.float32]) -> float:
        spec = PyramidSpec((12,) * 3, 1, 1, (), (), 0, coarse=1)
        from inrcodec.query.interpolation import interpolate, tap_weights
        from inrcodec.query.lattice import native_positions

        assert spec.coarse
        for axis in range(3):
            below, fraction = native_positions(12, 24, 0, 24)
            values = interpolate(values, axis, below, tap_weights(fraction), 0, 12)
        low, high = part.info.value_range
        return float(np.square((part.samples - low) / (high - low) - values).mean())

    assert error(own.signal.samples) == pytest.approx(own.left_out, rel=1e-3)
    for _ in range(3):
        noise = generator.normal(0, 1e-3, own.signal.samples.shape).astype(np.float32)
        assert error(own.signal.samples + noise) > own.left_out


def test_what_is_kept_is_not_made_coarser() -> None:
    part = as_signal(waves(), axes="zyx")
    assert coarsened(part, 1, 2).signal.info.lattice == (24, 6, 6)


@pytest.mark.parametrize(
    "goal",
    [
        PyramidGoal(rate_weight=1e-2),
        PyramidGoal(psnr=30.0),
        PyramidGoal(bits=3000.0),
        PyramidGoal(bound=0.2),
    ],
)
def test_a_smooth_signal_gets_a_coarser_lattice(goal: PyramidGoal) -> None:
    assert chosen_coarse(as_signal(waves(), axes="zyx"), 0, goal) == 1
    rough = as_signal(waves(detail=2.0), axes="zyx")
    assert chosen_coarse(rough, 0, goal) == 0


def test_small_errors_need_the_signal_s_own_lattice() -> None:
    part = as_signal(waves(detail=0.01), axes="zyx")
    weights = (1e-2, 1e-6)
    chosen = [chosen_coarse(part, 0, PyramidGoal(rate_weight=weight)) for weight in weights]
    assert chosen == [1, 0]


def test_short_axes_stay_as_they_are() -> None:
    generator = np.random.Generator(np.random.PCG64(2))
    part = as_signal(generator.normal(size=(3, 4, 15)), axes="zyx")
    assert chosen_coarse(part, 0, PyramidGoal(rate_weight=10.0)) == 0


def test_goals_count_what_is_left_out() -> None:
    own = coarsened(as_signal(waves(detail=0.05), axes="zyx"), 0, 1)
    asked = psnr_of(4 * own.left_out)
    goal = coarse_goal(PyramidGoal(psnr=asked), own)
    assert goal.psnr is not None
    assert own.psnr(goal.psnr) == pytest.approx(asked)
    assert coarse_goal(PyramidGoal(rate_weight=0.08), own).rate_weight == pytest.approx(0.01)


def test_a_coarse_file_is_smaller_and_says_what_it_is() -> None:
    part = as_signal(waves(), axes="zyx")
    sizes = {}
    for coarse in (0, None):
        made = encode_signal(part, Settings(effort=1, psnr=29.0, coarse=coarse))
        assert made.psnr > 28.9
        sizes[coarse] = len(made.data)
    assert sizes[None] < sizes[0]
    assert inrcodec.info(made.data)["tracks"][0]["coarse"] > 0


def test_a_lattice_that_turns_out_too_coarse_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inrcodec.fitting.pyramid_part.chosen_coarse", lambda part, kept, goal: 2)
    made = encode_signal(as_signal(waves(16, 0.5), axes="zyx"), Settings(effort=1, psnr=34.0))
    assert made.psnr > 33.9


def test_a_bound_holds_on_a_coarse_lattice() -> None:
    part = as_signal(waves(20, detail=0.1), axes="zyx")
    made = encode_signal(part, Settings(effort=1, max_error=0.05, coarse=1))
    view = inrcodec.open(made.data)
    whole = view.resize(view.info.lattice)
    assert np.abs(whole - part.samples).max() <= 0.05
    assert (view[3:9, 5:6, 2:19] == whole[3:9, 5:6, 2:19, 0:1]).all()
    assert SectionType.RESIDUAL in {section.type for section in inrcodec.codec.unpack(made.data)[1]}


def test_a_lattice_that_is_too_long_is_refused() -> None:
    long = Signal(
        np.zeros((1, 20000, 1), np.float32),
        SignalInfo((Axis("t", 1), Axis("x", 20000)), ("value0",), "float32", (0.0, 1.0)),
    )
    with pytest.raises(UsageError, match="20000 samples is too long"):
        coarsened(long, 0, 1)
    assert chosen_coarse(long, 0, PyramidGoal(rate_weight=1.0)) == 0
