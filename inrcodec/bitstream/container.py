"""Joins Header and Sections with the bytes of a file."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from inrcodec.bitstream import primitives
from inrcodec.bitstream.header import Header, pack_header, unpack_header
from inrcodec.bitstream.wire import (
    CRITICAL,
    DEFAULT_LIMITS,
    MAGIC,
    MAJOR,
    MINOR,
    Limits,
    SectionType,
)
from inrcodec.errors import CorruptError, LimitError, TruncatedError, UnsupportedError


@dataclass(frozen=True)
class Section:
    """A run of payload bytes of one `type` (SectionType where known) for one `track`."""

    type: int
    track: int
    payload: bytes

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


def pack(header: Header, sections: Sequence[Section]) -> bytes:
    """The bytes of a whole file."""
    body = pack_header(header, len(sections))
    front = MAGIC + bytes([MAJOR, MINOR]) + primitives.varint(len(body)) + body
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


def _read_section(reader: primitives.Reader, tracks: int) -> Section:
    start = reader.offset
    kind, track = reader.u8(), reader.varint()
    payload = reader.take(reader.varint())
    covered = reader.offset
    if reader.take(4) != _crc(reader.data[start:covered]):
        raise CorruptError(f"{reader.what}: CRC mismatch at byte {covered}; the file is damaged")
    section = Section(kind, track, payload)
    known = kind in {int(known) for known in SectionType}
    if not known and kind & CRITICAL:
        raise UnsupportedError(
            f"{reader.what}: unknown critical type 0x{kind:02x}; a newer inrcodec is needed"
        )
    if known and track >= tracks:
        raise CorruptError(f"{reader.what}: belongs to track {track} of {tracks}")
    return section


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, tuple[Section, ...]]:
    """Header and sections of a whole file; unknown ancillary sections are kept.

    Raises CorruptError, TruncatedError, UnsupportedError or LimitError.
    """
    header, count, offset = unpack_front(data, limits)
    reader = primitives.Reader(data, "section", offset)
    sections = []
    for index in range(count):
        reader.what = f"section {index}"
        sections.append(_read_section(reader, len(header.tracks)))
    reader.what = "end of file"
    reader.finish()
    _check_order(sections, len(header.tracks))
    return header, tuple(sections)


def _check_order(sections: Sequence[Section], tracks: int) -> None:
    """One canonical order: the parameters of every track, then at most one metadata section."""
    known = [(s.type, s.track) for s in sections if s.type in set(SectionType)]
    wanted = [(int(SectionType.PARAMETERS), track) for track in range(tracks)]
    if known not in (wanted, [*wanted, (int(SectionType.METADATA), 0)]):
        raise CorruptError(
            f"sections: one parameters section per track, then metadata, expected; found {known}"
        )
