"""Joins numpy's files, and raw samples without any header, with Signal."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import InputError, UsageError
from inrcodec.files.arrays import NARROWED, TYPES, from_file
from inrcodec.files.foreign import reading
from inrcodec.files.labels import Labels, pack_labels, unpack_labels
from inrcodec.files.sources import LABELS, read_bytes, source_name
from inrcodec.signal import Axis, Signal, plain_samples

File = str | os.PathLike[str] | BinaryIO

FIRST = "arr_0"
"""What numpy calls the only array of an archive that was given no name."""


def read_npy(file: File, axes: Sequence[str | Axis] | None) -> Signal:
    """The array of a `.npy` file, mapped rather than read where it has a path."""
    name = source_name(file)
    with reading(name, ".npy file"), _no_pickles(name):
        mapped = isinstance(file, str | os.PathLike)
        array = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    return from_file(array, axes, {}, name)


def read_npz(
    file: File, variable: str | None, axes: Sequence[str | Axis] | None, keep: Collection[str]
) -> Signal:
    """One array of a `.npz` file: `variable`, or the only one. Its name is kept."""
    name = source_name(file)
    with (
        reading(name, ".npz file"),
        _no_pickles(name),
        np.load(file, allow_pickle=False) as archive,
    ):
        key = chosen(variable, [str(key) for key in archive.files], name)
        array = archive[key]
    labels = Labels(name=key) if LABELS in keep and key != FIRST else Labels()
    return from_file(array, axes, pack_labels(labels), name)


@contextmanager
def _no_pickles(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if not any(word in str(error) for word in ("pickle", "Python objects")):
            raise
        raise InputError(
            f"{name}: holds no plain numbers but pickled objects, which could run as code; they "
            "are never read: save an array of numbers"
        ) from error


def chosen(variable: str | None, known: Sequence[str], name: str) -> str:
    """Which variable of a file is meant. Raises UsageError for one that is not there, or where
    there are several, InputError where there is none.
    """
    if not known:
        raise InputError(f"{name}: holds no array of samples; give another file")
    if variable is None and len(known) == 1:
        return known[0]
    if variable is not None and variable in known:
        return variable
    wrong = "several variables" if variable is None else f"no variable {variable!r}"
    raise UsageError(f"{name}: {wrong}; choose one with --variable: {', '.join(known)}")


def read_raw(
    file: File, shape: Sequence[int], dtype: str, axes: Sequence[str | Axis] | None
) -> Signal:
    """Samples in C order without a header: `dtype` as numpy writes it, such as `>i2`."""
    name = source_name(file)
    kind = _sample_type(dtype)
    check_raw_size(file, shape, kind)
    if isinstance(file, str | os.PathLike):
        with reading(name, "file of raw samples"):
            array: NDArray[Any] = np.memmap(file, kind, "r", shape=tuple(shape))
    else:
        array = np.frombuffer(read_bytes(file), kind).reshape(shape)
    return from_file(array, axes, {}, name)


def check_raw_size(file: File, shape: Sequence[int], dtype: Any) -> None:
    """Raise InputError unless a file has the bytes of such an array, UsageError for no array."""
    kind, samples = _sample_type(dtype), 1
    for size in shape:
        samples *= size
    if samples < 1:
        raise UsageError(f"shape {','.join(map(str, shape))}: has no samples")
    if isinstance(file, str | os.PathLike):
        with reading(source_name(file), "file of raw samples"):
            found = Path(file).stat().st_size
    else:
        found = file.seek(0, io.SEEK_END)
        file.seek(0)
    if found != samples * kind.itemsize:
        raise InputError(
            f"{source_name(file)}: {found} bytes, where {kind.str} samples of shape "
            f"{','.join(map(str, shape))} have {samples * kind.itemsize}; check both"
        )


def _sample_type(name: Any) -> np.dtype[Any]:
    try:
        kind: np.dtype[Any] = np.dtype(name)
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.newbyteorder("=").name not in (*TYPES, *NARROWED):
        raise UsageError(f"dtype {name}: unknown; one of {', '.join(TYPES)} is needed, or as >i2")
    return kind


def write_npz(signal: Signal, target: BinaryIO) -> None:
    """The samples alone, deflated, under the name of the variable."""
    name = unpack_labels(signal.metadata).name or FIRST
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asanyarray(plain_samples(signal)), allow_pickle=False)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        # With a time of its own, the same samples always give the same bytes.
        entry = zipfile.ZipInfo(f"{name}.npy")
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, content.getbuffer())


def write_raw(signal: Signal, target: BinaryIO) -> None:
    """The samples alone, in C order, lowest byte first."""
    little = np.dtype(signal.info.dtype).newbyteorder("<")
    target.write(np.ascontiguousarray(plain_samples(signal), little).tobytes())
