"""Joins pictures with the parameters that the training of a base begins with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fields.modulated import Patches
from inrcodec.fitting.modulated_model import Windows, basis, positions, precondition

UNIT = 0.1
"""Norm of what one step of a latent changes: about a quantiser's step at medium quality."""

READ = 8.0
"""Size of the read-out at the start: small shifts go a long way, and are near linear."""

RIDGE = 0.1
"""As `modulated_model.RIDGE`, at the start: large shifts that cancel out are not to be found."""

CROPS, SOLVING = 40, 8
"""Crops that the start is made from, and steps that it takes to describe each."""

REACH = 0.7
"""Highest frequency at the start, as a share of what samples can show; of colours a third."""


@dataclass(frozen=True)
class Plan:
    """What a base is to be and how it is trained.

    `groups` are dimensions of the latents that are coded together; `hidden` and `units` are those
    of the two sine layers. For the first `warm` of the `steps`, and from `moving` on, only the
    context networks learn; at last of latents as encoders round them.
    """

    patch: int = 16
    margin: int = 4
    units: int = 320
    hidden: int = 32
    groups: tuple[int, ...] = (3, 5, 8, 16, 16, 16, 32, 32, 64)
    axes: int = 2
    outputs: int = 3
    inner_steps: int = 3
    first_order: bool = False
    crop: int = 192
    warm: int = 200
    steps: int = 3500
    rate: float = 1e-3
    seed: int = 0

    @property
    def dimensions(self) -> int:
        return sum(self.groups)

    @property
    def moving(self) -> int:
        """Steps after which all but the context networks stays."""
        return self.steps - self.steps * 3 // 7

    @property
    def patches(self) -> Patches:
        return Patches(self.patch, self.margin)

    @property
    def windows(self) -> Windows:
        """Of a crop."""
        return Windows([self.crop] * self.axes, self.patches)


@dataclass(frozen=True)
class Crops:
    """Random parts of pictures, mirrored and turned; those of one number are always the same."""

    pictures: Sequence[NDArray[Any]]
    plan: Plan

    def one(self, number: int) -> Tensor:
        """Crop `[outputs, *lattice]`, around 0. Pictures hold values of 0 to 1, or of uint8."""
        random = np.random.default_rng([self.plan.seed, number])
        picture = self.pictures[int(random.integers(len(self.pictures)))]
        crop = self.plan.crop
        corner = [random.integers(max(1, size - crop + 1)) for size in picture.shape[:-1]]
        part = picture[tuple(slice(first, first + crop) for first in corner)]
        short = [(0, crop - size) for size in part.shape[:-1]]
        part = np.pad(part, [*short, (0, 0)], mode="symmetric")
        for axis in range(part.ndim - 1):
            if random.integers(2):
                part = np.flip(part, axis)
        if random.integers(2):
            part = np.swapaxes(part, 0, part.ndim - 2)
        scale = np.float32(255 if part.dtype == np.uint8 else 1)
        values = np.moveaxis(part, -1, 0).astype(np.float32) / scale - np.float32(0.5)
        return torch.from_numpy(np.ascontiguousarray(values))


def started(plan: Plan, crops: Crops) -> tuple[dict[str, Tensor], Tensor]:
    """Parameters whose latents are, to first order, the principal components of crops among what
    random waves can say, and rates of inner steps, all 1; and root mean squares of latents.
    """
    make = torch.Generator().manual_seed(plan.seed)
    parameters = _random_waves(plan, make)
    windows = plan.windows
    waves = basis(parameters, positions(plan.patches, plan.axes), plan.patch)
    inverse = precondition(parameters, waves, plan.patches, plan.axes, RIDGE)
    linear = waves[plan.units :]
    moment = torch.zeros(plan.units, plan.units)
    for number in range(CROPS):
        target = crops.one(-number - 1 + 2**32)
        found = torch.zeros(math.prod(windows.grid), plan.units)
        for _ in range(SOLVING):
            left = target - windows.lay(found @ linear, plan.outputs)
            found = found + windows.cut(left) @ linear.T @ inverse
        moment += found.T @ found / (CROPS * len(found))
    # Components in the metric of the weighted squared error.
    values, vectors = torch.linalg.eigh(torch.linalg.inv(inverse.double()))
    sizes = values.clamp(min=1e-9).sqrt()
    root, back = vectors * sizes @ vectors.T, vectors / sizes @ vectors.T
    power, components = torch.linalg.eigh(root @ moment.double() @ root)
    chosen = components.flip(1)[:, : plan.dimensions]
    parameters["shift"] = (back @ chosen * UNIT).float()
    parameters["rates"] = torch.ones(plan.inner_steps, 2, plan.dimensions)
    parameters["rates"][:, 1] = 0.0
    spread = power.flip(0)[: plan.dimensions].clamp(min=0).sqrt() / UNIT
    return parameters, spread.float()


def _random_waves(plan: Plan, make: torch.Generator) -> dict[str, Tensor]:
    """A SIREN of plane waves, of which of three channels most are grey; every unit is shifted."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=make)

    def angle(count: int) -> Tensor:
        return torch.rand(count, generator=make) * (2 * math.pi)

    nyquist = math.pi * plan.patch / 2
    reach = torch.full((plan.units,), REACH * nyquist)
    colour = normal(plan.outputs, plan.units)
    if plan.outputs == 3:
        turn = torch.arange(plan.units) % 6
        reach[turn >= 4] *= 0.36
        colour[:, turn < 4] = 1.0
        colour[:, turn == 4] = torch.tensor([[0.5], [0.0], [-1.0]])
        colour[:, turn == 5] = torch.tensor([[1.0], [-0.8], [0.5]])
    direction = normal(plan.units, plan.axes)
    direction = direction / direction.norm(dim=1, keepdim=True)
    length = torch.rand(plan.units, generator=make) * reach
    return {
        "weight0": normal(plan.hidden, plan.axes) * (nyquist / 8),
        "bias0": angle(plan.hidden),
        "weight1": normal(plan.units, plan.hidden) * (0.1 / math.sqrt(plan.hidden)),
        "bias1": angle(plan.units),
        "direct": direction * length[:, None],
        "read": colour * (READ / math.sqrt(plan.outputs)),
        "shift": torch.eye(plan.units),
    }
