"""Joins chunks of arrays with `.inrc` bytes: what the codecs of zarr and numcodecs share."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inrcodec
from inrcodec.errors import UsageError
from inrcodec.files.arrays import AXES, TYPES
from inrcodec.fitting.settings import Settings

MOST_AXES = max(AXES)

_one_fit = threading.Lock()
"""A fit takes every core: chunks that a library encodes side by side take their turn."""


def checked_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an encoder as given, or UsageError."""
    try:
        Settings(**settings)
    except TypeError as error:
        known = ", ".join(Settings.__dataclass_fields__)
        raise UsageError(f"inrcodec codec: {error}; settings are {known}") from error
    return dict(settings)


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise UsageError for a type that no file can hold."""
    if dtype.newbyteorder("=").name not in TYPES:
        raise UsageError(
            f"inrcodec codec: dtype {dtype}; one of {', '.join(TYPES)} is needed: cast the array, "
            "or take another codec"
        )


def lattice_of(shape: Sequence[int]) -> tuple[int, ...]:
    """The axes of a chunk that have more than one sample, at least one; or UsageError."""
    lattice = tuple(size for size in shape if size > 1) or (1,)
    if len(lattice) > MOST_AXES:
        raise UsageError(
            f"inrcodec codec: chunks {list(shape)}; at most {MOST_AXES} axes may be longer than 1"
        )
    return lattice


def encode_chunk(chunk: NDArray[Any], settings: Mapping[str, Any]) -> bytes:
    """The file of one chunk. Axes of one sample are left out: what they hold is smooth in none."""
    check_dtype(chunk.dtype)
    lattice = lattice_of(chunk.shape)
    samples = np.ascontiguousarray(chunk).reshape(lattice)
    with _one_fit:
        return inrcodec.encode(samples, axes=AXES[len(lattice)], **checked_settings(settings))
