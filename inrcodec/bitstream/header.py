"""Joins Header, the description of every track, with the bytes of the header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.kinds import check_specs, pack_spec, unpack_spec
from inrcodec.bitstream.primitives import known, within
from inrcodec.bitstream.wire import (
    DEFAULT_LIMITS,
    EXPLICIT,
    MAX_FLOAT32,
    AxisId,
    ContentId,
    DtypeId,
    KindId,
    Limits,
)
from inrcodec.errors import CorruptError, InrcodecError, UsageError
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.signal import ALPHA, COLOUR_CHANNELS, Axis, SignalInfo, full_range

_CHANNELS = {
    ContentId.GREY: COLOUR_CHANNELS[1],
    ContentId.RGB: COLOUR_CHANNELS[3],
    ContentId.ALPHA: (ALPHA,),
}


@dataclass(frozen=True)
class Track:
    """One signal of a file and the architecture of the field that stands for it."""

    info: SignalInfo
    spec: FieldSpec


@dataclass(frozen=True)
class Header:
    """Every track of a file, in order."""

    tracks: tuple[Track, ...]

    def signals(self) -> tuple[tuple[int, ...], ...]:
        """Track numbers of every signal: alpha belongs to the colours before it."""
        found: list[tuple[int, ...]] = []
        for number, track in enumerate(self.tracks):
            if number and _belongs(track, self.tracks[number - 1]):
                found[-1] += (number,)
            else:
                found.append((number,))
        return tuple(found)


def _belongs(track: Track, before: Track) -> bool:
    """Whether a track is the alpha channel of the one before it."""
    return track.info.channels == (ALPHA,) and before.info.channels != (ALPHA,)


def pack_header(header: Header, sections: int) -> bytes:
    """The header's body: preamble, then each track."""
    preamble = {"tracks": len(header.tracks), "sections": sections}
    return primitives.row(wire.PREAMBLE_FIELDS, preamble) + b"".join(
        map(_pack_track, header.tracks)
    )


def unpack_header(body: bytes, limits: Limits) -> tuple[Header, int]:
    """Header and the number of sections that follow it."""
    reader = primitives.Reader(body, "header")
    preamble = reader.row(wire.PREAMBLE_FIELDS)
    within("tracks", preamble["tracks"], limits.tracks)
    within("sections", preamble["sections"], limits.sections)
    if preamble["tracks"] == 0:
        raise CorruptError("header: a file without tracks")
    tracks = tuple(_unpack_track(reader, limits) for _ in range(preamble["tracks"]))
    reader.finish()
    for before, track in pairwise(tracks):
        same = replace(track.info, channels=before.info.channels) == before.info
        if _belongs(track, before) and not same:
            raise CorruptError("header: alpha differs in axes, sample type or value range")
    check_specs([track.spec for track in tracks], limits)
    return Header(tracks), preamble["sections"]


def check_describable(info: SignalInfo) -> None:
    """Raise UsageError unless a header of this version can hold the description of a signal."""
    track = Track(info, SirenSpec(len(info.axes), len(info.channels), 0, 0))
    try:
        body = pack_header(Header((track,)), 0)
    except (KeyError, ValueError, OverflowError) as error:
        raise UsageError(f"signal: the format cannot describe it: {error}") from error
    try:
        unpack_header(body, DEFAULT_LIMITS)
    except InrcodecError as error:
        raise UsageError(f"signal: {error}") from error


def _pack_track(track: Track) -> bytes:
    info, spec = track.info, track.spec
    content = next(
        (i for i, names in _CHANNELS.items() if names == info.channels), ContentId.VALUES
    )
    explicit = info.value_range != full_range(info.dtype)
    dtype = DtypeId[info.dtype.upper()] | (EXPLICIT if explicit else 0)
    row = {"content": content, "dtype": dtype, "kind": KindId[spec.kind.upper()]}
    out = primitives.row(wire.CONTENT_FIELDS, row)
    if content == ContentId.VALUES:
        out += primitives.varint(len(info.channels))
    if explicit:
        low, high = info.value_range
        out += primitives.row(wire.RANGE_FIELDS, {"low": low, "high": high})
    out += primitives.varint(len(info.axes)) + b"".join(map(_pack_axis, info.axes))
    return out + pack_spec(spec)


def _unpack_track(reader: primitives.Reader, limits: Limits) -> Track:
    row = reader.row(wire.CONTENT_FIELDS)
    content = known(ContentId, row["content"], "content")
    dtype = known(DtypeId, row["dtype"] & ~EXPLICIT, "sample type").name.lower()
    kind = known(KindId, row["kind"], "field kind")
    if content == ContentId.VALUES:
        count = reader.varint()
        within("channels", count, limits.channels)
        channels = tuple(f"channel{index}" for index in range(count))
    else:
        channels = _CHANNELS[ContentId(content)]
    value_range = full_range(dtype)
    if row["dtype"] & EXPLICIT:
        explicit = reader.row(wire.RANGE_FIELDS)
        value_range = _explicit_range(explicit["low"], explicit["high"], dtype)
    axis_count = reader.varint()
    within("axes", axis_count, limits.axes)
    axes = tuple(_unpack_axis(reader, limits) for _ in range(axis_count))
    info = SignalInfo(axes, channels, dtype, value_range)
    if not axes or not channels:
        raise CorruptError("header: a track needs at least one axis and one channel")
    if len({axis.name for axis in axes}) < len(axes):
        raise CorruptError("header: an axis occurs twice")
    return Track(info, unpack_spec(kind, reader, info, limits))


def _explicit_range(low: float, high: float, dtype: str) -> tuple[float, float]:
    least, most = full_range(dtype)
    if dtype.startswith("float"):
        holds = max(abs(low), abs(high), high - low) <= MAX_FLOAT32 and high - low > 2.0**-150
    else:
        holds = least <= low and high <= most
    if not low < high or not holds or (low, high) == (least, most):
        raise CorruptError(f"header: impossible value range {low}..{high} of {dtype}")
    return low, high


def _pack_axis(axis: Axis) -> bytes:
    explicit = (axis.spacing, axis.origin, axis.unit) != (1.0, 0.0, "")
    row = {"id": AxisId[axis.name.upper()] | (EXPLICIT if explicit else 0), "size": axis.size}
    out = primitives.row(wire.AXIS_FIELDS, row)
    if explicit:
        geometry = {"spacing": axis.spacing, "origin": axis.origin, "unit": axis.unit}
        out += primitives.row(wire.GEOMETRY_FIELDS, geometry)
    return out


def _unpack_axis(reader: primitives.Reader, limits: Limits) -> Axis:
    row = reader.row(wire.AXIS_FIELDS)
    name = known(AxisId, row["id"] & ~EXPLICIT, "axis").name.lower()
    within("axis size", row["size"], limits.axis_size)
    if row["size"] == 0:
        raise CorruptError(f"header: axis {name} has no samples")
    if not row["id"] & EXPLICIT:
        return Axis(name, row["size"])
    axis = Axis(name, row["size"], **reader.row(wire.GEOMETRY_FIELDS))
    if axis == Axis(name, row["size"]) or axis.spacing == 0:
        raise CorruptError(f"header: impossible geometry of axis {name}")
    return axis
