"""Joins the indices of array libraries with views: only the window around them is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import CorruptError
from inrcodec.query.view import SignalView


def select(view: SignalView, key: Sequence[Any], shape: Sequence[int]) -> NDArray[Any]:
    """`numpy.asarray(view).reshape(shape)[key]`.

    `key` is a slice, an integer or an array of integers or truth values for every axis of `shape`,
    which is that of the view but for axes of one sample. Raises CorruptError if it is not.
    """
    if [size for size in shape if size > 1] != [size for size in view.shape if size > 1]:
        raise CorruptError(f"samples: {list(view.shape)} in the file, {list(shape)} expected")
    found = [_window(part, size) for part, size in zip(key, shape, strict=True)]
    lengths = [stop - start for (start, stop), _ in found]
    inner = tuple(rest for _, rest in found)
    if 0 in lengths:
        nothing: NDArray[Any] = np.empty(lengths, view.dtype)[inner]
        return nothing
    wanted = iter([slice(*ends) for (ends, _), size in zip(found, shape, strict=True) if size > 1])
    window = tuple(next(wanted) if size > 1 else slice(None) for size in view.shape)
    chosen: NDArray[Any] = view[window].reshape(lengths)[inner]
    return chosen


def _window(part: Any, size: int) -> tuple[tuple[int, int], Any]:
    """Smallest window that holds what `part` selects, and the index of that inside the window."""
    if isinstance(part, slice):
        chosen = range(size)[part]
        if not chosen:
            return (0, 0), slice(None)
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return (low, high + 1), slice(None, None, chosen.step)
    index = np.asarray(part)
    if index.dtype == bool:
        index = np.flatnonzero(index)
    if index.size == 0:
        return (0, 0), index.astype(np.intp)
    # As numpy does it: negative numbers count from the end, and what is outside is an IndexError.
    index = np.arange(size)[index]
    low = int(index.min())
    return (low, int(index.max()) + 1), index - low
