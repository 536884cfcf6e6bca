"""Joins measured rows with the JSON-lines file that keeps them, one line each."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

Key = tuple[str, float, str]
"""Codec, setting, image."""

NOT_FINITE = ("inf", "-inf", "nan")
"""Text in the place of numbers that JSON lacks, such as the PSNR of a lossless picture."""

_log = logging.getLogger("bench")


class RowsBusyError(Exception):
    """Another bench writes to the same file."""


@dataclass(frozen=True)
class Row:
    """One picture through one codec at one setting.

    `bytes` is the size of the real file, `bpp` is `8 * bytes / pixels`. `psnr` in dB over all
    samples of the 8-bit RGB output, `mse` on 0..255, `ms_ssim` 0..1 (None: picture too small or no
    library). Seconds are wall time with `threads` threads on `machine`; `peak_mib` is the growth
    of the process's resident memory while it encodes. `pixels` is the SHA-256 of the picture's.
    `failed` says why a row counts as failed: the file did not decode, or to another size. `file`
    is the SHA-256 name of the coded file in the folder of kept files.
    """

    codec: str
    family: str
    setting: float
    image: str
    width: int
    height: int
    bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    mse: float | None = None
    ms_ssim: float | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    macs_per_pixel: float | None = None
    peak_mib: float | None = None
    device: str = "cpu"
    threads: int = 1
    machine: str = ""
    pixels: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str | float] = field(default_factory=dict)
    file: str | None = None
    failed: str | None = None
    measured: str = ""

    @property
    def key(self) -> Key:
        """What a row is found again by."""
        return self.codec, self.setting, self.image


def _types(hint: Any) -> tuple[type, ...]:
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    types = tuple(get_origin(part) or part for part in parts)
    return (*types, int) if float in types else types


_TYPES = {name: _types(hint) for name, hint in get_type_hints(Row).items()}
"""What JSON may hold for each field of a row."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, the last of each key; lines that are none are left out with a warning."""
    rows: dict[Key, Row] = {}
    if not path.exists():
        return []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            row = _from_json(line)
        except (ValueError, TypeError, AttributeError, RecursionError):
            _log.warning("%s: line %d is no row (half written?); left out", path, number)
            continue
        rows[row.key] = row
    return list(rows.values())


def _to_json(row: Row) -> str:
    values = asdict(row)
    values["notes"] = {name: _plain(value) for name, value in row.notes.items()}
    return json.dumps({name: _plain(v) for name, v in values.items()}, allow_nan=False)


def _from_json(line: str) -> Row:
    values: dict[str, Any] = json.loads(line)
    # Names that a newer version has added are left out.
    values = {name: _restored(v, _TYPES[name]) for name, v in values.items() if name in _TYPES}
    for name, value in values.items():
        if type(value) not in _TYPES[name]:
            raise TypeError(f"{name}: {value!r}")
    notes = values.get("notes", {})
    values["notes"] = {name: _restored(value, (float,)) for name, value in notes.items()}
    return Row(**values)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _restored(value: Any, types: tuple[type, ...]) -> Any:
    return float(value) if float in types and value in NOT_FINITE else value


@contextmanager
def appending(path: Path) -> Iterator[RowFile]:
    """The file of rows, locked for this process while it appends.

    Raises RowsBusyError where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RowsBusyError(
                f"{path}: another bench is writing it; wait, or choose another --out"
            ) from None
        yield RowFile(file)


class RowFile:
    """Appends rows; each is on the disk when `append` returns."""

    def __init__(self, file: Any) -> None:
        self._file = file
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # a line cut off by a kill stays a line of its own
                file.write(b"\n")

    def append(self, row: Row) -> None:
        """Write one row."""
        self._file.write((_to_json(row) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())
