"""Joins picture files, through Pillow, with Signal."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from inrcodec.errors import InputError, InrcodecError, LimitError, UsageError
from inrcodec.files.foreign import line_of, quiet
from inrcodec.files.pillow_image import (
    METADATA,
    MODES,
    read_metadata,
    read_samples,
    save_options,
    turn_upright,
)
from inrcodec.files.sources import Source, read_bytes, source_name
from inrcodec.signal import (
    ALPHA,
    COLOUR_CHANNELS,
    Axis,
    Signal,
    SignalInfo,
    full_range,
    plain_samples,
)

StrPath = str | os.PathLike[str]

MAX_PIXELS = 2**28 // 3
"""Most pixels read unless asked otherwise: as RGB they are the samples one request may ask for."""

_log = logging.getLogger("inrcodec")


@dataclass(frozen=True)
class _Format:
    """How Pillow writes one format: its name there, modes it holds, options of a good quality."""

    pillow: str
    modes: tuple[str, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    metadata: bool = True


FORMATS: Mapping[str, _Format] = {
    # Fields repeat no strings: looking only for runs takes a quarter of the time, at 1 to 3 % more.
    "png": _Format("PNG", ("L", "LA", "RGB", "RGBA", "I;16"), {"compress_type": zlib.Z_RLE}),
    "jpeg": _Format("JPEG", ("L", "RGB"), {"quality": 95, "subsampling": "4:4:4"}),
    "webp": _Format("WEBP", ("RGB", "RGBA"), {"lossless": True, "exact": True}),
    "avif": _Format("AVIF", ("RGB", "RGBA"), {"quality": 95, "subsampling": "4:4:4"}),
    "tiff": _Format("TIFF", ("L", "LA", "RGB", "RGBA", "I;16")),
    "bmp": _Format("BMP", ("L", "RGB"), metadata=False),
    "ppm": _Format("PPM", ("RGB",), metadata=False),
    "pgm": _Format("PPM", ("L", "I;16"), metadata=False),
    "pnm": _Format("PPM", ("L", "RGB", "I;16"), metadata=False),
}
SUFFIXES = {f".{name}": name for name in FORMATS} | {".jpg": "jpeg", ".tif": "tiff"}

_WIDER = {"L": "RGB", "LA": "RGBA"}


def read_image(
    source: Source,
    *,
    keep: Collection[str] = ("icc",),
    max_pixels: int = MAX_PIXELS,
) -> Signal:
    """First frame of a picture as uint8 or uint16 samples `[height, width, channels]`, upright.

    Channels are grey or red, green, blue, then alpha if the picture has any. Palettes become RGB,
    CMYK becomes sRGB (through its profile if it has a usable one), 16-bit colour becomes what
    Pillow makes of it: 8 bits. A file object is read from where it stands.

    `keep` names the metadata to keep, of `icc`, `exif` (a TIFF structure without orientation) and
    `xmp`; a profile that does not fit the channels is dropped. Raises InputError for what cannot
    be read, LimitError for more than `max_pixels` pixels, UsageError for an unknown `keep`.
    """
    if unknown := set(keep).difference(METADATA):
        raise UsageError(f"cannot keep {', '.join(sorted(unknown))}; known: {', '.join(METADATA)}")
    name = source_name(source)
    data = read_bytes(source)
    if not data:
        raise InputError(f"{name}: is empty; make or fetch it again")
    with _as_input_errors(name), quiet(), Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise LimitError(f"{name}: pixels", width * height, max_pixels)
        if image.format == "EPS":
            # Pillow would run the file, which is a program, in Ghostscript.
            raise InputError(f"{name}: EPS is not read; convert it to PNG or TIFF first")
        raw = str(image.tile[0].args) if image.tile else ""
        image.load()
        turn_upright(image, name)
        samples = read_samples(image, raw, name)
        metadata = read_metadata(image, keep, name, grey=samples.shape[2] < 3)
        if _has_more_frames(image):
            _log.warning("%s: has more than one frame or page; only the first is read", name)
    height, width, bands = samples.shape
    colours = COLOUR_CHANNELS[bands - (bands + 1) % 2]
    dtype = samples.dtype.name
    info = SignalInfo(
        axes=(Axis("y", height), Axis("x", width)),
        channels=colours if bands % 2 else (*colours, ALPHA),
        dtype=dtype,
        value_range=full_range(dtype),
    )
    return Signal(samples, info, metadata)


def image_mode(info: SignalInfo, format: str) -> str:  # noqa: A002
    """Pillow's mode in which `format` holds such a signal without loss.

    Raises UsageError when the signal is no picture, `format` is unknown or holds no such picture.
    """
    colours = len(info.channels) - (ALPHA in info.channels)
    if len(info.axes) != 2 or colours not in COLOUR_CHANNELS or ALPHA in info.channels[:-1]:
        axes, channels = len(info.axes), len(info.channels)
        raise UsageError(f"{axes} axes with {channels} channels are no picture; write .npy instead")
    if format not in FORMATS:
        raise UsageError(f"unknown picture format {format!r}; use one of {', '.join(FORMATS)}")
    mode = MODES.get((info.dtype, len(info.channels)), "")
    for candidate in (mode, _WIDER.get(mode, "")):
        if candidate in FORMATS[format].modes:
            return candidate
    able = [name for name, other in FORMATS.items() if {mode, _WIDER.get(mode)} & {*other.modes}]
    what = f"{info.dtype} samples of {'/'.join(info.channels)}"
    raise UsageError(f"{format} cannot hold {what}; {', '.join([*able, 'npy'])} can")


def write_image(signal: Signal, target: BinaryIO, format: str) -> None:  # noqa: A002
    """Write a picture in one of FORMATS, with what of its metadata the format holds.

    All formats are lossless except JPEG and AVIF: both at quality 95 with full colour resolution
    (4:4:4). Grey is written as RGB where the format has no grey. Raises UsageError when the
    format cannot hold the signal; an OSError of `target` passes unchanged.
    """
    mode = image_mode(signal.info, format)
    kind = FORMATS[format]
    height, width, bands = signal.samples.shape
    own = MODES[signal.info.dtype, bands]
    little = np.dtype(signal.info.dtype).newbyteorder("<")
    pixels = np.ascontiguousarray(signal.samples, dtype=little).tobytes()
    buffer = _Named(format)
    try:
        with quiet():
            image: Image.Image = Image.frombytes(own, (width, height), pixels)
            if mode != own:
                image = image.convert(mode)
            options = dict(kind.options)
            if kind.metadata:
                options |= save_options(signal.metadata, kind.pillow, mode)
            image.save(buffer, None, **options)
    except MemoryError:
        raise
    except Exception as error:
        what = f"a picture of {width} x {height} pixels cannot be written as {format}"
        raise UsageError(f"{what} ({line_of(error)}); choose another format") from error
    _write_all(target, buffer.getbuffer())


class _Named(io.BytesIO):
    """A file in memory. Its suffix tells Pillow which of its modules has to be loaded; where it is
    told a format instead, it loads half a dozen more.
    """

    def __init__(self, format: str) -> None:  # noqa: A002
        super().__init__()
        self.name = f"picture.{format}"


def write_array(signal: Signal, target: BinaryIO) -> None:
    """Write the samples alone as a `.npy` file. An OSError of `target` passes unchanged."""

    class Writer:
        # Handed a real file, numpy writes around its `write` and loses the reason of a failure.
        def write(self, data: bytes) -> None:
            _write_all(target, memoryview(data))

    np.save(Writer(), plain_samples(signal), allow_pickle=False)


def _write_all(target: BinaryIO, data: memoryview) -> None:
    """Write every byte also to an unbuffered file, which may take some and report no error."""
    while data:
        # Writers that are no real files often return nothing and have taken all.
        data = data[target.write(data) or len(data) :]


@contextlib.contextmanager
def _as_input_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (InrcodecError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        what = f"{name}: pixels (the limit is twice PIL.Image.MAX_IMAGE_PIXELS)"
        asked = int(number[0]) if number else math.inf
        raise LimitError(what, asked, 2 * (Image.MAX_IMAGE_PIXELS or 0)) from None
    except UnidentifiedImageError:
        raise InputError(
            f"{name}: not a picture or array of a known format, or its start is damaged; give PNG, "
            f"JPEG, WebP, AVIF, TIFF, BMP, PPM or what else Pillow reads, .npy, NIfTI, netCDF, zarr"
        ) from None
    except Exception as error:
        # Pillow's readers answer damage with almost any class of exception.
        reason = f"damaged, cut short or of an unsupported kind ({line_of(error)})"
        raise InputError(f"{name}: {reason}; make or fetch it again") from error


def _has_more_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except MemoryError:
        raise
    except Exception:
        # A damaged second frame does no harm to the first.
        return False
