"""Joins Signals with the formats that decoding writes, by name or suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from inrcodec.errors import UsageError
from inrcodec.files import images
from inrcodec.files.foreign import needed
from inrcodec.files.images import image_mode, write_array, write_image
from inrcodec.files.sources import suffix_of
from inrcodec.signal import Signal, SignalInfo, is_picture

ARRAY = "npy"
FOLDER = "zarr"
"""The format whose files are folders."""

ARRAYS = {f".{name}": name for name in (ARRAY, "npz", "nii", "nii.gz", "nc", FOLDER, "raw")}
PACKAGES = {
    "nii": ("nibabel",),
    "nii.gz": ("nibabel",),
    "nc": ("xarray", "h5netcdf", "h5py"),
    FOLDER: ("xarray", "zarr"),
}

SUFFIXES = images.SUFFIXES | ARRAYS | {".bin": "raw"}


def named_format(name: str) -> str:
    """The format that a user calls so."""
    try:
        return SUFFIXES[f".{name.lower()}"]
    except KeyError:
        known = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise UsageError(f"--format {name}: unknown; use one of {known}") from None


def format_of(target: str) -> str | None:
    """The format that the suffix of a file names, if any."""
    return SUFFIXES.get(suffix_of(target))


def usual_format(info: SignalInfo) -> str:
    """PNG for the pictures that it holds, `.npy` for everything else."""
    if not is_picture(info):
        return ARRAY
    try:
        image_mode(info, "png")
    except UsageError:
        return ARRAY
    return "png"


def check_format(info: SignalInfo, format: str) -> None:  # noqa: A002
    """Raise UsageError for a picture format that cannot hold a signal, UnsupportedError where the
    package that writes an array format is missing.
    """
    for package in PACKAGES.get(format, ()):
        needed(package, f"{format}:")
    if format not in ARRAYS.values():
        image_mode(info, format)


def write_signal(signal: Signal, target: BinaryIO, format: str) -> None:  # noqa: A002
    """Write a signal as a file of one of the formats, but that of folders.

    Raises UsageError for what the format cannot hold; an OSError of `target` passes unchanged.
    """
    if format == ARRAY:
        write_array(signal, target)
    elif format in ARRAYS.values():
        _writer(format)(signal, target)
    else:
        write_image(signal, target, format)


def write_folder(signal: Signal, folder: Path) -> None:
    """Write a signal as a zarr store, in an empty folder."""
    from inrcodec.files.xarray_output import write_zarr

    write_zarr(signal, folder)


def _writer(format: str) -> Callable[[Signal, BinaryIO], None]:  # noqa: A002
    # Each imports what decoding a picture does not need.
    if format == "nc":
        from inrcodec.files.xarray_output import write_netcdf

        return write_netcdf
    if format in ("npz", "raw"):
        from inrcodec.files.numpy_files import write_npz, write_raw

        return write_npz if format == "npz" else write_raw
    from inrcodec.files.nifti import write_nifti

    return lambda signal, target: write_nifti(signal, target, packed=format == "nii.gz")
