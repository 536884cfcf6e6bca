"""Joins Header, the description of every track, with the bytes of the header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.kinds import check_specs, is_variant, pack_spec, unpack_spec
from inrcodec.bitstream.primitives import known, within
from inrcodec.bitstream.wire import (
    DEFAULT_LIMITS,
    EXPLICIT,
    MAX_FLOAT32,
    VARIANT,
    VARIANT_SINCE,
    AxisId,
    ContentId,
    DtypeId,
    KindId,
    Limits,
)
from inrcodec.errors import CorruptError, InrcodecError, UsageError
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.signal import ALPHA, COLOUR_CHANNELS, Axis, SignalInfo, array_channels, full_range

_CHANNELS = {
    ContentId.GREY: COLOUR_CHANNELS[1],
    ContentId.RGB: COLOUR_CHANNELS[3],
    ContentId.ALPHA: (ALPHA,),
}

_AXES = {number.name.lower(): number for number in AxisId if number != AxisId.NAMED}


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


def minor_version(header: Header) -> int:
    """The lowest minor version that knows all ids and variants of a header."""
    known = [wire.SINCE[type(each)].get(each, 0) for t in header.tracks for each in _ids(t)]
    return max(*known, *(VARIANT_SINCE * is_variant(t.spec) for t in header.tracks))


def _ids(track: Track) -> list[IntEnum]:
    kind, dtype = KindId[track.spec.kind.upper()], DtypeId[track.info.dtype.upper()]
    return [kind, dtype, _content(track.info), *map(_axis_id, track.info.axes)]


def _content(info: SignalInfo) -> ContentId:
    count = len(info.channels)
    otherwise = ContentId.ARRAY if info.channels == array_channels(count) else ContentId.VALUES
    return next((i for i, names in _CHANNELS.items() if names == info.channels), otherwise)


def _axis_id(axis: Axis) -> AxisId:
    return _AXES.get(axis.name, AxisId.NAMED)


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


def described_bytes(info: SignalInfo) -> int:
    """Bytes of a header that describe a signal, and the smallest of architectures."""
    return len(_pack_track(_smallest(info)))


def _smallest(info: SignalInfo) -> Track:
    return Track(info, SirenSpec(len(info.axes), len(info.channels), 0, 0))


def check_describable(info: SignalInfo) -> None:
    """Raise UsageError unless a header of this version can hold the description of a signal."""
    try:
        body = pack_header(Header((_smallest(info),)), 0)
    except (KeyError, ValueError, OverflowError) as error:
        raise UsageError(f"signal: the format cannot describe it: {error}") from error
    try:
        unpack_header(body, DEFAULT_LIMITS)
    except InrcodecError as error:
        raise UsageError(f"signal: {error}") from error


def _pack_track(track: Track) -> bytes:
    info, spec = track.info, track.spec
    content = _content(info)
    array = content == ContentId.ARRAY
    explicit = info.value_range != full_range(info.dtype)
    dtype = DtypeId[info.dtype.upper()] | (EXPLICIT if explicit else 0)
    kind = KindId[spec.kind.upper()] | (VARIANT if is_variant(spec) else 0)
    row = {"content": content, "dtype": dtype, "kind": kind}
    out = primitives.row(wire.CONTENT_FIELDS, row)
    if content in (ContentId.VALUES, ContentId.ARRAY):
        out += primitives.varint(len(info.channels))
    if explicit:
        low, high = info.value_range
        fields = wire.ARRAY_RANGE_FIELDS if array else wire.RANGE_FIELDS
        out += primitives.row(fields, {"low": low, "high": high})
    out += primitives.varint(len(info.axes))
    return out + b"".join(_pack_axis(axis, array) for axis in info.axes) + pack_spec(spec)


def _unpack_track(reader: primitives.Reader, limits: Limits) -> Track:
    row = reader.row(wire.CONTENT_FIELDS)
    content = known(ContentId, row["content"], "content")
    dtype = known(DtypeId, row["dtype"] & ~EXPLICIT, "sample type").name.lower()
    kind = known(KindId, row["kind"] & ~VARIANT, "field kind")
    array = content == ContentId.ARRAY
    if content in (ContentId.VALUES, ContentId.ARRAY):
        count = reader.varint()
        within("channels", count, limits.channels)
        plain = tuple(f"channel{index}" for index in range(count))
        channels = array_channels(count) if array else plain
    else:
        channels = _CHANNELS[ContentId(content)]
    value_range = full_range(dtype)
    if row["dtype"] & EXPLICIT:
        explicit = reader.row(wire.ARRAY_RANGE_FIELDS if array else wire.RANGE_FIELDS)
        value_range = _explicit_range(explicit["low"], explicit["high"], dtype)
    axis_count = reader.varint()
    within("axes", axis_count, limits.axes)
    axes = tuple(_unpack_axis(reader, array, limits) for _ in range(axis_count))
    info = SignalInfo(axes, channels, dtype, value_range)
    if not axes or not channels:
        raise CorruptError("header: a track needs at least one axis and one channel")
    if len({axis.name for axis in axes}) < len(axes):
        raise CorruptError("header: an axis occurs twice")
    variant = bool(row["kind"] & VARIANT)
    return Track(info, unpack_spec(kind, variant, reader, info, limits))


def _explicit_range(low: float, high: float, dtype: str) -> tuple[float, float]:
    least, most = full_range(dtype)
    if dtype.startswith("float"):
        # Values are float32 until they are converted, whatever the type of the samples.
        holds = max(abs(low), abs(high), high - low) <= MAX_FLOAT32 and high - low > 2.0**-150
    else:
        holds = least <= low and high <= most
    if not low < high or not holds or (low, high) == (least, most):
        raise CorruptError(f"header: impossible value range {low}..{high} of {dtype}")
    return low, high


def _pack_axis(axis: Axis, array: bool) -> bytes:
    explicit = (axis.spacing, axis.origin, axis.unit) != (1.0, 0.0, "")
    number = _axis_id(axis)
    row = {"id": number | (EXPLICIT if explicit else 0), "size": axis.size}
    out = primitives.row(wire.AXIS_FIELDS, row)
    if number == AxisId.NAMED:
        out += primitives.text(axis.name)
    if explicit:
        geometry = {"spacing": axis.spacing, "origin": axis.origin, "unit": axis.unit}
        fields = wire.ARRAY_GEOMETRY_FIELDS if array else wire.GEOMETRY_FIELDS
        out += primitives.row(fields, geometry)
    return out


def _unpack_axis(reader: primitives.Reader, array: bool, limits: Limits) -> Axis:
    row = reader.row(wire.AXIS_FIELDS)
    number = known(AxisId, row["id"] & ~EXPLICIT, "axis")
    name = AxisId(number).name.lower()
    if number == AxisId.NAMED:
        name = reader.text()
        if not name or name in _AXES:
            raise CorruptError(f"header: an axis of the name {name!r} has an id of its own")
    within("axis size", row["size"], limits.axis_size)
    if row["size"] == 0:
        raise CorruptError(f"header: axis {name} has no samples")
    if not row["id"] & EXPLICIT:
        return Axis(name, row["size"])
    fields = wire.ARRAY_GEOMETRY_FIELDS if array else wire.GEOMETRY_FIELDS
    axis = Axis(name, row["size"], **reader.row(fields))
    if axis == Axis(name, row["size"]) or axis.spacing == 0:
        raise CorruptError(f"header: impossible geometry of axis {name}")
    return axis
