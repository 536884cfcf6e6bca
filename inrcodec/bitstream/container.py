"""Joins Header and Sections with the bytes of a file."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from inrcodec.bitstream import primitives
from inrcodec.bitstream.header import Header, minor_version, pack_header, unpack_header
from inrcodec.bitstream.kinds import sections_of_levels
from inrcodec.bitstream.wire import (
    CRITICAL,
    DEFAULT_LIMITS,
    MAGIC,
    MAJOR,
    SINCE,
    Limits,
    SectionType,
)
from inrcodec.errors import CorruptError, LimitError, TruncatedError, UnsupportedError
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec


@dataclass(frozen=True)
class Place:
    """Which latents of its track a section holds: `levels`, coarse to fine, of tile number `tile`.

    Tiles are counted in raster order, from 0.
    """

    levels: range
    tile: int


@dataclass(frozen=True)
class Section:
    """A run of payload bytes of one `type` (SectionType where known) for one `track`.

    `place` is what reading a file finds out about a section of latents; writing ignores it.
    """

    type: int
    track: int
    payload: bytes
    place: Place | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        known = {int(kind) for kind in SectionType}
        return SectionType(self.type).name.lower() if self.type in known else f"0x{self.type:02x}"


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def pack_section(section: Section) -> bytes:
    """Type, track, length, payload, and the CRC-32 of all four."""
    framed = (
        bytes([section.type])
        + primitives.varint(section.track)
        + primitives.varint(len(section.payload))
        + section.payload
    )
    return framed + _crc(framed)


def _since(section: Section) -> int:
    return SINCE[SectionType].get(section.type, 0)


def pack(header: Header, sections: Sequence[Section]) -> bytes:
    """The bytes of a whole file, which names the lowest minor version that knows all of it."""
    body = pack_header(header, len(sections))
    newest = max([minor_version(header), *map(_since, sections)])
    front = MAGIC + bytes([MAJOR, newest]) + primitives.varint(len(body)) + body
    return front + _crc(front) + b"".join(pack_section(section) for section in sections)


def _check_magic(data: bytes) -> None:
    if len(data) == 0:
        raise TruncatedError("header: the file is empty")
    if data[: len(MAGIC)] == MAGIC:
        return
    if MAGIC.startswith(data):
        raise TruncatedError(f"header: only {len(data)} bytes; the file is incomplete")
    if data[1:5] == MAGIC[1:5]:
        raise CorruptError(
            "header: the signature is damaged, as by a transfer in text mode; fetch the file again"
        )
    raise CorruptError("header: not an .inrc file")


def unpack_front(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, int, int]:
    """Header, number of sections, and the offset of the first one.

    Needs only the beginning of a file, so that a reader can look before it loads.
    """
    _check_magic(data)
    reader = primitives.Reader(data, "header", len(MAGIC))
    major, minor = reader.u8(), reader.u8()
    if major != MAJOR:
        raise UnsupportedError(
            f"header: format version {major}.{minor}; this decoder reads version {MAJOR}.x, "
            "a newer inrcodec is needed"
        )
    size = reader.varint()
    if size > limits.header_bytes:
        raise LimitError("header bytes", size, limits.header_bytes)
    body = reader.take(size)
    covered = reader.offset
    if reader.take(4) != _crc(data[:covered]):
        raise CorruptError(f"header: CRC mismatch at byte {covered}; the file is damaged")
    header, count = unpack_header(body, limits)
    return header, count, reader.offset


def read_frame(reader: primitives.Reader) -> tuple[Section, bool]:
    """The next section, and whether its checksum is right."""
    start = reader.offset
    kind, track = reader.u8(), reader.varint()
    payload = reader.take(reader.varint())
    crc = _crc(reader.data[start : reader.offset])
    return Section(kind, track, payload), reader.take(4) == crc


def crc_mismatch(reader: primitives.Reader) -> CorruptError:
    """The error for a section that was just read and whose checksum is wrong."""
    place = reader.offset - 4
    return CorruptError(f"{reader.what}: CRC mismatch at byte {place}; the file is damaged")


def check_section(section: Section, what: str, tracks: int) -> None:
    """Raise UnsupportedError or CorruptError unless an intact section can be in a file."""
    known = section.type in set(SectionType)
    if not known and section.type & CRITICAL:
        raise UnsupportedError(
            f"{what}: unknown critical type 0x{section.type:02x}; a newer inrcodec is needed"
        )
    if known and section.track >= tracks:
        raise CorruptError(f"{what}: belongs to track {section.track} of {tracks}")


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, tuple[Section, ...]]:
    """Header and sections of a whole file; unknown ancillary sections are kept.

    Raises CorruptError, TruncatedError, UnsupportedError or LimitError.
    """
    header, count, offset = unpack_front(data, limits)
    reader = primitives.Reader(data, "section", offset)
    sections = []
    for index in range(count):
        reader.what = f"section {index}"
        section, intact = read_frame(reader)
        if not intact:
            raise crc_mismatch(reader)
        check_section(section, reader.what, len(header.tracks))
        sections.append(section)
    reader.what = "end of file"
    reader.finish()
    check_order(header, [(section.type, section.track) for section in sections])
    return header, place_sections(header, sections)


def check_order(header: Header, found: Sequence[tuple[int, int]]) -> None:
    """Raise CorruptError unless the sections, (type, track) of each, have their canonical order.

    Of every track the parameters (those of a siren may be sparse ones; a modulated one has latents
    instead), at most one mask, and, if it is a pyramid, any number of latents and at most one
    residual; last, at most one metadata section.
    """
    known = [(kind, track) for kind, track in found if kind in set(SectionType)]
    wanted: list[tuple[int, int]] = []
    for number, track in enumerate(header.tracks):
        sparse = (int(SectionType.SPARSE), number)
        if isinstance(track.spec, ModulatedSpec):
            wanted.append((int(SectionType.LATENTS), number))
        elif isinstance(track.spec, SirenSpec) and sparse in known:
            wanted.append(sparse)
        else:
            wanted.append((int(SectionType.PARAMETERS), number))
        mask = (int(SectionType.MASK), number)
        wanted += [mask] * min(1, known.count(mask))
        if isinstance(track.spec, PyramidSpec):
            latents = (int(SectionType.LATENTS), number)
            residual = (int(SectionType.RESIDUAL), number)
            wanted += [latents] * known.count(latents)
            wanted += [residual] * min(1, known.count(residual))
    if known not in (wanted, [*wanted, (int(SectionType.METADATA), 0)]):
        raise CorruptError(
            "sections: of every track parameters (none if modulated), mask, latents and residual, "
            f"and metadata last, expected; found {known[:20]}"
        )


def place_sections(
    header: Header, sections: Sequence[Section], damaged: Collection[int] | None = None
) -> tuple[Section, ...]:
    """The sections, each one of latents with its place.

    None as `damaged` is for a whole file. Else sections of latents may be missing at the end of a
    track; those whose index is in `damaged`, and the finer ones of the same tile, get no place.
    Raises CorruptError where the sections of a track are not its levels and tiles.
    """
    placed = list(sections)
    for number, track in enumerate(header.tracks):
        own = [
            index
            for index, section in enumerate(sections)
            if (section.type, section.track) == (SectionType.LATENTS, number)
        ]
        counts = [
            None if index in (damaged or ()) else _level_count(sections[index], index)
            for index in own
        ]
        places = _places(track.spec, counts, damaged is None, f"latents of track {number}")
        for index, place in zip(own, places, strict=True):
            placed[index] = replace(sections[index], place=place)
    return tuple(placed)


def _level_count(section: Section, index: int) -> int:
    return primitives.Reader(section.payload, f"section {index} (latents)").varint()


def _places(
    spec: FieldSpec, counts: Sequence[int | None], whole: bool, what: str
) -> list[Place | None]:
    """Places of the sections of one track, from the number of levels that each announces."""
    places: list[Place | None] = []
    if isinstance(spec, SirenSpec):
        return places
    levels_of = spec.levels if isinstance(spec, PyramidSpec) else 1
    rest, tiles, lost = levels_of, sections_of_levels(spec), set()
    for start in range(0, len(counts), tiles):
        group = counts[start : start + tiles]
        told = {count for count in group if count is not None}
        if not told and not whole:
            break
        if len(told) != 1 or not 1 <= max(told) <= rest or (whole and len(group) < tiles):
            raise CorruptError(
                f"{what}: sections of {sorted(told)} levels where {tiles} of the same number, "
                f"at most {rest}, are expected; {len(group)} found"
            )
        levels = range(rest - 1, rest - 1 - max(told), -1)
        rest -= len(levels)
        for tile, count in enumerate(group):
            if count is None:
                lost.add(tile)
            places.append(None if tile in lost else Place(levels, tile))
    if whole and counts and rest:
        raise CorruptError(f"{what}: {rest} of {levels_of} levels are missing")
    return places + [None] * (len(counts) - len(places))
