"""Joins one picture and one codec with a measured row, in a process of its own."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bench.codecs.codec import Codec, Picture
from bench.codecs.registry import find
from bench.datasets import digest, read_picture
from bench.measures import measure, perceptual
from bench.rows import Row

Result = TypeVar("Result")

RUNS, ENOUGH_SECONDS = 5, 1.0
"""A time is the least of five runs, of fewer where they add up to a second."""


@dataclass(frozen=True)
class Task:
    """A row to be measured. `kept` is the folder of the coded files."""

    codec: str
    family: str
    setting: float
    image: Path
    kept: Path
    machine: str
    slow: bool = False
    perceptual: bool = False

    @property
    def key(self) -> tuple[str, float, str]:
        """That of the row."""
        return self.codec, self.setting, self.image.stem


def measured_row(task: Task) -> Row:
    """Encode, write the file, read it, decode it, compare. A failure is a row that says so."""
    row = empty_row(task)
    try:
        picture = read_picture(task.image)
        row = replace(row, width=picture.shape[1], height=picture.shape[0], pixels=digest(picture))
        codecs, missing = find([task.codec])
        if not codecs:
            return replace(row, failed=" ".join(missing))
        return _coded(replace(row, versions=dict(codecs[0].versions)), codecs[0], picture, task)
    except Exception as error:
        return replace(row, failed=f"{type(error).__name__}: {error}"[:300])


def empty_row(task: Task) -> Row:
    """A row with nothing measured yet."""
    return Row(
        codec=task.codec,
        family=task.family,
        setting=task.setting,
        image=task.image.stem,
        width=0,
        height=0,
        machine=task.machine,
        measured=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def _coded(row: Row, codec: Codec, picture: Picture, task: Task) -> Row:
    if codec.whole and task.setting != int(task.setting):
        return replace(row, failed=f"setting {task.setting:g}: {codec.name} wants whole numbers")
    if codec.prepare:
        codec.prepare(task.setting)
    before = _reset_peak()
    coded, encode_seconds = _timed(lambda: codec.encode(picture, task.setting))
    peak = _peak() - before if before else None
    name = hashlib.sha256(coded.data).hexdigest()
    path = task.kept / name
    _write(path, coded.data)
    size = path.stat().st_size
    row = replace(
        row,
        bytes=size,
        bpp=8 * size / (row.width * row.height),
        encode_seconds=encode_seconds,
        peak_mib=peak,
        macs_per_pixel=coded.macs_per_pixel,
        device=codec.device,
        notes=dict(coded.notes),
        file=name,
    )
    try:
        decoded, decode_seconds = _timed(lambda: codec.decode(path.read_bytes()))
    except Exception as error:
        return replace(row, failed=f"does not decode: {type(error).__name__}: {error}"[:300])
    if decoded.shape != picture.shape:
        height, width = decoded.shape[:2]
        return replace(row, failed=f"decodes to {width} x {height}, not the original's size")
    measured = measure(picture, decoded)
    return replace(
        row,
        decode_seconds=decode_seconds,
        psnr=measured["psnr"],
        mse=measured["mse"],
        ms_ssim=measured["ms_ssim"],
        notes={**row.notes, **(perceptual(picture, decoded) if task.perceptual else {})},
    )


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    seconds: list[float] = []
    while True:
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == RUNS or sum(seconds) > ENOUGH_SECONDS:
            return result, min(seconds)


def _write(path: Path, data: bytes) -> None:
    # Another worker may write the same bytes at the same time, and a kill may come at any.
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def _reset_peak() -> float:
    """Forget the most memory this process had; MiB it has now, or 0 where the system can't tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0.0
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    return 0.0
