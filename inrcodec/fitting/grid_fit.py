"""Joins integers on a grid with their bytes: fits the networks that predict their digits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.context import IntegerNetwork, LevelContexts
from inrcodec.coding.grids import MAX_DIGITS, Integers, Network, digit_spec, pack_grid, to_digits
from inrcodec.coding.native_latents import code_length
from inrcodec.coding.quantize import TensorRecipe, dequantize, step_size
from inrcodec.coding.weights import best_table, pack_weights
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.pyramid_forward import code_length as soft_code_length
from inrcodec.fitting.pyramid_forward import network as soft_network
from inrcodec.fitting.schedule import cosine
from inrcodec.fitting.tilings import RUN_BYTES, TILE_COST, tilings
from inrcodec.query.lattice import block_shape

CONTEXTS = (8,)
"""Hidden units of the context network of a grid."""

LARGE = 4000
"""Numbers beyond it are coded in digits ..."""

BASE = 255
"""... to this base."""

LARGEST = LARGE * BASE ** (MAX_DIGITS - 1)
"""What digits can say."""

STEPS, RATE = 300, 0.03
"""Of the fit of a context network, and its first rate."""

MOST_WEIGHT = 2.0**13
"""Weights, before it is known what a file may hold."""

RIDGE, MOST_LINEAR = 0.01, 2.0
"""What keeps the linear prediction small where contexts say nothing, and its largest weight."""

SAMPLE, MOST = 2**16, 2**19
"""Positions that a network is fitted to, and that its rounding is tried on, about."""

FIRST_STEP, COARSEST_STEP, FINEST_STEP = 76, 92, 56
"""Indices of quantiser steps that parameters are tried with."""


def fitted_grid(values: Integers, seed: int) -> bytes:
    """The bytes of an array of integers."""
    if not values.any():
        return pack_grid(values, 0, digit_spec(values.shape, ()), ())
    largest = int(np.abs(values).max())
    count = 1
    while largest > LARGE * BASE ** (count - 1):
        count += 1
    whole = digit_spec(values.shape, CONTEXTS)
    planes = to_digits(values.reshape(whole.lattice), BASE, count)
    networks = [_fitted(whole, plane, seed) for plane in planes]
    return pack_grid(values, BASE, _in_tiles(whole, planes, networks), networks)


def _in_tiles(
    whole: PyramidSpec, planes: Sequence[NDArray[np.int32]], networks: Sequence[Network]
) -> PyramidSpec:
    """The digits in the smallest tiles that are cheap: the narrower, the earlier the axis is, since
    slabs are cut across the first ones. What they cost is measured in the middle.
    """
    window = _middle(whole.lattice)
    parts = [np.ascontiguousarray(plane[window]) for plane in planes]
    bits = partial(_coded_bits, replace(whole, lattice=parts[0].shape), parts, networks)
    alone = bits(())
    for edges in tilings(whole.lattice):
        if bits(edges) <= (1 + TILE_COST) * alone:
            return replace(whole, edges=edges)
    return whole


def _coded_bits(
    spec: PyramidSpec,
    parts: Sequence[NDArray[np.int32]],
    networks: Sequence[Network],
    edges: tuple[int, ...],
) -> float:
    """Bits of all digits of a part of a grid in tiles of these edges, without their networks."""
    bits = 0.0
    for part, (symbols, recipes) in zip(parts, networks, strict=True):
        network = IntegerNetwork.of(spec, dequantize(spec, symbols, recipes).parameters)
        bits += code_length(replace(spec, edges=edges), network, [part])[0]
    tiles = _count(spec.lattice, edges)
    return bits + 8 * RUN_BYTES * tiles * len(parts)


def _count(grid: Sequence[int], edges: Sequence[int]) -> int:
    """Tiles of a grid, without edges one."""
    return math.prod(-(-size // edge) for size, edge in zip(grid, edges, strict=False))


def _fitted(spec: PyramidSpec, plane: NDArray[np.int32], seed: int) -> Network:
    """A network for the digits of a grid."""
    rng = np.random.default_rng(seed)
    raster = np.arange(plane.size)
    if plane.size > SAMPLE:
        raster = np.sort(rng.choice(plane.size, SAMPLE, replace=False))
    contexts = LevelContexts(plane.shape, [])
    contexts.fill(plane)
    inputs = np.zeros((spec.context_count, len(raster)), np.float32)
    inputs[: contexts.own_count] = contexts.own(contexts.places(raster))
    values = torch.from_numpy(plane.ravel()[raster].astype(np.float32))
    parameters = _descended(spec, torch.from_numpy(inputs), values, rng)
    return _rounded(spec, plane, parameters)


def _descended(
    spec: PyramidSpec, inputs: Tensor, values: Tensor, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Weights with which the values take few bits, by Adam over all of them at once, from the best
    linear prediction on.
    """
    known, wanted = inputs.numpy().astype(np.float64), values.numpy().astype(np.float64)
    gram = known @ known.T
    own = int(np.count_nonzero(gram.diagonal()))
    gram[np.diag_indices_from(gram)] += RIDGE * len(wanted)
    # Of a few numbers, any prediction may seem right.
    linear = np.clip(np.linalg.solve(gram, known @ wanted), -MOST_LINEAR, MOST_LINEAR)
    spread = float(np.abs(wanted - linear @ known).mean()) + 0.05
    tensors = {}
    for shape in spec.tensors():
        first = np.zeros(shape.shape)
        if shape.name == "context_weight0":
            first = rng.normal(0, 1 / math.sqrt(max(own, 1)) / max(spread, 1), shape.shape)
        elif shape.name == f"context_bias{len(spec.contexts)}":
            first[1] = math.log2(spread)
        elif shape.name == "context_skip":
            first[0] = linear
        tensors[shape.name] = torch.tensor(first, dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.Adam(tensors.values(), lr=RATE, betas=(0.9, 0.99))
    for index in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * cosine(index / STEPS)
        mean, scale = soft_network(tensors, "context", inputs)
        bits = soft_code_length(values, mean, scale).mean()
        optimiser.zero_grad()
        bits.backward()
        optimiser.step()
    return {name: tensor.detach().numpy().astype(np.float64) for name, tensor in tensors.items()}


def _rounded(
    spec: PyramidSpec, plane: NDArray[np.int32], parameters: dict[str, NDArray[np.float64]]
) -> Network:
    """The parameters as symbols, with the steps at which they and the digits take the fewest bits,
    found one array at a time.
    """
    window = _middle(plane.shape)
    part = np.ascontiguousarray(plane[window])
    small = replace(spec, lattice=part.shape)
    share = plane.size / part.size

    def tried(steps: dict[str, int]) -> tuple[float, Network]:
        symbols = {
            name: np.rint(parameters[name] / step_size(index)).astype(np.int32)
            for name, index in steps.items()
        }
        recipes = [
            TensorRecipe(steps[t.name], best_table(symbols[t.name].ravel())) for t in tensors
        ]
        bits = 8.0 * len(pack_weights(spec, symbols, recipes))
        try:
            integer = IntegerNetwork.of(spec, dequantize(spec, symbols, recipes).parameters)
        except CorruptError:
            return math.inf, (symbols, recipes)
        return bits + share * code_length(small, integer, [part])[0], (symbols, recipes)

    tensors = spec.tensors()
    steps = {tensor.name: FIRST_STEP for tensor in tensors}
    parameters = {
        name: np.clip(np.nan_to_num(values), -MOST_WEIGHT, MOST_WEIGHT)
        for name, values in parameters.items()
    }
    least, best = tried(steps)
    while not math.isfinite(least):
        # No file may hold so large ones; zeros are always allowed.
        parameters = {name: values / 2 for name, values in parameters.items()}
        least, best = tried(steps)
    for name, change in _trials(steps):
        while FINEST_STEP <= steps[name] + change <= COARSEST_STEP:
            moved = steps | {name: steps[name] + change}
            bits, network = tried(moved)
            if bits >= least:
                break
            least, best, steps = bits, network, moved
    return best


def _trials(steps: dict[str, int]) -> Iterator[tuple[str, int]]:
    for size in (4, 2):
        for name in list(steps):
            yield name, size
            yield name, -size


def _middle(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """About MOST positions in the middle of a grid."""
    edges = block_shape(shape, MOST)
    return tuple(
        slice((size - edge) // 2, (size - edge) // 2 + edge)
        for size, edge in zip(shape, edges, strict=True)
    )
