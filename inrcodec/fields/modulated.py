"""Defines the `modulated` FieldSpec: a shared SIREN whose phases patches shift by their latents."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from inrcodec.fields.siren import TensorShape

STEPS_PER_OCTAVE, CENTRE_STEP = 32, 128
"""Step index i stands for a step of 2^((i - CENTRE_STEP) / STEPS_PER_OCTAVE)."""

HASH_BYTES = 8
"""Of the SHA-256 of a base's file, in the header."""


@dataclass(frozen=True)
class Patches:
    """Where the patches of a base lie: cells of `patch` samples, each with a function that fades
    into its neighbours' over the `margin` samples on both sides of their border.
    """

    patch: int
    margin: int

    @property
    def support(self) -> int:
        """Samples along an axis that a patch has a say in."""
        return self.patch + 2 * self.margin

    def weight(self, places: Any, first: bool, last: bool, library: Any) -> Any:
        """What a patch counts at `places`, in samples from its centre, along one axis: a raised
        cosine, such that those of all patches add up to 1. The first and last patch of an axis do
        not fade beyond the lattice. `library` is numpy or torch.
        """
        # At exactly half a patch both neighbours count half.
        ahead = (library.abs(places) - (self.patch / 2 - self.margin)) / (2 * self.margin)
        fading = 0.5 + 0.5 * library.cos(math.pi * ahead.clip(0.0, 1.0))
        if first:
            fading = library.where(places < 0, library.ones_like(fading), fading)
        if last:
            fading = library.where(places > 0, library.ones_like(fading), fading)
        return fading

    def slope(self, places: Any, first: bool, last: bool, library: Any) -> Any:
        """The derivative of `weight` by the place."""
        ahead = (library.abs(places) - (self.patch / 2 - self.margin)) / (2 * self.margin)
        steepness = math.pi / (4 * self.margin)
        falling = -steepness * library.sin(math.pi * ahead.clip(0.0, 1.0)) * library.sign(places)
        if first:
            falling = library.where(places < 0, library.zeros_like(falling), falling)
        if last:
            falling = library.where(places > 0, library.zeros_like(falling), falling)
        return falling


@dataclass(frozen=True)
class ModulatedSpec:
    """One latent of `dimensions` integers, times a step, for every patch of the lattice.

    f(x) = 1/2 + the sum over patches p of w_p(x) (g(x - c_p; z_p) - g(x - c_p; 0)), where g is the
    SIREN of the base, whose last sine layer has `units` units that z shifts (after COIN++, Dupont
    et al. 2022), and the weights w_p add up to 1. `base` is the hexadecimal SHA-256 of the base's
    file, its first HASH_BYTES bytes.
    """

    kind: ClassVar[str] = "modulated"

    lattice: tuple[int, ...]
    outputs: int
    base: str
    patch: int
    margin: int
    dimensions: int
    units: int
    step: int = CENTRE_STEP

    @property
    def inputs(self) -> int:
        """Number of axes."""
        return len(self.lattice)

    @property
    def net(self) -> str:
        """Short name, as in `16/192/384`: patch, dimensions of a latent, units that it shifts."""
        return f"{self.patch}/{self.dimensions}/{self.units}"

    @property
    def patches(self) -> Patches:
        return Patches(self.patch, self.margin)

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Patches along every axis."""
        return tuple(-(-size // self.patch) for size in self.lattice)

    @property
    def step_size(self) -> float:
        return float(2.0 ** ((self.step - CENTRE_STEP) / STEPS_PER_OCTAVE))

    def tensors(self) -> tuple[TensorShape, ...]:
        """None: the parameters are the base's."""
        return ()

    @property
    def parameter_count(self) -> int:
        """Parameters in the file."""
        return 0

    @property
    def latent_count(self) -> int:
        return math.prod(self.grid) * self.dimensions

    @property
    def macs_per_sample(self) -> int:
        """Multiply-accumulates per position of the lattice, about: phases, then two products per
        unit in every patch that has a say.
        """
        support: int = self.patches.support**self.inputs
        windows = math.prod(self.grid) * support
        shifts = math.prod(self.grid) * self.dimensions * self.units
        return -(-(windows * 2 * self.units * self.outputs + shifts) // math.prod(self.lattice))


def causal_neighbours(axes: int) -> tuple[tuple[int, ...], ...]:
    """Offsets of the neighbours of a patch, corners included, that are before it in raster order;
    the others are these mirrored. 1, 4, 13 and 40 for 1 to 4 axes.
    """
    around = itertools.product((-1, 0, 1), repeat=axes)
    return tuple(offset for offset in around if offset < (0,) * axes)
