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
from inrcodec.files.xarray_output import dataset_of
from inrcodec.plugins.windows import select
from inrcodec.query.view import SignalView
from inrcodec.signal import Signal


class ViewArray(BackendArray):
    """A view as xarray's lazy array: what is asked is computed, and no more than around it."""

    def __init__(self, view: SignalView, shape: tuple[int, ...]) -> None:
        """`shape` is that of the view but for axes of one sample."""
        self.view, self.shape, self.dtype = view, shape, view.dtype

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
            _dataset(inrcodec.open(filename_or_obj)),
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


def _dataset(view: SignalView) -> xarray.Dataset:
    """One variable with all that labels say of it, its samples to be computed."""
    nothing = np.broadcast_to(np.zeros((), view.dtype), view.shape)
    data: xarray.Dataset = dataset_of(Signal(nothing, view.info, view.metadata))
    (name,) = data.data_vars
    plain = data.variables[name]
    lazy = indexing.LazilyIndexedArray(ViewArray(view, plain.shape))
    return data.assign({name: xarray.Variable(plain.dims, lazy, plain.attrs)})
