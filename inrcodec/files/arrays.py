"""Joins numpy arrays with Signals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.header import check_describable
from inrcodec.bitstream.wire import DEFAULT_LIMITS
from inrcodec.errors import InputError, InrcodecError, LimitError, UsageError
from inrcodec.signal import (
    ALPHA,
    COLOUR_CHANNELS,
    Axis,
    Signal,
    SignalInfo,
    array_channels,
    full_range,
    is_picture,
)

LARGEST = 1e37
"""Largest float sample: ranges and overshoots of it still fit float32."""

AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x"), 4: ("t", "z", "y", "x")}
"""Names of the axes of an array that is no picture, by their number."""

PICTURE_TYPES = ("uint8", "uint16", "float16", "float32", "float64")
"""Sample types of pictures; theirs are stored as uint8, uint16 or float32."""

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64")

NARROWED = {"int64": "int32", "uint64": "uint32", "bool": "uint8"}
"""Sample types that become others where those hold every sample."""


def from_array(
    array: Any, axes: Sequence[str | Axis] | None = None, fill: float | None = None
) -> Signal:
    """A signal from an array: a picture, or with `axes` or of another shape an array.

    Without `axes`, `[height, width]` and `[height, width, 1..4]` of uint8, uint16 or floats is a
    picture: grey, grey + alpha, RGB, RGB + alpha. Everything else is an array of 1 to 4 axes, by
    default `z y x` of three; `axes` gives their names or their whole descriptions, and one
    dimension more is that of the channels. Arrays may be of (u)int8, 16 or 32 or floats of 16, 32
    or 64 bits, in any byte order; (u)int64 and bool become (u)int32 and uint8 where those hold
    every sample. The value range is that of the samples. NaN, what a masked array masks, and
    samples that equal `fill` are missing. Raises UsageError, or InputError for infinity or where
    nothing is there.
    """
    try:
        samples = np.asarray(array)
    except ValueError as error:
        raise UsageError(f"array: {error}") from error
    if samples.size == 0:
        raise UsageError(f"array: shape {list(samples.shape)} has no samples")
    picture = axes is None and _is_picture(samples.shape, _type_name(samples))
    samples = _narrowed(samples)
    dtype = _type_name(samples)
    if dtype not in TYPES:
        raise UsageError(f"array: dtype {samples.dtype}; one of {', '.join(TYPES)} is needed")
    if samples.dtype.kind != "f" and fill is None and np.ma.is_masked(array):
        fill = float(array.fill_value)
    samples, missing, fill = _without_missing(array, samples, fill)
    if picture:
        whole = samples.ndim == 3
        return _picture(
            samples if whole else samples[..., None],
            missing if whole or missing is None else missing[..., None],
            fill,
            dtype,
        )
    return _array(samples, missing, fill, dtype, axes)


def _without_missing(
    array: Any, samples: NDArray[Any], fill: float | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, float | None]:
    """The samples with one value for all that are missing, where they are, and that value."""
    missing = np.zeros(samples.shape, np.bool_) | np.ma.getmaskarray(array)
    if fill is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            known = np.array(fill).astype(samples.dtype)
        if samples.dtype.kind != "f" and (not math.isfinite(fill) or known != fill):
            raise UsageError(f"fill {fill}: no {samples.dtype} sample can be equal to it")
        missing |= samples == known
        fill = float(known) if math.isfinite(known) else None
    if samples.dtype.kind == "f":
        missing |= np.isnan(samples)
    if not missing.any():
        return samples, None, None
    if missing.all():
        raise InputError(f"samples: all {samples.size} are missing; there is nothing to encode")
    known = samples.dtype.type(np.nan if fill is None else fill)
    return np.where(missing, known, samples), missing, fill


def from_file(
    array: Any,
    axes: Sequence[str | Axis] | None,
    metadata: Mapping[str, bytes],
    name: str,
    fill: float | None = None,
) -> Signal:
    """As `from_array`, of what a file holds, with its metadata; `name` begins all errors."""
    try:
        signal = from_array(array, axes, fill)
    except InrcodecError as error:
        error.args = (f"{name}: {str(error).removeprefix('array: ')}",)
        raise
    if (size := sum(map(len, metadata.values()))) > DEFAULT_LIMITS.metadata_bytes:
        what = f"{name}: bytes of metadata (--metadata none keeps none)"
        raise LimitError(what, size, DEFAULT_LIMITS.metadata_bytes)
    return replace(signal, metadata=metadata)


def marked(signal: Signal, fill: float) -> Signal:
    """The signal without the samples that equal `fill`, and those that it lacks already."""
    samples, missing, fill_or_nan = _without_missing(signal.samples, signal.samples, fill)
    if missing is None:
        return signal
    coloured = is_picture(signal.info) and samples.dtype.kind != "f"
    value_range = signal.info.value_range if coloured else _finite_range(samples[~missing])
    info = replace(signal.info, value_range=value_range, fill=fill_or_nan)
    return replace(signal, samples=samples, info=info, missing=missing)


def _type_name(samples: NDArray[Any]) -> str:
    return samples.dtype.newbyteorder("=").name


def _narrowed(samples: NDArray[Any]) -> NDArray[Any]:
    narrow = NARROWED.get(_type_name(samples))
    if narrow is None:
        return samples
    least, most = int(samples.min()), int(samples.max())
    low, high = full_range(narrow)
    if not low <= least <= most <= high:
        raise UsageError(
            f"array: {samples.dtype} samples from {least} to {most} do not fit {narrow}; scale "
            "them, or convert them to float64"
        )
    return samples.astype(narrow)


def _is_picture(shape: tuple[int, ...], dtype: str) -> bool:
    known = dtype in PICTURE_TYPES
    return known and (len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4))


def _picture(
    samples: NDArray[Any], missing: NDArray[np.bool_] | None, fill: float | None, dtype: str
) -> Signal:
    height, width, count = samples.shape
    if samples.dtype.kind == "f":
        dtype, value_range = "float32", _single(*_finite_range(_there(samples, missing)))
        fill = None if fill is None else float(np.float32(fill))
    else:
        value_range = full_range(dtype)
    channels = COLOUR_CHANNELS[count if count % 2 else count - 1]
    channels += (ALPHA,) * (count % 2 == 0)
    axes = (Axis("y", height), Axis("x", width))
    info = SignalInfo(axes, channels, dtype, value_range, fill)
    return Signal(samples.astype(dtype), info, {}, missing)


def _there(samples: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Those that are not missing."""
    return samples if missing is None else samples[~missing]


def _array(
    samples: NDArray[Any],
    missing: NDArray[np.bool_] | None,
    fill: float | None,
    dtype: str,
    axes: Sequence[str | Axis] | None,
) -> Signal:
    names = AXES.get(samples.ndim, ()) if axes is None else tuple(axes)
    if not 1 <= len(names) <= max(AXES) or samples.ndim - len(names) not in (0, 1):
        what = "" if axes is None else f" for {len(names)} axes"
        raise UsageError(
            f"array: {samples.ndim} dimensions{what}; 1 to {max(AXES)} axes are needed, and at "
            "most one dimension more, of channels"
        )
    if samples.ndim == len(names):
        samples = samples[..., None]
        missing = None if missing is None else missing[..., None]
    described = []
    for name, size in zip(names, samples.shape, strict=False):
        axis = name if isinstance(name, Axis) else Axis(name, size)
        if axis.size != size:
            raise UsageError(f"array: {size} samples along an axis {axis.name} of {axis.size}")
        described.append(axis)
    value_range = _finite_range(_there(samples, missing))
    channels = array_channels(samples.shape[-1])
    info = SignalInfo(tuple(described), channels, dtype, value_range, fill)
    signal = Signal(samples.astype(dtype), info, {}, missing)
    check_signal(signal)
    return signal


def _finite_range(samples: NDArray[Any]) -> tuple[float, float]:
    """Least and largest sample; of a constant, a range of some width that its type allows."""
    if samples.dtype.kind != "f":
        least, most = int(samples.min()), int(samples.max())
        if least == most:
            top = np.iinfo(samples.dtype).max
            least, most = (least, least + 1) if least < top else (least - 1, least)
        return float(least), float(most)
    if not np.isfinite(samples).all():
        bad = int(samples.size - np.isfinite(samples).sum())
        raise InputError(
            f"samples: {bad} of {samples.size} are infinite; replace them, or make them NaN, which "
            "is missing"
        )
    low, high = float(samples.min()), float(samples.max())
    if max(abs(low), abs(high)) > LARGEST:
        raise InputError(f"samples: up to {max(abs(low), abs(high)):g}; scale them to {LARGEST:g}")
    if low == high:
        # Exactly, for samples of float64 too; zero has no sign in a header.
        return low + 0.0, low + max(1.0, abs(low))
    return low + 0.0, high + 0.0


def _single(low: float, high: float) -> tuple[float, float]:
    """A range of samples that become float32."""
    low, high = float(np.float32(low)), float(np.float32(high))
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
    missing = signal.missing
    if missing is not None and (missing.shape != samples.shape or not 0 < missing.mean() < 1):
        raise UsageError(
            "signal: some samples are missing, not none and not all, or `missing` is None"
        )
    if samples.dtype.kind != "f" and missing is not None and info.fill is None:
        raise UsageError(f"signal: {samples.dtype} samples are missing without a fill value")
    if samples.dtype.kind == "f" and not np.isfinite(_there(samples, missing)).all():
        raise InputError("samples: some are NaN or infinite and not missing; replace them first")
