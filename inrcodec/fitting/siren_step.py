"""Joins a SirenSpec and Samples with the squared error of a minibatch and its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, relu

from inrcodec.errors import UsageError
from inrcodec.fields.activations import Maths
from inrcodec.fields.siren import OUTPUT_CENTRE, SirenSpec
from inrcodec.fitting.objective import squared_error
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.stacks import layers_of, named
from inrcodec.native_choice import extension, instruction_set

Floats = NDArray[np.float32]

NEARLY_ZERO = 1e-6

PIECE = 2**14
"""Positions whose error is taken at once: their coordinates and values should stay in the cache."""


def _join(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, dim=-1)


def _sinc(z: Tensor) -> Tensor:
    # Faster than torch.sinc and its gradient; so near to 0 it is 1, and its slope 0.
    other = torch.where(z.abs() < NEARLY_ZERO, NEARLY_ZERO, z)
    return torch.sin(other) / other


MATHS = Maths(torch.sin, torch.cos, torch.exp, torch.tanh, _sinc, relu, _join)
"""Of torch's tensors."""


def evaluate(spec: SirenSpec, layers: Sequence[Tensor], coordinates: Tensor) -> Tensor:
    """Values of the field whose [weight | bias] matrices are `layers`."""
    values: Tensor = spec.evaluate(named(layers), coordinates, linear, MATHS)
    return values


def step_for(spec: SirenSpec, samples: Samples) -> NativeSirenStep | TorchSirenStep:
    """The fastest step there is: the extension's, of sines, else torch's with workers."""
    if spec.plain and samples.device == "cpu" and instruction_set():
        return NativeSirenStep(spec, samples)
    return TorchSirenStep(spec, samples)


class TorchSirenStep:
    """By torch's autograd; each worker takes a share of the positions."""

    def __init__(self, spec: SirenSpec, samples: Samples) -> None:
        self.spec, self.samples = spec, samples

    def error(self, layers: Sequence[Tensor], indices: Tensor) -> float:
        """Squared error of the field of `layers`, mean over some positions, clamped to 0..1."""

        def part(piece: Tensor) -> float:
            with torch.no_grad():
                return float(self._error(layers, piece)) * len(piece)

        parts = self.samples.workers.map(part, indices.split(PIECE))
        return sum(parts) / len(indices)

    def descend(self, fixed: Sequence[Tensor], free: Sequence[Tensor], indices: Tensor) -> float:
        """As `error`, of `fixed` layers and those of the stacks `free` after them; sets the
        gradients of these. The clamp is straight-through.
        """
        return self.samples.workers.gradients(
            lambda part: self._error([*fixed, *layers_of(free)], part), indices, free
        )

    def _error(self, layers: Sequence[Tensor], indices: Tensor) -> Tensor:
        values = evaluate(self.spec, layers, self.samples.coordinates(indices))
        return squared_error(values, self.samples.targets(indices))


class NativeSirenStep:
    """As `TorchSirenStep`, by the extension: forward and backward fused, in blocks of positions."""

    def __init__(self, spec: SirenSpec, samples: Samples) -> None:
        native, isa = extension(), instruction_set()
        if native is None or isa is None:
            raise UsageError("native step: the extension is not built, or switched off")
        self.samples = samples
        shape = (spec.inputs, spec.outputs, spec.depth, spec.width)
        try:
            self._fit = native.SirenFit(
                isa, shape, spec.omega_0, OUTPUT_CENTRE, samples.workers.count
            )
        except (TypeError, ValueError) as error:
            raise UsageError(f"native step: {error}") from error

    def error(self, layers: Sequence[Tensor], indices: Tensor) -> float:
        """As `TorchSirenStep.error`."""
        parameters, nothing = _flat(layers), np.empty(0, np.float32)
        total = 0.0
        for piece in indices.split(PIECE):
            total += self._step(parameters, piece, len(layers), nothing) * len(piece)
        return total / len(indices)

    def descend(self, fixed: Sequence[Tensor], free: Sequence[Tensor], indices: Tensor) -> float:
        """As `TorchSirenStep.descend`."""
        gradient = np.empty(sum(stack.numel() for stack in free), np.float32)
        error = self._step(_flat([*fixed, *free]), indices, len(fixed), gradient)
        parts = torch.from_numpy(gradient).split([stack.numel() for stack in free])
        for stack, part in zip(free, parts, strict=True):
            stack.grad = part.view(stack.shape)
        return error

    def _step(self, parameters: Floats, indices: Tensor, fixed: int, gradient: Floats) -> float:
        coordinates = self.samples.coordinates(indices).numpy()
        targets = self.samples.targets(indices).numpy()
        try:
            return float(self._fit.step(parameters, coordinates, targets, fixed, gradient))
        except (TypeError, ValueError) as error:
            raise UsageError(f"native step: {error}") from error


def _flat(matrices: Sequence[Tensor]) -> Floats:
    return np.concatenate([matrix.detach().numpy().ravel() for matrix in matrices])
