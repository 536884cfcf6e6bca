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

TEXT = "str"
"""The type of coordinates that are names."""

VARYING = ("M8", "M8[Y]", "M8[M]")
"""Types of dates whose unit is not the same length everywhere."""


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
    """The coordinates of an axis, in their own type, and their attributes.

    Without a table they follow from spacing and origin. Raises CorruptError.
    """
    what = f"labels: coordinates of {axis.name}"
    own = part(part(labels.get("coordinates", {}), what).get(axis.name, {}), what)
    values = own.get("values")
    if values is None:
        values = axis.origin + axis.spacing * np.arange(axis.size, dtype=np.float64)
    elif not isinstance(values, list) or len(values) != axis.size:
        raise CorruptError(f"{what}: {axis.size} values are needed")
    if own.get("dtype") == TEXT and isinstance(values, list):
        return np.array([str(each) for each in values], object), dict(
            part(own.get("attributes", {}), what)
        )
    try:
        dtype = np.dtype(own.get("dtype", "<f8"))
        if dtype.kind not in "iufM" or dtype.str[1:] in VARYING:
            raise TypeError(f"type {dtype}")
        if dtype.kind == "M":
            # Counts of the type's own unit.
            table = np.asarray(values).astype(np.int64).astype(dtype.newbyteorder("="))
        else:
            table = np.asarray(values, dtype.newbyteorder("="))
        if table.ndim != 1 or not np.isfinite(table).all():
            raise ValueError("not finite")
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"{what}: no numbers or times ({error})") from error
    attributes = dict(part(own.get("attributes", {}), what))
    if axis.unit and dtype.kind != "M":
        attributes.setdefault("units", axis.unit)
    return table, attributes


def part(value: Any, what: str) -> dict[str, Any]:
    """A JSON object, or CorruptError."""
    if not isinstance(value, dict):
        raise CorruptError(f"{what}: no JSON object")
    return value
