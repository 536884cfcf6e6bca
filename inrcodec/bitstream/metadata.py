"""Joins named metadata (ICC profile, EXIF, XMP) with the payload of the metadata section."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from inrcodec.bitstream import primitives
from inrcodec.bitstream.wire import (
    DEFAULT_LIMITS,
    METADATA_FIELDS,
    Limits,
    MetadataCoding,
)
from inrcodec.errors import CorruptError, LimitError

_WHAT = "metadata"


def pack_metadata(metadata: Mapping[str, bytes]) -> bytes:
    """Entries in the order of their names, each as it is or deflated, whichever is shorter."""
    out = [primitives.varint(len(metadata))]
    for name in sorted(metadata):
        raw = bytes(metadata[name])
        deflated = zlib.compress(raw, 9)
        coding = MetadataCoding.DEFLATE if len(deflated) < len(raw) else MetadataCoding.RAW
        stored = deflated if coding is MetadataCoding.DEFLATE else raw
        row = {"name": name, "coding": coding, "size": len(raw), "stored": len(stored)}
        out.append(primitives.row(METADATA_FIELDS, row) + stored)
    return b"".join(out)


def unpack_metadata(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """Metadata by name. Raises CorruptError or LimitError; never inflates beyond the limit."""
    reader = primitives.Reader(payload, _WHAT)
    entries: dict[str, bytes] = {}
    total, last = 0, None
    count = reader.varint()
    if count == 0:
        raise CorruptError(f"{_WHAT}: a section without entries")
    for _ in range(count):
        row = reader.row(METADATA_FIELDS)
        total += row["size"]
        if total > limits.metadata_bytes:
            raise LimitError("metadata bytes", total, limits.metadata_bytes)
        if last is not None and row["name"] <= last:
            raise CorruptError(f"{_WHAT}: entry {row['name']!r} repeated or out of order")
        last = row["name"]
        entries[row["name"]] = _restored(row["coding"], reader.take(row["stored"]), row["size"])
    reader.finish()
    return entries


def _restored(coding: int, stored: bytes, size: int) -> bytes:
    if coding == MetadataCoding.RAW:
        raw = stored
    elif coding == MetadataCoding.DEFLATE:
        inflater = zlib.decompressobj()
        try:
            raw = inflater.decompress(stored, size + 1)
        except zlib.error as error:
            raise CorruptError(f"{_WHAT}: damaged deflate data") from error
        if not inflater.eof or inflater.unused_data:
            raise CorruptError(f"{_WHAT}: deflate data does not end where it should")
    else:
        raise CorruptError(f"{_WHAT}: unknown coding {coding}")
    if len(raw) != size:
        raise CorruptError(f"{_WHAT}: {len(raw)} bytes where {size} were announced")
    return raw
