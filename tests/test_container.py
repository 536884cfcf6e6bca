"""Checks that every byte of a file is accounted for: framing, checksums, order, damage, limits."""

from __future__ import annotations

import io
import itertools
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.bitstream.container import (
    Place,
    Section,
    pack,
    pack_section,
    unpack,
    unpack_front,
)
from inrcodec.bitstream.describe import describe
from inrcodec.bitstream.header import Header, Track
from inrcodec.bitstream.kinds import tile_count
from inrcodec.bitstream.metadata import pack_metadata, unpack_metadata
from inrcodec.bitstream.partial import unpack_partial
from inrcodec.bitstream.primitives import varint
from inrcodec.bitstream.wire import DEFAULT_LIMITS, MAGIC, Limits, SectionType
from inrcodec.coding.quantize import TensorRecipe
from inrcodec.coding.weights import pack_weights
from inrcodec.errors import (
    CorruptError,
    InrcodecError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.signal import Axis, SignalInfo

GOLDEN = Path(__file__).parent / "golden" / "v1"
GOLDEN_FILES = sorted(GOLDEN.glob("*.inrc"))
PARAMETERS, METADATA, LATENTS = SectionType.PARAMETERS, SectionType.METADATA, SectionType.LATENTS

every_golden = pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)


def coded(spec: SirenSpec) -> bytes:
    """Parameters that are all zero."""
    symbols = {tensor.name: np.zeros(tensor.shape, np.int32) for tensor in spec.tensors()}
    return pack_weights(spec, symbols, [TensorRecipe(72, 20)] * len(spec.tensors()))


def header_of(tracks: int = 1, size: tuple[int, int] = (2, 3)) -> Header:
    info = SignalInfo((Axis("y", size[0]), Axis("x", size[1])), ("grey",), "uint8", (0.0, 255.0))
    return Header((Track(info, SirenSpec(2, 1, 0, 0)),) * tracks)


def parameters(track: int = 0) -> Section:
    return Section(PARAMETERS, track, coded(SirenSpec(2, 1, 0, 0)))


def metadata(**entries: bytes) -> Section:
    return Section(METADATA, 0, pack_metadata(entries or {"icc": b"profile"}))


def file_of(*sections: Section, tracks: int = 1) -> bytes:
    return pack(header_of(tracks), sections)


def with_right_checksums(data: bytes) -> bytes:
    """The file with the CRC-32 of the header and of each section computed anew."""
    out, offset = bytearray(data), len(MAGIC) + 2
    size, used = _varint_at(out, offset)
    end = offset + used + size
    out[end : end + 4] = zlib.crc32(out[:end]).to_bytes(4, "little")
    while end + 4 < len(out):
        start = end + 4
        _, used = _varint_at(out, start + 1)
        size, more = _varint_at(out, start + 1 + used)
        end = start + 1 + used + more + size
        out[end : end + 4] = zlib.crc32(out[start:end]).to_bytes(4, "little")
    return bytes(out)


def _varint_at(data: bytes | bytearray, offset: int) -> tuple[int, int]:
    value = 0
    for index in itertools.count():
        byte = data[offset + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, index + 1
    raise AssertionError


# --- round trips ---------------------------------------------------------------------------------

unknown = st.builds(
    Section,
    st.integers(0, 0x7F).filter(lambda kind: kind != METADATA),
    st.integers(0, 2**63 - 1),
    st.binary(max_size=300),
)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 3),
    st.one_of(st.none(), st.dictionaries(st.text(max_size=16), st.binary(max_size=300))),
    st.lists(unknown, max_size=3),
    st.randoms(use_true_random=False),
)
def test_sections_come_back(tracks: int, entries: dict | None, extra: list, random: object) -> None:
    """Unknown ancillary sections too, wherever they stand."""
    sections = [parameters(track) for track in range(tracks)]
    sections += [metadata(**entries)] if entries else []
    for section in extra:
        sections.insert(random.randint(0, len(sections)), section)  # type: ignore[attr-defined]
    header = header_of(tracks)
    assert unpack(pack(header, sections)) == (header, tuple(sections))


@every_golden
def test_a_golden_file_has_one_form(path: Path) -> None:
    data = path.read_bytes()
    assert pack(*unpack(data)) == data


def test_a_small_file_has_little_overhead() -> None:
    """At most 48 bytes for a picture with one parameters section, 10 for each further section."""
    info = SignalInfo((Axis("y", 512), Axis("x", 768)), ("grey",), "uint8", (0.0, 255.0))
    header = Header((Track(info, SirenSpec(2, 1, 13, 49)),))
    payload = bytes(5000)
    assert len(pack(header, [Section(PARAMETERS, 0, payload)])) - len(payload) <= 48
    one, two = file_of(parameters()), file_of(parameters(), Section(0x20, 0, b"12345"))
    assert len(two) - len(one) <= 5 + 10


# --- damage --------------------------------------------------------------------------------------

DAMAGED = ("every_table", "rgb", "affine")


@pytest.mark.parametrize("name", DAMAGED)
def test_every_flipped_bit_is_noticed(name: str) -> None:
    data = (GOLDEN / f"{name}.inrc").read_bytes()
    inrcodec.decode(data)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InrcodecError):
            unpack(bytes(damaged))


@every_golden
def test_every_truncation_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            inrcodec.decode(data[:size])


@pytest.mark.parametrize("junk", [b"\0", b"\n", b"\x1a", b"junk" * 100, MAGIC])
def test_nothing_may_follow_a_file(junk: bytes) -> None:
    with pytest.raises(CorruptError, match="unexpected bytes"):
        inrcodec.decode(file_of(parameters()) + junk)


def test_two_files_are_not_one() -> None:
    data = file_of(parameters())
    with pytest.raises(CorruptError):
        inrcodec.decode(data + data)


TEXT_MODE: dict[str, Callable[[bytes], bytes]] = {
    "seven bits": lambda data: bytes(byte & 0x7F for byte in data),
    "CR LF to LF": lambda data: data.replace(b"\r\n", b"\n"),
    "CR LF to CR": lambda data: data.replace(b"\r\n", b"\r"),
    "LF to CR LF": lambda data: data.replace(b"\n", b"\r\n"),
    "Latin-1 to UTF-8": lambda data: data.decode("latin-1").encode("utf-8"),
    "UTF-8 with replacements": lambda data: data.decode("utf-8", "replace").encode("utf-8"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "Ctrl-Z ends it": lambda data: data.partition(b"\x1a")[0],
    "zero bytes dropped": lambda data: data.replace(b"\0", b""),
    "white space stripped": lambda data: b" " + data,
}


@pytest.mark.parametrize("damage", TEXT_MODE.values(), ids=TEXT_MODE.keys())
def test_text_mode_damage_is_noticed(damage: Callable[[bytes], bytes]) -> None:
    data = (GOLDEN / "rgb.inrc").read_bytes()
    assert damage(data) != data
    with pytest.raises(CorruptError, match="header"):
        inrcodec.decode(damage(data))


@pytest.mark.parametrize("damage", ["seven bits", "CR LF to LF", "LF to CR LF"])
def test_the_message_says_text_mode(damage: str) -> None:
    with pytest.raises(CorruptError, match="text mode"):
        unpack(TEXT_MODE[damage](file_of(parameters())))


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n" + bytes(40), b"\xff\xd8\xff\xe0", b"inrc", bytes(100), b"P6\n"]
)
def test_other_files_are_told_apart(data: bytes) -> None:
    with pytest.raises(CorruptError, match=r"not an \.inrc file"):
        inrcodec.decode(data)


def test_an_empty_file_is_truncated() -> None:
    with pytest.raises(TruncatedError, match="empty"):
        inrcodec.decode(b"")


MUTABLE = ("affine", "grey", "pyramid", "pyramid_tiled", "rgba")
MUTATED = [path.read_bytes() for path in GOLDEN_FILES if path.stem in MUTABLE]
SMALL = replace(
    DEFAULT_LIMITS, samples=10**5, parameters=10**4, macs=10**7, width=64, latents=10**4
)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(MUTATED), st.booleans(), st.data())
def test_whatever_happens_to_a_file_one_family_of_errors_answers(
    whole: bytes, repaired: bool, data: st.DataObject
) -> None:
    """Flips, cuts, repeats and insertions, half of them with checksums that are right again."""
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(damaged)))
        last = data.draw(st.integers(first, min(first + 12, len(damaged))))
        new = data.draw(st.one_of(st.binary(max_size=12), st.just(damaged[first:last] * 2)))
        # Most damage keeps the length: otherwise it is noticed too soon to be interesting.
        same = data.draw(st.booleans()) and last > first
        damaged[first:last] = (new * 12)[: last - first] if same and new else new
    try:
        damaged = bytearray(with_right_checksums(damaged)) if repaired else damaged
    except IndexError:
        return
    try:
        signal = inrcodec.decode(bytes(damaged), limits=SMALL)
    except InrcodecError:
        return
    assert signal.samples.shape == (*signal.info.lattice, len(signal.info.channels))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_symbols_with_right_checksums_give_samples_or_an_error(data: st.DataObject) -> None:
    """Constriction does not notice damage; whatever it makes of it must stay in bounds."""
    header, sections = unpack((GOLDEN / "grey.inrc").read_bytes())
    payload = bytearray(sections[0].payload)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(2, len(payload) - 1))] = data.draw(st.integers(1, 255))
    damaged = pack(header, [replace(sections[0], payload=bytes(payload))])
    try:
        signal = inrcodec.decode(damaged)
    except CorruptError:
        return
    assert signal.samples.dtype == np.uint8
    assert signal.samples.shape == (20, 24, 1)


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("major", [0, 2, 3, 127, 128, 255])
def test_another_major_version_is_unsupported(major: int) -> None:
    """Even if everything after it is different, so also with a checksum that is wrong."""
    data = bytearray(file_of(parameters()))
    data[8] = major
    for each in (bytes(data), with_right_checksums(data), bytes(data[:9]) + b"\xff" * 30):
        with pytest.raises(UnsupportedError, match=f"version {major}"):
            inrcodec.decode(each)


@pytest.mark.parametrize("minor", [1, 2, 128, 255])
def test_a_newer_minor_version_is_read_if_all_of_it_is_known(minor: int) -> None:
    plain = file_of(parameters())
    data = bytearray(file_of(parameters(), Section(0x33, 9, b"from the future")))
    data[9] = minor
    newer = inrcodec.decode(with_right_checksums(data))
    assert (newer.samples == inrcodec.decode(plain).samples).all()
    assert inrcodec.info(with_right_checksums(data))["format"] == f"1.{minor}"


def test_a_newer_minor_version_is_refused_if_a_critical_part_is_not_known() -> None:
    data = bytearray(file_of(parameters(), Section(0xB3, 0, b"from the future")))
    data[9] = 1
    with pytest.raises(UnsupportedError, match="0xb3"):
        inrcodec.decode(with_right_checksums(data))


# --- sections ------------------------------------------------------------------------------------

MATRIX = list(itertools.product(("known", "unknown"), ("critical", "ancillary"), (True, False)))


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize(("known", "bit", "intact"), MATRIX)
def test_the_matrix_of_sections(known: str, bit: str, intact: bool, place: str) -> None:
    """The checksum decides first, then the critical bit; the place never matters."""
    kind = {
        ("known", "critical"): PARAMETERS,
        ("known", "ancillary"): METADATA,
        ("unknown", "critical"): 0xC2,
        ("unknown", "ancillary"): 0x42,
    }[known, bit]
    section = {PARAMETERS: parameters(), METADATA: metadata()}.get(kind, Section(kind, 5, b"?"))
    others = [] if kind == PARAMETERS else [parameters()]
    if place == "last" or kind == METADATA:
        others.insert(0, Section(0x11, 0, b"neighbour"))
        sections = [*others, section]
    else:
        sections = [section, *others, Section(0x11, 0, b"neighbour")]
    if place == "first" and kind == METADATA:
        # The first place that metadata may have is after the parameters.
        sections = [*others[1:], section, others[0]]
    data = bytearray(pack(header_of(), sections))
    if not intact:
        offset = unpack_front(bytes(data))[2]
        before = pack(header_of(), sections[: sections.index(section)])
        # The last byte of this section's own checksum.
        data[len(before) + len(pack(header_of(), [section])) - offset - 1] ^= 1
    if not intact:
        with pytest.raises(CorruptError, match="CRC"):
            inrcodec.decode(bytes(data))
    elif (known, bit) == ("unknown", "critical"):
        with pytest.raises(UnsupportedError, match="0xc2"):
            inrcodec.decode(bytes(data))
    else:
        assert inrcodec.decode(bytes(data)).samples.shape == (2, 3, 1)
        assert section in unpack(bytes(data))[1]


@pytest.mark.parametrize(
    "sections",
    [
        [],
        [metadata()],
        [parameters(), parameters()],
        [metadata(), parameters()],
        [parameters(), metadata(), metadata()],
        [parameters(), metadata(), parameters()],
        [Section(0x42, 0, b"")],
    ],
    ids=["none", "only metadata", "twice", "wrong order", "metadata twice", "around", "unknown"],
)
def test_sections_missing_repeated_or_out_of_order_are_corrupt(sections: list[Section]) -> None:
    with pytest.raises(CorruptError, match="sections"):
        inrcodec.decode(file_of(*sections))


@pytest.mark.parametrize(
    "order", [(1, 0), (0, 0), (1, 1), (0,), (1,), (0, 1, 0), (0, 1, 1)], ids=str
)
def test_each_track_has_its_parameters_in_order(order: tuple[int, ...]) -> None:
    with pytest.raises(CorruptError, match="sections"):
        inrcodec.decode(file_of(*map(parameters, order), tracks=2))


@pytest.mark.parametrize(
    "section", [parameters(1), parameters(2**62), replace(metadata(), track=1)]
)
def test_a_section_of_no_track_is_corrupt(section: Section) -> None:
    with pytest.raises(CorruptError, match="track"):
        inrcodec.decode(file_of(parameters(), section))


def test_metadata_belong_to_the_first_track() -> None:
    with pytest.raises(CorruptError, match="sections"):
        inrcodec.decode(
            file_of(parameters(0), parameters(1), replace(metadata(), track=1), tracks=2)
        )


@pytest.mark.parametrize("announced", [2, 7, 1024])
def test_more_sections_announced_than_there_are_is_truncated(announced: int) -> None:
    header = header_of()
    front = pack(header, [parameters()] * announced)
    whole = front[: unpack_front(front)[2]] + pack(header, [parameters()])[len(pack(header, [])) :]
    with pytest.raises(TruncatedError):
        inrcodec.decode(whole)


def test_fewer_sections_announced_than_there_are_is_corrupt() -> None:
    one, two = file_of(parameters()), file_of(parameters(), metadata())
    offset = unpack_front(one)[2]
    with pytest.raises(CorruptError, match="unexpected bytes"):
        inrcodec.decode(one[:offset] + two[unpack_front(two)[2] :])


@pytest.mark.parametrize("size", [10**3, 2**31, 2**32 - 1, 2**63 - 1])
def test_a_section_longer_than_the_file_is_truncated_at_once(size: int) -> None:
    data = file_of(parameters())
    offset = unpack_front(data)[2]
    tracemalloc.start()
    with pytest.raises(TruncatedError):
        inrcodec.decode(data[:offset] + b"\x81\0" + varint(size) + b"123")
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("field", ["track", "size"])
def test_numbers_of_a_section_have_one_form(field: str) -> None:
    data = file_of(parameters())
    offset = unpack_front(data)[2]
    kind, track, size = data[offset : offset + 1], b"\0", data[offset + 2 : offset + 3]
    track = b"\x80\0" if field == "track" else track
    size = bytes([size[0] | 0x80, 0]) if field == "size" else size
    section = kind + track + size + data[offset + 3 : -4]
    crc = zlib.crc32(section).to_bytes(4, "little")
    with pytest.raises(CorruptError, match="number"):
        inrcodec.decode(data[:offset] + section + crc)


def test_errors_say_where() -> None:
    data = bytearray(file_of(parameters(), metadata()))
    data[-1] ^= 255
    with pytest.raises(CorruptError, match=rf"section 1: CRC mismatch at byte {len(data) - 4}"):
        inrcodec.decode(bytes(data))


# --- latents -------------------------------------------------------------------------------------

TILED = PyramidSpec((9, 12), 1, 4, (), (), 0, tile=8)
"""Four levels in 2 x 2 tiles."""


def latents(levels: int, track: int = 0, rest: bytes = b"run") -> Section:
    return Section(LATENTS, track, varint(levels) + rest)


def tracks_of(*specs: SirenSpec | PyramidSpec) -> Header:
    info = SignalInfo((Axis("y", 9), Axis("x", 12)), ("grey",), "uint8", (0.0, 255.0))
    return Header(tuple(Track(info, spec) for spec in specs))


def tiled(*groups: int, track: int = 0) -> list[Section]:
    """Sections of latents of one track: of every group, four tiles."""
    runs = [b"%d.%d.%d" % (track, group, tile) for group in range(len(groups)) for tile in range(4)]
    counts = [count for count in groups for _ in range(4)]
    return [latents(count, track, run) for count, run in zip(counts, runs, strict=True)]


ONE, TWO = tracks_of(TILED), tracks_of(TILED, SirenSpec(2, 1, 0, 0), TILED)


def places(sections: tuple[Section, ...], track: int = 0) -> list[tuple[list[int], int]]:
    found = [section.place for section in sections if section.track == track]
    return [(list(place.levels), place.tile) for place in found if place]


def test_sections_of_latents_have_their_places() -> None:
    """Groups coarse to fine; in each, tiles in raster order; the encoder divides as it likes."""
    sections = [parameters(), *tiled(2, 1, 1)]
    header, found = unpack(pack(ONE, sections))
    assert (header, found) == (ONE, tuple(sections))
    levels = [[3, 2]] * 4 + [[1]] * 4 + [[0]] * 4
    assert places(found) == list(zip(levels, [0, 1, 2, 3] * 3, strict=True))
    assert found[0].place is None
    assert places(unpack(pack(ONE, [parameters(), *tiled(4)]))[1]) == [
        ([3, 2, 1, 0], tile) for tile in range(4)
    ]


def test_a_track_may_have_no_latents() -> None:
    for sections in ([parameters()], [parameters(), metadata()]):
        assert unpack(pack(ONE, sections)) == (ONE, tuple(sections))


def test_latents_follow_the_parameters_of_their_track() -> None:
    sections = [parameters(0), *tiled(4), parameters(1), parameters(2), *tiled(3, 1, track=2)]
    sections += [metadata()]
    _, found = unpack(pack(TWO, sections))
    assert found == tuple(sections)
    assert places(found, 2) == [([3, 2, 1], t) for t in range(4)] + [([0], t) for t in range(4)]


@pytest.mark.parametrize(
    ("lattice", "tile", "count"),
    [((9, 12), 0, 1), ((9, 12), 8, 4), ((8, 16), 8, 2), ((1, 17), 8, 3), ((17, 17, 9), 16, 4)],
)
def test_tiles_cover_the_lattice(lattice: tuple[int, ...], tile: int, count: int) -> None:
    spec = PyramidSpec(lattice, 1, 4, (), (), 0, tile)
    assert tile_count(spec) == count
    for level in range(4):
        side = max(1, tile >> level) if tile else max(lattice)
        assert np.prod([-(-size // side) for size in spec.grid(level)]) == count


P = parameters
BAD_ORDER = {
    "latents first": [*tiled(4), P()],
    "latents of sines": [P(), P(1), *tiled(4, track=1), P(2)],
    "latents at the end": [P(), P(1), P(2), *tiled(4)],
    "latents after the metadata": [P(), P(1), P(2), metadata(), *tiled(4, track=2)],
    "latents of the next track": [P(), *tiled(4, track=2), P(1), P(2)],
    "latents without parameters": [P(), *tiled(4), P(1), *tiled(4, track=2)],
}


@pytest.mark.parametrize("sections", BAD_ORDER.values(), ids=BAD_ORDER.keys())
def test_latents_in_the_wrong_place_are_corrupt(sections: list[Section]) -> None:
    with pytest.raises(CorruptError, match="sections"):
        unpack(pack(TWO, sections))


BAD_GROUPS = {
    "a group too few": tiled(2, 1),
    "a group too many": tiled(2, 1, 1, 1),
    "too many levels": tiled(2, 3),
    "no level": tiled(2, 0, 2),
    "endless levels": tiled(2**62),
    "a tile too few": tiled(2, 2)[:-1],
    "a tile too many": [*tiled(2, 2), latents(2)],
    "one tile": tiled(4)[:1],
    "tiles of other levels": [*tiled(2)[:3], *tiled(3)[:1], *tiled(2, 2)[:4]],
    "groups shuffled": [tiled(1, 3)[index] for index in (0, 4, 1, 5, 2, 6, 3, 7)],
}


@pytest.mark.parametrize("sections", BAD_GROUPS.values(), ids=BAD_GROUPS.keys())
def test_latents_that_are_not_the_levels_and_tiles_are_corrupt(sections: list[Section]) -> None:
    with pytest.raises(CorruptError, match="latents of track 0"):
        unpack(pack(ONE, [parameters(), *sections]))


@pytest.mark.parametrize(("payload", "error"), [(b"", TruncatedError), (b"\x84\0", CorruptError)])
def test_the_number_of_levels_has_one_form(payload: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match="section 4"):
        unpack(pack(ONE, [parameters(), *tiled(4)[:3], Section(LATENTS, 0, payload)]))


def test_more_tiles_than_sections_are_refused_at_once() -> None:
    """Even if there is no section of latents: what a decoder keeps of a tile is not free."""
    spec = PyramidSpec((2**12, 2**12), 1, 1, (), (), 0, tile=1)
    info = SignalInfo((Axis("y", 2**12), Axis("x", 2**12)), ("grey",), "uint8", (0.0, 255.0))
    data = pack(Header((Track(info, spec),)), [parameters()])
    started = time.process_time()
    with pytest.raises(LimitError, match="tiles"):
        unpack(data)
    assert time.process_time() - started < 0.05
    limits = replace(DEFAULT_LIMITS, sections=2**24)
    assert len(unpack(data, limits)[1]) == 1
    with pytest.raises(LimitError, match="tiles"):
        unpack(data, replace(limits, sections=2**24 - 1))


def test_a_description_says_levels_and_tiles() -> None:
    sections = [parameters(0), *tiled(3, 1), parameters(1), parameters(2)]
    told = describe(pack(TWO, sections))
    assert [track["kind"] for track in told["tracks"]] == ["pyramid", "siren", "pyramid"]
    track = told["tracks"][0]
    assert (track["net"], track["levels"], track["tile"], track["tiles"]) == ("//0", 4, 8, 4)
    assert track["latents"] == 9 * 12 + 5 * 6 + 3 * 3 + 2 * 2
    assert "omega_0" in told["tracks"][1]
    assert "levels" not in told["tracks"][1]
    assert told["sections"][8] == {
        "type": "latents",
        "track": 0,
        "bytes": 6,
        "levels": [0],
        "tile": 3,
    }
    assert told["overhead"] == told["bytes"] - sum(len(each.payload) for each in sections)


# --- parts of a file -----------------------------------------------------------------------------

PARTS = [parameters(0), *tiled(2, 1, 1), metadata()]
PARTS_FILE = pack(ONE, PARTS)
STARTS = list(
    itertools.accumulate(
        (len(pack_section(each)) for each in PARTS), initial=unpack_front(PARTS_FILE)[2]
    )
)


def damaged(data: bytes, *indices: int, byte: int = -5) -> bytes:
    """The file with a bit of the payload of some sections changed, or of another byte of them."""
    out = bytearray(data)
    for index in indices:
        out[STARTS[index] + byte if byte >= 0 else STARTS[index + 1] + byte] ^= 1
    return bytes(out)


def test_an_intact_file_has_all_its_parts() -> None:
    data = pack(TWO, [parameters(0), *tiled(2, 2), parameters(1), parameters(2), metadata()])
    assert unpack_partial(data) == (*unpack(data), None)
    for path in GOLDEN_FILES:
        assert unpack_partial(path.read_bytes()) == (*unpack(path.read_bytes()), None)


def test_a_truncated_file_has_what_is_whole() -> None:
    """Cut anywhere after the parameters, the sections before the cut can be used."""
    whole = unpack(PARTS_FILE)[1]
    for size in range(STARTS[1], len(PARTS_FILE)):
        header, sections, problem = unpack_partial(PARTS_FILE[:size])
        count = sum(start <= size for start in STARTS) - 1
        assert (header, sections) == (ONE, whole[:count])
        assert [each.place for each in sections] == [each.place for each in whole[:count]]
        assert problem
        assert f"{len(PARTS) - count} of {len(PARTS)} sections" in problem


def test_a_file_without_all_parameters_has_no_parts() -> None:
    for size in range(STARTS[1]):
        with pytest.raises(TruncatedError):
            unpack_partial(PARTS_FILE[:size])
    two = pack(TWO, [parameters(0), *tiled(4), parameters(1), parameters(2)])
    with pytest.raises(TruncatedError):
        unpack_partial(two[:-1])
    for byte in (0, 1, 4, -1):
        with pytest.raises(InrcodecError):
            unpack_partial(damaged(PARTS_FILE, 0, byte=byte))


@pytest.mark.parametrize("byte", [3, 5, -4, -1], ids=["levels", "run", "checksum", "end"])
@pytest.mark.parametrize("hits", [(1,), (4,), (6,), (12,), (2, 7), (1, 2, 3, 4), (3, 11)], ids=str)
def test_a_damaged_tile_takes_its_finer_levels_with_it(hits: tuple[int, ...], byte: int) -> None:
    data = damaged(PARTS_FILE, *hits, byte=byte)
    with pytest.raises(CorruptError, match="CRC"):
        unpack(data)
    _, sections, problem = unpack_partial(data)
    # Sections 1 to 4 hold the coarsest levels of the four tiles, and so on.
    left = [
        index
        for index in range(1, 13)
        if not any(hit <= index and (index - hit) % 4 == 0 for hit in hits)
    ]
    whole = unpack(PARTS_FILE)[1]
    expected = [whole[index] for index in (0, *left, 13)]
    assert sections == tuple(expected)
    assert [each.place for each in sections] == [each.place for each in expected]
    assert problem
    assert f"section {hits[0]}: CRC" in problem


def test_the_problem_says_which_levels_are_whole() -> None:
    told = {
        (1, 2, 3, 4): "track 0 has no latents",
        (3,): "no level of track 0 is whole",
        (6,): "track 0 is whole down to level 2 of 3 to 0",
        (12,): "track 0 is whole down to level 1 of 3 to 0",
    }
    for hits, text in told.items():
        problem = unpack_partial(damaged(PARTS_FILE, *hits))[2]
        assert problem
        assert problem.endswith(text)


@pytest.mark.parametrize("index", range(1, 14))
@pytest.mark.parametrize("byte", [0, 1, 2], ids=["type", "track", "size"])
def test_nothing_is_guessed_about_a_frame_that_is_damaged(index: int, byte: int) -> None:
    """With another type, track or size, what follows cannot be told: it is left out."""
    _, sections, problem = unpack_partial(damaged(PARTS_FILE, index, byte=byte))
    assert sections == tuple(PARTS[:index])
    assert problem


def test_a_size_that_swallows_the_next_section_moves_none() -> None:
    """Else the sections after it would pass for those of other tiles."""
    data = bytearray(PARTS_FILE)
    data[STARTS[3] + 2] += STARTS[5] - STARTS[4]
    _, sections, _ = unpack_partial(bytes(data))
    assert sections == tuple(PARTS[:3])


def test_damaged_metadata_are_left_out() -> None:
    _, sections, problem = unpack_partial(damaged(PARTS_FILE, 13))
    assert sections == tuple(PARTS[:-1])
    assert problem


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_parts_are_the_parts_of_the_file(data: st.DataObject) -> None:
    """Whatever happened to the file: sections are as they were, each in its place, or missing."""
    hurt = bytearray(PARTS_FILE)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(STARTS[1], len(hurt) - 1))
        hurt[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(STARTS[1], len(hurt)))
    _, sections, _ = unpack_partial(bytes(hurt[:end]))
    whole = {(each.type, each.payload, each.place) for each in unpack(PARTS_FILE)[1]}
    assert {(each.type, each.payload, each.place) for each in sections} <= whole


def test_what_is_wrong_without_damage_is_refused_in_parts_too() -> None:
    for sections in BAD_ORDER.values():
        with pytest.raises(CorruptError):
            unpack_partial(pack(TWO, sections))
    for sections in BAD_GROUPS.values():
        with pytest.raises(CorruptError):
            unpack_partial(pack(ONE, [parameters(), *sections]))
    with pytest.raises(UnsupportedError):
        unpack_partial(pack(ONE, [parameters(), Section(0xC2, 0, b"?"), *tiled(4)]))
    with pytest.raises(CorruptError, match="unexpected bytes"):
        unpack_partial(PARTS_FILE + b"junk")


def test_unknown_sections_may_stand_between_latents() -> None:
    sections = [parameters(), *tiled(4)]
    for at in range(6):
        with_more = [*sections[:at], Section(0x33, 7, b"new"), *sections[at:]]
        found = unpack(pack(ONE, with_more))[1]
        assert found == tuple(with_more)
        assert places(found) == [([3, 2, 1, 0], tile) for tile in range(4)]
        cut = pack(ONE, with_more)[:-3]
        assert unpack_partial(cut)[1] == tuple(with_more[:-1])


def test_a_place_is_not_part_of_a_section() -> None:
    """Two sections are equal if their bytes are."""
    plain, placed = latents(4), replace(latents(4), place=Place(range(3, -1, -1), 0))
    assert plain == placed
    assert pack_section(plain) == pack_section(placed)


# --- metadata ------------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8"), max_size=16)
values = st.one_of(st.binary(max_size=400), st.binary(max_size=20).map(lambda b: b * 50))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, values, min_size=1, max_size=6))
def test_metadata_come_back(entries: dict[str, bytes]) -> None:
    """In one form, whatever the order they were given in."""
    payload = pack_metadata(entries)
    assert unpack_metadata(payload) == entries
    assert pack_metadata(dict(reversed(entries.items()))) == payload


def entry(
    name: str = "icc",
    coding: int = 0,
    size: int = 3,
    stored: bytes = b"abc",
    count: int | None = None,
) -> bytes:
    text = name.encode()
    length = len(stored) if count is None else count
    return varint(len(text)) + text + bytes([coding]) + varint(size) + varint(length) + stored


DEFLATED = zlib.compress(b"x" * 1000)

BAD_METADATA = {
    "no entry": varint(0),
    "an entry too few": varint(2) + entry(),
    "an entry too many": varint(1) + entry() + entry("xmp"),
    "a byte too many": varint(1) + entry() + b"\0",
    "the same name twice": varint(2) + entry() + entry(),
    "names out of order": varint(2) + entry("xmp") + entry("icc"),
    "an unknown coding": varint(1) + entry(coding=2),
    "a raw entry that is shorter": varint(1) + entry(size=4),
    "a raw entry that is longer": varint(1) + entry(size=2),
    "a stored size beyond the end": varint(1) + entry(count=2**40),
    "no deflate data": varint(1) + entry(coding=1, size=1000, stored=b"abc"),
    "cut deflate data": varint(1) + entry(coding=1, size=1000, stored=DEFLATED[:-1]),
    "more after the deflate data": varint(1) + entry(coding=1, size=1000, stored=DEFLATED + b"x"),
    "deflate data that give more": varint(1) + entry(coding=1, size=999, stored=DEFLATED),
    "deflate data that give less": varint(1) + entry(coding=1, size=1001, stored=DEFLATED),
    "a name that is no text": varint(1) + b"\2\xc0\x80\0\0\0",
    "a long name": varint(1) + entry("x" * 65),
    "endless entries": varint(2**62),
}


@pytest.mark.parametrize("payload", BAD_METADATA.values(), ids=BAD_METADATA.keys())
def test_impossible_metadata_are_corrupt(payload: bytes) -> None:
    data = file_of(parameters(), Section(METADATA, 0, payload))
    for read in (inrcodec.decode, inrcodec.info):
        with pytest.raises(CorruptError, match="metadata"):
            read(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_metadata_are_refused_with_one_family_of_errors(payload: bytes) -> None:
    try:
        unpack_metadata(payload)
    except InrcodecError:
        return


def test_metadata_are_not_inflated_beyond_the_limit() -> None:
    """A bomb that says what it is, and one that lies."""
    bomb = zlib.compress(bytes(10**8), 9)
    for size in (10**8, 1000):
        payload = varint(1) + entry(coding=1, size=size, stored=bomb)
        tracemalloc.start()
        with pytest.raises((LimitError, CorruptError)):
            unpack_metadata(payload)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb) + 10**6
        tracemalloc.stop()


@pytest.mark.parametrize(("allowed", "fits"), [(29, False), (30, True), (31, True)])
def test_the_limit_counts_all_entries_together(allowed: int, fits: bool) -> None:
    payload = pack_metadata({"a": bytes(10), "b": b"0123456789", "c": bytes(10)})
    limits = replace(DEFAULT_LIMITS, metadata_bytes=allowed)
    if fits:
        assert len(unpack_metadata(payload, limits)) == 3
    else:
        with pytest.raises(LimitError, match="metadata"):
            unpack_metadata(payload, limits)


def test_many_entries_take_time_in_proportion() -> None:
    """Empty entries pass every limit on bytes."""
    count = 20_000
    payload = varint(count) + b"".join(entry(f"{i:06d}", 0, 0, b"") for i in range(count))
    started = time.process_time()
    assert len(unpack_metadata(payload)) == count
    assert time.process_time() - started < 1


# --- sources -------------------------------------------------------------------------------------


class Dribble(io.RawIOBase):
    """A stream that gives at most `chunk` bytes per read, as pipes and sockets do."""

    def __init__(self, data: bytes, chunk: int) -> None:
        self.data, self.chunk = io.BytesIO(data), chunk

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.data.read(self.chunk if size < 0 else min(size, self.chunk))


@every_golden
@pytest.mark.parametrize("chunk", [1, 6, 4096])
def test_a_dribbling_source_gives_the_same(path: Path, chunk: int) -> None:
    data = path.read_bytes()
    whole, dribbled = inrcodec.decode(data), inrcodec.decode(Dribble(data, chunk))
    np.testing.assert_array_equal(dribbled.samples, whole.samples)
    assert (dribbled.info, dribbled.metadata) == (whole.info, whole.metadata)
    assert inrcodec.info(Dribble(data, chunk)) == inrcodec.info(path)


# --- limits of a request -------------------------------------------------------------------------


def sized(height: int, width: int, channels: int = 1, tracks: int = 1) -> bytes:
    axes = Axis("y", height), Axis("x", width)
    names = tuple(f"channel{index}" for index in range(channels))
    spec = SirenSpec(2, channels, 2, 4)
    each = Track(SignalInfo(axes, names, "uint8", (0.0, 255.0)), spec)
    alpha = replace(each, info=replace(each.info, channels=("alpha",)))
    sections = [Section(PARAMETERS, track, coded(spec)) for track in range(tracks)]
    return pack(Header((each, alpha)[:tracks]), sections)


def within(data: bytes, limits: Limits, **request: object) -> bool:
    try:
        inrcodec.decode(data, limits=limits, **request)  # type: ignore[arg-type]
    except LimitError:
        return False
    return True


@pytest.mark.parametrize(("excess", "fits"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize(
    ("name", "cost"), [("samples", 2), ("macs", 2 * 4 + 4 * 4 + 4 * 2 + 2 * 4)]
)
def test_a_request_is_held_to_its_limits(name: str, cost: int, excess: int, fits: bool) -> None:
    """As many positions as allowed, one fewer, one more: of a file, a size, a crop, a scale."""
    limits = replace(DEFAULT_LIMITS, **{name: cost * 60})
    assert within(sized(60 + excess, 1, channels=2), limits) is fits
    data = sized(1, 30, channels=2)
    assert within(data, limits, size=(1, 60 + excess)) is fits
    # A crop is computed in whole tiles, so that its samples do not depend on it.
    crop = ((7, 8), (9, 69 + excess))
    assert within(data, limits, size=(200, 200), crop=crop) is (fits and name == "samples")
    assert within(data, limits, scale=1.4) is True
    assert within(data, limits, scale=2) is False


@pytest.mark.parametrize("name", ["samples", "macs"])
def test_a_smaller_lattice_costs_what_is_averaged(name: str) -> None:
    """One sample of a picture of 60 asks the field at 60 positions."""
    cost = {"samples": 1, "macs": 2 * 4 + 4 * 4 + 4 + 2 * 4}[name]
    data = sized(6, 10)
    assert within(data, replace(DEFAULT_LIMITS, **{name: cost * 60}), size=(1, 1))
    assert not within(data, replace(DEFAULT_LIMITS, **{name: cost * 60 - 1}), size=(1, 1))


@pytest.mark.parametrize("name", ["samples", "macs"])
def test_tracks_of_a_request_count_together(name: str) -> None:
    cost = {"samples": 1, "macs": 2 * 4 + 4 * 4 + 4 + 2 * 4}[name]
    data = sized(6, 10, tracks=2)
    assert within(data, replace(DEFAULT_LIMITS, **{name: 2 * cost * 60}))
    assert not within(data, replace(DEFAULT_LIMITS, **{name: 2 * cost * 60 - 1}))


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (sized(2**20, 2**20), {}),
        (sized(2**31 - 1, 2**31 - 1), {}),
        (sized(2**31 - 1, 2**31 - 1), {"size": (1, 1)}),
        (sized(2**31 - 1, 2**31 - 1), {"scale": 2**20}),
        (sized(2, 2), {"scale": 2**20}),
        (sized(2, 2), {"size": (2**62, 2**62)}),
        (sized(2, 2), {"size": (2**32, 1)}),
        (sized(2**14, 2**14, channels=2), {}),
    ],
    ids=["2^40", "2^62", "mean of 2^62", "2^102", "2^42", "2^124", "2^32", "2^29"],
)
def test_endless_requests_are_refused_at_once(data: bytes, request_: dict[str, object]) -> None:
    started = time.process_time()
    tracemalloc.start()
    assert not within(data, DEFAULT_LIMITS, **request_)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    assert time.process_time() - started < 0.1


def test_endless_work_on_few_samples_is_refused_at_once() -> None:
    """The budget of multiply-accumulates holds where the one of samples is far away."""
    spec = SirenSpec(2, 1, 3, 2000)
    info = SignalInfo((Axis("y", 8), Axis("x", 8)), ("grey",), "uint8", (0.0, 255.0))
    data = pack(Header((Track(info, spec),)), [Section(PARAMETERS, 0, coded(spec))])
    started = time.process_time()
    assert within(data, DEFAULT_LIMITS, size=(1, 1), crop=((0, 0), (0, 0)))
    assert not within(data, DEFAULT_LIMITS, scale=320)
    assert time.process_time() - started < 10


def test_a_part_of_an_endless_lattice_is_given() -> None:
    """Limits are on what is asked for, not on what a file could be asked for."""
    data = sized(2**31 - 1, 2**31 - 1)
    part = inrcodec.decode(data, crop=((2**30, 2**30 + 3), (5, 9)))
    assert part.samples.shape == (3, 4, 1)
