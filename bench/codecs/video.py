"""Joins pictures with one-frame streams of video encoders, through PyAV.

A file is two bytes, the columns and rows added on the right and below, then the elementary stream
as the encoder wrote it. Colours are BT.601, full range, which both sides know (bench.codecs.ycbcr).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib.metadata import files
from typing import Any

import numpy as np

from bench.codecs.codec import Codec, CodecMissingError, Coded, Entry, Picture, library
from bench.codecs.ycbcr import Plane, from_planes, to_planes

SMALLEST = 16
"""Encoders refuse narrower and lower pictures."""


@dataclass(frozen=True)
class Video:
    """An encoder and a decoder as FFmpeg names them, and their options.

    `parameters` are an option of the encoder and its text, in which `{}` is the setting: a
    quantiser, which falls as the rate rises. `libraries` are the shared ones below, for versions.
    """

    line: str
    encoder: str
    decoder: str
    half_chroma: bool
    options: Mapping[str, str]
    parameters: tuple[str, str]
    settings: tuple[float, ...]
    quick: tuple[float, ...]
    limits: tuple[int, int]
    libraries: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """FFmpeg's name of the frames."""
        return "yuv420p10le" if self.half_chroma else "yuv444p10le"


def encode(video: Video, picture: Picture, setting: float) -> Coded:
    """The stream at one quantiser."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # errors alone
    height, width = picture.shape[:2]
    right, below = (max(SMALLEST, size + size % 2) - size for size in (width, height))
    padded = np.pad(picture, ((0, below), (0, right), (0, 0)), mode="edge")
    context: Any = av.CodecContext.create(video.encoder, "w")
    context.width, context.height = width + right, height + below
    context.pix_fmt = video.format
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.thread_count = 1
    name, rest = video.parameters
    context.options = {**video.options, name: rest.format(int(setting))}
    frame = frame_of(to_planes(padded, video.half_chroma), video.format)
    packets = [*context.encode(frame), *context.encode(None)]
    stream = b"".join(bytes(packet) for packet in packets)
    return Coded(bytes([right, below]) + stream, notes=video.notes)


def decode(video: Video, data: bytes) -> Picture:
    """The picture of a stream."""
    import av

    right, below = data[:2]
    context: Any = av.CodecContext.create(video.decoder, "r")
    context.thread_count = 1
    frames = [*context.decode(av.Packet(data[2:])), *context.decode(None)]
    if len(frames) != 1 or frames[0].format.name != video.format:
        raise ValueError(f"{video.decoder}: one frame of {video.format} expected, got {frames}")
    picture = from_planes([plane_of(plane) for plane in frames[0].planes])
    return picture[: len(picture) - below, : picture.shape[1] - right]


def frame_of(planes: list[Plane], form: str) -> Any:
    """PyAV's frame of planes of 16-bit words, in FFmpeg's format `form`."""
    import av

    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], form)
    for target, plane in zip(frame.planes, planes, strict=True):
        # Rows in memory are longer than the picture's.
        rows = np.zeros((target.height, target.line_size // 2), np.uint16)
        rows[:, : target.width] = plane
        target.update(rows.tobytes())
    frame.pts = 0
    return frame


def plane_of(plane: Any) -> Plane:
    """Samples of a plane of a frame of 16-bit words."""
    rows = np.frombuffer(plane, np.uint16).reshape(-1, plane.line_size // 2)
    return rows[: plane.height, : plane.width]


def load(name: str) -> Codec:
    """The codec of that name; CodecMissingError without PyAV or where it lacks the encoder."""
    video = VIDEOS[name]
    av = library("av", "av", name)
    for part in (video.encoder, video.decoder):
        if part not in av.codecs_available:
            raise CodecMissingError(f"{name}: this PyAV is built without {part}: pip install av")
    return Codec(
        name=name,
        family=name.split("-")[0],
        settings=video.settings,
        quick=video.quick,
        encode=partial(encode, video),
        decode=partial(decode, video),
        versions={"av": av.__version__, **bundled(*video.libraries)},
        limits=video.limits,
        whole=True,
    )


def bundled(*libraries: str) -> dict[str, str]:
    """Versions of shared libraries in PyAV's wheel; through FFmpeg encoders tell none."""
    found = {}
    for file in files("av") or ():
        stem, dot, number = file.name.partition(".so.")
        name = stem.partition("-")[0]
        if dot and name in libraries:
            found[name] = number
    return found


# `tune psnr`: the others are measured by PSNR too. `info=0` leaves out the encoder's own name.
X265_OPTIONS = {"preset": "veryslow", "tune": "psnr"}
X265_PARAMETERS = (
    "x265-params",
    "qp={}:ipratio=1:info=0:pools=none:frame-threads=1:wpp=0:log-level=error",
)
# Numbers of CompressAI's published BPG curve, and some between. At one number BPG's rate is higher
# (37: 0.35 bpp against 0.25 here, means of Kodak).
X265_SETTINGS = (49, 47, 44, 42, 40, 37, 34, 32, 27, 22)
X265_QUICK = (49, 44, 40, 37, 32, 27)
X265_LIBRARIES = ("libx265", "libavcodec")

VIDEOS = {
    "x265-444": Video(
        "HEVC intra 4:4:4, 10 bits, by x265; QP",
        "libx265",
        "hevc",
        False,
        X265_OPTIONS,
        X265_PARAMETERS,
        X265_SETTINGS,
        X265_QUICK,
        (51, 0),
        X265_LIBRARIES,
    ),
    "x265-420": Video(
        "HEVC intra 4:2:0, 10 bits, by x265; QP",
        "libx265",
        "hevc",
        True,
        X265_OPTIONS,
        X265_PARAMETERS,
        X265_SETTINGS,
        X265_QUICK,
        (51, 0),
        X265_LIBRARIES,
    ),
    "svtav1-420": Video(
        "AV1 still 4:2:0, 10 bits, by SVT-AV1 preset 4; CRF",
        "libsvtav1",
        "libdav1d",
        True,
        {"preset": "4"},
        ("svtav1-params", "crf={}:tune=1:lp=1:avif=1"),
        # Quantisers of CompressAI's published AV1 curve, and one for its lowest rates.
        (60, 57, 52, 47, 42, 37, 32, 27, 22, 17, 12),
        (60, 57, 52, 47, 37, 27),
        (63, 1),
        ("libSvtAv1Enc", "libdav1d"),
        # lp=1 is its least; measured, wall time equals computing time.
        {"threads": "a pipeline of 16, one at a time (lp=1)"},
    ),
}

ENTRIES = tuple(Entry(name, video.line, load) for name, video in VIDEOS.items())
