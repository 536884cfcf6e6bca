"""Checks that every rule of the specification is kept: a file that breaks it is refused.

`tests/hostile` has a small file or more for each rule, made here and named after the rule.
INRCODEC_WRITE_GOLDEN=1 writes the ones that are missing, and overwrites none.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import constriction
import numpy as np
import pytest

import inrcodec
from inrcodec.coding.priors import PRECISION, table
from inrcodec.errors import CorruptError, LimitError, TruncatedError, UnsupportedError

HOSTILE = Path(__file__).parent / "hostile"

MAGIC = b"\x89INRC\r\n\x1a"
PARAMETERS, METADATA = 0x81, 0x01
DELTA, SWITCH, SYMBOLS = 62, 6, 20
"""Probability tables: of step and scale, of shape, and the first predicted one of symbols."""


# --- files by hand, so that they can be wrong ----------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def f64(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def axis(name: int, size: int = 2, geometry: bytes = b"") -> bytes:
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


def section(kind: int, payload: bytes, owner: int = 0) -> bytes:
    data = bytes([kind]) + varint(owner) + varint(len(payload)) + payload
    return data + crc(data)


def coded(*parts: tuple[int | None, list[int]]) -> bytes:
    """Range-coded positions in the alphabets of tables; `None` is for plain bits."""
    coder = constriction.stream.queue.RangeEncoder()
    for index, positions in parts:
        frequencies = (1 << 15,) * 2 if index is None else table(index).frequencies
        chances = np.array(frequencies, np.float64) / 2**PRECISION
        model = constriction.stream.model.Categorical(chances, perfect=False)
        coder.encode(np.array(positions, np.int32), model)
    return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


Parts = list[tuple[int | None, list[int]]]


def symbol(index: int, value: int) -> Parts:
    """One symbol, with its escape code if the table does not list it."""
    reach = table(index).reach
    if abs(value) <= reach:
        return [(index, [value + reach])]
    excess = abs(value) - reach
    length = excess.bit_length() - 1
    low = [excess >> bit & 1 for bit in reversed(range(length))]
    return [(index, [2 * reach + 1]), (None, [*[1] * length, 0, *low, int(value < 0)])]


def recipe(step: int = 0, scale: int = 0, shape: int = 0) -> Parts:
    """Differences of the three indices to their predictions."""
    return [*symbol(DELTA, step), *symbol(DELTA, scale), *symbol(SWITCH, shape)]


def zeros(count: int) -> tuple[int, list[int]]:
    return SYMBOLS, [table(SYMBOLS).reach] * count


RUN = coded(*recipe(), zeros(2), *recipe(), zeros(1))
"""A weight matrix of two zeros and a bias of zero."""

GOOD = section(PARAMETERS, varint(3) + RUN)


def body(*tracks: bytes, sections: int = 1) -> bytes:
    return varint(len(tracks)) + varint(sections) + b"".join(tracks)


def front(content: bytes, version: bytes = b"\1\0", size: bytes = b"") -> bytes:
    data = MAGIC + version + (size or varint(len(content))) + content
    return data + crc(data)


def header(*tracks: bytes, rest: bytes = GOOD, sections: int = 1) -> bytes:
    """A file with given tracks."""
    return front(body(*tracks, sections=sections)) + rest


def sections(*parts: bytes) -> bytes:
    """A file of one good track with given sections."""
    return header(track(), rest=b"".join(parts), sections=len(parts))


def run(payload: bytes) -> bytes:
    return sections(section(PARAMETERS, payload))


def geometry(data: bytes) -> bytes:
    return header(track(axes=(axis(1, 2, data), axis(2))))


def value_range(dtype: int, low: float, high: float) -> bytes:
    return header(track(dtype=dtype, explicit=f64(low, high)))


def metadata(payload: bytes) -> bytes:
    return sections(GOOD, section(METADATA, payload))


def entry(name: bytes, coding: int = 0, size: int = 1, stored: bytes = b"x") -> bytes:
    front = varint(len(name)) + name + bytes([coding])
    return front + varint(size) + varint(len(stored)) + stored


def escape(*bits: int) -> bytes:
    symbol = (SYMBOLS, [2 * table(SYMBOLS).reach + 1, table(SYMBOLS).reach])
    return run(varint(3) + coded(*recipe(), symbol, (None, list(bits))))


def deep_run(depth: int, width: int) -> bytes:
    """Zeros for a whole network, coded with the narrowest table: next to nothing."""
    widths = [2, *[width] * depth, 1]
    parts: Parts = []
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        for size in (inputs * outputs, outputs):
            # The later arrays of a role are predicted to be as the first.
            parts += recipe(scale=0 if layer else -20)
            parts.append((0, [table(0).reach] * size))
    count = sum(inputs * outputs + outputs for inputs, outputs in pairwise(widths))
    return varint(count) + coded(*parts)


WHOLE = sections(GOOD)
UNKNOWN_AXES = tuple(axis(1 + index % 2) for index in range(5))
# A zlib stream by hand, one stored block: the same with every implementation of zlib.
DEFLATED = (
    b"\x78\x01\x01\x64\x00\x9b\xff" + b"x" * 100 + zlib.adler32(b"x" * 100).to_bytes(4, "big")
)

# --- every rule, the error it gives, and files that break it -------------------------------------

Rule = tuple[type[Exception], Callable[[], bytes]]

FILES: dict[str, Rule] = {
    "R01_empty": (TruncatedError, lambda: b""),
    "R01_cut_in_the_magic": (TruncatedError, lambda: WHOLE[:5]),
    "R01_cut_in_the_header": (TruncatedError, lambda: WHOLE[:20]),
    "R01_cut_in_the_payload": (TruncatedError, lambda: WHOLE[:-6]),
    "R01_cut_in_the_checksum": (TruncatedError, lambda: WHOLE[:-1]),
    "R01_section_too_long": (TruncatedError, lambda: WHOLE[:29] + b"\x81\0" + varint(2**62)),
    "R02_another_format": (CorruptError, lambda: b"\x89PNG\r\n\x1a\n" + WHOLE[8:]),
    "R02_line_ends_converted": (CorruptError, lambda: WHOLE.replace(b"\r\n", b"\n")),
    "R02_seven_bits": (CorruptError, lambda: bytes(byte & 0x7F for byte in WHOLE)),
    "R03_major_version_2": (
        UnsupportedError,
        lambda: front(body(track()), version=b"\2\0") + GOOD,
    ),
    "R03_major_version_0": (UnsupportedError, lambda: MAGIC + bytes(40)),
    "R04_header_checksum": (CorruptError, lambda: WHOLE[:25] + bytes(4) + WHOLE[29:]),
    "R05_padded_header_size": (CorruptError, lambda: front(body(track()), size=b"\x8e\0") + GOOD),
    "R05_padded_axis_size": (CorruptError, lambda: header(track(axes=(b"\1\x82\0", axis(2))))),
    "R05_number_of_64_bits": (
        CorruptError,
        lambda: header(track(axes=(b"\1" + b"\xff" * 9 + b"\1", axis(2)))),
    ),
    "R06_spacing_not_a_number": (CorruptError, lambda: geometry(f64(np.nan, 0) + b"\0")),
    "R06_infinite_origin": (CorruptError, lambda: geometry(f64(2, -np.inf) + b"\0")),
    "R06_negative_zero": (CorruptError, lambda: geometry(f64(2, -0.0) + b"\0")),
    "R07_unit_not_utf_8": (CorruptError, lambda: geometry(f64(2, 0) + b"\2\xc3\x28")),
    "R07_unit_too_long": (CorruptError, lambda: geometry(f64(2, 0) + b"\x41" + b"m" * 65)),
    "R08_header_too_long": (CorruptError, lambda: front(body(track()) + b"\0") + GOOD),
    "R08_header_too_short": (CorruptError, lambda: front(body(track())[:-1]) + GOOD),
    "R09_no_track": (CorruptError, lambda: front(body(sections=0))),
    "R10_unknown_content": (UnsupportedError, lambda: header(track(content=b"\4"))),
    "R11_unknown_sample_type": (UnsupportedError, lambda: header(track(dtype=4))),
    "R12_unknown_kind": (UnsupportedError, lambda: header(track(kind=2))),
    "R13_no_channel": (CorruptError, lambda: header(track(content=b"\0\0"))),
    "R13_no_axis": (CorruptError, lambda: header(track(axes=()))),
    "R14_empty_range": (CorruptError, lambda: value_range(3, 5, 5)),
    "R14_default_range": (CorruptError, lambda: value_range(1, 0, 255)),
    "R14_range_below_the_type": (CorruptError, lambda: value_range(1, -1, 255)),
    "R14_range_above_the_type": (CorruptError, lambda: value_range(2, 0, 65536)),
    "R14_range_beyond_float32": (CorruptError, lambda: value_range(3, 0, 1e300)),
    "R14_range_lost_in_float32": (CorruptError, lambda: value_range(3, 0, 1e-320)),
    "R15_unknown_axis": (UnsupportedError, lambda: header(track(axes=(axis(3), axis(2))))),
    "R16_axis_without_samples": (CorruptError, lambda: header(track(axes=(axis(1, 0), axis(2))))),
    "R17_spacing_zero": (CorruptError, lambda: geometry(f64(0, 5) + b"\0")),
    "R17_default_geometry": (CorruptError, lambda: geometry(f64(1, 0) + b"\0")),
    "R18_axis_twice": (CorruptError, lambda: header(track(axes=(axis(2), axis(2))))),
    "R19_omega_zero": (CorruptError, lambda: header(track(net=(0, 0, 0)))),
    "R19_layers_without_width": (CorruptError, lambda: header(track(net=(3, 0, 480)))),
    "R19_width_without_layers": (CorruptError, lambda: header(track(net=(0, 3, 480)))),
    "R20_lattices_differ": (
        CorruptError,
        lambda: header(
            track(),
            track(b"\3", axes=(axis(2, 3),)),
            rest=GOOD
            + section(PARAMETERS, varint(2) + coded(*recipe(), zeros(1), *recipe(), zeros(1)), 1),
            sections=2,
        ),
    ),
    "R20_sample_types_differ": (
        CorruptError,
        lambda: header(
            track(),
            track(b"\3", dtype=3),
            rest=GOOD + section(PARAMETERS, varint(3) + RUN, 1),
            sections=2,
        ),
    ),
    "R21_section_checksum": (CorruptError, lambda: WHOLE[:-4] + bytes(4)),
    "R21_checksum_of_an_unknown_section": (
        CorruptError,
        lambda: sections(GOOD, section(0x42, b"?")[:-1] + b"\0"),
    ),
    "R22_unknown_critical_section": (
        UnsupportedError,
        lambda: sections(GOOD, section(0xC2, b"?")),
    ),
    "R23_track_that_is_not_there": (
        CorruptError,
        lambda: sections(section(PARAMETERS, varint(3) + RUN, owner=1)),
    ),
    "R24_no_section": (CorruptError, lambda: sections()),
    "R24_parameters_twice": (CorruptError, lambda: sections(GOOD, GOOD)),
    "R24_metadata_first": (
        CorruptError,
        lambda: sections(section(METADATA, b"\1" + entry(b"a")), GOOD),
    ),
    "R25_byte_appended": (CorruptError, lambda: WHOLE + b"\0"),
    "R25_file_appended": (CorruptError, lambda: WHOLE + WHOLE),
    "R26_symbol_too_few": (CorruptError, lambda: run(varint(2) + RUN)),
    "R26_endless_symbols": (CorruptError, lambda: run(varint(2**62) + RUN)),
    "R27_zero_byte_at_the_end": (CorruptError, lambda: run(varint(3) + RUN + b"\0")),
    "R28_quantile_too_high": (CorruptError, lambda: run(varint(3) + b"\xff" * 8)),
    "R29_step_below_0": (CorruptError, lambda: run(varint(3) + coded(*recipe(step=-73)))),
    "R29_step_above_127": (CorruptError, lambda: run(varint(3) + coded(*recipe(step=56)))),
    "R29_scale_above_47": (CorruptError, lambda: run(varint(3) + coded(*recipe(scale=28)))),
    "R29_shape_above_1": (CorruptError, lambda: run(varint(3) + coded(*recipe(shape=2)))),
    "R30_escape_without_end": (CorruptError, lambda: escape(*[1] * 200)),
    "R30_symbol_beyond_31_bits": (CorruptError, lambda: escape(*[1] * 30, 0, *[1] * 30, 0)),
    "R31_words_left_over": (CorruptError, lambda: run(varint(3) + RUN + b"\1" * 12)),
    "R32_metadata_too_long": (CorruptError, lambda: metadata(b"\1" + entry(b"a") + b"\0")),
    "R32_metadata_too_short": (CorruptError, lambda: metadata(b"\2" + entry(b"a"))),
    "R33_name_twice": (CorruptError, lambda: metadata(b"\2" + entry(b"a") + entry(b"a"))),
    "R33_names_out_of_order": (CorruptError, lambda: metadata(b"\2" + entry(b"b") + entry(b"a"))),
    "R33_no_entry": (CorruptError, lambda: metadata(b"\0")),
    "R34_unknown_coding": (CorruptError, lambda: metadata(b"\1" + entry(b"a", coding=2))),
    "R35_raw_size": (CorruptError, lambda: metadata(b"\1" + entry(b"a", size=2))),
    "R35_deflate_damaged": (
        CorruptError,
        lambda: metadata(b"\1" + entry(b"a", 1, 100, b"x" + DEFLATED)),
    ),
    "R35_deflate_cut": (CorruptError, lambda: metadata(b"\1" + entry(b"a", 1, 100, DEFLATED[:-1]))),
    "R35_deflate_goes_on": (
        CorruptError,
        lambda: metadata(b"\1" + entry(b"a", 1, 100, DEFLATED + b"\0")),
    ),
    "R35_deflate_gives_more": (
        CorruptError,
        lambda: metadata(b"\1" + entry(b"a", 1, 99, DEFLATED)),
    ),
    "R36_samples": (
        LimitError,
        lambda: header(track(axes=(axis(1, 2**20), axis(2, 2**20)))),
    ),
    "R36_axis_size": (LimitError, lambda: header(track(axes=(axis(1, 2**31), axis(2))))),
    "R36_axes": (LimitError, lambda: header(track(axes=UNKNOWN_AXES))),
    "R36_channels": (LimitError, lambda: header(track(content=b"\0" + varint(1025)))),
    "R36_tracks": (LimitError, lambda: front(varint(2**62) + b"\1" + track())),
    "R36_sections": (LimitError, lambda: header(track(), sections=1025)),
    "R36_header_bytes": (LimitError, lambda: front(body(track()), size=varint(2**40))),
    "R36_metadata_bytes": (LimitError, lambda: metadata(b"\1" + entry(b"a", size=2**22 + 1))),
    "R36_inflated_bytes": (
        LimitError,
        lambda: metadata(b"\2" + entry(b"a") + entry(b"b", 1, 2**22, DEFLATED)),
    ),
    "R36_parameters": (LimitError, lambda: header(track(net=(64, 2048, 480)))),
    "R36_parameters_of_all_tracks": (
        LimitError,
        lambda: header(*[track(net=(3, 2000, 480))] * 3, sections=3),
    ),
    "R36_depth": (LimitError, lambda: header(track(net=(65, 1, 480)))),
    "R36_width": (LimitError, lambda: header(track(net=(1, 2049, 480)))),
    "R36_omega": (LimitError, lambda: header(track(net=(1, 1, 160_001)))),
    "R36_multiply_accumulates": (
        LimitError,
        lambda: header(
            track(axes=(axis(1, 2**14), axis(2, 2**14)), net=(13, 128, 480)),
            rest=section(PARAMETERS, deep_run(13, 128)),
        ),
    ),
}


every_file = pytest.mark.parametrize("name", FILES)


def write_missing() -> None:
    for name, (_, make) in FILES.items():
        path = HOSTILE / f"{name}.inrc"
        if not path.exists():
            path.write_bytes(make())


if os.environ.get("INRCODEC_WRITE_GOLDEN"):
    write_missing()


def test_the_parts_make_a_good_file() -> None:
    """Each hostile file differs from this one by what its name says, and no more."""
    assert (inrcodec.decode(WHOLE).samples == 128).all()


@every_file
def test_a_hostile_file_is_what_its_maker_makes(name: str) -> None:
    assert (HOSTILE / f"{name}.inrc").read_bytes() == FILES[name][1]()


@every_file
def test_a_hostile_file_is_refused(name: str) -> None:
    """With the error that the specification names, and at once."""
    error, _ = FILES[name]
    started = time.process_time()
    with pytest.raises(error) as caught:
        inrcodec.decode(HOSTILE / f"{name}.inrc")
    assert time.process_time() - started < 0.5
    assert str(caught.value)


@every_file
def test_info_refuses_it_or_tells_what_it_says(name: str) -> None:
    """`info` decodes no symbols, so it may not notice; but it fails in the same ways only."""
    try:
        described = inrcodec.info(HOSTILE / f"{name}.inrc")
    except FILES[name][0]:
        return
    assert name[:3] in {"R26", "R27", "R28", "R29", "R30", "R31", "R36"}
    assert described["tracks"]


def test_every_hostile_file_is_listed() -> None:
    assert {path.name for path in HOSTILE.iterdir()} == {f"{name}.inrc" for name in FILES}


def test_hostile_files_are_small() -> None:
    """It takes few bytes to do harm."""
    assert max(path.stat().st_size for path in HOSTILE.iterdir()) < 500
