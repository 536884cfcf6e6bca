"""Joins weights with SINR's own coding of them: 16-bit indices, 16-bit values, Brotli.

Jayasundara et al., Sparsity Driven Compressed INRs (CVPR 2025): columns of hidden matrices, or a
whole matrix narrower than 50, are sums of atoms of a Gaussian dictionary, found by orthogonal
matching pursuit with a sparsity given beforehand. Not in the main text, and chosen here: the number
of atoms (65,536, the most that 16 bits can name; 16,384 for whole matrices) and the scale of each
array's quantiser (its largest magnitude).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import brotli
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.pursuit import pursue

NARROW = 50
"""Matrices with fewer rows become one vector."""

ATOMS, ATOMS_OF_MATRICES = 2**16, 2**14

_LEVELS = 2**15 - 1

Floats = NDArray[np.float32]


@lru_cache(maxsize=1)
def gaussian(length: int) -> Floats:
    """The dictionary, one atom a column."""
    count = ATOMS_OF_MATRICES if length >= NARROW**2 // 4 else ATOMS
    return np.random.default_rng(0).standard_normal((length, count), np.float32)


def quantised(values: NDArray[np.floating]) -> bytes:
    """The scale as a float32 and every value in 16 bits."""
    scale = np.float32(np.abs(values).max(initial=0) / _LEVELS or 1)
    levels: NDArray[np.int16] = np.rint(values.ravel() / scale).astype("<i2")
    return struct.pack("<f", scale) + levels.tobytes()


def paper_bytes(layers: Sequence[Tensor], share: float) -> bytes:
    """[weight | bias] matrices in bytes; hidden ones use `share` atoms per element."""
    out = b""
    for index, layer in enumerate(layers):
        weights, bias = layer[:, :-1].double().numpy(), layer[:, -1].double().numpy()
        if not 0 < index < len(layers) - 1:
            out += quantised(np.column_stack([weights, bias]))
            continue
        vectors = weights.reshape(1, -1) if len(weights) < NARROW else weights.T
        atoms = gaussian(vectors.shape[1])
        count = int(share * vectors.shape[1])
        metric = np.eye(vectors.shape[1])
        found = [pursue(vector, metric, atoms, 0.0, count) for vector in vectors]
        out += struct.pack("<H", count)
        out += b"".join(each.numbers.astype("<u2").tobytes() for each in found)
        out += quantised(np.concatenate([each.coefficients for each in found])) + quantised(bias)
    return bytes(brotli.compress(out, quality=11, lgwin=22))


def paper_layers(spec: SirenSpec, data: bytes) -> list[Tensor]:
    """What `paper_bytes` wrote."""
    raw, offset = brotli.decompress(data), 0

    def take(kind: str, count: int) -> NDArray[np.generic]:
        nonlocal offset
        taken = np.frombuffer(raw, kind, count, offset)
        offset += taken.nbytes
        return taken

    def values(count: int) -> Floats:
        scale = take("<f4", 1).astype(np.float32)[0]
        found: Floats = take("<i2", count).astype(np.float32) * scale
        return found

    layers = []
    for index in range(spec.depth + 1):
        rows, columns = spec.tensors()[2 * index].shape
        if not 0 < index < spec.depth:
            layers.append(values(rows * (columns + 1)).reshape(rows, columns + 1))
            continue
        narrow = rows < NARROW
        number, length = (1, rows * columns) if narrow else (columns, rows)
        count = int(take("<u2", 1).astype(np.int64)[0])
        numbers = take("<u2", number * count).astype(np.int64).reshape(number, count)
        coefficients = values(number * count).reshape(number, count)
        atoms = gaussian(length)
        vectors = [atoms[:, own] @ each for own, each in zip(numbers, coefficients, strict=True)]
        matrix = np.reshape(vectors, (rows, columns)) if narrow else np.stack(vectors, axis=1)
        layers.append(np.column_stack([matrix, values(rows)]))
    assert offset == len(raw)
    return [torch.from_numpy(layer.astype(np.float32)) for layer in layers]
