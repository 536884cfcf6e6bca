"""Joins the hash that a ModulatedSpec names with its Base, wherever that is at hand."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from inrcodec.coding.base_format import Base, unpack_base
from inrcodec.errors import CorruptError, InrcodecError, MissingBaseError
from inrcodec.fields.modulated import HASH_BYTES, ModulatedSpec

SUFFIX = ".safetensors"

FOLDER = "INRCODEC_BASES"
"""Environment variable that names the user's folder."""

MAX_BYTES = 2**26

_SHIPPED = Path(__file__).with_name("trained_bases")


def base_of(spec: ModulatedSpec) -> Base:
    """The base that a header names.

    Raises MissingBaseError where it is not at hand, CorruptError where the header describes
    another.
    """
    for path in _paths():
        found = _indexed(path)
        if found is not None and found[: 2 * HASH_BYTES] == spec.base:
            base = load_base(path)
            if not base.fits(spec):
                raise CorruptError(f"header: it describes another base than {base.name}")
            return base
    raise MissingBaseError(spec.base)


def known_bases() -> Iterator[Base]:
    """Every base at hand, those of the package first; files that are none are left out."""
    for path in _paths():
        try:
            yield load_base(path)
        except InrcodecError:
            continue


def user_folder() -> Path:
    """Where the bases of this user are."""
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "inrcodec" / "bases"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "inrcodec" / "bases"
    share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(share) / "inrcodec" / "bases"


def _paths() -> list[Path]:
    paths = []
    for folder in (_SHIPPED, user_folder()):
        try:
            paths += sorted(p for p in folder.iterdir() if p.suffix == SUFFIX)
        except OSError:
            continue
    return paths


def load_base(path: Path) -> Base:
    """The base in a file. Raises CorruptError or UnsupportedError for what is not one."""
    data = read_base(path)
    return _parsed(data, path.stem)


def read_base(path: Path) -> bytes:
    """The bytes of a file that may hold a base."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorruptError(f"base {path}: more than {MAX_BYTES:,} bytes; not a base")
        return path.read_bytes()
    except OSError as error:
        raise CorruptError(f"base {path}: cannot be read: {error.strerror}") from error


def _indexed(path: Path) -> str | None:
    """SHA-256 of a file, read once; None if it cannot be read."""
    try:
        stat = path.stat()
        return _digest(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, CorruptError):
        return None


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    return hashlib.sha256(read_base(path)).hexdigest()


@lru_cache(maxsize=8)
def _parsed(data: bytes, name: str) -> Base:
    return unpack_base(data, name)
