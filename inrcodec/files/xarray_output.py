"""Joins Signal and its labels with variables of netCDF and zarr, through xarray."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inrcodec.errors import CorruptError
from inrcodec.files.coordinates import (
    FILL,
    UNITS,
    coordinate_values,
    native_attributes,
    single_value,
)
from inrcodec.files.foreign import needed, writing
from inrcodec.files.labels import UNCALLED, Coordinate, Labels, unpack_labels
from inrcodec.signal import Axis, Signal, array_channels, plain_samples


def write_netcdf(signal: Signal, target: BinaryIO) -> None:
    """A netCDF4 file of one variable with its coordinates and attributes; it has no float16."""
    content = io.BytesIO()
    with writing("netCDF"):
        if signal.info.dtype == "float16":
            wide = replace(signal.info, dtype="float32")
            signal = replace(signal, samples=signal.samples.astype(np.float32), info=wide)
        dataset_of(signal).to_netcdf(content, engine="h5netcdf")
    target.write(content.getbuffer())


def write_zarr(signal: Signal, folder: Path) -> None:
    """A zarr store of one variable with its coordinates and attributes, in an empty folder."""
    with writing("zarr"):
        dataset_of(signal).to_zarr(folder, mode="w", consolidated=False)


def dataset_of(signal: Signal) -> Any:
    """An xarray.Dataset of one variable, whose coordinates follow the samples."""
    xarray = needed("xarray", "labels")
    labels, info = unpack_labels(signal.metadata), signal.info
    dimensions = [axis.name for axis in info.axes]
    coordinates: dict[str, Any] = {}
    for axis in info.axes:
        known = labels.coordinates.get(axis.name)
        if known is None and (axis.spacing, axis.origin, axis.unit) == (1.0, 0.0, ""):
            continue
        known = known or Coordinate("<f8")
        attributes = native_attributes(known.attributes)
        if axis.unit:
            attributes.setdefault(UNITS, axis.unit)
        coordinates[axis.name] = ((axis.name,), coordinate_values(axis, known), attributes)
    samples, channel = plain_samples(signal), labels.channel_axis or "channel"
    if labels.channel_axis and samples.ndim == len(dimensions):
        samples = samples[..., None]
    if samples.ndim > len(dimensions):
        dimensions.append(channel)
        coordinates |= _channel_coordinate(signal, labels, channel)
    for name, other in labels.coordinates.items():
        if name not in dimensions and not isinstance(other.values, list | None):
            coordinates[name] = ((), single_value(other), native_attributes(other.attributes))
    name = labels.name or UNCALLED
    # A variable named as a dimension would be a coordinate itself.
    name = f"{name}_values" if name in {*dimensions, *coordinates} else name
    variable = (dimensions, samples, _fitting(labels.attributes, samples.dtype))
    data = xarray.Dataset({name: variable}, coordinates, native_attributes(labels.dataset))
    for each in data.variables.values():
        # Nothing is missing unless the attributes say so.
        if FILL not in each.attrs:
            each.encoding[FILL] = None
    return data


def _channel_coordinate(signal: Signal, labels: Labels, channel: str) -> dict[str, Any]:
    names = signal.info.channels
    known = labels.coordinates.get(channel)
    if known is not None:
        axis = Axis(channel, len(names))
        values = coordinate_values(axis, known)
        if isinstance(known.values, list) and len(known.values) != len(names):
            raise CorruptError(f"labels: {len(known.values)} values for {len(names)} channels")
        return {channel: ((channel,), values, native_attributes(known.attributes))}
    if names != array_channels(len(names)):
        return {channel: ((channel,), np.array(names, dtype=object), {})}
    return {}


def _fitting(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Attributes whose fill value is of the type of the samples, as the formats demand."""
    native = native_attributes(attributes)
    fill = np.asarray(native.pop(FILL, None))
    if fill.ndim == 0 and fill.dtype.kind in "iuf":
        with np.errstate(invalid="ignore", over="ignore"):
            own = fill.astype(dtype)
        if np.array_equal(own, fill, equal_nan=True):
            native[FILL] = own[()]
    return native
