"""Joins a PyramidSpec's network arrays with the matrices that an optimiser moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fields.pyramid import PyramidSpec

CATMULL_ROM = (-0.0234, 0.2266, 0.8672, -0.0703)
"""Where upsampling filters start: cubic interpolation a quarter of a sample off."""

FIRST_LOG2_SCALE = -1.5
"""Where the scale of every latent starts, as log2 b."""

LAST_LAYER, SKIP, RESIDUALS = 0.1, 0.1, (0.03, 0.01)
"""How much smaller than usual some weights start: what they do is at first small."""


@dataclass(frozen=True)
class Matrix:
    """A weight array `[rows, columns]` in the flat vector, and where its biases lie, if any."""

    start: int
    rows: int
    columns: int
    bias: int | None


class Networks:
    """All parameters in one flat float32 vector, in the order of `spec.tensors()`.

    `matrices` are the same numbers as `[1, rows, columns]`, biases in the last column: what SOAP
    preconditions well. `origin` holds what the fit began with.
    """

    def __init__(self, spec: PyramidSpec, values: Mapping[str, NDArray[np.float32]]) -> None:
        self.spec = spec
        parts = [np.asarray(values[t.name], np.float32).ravel() for t in spec.tensors()]
        self.flat = np.concatenate(parts)
        self.origin = self.flat.copy()
        self._places = _places(spec)
        self.matrices = self.gathered(self.flat)

    def gathered(self, vector: NDArray[np.float32]) -> list[Tensor]:
        """Copies of a flat vector's numbers as matrices."""
        matrices = []
        for place in self._places:
            end = place.start + place.rows * place.columns
            matrix = vector[place.start : end].reshape(1, place.rows, place.columns)
            if place.bias is not None:
                biases = vector[place.bias : place.bias + place.rows].reshape(1, -1, 1)
                matrix = np.concatenate([matrix, biases], axis=2)
            matrices.append(torch.from_numpy(matrix.copy()))
        return matrices

    def scatter(self) -> None:
        """Write the matrices back to the flat vector."""
        for place, matrix in zip(self._places, self.matrices, strict=True):
            values = matrix.detach().numpy()[0]
            end = place.start + place.rows * place.columns
            self.flat[place.start : end] = values[:, : place.columns].ravel()
            if place.bias is not None:
                self.flat[place.bias : place.bias + place.rows] = values[:, place.columns]

    def gather(self) -> None:
        """Write the flat vector to the matrices."""
        for matrix, values in zip(self.matrices, self.gathered(self.flat), strict=True):
            matrix.data = values

    def named(self) -> dict[str, NDArray[np.float32]]:
        """The arrays by name; they share the flat vector's memory."""
        named, start = {}, 0
        for tensor in self.spec.tensors():
            named[tensor.name] = self.flat[start : start + tensor.size].reshape(tensor.shape)
            start += tensor.size
        return named


def _places(spec: PyramidSpec) -> list[Matrix]:
    """Every weight array with its biases; each upsampling filter is a matrix of its own."""
    offsets, offset = {}, 0
    for tensor in spec.tensors():
        offsets[tensor.name] = offset
        offset += tensor.size
    places = []
    for tensor in spec.tensors():
        if tensor.role.endswith("_bias"):
            continue
        rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
        start = offsets[tensor.name]
        if tensor.role == "upsampling":
            places += [Matrix(start + row * columns, 1, columns, None) for row in range(rows)]
        else:
            bias = offsets.get(tensor.name.replace("_weight", "_bias"))
            skip = tensor.name.endswith("_skip")
            places.append(Matrix(start, rows, columns, None if skip else bias))
    return places


def random_networks(spec: PyramidSpec, seed: int) -> dict[str, NDArray[np.float32]]:
    """Arrays to start a fit from nothing: uniform within +-1/sqrt(inputs), biases 0."""
    generator = np.random.default_rng(seed)
    last = {"context": len(spec.contexts), "synthesis": len(spec.synthesis)}
    values: dict[str, NDArray[np.float32]] = {}
    for tensor in spec.tensors():
        if tensor.role == "upsampling":
            values[tensor.name] = np.tile(np.array(CATMULL_ROM, np.float32), (tensor.shape[0], 1))
        elif tensor.role.endswith("_bias"):
            values[tensor.name] = np.zeros(tensor.shape, np.float32)
        else:
            scale = 1 / math.sqrt(math.prod(tensor.shape[1:]))
            if tensor.role == "residual":
                scale = RESIDUALS[min(int(tensor.name[-1]), 1)]
            elif tensor.name.endswith("_skip"):
                scale *= SKIP if tensor.role == "synthesis" else 0.0
            elif tensor.name == f"{tensor.role}_weight{last[tensor.role]}":
                scale *= LAST_LAYER
            values[tensor.name] = generator.uniform(-scale, scale, tensor.shape).astype(np.float32)
    values[f"context_bias{last['context']}"][1] = FIRST_LOG2_SCALE
    return values
