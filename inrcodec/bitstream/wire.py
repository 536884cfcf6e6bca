"""Names every number that `bitstream_spec.md` and the code share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

EXTENSION = ".inrc"
MAGIC = b"\x89INRC\r\n\x1a"
MAJOR, MINOR = 1, 2

CRITICAL = 0x80
"""Bit of a section type that says: a decoder that does not know this type must refuse the file."""


class SectionType(IntEnum):
    METADATA = 0x01
    PARAMETERS = 0x81
    LATENTS = 0x82
    RESIDUAL = 0x83
    MASK = 0x84
    SPARSE = 0x87


class KindId(IntEnum):
    SIREN = 1
    PYRAMID = 2
    MODULATED = 3


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


class ActivationId(IntEnum):
    """What the layers of a siren do to their sums."""

    SINE = 0
    FINER = 1
    GAUSS = 2
    GABOR = 3
    SINC = 4
    HOSC = 5
    RAISED_COSINE = 6
    PROLATE = 7
    RELU = 8
    GELU = 9
    FOURIER_FILTER = 10


class EncodingId(IntEnum):
    """What the first layer of a siren gets in place of coordinates."""

    NONE = 0
    FOURIER = 1
    CHEBYSHEV = 2


class ContentId(IntEnum):
    """What the channels of a track are; VALUES and ARRAY are followed by a channel count."""

    VALUES = 0
    GREY = 1
    RGB = 2
    ALPHA = 3
    ARRAY = 4


class DtypeId(IntEnum):
    UINT8 = 1
    UINT16 = 2
    FLOAT32 = 3
    INT8 = 4
    INT16 = 5
    UINT32 = 6
    INT32 = 7
    FLOAT16 = 8
    FLOAT64 = 9


class AxisId(IntEnum):
    """Axes by name, in lower case; the name of a NAMED one follows."""

    NAMED = 0
    Y = 1
    X = 2
    Z = 3
    T = 4
    TIME = 5
    LEVEL = 6
    LATITUDE = 7
    LONGITUDE = 8
    LAT = 9
    LON = 10
    BAND = 11
    WAVELENGTH = 12


SINCE: dict[type[IntEnum], dict[int, int]] = {
    SectionType: {SectionType.RESIDUAL: 2, SectionType.MASK: 2, SectionType.SPARSE: 2},
    KindId: {KindId.PYRAMID: 1, KindId.MODULATED: 2},
    ContentId: {ContentId.ARRAY: 2},
    DtypeId: {dtype: 2 for dtype in DtypeId if dtype > DtypeId.FLOAT32},
    AxisId: {axis: 2 for axis in AxisId if axis not in (AxisId.Y, AxisId.X)},
}
"""Minor version that brought an id, 0 for all others; a file names the newest that it needs."""


class Feature(IntEnum):
    """Bits of the features of a variant of a pyramid; the fields of each follow, in this order."""

    KEPT = 1
    MIXTURE = 2
    COARSE = 4
    EDGES = 8


class MetadataCoding(IntEnum):
    RAW = 0
    DEFLATE = 1


EXPLICIT = 0x80
"""Bit of a dtype byte (a value range follows) or an axis byte (spacing, origin, unit follow)."""

VARIANT, VARIANT_SINCE = 0x80, 2
"""Bit of a kind byte (fields of a variant follow those of the kind), and what minor version it
needs."""

GRID_TILED = 0x80
"""Bit of the number of digits of a grid: the edges of tiles follow its code."""

# Runs of header fields, in order: (name, type). Types: u8, varint, f64 (little-endian), number (a
# varint, then an f32 or f64 where it is no integer), text, widths (u8, the number of layers, then a
# varint for each), hash (8 bytes).
PREAMBLE_FIELDS = (("tracks", "varint"), ("sections", "varint"))
CONTENT_FIELDS = (("content", "u8"), ("dtype", "u8"), ("kind", "u8"))
RANGE_FIELDS = (("low", "f64"), ("high", "f64"))
AXIS_FIELDS = (("id", "u8"), ("size", "varint"))
GEOMETRY_FIELDS = (("spacing", "f64"), ("origin", "f64"), ("unit", "text"))
ARRAY_RANGE_FIELDS = (("low", "number"), ("high", "number"))
ARRAY_GEOMETRY_FIELDS = (("spacing", "number"), ("origin", "number"), ("unit", "text"))
METADATA_FIELDS = (("name", "text"), ("coding", "u8"), ("size", "varint"), ("stored", "varint"))
SIREN_FIELDS = (("depth", "varint"), ("width", "varint"), ("omega_0", "varint"))
SIREN_VARIANT_FIELDS = (
    ("activation", "u8"),
    ("shape", "varint"),
    ("encoding", "u8"),
    ("order", "varint"),
)
PYRAMID_FIELDS = (
    ("levels", "u8"),
    ("contexts", "widths"),
    ("synthesis", "widths"),
    ("residuals", "u8"),
    ("tile", "varint"),
    ("start", "u8"),
)
PYRAMID_VARIANT_FIELDS = (("features", "u8"),)
KEPT_FIELDS = (("kept", "varint"),)
MIXTURE_FIELDS = (("rank", "varint"), ("axis", "varint"), ("differences", "varint"))
COARSE_FIELDS = (("coarse", "varint"),)
EDGES_FIELDS = (("edges", "widths"),)
FEATURES = {
    Feature.KEPT: KEPT_FIELDS,
    Feature.MIXTURE: MIXTURE_FIELDS,
    Feature.COARSE: COARSE_FIELDS,
    Feature.EDGES: EDGES_FIELDS,
}

MODULATED_FIELDS = (
    ("base", "hash"),
    ("patch", "u8"),
    ("margin", "u8"),
    ("dimensions", "varint"),
    ("units", "varint"),
    ("step", "u8"),
)

RESIDUAL_FIELDS = (("step", "number"),)
MASK_FIELDS = (("shared", "u8"), ("filled", "u8"))
FILL_FIELDS = (("fill", "number"),)
GRID_FIELDS = (("digits", "u8"),)
GRID_CODE_FIELDS = (("base", "varint"), ("tile", "varint"), ("contexts", "widths"))

MAX_VARINT_BYTES = 9
"""A varint holds at most 63 bits."""

MAX_TEXT_BYTES = 64

MAX_INTEGER = 2**53
"""Largest magnitude of a `number` that is an integer; greater ones are floats."""

MAX_FLOAT32 = float.fromhex("0x1.fffffep+127")


@dataclass(frozen=True)
class Limits:
    """The most a file or a request may ask of the decoder; checked before anything is allocated.

    `samples` counts positions x channels of one output array. `macs` is the multiply-accumulates
    of one request, and of the context networks of one file. `depth` and `width` are of `siren`;
    `layers` and `units` are hidden layers and their widths of one network of a pyramid. `latents`
    counts those of all levels and tracks. `sections` also bounds the tiles of a track, but where
    several share a section `tiles` does.
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
    dimensions: int = 1024
    latents: int = 2**28
    tiles: int = 2**18


DEFAULT_LIMITS = Limits()
