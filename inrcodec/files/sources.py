"""Joins paths, bytes and file objects with the bytes they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from inrcodec.errors import InputError, LimitError

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or a binary file object."""

MAX_BYTES = 2**30
"""Larger sources are refused before they fill the memory."""


def source_name(source: object) -> str:
    """What to call a source in a message."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the input"


def read_bytes(source: Source) -> bytes:
    """All bytes of a source. Raises InputError or LimitError; `-` is no special name here."""
    name = source_name(source)
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif isinstance(source, str | os.PathLike):
            with Path(source).open("rb") as file:
                data = _read_all(file, name)
        else:
            data = _read_all(source, name)
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
    return data


def _read_all(file: BinaryIO, name: str) -> bytes:
    """Every byte, also of an unbuffered file, which may give less than it is asked for."""
    data = bytearray()
    while chunk := file.read(2**20):
        data += chunk
        if len(data) > MAX_BYTES:
            raise LimitError(f"{name}: bytes", len(data), MAX_BYTES)
    return bytes(data)
