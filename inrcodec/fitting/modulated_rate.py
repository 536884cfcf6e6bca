"""Joins latents of patches with their code length, as floats: the context networks in training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from inrcodec.fields.modulated import causal_neighbours

HIDDEN = 32
"""Hidden units of the context network of every group."""

LASTING = 0.9
"""Share of its neighbours that the first latents are expected to go on with."""

LEAST, MOST = -5.0, 7.0
"""Binary logarithms of the scales that there are tables for."""


def octaves(latents: Tensor) -> Tensor:
    """Magnitudes as contexts see them: log2(1 + |z|), rounded down to eighths."""
    return torch.floor(8 * torch.log2(1 + latents.abs().round()) + 1e-4) / 8


def shifted(plane: Tensor, offset: Sequence[int]) -> Tensor:
    """`[*grid, d]` moved so that every patch sees its neighbour at `offset`; 0 beyond the grid."""
    pads, place = [0, 0], []
    for step in reversed(offset):
        pads += [max(-step, 0), max(step, 0)]
    for step in offset:
        place.append(slice(max(step, 0), None if step >= 0 else step))
    return torch.nn.functional.pad(plane, pads)[tuple(place)]


class Contexts(torch.nn.Module):
    """Predicts mean and scale of every dimension of every patch from what is coded before it.

    Groups of dimensions are coded one after the other, each for all patches in raster order. See
    `inrcodec.coding.patch_contexts` for the integer form.
    """

    def __init__(
        self, groups: Sequence[int], axes: int, spread: Tensor | None = None, seed: int = 0
    ) -> None:
        """`spread` is what root mean squares of latents are expected to be, 1 each by default."""
        make = torch.Generator().manual_seed(seed)
        super().__init__()
        self.groups, self.axes = tuple(groups), axes
        self.before = causal_neighbours(axes)
        near = len(self.before)
        mean = torch.zeros(sum(groups), near)
        for column, offset in enumerate(self.before):
            # What changes most slowly goes on as it was next to it.
            if sum(map(abs, offset)) == 1:
                mean[: groups[0], column] = LASTING / axes
        self.mean = torch.nn.Parameter(mean)
        likely = torch.ones(sum(groups)) if spread is None else spread
        expected = torch.log2(likely.clamp(min=2.0**-4) / math.sqrt(2))
        first, second, biases = [], [], []
        start = 0
        for size in groups:
            inputs = near * size + 2 * start + 1
            rows = torch.randn(HIDDEN + size, inputs, generator=make) * (0.5 / math.sqrt(inputs))
            rows[HIDDEN:] = 0
            rows[:HIDDEN, -1] = 0
            rows[HIDDEN:, -1] = -1
            first.append(torch.nn.Parameter(rows))
            usual = expected[start : start + size]
            biases.append(torch.nn.Parameter(torch.cat([torch.zeros(HIDDEN), usual])))
            second.append(torch.nn.Parameter(torch.zeros(size, HIDDEN)))
            start += size
        self.first = torch.nn.ParameterList(first)
        self.biases = torch.nn.ParameterList(biases)
        self.second = torch.nn.ParameterList(second)

    def forward(self, latents: Tensor, octave: float) -> tuple[Tensor, Tensor]:
        """Means and log2 of scales `[*grid, d]` of latents, in steps of 2^octave."""
        known = latents.detach().round()
        seen = octaves(known)
        before = [shifted(seen, offset) for offset in self.before]
        after = [shifted(seen, tuple(-s for s in offset)) for offset in self.before]
        around = torch.floor(torch.stack(before + after).sum(0) + 0.5) / 8
        signed = torch.stack([shifted(known, offset) for offset in self.before], dim=-1)
        mean = (signed * self.mean).sum(-1)
        scales, start = [], 0
        for group, size in enumerate(self.groups):
            own = [plane[..., start : start + size] for plane in before]
            step = torch.full((*seen.shape[:-1], 1), octave)
            inputs = torch.cat([*own, seen[..., :start], around[..., :start], step], dim=-1)
            sums = inputs @ self.first[group].T + self.biases[group]
            hidden = torch.relu(sums[..., :-size])
            scales.append(sums[..., -size:] + hidden @ self.second[group].T)
            start += size
        return mean, torch.cat(scales, dim=-1)


def bits(latents: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Code length of every latent: a Laplace distribution's share of its cell."""
    # Straight through the ends, so that a scale can come back.
    b = torch.exp2(scale + (scale.clamp(LEAST, MOST) - scale).detach())
    away = (latents - mean).abs()
    high, low = away + 0.5, away - 0.5
    # Beyond the cell around the mean, in logarithms: however far, there is a way back.
    beyond = 1 - torch.log2(-torch.expm1(-1 / b)) + low.clamp(min=0) / (b * math.log(2))
    within = 1 - 0.5 * torch.exp(-high / b) - 0.5 * torch.exp(low.clamp(max=0) / b)
    return torch.where(low > 0, beyond, -torch.log2(within.clamp(min=2.0**-20)))
