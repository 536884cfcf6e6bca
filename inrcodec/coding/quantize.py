"""Joins Field with Symbols: uniform quantisation, one step per parameter array."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.dictionary import UNIT_BITS, Dictionary, sums
from inrcodec.coding.starts import start_values
from inrcodec.fields.field import Field, FieldSpec
from inrcodec.fields.pyramid import PyramidSpec

STEPS = 128
"""Number of step sizes."""

_MANTISSAS = (32768, 38968, 46341, 55109)
"""2^15 * 2^(i/4), rounded: dyadic, so that a step is the same float on every machine."""

_EXPONENT = -39


def step_size(index: int) -> float:
    """Step `index` in 0..STEPS-1, about 2^(index/4 - 24); exact in float32."""
    if not 0 <= index < STEPS:
        raise IndexError(f"no quantiser step {index}")
    return math.ldexp(_MANTISSAS[index % 4], index // 4 + _EXPONENT)


def step_index(step: float) -> int:
    """Index of the step nearest to `step` > 0 in the logarithm."""
    return min(STEPS - 1, max(0, round(4 * (math.log2(step) + 24))))


@dataclass(frozen=True)
class TensorRecipe:
    """How one parameter array becomes symbols: step index and probability table index.

    With a `dictionary`, symbols are atoms and their coefficients, which these two are then for.
    """

    step: int
    table: int
    dictionary: Dictionary | None = None


def quantize(field: Field, recipes: Sequence[TensorRecipe]) -> dict[str, NDArray[np.int32]]:
    """Nearest symbol of every parameter, by array name, in the shape of the array.

    Dictionaries are left to those who pursue atoms.
    """
    return {
        tensor.name: np.rint(
            np.asarray(field.parameters[tensor.name], np.float64) / step_size(recipe.step)
        ).astype(np.int32)
        for tensor, recipe in zip(field.spec.tensors(), recipes, strict=True)
    }


def dequantize(
    spec: FieldSpec, symbols: Mapping[str, NDArray[np.int32]], recipes: Sequence[TensorRecipe]
) -> Field:
    """The field that `symbols` stand for, without its latents. Bit-identical everywhere.

    A symbol times a step needs at most 32 + 16 bits and is exact in float64; the roundings, of the
    sum with the start, of a sum of atoms (below 2^53 in magnitude) times a step, and to float32,
    are IEEE 754's.
    """
    starts = start_values(spec)
    parameters = {}
    differences = isinstance(spec, PyramidSpec) and spec.differences
    for tensor, recipe in zip(spec.tensors(), recipes, strict=True):
        numbers: NDArray[Any] = symbols[tensor.name]
        step = np.float64(step_size(recipe.step))
        if recipe.dictionary is not None:
            numbers = sums(symbols[tensor.name], recipe.dictionary, tensor.shape)
            step = np.ldexp(step, -UNIT_BITS)
        if differences and tensor.role == "loading":
            numbers = np.cumsum(numbers, dtype=np.int64)
        values = numbers * step + starts[tensor.name]
        parameters[tensor.name] = values.astype(np.float32)
    return Field(spec, parameters)
