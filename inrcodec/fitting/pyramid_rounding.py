"""Joins fitted networks of a pyramid with their Symbols: steps by curvature, rounding by rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.quantize import TensorRecipe, step_index, step_size
from inrcodec.coding.starts import start_values
from inrcodec.coding.weights import best_table, bit_costs, code_length, pack_weights
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import TensorShape
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import (
    AnyStep,
    PyramidState,
    loss,
    straight,
    tune_networks,
)
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.schedule import Budget, Progress, quiet

PROBE = 2.0**-7
"""How far curvatures are probed, as a share of an array's root mean square."""

LARGEST = {"context": 31.0}
"""Largest absolute value of an array's weights: the context network's are 16-bit integers."""

FINEST_INDEX, COARSEST = 32, 2.0
"""No step is smaller or larger: the integer context network would not see 2^-16."""

FINER = 4
"""Step indices that an array is rounded finer by, where rounding does too much harm."""

HARMLESS_BITS = 20.0
"""Harm, in bits of the file, that is not worth a closer look."""

RECIPE_BITS = 9.0
"""What a recipe takes on average."""

ROUNDED_FROM = 0.85
"""Share of a time limit after which layers are rounded one after the other."""

Floats = NDArray[np.float64]


def round_networks(
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    budget: Budget,
    progress: Progress = quiet,
) -> Quantised:
    """Round all arrays, one layer after the other; those not rounded yet are tuned in between.

    Leaves the rounded values in `state.networks`.
    """
    spec = state.networks.spec
    curvature = curvatures(state, step)
    starts = start_values(spec)
    symbols: dict[str, NDArray[np.int32]] = {}
    recipes: dict[str, TensorRecipe] = {}
    offsets = _offsets(spec)
    done = np.zeros(len(state.networks.flat), bool)
    layers = _layers(spec)
    for index, layer in enumerate(layers):

        def tuned(share: float, index: int = index) -> None:
            progress("round", (index + 0.5 + 0.5 * share) / len(layers), state.psnr)

        for number, tensor in enumerate(layer):
            progress("round", (index + 0.5 * number / len(layer)) / len(layers), state.psnr)
            origin, own = starts[tensor.name], curvature[tensor.name]
            rounded, recipe = _round_in_place(state, step, tensor, origin, own)
            symbols[tensor.name], recipes[tensor.name] = rounded, recipe
            done[offsets[tensor.name] : offsets[tensor.name] + tensor.size] = True
        state.networks.gather()
        if index + 1 < len(layers):
            count = 0 if budget.interrupted else preset.tuning_steps
            until = ROUNDED_FROM + (1 - ROUNDED_FROM) * (index + 1) / len(layers)
            tune_networks(state, step, preset, count, budget, until, done, tuned)
    progress("round", 1.0, state.psnr)
    ordered = tuple(recipes[tensor.name] for tensor in spec.tensors())
    return Quantised(symbols, ordered, 8.0 * len(pack_weights(spec, symbols, ordered)))


def _round_in_place(
    state: PyramidState, step: AnyStep, tensor: TensorShape, origin: Floats, curvature: float
) -> tuple[NDArray[np.int32], TensorRecipe]:
    """Round one array in `state.networks`, with ever finer steps until it does no more harm than
    its curvature promises: a clamp, or units that are off, can hide how much depends on it.
    """
    values = state.networks.named()[tensor.name]
    kept = values.astype(np.float64)
    price = state.rate_weight / state.positions
    before = loss(state, step)
    index = step_index(_best_step(curvature, price))
    least = math.inf
    best: tuple[NDArray[np.int32], TensorRecipe] | None = None
    while True:
        size = step_size(index)
        limit = LARGEST.get(tensor.role, math.inf)
        difference = np.clip(kept, -limit, limit) - origin
        # After a step that did too much harm only the balance is to be trusted.
        weight = 0.5 * curvature * size**2 if best is None else 6 * price / math.log(2)
        rounded, table = round_array(difference / size, weight, price)
        values[...] = origin + rounded * size
        harm = loss(state, step) - before
        cost = harm + price * code_length(rounded.ravel(), table)
        if cost < least:
            least, best = cost, (rounded, TensorRecipe(index, table))
        # At the best step the harm is 1 / (2 ln 2) = 0.72 times the price, and there is noise.
        if harm <= price * (2 * tensor.size + HARMLESS_BITS) or index <= FINEST_INDEX:
            break
        index -= FINER
    assert best is not None
    rounded, recipe = best
    values[...] = origin + rounded * step_size(recipe.step)
    return rounded, recipe


def curvatures(state: PyramidState, step: AnyStep) -> dict[str, float]:
    """Mean second derivative of the loss by the parameters of every array.

    From differences of gradients along random signs (Hutchinson's estimate of the trace).
    """
    flat = state.networks.flat
    base = straight(state, step).parameters
    assert base is not None
    generator = np.random.default_rng(0)
    found = {}
    start = 0
    for tensor in state.networks.spec.tensors():
        part = slice(start, start + tensor.size)
        start += tensor.size
        kept = flat[part].copy()
        width = PROBE * max(float(np.sqrt(np.mean(np.square(kept)))), 2.0**-6)
        signs = generator.choice([-1.0, 1.0], tensor.size)
        flat[part] = kept + (width * signs).astype(np.float32)
        moved = straight(state, step).parameters
        flat[part] = kept
        assert moved is not None
        slope = float(np.dot(moved[part] - base[part], signs))
        found[tensor.name] = (
            max(slope, 0.0) / (width * tensor.size) if math.isfinite(slope) else 0.0
        )
    return found


def expected_bits(state: PyramidState, step: AnyStep) -> float:
    """Bits that the networks would take if they were rounded now, about."""
    curvature, named = curvatures(state, step), state.networks.named()
    starts = start_values(state.networks.spec)
    bits = 0.0
    for tensor in state.networks.spec.tensors():
        size = _best_step(curvature[tensor.name], state.rate_weight / state.positions)
        moved = named[tensor.name] - starts[tensor.name]
        variance = float(np.mean(np.square(moved))) / size**2
        bits += RECIPE_BITS + tensor.size * 0.5 * math.log2(1 + 12 * variance)
    return bits


def _best_step(curvature: float, price: float) -> float:
    """The step d at which distortion and bits of a value balance.

    It costs curvature d^2 / 24 and -log2 d bits: d^2 = 12 price / (curvature ln 2).
    """
    step = math.sqrt(12 * price / (max(curvature, 1e-30) * math.log(2)))
    return min(max(step, step_size(FINEST_INDEX)), COARSEST)


def round_array(scaled: Floats, weight: float, price: float) -> tuple[NDArray[np.int32], int]:
    """Symbols of values in units of their steps, and the table that codes them, at which
    weight x squared error + price x bits is least.
    """
    symbols: NDArray[np.int32] = np.rint(scaled).astype(np.int32)
    table = best_table(symbols.ravel())
    for _ in range(3):
        symbols = _cheapest(scaled, table, weight, price)
        table = best_table(symbols.ravel())
    return symbols, table


def _cheapest(scaled: Floats, table: int, weight: float, bit_price: float) -> NDArray[np.int32]:
    """Of the two integers around each value, the one of least weight x error^2 + price x bits."""
    costs = bit_costs(table)
    reach = (len(costs) - 2) // 2
    best: NDArray[np.int32] = np.rint(scaled).astype(np.int32)
    least = np.full(scaled.shape, math.inf)
    for candidate in (np.floor(scaled), np.ceil(scaled)):
        symbols = candidate.astype(np.int32)
        inside = np.abs(symbols) <= reach
        bits = np.where(inside, costs[np.clip(symbols + reach, 0, 2 * reach)], costs[-1] + 8)
        cost = weight * (scaled - candidate) ** 2 + bit_price * bits
        best = np.where(cost < least, symbols, best)
        least = np.minimum(cost, least)
    return best


def _offsets(spec: PyramidSpec) -> dict[str, int]:
    offsets, offset = {}, 0
    for tensor in spec.tensors():
        offsets[tensor.name] = offset
        offset += tensor.size
    return offsets


def _layers(spec: PyramidSpec) -> list[list[TensorShape]]:
    """Arrays that are rounded together: a layer's weights and biases; a skip with the last."""
    layers: list[list[TensorShape]] = []
    for tensor in spec.tensors():
        joins = tensor.role.endswith("_bias") or tensor.name.endswith("_skip")
        if joins and layers:
            layers[-1].append(tensor)
        else:
            layers.append([tensor])
    return layers
