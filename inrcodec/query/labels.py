"""Joins a file's `labels`, the kept description of an array, with coordinates of its axes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import CorruptError
from inrcodec.signal import Axis

LABELS = "labels"
"""Name of the metadata entry: a JSON object in UTF-8."""

VARYING = ("M8", "M8[Y]", "M8[M]", "m8", "m8[Y]", "m8[M]")
"""Types of times whose unit is not the same length everywhere."""

TEXT = "str"
"""The type of coordinates that are names."""


def read_labels(metadata: Mapping[str, bytes]) -> dict[str, Any]:
    """The labels, or {} where a file has none. Raises CorruptError."""
    if LABELS not in metadata:
        return {}
    try:
        found = json.loads(metadata[LABELS])
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"labels: no JSON ({error})") from error
    return part(found, "labels")


def axis_labels(labels: Mapping[str, Any], axis: Axis) -> tuple[NDArray[Any], dict[str, Any]]:
    """The coordinates of an axis, in their own type, and their attributes. Raises CorruptError.

    Without `values` they follow from spacing and origin; with them, those count values, between
    which coordinates are linear and names the nearest.
    """
    what = f"labels: coordinates of {axis.name}"
    own = part(part(labels.get("coordinates", {}), what).get(axis.name, {}), what)
    attributes = dict(part(own.get("attributes", {}), what))
    if axis.unit:
        attributes.setdefault("units", axis.unit)
    places = axis.origin + axis.spacing * np.arange(axis.size, dtype=np.float64)
    name = own.get("dtype", "<f8")
    if "values" not in own:
        return typed(places, name, what), attributes
    table = typed(own["values"], name, what)
    plain = (axis.origin, axis.spacing) == (0.0, 1.0)
    if table.ndim != 1 or not len(table) or (plain and len(table) != axis.size):
        raise CorruptError(f"{what}: {list(table.shape)} values for {axis.size} samples")
    return _between(table, places), attributes


def typed(values: Any, name: Any, what: str) -> NDArray[Any]:
    """Numbers, times (counts of their unit) or names of a JSON, as the type that it gives them."""
    try:
        if name == TEXT:
            return np.array(values, np.str_)
        dtype = np.dtype(name).newbyteorder("=")
        if dtype.kind not in "iufmM" or dtype.str[1:] in VARYING:
            raise TypeError(f"type {name!r}")
        if dtype.kind in "mM":
            return np.asarray(np.array(values, np.int64).view(dtype))
        return np.array(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"{what}: no numbers, times or names ({error})") from error


def _between(table: NDArray[Any], places: NDArray[np.float64]) -> NDArray[Any]:
    """A table of coordinates at places that count its entries."""
    nearest = np.clip(np.rint(places), 0, len(table) - 1).astype(np.int64)
    if table.dtype.kind == "U" or len(table) == 1 or (nearest == places).all():
        return table[nearest]
    below = np.clip(np.floor(places), 0, len(table) - 2).astype(np.int64)
    numbers = plain_numbers(table)
    found = numbers[below] + (places - below) * np.diff(numbers)[below]
    if table.dtype.kind in "mM":
        return np.rint(found).astype(np.int64).view(table.dtype)
    return found.astype(table.dtype) if table.dtype.kind == "f" else found


def plain_numbers(table: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers, or counts of the unit of times."""
    counts = table.view(np.int64) if table.dtype.kind in "mM" else table
    return counts.astype(np.float64)


def part(value: Any, what: str) -> dict[str, Any]:
    """A JSON object, or CorruptError."""
    if not isinstance(value, dict):
        raise CorruptError(f"{what}: no JSON object")
    return value
