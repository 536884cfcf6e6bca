"""Joins cubes with a codestream of JPEG 2000 of their principal components.

All are in one codestream, at one scale, so that equal steps are equal errors in the cube and
OpenJPEG's own rate control shares the bytes out.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from bench.codecs.arrays import ArrayCodec, ArrayEntry, Decoded, Known
from bench.codecs.codec import library
from bench.codecs.klt import HALVINGS, RATES, Floats, Transform, unpacked
from bench.volumes import Array

RANKS = (2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48)
"""Numbers of components that are tried."""

SCALE = struct.Struct("<f")
MIDDLE, TOP = 2**15, 2**15 - 1


def encode(samples: Array, known: Known, rate: float) -> bytes:
    """The file of the number of components with the least error at that rate."""
    pixels = samples.reshape(-1, known.shape[2]).astype(np.float64)
    budget = int(rate * samples.size / 8)
    best, least = b"", np.inf
    for rank in RANKS:
        found = Transform.of(pixels, min(rank, known.shape[2]))
        side = found.packed(range(found.basis.shape[1]))
        data = side + _jpeg2000(found.components, known, budget - len(side))
        error = float(np.square(decode(data, known, rate) - samples).sum())
        if len(data) <= budget and error < least:
            best, least = data, error
    if not best:
        raise ValueError(f"no file of {budget} bytes: its side information is longer")
    return best


def _jpeg2000(components: Floats, known: Known, budget: int) -> bytes:
    """All components at one scale, so that equal steps are equal errors in the cube."""
    import imagecodecs

    scale = TOP / np.abs(components).max()
    levels = np.rint(components * scale + MIDDLE).astype(np.uint16)
    pictures = levels.reshape(*known.shape[:2], -1)

    def stream(decibels: Any) -> bytes:  # a float; the stub knows whole numbers alone
        coded = imagecodecs.jpeg2k_encode(
            pictures, level=decibels, codecformat="j2k", mct=False, reversible=False, numthreads=1
        )
        return SCALE.pack(scale) + _without_comment(bytes(coded))

    low, high = 1.0, 120.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if len(stream(middle)) <= budget else (low, middle)
    return stream(low)


def _without_comment(stream: bytes) -> bytes:
    """A codestream less its marker segment COM, in which OpenJPEG names itself."""
    start = 2
    while stream[start : start + 2] != b"\xff\x90":  # SOT, the first tile
        size = 2 + int.from_bytes(stream[start + 2 : start + 4], "big")
        if stream[start : start + 2] == b"\xff\x64":
            return stream[:start] + stream[start + size :]
        start += size
    return stream


def decode(data: bytes, known: Known, _: float) -> Decoded:
    """The cube of a file."""
    import imagecodecs

    mean, basis, rest = unpacked(data, known.shape[2])
    (scale,) = SCALE.unpack_from(rest)
    levels = imagecodecs.jpeg2k_decode(rest[SCALE.size :], numthreads=1)
    components = (levels.reshape(-1, basis.shape[1]).astype(np.float64) - MIDDLE) / scale
    values: Decoded = components @ basis.T + mean
    return values.reshape(known.shape)


def load() -> ArrayCodec:
    """Through imagecodecs, whose OpenJPEG takes any number of components."""
    codecs = library("imagecodecs", "imagecodecs", "klt-jpeg2000")
    return ArrayCodec(
        name="klt-jpeg2000",
        family="klt",
        line="KLT, components in one codestream of JPEG 2000; bits per pixel and band",
        settings=RATES,
        encode=encode,
        decode=decode,
        versions={"imagecodecs": codecs.__version__},
        kinds=("cube",),
    )


ENTRIES = (ArrayEntry("klt-jpeg2000", load),)
