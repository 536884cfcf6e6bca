"""Joins a SirenSpec's arrays with stacks of equal [weight | bias] matrices that torch can batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from inrcodec.fields.siren import SirenSpec

Stacks = list[Tensor]
"""One tensor `[layers, outputs, inputs + 1]` per run of layers of equal shape."""


def initial_stacks(spec: SirenSpec, generator: torch.Generator, first_scale: float) -> Stacks:
    """Random start: SIREN's (Sitzmann et al. 2020, section 3.2), the first layer's weights times
    `first_scale`.
    """
    layers = []
    for index, tensor in enumerate(t for t in spec.tensors() if t.role == "weight"):
        outputs, inputs = tensor.shape
        layer = torch.rand(outputs, inputs + 1, generator=generator) * 2 - 1
        if index == 0 and spec.depth:
            layer[:, :-1] *= first_scale / inputs
            layer[:, -1] *= 1 / math.sqrt(inputs)
        else:
            layer *= math.sqrt(6 / inputs) / spec.omega_0
        # An affine field has no symmetry to break, and flat pictures should stay flat.
        layers.append(layer if spec.depth else torch.zeros_like(layer))
    return stacked(layers)


def layers_of(stacks: Sequence[Tensor]) -> list[Tensor]:
    """The [weight | bias] matrix of every layer (views)."""
    return [matrix for stack in stacks for matrix in stack.unbind(0)]


def stacked(layers: Sequence[Tensor]) -> Stacks:
    """Copies of the matrices, neighbours of equal shape stacked."""
    runs = groupby(layers, key=lambda layer: layer.shape)
    return [torch.stack([layer.detach() for layer in run]) for _, run in runs]


def named(layers: Sequence[Tensor]) -> dict[str, Tensor]:
    """The matrices as a field's named arrays (views)."""
    arrays = {}
    for index, matrix in enumerate(layers):
        arrays[f"weight{index}"] = matrix[:, :-1]
        arrays[f"bias{index}"] = matrix[:, -1]
    return arrays
