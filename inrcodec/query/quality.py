"""Joins two signals with the measures of how far they are apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.signal import Signal

Array = NDArray[np.generic]


def largest_difference(reference: Array, other: Array) -> float:
    """Largest absolute difference of two sample arrays of one shape, in their unit."""
    rows = zip(reference, other, strict=True)
    return max(float(np.abs(np.subtract(a, b, dtype=np.float64)).max()) for a, b in rows)


def psnr(reference: Signal, other: Signal) -> float:
    """PSNR in dB over all samples and channels; the peak is the reference's value range."""
    if reference.samples.shape != other.samples.shape:
        raise UsageError(
            f"compare: shapes {list(reference.samples.shape)} and "
            f"{list(other.samples.shape)} differ"
        )
    total = 0.0
    # A row at a time: the difference of large pictures in float64 would not fit the cache.
    for ours, theirs in zip(reference.samples, other.samples, strict=True):
        total += float(np.square(np.subtract(ours, theirs, dtype=np.float64)).sum())
    low, high = reference.info.value_range
    mean = total / reference.samples.size
    return math.inf if mean == 0 else 10 * math.log10((high - low) ** 2 / mean)
