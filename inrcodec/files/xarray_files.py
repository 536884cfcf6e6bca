"""Joins variables of netCDF, HDF5 and zarr, through xarray, with Signal and its labels."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from inrcodec.errors import UsageError
from inrcodec.files.arrays import AXES, from_file
from inrcodec.files.coordinates import (
    TEXT,
    described_axis,
    described_value,
    plain_attributes,
)
from inrcodec.files.foreign import needed, reading
from inrcodec.files.labels import UNCALLED, Coordinate, Labels, pack_labels
from inrcodec.files.numpy_files import File, chosen
from inrcodec.files.sources import DATASET, LABELS, is_zarr, source_name
from inrcodec.signal import Axis, Signal

ENGINES = {"netcdf": "h5netcdf", "netcdf3": "scipy", "zarr": "zarr"}
"""xarray's reader of each format, which is the name of the package behind it."""

UNNAMED = "phony_dim_"
"""How xarray begins the name of a dimension that HDF5 has no name for."""

_log = logging.getLogger("inrcodec")


def read_variable(
    file: File,
    format: str,  # noqa: A002
    variable: str | None,
    axes: Sequence[str | Axis] | None,
    keep: Collection[str],
) -> Signal:
    """A variable as it is stored: packed integers stay so, and what unpacks them is an attribute.

    `axes` names those of its dimensions that become axes, in their order; one more becomes the
    channels. `variable` is `group/name` where it lies in a group. Raises UsageError where it does
    not exist, InputError for what cannot be read.
    """
    name = source_name(file)
    xarray = needed("xarray", f"{name}: {format}")
    needed(ENGINES[format], f"{name}: {format}")
    if format == "netcdf":
        needed("h5py", f"{name}: {format}")
    with reading(name, f"{format} file"):
        groups = opened_groups(xarray, file, format)
        try:
            found = {
                f"{path}/{key}".strip("/"): array
                for path, group in groups.items()
                for key, array in group.data_vars.items()
                if array.ndim
            }
            path = chosen(variable and variable.strip("/"), list(found), name)
            array = found[path]
            dimensions = _ordered(array, axes, name)
            array = array.transpose(*dimensions)
            data, described = np.asarray(array.values), _axes(array, axes)
            dataset = dict(groups["/"].attrs) if DATASET in keep else {}
            labels = _labels(array, len(described), dataset) if LABELS in keep else Labels()
        finally:
            for group in groups.values():
                group.close()
    return from_file(data, described, pack_labels(labels), name, fill_value(array))


def fill_value(array: Any) -> float | None:
    """What stands for missing values, if the variable says so and its type can hold it."""
    for name in ("_FillValue", "missing_value"):
        value = np.asarray(array.attrs.get(name, ""))
        if value.size == 1 and value.dtype.kind in "iuf" and array.dtype.kind in "iuf":
            with np.errstate(over="ignore", invalid="ignore"):
                if value.astype(array.dtype) == value:
                    return float(value.reshape(()))
    return None


def opened_groups(xarray: Any, file: File, format: str) -> Any:  # noqa: A002
    """The data set of every group, by path."""
    how: dict[str, Any] = {
        "engine": ENGINES[format],
        "mask_and_scale": False,
        "decode_times": False,
        "decode_timedelta": False,
        "decode_coords": "all",
        "cache": False,
    }
    if format == "netcdf3":
        return {"/": xarray.open_dataset(file, **how)}
    if format == "netcdf":
        return xarray.open_groups(file, phony_dims="access", **how)
    zarr = needed("zarr", "zarr")
    store = file if is_zarr(source_name(file)) else zarr.storage.ZipStore(file, mode="r")
    root = zarr.open(store, mode="r")
    if isinstance(root, zarr.Array):
        return {"/": _array_alone(xarray, root)}
    return xarray.open_groups(store, consolidated=False, **how)


def _array_alone(xarray: Any, array: Any) -> Any:
    """A zarr array that is in no group, as a data set."""
    names = getattr(array.metadata, "dimension_names", None)
    attributes = dict(array.attrs)
    names = attributes.pop("_ARRAY_DIMENSIONS", names) or [None] * array.ndim
    dimensions = [name or f"{UNNAMED}{index}" for index, name in enumerate(names)]
    return xarray.Dataset({UNCALLED: (dimensions, array[...], attributes)})


def _ordered(array: Any, axes: Sequence[str | Axis] | None, name: str) -> list[str]:
    """Dimensions of a variable: those that become axes, then that of the channels."""
    dimensions = [str(name) for name in array.dims]
    if axes is None or any(name.startswith(UNNAMED) for name in dimensions):
        return dimensions
    wanted = [axis.name if isinstance(axis, Axis) else axis for axis in axes]
    rest = [name for name in dimensions if name not in wanted]
    if not {*wanted} <= {*dimensions} or len(rest) > 1:
        raise UsageError(
            f"{name}: axes {','.join(wanted)}: the variable has {', '.join(dimensions)}; "
            "name all of them, or all but that of the channels"
        )
    return [*wanted, *rest]


def _axes(array: Any, axes: Sequence[str | Axis] | None) -> list[Axis]:
    dimensions = [str(name) for name in array.dims]
    if any(name.startswith(UNNAMED) for name in dimensions):
        names = list(axes or AXES.get(len(dimensions), tuple(dimensions)))
        pairs = zip(names, array.shape, strict=False)
        return [each if isinstance(each, Axis) else Axis(each, size) for each, size in pairs]
    count = len(dimensions if axes is None else axes)
    given = {axis.name: axis for axis in axes or () if isinstance(axis, Axis)}
    return [given.get(name) or _axis(array, name)[0] for name in dimensions[:count]]


def _axis(array: Any, name: str, *, listed: bool = False) -> tuple[Axis, Coordinate | None]:
    """An axis and its coordinates, if it has any."""
    if name not in array.coords or array.coords[name].dims != (name,):
        return Axis(name, array.sizes[name]), None
    coordinate = array.coords[name]
    return described_axis(name, np.asarray(coordinate.values), coordinate.attrs, listed=listed)


def _labels(array: Any, axes: int, dataset: Mapping[str, Any]) -> Labels:
    dimensions = [str(name) for name in array.dims]
    coordinates = {}
    for name in dimensions:
        # Channels have no axis that could say their coordinates.
        _, coordinate = _axis(array, name, listed=name in dimensions[axes:])
        if coordinate is not None:
            coordinates[name] = coordinate
    for name, other in array.coords.items():
        if other.ndim == 0:
            coordinates[str(name)] = described_value(np.asarray(other.values), other.attrs)
        elif str(name) not in dimensions:
            _log.warning("coordinate %s: left out: it is not that of one axis", name)
    channel = dimensions[axes] if len(dimensions) > axes else ""
    named = channel in coordinates and coordinates[channel].dtype == TEXT
    return Labels(
        name="" if array.name == UNCALLED else str(array.name),
        attributes=plain_attributes(array.attrs),
        coordinates=coordinates,
        channels=tuple(map(str, array[channel].values)) if named else (),
        channel_axis=channel,
        dataset=plain_attributes(dataset),
    )
