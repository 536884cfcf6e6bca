"""Joins a PyramidSpec's start id with what its parameters are differences to."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UnsupportedError
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.pyramid import PyramidSpec

FRACTION_BITS = 11
"""Values of a start are whole numbers of 2^-FRACTION_BITS."""

_FILE = Path(__file__).with_name("starts.npz")


def start_values(spec: FieldSpec) -> dict[str, NDArray[np.float64]]:
    """Values of the parameter arrays of the start that an architecture names; exact.

    An array is the n-th of its role, here and there; where the start has none, or one of another
    shape, it starts from zero. Raises UnsupportedError for a start that is not in the package.
    """
    known: dict[str, NDArray[np.int16]] = {}
    if isinstance(spec, PyramidSpec) and spec.start:
        if not has_start(spec.start):
            raise UnsupportedError(
                f"parameters: this inrcodec has no arrays of start {spec.start}; use a newer one"
            )
        known = _read(spec.start)
    counts: Counter[str] = Counter()
    values = {}
    for tensor in spec.tensors():
        own = known.get(f"{tensor.role}{counts[tensor.role]}")
        counts[tensor.role] += 1
        values[tensor.name] = np.zeros(tensor.shape)
        if own is not None and own.shape == tensor.shape:
            values[tensor.name] = np.ldexp(own.astype(np.float64), -FRACTION_BITS)
    return values


def has_start(number: int) -> bool:
    """Whether the package has the arrays of a start."""
    return bool(_read(number))


@cache
def _read(number: int) -> dict[str, NDArray[np.int16]]:
    """Arrays of one start; none if there is no such start."""
    prefix = f"{number}/"
    with np.load(_FILE, allow_pickle=False) as file:
        return {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}
