"""Joins the largest error a user allows with the step of a Residual, and the residual itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.planes import DenseLatents
from inrcodec.coding.quantize import dequantize
from inrcodec.coding.residual import pack_residual
from inrcodec.errors import InrcodecError, UsageError
from inrcodec.fields.field import Field
from inrcodec.fitting.grid_fit import LARGEST, fitted_grid
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.query.bounded import Doubles, add_residual, base_values
from inrcodec.query.evaluator import evaluator
from inrcodec.query.quality import largest_difference
from inrcodec.signal import Signal, SignalInfo


def absolute_bound(asked: float | str, info: SignalInfo) -> float:
    """The largest error in the unit of the samples: of integers whole, of floats above 0.

    `asked` is in that unit too, or a text such as "1%" of the value range.
    """
    low, high = info.value_range
    bound = float(asked[:-1]) / 100 * (high - low) if isinstance(asked, str) else float(asked)
    if not info.dtype.startswith("float"):
        return float(math.floor(bound))
    if bound == 0:
        raise UsageError(
            f"max_error 0: {info.dtype} samples cannot be coded without loss; ask for a small "
            "bound, such as 0.001%, or convert them to integers"
        )
    return bound


def bound_share(bound: float, info: SignalInfo) -> float:
    """Half the step of the multiples, as a share of the value range."""
    low, high = info.value_range
    half = bound if info.dtype.startswith("float") else bound + 0.5
    return half / (high - low)


def step_of_bound(bound: float, info: SignalInfo) -> float:
    """Step of the multiples that bring samples within the bound; UsageError for a bound that is
    finer than the samples are.
    """
    if not info.dtype.startswith("float"):
        return 2 * bound + 1
    largest = max(map(abs, info.value_range)) + bound
    # Samples are rounded to their own type in the end, after sums in float64.
    spacing = float(np.spacing(np.array(largest, info.dtype)))
    step = 2 * bound - spacing - 16 * float(np.spacing(largest))
    if not math.isfinite(spacing) or step < bound:
        raise UsageError(
            f"max_error {bound:g}: {info.dtype} samples of up to {largest:g} are not so fine; ask "
            f"for {1.01 * spacing:.2g} or more"
        )
    # The next lower float32 takes half the bytes of a float64.
    short = np.float32(step)
    short = short if float(short) <= step else np.nextafter(short, np.float32(0))
    return float(short) if float(short) >= 0.999 * step else step


def within_bound(part: Signal, track: FittedTrack, bound: float, seed: int) -> FittedTrack:
    """The track with the residual that brings all its samples within the bound."""
    info, step = part.info, step_of_bound(bound, part.info)
    base = _base_values(info, track)
    errors = part.samples.astype(np.float64) - base
    if part.missing is not None:
        errors[part.missing] = 0
    multiples = np.rint(errors / step)
    if np.abs(multiples).max() > LARGEST:
        raise UsageError(
            f"max_error {bound:g}: too small for samples over {info.value_range}; a residual has "
            f"at most {LARGEST:g} steps"
        )
    exact: NDArray[np.int64] = multiples.astype(np.int64)
    samples = add_residual(base, exact, step, info)
    reached = largest_difference(part.samples, samples, part.missing)
    if reached > bound:
        raise InrcodecError(f"bound: {reached} where {bound} was asked; report this")
    payload = pack_residual(step, fitted_grid(np.moveaxis(exact, -1, 0), seed))
    return replace(track, residual=payload, bytes=track.bytes + len(payload))


def _base_values(info: SignalInfo, track: FittedTrack) -> Doubles:
    parameters = dequantize(track.spec, track.quantised.symbols, track.quantised.recipes).parameters
    field = Field(track.spec, parameters, DenseLatents(track.latents))
    values = np.empty((*info.lattice, len(info.channels)), np.float32)
    window = [(0, size) for size in info.lattice]
    evaluator(field, info).fill(values, lambda same: same, info.lattice, window)
    return base_values(values, info)
