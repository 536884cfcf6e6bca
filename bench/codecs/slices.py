"""Joins arrays with AV1 streams of their slices, 12 bits by libaom and 10 bits by SVT-AV1.

A file is the elementary stream. Grey is coded as 4:2:0 with empty chroma, which costs next to
nothing: no encoder here takes grey of more than 8 bits.
"""

from __future__ import annotations

import os
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.codecs.arrays import (
    ArrayCodec,
    ArrayEntry,
    Decoded,
    Known,
    from_levels,
    from_slices,
    to_levels,
    to_slices,
)
from bench.codecs.codec import CodecMissingError, library
from bench.codecs.video import SMALLEST, VIDEOS, bundled, frame_of, plane_of
from bench.volumes import Array

Levels = NDArray[np.uint16]

AOM_BITS, SVT_BITS = 12, 10
AOM_SPEED, SVT_PRESET = 2, 4
LEAST_RATIO = 25.0
"""Below, libaom takes minutes for a head."""

AOM_SETTINGS = (0.0, 5.0, 12.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 88.0, 94.0)
SVT_SETTINGS = (63.0, 60.0, 57.0, 53.0, 48.0, 43.0, 38.0, 32.0, 26.0, 18.0, 10.0)


def aom_stream(slices: Levels, quality: float, speed: int = AOM_SPEED) -> bytes:
    """AV1 of slices of 12 bits `[count, rows, columns]` by libaom, through libavif."""
    import imagecodecs

    rgb = np.repeat(slices[..., None], 3, axis=-1)  # it would code grey losslessly
    file = imagecodecs.avif_encode(
        rgb if len(rgb) > 1 else rgb[0],
        level=int(quality),
        speed=speed,
        bitspersample=AOM_BITS,
        pixelformat="420",
        codec="aom",
        numthreads=1,
    )
    return _media(bytes(file))


def _media(file: bytes) -> bytes:
    """What the box `mdat` of an ISO file holds."""
    start = 0
    while start < len(file):
        size, kind = int.from_bytes(file[start : start + 4], "big"), file[start + 4 : start + 8]
        if kind == b"mdat":
            return file[start + 8 : start + size]
        start += size
    raise ValueError("libavif wrote no media")


def svt_stream(slices: Levels, crf: float) -> bytes:
    """AV1 of slices of 10 bits with even sides by SVT-AV1, tuned for PSNR."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # errors alone
    form = VIDEOS["svtav1-420"].format
    context: Any = av.CodecContext.create("libsvtav1", "w")
    context.height, context.width = slices.shape[1:]
    context.pix_fmt = form
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.thread_count = 1
    parameters = f"crf={int(crf)}:tune=1:lp=1:keyint=-1"
    context.options = {"preset": str(SVT_PRESET), "svtav1-params": parameters}
    half = np.full((slices.shape[1] // 2, slices.shape[2] // 2), 2 ** (SVT_BITS - 1), np.uint16)
    packets = []
    for number, picture in enumerate(slices):
        frame = frame_of([picture, half, half], form)
        frame.pts = number
        packets += context.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *context.encode(None)])


def slices_of(stream: bytes) -> Levels:
    """The slices of either stream, as wide and high as they were coded."""
    import av

    context: Any = av.CodecContext.create("libdav1d", "r")
    context.thread_count = 1
    frames = [*context.decode(av.Packet(stream)), *context.decode(None)]
    return np.stack([plane_of(frame.planes[0]) for frame in frames])


def encode_aom(samples: Array, known: Known, setting: float) -> bytes:
    """The stream at one quality of libavif, 0..100."""
    return aom_stream(to_slices(to_levels(samples, known, AOM_BITS), known), setting)


def encode_svt(samples: Array, known: Known, setting: float) -> bytes:
    """The stream at one CRF."""
    slices = to_slices(to_levels(samples, known, SVT_BITS), known)
    below, right = (max(SMALLEST, size + size % 2) - size for size in slices.shape[1:])
    return svt_stream(np.pad(slices, ((0, 0), (0, below), (0, right)), mode="edge"), setting)


def decode(bits: int, data: bytes, known: Known, _: float) -> Decoded:
    """The array of a stream."""
    rows, columns = (known.shape[axis] for axis in known.picture)
    slices = slices_of(data)[:, :rows, :columns]
    return from_levels(from_slices(slices, known), known, bits)


def load_aom() -> ArrayCodec:
    """Through imagecodecs."""
    codecs = library("imagecodecs", "imagecodecs", "av1-aom12")
    return ArrayCodec(
        name="av1-aom12",
        family="av1",
        line=f"AV1 slices of 12 bits by libaom, speed {AOM_SPEED}; quality of libavif",
        settings=AOM_SETTINGS,
        encode=encode_aom,
        decode=partial(decode, AOM_BITS),
        least_ratio=LEAST_RATIO,
        versions={"imagecodecs": codecs.__version__, **_decoder("av1-aom12")},
    )


def load_svt() -> ArrayCodec:
    """Through PyAV."""
    versions = _decoder("av1-svt10", "libsvtav1")
    return ArrayCodec(
        name="av1-svt10",
        family="av1",
        line=f"AV1 slices of 10 bits by SVT-AV1, preset {SVT_PRESET}, for PSNR; CRF",
        settings=SVT_SETTINGS,
        encode=encode_svt,
        decode=partial(decode, SVT_BITS),
        least_ratio=LEAST_RATIO,
        versions={**versions, **bundled("libSvtAv1Enc", "libdav1d")},
    )


def _decoder(name: str, *others: str) -> dict[str, str]:
    av = library("av", "av", name)
    for part in ("libdav1d", *others):
        if part not in av.codecs_available:
            raise CodecMissingError(f"{name}: this PyAV is built without {part}: pip install av")
    return {"av": av.__version__}


ENTRIES = (ArrayEntry("av1-aom12", load_aom), ArrayEntry("av1-svt10", load_svt))
