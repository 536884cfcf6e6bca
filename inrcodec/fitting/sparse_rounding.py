"""Joins a fitted layer with Symbols of a dictionary: atoms by rate and distortion, feedback."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.dictionary import (
    MAX_COEFFICIENT,
    MAX_DICTIONARY_BITS,
    MAX_ELEMENTS,
    MAX_VECTOR,
    UNIT_BITS,
    Dictionary,
    atoms,
    gaps_of,
    most_atoms,
    rice_bits,
    sums,
)
from inrcodec.coding.quantize import TensorRecipe, step_index, step_size
from inrcodec.coding.weights import best_table, code_length
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.curvature import feedback_matrix, layer_curvatures, row_blocks
from inrcodec.fitting.pursuit import Pursued, pursue
from inrcodec.fitting.rounding import (
    RECIPE_BITS,
    RoundedLayer,
    Sensitivity,
    round_with_feedback,
)

ELEMENTS_BITS = 24
"""log2 of the elements of all atoms, at most: what a pursuit takes in time and memory."""

Floats = NDArray[np.float64]

DICTIONARY_BITS = 20
"""What it costs to say which dictionary an array has, and how many atoms."""

COEFFICIENT_BITS = 2.5
"""Bits of a coefficient that is worth an atom, about."""

MOST_BITS = 2.0
"""Bits of a weight from which on atoms have never been the better code."""


def price_of_bit(scale: float) -> float:
    """Squared error that pays for a bit where the step of unit sensitivity is `scale`."""
    return scale**2 * math.log(2) / 6


def layer_error(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    index: int,
    coordinates: Tensor,
    rounded: Sequence[RoundedLayer],
) -> list[float]:
    """Mean squared error, by curvature, that each of some roundings of a layer makes."""
    values = layers[index].detach().double().cpu().numpy()
    blocks = row_blocks(*values.shape)
    curvatures = layer_curvatures(spec, layers, index, coordinates, blocks)
    errors = [0.0] * len(rounded)
    for block, curvature in zip(blocks, curvatures, strict=True):
        matrix = curvature.cpu().numpy()
        for number, each in enumerate(rounded):
            change = (each.values[block] - values[block]).ravel()
            errors[number] += float(change @ matrix @ change)
    return errors


def sparse_layer(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    index: int,
    coordinates: Tensor,
    own: Sensitivity,
    scale: float,
    dictionary: Dictionary | None = None,
) -> RoundedLayer | None:
    """As `round_layer`, the weights as sums of atoms; None where their vectors are too long.

    Weights of a vector, then its biases, are fixed one vector after the other; what is left makes
    up for their error. An atom is taken where that error falls by what its bits are worth.
    """
    values = layers[index].detach().double().cpu().numpy()
    rows, inputs = values.shape[0], values.shape[1] - 1
    shape = (rows, inputs)
    if inputs > MAX_VECTOR:
        return None
    dictionary = dictionary or dictionary_for(inputs)
    share = MAX_ELEMENTS // (len(layers) * dictionary.length(shape))
    most = min(most_atoms(rows * inputs), share)
    known = _known_atoms(dictionary.bits, dictionary.length(shape))
    bias_step = step_size(step_index(scale / math.sqrt(own.biases + 1e-300)))
    price = price_of_bit(scale) * (dictionary.bits + COEFFICIENT_BITS)
    blocks = list(_vector_blocks(rows, inputs, dictionary.rows))
    curvatures = layer_curvatures(spec, layers, index, coordinates, blocks)
    index_of_step, step = 0, 0.0
    found: list[tuple[int, int]] = []
    biases = np.empty(rows, np.int32)
    for block, curvature in zip(blocks, curvatures, strict=True):
        vectors = list(_vectors(block, inputs, dictionary.rows))
        order = np.concatenate([np.concatenate(vector) for vector in vectors])
        feedback = feedback_matrix(curvature[order][:, order])
        left = _Left(values[block].ravel()[order], feedback)
        done = 0
        for vector, (weights, own_biases) in enumerate(vectors):
            span, end = slice(done, done + len(weights)), done + len(weights)
            limit = min(len(weights) // 2, most - len(found))
            own_atoms = known[: len(weights)]
            part = pursue(left.values[span], left.metric(span), own_atoms, price, limit)
            if len(part.numbers) and not step:
                spread = math.sqrt(float(part.gram.diagonal().mean()))
                index_of_step = step_index(math.ldexp(scale / spread, UNIT_BITS))
                step = math.ldexp(step_size(index_of_step), -UNIT_BITS)
            coefficients = _rounded_coefficients(part, step)
            chosen = own_atoms[:, part.numbers].astype(np.float64)
            left.fix(span, np.asarray(chosen @ (coefficients * step), np.float64))
            place = (block.start // dictionary.rows + vector) << dictionary.bits
            pairs = sorted(zip(part.numbers, coefficients, strict=True))
            found += [(place + number, coefficient) for number, coefficient in pairs if coefficient]
            done = end + len(own_biases)
            span, ones = slice(end, done), np.ones(len(own_biases))
            symbols = round_with_feedback(
                left.values[span], bias_step * ones, ones, feedback[span, span]
            )
            left.fix(span, np.asarray(symbols * bias_step, np.float64))
            biases[block][own_biases // (inputs + 1)] = symbols
    symbols = np.array(found, np.int32).reshape(-1, 2)
    table = best_table(symbols[:, 1]) if found else 0
    recipe = TensorRecipe(index_of_step, table, dictionary)
    bias_recipe = TensorRecipe(step_index(bias_step), best_table(biases))
    restored = np.column_stack([sums(symbols, dictionary, shape) * step, biases * bias_step])
    bits = atom_bits(symbols, dictionary, shape) + code_length(symbols[:, 1], recipe.table)
    bits += code_length(biases, bias_recipe.table) + 2 * RECIPE_BITS + DICTIONARY_BITS
    return RoundedLayer(symbols, biases, (recipe, bias_recipe), bits, restored.astype(np.float32))


@dataclass
class _Left:
    """Parameters of a block, of which the later ones make up for the errors of the earlier ones,
    by `feedback_matrix`.
    """

    values: Floats
    feedback: Floats

    def metric(self, span: slice) -> Floats:
        """What turns errors of a span into ones whose squares add up to the error they cause."""
        return np.asarray(np.linalg.inv(self.feedback[span, span]).T, np.float64)

    def fix(self, span: slice, made: Floats) -> None:
        """Make a span what the decoder will see."""
        error = self.metric(span) @ (self.values[span] - made)
        self.values[span.stop :] -= error @ self.feedback[span, span.stop :]


def dictionary_for(length: int) -> Dictionary:
    """As many atoms as can be for vectors that are rows: more are better everywhere."""
    return Dictionary(min(MAX_DICTIONARY_BITS, ELEMENTS_BITS - (length - 1).bit_length()), 1)


def with_atoms(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    index: int,
    coordinates: Tensor,
    own: Sensitivity,
    scale: float,
    plain: RoundedLayer,
    forced: bool,
) -> RoundedLayer:
    """A layer as sums of atoms where that is better than `plain`, or `forced` and possible."""
    if not forced and plain.bits > MOST_BITS * plain.values.size:
        return plain
    sparse = sparse_layer(spec, layers, index, coordinates, own, scale)
    if sparse is None or forced:
        return sparse or plain
    errors = layer_error(spec, layers, index, coordinates, [plain, sparse])
    price = price_of_bit(scale)
    losses = [
        error + price * each.bits for error, each in zip(errors, (plain, sparse), strict=True)
    ]
    return sparse if losses[1] < losses[0] else plain


def atom_bits(pairs: NDArray[np.int32], dictionary: Dictionary, shape: tuple[int, ...]) -> float:
    """Bits that say which atoms are used."""
    low = rice_bits(dictionary.places(shape), len(pairs))
    gaps = gaps_of(pairs)
    return float(((gaps >> low) + 1 + low).sum())


def _rounded_coefficients(part: Pursued, step: float) -> NDArray[np.int32]:
    count = len(part.numbers)
    if not count:
        return np.zeros(0, np.int32)
    feedback = feedback_matrix(torch.from_numpy(part.gram))
    symbols = round_with_feedback(part.coefficients, np.full(count, step), np.ones(count), feedback)
    return np.clip(symbols, -MAX_COEFFICIENT, MAX_COEFFICIENT)


@lru_cache(maxsize=2)
def _known_atoms(bits: int, length: int) -> NDArray[np.float32]:
    """All atoms as columns, in units of their standard deviation times 2^UNIT_BITS."""
    made = atoms(np.arange(1 << bits), length).T
    return np.ascontiguousarray(made, np.float32)


def _vector_blocks(rows: int, inputs: int, height: int) -> Iterator[slice]:
    """As `row_blocks`, of whole vectors."""
    first = row_blocks(rows, inputs + 1)[0].stop
    block = height * max(1, first // height)
    for start in range(0, rows, block):
        yield slice(start, min(start + block, rows))


def _vectors(
    block: slice, inputs: int, height: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Where the weights and the biases of each vector of a block stand in it, biases last."""
    rows = block.stop - block.start
    table = np.arange(rows * (inputs + 1)).reshape(rows, inputs + 1)
    for start in range(0, rows, height):
        part = table[start : start + height]
        yield part[:, :-1].ravel(), part[:, -1]
