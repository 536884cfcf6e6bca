"""Joins a Field of floats with the Symbols of a file: rounds layer by layer, tunes what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.quantize import TensorRecipe
from inrcodec.fields.field import FieldSpec
from inrcodec.fitting.fit import evaluate
from inrcodec.fitting.objective import squared_error
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.presets import Preset
from inrcodec.fitting.rounding import (
    RoundedLayer,
    round_layer,
    scale_for_bits,
    scale_for_lambda,
    sensitivities,
)
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, Progress, cosine, quiet
from inrcodec.fitting.stacks import layers_of, stacked

CURVATURE_POINTS = 8192
"""Positions on which curvatures are measured."""

TUNING_FLOOR = 0.1
"""Where each tuning's rate ends, as a share of its peak."""


@dataclass(frozen=True)
class Quantised:
    """What the file will hold of one field, and the bits that it takes."""

    symbols: dict[str, NDArray[np.int32]]
    recipes: tuple[TensorRecipe, ...]
    bits: float


def round_field(
    spec: FieldSpec,
    layers: Sequence[Tensor],
    samples: Samples,
    preset: Preset,
    budget: Budget,
    *,
    bits: float | None = None,
    rate_weight: float | None = None,
    progress: Progress = quiet,
) -> Quantised:
    """Round every layer to a total of `bits`, or to the balance `distortion + lambda * bpp`.

    Layers are rounded from the first to the last. After each, the layers that are still floats are
    tuned for `preset.rounding_steps` steps, and the step scale of the rest is set anew, so that
    both errors and bits come out right at the end. An interrupt skips the tuning that is left.
    """
    points = samples.coordinates(samples.some(CURVATURE_POINTS))
    layers = [layer.detach() for layer in layers]
    sensitivity = sensitivities(spec, layers, points)
    if rate_weight is not None:
        scale = scale_for_lambda(rate_weight, samples.positions)
    done: list[RoundedLayer] = []
    batches = samples.batches(preset.batch)
    for index in range(len(layers)):
        if bits is not None:
            spent = sum(rounded.bits for rounded in done)
            scale = scale_for_bits(layers[index:], sensitivity[index:], bits - spent)
        rounded = round_layer(spec, layers, index, points, sensitivity[index], scale)
        done.append(rounded)
        layers[index] = torch.as_tensor(rounded.values, device=samples.device)
        progress("round", (index + 1) / len(layers), float("nan"))
        if index + 1 < len(layers) and not budget.interrupted:
            try:
                layers = _tune(spec, layers, index + 1, samples, batches, preset, budget)
            except KeyboardInterrupt:
                budget.interrupted = True
    return _named_symbols(done)


def _tune(
    spec: FieldSpec,
    layers: Sequence[Tensor],
    frozen: int,
    samples: Samples,
    batches: Iterator[Tensor],
    preset: Preset,
    budget: Budget,
) -> list[Tensor]:
    """Let the layers from `frozen` on make up for the rounding of those before."""
    fixed = list(layers[:frozen])
    free = [stack.requires_grad_() for stack in stacked(layers[frozen:])]
    optimiser = Soap(free)
    for step in range(preset.rounding_steps):
        if budget.elapsed() > 1:
            break
        indices = next(batches)
        values = evaluate(spec, [*fixed, *layers_of(free)], samples.coordinates(indices))
        squared_error(values, samples.targets(indices)).backward()
        rate = preset.rounding_rate * cosine(step / preset.rounding_steps, TUNING_FLOOR)
        optimiser.step(rate)
    return [*fixed, *(layer.detach() for layer in layers_of(free))]


def _named_symbols(done: Sequence[RoundedLayer]) -> Quantised:
    symbols, recipes = {}, []
    for index, rounded in enumerate(done):
        symbols[f"weight{index}"] = np.ascontiguousarray(rounded.symbols[:, :-1])
        symbols[f"bias{index}"] = np.ascontiguousarray(rounded.symbols[:, -1])
        recipes.extend(rounded.recipes)
    return Quantised(symbols, tuple(recipes), sum(rounded.bits for rounded in done))
