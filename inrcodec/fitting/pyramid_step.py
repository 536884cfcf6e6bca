"""Joins a PyramidSpec and a target: the loss of latents and networks, its gradients; by torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.pyramid_forward import soft_round, values_and_bits

Floats = NDArray[np.float32]
Levels = list[Floats]

UNBOUNDED = (-1e15, 1e15)
"""What values are clamped to where the target is not within 0..1: squares stay finite."""

SOFT, STRAIGHT, HARD = "soft", "straight", "hard"
"""Soft-round around noise; rounded forward, soft backward; rounded, without gradients."""


class Distortion(Protocol):
    """How far a render `[*lattice, outputs]` in 0..1 is from the target, where MSE is not meant."""

    def value(self, render: Floats) -> float:
        """The distortion of a render."""

    def slope(self, render: Floats) -> tuple[float, Floats]:
        """The distortion of a render, and its gradient in the same shape."""


class Step(NamedTuple):
    """MSE, bits of all latents, distortion; gradients of the loss, None of HARD.

    The loss is distortion + rate_weight x bits / positions; the distortion is the MSE where the
    step was given no other.
    """

    mse: float
    bits: float
    distortion: float
    parameters: Floats | None
    latents: Levels | None


@dataclass(frozen=True)
class Evaluation:
    """A rounded state: mean square errors of values and of their code values, distortion of values
    (as in Step), bits by level.

    `render` is `[*lattice, outputs]` in 0..1, `latent_bits` as the latents; where asked for.
    """

    mse: float
    coded_mse: float
    distortion: float
    level_bits: tuple[float, ...]
    render: Floats | None = None
    latent_bits: Levels | None = None


class TorchStep:
    """The meaning of a step in plain operations.

    `target` is `[*lattice, outputs]`; where it lies in 0..1, values are clamped to that.

    `distortion` is what the loss counts instead of the MSE to the target.
    `latents` are one float32 array per level, finest first, as they are before rounding;
    `parameters` is float32 and flat, in the order of `spec.tensors()`.
    """

    def __init__(
        self, spec: PyramidSpec, target: Floats, distortion: Distortion | None = None
    ) -> None:
        if target.shape != (*spec.lattice, spec.outputs):
            raise UsageError(f"target: {target.shape}, not {(*spec.lattice, spec.outputs)}")
        self.spec, self.target, self._distortion = spec, target, distortion
        self._moments = list[tuple[Floats, Floats]]()
        self._target = torch.from_numpy(np.moveaxis(target, -1, 0).copy())
        self._ends = (0.0, 1.0) if 0 <= target.min() <= target.max() <= 1 else UNBOUNDED

    def step(
        self,
        parameters: Floats,
        latents: Sequence[Floats],
        rate_weight: float,
        temperature: float = 0.3,
        noise: float = 0.0,
        mode: str = SOFT,
        seed: int = 0,
    ) -> Step:
        """Loss and gradients, in arrays that the next step may use again.

        `mode` is SOFT, STRAIGHT or HARD; `noise` the standard deviation of what is added before the
        second soft-round, made from `seed`. Values are clamped; gradients go straight
        through. Raises UsageError where a size does not fit.
        """
        if mode == HARD:
            state = self.evaluate(parameters, latents)
            return Step(state.mse, sum(state.level_bits), state.distortion, None, None)
        if mode not in (SOFT, STRAIGHT):
            raise UsageError(f"mode {mode}: {SOFT}, {STRAIGHT} or {HARD} is needed")
        flat, *free = (torch.tensor(x).requires_grad_() for x in (parameters, *latents))
        generator = torch.Generator().manual_seed(seed)
        rounded = []
        for latent in free:
            soft = soft_round(latent, temperature)
            if mode == STRAIGHT:
                rounded.append(soft + (torch.floor(latent + 0.5) - soft).detach())
            else:
                random = torch.randn(latent.shape, generator=generator)
                rounded.append(soft_round(soft + noise * random, temperature))
        values, bits = values_and_bits(self.spec, flat, rounded)
        render = values + (values.clamp(*self._ends) - values).detach()
        mse = (render - self._target).square().mean()
        distortion, towards = mse.item(), mse
        if self._distortion is not None:
            distortion, slope = self._distortion.slope(_channels_last(render.detach()))
            towards = (render * torch.from_numpy(np.moveaxis(slope, -1, 0))).sum()
        total = torch.stack([level.sum() for level in bits]).sum()
        (towards + rate_weight / math.prod(self.spec.lattice) * total).backward()
        slopes = [torch.zeros_like(x) if x.grad is None else x.grad for x in (flat, *free)]
        parameter_slopes, *latent_slopes = (x.numpy() for x in slopes)
        return Step(mse.item(), total.item(), distortion, parameter_slopes, latent_slopes)

    @torch.no_grad()
    def evaluate(
        self,
        parameters: Floats,
        latents: Sequence[Floats],
        peak: int = 255,
        render: bool = False,
        latent_bits: bool = False,
    ) -> Evaluation:
        """The state with rounded latents; `peak` >= 1 is the largest code value."""
        rounded = [torch.floor(torch.tensor(latent) + 0.5) for latent in latents]
        values, bits = values_and_bits(self.spec, torch.tensor(parameters), rounded)
        values = values.clamp(*self._ends)
        coded, own = torch.floor(values * peak + 0.5) / peak, _channels_last(values)
        mse = float((values - self._target).square().mean())
        return Evaluation(
            mse,
            float((coded - self._target).square().mean()),
            mse if self._distortion is None else self._distortion.value(own),
            tuple(float(level.sum(dtype=torch.float64)) for level in bits),
            own if render else None,
            [level.numpy() for level in bits] if latent_bits else None,
        )

    def forget(self) -> None:
        """Let Adam begin anew."""
        self._moments = []

    def adam(
        self,
        latents: Sequence[Floats],
        gradients: Sequence[Floats],
        rate: float,
        betas: tuple[float, float],
        epsilon: float,
        damping: float,
        count: int,
    ) -> None:
        """Update `latents` in place, for the `count`-th time from 1 on.

        The mean square gradient that a step is divided by is at least that of the latent above it
        over `damping`; 0 is without. Where gradients of neighbours have nothing in common, a
        latent's mean square is 2^(halved axes) times that of the latents below it.
        """
        if not self._moments:
            self._moments = [(np.zeros_like(x), np.zeros_like(x)) for x in latents]
        corrections = [1 - beta**count for beta in betas]
        above: Floats | None = None
        for latent, slope, (mean, square) in reversed(
            list(zip(latents, gradients, self._moments, strict=True))
        ):
            mean += np.float32(1 - betas[0]) * (slope - mean)
            square += np.float32(1 - betas[1]) * (slope * slope - square)
            whole = square
            if above is not None and damping:
                halvings = self.spec.halvings(1)
                covering = np.ix_(
                    *[np.arange(n) >> by for n, by in zip(latent.shape, halvings, strict=True)]
                )
                whole = np.maximum(square, above[covering] / np.float32(damping))
            latent -= rate * (mean / corrections[0]) / (np.sqrt(whole / corrections[1]) + epsilon)
            above = whole


def _channels_last(values: torch.Tensor) -> Floats:
    return np.moveaxis(values.numpy(), 0, -1).copy()
