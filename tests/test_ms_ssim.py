"""Checks MS-SSIM as a distortion: against other people's, its gradient, its limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
import torch
from pytorch_msssim import ms_ssim
from skimage.metrics import structural_similarity

from inrcodec.errors import UsageError
from inrcodec.fitting.ms_ssim import MSE_SHARE, WORTH, MsSsim, scale_count
from inrcodec.fitting.pyramid_step import Floats
from inrcodec.fitting.workers import Workers


def pair(height: int, width: int, channels: int = 3, noise: float = 0.1) -> tuple[Floats, Floats]:
    """A picture in 0..1, and the same with noise."""
    samples = skimage.data.astronaut()[40 : 40 + height, 150 : 150 + width, :channels]
    target = samples.astype(np.float32) / 255
    random = np.random.default_rng(3).standard_normal(target.shape).astype(np.float32)
    return target, np.clip(target + noise * random, 0, 1)


@pytest.mark.parametrize(("height", "width"), [(161, 178), (203, 170)])
def test_value_and_gradient_are_pytorch_msssims(height: int, width: int) -> None:
    target, render = pair(height, width)
    tensors = (torch.from_numpy(x).double().permute(2, 0, 1)[None] for x in (render, target))
    ours, theirs = (x.requires_grad_() for x in tensors)
    similarity = ms_ssim(ours, theirs, data_range=1)
    squares = (ours - theirs).square().mean()
    loss = WORTH * (1 - similarity) + MSE_SHARE * squares
    loss.backward()
    assert ours.grad is not None
    distortion = MsSsim(target)
    value, slope = distortion.slope(render)
    assert distortion.similarity(render) == pytest.approx(similarity.item(), abs=5e-6)
    assert value == pytest.approx(loss.item(), rel=1e-4)
    assert value == distortion.value(render)
    exact = ours.grad[0].permute(1, 2, 0).numpy()
    assert np.abs(slope - exact).max() <= 1e-4 * np.abs(exact).max()


def test_one_scale_is_ssim() -> None:
    target, render = pair(20, 31)
    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    exact = structural_similarity(target, render, data_range=1, channel_axis=2, **how)
    assert MsSsim(target).similarity(render) == pytest.approx(exact**1.0001, abs=1e-5)


@pytest.mark.parametrize(("height", "width", "channels"), [(47, 90, 1), (24, 21, 2)])
def test_gradient_is_that_of_the_value(height: int, width: int, channels: int) -> None:
    target, render = pair(height, width, channels)
    distortion = MsSsim(target)
    direction = np.random.default_rng(4).standard_normal(target.shape).astype(np.float32)
    near = [distortion.value(render + np.float32(step) * direction) for step in (1e-3, -1e-3)]
    _, slope = distortion.slope(render)
    assert slope.shape == target.shape
    expected = float((slope * direction).sum(dtype=np.float64))
    assert (near[0] - near[1]) / 2e-3 == pytest.approx(expected, rel=1e-2)


def test_descends_from_what_has_nothing_to_do_with_the_target() -> None:
    """Where the power of a scale that is not alike at all would have no gradient."""
    target, _ = pair(48, 48)
    render = 1 - target
    distortion = MsSsim(target)
    assert distortion.similarity(render) < 0.1
    before, slope = distortion.slope(render)
    assert np.isfinite(slope).all()
    moved = render - np.float32(0.1) * slope / np.abs(slope).max()
    assert distortion.value(moved) < before


def test_equal_pictures_are_at_the_minimum() -> None:
    target, _ = pair(40, 40)
    value, slope = MsSsim(target).slope(target)
    assert abs(value) < 1e-8
    assert np.abs(slope).max() < 1e-8


def test_workers_change_nothing() -> None:
    target, render = pair(60, 50)
    value, slope = MsSsim(target).slope(render)
    with ThreadPoolExecutor(2) as pool:
        shared, shared_slope = MsSsim(target, Workers(pool, 2)).slope(render)
    assert shared == value
    np.testing.assert_array_equal(shared_slope, slope)


def test_scales_end_where_the_window_would_not_fit() -> None:
    sides = (11, 20, 21, 40, 41, 80, 81, 160, 161, 9999)
    assert [scale_count((side, 2000)) for side in sides] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("sides", [(10, 300), (300,), (30, 30, 30)])
def test_what_has_no_scale_is_refused(sides: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="11 x 11 samples is needed"):
        MsSsim(np.zeros((*sides, 1), np.float32))
