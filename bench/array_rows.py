"""Joins arrays and codecs with measured rows, and rows with the CSV file that keeps them."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from bench.codecs.arrays import ArrayCodec, Known
from bench.published import BASELINES
from bench.volumes import Array, Volume

RIVALS = BASELINES / "arrays.csv"
"""Rows of the rivals, measured once: only ours have to be measured again."""


@dataclass(frozen=True)
class ArrayRow:
    """One array through one codec at one setting.

    `bytes` is the size of the real file, `ratio` that of the samples in the array's own file by it.
    `psnr` in dB is over the range of the samples, `rmse` and `max_error` are in their unit. Seconds
    are wall time of one run on one thread (but SVT-AV1's pipeline), on a machine with other work.
    """

    data: str
    codec: str
    family: str
    setting: float
    bytes: int
    ratio: float
    psnr: float
    rmse: float
    max_error: float
    encode_seconds: float
    decode_seconds: float
    versions: str
    measured: str

    @property
    def key(self) -> tuple[str, str, float]:
        """What a row is found again by."""
        return self.data, self.codec, self.setting


_NUMBERS = {each.name for each in fields(ArrayRow) if each.type == "float"}


def measured_row(volume: Volume, codec: ArrayCodec, setting: float) -> ArrayRow:
    """Encode, decode and compare one array; decoded values are clipped to the array's range.

    They are not rounded, as of integers they could be: that is a matter of what asks for them.
    """
    known = Known.of(volume)
    start = time.perf_counter()
    data = codec.encode(volume.samples, known, setting)
    between = time.perf_counter()
    decoded = codec.decode(data, known, setting)
    end = time.perf_counter()
    measures = compare(volume, decoded)
    return ArrayRow(
        data=volume.name,
        codec=codec.name,
        family=codec.family,
        setting=setting,
        bytes=len(data),
        ratio=volume.samples.nbytes / len(data),
        **measures,
        encode_seconds=between - start,
        decode_seconds=end - between,
        versions=" ".join(f"{name} {text}" for name, text in sorted(codec.versions.items())),
        measured=time.strftime("%Y-%m-%d"),
    )


def compare(volume: Volume, decoded: Array) -> dict[str, float]:
    """`psnr`, `rmse` and `max_error` of decoded values, clipped to the array's range."""
    if decoded.shape != volume.samples.shape:
        raise ValueError(f"{volume.name}: decoded to {decoded.shape}, not {volume.samples.shape}")
    clipped = np.clip(decoded.astype(np.float64), volume.low, volume.low + volume.span)
    difference = clipped - volume.samples
    rmse = math.sqrt(float(np.square(difference).mean()))
    psnr = 20 * math.log10(volume.span / rmse) if rmse else math.inf
    return {"psnr": psnr, "rmse": rmse, "max_error": float(np.abs(difference).max())}


def read_array_rows(path: Path) -> list[ArrayRow]:
    """The rows of a file, the last of each key; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [_row(values) for values in csv.DictReader(file)]
    return list({row.key: row for row in rows}.values())


def _row(values: dict[str, Any]) -> ArrayRow:
    numbers = {name: float(values[name]) for name in _NUMBERS}
    return ArrayRow(**{**values, **numbers, "bytes": int(values["bytes"])})


def append_array_row(path: Path, row: ArrayRow) -> None:
    """Write one row, and before the first one the names of the columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists() or path.stat().st_size == 0
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(row)], lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow({name: _short(value) for name, value in asdict(row).items()})


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def of(rows: Iterable[ArrayRow], data: str, families: Sequence[str] = ()) -> list[ArrayRow]:
    """The rows of one array, by any of the families (none: by all codecs)."""
    return [r for r in rows if r.data == data and (not families or r.family in families)]
