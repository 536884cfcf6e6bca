"""Joins two signals with the measures of how far they are apart."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.signal import Signal

Array = NDArray[np.generic]
Truths = NDArray[np.bool_]


def largest_difference(reference: Array, other: Array, missing: Truths | None = None) -> float:
    """Largest absolute difference of two sample arrays of one shape, in their unit, leaving out
    those that are missing.
    """
    return max(float(np.abs(row).max()) for row in _differences(reference, other, missing))


def _differences(
    reference: Array, other: Array, missing: Truths | None
) -> Iterator[NDArray[np.float64]]:
    """A row at a time: the difference of large pictures in float64 would not fit the cache."""
    for index, (ours, theirs) in enumerate(zip(reference, other, strict=True)):
        difference = np.subtract(ours, theirs, dtype=np.float64)
        yield difference if missing is None else np.where(missing[index], 0, difference)


def either_missing(reference: Signal, other: Signal) -> Truths | None:
    """Where at least one of two signals has no sample."""
    if reference.missing is None or other.missing is None:
        return other.missing if reference.missing is None else reference.missing
    return reference.missing | other.missing


def same_missing(reference: Signal, other: Signal) -> bool:
    """Whether the same samples of two signals are missing."""
    if reference.missing is None or other.missing is None:
        return reference.missing is other.missing
    return bool((reference.missing == other.missing).all())


def psnr(reference: Signal, other: Signal) -> float:
    """PSNR in dB over all samples and channels that neither lacks; the peak is the reference's
    value range.
    """
    if reference.samples.shape != other.samples.shape:
        raise UsageError(
            f"compare: shapes {list(reference.samples.shape)} and "
            f"{list(other.samples.shape)} differ"
        )
    missing = either_missing(reference, other)
    rows = _differences(reference.samples, other.samples, missing)
    total = sum(float(np.square(row).sum()) for row in rows)
    low, high = reference.info.value_range
    lacking = 0 if missing is None else int(np.count_nonzero(missing))
    mean = total / max(1, reference.samples.size - lacking)
    return math.inf if mean == 0 else 10 * math.log10((high - low) ** 2 / mean)
