"""Joins crops with a base: the descent that trains it, from any step on."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from inrcodec.fitting.base_group import Group
from inrcodec.fitting.base_start import UNIT, Crops, Plan, started
from inrcodec.fitting.modulated_model import (
    adapt,
    basis,
    positions,
    precondition,
    synthesis,
)
from inrcodec.fitting.modulated_rate import Contexts, bits
from inrcodec.fitting.schedule import cosine

WORTH = 0.1 * UNIT**2
"""Squared error that a bit is worth where a step is 1; it goes with the square of the step."""

OCTAVES = (-0.5, 4.5)
"""Steps that a base is trained for: their binary logarithms."""

BALANCE = 0.75
"""Losses are divided by this power of what a bit is worth: 0 is for high rates alone."""

REFRESH = 20
"""Steps that one preconditioner serves."""

RISE = 200
"""Steps after which the waves learn at their full rate."""

SETTLING, DEAD = 0.5, 0.15
"""Rate of the last steps, and how much later than at a half encoders round to 1 on average."""

PARTS = {"waves": 0.3, "rates": 3.0, "contexts": 8.0}
"""Rates of learning: of waves in their own size."""


@dataclass
class Training:
    """A base on its way, after `step` steps."""

    plan: Plan
    parameters: dict[str, Tensor]
    contexts: Contexts
    optimiser: torch.optim.Adam
    full: list[float]
    step: int = 0
    group: Group = field(default_factory=Group)
    inverse: Tensor = field(default_factory=lambda: torch.empty(0))

    @staticmethod
    def begun(plan: Plan, crops: Crops) -> Training:
        """Before the first step."""
        parameters, spread = started(plan, crops)
        contexts = Contexts(plan.groups, plan.axes, spread, plan.seed)
        return Training.of(plan, parameters, contexts)

    @staticmethod
    def of(plan: Plan, parameters: dict[str, Tensor], contexts: Contexts) -> Training:
        """With an optimiser for the parameters."""
        own = {name: value.requires_grad_() for name, value in sorted(parameters.items())}
        groups, full = [], []
        for name, value in own.items():
            size = float(value.detach().square().mean().sqrt())
            part = PARTS["rates"] if name == "rates" else PARTS["waves"] * size
            groups.append({"params": [value]})
            full.append(plan.rate * part)
        groups.append({"params": list(contexts.parameters())})
        full.append(plan.rate * PARTS["contexts"])
        return Training(plan, own, contexts, torch.optim.Adam(groups, betas=(0.9, 0.99)), full)

    def advance(self, crops: Crops) -> tuple[float, float, float]:
        """One step. Returns the binary logarithm of its step, the mean squared error, and bpp."""
        plan, number = self.plan, self.step
        make = torch.Generator().manual_seed(plan.seed * 2**32 + number)
        own_number = number * self.group.count + self.group.rank
        if self.group.rank:
            make.manual_seed((self.group.rank * 2**8 + plan.seed) * 2**32 + number)
        moving, settling = plan.moving, number >= plan.moving
        factor = cosine(number / moving, 0.02)
        if settling:
            factor = SETTLING * cosine((number - moving) / (plan.steps - moving))
        late = 0.0 if settling else min(1.0, max(0, number - plan.warm) / RISE)
        for index, (group, full) in enumerate(
            zip(self.optimiser.param_groups, self.full, strict=True)
        ):
            group["lr"] = full * factor * (late if index < len(self.full) - 1 else 1.0)
        target, windows = crops.one(own_number), plan.windows
        low, high = OCTAVES
        octave = low + (high - low) * float(torch.rand((), generator=make))
        width = 2.0**octave
        with torch.set_grad_enabled(plan.warm <= number < moving):
            waves = basis(self.parameters, positions(plan.patches, plan.axes), plan.patch)
            if number % REFRESH == 0 or not self.inverse.numel():
                own = {name: value.detach() for name, value in self.parameters.items()}
                self.inverse = precondition(own, waves.detach(), plan.patches, plan.axes)
            latents = adapt(
                self.parameters, target, waves, windows, self.inverse, self.parameters["rates"]
            )
        scaled = (latents.detach() if plan.first_order else latents) / width
        grid = (*windows.grid, plan.dimensions)
        noise = torch.rand(scaled.shape, generator=make) - 0.5
        nearest = _as_encoders(scaled) if settling else scaled.round()
        rounded = scaled + (nearest - scaled).detach()
        mean, scale = self.contexts(rounded.reshape(grid), octave)
        # Latents learn from what noise would cost, networks from the integers that a file has.
        likely = bits((scaled + noise).reshape(grid), mean.detach(), scale.detach()).sum()
        rate = bits(rounded.detach().reshape(grid), mean, scale).sum()
        with torch.set_grad_enabled(not settling):
            left = target - synthesis(self.parameters, rounded * width, waves, windows)
        error = left.square()
        worth, count = WORTH * width**2, plan.crop**plan.axes
        loss = (error.sum() + worth * (likely + rate)) / (count * worth**BALANCE)
        self.optimiser.zero_grad()
        loss.backward()
        self.group.average(
            [each for group in self.optimiser.param_groups for each in group["params"]]
        )
        self.optimiser.step()
        self.step += 1
        return octave, float(error.detach().mean()), float(rate.detach()) / count


def _as_encoders(latents: Tensor) -> Tensor:
    """Integers near latents: small ones become 0 more often, because that takes fewer bits."""
    size = latents.detach().abs()
    dead = torch.where(size < 1.5, DEAD, 0.0)
    return torch.sign(latents.detach()) * torch.floor(size + 0.5 - dead)
