"""Joins numpy arrays with Signals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.header import check_describable
from inrcodec.errors import InputError, UsageError
from inrcodec.signal import ALPHA, COLOUR_CHANNELS, Axis, Signal, SignalInfo, full_range

LARGEST = 1e37
"""Largest float sample: ranges and overshoots of it still fit float32."""


def from_array(array: Any) -> Signal:
    """A picture from an array `[height, width]` or `[height, width, channels]`.

    1 to 4 channels are grey, grey + alpha, RGB, RGB + alpha. uint8, uint16 and float are taken;
    float samples keep their own range. Raises UsageError, or InputError for NaN or infinity.
    """
    try:
        samples = np.asarray(array)
    except ValueError as error:
        raise UsageError(f"array: {error}") from error
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or samples.size == 0:
        raise UsageError(
            f"array: shape {list(samples.shape)}; "
            "[height, width] or [height, width, 1..4] is needed"
        )
    height, width, count = samples.shape
    if samples.dtype.kind == "f":
        dtype, value_range = "float32", _finite_range(samples)
        samples = samples.astype(np.float32)
    elif samples.dtype.kind == "u" and samples.dtype.itemsize <= 2:
        dtype = samples.dtype.newbyteorder("=").name
        samples = samples.astype(dtype)
        value_range = full_range(dtype)
    else:
        raise UsageError(f"array: dtype {samples.dtype}; uint8, uint16 or float is needed")
    channels = COLOUR_CHANNELS[count if count % 2 else count - 1]
    channels += (ALPHA,) * (count % 2 == 0)
    axes = (Axis("y", height), Axis("x", width))
    return Signal(samples, SignalInfo(axes, channels, dtype, value_range))


def _finite_range(samples: NDArray[Any]) -> tuple[float, float]:
    if not np.isfinite(samples).all():
        bad = int(samples.size - np.isfinite(samples).sum())
        raise InputError(
            f"samples: {bad} of {samples.size} are NaN or infinite; replace them first"
        )
    low, high = float(samples.min()), float(samples.max())
    if max(abs(low), abs(high)) > LARGEST:
        raise InputError(f"samples: up to {max(abs(low), abs(high)):g}; scale them to {LARGEST:g}")
    low, high = float(np.float32(low)), float(np.float32(high))
    # A constant signal still needs a range of some width.
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def check_signal(signal: Signal) -> None:
    """Raise UsageError or InputError for a Signal that no file of this version can hold."""
    info, samples = signal.info, np.asarray(signal.samples)
    if samples.shape != (*info.lattice, len(info.channels)) or samples.size == 0:
        raise UsageError(
            f"signal: samples {list(samples.shape)} for lattice {list(info.lattice)} and "
            f"{len(info.channels)} channels"
        )
    if samples.dtype != np.dtype(info.dtype):
        raise UsageError(f"signal: samples are {samples.dtype}, its description says {info.dtype}")
    check_describable(info)
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise InputError("samples: some are NaN or infinite; replace them first")
