"""Joins a SirenSpec's arrays with stacks of equal [weight | bias] matrices that torch can batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.first_layers import initial_layers

Stacks = list[Tensor]
"""One tensor `[layers, outputs, inputs + 1]` per run of layers of equal shape."""


def initial_stacks(spec: SirenSpec, generator: torch.Generator, first_scale: float) -> Stacks:
    """Random start of a field of any family; `first_scale` is of sines' first layer."""
    return stacked(initial_layers(spec, generator, first_scale))


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
