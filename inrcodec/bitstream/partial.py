"""Joins the bytes of a damaged or truncated file with the sections of it that still make sense."""

from __future__ import annotations

from inrcodec.bitstream import primitives
from inrcodec.bitstream.container import (
    Section,
    check_order,
    check_section,
    crc_mismatch,
    place_sections,
    read_frame,
    unpack_front,
)
from inrcodec.bitstream.header import Header
from inrcodec.bitstream.kinds import sections_of_levels
from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits, SectionType
from inrcodec.errors import CorruptError
from inrcodec.fields.pyramid import PyramidSpec


def unpack_partial(
    data: bytes, limits: Limits = DEFAULT_LIMITS
) -> tuple[Header, tuple[Section, ...], str | None]:
    """As `unpack`, of a file that may be truncated or damaged in its latents.

    Gives the header, the sections that can be used, and what is missing (None: nothing). A damaged
    section of latents is left out, and so are the finer ones of its tile; after any other damage,
    everything is. The header, and the parameters and masks of all tracks, must be intact: else
    raises what `unpack` raises.
    """
    header, count, offset = unpack_front(data, limits)
    reader = primitives.Reader(data, "section", offset)
    sections: list[Section] = []
    damaged: set[int] = set()
    first: CorruptError | None = None
    for index in range(count):
        reader.what = f"section {index}"
        kind = data[reader.offset : reader.offset + 1]
        try:
            section, intact = read_frame(reader)
        except CorruptError as error:
            if kind == bytes([SectionType.MASK]):
                # Numbers would stand where there are none.
                raise
            first = first or error
            break
        if intact:
            check_section(section, reader.what, len(header.tracks))
        else:
            first = first or crc_mismatch(reader)
            if section.type == SectionType.MASK:
                raise first
            known = [before.track for before in sections if before.type in set(SectionType)]
            if section.type != SectionType.LATENTS or known[-1:] != [section.track]:
                break
            damaged.add(index)
        sections.append(section)
    if first is None:
        reader.what = "end of file"
        reader.finish()
    elif damaged and (len(sections) < count or reader.offset != len(data)):
        # A size may be what is damaged; only its reaching the very end says that it is not.
        del sections[min(damaged) :]
        damaged.clear()
    found = [(section.type, section.track) for section in sections]
    parameters = (SectionType.PARAMETERS, SectionType.SPARSE)
    whole = {track for kind, track in found if kind in parameters}
    if first and len(whole) < len(header.tracks):
        raise first
    check_order(header, found)
    placed = place_sections(header, sections, None if first is None else damaged)
    # A residual is of what the whole field gives.
    useless = (
        {SectionType.LATENTS} if first is None else {SectionType.LATENTS, SectionType.RESIDUAL}
    )
    usable = tuple(s for s in placed if s.place or s.type not in useless)
    return header, usable, _missing(header, usable, count, first) if first else None


def _missing(header: Header, usable: tuple[Section, ...], count: int, first: CorruptError) -> str:
    """The first damage, and the finest level of every pyramid that is whole."""
    told = [str(first), f"{count - len(usable)} of {count} sections are left out"]
    for number, track in enumerate(header.tracks):
        if not isinstance(track.spec, PyramidSpec):
            continue
        levels = [s.place.levels for s in usable if s.place and s.track == number]
        tiles = sections_of_levels(track.spec)
        whole = min((each[-1] for each in levels if levels.count(each) == tiles), default=None)
        told.append(
            f"track {number} has no latents"
            if not levels
            else f"track {number} is whole down to level {whole} of {track.spec.levels - 1} to 0"
            if whole is not None
            else f"no level of track {number} is whole"
        )
    return "; ".join(told)
