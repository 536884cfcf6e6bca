"""Joins the latents around a latent with its probability table: contexts, integer network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.latent_tables import PHASED, PHASES, SCALES
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import REACH, PyramidSpec, causal_offsets, coarser_offsets

CONTEXT_LIMIT = 255
"""Contexts are clamped to +-CONTEXT_LIMIT."""

WEIGHT_BITS = 10
"""Integer weights, and sums of products with latents, are in units of 2^-WEIGHT_BITS."""

HIDDEN_BITS = 7
"""Hidden values are in units of 2^-HIDDEN_BITS, sums of products with them in 2^-17."""

MAX_HIDDEN = 2**15 - 1
"""Hidden values lie in 0..MAX_HIDDEN."""

SCALE_CENTRE = 40
"""Scale index of b = 1."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_SUM_BITS = WEIGHT_BITS + HIDDEN_BITS
_OUTPUT_SHIFTS = (_SUM_BITS - 5, _SUM_BITS - 3)
"""The mean is rounded to 1/32, the logarithm of the scale to 1/8."""


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """The context network as integers: the same predictions on every machine.

    `weights` are `[outputs, inputs]`, `skip` is `[2, contexts]`. No sum of products leaves 32 bits,
    which `of` makes sure of.
    """

    weights: tuple[NDArray[np.int16], ...]
    biases: tuple[NDArray[np.int32], ...]
    skip: NDArray[np.int16]

    @staticmethod
    def of(spec: PyramidSpec, parameters: Mapping[str, NDArray[Any]]) -> IntegerNetwork:
        """The integer form of the parameter arrays `context_*` of a pyramid.

        Raises CorruptError for weights that do not fit or could make a sum leave 32 bits.
        """
        layers = range(len(spec.contexts) + 1)
        weights, biases = [], []
        for layer in layers:
            bias_bits = _SUM_BITS if layer or not spec.contexts else WEIGHT_BITS
            weight, bias = f"context_weight{layer}", f"context_bias{layer}"
            weights.append(_rounded(parameters, weight, WEIGHT_BITS, 2**15).astype(np.int16))
            biases.append(_rounded(parameters, bias, bias_bits, 2**30).astype(np.int32))
        skip = _rounded(parameters, "context_skip", WEIGHT_BITS, 2**15).astype(np.int16)
        network = IntegerNetwork(tuple(weights), tuple(biases), skip)
        for layer in layers:
            if max(network.largest_sums(layer)) >= 2**31:
                raise CorruptError(f"context network: sums of layer {layer} can leave 32 bits")
        return network

    def largest_sums(self, layer: int) -> list[int]:
        """Bounds of the magnitude of the sum of every unit of a layer, rounding included."""
        last = layer == len(self.weights) - 1
        reach = MAX_HIDDEN if layer else CONTEXT_LIMIT << (HIDDEN_BITS if last else 0)
        weights = np.abs(self.weights[layer].astype(np.int64)).sum(axis=1) * reach
        sums = weights + np.abs(self.biases[layer].astype(np.int64))
        if last:
            skip = np.abs(self.skip.astype(np.int64)).sum(axis=1)
            sums += skip * (CONTEXT_LIMIT << HIDDEN_BITS)
            sums += 1 << (np.array(_OUTPUT_SHIFTS) - 1)
        else:
            sums += 1 << (self._shift(layer) - 1)
        return [int(value) for value in sums]

    @staticmethod
    def _shift(layer: int) -> int:
        """Bits that a hidden layer's sums have more than its values."""
        return WEIGHT_BITS if layer else WEIGHT_BITS - HIDDEN_BITS

    # Whole numbers and powers of two below 2^53 are exact in float64 in whatever order a matrix
    # product adds them, and BLAS is fast; so sums here are the integer ones times 2^-shift.

    @cached_property
    def _layers(self) -> list[tuple[Floats, Floats]]:
        """Weights and biases (a column), divided by 2^shift, half a unit for rounding added."""
        shifts = [np.array([self._shift(layer)]) for layer in range(len(self.weights) - 1)]
        scaled = []
        for weight, bias, shift in zip(
            self.weights, self.biases, [*shifts, np.array(_OUTPUT_SHIFTS)], strict=True
        ):
            unit = np.ldexp(1.0, -shift)[:, np.newaxis]
            scaled.append((weight * unit, bias[:, np.newaxis] * unit + 0.5))
        return scaled

    @cached_property
    def _linear(self) -> Floats:
        """All that is linear in the contexts: the first layer and, below it, the skip."""
        weight, _ = self._layers[0]
        skip = self.skip * np.ldexp(1.0, HIDDEN_BITS - np.array(_OUTPUT_SHIFTS))[:, np.newaxis]
        if len(self.weights) == 1:
            return np.asarray(weight * 2**HIDDEN_BITS + skip)
        return np.concatenate((weight, skip))

    def sums(self, contexts: Floats, first: int = 0) -> Floats:
        """What the rows first.. of the contexts add to the first layer and the skip.

        `contexts` holds whole numbers, `[rows, latents]`; the sums of several runs of rows add up.
        """
        return self._linear[:, first : first + len(contexts)] @ contexts

    def predict(self, sums: Floats) -> tuple[Numbers, Numbers, Numbers]:
        """Nearest integer of the mean, phase and scale index of every latent.

        `sums` is those of all contexts, `[units, latents]`.
        """
        outputs = sums
        if len(self.weights) > 1:
            hidden, skipped = sums[:-2], sums[-2:]
            for layer, (weight, bias) in enumerate(self._layers):
                # The first product is in the sums already.
                outputs = (weight @ hidden if layer else hidden) + bias
                if layer < len(self.weights) - 1:
                    hidden = np.floor(np.minimum(np.maximum(outputs, 0), MAX_HIDDEN))
            outputs += skipped
        else:
            outputs = sums + self._layers[0][1]
        rounded = np.floor(outputs).astype(np.int64)
        index = np.minimum(np.maximum(rounded[1] + SCALE_CENTRE, 0), SCALES - 1)
        centred = rounded[0] + PHASES // 2
        mean = centred // PHASES
        phase = centred - mean * PHASES - PHASES // 2
        phase[index >= PHASED] = 0
        return mean, phase, index

    def evaluate(self, contexts: NDArray[Any]) -> tuple[Numbers, Numbers, Numbers]:
        """As `predict`, of contexts `[contexts, latents]` in -CONTEXT_LIMIT..CONTEXT_LIMIT."""
        return self.predict(self.sums(np.asarray(contexts, np.float64)))


def _rounded(
    parameters: Mapping[str, NDArray[Any]], name: str, bits: int, limit: int
) -> NDArray[np.float64]:
    values = np.floor(np.ldexp(np.asarray(parameters[name], np.float64), bits) + 0.5)
    if not (np.abs(values) < limit).all():
        raise CorruptError(f"context network: a value of {name} is too large or not a number")
    return values


def wavefronts(shape: Sequence[int]) -> tuple[NDArray[np.int64], list[int]]:
    """Order in which the latents of a grid are coded: (raster indices, where wavefronts start).

    Wavefront t holds the latents with sum 3^(N-1-a) i_a = t in raster order; all their contexts
    lie in earlier ones. The starts end with the number of latents.
    """
    front = np.zeros((1,) * len(shape), np.int64)
    for axis, size in enumerate(shape):
        steps = np.arange(size) * 3 ** (len(shape) - 1 - axis)
        front = front + steps.reshape((-1,) + (1,) * (len(shape) - 1 - axis))
    counts = np.bincount(front.ravel())
    order = np.argsort(front.ravel(), kind="stable")
    return order, [0, *np.cumsum(counts[counts > 0]).tolist()]


class _Padded:
    """Contexts of one level as one flat float64 array, with zeros around them."""

    def __init__(self, shape: Sequence[int], padding: int) -> None:
        self._padding = padding
        whole = [size + 2 * padding for size in shape]
        self.strides = [math.prod(whole[axis + 1 :]) for axis in range(len(whole))]
        self.flat = np.zeros(math.prod(whole))
        inside = tuple(slice(padding, padding + size) for size in shape)
        self._interior = self.flat.reshape(whole)[inside]

    def fill(self, plane: NDArray[np.integer[Any]]) -> None:
        self._interior[...] = clamped(plane)

    def places(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Where the values of indices along every axis stand in `flat`."""
        terms = [(i + self._padding) * s for i, s in zip(indices, self.strides, strict=True)]
        return np.asarray(sum(terms[1:], terms[0]))


def clamped(values: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Latents as contexts see them."""
    return np.asarray(np.minimum(np.maximum(values, -CONTEXT_LIMIT), CONTEXT_LIMIT))


class LevelContexts:
    """Gathers the contexts of latents of one level, whose own values may come bit by bit."""

    def __init__(
        self, shape: Sequence[int], coarser: Sequence[NDArray[np.integer[Any]]], kept: int = 0
    ) -> None:
        """`coarser` holds the planes of the levels above, the next one first; the first `kept`
        axes are as long on all of them.
        """
        axes = len(shape)
        self._kept = kept
        self._shape = tuple(shape)
        self._own = _Padded(shape, math.isqrt(REACH[axes]))
        offsets = np.array(causal_offsets(axes)) @ np.array(self._own.strides)
        self._offsets = offsets[:, np.newaxis]
        self.own_count = len(offsets)
        self._coarser = []
        for plane in coarser[: max(up for up, _ in coarser_offsets(axes))]:
            self._coarser.append(_Padded(plane.shape, 1))
            self._coarser[-1].fill(plane)

    def fill(self, plane: NDArray[np.integer[Any]]) -> None:
        """Set all values of the level."""
        self._own.fill(plane)

    def places(self, raster: NDArray[np.int64]) -> NDArray[np.int64]:
        """What `own` and `put` call the latents with these raster indices."""
        return self._own.places(np.unravel_index(raster, self._shape))

    def put(self, places: NDArray[np.int64], values: NDArray[np.integer[Any]]) -> None:
        """Set values of the level."""
        self._own.flat[places] = clamped(values)

    def own(self, places: NDArray[np.int64]) -> Floats:
        """Contexts on the level itself, `[causal offsets, latents]`."""
        return np.asarray(self._own.flat.take(places + self._offsets))

    def coarser(self, raster: NDArray[np.int64]) -> Floats:
        """Contexts on the levels above, `[coarser offsets, latents]`; 0 where there is none."""
        indices = np.unravel_index(raster, self._shape)
        offsets = coarser_offsets(len(self._shape))
        contexts = np.zeros((len(offsets), len(raster)))
        halved = indices[self._kept :]
        covering = [
            padded.places([*indices[: self._kept], *(i >> up for i in halved)])
            for up, padded in enumerate(self._coarser, 1)
        ]
        for row, (up, offset) in enumerate(offsets):
            if up > len(self._coarser):
                continue
            padded, places = self._coarser[up - 1], covering[up - 1]
            for axis, (step, stride) in enumerate(zip(offset, padded.strides, strict=True)):
                if step and axis < self._kept:
                    places = places + step * stride
                elif step:
                    # Mirrored where the latent lies in the lower half of what covers it.
                    places = places + (2 * (indices[axis] & 1) - 1) * (step * stride)
            contexts[row] = padded.flat.take(places)
        return contexts
