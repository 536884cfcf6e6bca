"""Joins the Symbols and recipes of a Field with the payload of its parameters section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives
from inrcodec.coding.dictionary import (
    MAX_DICTIONARY_BITS,
    MAX_ELEMENTS,
    MAX_VECTOR,
    Dictionary,
    get_atoms,
    most_atoms,
    put_atoms,
)
from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.coding.priors import PRECISION, SCALES, SHAPES, TABLES, table
from inrcodec.coding.quantize import STEPS, TensorRecipe
from inrcodec.errors import CorruptError, UnsupportedError
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.siren import TensorShape

Symbols = Mapping[str, NDArray[np.int32]]

FIRST_STEP, FIRST_SCALE = 72, 20
"""What the first recipe of each role is predicted to be, where EXPECTED does not say more."""

EXPECTED = {
    "context": (75, 96),
    "context_bias": (75, 96),
    "upsampling": (56, 91),
    "synthesis": (69, 92),
    "synthesis_bias": (66, 91),
    "residual": (61, 91),
    "residual_bias": (55, 99),
}
"""First step of a role, and the sum of its step and scale indices: an array that is spread twice
as wide has a sum that is 4 more."""

DELTA_TABLE = SHAPES.index("laplace") * SCALES + 14
"""Differences of step and scale indices to their prediction: standard deviation 1.4."""

STEP_TABLE = SHAPES.index("laplace") * SCALES + 20
"""Differences of step indices where EXPECTED predicts them: standard deviation 4."""

SWITCH_TABLE = SHAPES.index("gaussian") * SCALES + 6
"""Difference of the shape index to its prediction: 0 with probability 0.85."""


COUNT_TABLE = SHAPES.index("laplace") * SCALES + 32
"""Difference of a number of atoms to its prediction: standard deviation 32."""

FIRST_DICTIONARY = Dictionary(12, 1)
"""What the first dictionary of a section is predicted to be."""

ATOM_SHARE = 8
"""An array is predicted to use one atom for so many elements."""

SPARSE_ROLE, COEFFICIENT_ROLE = "weight", "coefficient"
"""Which arrays may have a dictionary, and what predicts the recipes of their coefficients."""


class _Recipes:
    """Codes the recipes of one track: each is predicted by the last one of its role."""

    def __init__(self) -> None:
        self._last: dict[str, TensorRecipe] = {}
        self._bits, self._rows = FIRST_DICTIONARY.bits, FIRST_DICTIONARY.rows
        self._elements = 0

    def put_dictionary(
        self, encoder: SymbolEncoder, tensor: TensorShape, used: Dictionary | None, count: int
    ) -> None:
        """Which dictionary an array has, if any, and how many atoms."""
        bits = 0 if used is None else used.bits
        encoder.put(_symbol(bits - self._bits), STEP_TABLE)
        self._bits = bits
        if used is not None:
            encoder.put(_symbol(used.rows - self._rows), STEP_TABLE)
            encoder.put(_symbol(count - tensor.size // ATOM_SHARE), COUNT_TABLE)
            self._rows = used.rows

    def get_dictionary(
        self, decoder: SymbolDecoder, tensor: TensorShape, what: str
    ) -> tuple[Dictionary | None, int]:
        """What `put_dictionary` wrote; raises for what no encoder can mean."""
        self._bits += int(decoder.get(1, STEP_TABLE)[0])
        if not 0 <= self._bits <= MAX_DICTIONARY_BITS:
            raise UnsupportedError(
                f"{what}: unknown dictionary {self._bits} of {tensor.name}; a newer inrcodec is "
                "needed"
            )
        if self._bits == 0:
            return None, 0
        self._rows += int(decoder.get(1, STEP_TABLE)[0])
        used = Dictionary(self._bits, self._rows)
        if not 1 <= used.rows <= tensor.shape[0] or used.length(tensor.shape) > MAX_VECTOR:
            raise CorruptError(f"{what}: impossible vectors of {used.rows} rows of {tensor.name}")
        count = tensor.size // ATOM_SHARE + int(decoder.get(1, COUNT_TABLE)[0])
        if not 0 <= count <= most_atoms(tensor.size):
            raise CorruptError(f"{what}: {count} atoms for {tensor.size} elements of {tensor.name}")
        self._elements += count * used.length(tensor.shape)
        if self._elements > MAX_ELEMENTS:
            raise CorruptError(f"{what}: atoms of more than {MAX_ELEMENTS} elements; damaged")
        return used, count

    def predicted(self, role: str) -> tuple[int, int, int, int]:
        """Step, scale, shape, and the table for the difference of the step.

        Where EXPECTED has the role, the scale is for a step as predicted; another step moves it.
        """
        last = self._last.get(role)
        if last is None and role in EXPECTED:
            step, total = EXPECTED[role]
            return step, total - step, 0, STEP_TABLE
        shape, scale = divmod(FIRST_SCALE if last is None else last.table, SCALES)
        step = FIRST_STEP if last is None else last.step
        return step, scale, shape, STEP_TABLE if role in EXPECTED else DELTA_TABLE

    def put(self, encoder: SymbolEncoder, role: str, recipe: TensorRecipe) -> None:
        step, scale, shape, table_index = self.predicted(role)
        own_shape, own_scale = divmod(recipe.table, SCALES)
        encoder.put(_symbol(recipe.step - step), table_index)
        if role in EXPECTED:
            scale -= recipe.step - step
        encoder.put(_symbol(own_scale - scale), DELTA_TABLE)
        encoder.put(_symbol(own_shape - shape), SWITCH_TABLE)
        self._last[role] = recipe

    def get(self, decoder: SymbolDecoder, role: str) -> TensorRecipe | None:
        """The next recipe; None for an impossible one."""
        step, scale, shape, table_index = self.predicted(role)
        change = int(decoder.get(1, table_index)[0])
        step += change
        if role in EXPECTED:
            scale -= change
        scale += int(decoder.get(1, DELTA_TABLE)[0])
        shape += int(decoder.get(1, SWITCH_TABLE)[0])
        if not (0 <= step < STEPS and 0 <= scale < SCALES and 0 <= shape < len(SHAPES)):
            return None
        self._last[role] = TensorRecipe(step, shape * SCALES + scale)
        return self._last[role]


def is_sparse(recipes: Sequence[TensorRecipe]) -> bool:
    """Whether an array has a dictionary: all recipes then say whether theirs has."""
    return any(recipe.dictionary is not None for recipe in recipes)


def pack_weights(spec: FieldSpec, symbols: Symbols, recipes: Sequence[TensorRecipe]) -> bytes:
    """Number of symbols, then one range-coded run: each array's recipe, then its symbols."""
    encoder, coded, sparse = SymbolEncoder(), _Recipes(), is_sparse(recipes)
    for tensor, recipe in zip(spec.tensors(), recipes, strict=True):
        own, used = symbols[tensor.name], recipe.dictionary
        if sparse and tensor.role == SPARSE_ROLE:
            coded.put_dictionary(encoder, tensor, used, len(own))
        if used is None:
            coded.put(encoder, tensor.role, recipe)
            encoder.put(own.ravel(), recipe.table)
        else:
            coded.put(encoder, COEFFICIENT_ROLE, recipe)
            put_atoms(encoder, own, used, tensor.shape, recipe.table)
    return primitives.varint(spec.parameter_count) + encoder.finish()


def unpack_weights(
    spec: FieldSpec, payload: bytes, what: str, sparse: bool = False
) -> tuple[dict[str, NDArray[np.int32]], tuple[TensorRecipe, ...]]:
    """Symbols by array name, and the recipes, of one parameters section, or of a `sparse` one.

    Raises CorruptError, naming `what`, for anything pack_weights cannot have written.
    """
    reader = primitives.Reader(payload, what)
    count = reader.varint()
    if count != spec.parameter_count:
        raise CorruptError(f"{what}: {count} symbols for {spec.parameter_count} parameters")
    decoder = SymbolDecoder(payload[reader.offset :], what)
    symbols, recipes, coded = {}, [], _Recipes()
    for tensor in spec.tensors():
        used, atoms = None, 0
        if sparse and tensor.role == SPARSE_ROLE:
            used, atoms = coded.get_dictionary(decoder, tensor, what)
        recipe = coded.get(decoder, tensor.role if used is None else COEFFICIENT_ROLE)
        if recipe is None:
            raise CorruptError(f"{what}: impossible recipe for {tensor.name}; the file is damaged")
        recipes.append(replace(recipe, dictionary=used))
        if used is None:
            symbols[tensor.name] = decoder.get(tensor.size, recipe.table).reshape(tensor.shape)
        else:
            found = get_atoms(decoder, atoms, used, tensor.shape, recipe.table, what)
            symbols[tensor.name] = found
    decoder.finish()
    if sparse and not is_sparse(recipes):
        raise CorruptError(f"{what}: no array has a dictionary; the file is damaged")
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
