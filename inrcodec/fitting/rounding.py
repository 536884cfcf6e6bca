"""Joins a fitted layer with its Symbols: steps by rate and distortion, rounding with feedback."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.quantize import TensorRecipe, step_index, step_size
from inrcodec.coding.weights import best_table, code_length
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.curvature import feedback_matrix, layer_curvatures, row_blocks
from inrcodec.fitting.workers import Workers

FIRST_LAYER_EASE = 3.0
"""log2 of how much coarser the first layer's steps are than its own curvature asks for.

The layers after it, still free when it is rounded, make up for almost all of its error.
"""

SENSITIVITY_BLOCKS = 8

RECIPE_BITS = 14
"""What a recipe costs on average."""

ENTROPY_OF_GAUSSIAN = 0.5 * math.log2(2 * math.pi * math.e)


@dataclass(frozen=True)
class Sensitivity:
    """Squared error per squared rounding error, mean over a layer's weights and its biases."""

    weights: float
    biases: float


@dataclass(frozen=True)
class RoundedLayer:
    """Symbols of a layer's weights and of its biases, their recipes, the bits they take, and the
    layer `[outputs, inputs + 1]` as the decoder will see it.
    """

    weights: NDArray[np.int32]
    biases: NDArray[np.int32]
    recipes: tuple[TensorRecipe, TensorRecipe]
    bits: float
    values: NDArray[np.float32]


def sensitivities(
    spec: SirenSpec, layers: Sequence[Tensor], coordinates: Tensor, workers: Workers
) -> list[Sensitivity]:
    """Of every layer, when the parameters rounded later in the same layer are free to adapt."""

    def of_layer(index: int) -> Sensitivity:
        layer = layers[index]
        ease = 4.0**FIRST_LAYER_EASE if index == 0 and len(layers) > 1 else 1.0
        blocks = row_blocks(*layer.shape)
        # Only the mean is wanted: a few blocks of a wide layer give it.
        blocks = blocks[:: max(1, len(blocks) // SENSITIVITY_BLOCKS)]
        curvatures = layer_curvatures(spec, layers, index, coordinates, blocks)
        costs = np.concatenate([1 / np.diagonal(feedback_matrix(c)) ** 2 for c in curvatures])
        costs = costs.reshape(-1, layer.shape[1])
        return Sensitivity(float(costs[:, :-1].mean()) / ease, float(costs[:, -1].mean()) / ease)

    return workers.map(of_layer, range(len(layers)))


def scale_for_lambda(rate_weight: float, positions: int) -> float:
    """Step of a parameter of unit sensitivity at which `distortion + lambda * bpp` is least.

    From d(step^2 / 12) / d(log2 step) = lambda / positions.
    """
    return math.sqrt(6 * rate_weight / (positions * math.log(2)))


def scale_for_bits(
    layers: Sequence[Tensor], sensitivity: Sequence[Sensitivity], bits: float
) -> float:
    """As scale_for_lambda, for a code length of all `layers` together, found by bisection."""
    low, high = -60.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if predicted_bits(layers, sensitivity, 2.0**middle) > bits:
            low = middle
        else:
            high = middle
    return float(2.0**high)


def predicted_bits(
    layers: Sequence[Tensor], sensitivity: Sequence[Sensitivity], scale: float
) -> float:
    """Code length of `layers` as Gaussians of their arrays' variances."""
    bits = 0.0
    for layer, own in zip(layers, sensitivity, strict=True):
        for part, cost in ((layer[:, :-1], own.weights), (layer[:, -1], own.biases)):
            variance = float(part.square().mean()) / _step(cost, scale) ** 2 + 1 / 12
            per_symbol = ENTROPY_OF_GAUSSIAN + 0.5 * math.log2(variance)
            bits += part.numel() * max(0.0, per_symbol) + RECIPE_BITS
    return bits


def _step(sensitivity: float, scale: float) -> float:
    return step_size(step_index(scale / math.sqrt(sensitivity + 1e-300)))


def round_layer(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    index: int,
    coordinates: Tensor,
    own: Sensitivity,
    scale: float,
) -> RoundedLayer:
    """Round layer `index`, each parameter's error made up for by those not rounded yet."""
    layer = layers[index]
    steps = np.full(tuple(layer.shape), _step(own.weights, scale))
    steps[:, -1] = _step(own.biases, scale)
    values = layer.detach().double().cpu().numpy()
    symbols = np.empty(tuple(layer.shape), np.int32)
    spread = np.where(
        np.arange(values.shape[1]) == values.shape[1] - 1,
        np.sqrt(np.mean(values[:, -1] ** 2)),
        np.sqrt(np.mean(values[:, :-1] ** 2)),
    )
    # Least (u - q)^2 step^2 + lambda bits(q) for a Gaussian: shrink u, then round to nearest.
    shrink = 1 / (1 + steps**2 / (12 * np.maximum(spread[None, :] ** 2, 1e-30)))
    blocks = row_blocks(*values.shape)
    curvatures = layer_curvatures(spec, layers, index, coordinates, blocks)
    for block, curvature in zip(blocks, curvatures, strict=True):
        shape = values[block].shape
        symbols[block] = round_with_feedback(
            values[block].ravel(),
            steps[block].ravel(),
            shrink[block].ravel(),
            feedback_matrix(curvature),
        ).reshape(shape)
    recipes, bits = [], 0.0
    for part, step in ((symbols[:, :-1], steps[0, 0]), (symbols[:, -1], steps[0, -1])):
        table = best_table(part.ravel())
        recipes.append(TensorRecipe(step_index(step), table))
        bits += code_length(part.ravel(), table) + RECIPE_BITS
    weights, biases = np.ascontiguousarray(symbols[:, :-1]), np.ascontiguousarray(symbols[:, -1])
    rounded = (symbols * steps).astype(np.float32)
    return RoundedLayer(weights, biases, (recipes[0], recipes[1]), bits, rounded)


def round_with_feedback(
    values: NDArray[np.float64],
    steps: NDArray[np.float64],
    shrink: NDArray[np.float64],
    feedback: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Symbols of values that are rounded one after the other, by `feedback_matrix`."""
    remaining = values.copy()
    limit = float(2**29)
    symbols = np.zeros(len(values), np.int32)
    for i in range(len(values)):
        symbol = np.rint(np.clip(remaining[i] / steps[i] * shrink[i], -limit, limit))
        symbols[i] = symbol
        error = (remaining[i] - symbol * steps[i]) / feedback[i, i]
        remaining[i + 1 :] -= error * feedback[i, i + 1 :]
    return symbols
