"""Joins a `.inrc` file with its neighbours: wrong in one place, their checksums repaired."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.container import Section, pack, pack_section, read_frame, unpack
from inrcodec.bitstream.primitives import Reader, varint
from inrcodec.bitstream.wire import MAGIC, Limits, SectionType
from inrcodec.coding.latents import MAX_LATENT
from inrcodec.coding.priors import TABLES
from inrcodec.coding.quantize import STEPS
from inrcodec.coding.tracks import pack_track, unpack_track
from inrcodec.coding.weights import pack_weights, unpack_weights
from inrcodec.errors import CorruptError, InrcodecError
from inrcodec.fields.pyramid import PyramidSpec

Scramble = Callable[[bytes], bytes]

LIMITS = Limits(
    samples=2**14,
    axis_size=2**13,
    channels=16,
    tracks=4,
    sections=64,
    header_bytes=2**10,
    metadata_bytes=2**14,
    parameters=2**13,
    width=64,
    macs=2**26,
    latents=2**12,
)
"""Room for every golden file; what keeps to them is answered in a fraction of a second."""

MAX_SYMBOL = 2**31 - 1


def scrambled(data: bytes, random: Random) -> bytes:
    """Bytes with a few of them changed, inserted, removed or copied."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at, size = random.randrange(len(out) + 1), random.choice((1, 1, 2, 4, 16))
        way = random.randrange(5)
        if way == 0:
            del out[at : at + size]
        elif way == 1:
            out[at:at] = random.randbytes(size)
        elif way == 2:
            start = random.randrange(len(out) + 1)
            out[at : at + size] = out[start : start + size]
        elif at < len(out):
            out[at] = (
                out[at] ^ 1 << random.randrange(8) if way == 3 else random.choice(b"\0\1\x7f\xff")
            )
    return bytes(out)


def mutated(data: bytes, random: Random, scramble: Scramble | None = None) -> bytes:
    """A neighbour of a file. `scramble` changes bytes; it knows nothing of the format.

    One in eight keeps its old checksums; of the others, some have other symbols, coded as an
    encoder would, so that only their values can be wrong.
    """
    scramble = scramble or (lambda part: scrambled(part, random))
    way = random.randrange(8)
    if way in (1, 2, 3):
        try:
            return with_other_symbols(data, random)
        except (InrcodecError, ValueError):
            pass
    try:
        return scramble(data) if way == 0 else with_other_parts(data, random, scramble)
    except CorruptError:
        return scramble(data)


def with_other_parts(data: bytes, random: Random, scramble: Scramble) -> bytes:
    """The header, a section or the order of sections changed; lengths, count and checksums fit.

    Raises CorruptError where there is no header to begin with.
    """
    reader = Reader(data, "header", len(MAGIC))
    version, body = reader.take(2), reader.take(reader.varint())
    reader.take(4)
    sections: list[Section] = []
    while reader.offset < len(data):
        try:
            sections.append(read_frame(reader)[0])
        except CorruptError:
            break
    way = random.randrange(8) if sections else 0
    at = random.randrange(len(sections)) if sections else 0
    if way < 3:
        body = scramble(body)
    elif way < 5:
        sections[at] = replace(sections[at], payload=scramble(sections[at].payload))
    elif way == 5:
        sections.insert(random.randrange(len(sections) + 1), sections[at])
    elif way == 6:
        del sections[at]
    else:
        kind = random.choice((*SectionType, 0x42, 0xC2))
        sections[at] = replace(sections[at], type=kind, track=random.randrange(3))
    if way in (5, 6):
        head = Reader(body, "header")
        tracks, _ = head.varint(), head.varint()
        body = varint(tracks) + varint(len(sections)) + body[head.offset :]
    front = MAGIC + version + varint(len(body)) + body
    front += zlib.crc32(front).to_bytes(4, "little")
    return front + b"".join(map(pack_section, sections))


def with_other_symbols(data: bytes, random: Random) -> bytes:
    """Some parameters, recipes or latents of one track changed, and coded again.

    Raises InrcodecError where the file cannot be read, ValueError where a symbol has no code.
    """
    header, sections = unpack(data, LIMITS)
    number = random.randrange(len(header.tracks))
    spec = header.tracks[number].spec
    kinds = SectionType.PARAMETERS, SectionType.SPARSE, SectionType.LATENTS
    fields = [s for s in sections if s.type in kinds]
    first = next(s for s in fields if s.track == number)
    sparse = first.type == SectionType.SPARSE
    symbols, found = unpack_weights(spec, first.payload, "parameters", sparse)
    planes = []
    if isinstance(spec, PyramidSpec):
        latents = unpack_track(number, spec, sections).latents
        assert latents is not None
        for level in range(spec.levels):
            planes.append(latents.read(level, [(0, size) for size in spec.grid(level)]))
    recipes = list(found)
    for _ in range(random.choice((1, 1, 2, 4))):
        way = random.randrange(5)
        if way == 0:
            at = random.randrange(len(recipes))
            step, table = random.randrange(STEPS), random.randrange(TABLES)
            recipes[at] = replace(recipes[at], step=step, table=table)
        elif planes and way < 3:
            _nudge(random.choice(planes), random, MAX_LATENT)
        else:
            at = random.randrange(len(recipes))
            chosen = symbols[list(symbols)[at]]
            if recipes[at].dictionary is None:
                _nudge(chosen, random, MAX_SYMBOL)
            elif len(chosen):
                # The places stay, so that they ascend.
                coefficients = chosen[:, 1].copy()
                _nudge(coefficients, random, MAX_SYMBOL)
                chosen[:, 1] = coefficients
    try:
        own = pack_track(number, spec, symbols, recipes, planes)
    except CorruptError:  # a context network that must be refused: with the latents as they were
        weights = Section(SectionType.PARAMETERS, number, pack_weights(spec, symbols, recipes))
        own = [weights, *[s for s in fields if s.track == number][1:]]
    before, after = ([s for s in fields if (s.track - number) * side > 0] for side in (-1, 1))
    coded = [*before, *own, *after]
    return pack(header, [*coded, *[s for s in sections if s.type == SectionType.METADATA]])


def _nudge(values: NDArray[np.int32], random: Random, most: int) -> None:
    """Change a few values in place, or all: by little, or to anything up to `most` in magnitude."""
    flat: Any = values.reshape(-1)
    for _ in range(random.choice((1, 2, 8))):
        at = random.randrange(len(flat))
        far = random.choice((-1, 1)) * (2 ** random.randrange(32) - 1)
        new = random.choice((0, int(flat[at]) - 1, int(flat[at]) + 1, far))
        flat[slice(None) if random.random() < 0.1 else at] = max(-most, min(most, new))
