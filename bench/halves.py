"""Joins pictures with their halves, and the files of those with what they give at 2x."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.claims import doubled
from bench.codecs.codec import Picture
from bench.datasets import DatasetError, read_picture
from bench.rows import Row
from inrcodec.codec import as_signal

WAYS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "area": lambda image: image.reduce(2),
    "lanczos": lambda image: image.resize(
        (image.width // 2, image.height // 2), Image.Resampling.LANCZOS
    ),
}
"""How a picture of even sides is halved."""


@dataclass(frozen=True)
class Half:
    """A picture of even sides, the way that it was halved, and the file of its half."""

    name: str
    original: Picture
    way: str
    path: Path


@dataclass(frozen=True)
class Doubled:
    """The row of a half, and what its file gives at 2x: PSNRs in dB to the original.

    `lanczos` is that of Lanczos-2x of the native decode.
    """

    half: Half
    row: Row
    ours: float
    lanczos: float


def halved(paths: Sequence[Path], folder: Path) -> list[Half]:
    """Every picture halved in every way, as PNG in `folder`; an odd last row or column is cut."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = []
    for path in paths:
        picture = read_picture(path)
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        if not even.size:
            raise DatasetError(f"{path}: too small to be halved; leave it out")
        for way, halve in WAYS.items():
            half = folder / f"{path.stem}-{way}.png"
            halve(Image.fromarray(even)).save(half)
            halves.append(Half(path.stem, even, way, half))
    return halves


def at_twice(halves: Iterable[Half], rows: Iterable[Row], files: Path) -> list[Doubled]:
    """What the files of the halves give; they are in the folder of kept files."""
    by_name = {half.path.stem: half for half in halves}
    found = []
    for row in rows:
        half = by_name[row.image]
        data = (files / (row.file or "")).read_bytes()
        found.append(Doubled(half, row, *doubled(as_signal(half.original), data)))
    return found
