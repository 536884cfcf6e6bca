"""Joins paths, bytes and file objects with the bytes they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from inrcodec.errors import InputError


def read_bytes(source: str | os.PathLike[str] | bytes | BinaryIO) -> bytes:
    """All bytes of a path, a binary file object, or bytes themselves. Raises InputError."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        try:
            return Path(source).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{os.fspath(source)}: cannot be read: {reason}") from error
    if not hasattr(source, "read"):
        raise InputError(f"source: a path, bytes or a binary file is needed, not {type(source)}")
    # read() of a raw stream may return less than there is.
    chunks = []
    while chunk := source.read(2**20):
        if not isinstance(chunk, bytes):
            raise InputError("source: the file object gives text; open it in binary mode")
        chunks.append(chunk)
    return b"".join(chunks)
