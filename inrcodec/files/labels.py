"""Joins what a scientific file says of its variable with an entry of a Signal's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inrcodec.errors import CorruptError
from inrcodec.files.sources import LABELS

UNCALLED = "values"
"""What a variable is called that has no name."""

NIFTI = "nifti"
"""The metadata entry with everything that stands before the samples of a NIfTI file."""


@dataclass(frozen=True)
class Coordinate:
    """Positions along an axis, or one value for all.

    `dtype` is that of numpy, or `str`. `values` is None where the axis says them exactly by its
    origin and spacing; otherwise the axis counts samples, and `values` has one per sample.
    Attributes are as JSON has them, what it has no type for as `{"dtype": ..., "value": ...}`.
    """

    dtype: str
    values: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """Names, coordinates and attributes of a variable, and the attributes of its data set.

    `channels` are names of the channels, and `channel_axis` is that of the dimension they were.
    """

    name: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    channel_axis: str = ""
    dataset: Mapping[str, Any] = field(default_factory=dict)


def pack_labels(labels: Labels) -> dict[str, bytes]:
    """The metadata that holds labels: none if there are none."""
    record = {
        "name": labels.name,
        "attributes": dict(labels.attributes),
        "coordinates": {
            name: _present(
                {
                    "dtype": coordinate.dtype,
                    "values": coordinate.values,
                    "attributes": dict(coordinate.attributes),
                }
            )
            for name, coordinate in labels.coordinates.items()
        },
        "channels": list(labels.channels),
        "channel_axis": labels.channel_axis,
        "dataset": dict(labels.dataset),
    }
    if not (present := _present(record)):
        return {}
    form = {"ensure_ascii": False, "allow_nan": False, "sort_keys": True, "separators": (",", ":")}
    return {LABELS: json.dumps(present, **form).encode("utf-8")}  # type: ignore[arg-type]


def unpack_labels(metadata: Mapping[str, bytes]) -> Labels:
    """The labels in metadata, if any. Raises CorruptError for what is none."""
    if LABELS not in metadata:
        return Labels()
    try:
        record = json.loads(metadata[LABELS].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{LABELS}: no intact JSON ({error})") from error
    record = _typed(record, dict, "all of it")
    channels = _typed(record.get("channels", []), list, "channels")
    return Labels(
        name=_typed(record.get("name", ""), str, "name"),
        attributes=_typed(record.get("attributes", {}), dict, "attributes"),
        coordinates={
            name: _coordinate(name, entry)
            for name, entry in _typed(record.get("coordinates", {}), dict, "coordinates").items()
        },
        channels=tuple(_typed(name, str, "channels") for name in channels),
        channel_axis=_typed(record.get("channel_axis", ""), str, "channel_axis"),
        dataset=_typed(record.get("dataset", {}), dict, "dataset"),
    )


def described_labels(metadata: Mapping[str, bytes]) -> dict[str, Any]:
    """Labels as a part of what `info` tells: none if there are none."""
    unpack_labels(metadata)
    return {LABELS: json.loads(metadata[LABELS])} if LABELS in metadata else {}


def _coordinate(name: str, entry: Any) -> Coordinate:
    entry = _typed(entry, dict, f"coordinate {name}")
    return Coordinate(
        dtype=_typed(entry.get("dtype"), str, f"dtype of coordinate {name}"),
        values=entry.get("values"),
        attributes=_typed(entry.get("attributes", {}), dict, f"attributes of coordinate {name}"),
    )


def _present(record: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing."""
    return {name: value for name, value in record.items() if value not in (None, "", [], {})}


def _typed(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise CorruptError(f"{LABELS}: {what} is {type(value).__name__}, not {kind.__name__}")
    return value
