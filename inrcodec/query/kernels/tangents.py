"""Joins a `siren` Field with its exact derivatives: its own forward pass over dual numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import Field
from inrcodec.query.kernels.reference import CHUNK, siren_spec
from inrcodec.query.threads import serial_blas

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Dual:
    """Values `[points, units]` and their derivatives `[inputs, points, units]`."""

    values: Doubles
    slopes: Doubles


def _linear(hidden: Dual, weight: Doubles, bias: Doubles) -> Dual:
    return Dual(hidden.values @ weight.T + bias, hidden.slopes @ weight.T)


def _sin(hidden: Dual) -> Dual:
    return Dual(np.sin(hidden.values), np.cos(hidden.values) * hidden.slopes)


def slopes(field: Field, coordinates: Doubles) -> Doubles:
    """Derivatives `[points, outputs, inputs]` at `coordinates` `[points, inputs]`, in float64.

    Forward-mode differentiation: every layer maps a value and its derivatives to those of the next.
    """
    spec = siren_spec(field)
    parameters = {name: array.astype(np.float64) for name, array in field.parameters.items()}
    out = np.empty((len(coordinates), spec.outputs, spec.inputs), np.float64)
    # Beyond what a float can hold, a sine has no value: NaN, not a warning.
    with serial_blas(), np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(coordinates), CHUNK):
            own = coordinates[start : start + CHUNK]
            seeds = np.broadcast_to(np.eye(spec.inputs)[:, None, :], (spec.inputs, *own.shape))
            found: Dual = spec.evaluate(parameters, Dual(own, seeds), _linear, _sin)
            out[start : start + CHUNK] = found.slopes.transpose(1, 2, 0)
    return out
