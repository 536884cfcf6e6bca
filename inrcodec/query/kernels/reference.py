"""Evaluates `siren` Fields at coordinates with numpy: the meaning of their other kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.activations import Maths
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.threads import serial_blas

Floats = NDArray[np.float32]

CHUNK = 4096
"""Coordinates per evaluation: the layers of one chunk stay in the cache of one core."""


def siren_spec(field: Field) -> SirenSpec:
    """The architecture of a `siren` field."""
    if not isinstance(field.spec, SirenSpec):
        raise TypeError(f"a {field.spec.kind} is no siren")
    return field.spec


def _linear(hidden: Floats, weight: Floats, bias: Floats) -> Any:
    out = hidden @ weight.swapaxes(-1, -2)
    out += bias[..., None, :]
    return out


def _sin(values: Floats) -> Any:
    return np.sin(values, out=values)


def _sinc(values: Floats) -> Any:
    zero = values == 0
    return np.where(zero, 1, np.sin(values) / np.where(zero, 1, values))


def _relu(values: Floats) -> Any:
    return np.maximum(values, 0, out=values)


def _join(parts: list[Floats]) -> Any:
    return np.concatenate(parts, axis=-1)


MATHS = Maths(_sin, np.cos, np.exp, np.tanh, _sinc, _relu, _join)
"""Of numpy's arrays, of any float."""


def evaluate(field: Field, coordinates: Floats) -> Floats:
    """Values `[points, outputs]` at `coordinates` `[points, inputs]`, in one piece.

    Parameters and coordinates may carry a leading batch axis: `[fields, points, inputs]`.
    """
    # Beyond what float32 can hold, a sine has no value: NaN, not a warning.
    with serial_blas(), np.errstate(over="ignore", invalid="ignore"):
        values: Floats = siren_spec(field).evaluate(field.parameters, coordinates, _linear, MATHS)
    return values


def evaluate_chunks(field: Field, coordinates: Floats) -> Floats:
    """As `evaluate`, a chunk at a time."""
    points = coordinates.shape[-2]
    out = np.empty((*coordinates.shape[:-1], field.spec.outputs), np.float32)
    for start in range(0, points, CHUNK):
        part = np.s_[..., start : start + CHUNK, :]
        out[part] = evaluate(field, coordinates[part])
    return out
