"""Joins pictures of all kinds with the question whether a fit collapsed: python -m bench.robust.

Every picture is encoded at a quality, or at a smaller lambda where the best constant picture would
otherwise be a fair answer, and compared with that constant picture.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.datasets import DatasetError, find_images, read_picture
from inrcodec.codec import as_signal, encode_signal
from inrcodec.fitting.pyramid_targets import weight_of_quality
from inrcodec.fitting.settings import Settings

LEAST_GAIN = 5.0
"""dB over the best constant picture; with less than that a fit has collapsed."""

LEAST_FLAT = 40.0
"""dB that a picture of one colour has at least."""

WORTH, NETWORK_BITS = 100, 2**11
"""Lambda is at most the constant picture's error over WORTH bits per position and those of the
networks: at that, the gain is worth its bits many times over."""

LEAST_WEIGHT = 1e-9

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Outcome:
    """What became of one picture; PSNR in dB, infinite where nothing is lost."""

    name: str
    shape: tuple[int, ...]
    bpp: float
    psnr: float
    float_psnr: float
    constant: float
    error: str = ""

    @property
    def verdict(self) -> str:
        """Empty, if all is well."""
        if self.error:
            return f"error: {self.error}"
        if math.isinf(self.constant):
            return "collapse" if self.psnr < LEAST_FLAT else ""
        return "collapse" if self.psnr < self.constant + LEAST_GAIN else ""


def centre(picture: Picture, side: int | None) -> Picture:
    """At most `side` x `side` samples of the middle; all, if None."""
    if side is None:
        return picture
    top, left = (max(0, (size - side) // 2) for size in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def photos(folder: Path, count: int, side: int | None) -> Iterator[tuple[str, Picture]]:
    """The brightest, the darkest and the flattest quarter of `count`, and others evenly spread."""
    paths = find_images(folder, None, None)
    pictures = {path.stem: centre(read_picture(path), side) for path in paths}
    bright = sorted(pictures, key=lambda name: float(pictures[name].mean()))
    flat = sorted(pictures, key=lambda name: float(pictures[name].std()))
    quarter = -(-count // 4)
    chosen = dict.fromkeys([*bright[::-1][:quarter], *bright[:quarter], *flat[:quarter]])
    rest = [name for name in bright if name not in chosen]
    for index in range(missing := max(0, min(count - len(chosen), len(rest)))):
        chosen[rest[index * len(rest) // missing]] = None
    for name in list(chosen)[:count]:
        yield name, pictures[name]


def extremes() -> Iterator[tuple[str, Picture]]:
    """Pictures that no camera makes."""
    side = 128
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for value in (0, 128, 255):
        yield f"constant {value}", np.full((side, side, 3), value, np.uint8)
    yield "constant red", np.broadcast_to(_bytes([255, 0, 0]), (side, side, 3))
    yield "1 x 1", _bytes([[[200, 100, 50]]])
    yield "1 x 64", _bytes(np.linspace([0, 255, 30], [255, 0, 90], 64))[np.newaxis]
    yield "64 x 1", _bytes(np.linspace([0, 255, 30], [255, 0, 90], 64))[:, np.newaxis]
    yield "grey 2 x 3", random.integers(0, 256, (2, 3, 1), np.uint8)
    yield "uniform noise", random.integers(0, 256, (side, side, 3), np.uint8)
    faint = random.normal(245, 2, (side, side, 3))
    yield "faint bright noise", _bytes(np.clip(np.rint(faint), 0, 255))
    yield "faint dark noise", _bytes(np.clip(np.rint(faint - 235), 0, 255))
    yield "checkerboard", _bytes(255 * ((rows + columns) % 2))[..., np.newaxis]
    yield "columns", _bytes(255 * (columns % 2))[..., np.newaxis]
    spot = np.zeros((side, side, 1), np.uint8)
    spot[77, 51] = 255
    yield "one bright sample", spot
    yield "one dark sample", 255 - spot
    yield "line art", _lines(side)
    yield "text", _text(side)
    ramp = np.stack([2 * rows, 255 - 2 * columns, 2 * np.abs(rows - columns)], -1)
    yield "saturated ramps", _bytes(np.clip(3 * ramp - 255, 0, 255))
    halves = np.where(columns < side // 2, 0, 255)
    yield "black and white halves", _bytes(halves)[..., np.newaxis]
    yield "bright ramp", _bytes(250 + 5 * rows / side)[..., np.newaxis]
    opaque = np.full((side, side), 255)
    yield "opaque ramps", _bytes(np.stack([2 * rows, 2 * columns, rows + columns, opaque], -1))


def _bytes(values: Any) -> Picture:
    return np.asarray(values).astype(np.uint8)


def _lines(side: int) -> Picture:
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    for step in range(8, side, 16):
        draw.line([(0, step), (side - step, side)], fill=0)
        draw.ellipse([step // 2, step // 2, side - step // 2, side - step // 2], outline=0)
    return np.asarray(image)[..., np.newaxis]


def _text(side: int) -> Picture:
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    for row in range(0, side, 12):
        draw.text((2, row), "The quick brown fox, 0123456789", fill=(0, 0, row))
    return np.asarray(image)


def constant_error(picture: Picture) -> float:
    """Mean squared error, of values 0..1, of the best picture of one colour."""
    flat = picture.reshape(-1, picture.shape[-1]).astype(np.float64)
    return float(np.square(flat - np.rint(flat.mean(0))).mean()) / 255**2


def measure(name: str, picture: Picture, arguments: argparse.Namespace) -> Outcome:
    """Encode, decode, compare; whatever is raised becomes part of the outcome."""
    error = constant_error(picture)
    constant = math.inf if error == 0 else -10 * math.log10(error)
    positions = picture.shape[0] * picture.shape[1]
    weight = weight_of_quality(arguments.quality)
    if error:
        weight = max(min(weight, error / (WORTH + NETWORK_BITS / positions)), LEAST_WEIGHT)
    settings = Settings(effort=arguments.effort, steps=arguments.steps, rate_weight=weight)
    try:
        result = encode_signal(as_signal(np.ascontiguousarray(picture)), settings)
    except Exception as problem:
        text = f"{type(problem).__name__}: {problem}"
        return Outcome(name, picture.shape, math.nan, math.nan, math.nan, constant, text)
    return Outcome(
        name, picture.shape, result.bpp, result.psnr, result.float_psnr, constant=constant
    )


def main() -> int:
    """Encode everything and count the collapses; returns 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m bench.robust", description=__doc__)
    option = parser.add_argument
    option("--photos", type=Path, metavar="FOLDER", help="photographs; without it none")
    option("--count", type=int, default=40, help="photographs to take (40)")
    option("--crop", type=int, default=256, metavar="SIDE", help="of their middle (256)")
    option("--whole", action="store_true", help="whole photographs instead")
    option("--effort", type=int, default=4)
    option("--steps", type=int, help="instead of those of the effort")
    option("--quality", type=float, default=75.0)
    option("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(format="robust: %(message)s", level=logging.INFO)
    torch.set_num_threads(arguments.threads)
    print("| picture | shape | bpp | PSNR | before rounding | constant | verdict |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    outcomes = []
    try:
        pictures = list(extremes())
        if arguments.photos:
            side = None if arguments.whole else arguments.crop
            pictures += photos(arguments.photos, arguments.count, side)
    except DatasetError as error:
        print(f"robust: {error}", file=sys.stderr)
        return 2
    for name, picture in pictures:
        outcomes.append(outcome := measure(name, picture, arguments))
        shape = "x".join(map(str, outcome.shape))
        numbers = (outcome.bpp, outcome.psnr, outcome.float_psnr, outcome.constant)
        shown = " | ".join(f"{number:.2f}" for number in numbers)
        print(f"| {name} | {shape} | {shown} | {outcome.verdict} |", flush=True)
    failed = [outcome for outcome in outcomes if outcome.verdict]
    errors = sum(bool(outcome.error) for outcome in failed)
    print(f"\n{len(outcomes)} pictures: {len(failed) - errors} collapses, {errors} errors")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
