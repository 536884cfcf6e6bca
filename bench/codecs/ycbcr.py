"""Joins RGB pictures with the YCbCr planes that video encoders take: full range, any depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.codecs.codec import Picture

Plane = NDArray[np.uint16]

Matrix = tuple[float, float]
"""The shares of red and blue in luma."""

BT601: Matrix = (0.299, 0.114)
BT709: Matrix = (0.2126, 0.0722)


def to_planes(
    picture: Picture, half_chroma: bool = False, depth: int = 10, matrix: Matrix = BT601
) -> list[Plane]:
    """Y, Cb and Cr; with `half_chroma` (4:2:0) the last two at half the width and height.

    Ten bits by default: rounding to eight costs what the best settings still keep.
    """
    kr, kb = matrix
    red, green, blue = np.moveaxis(picture.astype(np.float32) / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
    if half_chroma:
        height, width = luma.shape
        chroma = [_resized(each, (width + 1) // 2, (height + 1) // 2) for each in chroma]
    return [_rounded(luma, depth), *(_rounded(each + 0.5, depth) for each in chroma)]


def from_planes(planes: Sequence[Plane], depth: int = 10, matrix: Matrix = BT601) -> Picture:
    """The picture of Y, Cb and Cr planes; the last two may be smaller."""
    kr, kb = matrix
    luma, *chroma = (plane.astype(np.float32) / (2**depth - 1) for plane in planes)
    height, width = luma.shape
    blue_less, red_less = (_resized(each - 0.5, width, height) for each in chroma)
    red = luma + 2 * (1 - kr) * red_less
    blue = luma + 2 * (1 - kb) * blue_less
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    rgb = np.stack([red, green, blue], axis=-1)
    out: Picture = np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)
    return out


def _resized(plane: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    # Down and up with one filter and one siting (centre), so that no shift is left.
    if plane.shape == (height, width):
        return plane
    image = Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _rounded(plane: NDArray[np.float32], depth: int) -> Plane:
    out: Plane = np.rint(plane.clip(0, 1) * (2**depth - 1)).astype(np.uint16)
    return out
