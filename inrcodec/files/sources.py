"""Joins paths, bytes and file objects with the bytes they hold."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from inrcodec.errors import InputError, LimitError

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or a binary file object."""

LABELS, DATASET = "labels", "dataset"
"""What may be kept of an array file: names, coordinates and attributes; those of all its data."""

KEPT = (LABELS, DATASET)
USUALLY_KEPT = ("icc", LABELS)

ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")
"""Files of which one stands at the top of every zarr store."""

MAX_BYTES = 2**30
"""Larger sources are refused before they fill the memory."""


def source_name(source: object) -> str:
    """What to call a source in a message."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the input"


class NamedBytes(io.BytesIO):
    """Bytes that were read already, with what errors call them."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case; `.nii.gz` is one."""
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a zarr store: a folder that counts as one file."""
    return any(Path(path, name).is_file() for name in ZARR_MARKS)


def read_start(path: str | os.PathLike[str], count: int) -> bytes:
    """Up to `count` bytes of the start of a file; none of a zarr store."""
    if is_zarr(path):
        return b""
    with as_input_errors(source_name(path)), Path(path).open("rb") as file:
        return file.read(count)


def read_bytes(source: Source) -> bytes:
    """All bytes of a source. Raises InputError or LimitError; `-` is no special name here."""
    name = source_name(source)
    with as_input_errors(name):
        if isinstance(source, bytes | bytearray | memoryview):
            return bytes(source)
        if isinstance(source, str | os.PathLike):
            with Path(source).open("rb") as file:
                return _read_all(file, name)
        return _read_all(source, name)


@contextmanager
def as_input_errors(name: str) -> Iterator[None]:
    """Turn failures to open and read a file into an InputError that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; check the name") from None
    except IsADirectoryError:
        raise InputError(f"{name}: is a folder; name a file in it") from None
    except PermissionError:
        raise InputError(f"{name}: no permission to read it; change its permissions") from None
    except TypeError:
        raise InputError(f"{name}: gives no bytes; open it in binary mode") from None
    except (OSError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: cannot be read ({reason}); check the name") from error


def _read_all(file: BinaryIO, name: str) -> bytes:
    """Every byte, also of an unbuffered file, which may give less than it is asked for."""
    data = bytearray()
    while chunk := file.read(2**20):
        data += chunk
        if len(data) > MAX_BYTES:
            raise LimitError(f"{name}: bytes", len(data), MAX_BYTES)
    return bytes(data)
