"""Joins weights with the bytes of those that are left when the smallest are pruned.

Magnitude pruning with fine-tuning, as in Meta-SparseINR (Lee et al. 2021). What is left is rounded
with feedback, as the package rounds; which weights are left is coded as the places of atoms are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inrcodec.coding.dictionary import Dictionary, get_atoms, put_atoms
from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.coding.quantize import step_index, step_size
from inrcodec.coding.weights import best_table
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.curvature import feedback_matrix, layer_curvatures, row_blocks
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.refine import CURVATURE_POINTS
from inrcodec.fitting.rounding import (
    Sensitivity,
    round_with_feedback,
    scale_for_lambda,
    sensitivities,
)
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import cosine
from inrcodec.fitting.siren_presets import Preset
from inrcodec.fitting.siren_step import step_for
from inrcodec.fitting.stacks import layers_of, stacked

FIT_SHARE = 0.25
"""Steps after pruning, as a share of those of the fit."""


def pruned_bytes(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    samples: Samples,
    share: float,
    rate_weight: float,
    preset: Preset,
) -> tuple[bytes, list[Tensor]]:
    """Bytes without `share` of the hidden weights, and the layers decoded from them."""
    masks = [_mask(layer, share if 0 < i < spec.depth else 0) for i, layer in enumerate(layers)]
    steps = int(FIT_SHARE * preset.steps)
    left = _tuned(spec, samples, layers, masks, 0, steps, preset.rate / 4, preset.batch)
    points = samples.coordinates(samples.some(CURVATURE_POINTS))
    known = sensitivities(spec, left, points, samples.workers)
    scale = scale_for_lambda(rate_weight, samples.positions)
    encoder, tables = SymbolEncoder(), []
    for index in range(len(left)):
        symbols, steps_of = _rounded(spec, left, index, points, known[index], scale, masks[index])
        tables.append(_put(encoder, symbols, masks[index]) + steps_of)
        values = symbols[:, :-1] * step_size(steps_of[0])
        made = np.column_stack([values, symbols[:, -1] * step_size(steps_of[1])])
        left[index] = torch.from_numpy(made.astype(np.float32))
        rate = preset.rounding_rate
        few = preset.rounding_steps
        left = _tuned(spec, samples, left, masks, index + 1, few, rate, preset.batch)
    # Tables, steps and counts: five bytes a layer and array stand for them.
    data = b"".join(
        bytes(row[:2]) + bytes(row[3:]) + row[2].to_bytes(2, "little") for row in tables
    )
    data += encoder.finish()
    return data, _decoded(spec, data)


def _mask(layer: Tensor, share: float) -> Tensor:
    mask, weights = torch.ones_like(layer), layer[:, :-1].abs()
    if share:
        mask[:, :-1] = (
            weights > weights.flatten().kthvalue(int(share * weights.numel()))[0]
        ).float()
    return mask


def _tuned(
    spec: SirenSpec,
    samples: Samples,
    layers: Sequence[Tensor],
    masks: Sequence[Tensor],
    fixed: int,
    steps: int,
    rate: float,
    batch: int,
) -> list[Tensor]:
    if fixed >= len(layers):
        return list(layers)
    first = [layer * mask for layer, mask in zip(layers, masks, strict=True)]
    free = [stack.requires_grad_() for stack in stacked(first[fixed:])]
    kept, step, optimiser = stacked(masks[fixed:]), step_for(spec, samples), Soap(free)
    batches = samples.batches(batch)
    for number in range(steps):
        step.descend(list(layers[:fixed]), free, next(batches))
        optimiser.step(rate * cosine(number / steps, 0.1))
        with torch.no_grad():
            for stack, mask in zip(free, kept, strict=True):
                stack.mul_(mask)
    return [*layers[:fixed], *(layer.detach() for layer in layers_of(free))]


def _rounded(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    index: int,
    points: Tensor,
    own: Sensitivity,
    scale: float,
    mask: Tensor,
) -> tuple[np.ndarray, tuple[int, int]]:
    values = layers[index].double().numpy()
    chosen = tuple(step_index(scale / math.sqrt(each)) for each in (own.weights, own.biases))
    steps = np.full(values.shape, step_size(chosen[0]))
    steps[:, -1] = step_size(chosen[1])
    symbols = np.zeros(values.shape, np.int32)
    blocks = row_blocks(*values.shape)
    for block, curvature in zip(
        blocks, layer_curvatures(spec, layers, index, points, blocks), strict=True
    ):
        there = np.flatnonzero(mask[block].numpy().ravel())
        part = np.zeros(values[block].size, np.int32)
        part[there] = round_with_feedback(
            values[block].ravel()[there],
            steps[block].ravel()[there],
            np.ones(len(there)),
            feedback_matrix(curvature[there][:, there]),
        )
        symbols[block] = part.reshape(values[block].shape)
    return symbols, (chosen[0], chosen[1])


def _put(encoder: SymbolEncoder, symbols: np.ndarray, mask: Tensor) -> tuple[int, int, int]:
    """Tables of weights and biases, and the number of weights that are left (0: all)."""
    weights, biases = symbols[:, :-1], symbols[:, -1].copy()
    table = best_table(biases)
    if bool(mask.all()):
        own = best_table(weights.ravel())
        encoder.put(weights.ravel(), own)
        encoder.put(biases, table)
        return own, table, 0
    rows, columns = np.nonzero(weights)
    unit = _units(weights.shape[1])
    pairs = np.stack([(rows << unit.bits) + columns, weights[rows, columns]], axis=1)
    own = best_table(pairs[:, 1])
    put_atoms(encoder, pairs.astype(np.int32), unit, weights.shape, own)
    encoder.put(biases, table)
    return own, table, len(pairs)


def _units(columns: int) -> Dictionary:
    """Numbers of elements as those of atoms: a row is a vector."""
    return Dictionary((columns - 1).bit_length(), 1)


def _decoded(spec: SirenSpec, data: bytes) -> list[Tensor]:
    rows = [data[6 * i : 6 * i + 6] for i in range(spec.depth + 1)]
    decoder, layers = SymbolDecoder(data[6 * len(rows) :], "pruned"), []
    for index, (own, table, step, bias_step, *count) in enumerate(rows):
        shape = spec.tensors()[2 * index].shape
        number = int.from_bytes(bytes(count), "little")
        if number:
            unit, weights = _units(shape[1]), np.zeros(shape, np.int32)
            pairs = get_atoms(decoder, number, unit, shape, own, "pruned")
            weights[pairs[:, 0] >> unit.bits, pairs[:, 0] & ((1 << unit.bits) - 1)] = pairs[:, 1]
        else:
            weights = decoder.get(math.prod(shape), own).reshape(shape)
        biases = decoder.get(shape[0], table) * step_size(bias_step)
        made = np.column_stack([weights * step_size(step), biases]).astype(np.float32)
        layers.append(torch.from_numpy(made))
    decoder.finish()
    return layers
