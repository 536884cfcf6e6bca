"""Joins array files with arrays that are read a part at a time: what is larger than memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import InputError, UsageError
from inrcodec.files.arrays import AXES
from inrcodec.files.foreign import needed, reading, writing
from inrcodec.files.numpy_files import check_raw_size, chosen
from inrcodec.files.signals import file_format
from inrcodec.files.sources import source_name
from inrcodec.files.xarray_files import fill_value, opened_groups

Place = tuple[slice, ...]


@dataclass(frozen=True)
class Streamed:
    """An array in a file: `read` gives a part of it; `labels` is an xarray.Dataset of what stands
    beside it, without samples.
    """

    source: str
    array: Any
    dimensions: tuple[str, ...]
    name: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fill: float | None = None
    labels: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples, in the order of bytes of this machine."""
        own: np.dtype[Any] = np.dtype(self.array.dtype).newbyteorder("=")
        return own

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Edges of the parts that the file has itself, if it has any."""
        own = getattr(self.array, "encoding", {}).get("chunks")
        own = getattr(self.array, "chunks", None) if own is None else own
        return None if own is None else tuple(map(int, own))

    def read(self, place: Place) -> NDArray[Any]:
        """The samples of a part, and no others; of floats, NaN where one is missing."""
        with reading(self.source, "array"):
            samples = np.array(self.array[place], self.dtype)
        if self.fill is not None and self.dtype.kind == "f":
            samples[samples == self.dtype.type(self.fill)] = np.nan
        return samples

    def write_labels(self, folder: Path) -> None:
        """A zarr group of all but the samples, in an empty folder."""
        if self.labels is not None:
            with writing("zarr"):
                self.labels.to_zarr(folder, mode="w", consolidated=False)


@dataclass(frozen=True)
class _Mapped:
    """An array that is mapped anew for each part, so that what was read does not stay in memory."""

    opened: Callable[[], NDArray[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, place: Place) -> NDArray[Any]:
        return np.array(self.opened()[place])


@contextmanager
def streamed(
    source: str | os.PathLike[str],
    variable: str | None = None,
    axes: Sequence[str] | None = None,
    shape: Sequence[int] | None = None,
    dtype: str | None = None,
) -> Iterator[Streamed]:
    """The array of a `.npy`, raw, netCDF, HDF5 or zarr file, open while the block runs.

    The arguments are those of `read_signal`. Raises InputError and UsageError as it does.
    """
    name = source_name(source)
    format_ = "raw" if shape is not None else file_format(source)
    if format_ in ("npy", "raw"):
        if variable is not None:
            raise UsageError(f"{name}: has no variables to choose from; leave out --variable")
        with reading(name, f"{format_} file"):
            if format_ == "npy":
                opened = partial(np.load, source, mmap_mode="r", allow_pickle=False)
            elif shape is None or dtype is None:
                raise InputError(f"{name}: raw samples say nothing of themselves; give both")
            else:
                check_raw_size(source, shape, dtype)
                opened = partial(np.memmap, source, np.dtype(dtype), "r", shape=tuple(shape))
            array = opened()
        names = tuple(axes or AXES.get(array.ndim, ()))
        if len(names) != array.ndim or not array.ndim:
            raise UsageError(f"{name}: {array.ndim} axes; name {array.ndim} of them with axes")
        yield Streamed(name, _Mapped(opened, array.shape, array.dtype), names)
        return
    if format_ not in ("netcdf", "netcdf3", "zarr"):
        raise UsageError(f"{name}: only .npy, raw, netCDF, HDF5 and zarr are read in blocks")
    xarray = needed("xarray", f"{name}: {format_}")
    alone: Any = needed("zarr", name).open(source, mode="r") if format_ == "zarr" else None
    if hasattr(alone, "shape"):
        names = tuple(alone.metadata.dimension_names or axes or AXES.get(alone.ndim, ()))
        yield Streamed(name, alone, names, attributes=dict(alone.attrs))
        return
    with ExitStack() as stack:
        with reading(name, f"{format_} file"):
            groups = opened_groups(xarray, source, format_)
            for group in groups.values():
                stack.callback(group.close)
            found = {
                f"{path}/{key}".strip("/"): (group, each)
                for path, group in groups.items()
                for key, each in group.data_vars.items()
                if each.ndim
            }
            group, each = found[chosen(variable and variable.strip("/"), list(found), name)]
        labels = xarray.Dataset(coords=each.coords, attrs=group.attrs)
        yield Streamed(
            name,
            each.variable,
            tuple(map(str, each.dims)),
            str(each.name),
            _attributes(each.attrs, fill_value(each), each.dtype.kind),
            fill_value(each),
            labels,
        )


def _attributes(attributes: Mapping[str, Any], fill: float | None, kind: str) -> dict[str, Any]:
    """Attributes as JSON has them; of floats, what is missing is NaN and needs no fill value."""
    plain = {
        key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in attributes.items()
        if key not in ("_FillValue", "missing_value")
    }
    return plain if fill is None or kind == "f" else plain | {"missing_value": int(fill)}
