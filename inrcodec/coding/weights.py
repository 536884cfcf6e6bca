"""Joins the Symbols and recipes of a Field with the payload of its parameters section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives
from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.coding.priors import PRECISION, SCALES, SHAPES, TABLES, table
from inrcodec.coding.quantize import STEPS, TensorRecipe
from inrcodec.errors import CorruptError
from inrcodec.fields.field import FieldSpec

Symbols = Mapping[str, NDArray[np.int32]]

FIRST_STEP, FIRST_SCALE = 72, 20
"""What the first recipe of each role is predicted to be; later ones are predicted by the last."""

DELTA_TABLE = SHAPES.index("laplace") * SCALES + 14
"""Differences of step and scale indices to their prediction: standard deviation 1.4."""

SWITCH_TABLE = SHAPES.index("gaussian") * SCALES + 6
"""Difference of the shape index to its prediction: 0 with probability 0.85."""

_FIRST = TensorRecipe(FIRST_STEP, FIRST_SCALE)


def pack_weights(spec: FieldSpec, symbols: Symbols, recipes: Sequence[TensorRecipe]) -> bytes:
    """Number of symbols, then one range-coded run: each array's recipe, then its symbols."""
    encoder = SymbolEncoder()
    last: dict[str, TensorRecipe] = {}
    for tensor, recipe in zip(spec.tensors(), recipes, strict=True):
        predicted = last.get(tensor.role, _FIRST)
        (shape, scale), (old_shape, old_scale) = (
            divmod(recipe.table, SCALES),
            divmod(predicted.table, SCALES),
        )
        encoder.put(_symbol(recipe.step - predicted.step), DELTA_TABLE)
        encoder.put(_symbol(scale - old_scale), DELTA_TABLE)
        encoder.put(_symbol(shape - old_shape), SWITCH_TABLE)
        encoder.put(symbols[tensor.name].ravel(), recipe.table)
        last[tensor.role] = recipe
    return primitives.varint(spec.parameter_count) + encoder.finish()


def unpack_weights(
    spec: FieldSpec, payload: bytes, what: str
) -> tuple[dict[str, NDArray[np.int32]], tuple[TensorRecipe, ...]]:
    """Symbols by array name, and the recipes, of one parameters section.

    Raises CorruptError, naming `what`, for anything pack_weights cannot have written.
    """
    reader = primitives.Reader(payload, what)
    count = reader.varint()
    if count != spec.parameter_count:
        raise CorruptError(f"{what}: {count} symbols for {spec.parameter_count} parameters")
    decoder = SymbolDecoder(payload[reader.offset :], what)
    symbols, recipes = {}, []
    last: dict[str, TensorRecipe] = {}
    for tensor in spec.tensors():
        predicted = last.get(tensor.role, _FIRST)
        old_shape, old_scale = divmod(predicted.table, SCALES)
        step = predicted.step + int(decoder.get(1, DELTA_TABLE)[0])
        scale = old_scale + int(decoder.get(1, DELTA_TABLE)[0])
        shape = old_shape + int(decoder.get(1, SWITCH_TABLE)[0])
        if not (0 <= step < STEPS and 0 <= scale < SCALES and 0 <= shape < len(SHAPES)):
            raise CorruptError(f"{what}: impossible recipe for {tensor.name}; the file is damaged")
        last[tensor.role] = TensorRecipe(step, shape * SCALES + scale)
        recipes.append(last[tensor.role])
        coded = decoder.get(tensor.size, last[tensor.role].table)
        symbols[tensor.name] = coded.reshape(tensor.shape)
    decoder.finish()
    return symbols, tuple(recipes)


@lru_cache(maxsize=TABLES)
def bit_costs(table_index: int) -> NDArray[np.float64]:
    """Code length in bits of the symbols -reach..reach and of the escape symbol."""
    return PRECISION - np.log2(np.array(table(table_index).frequencies, np.float64))


def code_length(symbols: NDArray[np.int32], table_index: int) -> float:
    """Bits that `symbols` take with one table, escape codes included."""
    reach = table(table_index).reach
    costs = bit_costs(table_index)
    magnitude = np.abs(symbols)
    escaped = magnitude[magnitude > reach] - reach
    inside = symbols[magnitude <= reach] + reach
    escapes = (costs[-1] + 2 + 2 * np.floor(np.log2(np.maximum(escaped, 1)))).sum()
    return float(costs[inside].sum() + escapes)


def best_table(symbols: NDArray[np.int32]) -> int:
    """Index of the table that codes `symbols` in the fewest bits."""
    spread = max(float(np.sqrt(np.mean(np.square(symbols, dtype=np.float64)))), 2**-3)
    nearest = round(4 * (np.log2(spread) + 3))
    scales = range(max(0, min(nearest, SCALES - 1) - 6), min(SCALES, nearest + 3))
    candidates = [s * SCALES + scale for s in range(len(SHAPES)) for scale in scales]
    return min(candidates, key=lambda index: code_length(symbols, index))


def _symbol(value: int) -> NDArray[np.int32]:
    return np.array([value], np.int32)
