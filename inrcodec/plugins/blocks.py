"""Joins arrays larger than memory with zarr stores whose chunks are `.inrc` files."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import InputError, UsageError
from inrcodec.files.foreign import needed, writing
from inrcodec.files.labels import UNCALLED
from inrcodec.files.output import StrPath, write_atomically, write_store
from inrcodec.files.sources import suffix_of
from inrcodec.files.streamed import Streamed, streamed
from inrcodec.plugins.chunks import check_dtype, checked_settings, lattice_of
from inrcodec.query.lattice import block_shape

BLOCK = 2**20
"""Samples of a block, unless told: its fit takes about 200 bytes for each."""

Place = tuple[slice, ...]
Told = Callable[[int, int], None]
"""Called with how many blocks are done, and how many there are."""

_log = logging.getLogger("inrcodec")


def places(shape: Sequence[int], block: Sequence[int]) -> Iterator[Place]:
    """Where the blocks of an array lie, the last axis first."""
    starts = [range(0, size, edge) for size, edge in zip(shape, block, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(
            slice(start, min(start + edge, size))
            for start, edge, size in zip(corner, block, shape, strict=True)
        )


def encode_blocks(
    source: StrPath,
    store: StrPath,
    *,
    block: Sequence[int] | None = None,
    variable: str | None = None,
    axes: Sequence[str] | None = None,
    shape: Sequence[int] | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    told: Told | None = None,
    **settings: Any,
) -> None:
    """Write the array of a `.npy`, raw, netCDF, HDF5 or zarr file as a zarr store, block by block.

    No more than a block of it is in memory. Every chunk of the store is an `.inrc` file, which zarr
    and xarray read where this package is installed. `settings` are those of `encode`, for each
    block; of a `max_error` in per cent, those of the range of the whole array. Blocks know nothing
    of each other: a bound is what keeps their seams small. Raises InrcodecError; then nothing is
    left behind.
    """
    zarr = needed("zarr", f"{os.fspath(store)}: zarr")
    from inrcodec.plugins.zarr import InrcodecCodec

    checked_settings(settings)
    with streamed(source, variable, axes, shape, dtype) as array:
        edges = _edges(array, block)
        settings = _for_blocks(array, edges, settings)
        with write_store(store, overwrite) as folder, writing("zarr"):
            array.write_labels(folder)
            target = zarr.open_group(folder, mode="a").create_array(
                array.name or UNCALLED,
                shape=array.shape,
                chunks=edges,
                dtype=array.dtype,
                serializer=InrcodecCodec(**settings),
                compressors=None,
                fill_value=np.nan if array.dtype.kind == "f" else 0,
                dimension_names=array.dimensions,
                attributes=array.attributes,
            )
            parts = list(places(array.shape, edges))
            for done, place in enumerate(parts):
                target[place] = array.read(place)
                if told is not None:
                    told(done + 1, len(parts))


def decode_blocks(
    store: StrPath, target: StrPath, *, variable: str | None = None, overwrite: bool = False
) -> None:
    """Write the array of a store as a `.npy` or raw file, block by block.

    Raises InrcodecError; then nothing is left behind.
    """
    if suffix_of(os.fspath(target)) not in (".npy", ".raw", ".bin"):
        raise UsageError(f"{os.fspath(target)}: blocks are written as .npy or .raw; name one")
    with (
        streamed(store, variable) as array,
        write_atomically(target, overwrite) as file,
    ):
        if suffix_of(os.fspath(target)) == ".npy":
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(file, header)
        first = file.tell()
        strides = [
            array.dtype.itemsize * int(np.prod(array.shape[axis + 1 :], dtype=np.int64))
            for axis in range(len(array.shape))
        ]
        # So that a full disk is known before anything is decoded into it.
        file.truncate(first + strides[0] * array.shape[0])
        for place in places(array.shape, array.chunks or _edges(array, None)):
            samples = np.ascontiguousarray(array.read(place))
            corner = [along.start for along in place]
            # Samples lie side by side in the file from the last axis on that is cut.
            cut = [size < whole for size, whole in zip(samples.shape, array.shape, strict=True)]
            outer = max((axis for axis, is_cut in enumerate(cut) if is_cut), default=0)
            for row in np.ndindex(samples.shape[:outer]):
                steps = (*row, *[0] * (len(corner) - outer))
                at = [low + step for low, step in zip(corner, steps, strict=True)]
                file.seek(first + sum(i * step for i, step in zip(at, strides, strict=True)))
                file.write(samples[row].tobytes())


def _edges(array: Streamed, block: Sequence[int] | None) -> tuple[int, ...]:
    check_dtype(array.dtype)
    if block is None:
        return block_shape(array.shape, BLOCK)
    if len(block) != len(array.shape) or min(block, default=0) < 1:
        raise UsageError(
            f"block {list(block)}: the array is {list(array.shape)}; give samples along each axis"
        )
    edges = tuple(map(min, block, array.shape))
    lattice_of(edges)
    return edges


def _for_blocks(array: Streamed, edges: Sequence[int], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that mean for each block what they mean for the whole."""
    asked = settings.get("max_error")
    if settings.get("target_size") is not None:
        raise UsageError("target_size: blocks have no size of their own; ask for bpp")
    if array.fill is not None and array.dtype.kind != "f" and asked != 0:
        raise UsageError(
            f"{array.source}: its fill value {array.fill:g} would not come back exactly in blocks; "
            "ask for max_error 0, or convert it to floats with NaN"
        )
    if not isinstance(asked, str):
        return settings
    low, high = np.inf, -np.inf
    for place in places(array.shape, edges):
        part: NDArray[Any] = array.read(place)
        part = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    if not low < high:
        raise InputError(f"{array.source}: all samples are equal or missing; give a max_error of 0")
    return settings | {"max_error": float(asked.rstrip("%")) / 100 * (high - low)}
