"""Joins `.inrc` files with labelled datasets: the engine `inrcodec` of xarray."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

import inrcodec
from inrcodec.bitstream.wire import MAGIC
from inrcodec.codec import is_inrc
from inrcodec.errors import CorruptError, UsageError
from inrcodec.files.coordinates import native_attributes
from inrcodec.plugins.windows import select
from inrcodec.query.labels import axis_labels, part, read_labels
from inrcodec.query.view import SignalView
from inrcodec.signal import Axis

NAME, CHANNEL = "values", "channel"
"""Names of a variable, and of the axis of its channels, where labels give none."""


class ViewArray(BackendArray):
    """A view as xarray's lazy array: what is asked is computed, and no more than around it."""

    def __init__(self, view: SignalView) -> None:
        self.view = view
        self.shape = view.shape if view.shape[-1] > 1 else view.shape[:-1]
        self.dtype = view.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> NDArray[Any]:
        if not any(isinstance(own, np.ndarray) for own in key):
            return select(self.view, key, self.shape)
        # Arrays of an outer index each choose along their own axis.
        along = [np.arange(size)[own] for own, size in zip(key, self.shape, strict=True)]
        found = select(self.view, np.ix_(*map(np.atleast_1d, along)), self.shape)
        return found.reshape([own.size for own in along if own.ndim])


class InrcodecBackend(BackendEntrypoint):
    """Opens `.inrc` files: `xarray.open_dataset("x.inrc", engine="inrcodec")`.

    One variable of the file's name, axes, attributes and coordinates; samples are computed where
    they are asked, also in dask's chunks.
    """

    description = "Open neural fields (.inrc)"

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
    ) -> xarray.Dataset:
        """The dataset of a file, attributes decoded as those of netCDF are.

        Raises InrcodecError, as `inrcodec.open` does.
        """
        return xarray.decode_cf(
            xarray.Dataset(_variables(inrcodec.open(filename_or_obj))),
            concat_characters=concat_characters,
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            decode_coords=decode_coords,
            drop_variables=drop_variables,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
        )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it begins as `.inrc` files do, whatever its name."""
        if isinstance(filename_or_obj, bytes):
            return is_inrc(filename_or_obj)
        try:
            if isinstance(filename_or_obj, str | os.PathLike):
                with Path(filename_or_obj).open("rb") as file:
                    return is_inrc(file.read(len(MAGIC)))
            start = filename_or_obj.read(len(MAGIC))
            filename_or_obj.seek(-len(start), os.SEEK_CUR)
            return is_inrc(start)
        except (AttributeError, OSError, TypeError, ValueError):
            return False


def _variables(view: SignalView) -> dict[str, xarray.Variable]:
    """The samples, and the coordinates of axes that have any."""
    labels = read_labels(view.metadata)
    array = ViewArray(view)
    names = [axis.name for axis in view.info.axes]
    coordinates = part(labels.get("coordinates", {}), "labels")
    found = {}
    for axis in view.info.axes:
        described = (axis.spacing, axis.origin, axis.unit) != (1.0, 0.0, "")
        if described or axis.name in coordinates:
            values, attributes = axis_labels(labels, axis)
            own = native_attributes(attributes)
            found[axis.name] = xarray.Variable((axis.name,), values, own)
    if len(array.shape) > len(names):
        channel = str(labels.get("channel_axis") or CHANNEL)
        names.append(channel)
        found[channel] = _channels(view, labels, channel)
    name = str(labels.get("name") or NAME)
    if len({name, *names}) < len(names) + 1:
        raise UsageError(f"axes {names} and variable {name!r}: a name occurs twice")
    attributes = part(labels.get("attributes", {}), "labels: attributes")
    lazy = indexing.LazilyIndexedArray(array)
    return {name: xarray.Variable(names, lazy, native_attributes(attributes)), **found}


def _channels(view: SignalView, labels: dict[str, Any], channel: str) -> xarray.Variable:
    """The coordinates of the channels: those of the dimension that they were, or their names."""
    count = len(view.info.channels)
    if channel in labels.get("coordinates", {}):
        values, attributes = axis_labels(labels, Axis(channel, count))
        return xarray.Variable((channel,), values, native_attributes(attributes))
    channels = labels.get("channels", list(view.info.channels))
    if not isinstance(channels, list) or len(channels) != count:
        raise CorruptError(f"labels: {count} names of channels are needed")
    return xarray.Variable((channel,), np.array([str(each) for each in channels]))
