"""Checks that headers come back from their bytes, in one form only, and within limits."""

from __future__ import annotations

import math
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.container import pack, unpack_front
from inrcodec.bitstream.header import Header, Track
from inrcodec.bitstream.kinds import unpack_spec
from inrcodec.bitstream.wire import DEFAULT_LIMITS, MAGIC, Limits
from inrcodec.errors import (
    CorruptError,
    InrcodecError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.signal import Axis, SignalInfo, array_channels, full_range

HUGE = 2**63 - 1


# --- headers by hand -----------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def f64(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def axis(name: int = 1, size: int = 2, geometry: bytes = b"") -> bytes:
    return bytes([name + 128 * bool(geometry)]) + varint(size) + geometry


def track(
    content: bytes = b"\1",
    dtype: int = 1,
    kind: int = 1,
    axes: tuple[bytes, ...] = (axis(1), axis(2)),
    net: tuple[int, int, int] = (0, 0, 480),
    explicit: bytes = b"",
) -> bytes:
    front = content[:1] + bytes([dtype + 128 * bool(explicit), kind]) + content[1:] + explicit
    return front + varint(len(axes)) + b"".join(axes) + b"".join(map(varint, net))


def widths(*layers: int) -> bytes:
    return bytes([len(layers)]) + b"".join(map(varint, layers))


def pyramid(
    levels: int = 2,
    contexts: bytes = widths(4, 3),
    synthesis: bytes = widths(5),
    residuals: int = 1,
    tile: int = 0,
    start: int = 0,
    size: int = 2,
    content: bytes = b"\1",
) -> bytes:
    """A track of kind 2 on a lattice of `size` x 2."""
    front = track(content, kind=2, axes=(axis(1, size), axis(2)), net=(0, 0, 0))[:-3]
    return (
        front + bytes([levels]) + contexts + synthesis + bytes([residuals]) + varint(tile)
    ) + bytes([start])


def tiled(size: int, edges: bytes = widths(0, 1)) -> bytes:
    """A pyramid of `size` x 2 in tiles of one sample by two."""
    plain = pyramid(1, size=size)
    return plain[:2] + bytes([plain[2] | 0x80]) + plain[3:] + b"\x08" + edges


def body(*tracks: bytes, sections: int = 0) -> bytes:
    return varint(len(tracks)) + varint(sections) + b"".join(tracks)


def front(content: bytes, size: int | None = None, version: bytes = b"\1\0") -> bytes:
    """The bytes of a header around a body, with the right CRC-32."""
    data = MAGIC + version + varint(len(content) if size is None else size) + content
    return data + zlib.crc32(data).to_bytes(4, "little")


def header_of(content: bytes, limits: Limits = DEFAULT_LIMITS) -> Header:
    return unpack_front(front(content), limits)[0]


def test_the_header_by_hand_is_the_header_of_the_package() -> None:
    info = SignalInfo((Axis("y", 2), Axis("x", 2)), ("grey",), "uint8", (0.0, 255.0))
    assert front(body(track())) == pack(Header((Track(info, SirenSpec(2, 1, 0, 0)),)), [])


def test_the_pyramid_by_hand_is_the_pyramid_of_the_package() -> None:
    info = SignalInfo((Axis("y", 300), Axis("x", 2)), ("grey",), "uint8", (0.0, 255.0))
    spec = PyramidSpec((300, 2), 1, 4, (16, 200), (), 2, tile=24, start=0)
    by_hand = pyramid(4, widths(16, 200), widths(), residuals=2, tile=3, size=300)
    assert front(body(by_hand), version=b"\1\1") == pack(Header((Track(info, spec),)), [])


def test_a_file_names_the_oldest_version_that_can_read_it() -> None:
    """A file without pyramids is what it always was."""
    info = SignalInfo((Axis("x", 9),), ("grey",), "uint8", (0.0, 255.0))
    siren, pyramid = (
        Track(info, spec) for spec in (SirenSpec(1, 1, 0, 0), PyramidSpec((9,), 1, 1, (), (), 0))
    )
    assert [pack(Header(each), [])[8:10] for each in ((siren,), (pyramid,), (pyramid, siren))] == [
        b"\1\0",
        b"\1\1",
        b"\1\1",
    ]


@pytest.mark.parametrize(
    ("axis", "channels", "dtype"),
    [
        (Axis("z", 9), ("grey",), "uint8"),
        (Axis("depth", 9), ("grey",), "uint8"),
        (Axis("x", 9), ("value0",), "uint8"),
        (Axis("x", 9), ("grey",), "int8"),
        (Axis("x", 9), ("grey",), "float64"),
    ],
)
def test_a_file_of_an_array_names_version_1_2(
    axis: Axis, channels: tuple[str, ...], dtype: str
) -> None:
    info = SignalInfo((axis,), channels, dtype, full_range(dtype))
    data = pack(Header((Track(info, SirenSpec(1, 1, 0, 0)),)), [])
    assert data[8:10] == b"\1\2"
    assert unpack_front(data)[0].tracks[0].info == info


def test_numbers_of_arrays_are_short() -> None:
    """A header counts where a file has a thousand bytes."""
    axes = Axis("z", 64, 2.0, -3.0, "mm"), Axis("y", 64, 0.5), Axis("x", 64, 0.1)
    info = SignalInfo(axes, ("value0",), "uint16", (16633.0, 24070.0))
    spec = PyramidSpec(info.lattice, 1, 3, (), (), 0)
    data = pack(Header((Track(info, spec),)), [])
    # Range 3 + 3; spacing, origin, unit of z 1 + 1 + 3, of y 5 + 1 + 1, of x 9 + 1 + 1.
    assert len(data) == 8 + 2 + 1 + 2 + 4 + 6 + 1 + 3 * 2 + 5 + 7 + 11 + 6 + 4


@pytest.mark.parametrize(
    ("value", "size"),
    [
        *[(0.0, 1), (-1.0, 1), (62.0, 1), (63.0, 2), (2.0**53, 8), (-(2.0**53), 8)],
        *[(0.5, 5), (-(2.0**100), 5), (0.1, 9), (1e300, 9), (2.0**60, 5), (1e-320, 9)],
    ],
)
def test_a_number_has_its_shortest_form(value: float, size: int) -> None:
    data = primitives.number(value)
    assert len(data) == size
    assert primitives.Reader(data, "it").number() == value
    longer = [b"\1" + struct.pack("<f", value)] if abs(value) < 1e38 else []
    for other in (*longer, b"\0" + struct.pack("<d", value)):
        if len(other) > size:
            with pytest.raises(CorruptError, match=r"shorter|negative"):
                primitives.Reader(other, "it").number()


@pytest.mark.parametrize("tile", [6, 7, 9])
def test_a_tile_that_cannot_be_written_is_not(tile: int) -> None:
    info = SignalInfo((Axis("x", 90),), ("grey",), "uint8", (0.0, 255.0))
    with pytest.raises(ValueError, match=f"tile {tile}"):
        pack(Header((Track(info, PyramidSpec((90,), 1, 3, (), (), 0, tile)),)), [])


# --- round trips ---------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
moderate = st.floats(-1e30, 1e30).map(lambda x: x + 0.0)


@given(finite)
def test_numbers_come_back(value: float) -> None:
    data = primitives.number(value)
    assert primitives.Reader(data, "it").number() == value
    assert len(data) <= 9


@st.composite
def lattice_axes(draw: st.DrawFn, name: str) -> Axis:
    size = draw(st.one_of(st.integers(1, 2**31 - 1), st.integers(1, 100)))
    if draw(st.booleans()):
        return Axis(name, size)
    unit = draw(st.text(st.characters(codec="utf-8"), max_size=16))
    return Axis(name, size, draw(finite.filter(bool)), draw(finite), unit)


@st.composite
def value_ranges(draw: st.DrawFn, dtype: str) -> tuple[float, float]:
    if draw(st.booleans()):
        return full_range(dtype)
    inside = moderate if dtype.startswith("float") else st.floats(*full_range(dtype))
    low, high = sorted((draw(inside), draw(inside)))
    # A range too narrow for float32 has no meaning.
    return (low, high) if high - low > 1e-30 else full_range(dtype)


AXIS_NAMES = ["y", "x", "z", "t", "longitude", "wavelength", "depth", "Lat", "ensemble member"]
layers = st.lists(st.integers(1, 256), max_size=4).map(tuple)


@st.composite
def pyramids(draw: st.DrawFn, lattice: tuple[int, ...], outputs: int) -> PyramidSpec:
    levels = draw(st.integers(1, 16))
    unit = 2 ** (levels - 1)
    tile = unit * draw(st.integers(0, (max(lattice) - 1) // unit))
    if tile and math.prod(-(-size // tile) for size in lattice) > DEFAULT_LIMITS.sections:
        tile = 0
    residuals, kept = draw(st.integers(0, 4)), draw(st.integers(0, len(lattice) - 1))
    networks = draw(layers), draw(layers)
    spec = PyramidSpec(lattice, outputs, levels, *networks, residuals, tile, kept=kept)
    most = [(size - 1).bit_length() for size in lattice]
    powers = [draw(st.integers(max(0, power - 3), power)) for power in most]
    if draw(st.booleans()) and powers != most:
        spec = replace(spec, tile=0, edges=tuple(2**power for power in powers))
    if kept and draw(st.booleans()):
        axis, rank = draw(st.integers(0, len(lattice) - 1)), draw(st.integers(1, 9))
        rest = (*lattice[:axis], *lattice[axis + 1 :])
        mixed = replace(
            spec, lattice=(rank, *rest), tile=0, edges=(), mixed=lattice[axis], axis=axis
        )
        mixed = replace(mixed, differences=draw(st.booleans()))
        if max(mixed.latent_count, mixed.parameter_count) < 2**22:
            return mixed
    # Kept axes make more latents than a file may have.
    return spec if spec.latent_count < 2**26 else replace(spec, kept=0)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    dtype = draw(st.sampled_from([number.name.lower() for number in wire.DtypeId]))
    value_range = draw(value_ranges(dtype))
    names = draw(st.permutations(AXIS_NAMES))[: draw(st.integers(1, 4))]
    axes = tuple(draw(lattice_axes(name)) for name in names)
    count = draw(st.integers(1, 3))
    tracks = []
    for _ in range(count):
        values = tuple(f"channel{index}" for index in range(draw(st.integers(1, 20))))
        array = array_channels(draw(st.integers(1, 20)))
        known = [("grey",), ("red", "green", "blue"), ("alpha",), values, array]
        channels = draw(st.sampled_from(known))
        info = SignalInfo(axes, channels, dtype, value_range)
        if draw(st.booleans()) and info.positions < 2**24:
            tracks.append(Track(info, draw(pyramids(info.lattice, len(channels)))))
            continue
        depth = draw(st.integers(0, 20))
        width = draw(st.integers(1, 200)) if depth else 0
        omega_0 = draw(st.integers(1, 160_000)) / 16
        spec = SirenSpec(len(axes), len(channels), depth, width, omega_0)
        tracks.append(Track(info, spec))
    return Header(tuple(tracks))


@settings(max_examples=300, deadline=None)
@given(headers(), st.binary(max_size=20))
def test_a_header_comes_back(header: Header, following: bytes) -> None:
    data = pack(header, [])
    assert unpack_front(data + following) == (header, 0, len(data))


@settings(max_examples=300, deadline=None)
@given(headers(), st.data())
def test_a_damaged_header_with_the_right_checksum_is_refused_or_canonical(
    header: Header, data: st.DataObject
) -> None:
    """Whatever is accepted has no other form: packing it gives the same bytes."""
    packed = pack(header, [])
    content = bytearray(packed[-4 - len(header_body(packed)) : -4])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        choice = data.draw(st.sampled_from(["change", "drop", "insert"]))
        if choice == "change":
            content[place] = data.draw(st.integers(0, 255))
        elif choice == "drop" and len(content) > 1:
            del content[place]
        else:
            content.insert(place, data.draw(st.integers(0, 255)))
    damaged = front(bytes(content))
    try:
        found, count, offset = unpack_front(damaged)
    except InrcodecError:
        return
    assert offset == len(damaged)
    again = pack(found, [])
    assert header_body(again)[2:] == header_body(damaged)[1 + len(varint(count)) :]


def header_body(data: bytes) -> bytes:
    reader = primitives.Reader(data, "test", len(MAGIC) + 2)
    return reader.take(reader.varint())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_a_header_are_refused_with_one_family_of_errors(content: bytes) -> None:
    try:
        header_of(content)
    except InrcodecError:
        return


@settings(max_examples=100, deadline=None)
@given(headers())
def test_every_prefix_of_a_header_is_truncated(header: Header) -> None:
    data = pack(header, [])
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            unpack_front(data[:size])


def test_the_header_is_read_without_the_rest_of_the_file() -> None:
    """What lets a reader describe a file of which it has only the beginning."""
    header, sections, offset = unpack_front(front(body(track(), sections=7)))
    assert header.tracks[0].info.lattice == (2, 2)
    assert (sections, offset) == (7, 29)


# --- primitives ----------------------------------------------------------------------------------


@given(st.integers(0, HUGE))
def test_a_varint_comes_back_from_the_fewest_bytes(value: int) -> None:
    data = primitives.varint(value)
    assert data == varint(value)
    assert len(data) == max(1, math.ceil(value.bit_length() / 7))
    reader = primitives.Reader(data, "test")
    assert reader.varint() == value
    reader.finish()


@given(st.integers(0, HUGE), st.integers(1, 8))
def test_a_varint_with_zeros_on_top_is_refused(value: int, zeros: int) -> None:
    data = bytearray(varint(value))
    data[-1] += 128
    data += b"\x80" * (zeros - 1) + b"\0"
    with pytest.raises(CorruptError, match="number"):
        primitives.Reader(bytes(data), "test").varint()


@pytest.mark.parametrize("data", [b"\xff" * 9, b"\xff" * 9 + b"\1", b"\x80" * 100])
def test_a_varint_of_more_than_63_bits_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="number"):
        primitives.Reader(data, "test").varint()


@pytest.mark.parametrize("value", [-1, 2**63, 2**64])
def test_a_number_that_is_no_varint_is_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="varint"):
        primitives.varint(value)


@given(st.integers(0, 2**63 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))))
def test_floats_come_back_and_must_be_finite(values: tuple[float]) -> None:
    (value,) = values
    reader = primitives.Reader(f64(value), "test")
    if math.isfinite(value):
        assert reader.f64() == value
    else:
        with pytest.raises(CorruptError, match="finite"):
            reader.f64()


def test_negative_zero_is_not_another_zero() -> None:
    """It equals 0, so it would be a second form of the same value."""
    with pytest.raises(CorruptError):
        primitives.Reader(f64(-0.0), "test").f64()
    assert primitives.row([("low", "f64")], {"low": -0.0}) == bytes(8)


def test_text_is_short_and_utf_8() -> None:
    for text in ("", "mm", "µm", "x" * 64, "\0"):
        assert primitives.Reader(primitives.text(text), "test").text() == text
    for data in (b"\x41" + b"x" * 65, b"\1\xff", b"\2\xc0\x80", b"\3\xed\xa0\x80", varint(2**40)):
        with pytest.raises(CorruptError, match="text"):
            primitives.Reader(data, "test").text()
    with pytest.raises(ValueError, match="65"):
        primitives.text("x" * 65)


# --- what a header cannot say --------------------------------------------------------------------

GEOMETRY = f64(2.0, 0.0) + b"\0"
NAN, INF = math.nan, math.inf

CORRUPT = {
    "no track": varint(0) + varint(0),
    "no axis": body(track(axes=())),
    "no channel": body(track(content=b"\0\0")),
    "an axis of no samples": body(track(axes=(axis(1, 0), axis(2)))),
    "an axis twice": body(track(axes=(axis(1), axis(1)))),
    "omega_0 of zero": body(track(net=(0, 0, 0))),
    "layers without width": body(track(net=(2, 0, 480))),
    "width without layers": body(track(net=(0, 2, 480))),
    "a byte too many": body(track()) + b"\0",
    "a track too few": varint(2) + varint(0) + track(),
    "a byte too few": body(track())[:-1],
    "an infinite spacing": body(track(axes=(axis(1, 2, f64(INF, 0) + b"\0"),))),
    "an origin that is no number": body(track(axes=(axis(1, 2, f64(2, NAN) + b"\0"),))),
    "a negative zero": body(track(axes=(axis(1, 2, f64(2, -0.0) + b"\0"),))),
    "a spacing of zero": body(track(axes=(axis(1, 2, f64(0, 0) + b"\0"),))),
    "the default geometry": body(track(axes=(axis(1, 2, f64(1, 0) + b"\0"),))),
    "a unit that is no text": body(track(axes=(axis(1, 2, f64(2, 0) + b"\1\xff"),))),
    "a long unit": body(track(axes=(axis(1, 2, f64(2, 0) + b"\x41" + b"m" * 65),))),
    "a padded size": body(track(axes=(b"\1\x82\0", axis(2)))),
    "a pyramid without levels": body(pyramid(levels=0)),
    "contexts without units": body(pyramid(contexts=widths(4, 0))),
    "a synthesis without units": body(pyramid(synthesis=widths(0))),
    "a width in more bytes": body(pyramid(synthesis=b"\1\x85\0")),
    "a tile as long as the lattice": body(pyramid(levels=1, tile=2)),
    "a tile longer than the lattice": body(pyramid(tile=2**40)),
    "a pyramid that is cut": body(pyramid()[:-1]),
    "sines as a pyramid": body(track(kind=2)),
    "another axis in the alpha track": body(track(), track(b"\3", axes=(axis(1), axis(2, 3)))),
    "fewer axes in the alpha track": body(track(), track(b"\3", axes=(axis(1),))),
    "other geometry in the alpha track": body(
        track(), track(b"\3", axes=(axis(1), axis(2, 2, GEOMETRY)))
    ),
    "another type in the alpha track": body(track(), track(b"\3", dtype=2)),
    "another range in the alpha track": body(track(), track(b"\3", explicit=f64(0, 9))),
}

RANGES = {
    "infinite": (1, 0.0, INF),
    "no number": (1, NAN, 9.0),
    "empty": (3, 5.0, 5.0),
    "upside down": (3, 5.0, 4.0),
    "the default for uint8": (1, 0.0, 255.0),
    "the default for uint16": (2, 0.0, 65535.0),
    "the default for float32": (3, 0.0, 1.0),
    "the default with another zero": (1, -0.0, 255.0),
    "below uint8": (1, -1.0, 255.0),
    "above uint8": (1, 0.0, 255.5),
    "far above uint8": (1, 0.0, 1e300),
    "above uint16": (2, 0.0, 65536.0),
    "wider than float64": (3, -1.7e308, 1.7e308),
    "beyond float32": (3, 0.0, 1e300),
    "wider than float32": (3, -3e38, 3e38),
    "narrower than float32": (3, 0.0, 1e-320),
}
CORRUPT |= {
    f"a range that is {name}": body(track(dtype=dtype, explicit=f64(low, high)))
    for name, (dtype, low, high) in RANGES.items()
}

UNSUPPORTED = {
    "content 5": body(track(content=b"\5")),
    "content 255": body(track(content=b"\xff")),
    "sample type 0": body(track(dtype=0)),
    "sample type 10": body(track(dtype=10)),
    "sample type 127 with a range": body(track(dtype=127, explicit=f64(0, 9))),
    "kind 0": body(track(kind=0)),
    "kind 4": body(track(kind=4)),
    "kind 255": body(track(kind=255)),
    "start 9": body(pyramid(start=9)),
    "start 255": body(pyramid(start=255)),
    "axis 13": body(track(axes=(axis(13), axis(2)))),
    "axis 127 with geometry": body(track(axes=(axis(127, 2, GEOMETRY),))),
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_an_impossible_header_is_corrupt(content: bytes) -> None:
    with pytest.raises(CorruptError, match="header"):
        header_of(content)


@pytest.mark.parametrize("content", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_an_unknown_id_is_unsupported(content: bytes) -> None:
    with pytest.raises(UnsupportedError, match="newer inrcodec"):
        header_of(content)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (1, 0.0, 254.0),
        (1, 0.25, 200.7),
        (2, 100.0, 65535.0),
        (3, -3.4e38, 0.0),
        (3, 0.0, 1e-40),
        (3, 1e30, 2e30),
    ],
)
def test_an_unusual_range_is_accepted(dtype: int, low: float, high: float) -> None:
    header = header_of(body(track(dtype=dtype, explicit=f64(low, high))))
    assert header.tracks[0].info.value_range == (low, high)


def test_geometry_may_run_backwards() -> None:
    header = header_of(body(track(axes=(axis(2, 5, f64(-0.5, 7) + b"\2mm"),))))
    assert header.tracks[0].info.axes == (Axis("x", 5, -0.5, 7.0, "mm"),)


# --- limits --------------------------------------------------------------------------------------

ASKED: dict[str, tuple[int | float, Callable[[int], bytes]]] = {
    "axis_size": (10, lambda n: body(track(axes=(axis(1, n),)))),
    "axes": (2, lambda n: varint(1) + varint(0) + b"\1\1\1" + varint(n) + track()[4:]),
    "channels": (7, lambda n: body(track(content=b"\0" + varint(n)))),
    "tracks": (3, lambda n: varint(n) + varint(0) + track() * min(n, 3)),
    "sections": (5, lambda n: body(track(), sections=n)),
    "parameters": (3, lambda n: body(track(content=b"\0" + varint(max(1, n // 3))))),
    "depth": (4, lambda n: body(track(net=(n, 2, 480)))),
    "width": (4, lambda n: body(track(net=(2, n, 480)))),
    "omega_0": (8, lambda n: body(track(net=(2, 2, 16 * min(n, HUGE // 16))))),
    "header_bytes": (len(body(track())), lambda n: body(track())),
    "levels": (5, lambda n: body(pyramid(levels=min(n, 255)))),
    "layers": (3, lambda n: body(pyramid(2, widths(), widths(*[2] * min(n, 255))))),
    "units": (7, lambda n: body(pyramid(contexts=widths(3, n, 2)))),
    "residuals": (3, lambda n: body(pyramid(residuals=min(n, 255)))),
    "dimensions": (
        5,
        lambda n: body(track(kind=3)[:-4] + bytes(8) + b"\4\1" + varint(n) + b"\3\x80"),
    ),
    "latents": (60, lambda n: body(pyramid(1, size=n // 2))),
    "tiles": (600, lambda n: body(tiled(n))),
}
"""Of every limit that a header can break: how much is asked, and a header that asks it."""

ELSEWHERE = {"samples", "metadata_bytes", "macs"}

every_limit = pytest.mark.parametrize("name", ASKED)


def test_every_limit_is_tested() -> None:
    assert {field.name for field in fields(Limits)} == ASKED.keys() | ELSEWHERE


@every_limit
def test_what_is_within_a_limit_is_accepted(name: str) -> None:
    asked, make = ASKED[name]
    for allowed in (asked, asked + 1, 2**64):
        header_of(make(int(asked)), replace(DEFAULT_LIMITS, **{name: allowed}))


@every_limit
def test_one_more_than_a_limit_is_refused(name: str) -> None:
    asked, make = ASKED[name]
    for allowed in (asked - 1, 0):
        with pytest.raises(LimitError) as caught:
            header_of(make(int(asked)), replace(DEFAULT_LIMITS, **{name: allowed}))
        assert (caught.value.asked, caught.value.allowed) == (asked, allowed)


@every_limit
@pytest.mark.parametrize("asked", [2**31, 2**32 - 1, 2**40, HUGE])
def test_endless_demands_are_refused_at_once(name: str, asked: int) -> None:
    data = front(ASKED[name][1](asked), asked if name == "header_bytes" else None)
    started = time.process_time()
    with pytest.raises(LimitError):
        unpack_front(data)
    assert time.process_time() - started < 0.05


def test_the_largest_network_is_within_no_other_limit() -> None:
    """Depth and width within their limits still ask for too many parameters."""
    with pytest.raises(LimitError, match="parameters"):
        header_of(body(track(net=(DEFAULT_LIMITS.depth, DEFAULT_LIMITS.width, 480))))


def test_parameters_of_all_tracks_count_together() -> None:
    """Else sixteen tracks would make sixteen times the work that is allowed."""
    content = body(*[track()] * 4)
    header_of(content, replace(DEFAULT_LIMITS, parameters=12))
    with pytest.raises(LimitError, match="parameters"):
        header_of(content, replace(DEFAULT_LIMITS, parameters=11))


CONTEXT_WEIGHTS = 21 * 4 + 4 * 3 + 3 * 2 + 21 * 2
"""Of the pyramid above: its layers, and the skip."""


def test_latents_and_contexts_of_all_tracks_count_together() -> None:
    content = body(*[pyramid()] * 3)
    # Levels of 2 x 2 and 1 x 1.
    for name, asked in (("latents", 15), ("macs", 15 * CONTEXT_WEIGHTS)):
        header_of(content, replace(DEFAULT_LIMITS, **{name: asked}))
        with pytest.raises(LimitError) as caught:
            header_of(content, replace(DEFAULT_LIMITS, **{name: asked - 1}))
        assert caught.value.asked == asked


def test_a_pyramid_of_more_axes_than_have_contexts_is_refused_whatever_the_limits() -> None:
    """Only four numbers of axes have neighbours by definition."""
    info = SignalInfo(tuple(Axis("x", 2) for _ in range(5)), ("grey",), "uint8", (0.0, 255.0))
    reader = primitives.Reader(pyramid()[8:], "header")
    with pytest.raises(LimitError, match="axes"):
        unpack_spec(wire.KindId.PYRAMID, False, reader, info, replace(DEFAULT_LIMITS, axes=9))


def test_endless_context_networks_are_refused_at_once() -> None:
    """Few latents, wide layers: within every other limit."""
    wide = pyramid(1, widths(256, 256, 256, 256), size=2**27)
    started = time.process_time()
    with pytest.raises(LimitError, match="context networks"):
        header_of(body(wide))
    assert time.process_time() - started < 0.05


def test_defaults_are_what_users_were_told() -> None:
    """A lower default would refuse files that were fine; a higher one is a new risk."""
    assert (
        Limits(
            samples=2**28,
            axis_size=2**31 - 1,
            axes=4,
            channels=1024,
            tracks=16,
            sections=1024,
            header_bytes=2**16,
            metadata_bytes=2**22,
            parameters=2**24,
            depth=64,
            width=2048,
            omega_0=1e4,
            macs=5 * 10**13,
            levels=16,
            layers=4,
            units=256,
            residuals=4,
            latents=2**28,
        )
        == DEFAULT_LIMITS
    )


# --- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "released"),
    [
        (wire.SectionType, {"METADATA": 0x01, "PARAMETERS": 0x81, "LATENTS": 0x82}),
        (wire.KindId, {"SIREN": 1, "PYRAMID": 2}),
        (
            wire.StartId,
            {
                "NONE": 0,
                "RGB_12_12_24_2": 1,
                "RGB_16_16_32_2": 2,
                "RGB_20_20_48_2": 3,
                "GREY_12_12_24_2": 4,
            },
        ),
        (wire.ContentId, {"VALUES": 0, "GREY": 1, "RGB": 2, "ALPHA": 3}),
        (wire.DtypeId, {"UINT8": 1, "UINT16": 2, "FLOAT32": 3}),
        (wire.AxisId, {"Y": 1, "X": 2}),
        (wire.MetadataCoding, {"RAW": 0, "DEFLATE": 1}),
    ],
)
def test_a_released_id_never_changes(ids: type, released: dict[str, int]) -> None:
    assert {name: int(ids[name]) for name in released} == released
