"""Joins a picture with renders of it: MS-SSIM, its gradient, and the Distortion made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from inrcodec.errors import UsageError
from inrcodec.fitting.workers import Workers

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, finest first (Wang, Simoncelli, Bovik 2003)."""

TAPS, SIGMA = 11, 1.5
"""Of the Gaussian window."""

C1, C2 = 0.01**2, 0.03**2
"""What keeps quotients finite, for values that span 0..1."""

LEAST = 1e-3
"""Least mean of a scale that counts: its power has no finite gradient at zero."""

WORTH, MSE_SHARE = 0.02, 0.3
"""Mean squared error that 1 - MS-SSIM counts as, and what the mean squared error itself counts.

Together they give a lambda about the rate that it has with the mean squared error alone: at effort
3, quality 50, 17 % more on kodim15, 13 % less on kodim05, where texture hides errors. Without the
second one fits go astray: SSIM has no slope back from beyond a clamp, and hardly one for the
brightness of what is flat (docs/experiments.md, 17).
"""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Scale:
    """A channel of the target at one scale, its local means and variances."""

    target: Tensor
    mean: Tensor
    variance: Tensor


class MsSsim:
    """A Distortion: WORTH x (1 - MS-SSIM) + MSE_SHARE x MSE to a picture.

    `target` is `[height, width, channels]` in 0..1, and is not copied. MS-SSIM is the mean of the
    channels'. A picture of less than 161 samples a side has fewer than five scales: those, finest
    first, whose sides are no less than the window's; their exponents are scaled to add up to those
    of all. Raises UsageError where not even one scale is left, and for what has not two axes.
    """

    def __init__(self, target: Floats, workers: Workers | None = None) -> None:
        count = scale_count(target.shape[:-1])
        whole = sum(WEIGHTS) / sum(WEIGHTS[:count])
        self._weights = [weight * whole for weight in WEIGHTS[:count]]
        self._target, self._workers = target, workers or Workers()
        self._channels = self._workers.map(self._scales, _channels(target))

    def value(self, render: Floats) -> float:
        """The distortion of a render of the target's shape."""
        return self._loss(self.similarity(render), render - self._target)

    def slope(self, render: Floats) -> tuple[float, Floats]:
        """The distortion of a render, and its gradient."""
        similarity, slopes = self._measured(render, True)
        slope = torch.stack(slopes, -1).mul_(-WORTH / len(slopes)).numpy()
        errors = render - self._target
        value = self._loss(similarity, errors)
        errors *= np.float32(2 * MSE_SHARE / errors.size)
        slope += errors
        return value, slope

    def similarity(self, render: Floats) -> float:
        """MS-SSIM of a render."""
        return self._measured(render, False)[0]

    def _loss(self, similarity: float, errors: Floats) -> float:
        squares = np.square(errors).sum(dtype=np.float64) / errors.size
        return WORTH * (1 - similarity) + MSE_SHARE * float(squares)

    def _measured(self, render: Floats, sloped: bool) -> tuple[float, list[Tensor]]:
        """The mean of the channels, and the gradient of each by itself."""
        pairs = zip(self._channels, _channels(render), strict=True)
        found = self._workers.map(lambda pair: self._similarity(*pair, sloped), pairs)
        return sum(value for value, _ in found) / len(found), [slope for _, slope in found]

    def _scales(self, target: Tensor) -> list[_Scale]:
        scales = []
        for index in range(len(self._weights)):
            target = _halved(target) if index else target
            mean = _blurred(target)
            scales.append(_Scale(target, mean, _blurred(target * target) - mean * mean))
        return scales

    def _similarity(
        self, scales: list[_Scale], plane: Tensor, sloped: bool
    ) -> tuple[float, Tensor]:
        """MS-SSIM of a channel, and its gradient if that is `sloped`."""
        means, slopes = list[float](), list[Tensor]()
        for index, scale in enumerate(scales):
            plane = _halved(plane) if index else plane
            mean, slope = _compared(scale, plane, index + 1 == len(scales), sloped)
            means.append(max(mean, LEAST))
            slopes.append(slope)
        value = math.prod(mean**weight for mean, weight in zip(means, self._weights, strict=True))
        if not sloped:
            return value, plane
        for slope, mean, weight in zip(slopes, means, self._weights, strict=True):
            slope *= weight * value / mean
        total = slopes.pop()
        for slope in reversed(slopes):
            total = slope.add_(_spread(total, slope.shape))
        return value, total


def scale_count(sides: Sequence[int]) -> int:
    """Scales of a picture of so many rows and columns; UsageError as of MsSsim."""
    if len(sides) != 2 or min(sides) < TAPS:
        raise UsageError(
            f"tune ms-ssim: a picture of at least {TAPS} x {TAPS} samples is needed, not "
            f"{' x '.join(map(str, sides))}; tune for mse"
        )
    return min(len(WEIGHTS), 1 + int(math.log2((min(sides) - 1) // (TAPS - 1))))


def _compared(scale: _Scale, plane: Tensor, last: bool, sloped: bool) -> tuple[float, Tensor]:
    """Mean of contrast x structure, in the last scale x luminance too; its gradient if `sloped`."""
    mean = _blurred(plane)
    covariance = _blurred(plane * scale.target) - mean * scale.mean
    spread = (_blurred(plane * plane) - mean * mean).add_(scale.variance).add_(C2)
    similar = (2 * covariance + C2) / spread
    count = similar.numel()
    luminance, by_mean = torch.ones(1), torch.zeros(1)
    if last:
        energy = mean * mean + scale.mean * scale.mean + C1
        luminance = (2 * mean * scale.mean + C1) / energy
        by_mean = similar * 2 * (scale.mean - luminance * mean) / (energy * count)
    value = float((similar * luminance).sum(dtype=torch.float64)) / count
    if not sloped:
        return value, plane
    by_square = luminance / (spread * count)
    by_product = 2 * by_square
    by_square *= -similar
    by_mean = by_mean - 2 * mean * by_square - scale.mean * by_product
    slope = _blurred_back(by_product).mul_(scale.target)
    slope.addcmul_(_blurred_back(by_square), plane, value=2).add_(_blurred_back(by_mean))
    return value, slope


def _window() -> list[float]:
    taps = [math.exp(-(((tap - TAPS // 2) / SIGMA) ** 2) / 2) for tap in range(TAPS)]
    return [tap / sum(taps) for tap in taps]


def _blurred(plane: Tensor) -> Tensor:
    """Local means, where the window is inside: a sum of shifts is five times as fast as conv2d."""
    for axis in (0, 1):
        count = plane.shape[axis] - TAPS + 1
        first, *others = _window()
        total = plane.narrow(axis, 0, count) * first
        for tap, weight in enumerate(others, 1):
            total.add_(plane.narrow(axis, tap, count), alpha=weight)
        plane = total
    return plane


def _blurred_back(slope: Tensor) -> Tensor:
    """The gradient by a plane of its local means': the window is symmetric."""
    return _blurred(pad(slope, (TAPS - 1,) * 4))


def _halved(plane: Tensor) -> Tensor:
    """Means of 2 x 2, an odd side with a zero before its first sample, as is usual for MS-SSIM."""
    return avg_pool2d(plane[None], 2, padding=(plane.shape[0] % 2, plane.shape[1] % 2))[0]


def _spread(slope: Tensor, shape: torch.Size) -> Tensor:
    """The gradient by a plane of its halved one's."""
    whole = slope.mul(0.25).repeat_interleave(2, 0).repeat_interleave(2, 1)
    rows, columns = (size % 2 for size in shape)
    return whole[rows : rows + shape[0], columns : columns + shape[1]]


def _channels(samples: Floats) -> list[Tensor]:
    return [torch.from_numpy(plane.copy()) for plane in np.moveaxis(samples, -1, 0)]
