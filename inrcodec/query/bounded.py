"""Joins a field's values at native size with a Residual: samples within a bound of the original."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.residual import Residual
from inrcodec.query.kernels.reference import Floats
from inrcodec.signal import SignalInfo, full_range

Doubles = NDArray[np.float64]


def base_values(values: Floats, info: SignalInfo) -> Doubles:
    """What a residual is added to: field values `[..., channels]` in the unit of the samples, in
    float64, every product and sum rounded by itself; of integer types clamped and rounded.
    """
    low, high = info.value_range
    wide = values.astype(np.float64)
    if info.dtype.startswith("float"):
        wide *= high - low
        wide += low
        return wide
    # What is not a number, as weights of a damaged file may give, is the lowest.
    np.fmin(np.fmax(wide, 0, out=wide), 1, out=wide)
    wide *= high - low
    wide += low
    wide += 0.5
    return np.floor(wide, out=wide)


def add_residual(
    base: Doubles, multiples: NDArray[np.int64], step: float, info: SignalInfo
) -> NDArray[np.generic]:
    """Samples from base values and the multiples of the step that are due to them."""
    with np.errstate(over="ignore", invalid="ignore"):
        exact = base + step * multiples.astype(np.float64)
        if not info.dtype.startswith("float"):
            np.clip(exact, *full_range(info.dtype), out=exact)
        return exact.astype(info.dtype)


def bounded_samples(
    values: Floats, residual: Residual, window: list[tuple[int, int]]
) -> NDArray[np.generic]:
    """Samples `[*window, channels]` of field values in a window of the lattice."""
    base = base_values(values, residual.info)
    return add_residual(base, residual.read(window), residual.step, residual.info)


def bounded_points(
    values: Floats, residual: Residual, places: Doubles, otherwise: Floats
) -> Floats:
    """Values at points `[points, axes]`: on the lattice its samples, `otherwise` what is given."""
    whole = np.floor(places)
    inside = (whole == places).all(axis=1) & (places >= 0).all(axis=1)
    inside &= (places < residual.info.lattice).all(axis=1)
    if not inside.any():
        return otherwise
    base = base_values(values[inside], residual.info)
    multiples = residual.at(whole[inside].astype(np.int64))
    out = otherwise.copy()
    out[inside] = add_residual(base, multiples, residual.step, residual.info)
    return out
