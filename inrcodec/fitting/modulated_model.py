"""Joins the parameters of a base, as torch tensors, with signals: synthesis and inner steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from inrcodec.fields.modulated import Patches

Parameters = Mapping[str, Tensor]

RIDGE = 1e-4
"""Share of the mean curvature that is added to all of them before they are inverted."""


def positions(patches: Patches, axes: int) -> Tensor:
    """Places `[samples, axes]` of the samples of a window, in samples from the patch's centre."""
    along = torch.arange(patches.support) + 0.5 - patches.support / 2
    grid = torch.meshgrid(*[along] * axes, indexing="ij")
    return torch.stack(grid, dim=-1).reshape(-1, axes)


def phases(parameters: Parameters, places: Tensor, patch: int) -> Tensor:
    """Arguments `[samples, units]` of the last sine layer for a latent of zero."""
    scaled = places * (2 / patch)
    hidden = torch.sin(scaled @ parameters["weight0"].T + parameters["bias0"])
    direct = scaled @ parameters["direct"].T
    found: Tensor = hidden @ parameters["weight1"].T + parameters["bias1"] + direct
    return found


def basis(parameters: Parameters, places: Tensor, patch: int) -> Tensor:
    """What sines and cosines of shifts are multiplied with: `[2 units, outputs * samples]`.

    A sine of phase + shift is linear in the shift's cosine and sine, so that no sample needs a
    sine of its own for every patch.
    """
    phase, read = phases(parameters, places, patch).T, parameters["read"].T
    waves = torch.stack([torch.sin(phase), torch.cos(phase)])
    return (read[None, :, :, None] * waves[:, :, None, :]).flatten(2).flatten(0, 1)


def coefficients(parameters: Parameters, latents: Tensor) -> Tensor:
    """Cosines - 1 and sines of the shifts `[patches, 2 units]` of latents `[patches, d]`."""
    shift = latents @ parameters["shift"].T
    return torch.cat([torch.cos(shift) - 1, torch.sin(shift)], dim=1)


class Windows:
    """Cuts lattices into the windows of their patches, and lays windows over each other."""

    def __init__(self, lattice: Sequence[int], patches: Patches) -> None:
        self.patches, self.lattice, axes = patches, tuple(lattice), len(lattice)
        self.grid = tuple(-(-size // patches.patch) for size in lattice)
        self._inside = tuple(slice(patches.margin, patches.margin + size) for size in lattice)
        along = torch.arange(patches.support) + 0.5 - patches.support / 2
        weight = torch.ones(())
        for axis, count in enumerate(self.grid):
            rows = [patches.weight(along, n == 0, n == count - 1, torch) for n in range(count)]
            shape = [1] * (2 * axes)
            shape[axis], shape[axes + axis] = count, patches.support
            weight = weight * torch.stack(rows).reshape(shape)
        self.weight = weight.reshape(math.prod(self.grid), 1, -1)

    def cut(self, values: Tensor) -> Tensor:
        """Weighted windows `[patches, channels * samples]` of `[channels, *lattice]`."""
        patch, margin, support = self.patches.patch, self.patches.margin, self.patches.support
        pads = []
        for size, count in zip(reversed(self.lattice), reversed(self.grid), strict=True):
            pads += [margin, margin + count * patch - size]
        found = torch.nn.functional.pad(values, pads)
        axes = len(self.grid)
        for axis in range(axes):
            found = found.unfold(1 + axis, support, patch)
        found = found.movedim(0, axes).reshape(math.prod(self.grid), values.shape[0], -1)
        return (found * self.weight).flatten(1)

    def lay(self, windows: Tensor, channels: int) -> Tensor:
        """The weighted sum `[channels, *lattice]` of windows: what `cut` is the transpose of."""
        patch, support = self.patches.patch, self.patches.support
        axes = len(self.grid)
        found = windows.reshape(len(windows), channels, -1) * self.weight
        found = found.reshape(*self.grid, channels, *[support] * axes).movedim(axes, 0)
        for axis in range(axes):
            # [..., count, ..., support, ...] to [..., length, ...], the last axes first.
            found = found.movedim((1 + axis, 1 + axes), (-2, -1))
            count = found.shape[-2]
            total: Tensor | None = None
            parts = -(-support // patch)
            for part in range(parts):
                piece = found[..., part * patch : (part + 1) * patch]
                piece = torch.nn.functional.pad(
                    piece, [0, patch - piece.shape[-1], part, parts - 1 - part]
                )
                total = piece if total is None else total + piece
            assert total is not None
            found = total.flatten(-2)[..., : count * patch + support - patch]
            found = found.movedim(-1, 1 + axis)
        return found[(slice(None), *self._inside)]


def precondition(
    parameters: Parameters, waves: Tensor, patches: Patches, axes: int, share: float = RIDGE
) -> Tensor:
    """Inverse `[d, d]` of a bound of the curvature at latents of zero, where that of an inner patch
    counts for all.

    Weights that add up to 1 make a weighted sum's square at most the weighted sum of squares: a
    step preconditioned with it never overshoots, whatever the neighbours do.
    """
    units = parameters["shift"].shape[0]
    along = torch.arange(patches.support) + 0.5 - patches.support / 2
    weight = torch.ones(1)
    for _ in range(axes):
        row = patches.weight(along, False, False, torch)
        weight = (weight[:, None] * row).flatten()
    stacked = (parameters["shift"].T @ waves[units:]).reshape(
        parameters["shift"].shape[1], -1, len(weight)
    )
    curvature = torch.einsum("dcx,ecx,x->de", stacked, stacked, weight)
    ridge = share * curvature.diagonal().mean() * torch.eye(len(curvature))
    inverse: Tensor = torch.linalg.inv(curvature + ridge)
    return inverse


def gradient(
    parameters: Parameters, latents: Tensor, waves: Tensor, windows: Windows, residual: Tensor
) -> Tensor:
    """Minus half the derivative of the squared error by the latents, given what is left of it."""
    units = parameters["shift"].shape[0]
    found = windows.cut(residual) @ waves.T
    shift = latents @ parameters["shift"].T
    slopes = found[:, units:] * torch.cos(shift) - found[:, :units] * torch.sin(shift)
    return slopes @ parameters["shift"]


def synthesis(parameters: Parameters, latents: Tensor, waves: Tensor, windows: Windows) -> Tensor:
    """Values `[outputs, *lattice]` of the field, less 1/2."""
    found = coefficients(parameters, latents) @ waves
    return windows.lay(found, parameters["read"].shape[0])


def adapt(
    parameters: Parameters,
    target: Tensor,
    waves: Tensor,
    windows: Windows,
    inverse: Tensor,
    rates: Tensor,
) -> Tensor:
    """Latents after one preconditioned step per row of `rates` `[steps, 2, d]`, from zero: rates
    of the step and of what the step before moved.
    """
    latents = torch.zeros(math.prod(windows.grid), parameters["shift"].shape[1])
    moved = torch.zeros_like(latents)
    for row, (rate, memory) in enumerate(rates.unbind()):
        left = target - synthesis(parameters, latents, waves, windows) if row else target
        step = gradient(parameters, latents, waves, windows, left) @ inverse
        moved = step * rate + moved * memory
        latents = latents + moved
    return latents
