"""Names every number that `bitstream_spec.md` and the code share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

EXTENSION = ".inrc"
MAGIC = b"\x89INRC\r\n\x1a"
MAJOR, MINOR = 1, 1

CRITICAL = 0x80
"""Bit of a section type that says: a decoder that does not know this type must refuse the file."""


class SectionType(IntEnum):
    METADATA = 0x01
    PARAMETERS = 0x81
    LATENTS = 0x82


class KindId(IntEnum):
    SIREN = 1
    PYRAMID = 2


SINCE = {KindId.SIREN: 0, KindId.PYRAMID: 1}
"""Minor version that brought each kind of field; a file names the newest that it needs."""


class StartId(IntEnum):
    """Networks that the parameters of a pyramid are differences to."""

    NONE = 0
    RGB_12_12_24_2 = 1
    RGB_16_16_32_2 = 2
    RGB_20_20_48_2 = 3
    GREY_12_12_24_2 = 4
    RGB_12_12_24_2_LOW = 5
    RGB_12_12_24_2_HIGH = 6
    GREY_12_12_24_2_LOW = 7
    GREY_12_12_24_2_HIGH = 8


class ContentId(IntEnum):
    """What the channels of a track are; VALUES is followed by a channel count."""

    VALUES = 0
    GREY = 1
    RGB = 2
    ALPHA = 3


class DtypeId(IntEnum):
    UINT8 = 1
    UINT16 = 2
    FLOAT32 = 3


class AxisId(IntEnum):
    Y = 1
    X = 2


class MetadataCoding(IntEnum):
    RAW = 0
    DEFLATE = 1


EXPLICIT = 0x80
"""Bit of a dtype byte (a value range follows) or an axis byte (spacing, origin, unit follow)."""

# Runs of header fields, in order: (name, type). Types: u8, varint, f64 (little-endian), text,
# widths (u8, the number of layers, then a varint for each).
PREAMBLE_FIELDS = (("tracks", "varint"), ("sections", "varint"))
CONTENT_FIELDS = (("content", "u8"), ("dtype", "u8"), ("kind", "u8"))
RANGE_FIELDS = (("low", "f64"), ("high", "f64"))
AXIS_FIELDS = (("id", "u8"), ("size", "varint"))
GEOMETRY_FIELDS = (("spacing", "f64"), ("origin", "f64"), ("unit", "text"))
METADATA_FIELDS = (("name", "text"), ("coding", "u8"), ("size", "varint"), ("stored", "varint"))
SIREN_FIELDS = (("depth", "varint"), ("width", "varint"), ("omega_0", "varint"))
PYRAMID_FIELDS = (
    ("levels", "u8"),
    ("contexts", "widths"),
    ("synthesis", "widths"),
    ("residuals", "u8"),
    ("tile", "varint"),
    ("start", "u8"),
)

MAX_VARINT_BYTES = 9
"""A varint holds at most 63 bits."""

MAX_TEXT_BYTES = 64

MAX_FLOAT32 = float.fromhex("0x1.fffffep+127")


@dataclass(frozen=True)
class Limits:
    """The most a file or a request may ask of the decoder; checked before anything is allocated.

    `samples` counts positions x channels of one output array. `macs` is the multiply-accumulates
    of one request, and of the context networks of one file. `depth` and `width` are of `siren`;
    `layers` and `units` are hidden layers and their widths of one network of a pyramid. `latents`
    counts those of all levels and tracks. `sections` also bounds the tiles of a track.
    """

    samples: int = 2**28
    axis_size: int = 2**31 - 1
    axes: int = 4
    channels: int = 1024
    tracks: int = 16
    sections: int = 1024
    header_bytes: int = 2**16
    metadata_bytes: int = 2**22
    parameters: int = 2**24
    depth: int = 64
    width: int = 2048
    omega_0: float = 1e4
    macs: int = 5 * 10**13
    levels: int = 16
    layers: int = 4
    units: int = 256
    residuals: int = 4
    latents: int = 2**28


DEFAULT_LIMITS = Limits()
