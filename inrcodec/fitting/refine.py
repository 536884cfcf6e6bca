"""Joins a Field of floats with the Symbols of a file: rounds layer by layer, tunes what is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.quantize import TensorRecipe
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.rounding import (
    RoundedLayer,
    predicted_bits,
    round_layer,
    scale_for_bits,
    scale_for_lambda,
    sensitivities,
)
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, Progress, cosine, quiet
from inrcodec.fitting.siren_presets import Preset
from inrcodec.fitting.siren_step import step_for
from inrcodec.fitting.sparse_rounding import with_atoms
from inrcodec.fitting.sparsify import PLAIN, SINR
from inrcodec.fitting.stacks import layers_of, stacked

CURVATURE_POINTS = 8192
"""Positions on which curvatures are measured."""

STREAM_BITS = 80
"""Symbol count and what the range coder adds at the end."""

STEP_RATIO = 2**0.25
"""Between neighbouring steps of the format."""

MAX_SCALE = 2.0**20

HURRIED_STEPS = 10
"""Tuning steps per layer once the user has interrupted or the time is up."""

TUNING_FLOOR = 0.1
"""Where each tuning's rate ends, as a share of its peak."""


@dataclass(frozen=True)
class Quantised:
    """What the file will hold of one field, and the bits that it takes."""

    symbols: dict[str, NDArray[np.int32]]
    recipes: tuple[TensorRecipe, ...]
    bits: float


def round_field(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    samples: Samples,
    preset: Preset,
    budget: Budget,
    *,
    bits: float | None = None,
    rate_weight: float | None = None,
    sparsify: str = PLAIN,
    progress: Progress = quiet,
) -> Quantised:
    """Round every layer to a total of `bits`, or to the balance `distortion + lambda * bpp`.

    `sparsify` is what becomes of hidden layers: rounded, sums of atoms, or what is better of each.

    Layers are rounded from the first to the last. After each, the layers that are still floats are
    tuned for `preset.rounding_steps` steps, and the step scale of the rest is set anew, so that
    both errors and bits come out right at the end. After an interrupt the tuning is kept short.
    """
    points = samples.coordinates(samples.some(CURVATURE_POINTS))
    layers = [layer.detach() for layer in layers]
    sensitivity = sensitivities(spec, layers, points, samples.workers)
    done: list[RoundedLayer] = []
    batches = samples.batches(preset.batch)
    begun = min(budget.elapsed(), 1.0)
    for index in range(len(layers)):
        left = math.inf
        if bits is not None:
            left = bits - STREAM_BITS - sum(rounded.bits for rounded in done)
            scale = scale_for_bits(layers[index:], sensitivity[index:], left)
            left -= predicted_bits(layers[index + 1 :], sensitivity[index + 1 :], scale)
        elif rate_weight is not None:
            scale = scale_for_lambda(rate_weight, samples.positions)
        rounded = round_layer(spec, layers, index, points, sensitivity[index], scale)
        if sparsify != PLAIN and 0 < index < spec.depth:
            rounded = with_atoms(
                spec, layers, index, points, sensitivity[index], scale, rounded, sparsify == SINR
            )
        # Earlier layers' deviations are made up for by later ones; the last two must fit.
        plain = rounded.recipes[0].dictionary is None
        while plain and index + 2 >= len(layers) and rounded.bits > left and scale < MAX_SCALE:
            scale *= STEP_RATIO
            rounded = round_layer(spec, layers, index, points, sensitivity[index], scale)
        done.append(rounded)
        layers[index] = torch.as_tensor(rounded.values, device=samples.device)
        progress("round", (index + 1) / len(layers), math.nan)
        if index + 1 < len(layers):
            until = begun + (1 - begun) * (index + 1) / len(layers)
            layers = _tune(spec, layers, index + 1, samples, batches, preset, budget, until)
    return _named_symbols(done)


def _tune(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    frozen: int,
    samples: Samples,
    batches: Iterator[Tensor],
    preset: Preset,
    budget: Budget,
    until: float,
) -> list[Tensor]:
    """Let the layers from `frozen` on make up for the rounding of those before.

    Ends when the budget has come to `until`, but not before a few steps were made.
    """
    fixed = list(layers[:frozen])
    free = [stack.requires_grad_() for stack in stacked(layers[frozen:])]
    step, optimiser = step_for(spec, samples), Soap(free)
    begun, steps, share = budget.elapsed(), 0, 0.0
    few = min(preset.rounding_steps, HURRIED_STEPS)

    try:
        while share < 1:
            step.descend(fixed, free, next(batches))
            optimiser.step(preset.rounding_rate * cosine(share, TUNING_FLOOR))
            steps += 1
            spent = (budget.elapsed() - begun) / max(until - begun, 1e-9) if budget.seconds else 0.0
            hurried = budget.interrupted or spent > steps / few
            share = steps / few if hurried else max(steps / preset.rounding_steps, spent)
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True
    return [*fixed, *(layer.detach() for layer in layers_of(free))]


def _named_symbols(done: Sequence[RoundedLayer]) -> Quantised:
    symbols: dict[str, NDArray[np.int32]] = {}
    recipes: list[TensorRecipe] = []
    for index, rounded in enumerate(done):
        symbols[f"weight{index}"], symbols[f"bias{index}"] = rounded.weights, rounded.biases
        recipes.extend(rounded.recipes)
    return Quantised(symbols, tuple(recipes), sum(rounded.bits for rounded in done))
