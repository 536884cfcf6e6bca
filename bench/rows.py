"""Joins measured rows with the JSON-lines file that keeps them, one line each."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

Key = tuple[str, float, str]
"""Codec, setting, image."""

_log = logging.getLogger("bench")


class RowsBusyError(Exception):
    """Another bench writes to the same file."""


@dataclass(frozen=True)
class Row:
    """One picture through one codec at one setting.

    `bytes` is the size of the real file, `bpp` is `8 * bytes / pixels`. `psnr` in dB over all
    samples of the 8-bit RGB output, `mse` on 0..255, `ms_ssim` 0..1 (None: picture too small or no
    library). Seconds are wall time with `threads` threads; `peak_mib` is the growth of the
    process's resident memory. `failed` says why a row counts as failed: the file did not decode,
    or to another size. `file` and `output` are SHA-256 names in the folder of kept files.
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
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str | float] = field(default_factory=dict)
    file: str | None = None
    failed: str | None = None
    measured: str = ""

    @property
    def key(self) -> Key:
        """What a row is found again by."""
        return self.codec, self.setting, self.image


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, the last of each key; lines that are none are left out with a warning."""
    rows: dict[Key, Row] = {}
    if not path.exists():
        return []
    known = {each.name for each in fields(Row)}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            values: dict[str, Any] = json.loads(line)
            row = Row(**{name: value for name, value in values.items() if name in known})
        except (ValueError, TypeError, AttributeError):
            _log.warning("%s: line %d is no row (half written?); left out", path, number)
            continue
        rows[row.key] = row
    return list(rows.values())


@contextmanager
def appending(path: Path) -> Iterator[RowFile]:
    """The file of rows, locked for this process while it appends.

    Raises RowsBusyError where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RowsBusyError(
                f"{path}: another bench is writing it; wait, or choose another --rows"
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
        self._file.write((json.dumps(asdict(row)) + "\n").encode())
        self._file.flush()
