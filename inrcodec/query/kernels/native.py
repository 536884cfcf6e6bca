"""Joins Fields and coordinates with the extension: kernels compiled for the CPU at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec.errors import UsageError
from inrcodec.fields.field import Field
from inrcodec.native_choice import extension, instruction_set
from inrcodec.query.kernels.reference import MATHS, Floats, siren_spec
from inrcodec.query.threads import kernel_threads

REACH = 1e4
"""Largest argument of a sine up to which the kernels promise an error of 2e-6."""

WORK_PER_THREAD = 2**22
"""Multiply-accumulates that are worth the start of a thread."""


@dataclass(frozen=True)
class Network:
    """A field as the extension takes it."""

    isa: str
    shape: tuple[int, int, int, int]
    layers: Floats
    macs_per_sample: int


def network(field: Field, farthest: float) -> Network | None:
    """The field for `evaluate`, or None where the reference has to evaluate it.

    `farthest` is the largest absolute coordinate that will be asked.
    """
    isa = instruction_set()
    if isa is None or not siren_spec(field).plain:
        return None
    spec = siren_spec(field)
    with np.errstate(over="ignore", invalid="ignore"):
        layers = _layers(field)
        # No crop may fall to another kernel than the whole: weights decide, not values.
        if not _largest_argument(layers, farthest) <= REACH:
            return None
    flat = np.concatenate([part.ravel() for layer in layers for part in layer])
    shape = (spec.inputs, spec.outputs, spec.depth, spec.width)
    return Network(isa, shape, flat.astype(np.float32, copy=False), spec.macs_per_sample)


def largest_argument(field: Field, farthest: float) -> float:
    """What no argument of the field's sines exceeds up to the absolute coordinate `farthest`.

    NaN where weights are not numbers.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _largest_argument(_layers(field), farthest)


def _largest_argument(layers: Sequence[tuple[Floats, Floats]], farthest: float) -> float:
    largest, reach = 0.0, np.float32(farthest)
    for weight, bias in layers[:-1]:
        sums = np.abs(weight).sum(axis=1) * reach + np.abs(bias)
        largest, reach = float(np.maximum(largest, sums.max())), np.float32(1)
    return largest


def network_for(field: Field, coordinates: Floats) -> Network | None:
    """As `network`, for these coordinates."""
    return network(field, farthest=float(np.abs(coordinates).max(initial=0)))


def at_points(net: Network, coordinates: Floats) -> Floats:
    """Values `[points, outputs]` at `coordinates` `[points, inputs]`."""
    coordinates = np.ascontiguousarray(coordinates, np.float32)
    return _evaluate(net, len(coordinates), "siren_points", coordinates)


def on_lattice(net: Network, axes: Sequence[Floats], start: int, stop: int) -> Floats:
    """Values `[stop - start, outputs]` at positions `start`... of the lattice that `axes` span."""
    return _evaluate(net, stop - start, "siren_lattice", list(axes), start)


def _evaluate(net: Network, points: int, function: str, *where: Any) -> Floats:
    out = np.empty((points, net.shape[1]), np.float32)
    threads = min(kernel_threads(), 1 + points * net.macs_per_sample // WORK_PER_THREAD)
    try:
        getattr(extension(), function)(net.isa, net.shape, net.layers, *where, out, threads)
    except (TypeError, ValueError) as error:
        raise UsageError(f"native kernel: {error}") from error
    return out


def _layers(field: Field) -> list[tuple[Floats, Floats]]:
    """Weight and bias of each layer, as the field's own forward pass uses them."""
    layers: list[tuple[Floats, Floats]] = []
    maths = replace(MATHS, sin=lambda _: None)
    siren_spec(field).evaluate(
        field.parameters, None, lambda _, *layer: layers.append(layer), maths
    )
    return layers
