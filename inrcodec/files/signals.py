"""Joins a file of whatever format with Signal: its content says which one, or its suffix."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

from inrcodec.errors import InputError, LimitError, UsageError
from inrcodec.files.arrays import marked
from inrcodec.files.foreign import reading
from inrcodec.files.images import read_image
from inrcodec.files.nifti import is_nifti, read_nifti
from inrcodec.files.numpy_files import File, check_raw_size, read_npy, read_npz, read_raw
from inrcodec.files.pillow_image import METADATA
from inrcodec.files.sources import (
    USUALLY_KEPT,
    ZARR_MARKS,
    NamedBytes,
    Source,
    is_zarr,
    read_bytes,
    read_start,
    source_name,
    suffix_of,
)
from inrcodec.files.xarray_files import read_variable
from inrcodec.signal import Axis, Signal

SNIFFED = 1024
"""Bytes of a file's start that tell its format."""

STARTS = {
    b"\x93NUMPY": "npy",
    b"\x89HDF\r\n\x1a\n": "netcdf",
    b"CDF\x01": "netcdf3",
    b"CDF\x02": "netcdf3",
}

SUFFIXES = {
    ".npy": "npy",
    ".npz": "npz",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nc": "netcdf",
    ".nc4": "netcdf",
    ".h5": "netcdf",
    ".hdf5": "netcdf",
    ".zarr": "zarr",
    ".raw": "raw",
    ".bin": "raw",
}
"""What a file should be whose content says nothing known."""

PICTURE = "picture"


def read_signal(
    source: Source,
    *,
    keep: Collection[str] = USUALLY_KEPT,
    axes: Sequence[str | Axis] | None = None,
    variable: str | None = None,
    shape: Sequence[int] | None = None,
    dtype: str | None = None,
    fill: float | None = None,
) -> Signal:
    """The signal of a picture or array file, without the samples that equal `fill`.

    `axes` names the axes of an array. `variable` says which one, where a file has several. With
    `shape` and `dtype`, bytes are raw samples. `keep` names the metadata to keep: of pictures that
    of `read_image`, of arrays `labels` (with the header of NIfTI) and `dataset`. Raises InputError
    for what cannot be read, LimitError for what is too large, and UsageError for what makes no
    sense of this file.
    """
    signal = _read(source, keep, axes, variable, shape, dtype)
    return signal if fill is None else marked(signal, fill)


def _read(
    source: Source,
    keep: Collection[str],
    axes: Sequence[str | Axis] | None,
    variable: str | None,
    shape: Sequence[int] | None,
    dtype: str | None,
) -> Signal:
    file, name = _opened(source), source_name(source)
    if (shape is None) != (dtype is None):
        raise UsageError("shape and dtype: raw samples need both, other files none")
    format_ = "raw" if shape is not None else file_format(file)
    if variable is not None and format_ in ("raw", "npy", "nifti", PICTURE):
        raise UsageError(f"{name}: has no variables to choose from; leave out --variable")
    if format_ == "raw":
        if shape is None or dtype is None:
            raise InputError(f"{name}: raw samples say nothing of themselves; give shape and dtype")
        return read_raw(file, shape, dtype, axes)
    if format_ == "npy":
        return read_npy(file, axes)
    if format_ == "npz":
        return read_npz(file, variable, axes, keep)
    if format_ == "nifti":
        return read_nifti(file, axes, keep)
    if format_ == PICTURE:
        if axes is not None:
            raise UsageError(f"{name}: the axes of a picture are y and x; leave out --axes")
        return read_image(file, keep=[kept for kept in keep if kept in METADATA])
    return read_variable(file, format_, variable, axes, keep)


def check_readable(path: str, shape: Sequence[int] | None = None, dtype: str | None = None) -> None:
    """Raise InputError for a file that begins as none of a known format does."""
    if shape is not None:
        check_raw_size(path, shape, dtype)
        return
    format_ = file_format(path)
    if format_ == "raw":
        raise InputError(f"{path}: raw samples say nothing of themselves; give shape and dtype")
    if format_ == PICTURE:
        try:
            read_image(path, keep=(), max_pixels=0)
        except LimitError:
            # It has pixels, so it is a picture.
            return


def _opened(source: Source) -> File:
    """A path of a file that can be read twice, or what there is to read in memory."""
    if isinstance(source, str | os.PathLike) and (Path(source).is_file() or is_zarr(source)):
        return source
    data = read_bytes(source)
    return NamedBytes(data, source_name(source))


def file_format(file: File) -> str:
    """What a file is, by its content, else by its suffix."""
    name = source_name(file)
    if isinstance(file, str | os.PathLike):
        if is_zarr(file):
            return "zarr"
        start = read_start(file, SNIFFED)
    else:
        start = file.read(SNIFFED)
        file.seek(0)
    for begin, format_ in STARTS.items():
        if start.startswith(begin):
            return format_
    if is_nifti(start):
        return "nifti"
    if start.startswith(b"PK"):
        return _packed_format(file, name)
    return SUFFIXES.get(suffix_of(name), PICTURE) if start else _empty(name)


def _packed_format(file: File, name: str) -> str:
    with reading(name, "archive"), zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    if not isinstance(file, str | os.PathLike):
        file.seek(0)
    if not {*names} & {*ZARR_MARKS}:
        return "npz"
    if isinstance(file, str | os.PathLike):
        return "zarr"
    raise InputError(f"{name}: a zarr store is read from a path; write it to a file first")


def _empty(name: str) -> str:
    raise InputError(f"{name}: is empty; make or fetch it again")
