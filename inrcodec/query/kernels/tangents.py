"""Joins a `siren` Field with its exact derivatives: its own forward pass over dual numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.activations import Maths
from inrcodec.fields.field import Field
from inrcodec.query.kernels.reference import CHUNK, siren_spec
from inrcodec.query.threads import serial_blas

Doubles = NDArray[np.float64]

SERIES = 0.1
"""Below it the slope of sin(z) / z is a series: of its closed form little would be left."""


@dataclass(frozen=True)
class Dual:
    """Values `[points, units]` and their derivatives `[inputs, points, units]`."""

    values: Doubles
    slopes: Doubles

    def __add__(self, other: Dual | float) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.values + other.values, self.slopes + other.slopes)
        return Dual(self.values + other, self.slopes)

    def __sub__(self, other: Dual | float) -> Dual:
        return self + other * -1.0

    def __mul__(self, other: Dual | float) -> Dual:
        if isinstance(other, Dual):
            slopes = self.slopes * other.values + self.values * other.slopes
            return Dual(self.values * other.values, slopes)
        return Dual(self.values * other, self.slopes * other)

    def __abs__(self) -> Dual:
        return Dual(np.abs(self.values), np.sign(self.values) * self.slopes)


Function = Callable[[Doubles], Doubles]


def _lifted(function: Function, slope: Function) -> Callable[[Dual], Dual]:
    """A function of dual numbers, by the chain rule."""
    return lambda z: Dual(function(z.values), slope(z.values) * z.slopes)


def _linear(hidden: Dual, weight: Doubles, bias: Doubles) -> Dual:
    return Dual(hidden.values @ weight.T + bias, hidden.slopes @ weight.T)


def _sinc(z: Doubles) -> Doubles:
    return np.asarray(np.sinc(z / np.pi))


def _sinc_slope(z: Doubles) -> Doubles:
    near = np.abs(z) < SERIES
    far = np.where(near, 1.0, z)
    series = z * (-1 / 3 + z**2 * (1 / 30 + z**2 * (-1 / 840 + z**2 / 45360)))
    return np.where(near, series, (np.cos(far) - np.sin(far) / far) / far)


def _join(parts: list[Dual]) -> Dual:
    values = np.concatenate([part.values for part in parts], axis=-1)
    return Dual(values, np.concatenate([part.slopes for part in parts], axis=-1))


MATHS = Maths(
    sin=_lifted(np.sin, np.cos),
    cos=_lifted(np.cos, lambda z: -np.sin(z)),
    exp=_lifted(np.exp, np.exp),
    tanh=_lifted(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    sinc=_lifted(_sinc, _sinc_slope),
    relu=_lifted(lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(np.float64)),
    join=_join,
)
"""Of dual numbers. Where a function has two slopes, max(z, 0) at 0, its slope is 0."""


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
            found: Dual = spec.evaluate(parameters, Dual(own, seeds), _linear, MATHS)
            out[start : start + CHUNK] = found.slopes.transpose(1, 2, 0)
    return out
