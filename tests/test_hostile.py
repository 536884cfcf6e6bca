"""Checks that every rule of the specification is kept: a file that breaks it is refused.

`tests/hostile` has a small file or more for each rule, made here and named after the rule.
INRCODEC_WRITE_GOLDEN=1 writes the ones that are missing, and overwrites none.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import constriction
import numpy as np
import pytest

import inrcodec
from inrcodec.coding.latent_tables import latent_table
from inrcodec.coding.priors import PRECISION, table
from inrcodec.coding.tensors import unpack_tensors
from inrcodec.errors import (
    CorruptError,
    LimitError,
    MissingBaseError,
    TruncatedError,
    UnsupportedError,
)

HOSTILE = Path(__file__).parent / "hostile"
TINY = HOSTILE.parent / "golden" / "bases" / "tiny.safetensors"

MAGIC = b"\x89INRC\r\n\x1a"
PARAMETERS, LATENTS, RESIDUAL, MASK, METADATA = 0x81, 0x82, 0x83, 0x84, 0x01
SPARSE = 0x87
DELTA, STEP, SWITCH, SYMBOLS, COUNT = 62, 68, 6, 20, 80
EXPECTED = {
    "context": (75, 96),
    "context_bias": (75, 96),
    "upsampling": (56, 91),
    "synthesis": (69, 92),
    "synthesis_bias": (66, 91),
}
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


def f32(value: float) -> bytes:
    return struct.pack("<f", value)


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


def siren_variant(
    activation: int, shape: int = 0, encoding: int = 0, order: int = 0, depth: int = 1
) -> bytes:
    """A file of one layer of one unit, all of whose parameters are 0."""
    front = track(kind=129, net=(depth, depth, 480))
    front += bytes([activation]) + varint(shape) + bytes([encoding]) + varint(order)
    sizes = [2 * [1, 1 + 2 * order, order][encoding % 3], 1, 1, 1] if depth else [2, 1]
    parts = [part for size in sizes for part in (*recipe(), zeros(size))]
    return header(
        front, rest=section(PARAMETERS, varint(sum(sizes)) + coded(*parts)), version=b"\1\2"
    )


def section(kind: int, payload: bytes, owner: int = 0) -> bytes:
    data = bytes([kind]) + varint(owner) + varint(len(payload)) + payload
    return data + crc(data)


Table = int | tuple[int, int] | None
"""Number of a table of parameters, phase and scale index of one of latents; None is plain bits."""

Parts = list[tuple[Table, list[int]]]


def frequencies_of(which: Table) -> tuple[int, ...]:
    if which is None:
        return (1 << 15,) * 2
    return (latent_table(*which) if isinstance(which, tuple) else table(which)).frequencies


def coded(*parts: tuple[Table, list[int]]) -> bytes:
    """Range-coded positions in the alphabets of tables."""
    coder = constriction.stream.queue.RangeEncoder()
    for which, positions in parts:
        frequencies = frequencies_of(which)
        chances = np.array(frequencies, np.float64) / 2**PRECISION
        model = constriction.stream.model.Categorical(chances, perfect=False)
        coder.encode(np.array(positions, np.int32), model)
    return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def symbol(index: int | tuple[int, int], value: int) -> Parts:
    """One symbol, with its escape code if the table does not list it."""
    reach = len(frequencies_of(index)) // 2 - 1
    if abs(value) <= reach:
        return [(index, [value + reach])]
    excess = abs(value) - reach
    length = excess.bit_length() - 1
    low = [excess >> bit & 1 for bit in reversed(range(length))]
    return [(index, [2 * reach + 1]), (None, [*[1] * length, 0, *low, int(value < 0)])]


def recipe(step: int = 0, scale: int = 0, shape: int = 0, steps: int = DELTA) -> Parts:
    """Differences of the three indices to their predictions, that of the step by table `steps`."""
    return [*symbol(steps, step), *symbol(DELTA, scale), *symbol(SWITCH, shape)]


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


def header(
    *tracks: bytes, rest: bytes = GOOD, sections: int = 1, version: bytes = b"\1\0"
) -> bytes:
    """A file with given tracks."""
    return front(body(*tracks, sections=sections), version) + rest


def sections(*parts: bytes) -> bytes:
    """A file of one good track with given sections."""
    return header(track(), rest=b"".join(parts), sections=len(parts))


def run(payload: bytes) -> bytes:
    return sections(section(PARAMETERS, payload))


def geometry(data: bytes) -> bytes:
    return header(track(axes=(axis(1, 2, data), axis(2))))


def named(name: bytes) -> bytes:
    """An axis of 2 samples with a name."""
    return axis(0) + varint(len(name)) + name


def array_range(low: bytes, high: bytes) -> bytes:
    return header(track(b"\4\1", dtype=3, explicit=low + high), version=b"\1\2")


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


def sparse(
    bits: int = 4,
    rows: int = 1,
    count: int = 1,
    gap: tuple[int, ...] = (0, *[0] * 3),
    coefficient: int = 1,
    inputs: int = 2,
) -> bytes:
    """A file of one weight matrix that uses an atom of a dictionary, and a bias of zero.

    `gap` is that of the atom from the first: ones and a zero, and its 3 low bits.
    """
    parts = [*symbol(STEP, bits - 12), *symbol(STEP, rows - 1)]
    parts += [*symbol(COUNT, count - inputs // 8), *recipe(), (None, list(gap))]
    parts += symbol(SYMBOLS, coefficient) if count else []
    parts += [*recipe(), zeros(1)]
    return sparse_run(varint(inputs + 1) + coded(*parts), inputs)


def sparse_run(payload: bytes, inputs: int = 2, kind: int = 1) -> bytes:
    axes = tuple(axis(1 + index) for index in range(inputs))
    rest = section(SPARSE, payload)
    whole = track(axes=axes) if kind == 1 else pyramid()
    return header(whole, rest=rest, version=b"\1\2")


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


def pyramid(
    levels: int = 1,
    contexts: tuple[int, ...] = (),
    synthesis: tuple[int, ...] = (),
    residuals: int = 0,
    tile: int = 0,
    start: int = 0,
    size: int = 2,
    content: bytes = b"\1",
    variant: tuple[int, ...] | None = None,
    edges: tuple[int, ...] | None = None,
) -> bytes:
    """A track of `size` x 2 samples; `edges` are logarithms."""
    if edges is not None:
        variant = (8,)
    kind = 2 if variant is None else 130
    front = content + bytes([1, kind, 2]) + axis(1, size) + axis(2) + bytes([levels])
    for widths in (contexts, synthesis):
        front += bytes([len(widths)]) + b"".join(map(varint, widths))
    front += bytes([residuals]) + varint(tile) + bytes([start])
    front += b"".join(map(varint, variant or ()))
    return front + (b"" if edges is None else logarithms(edges))


def logarithms(edges: tuple[int, ...]) -> bytes:
    return bytes([len(edges)]) + b"".join(map(varint, edges))


def context_network(place: int = 0, value: int = 0, step: int = 72, scale: int = 20) -> bytes:
    """Parameters of a context network without hidden layers, as those of `networks`."""
    return weights(
        [("context", 42), ("context_bias", 2), ("context", 42)], place, value, step, scale
    )


def networks(
    place: int = 0, value: int = 0, step: int = 72, scale: int = 20, levels: int = 1
) -> bytes:
    """Parameters of a pyramid without hidden layers: all zero but those of one tensor."""
    tensors = [
        ("context", 42),
        ("context_bias", 2),
        ("context", 42),
        ("upsampling", 4 * levels - 4),
    ]
    tensors += [("synthesis", levels), ("synthesis_bias", 1), ("synthesis", levels)]
    return section(PARAMETERS, weights(tensors, place, value, step, scale))


def weights(tensors: list[tuple[str, int]], place: int, value: int, step: int, scale: int) -> bytes:
    parts: Parts = []
    last = {role: (first, total - first) for role, (first, total) in EXPECTED.items()}
    for index, (role, size) in enumerate(tensors):
        if size:
            here = (step, scale) if index == place else (72, 20)
            # A coarser step lets a narrower table be expected.
            change = here[0] - last[role][0]
            parts += recipe(change, here[1] - last[role][1] + change, steps=STEP)
            last[role] = here
            parts.append((here[1], [table(here[1]).reach + value * (index == place)] * size))
    return varint(sum(size for _, size in tensors)) + coded(*parts)


LATENT = 0, 40
"""The table of every latent where all contexts weigh nothing: mean 0, scale 1."""


def bits(*values: int) -> tuple[None, list[int]]:
    return None, list(values)


def level(*values: int) -> Parts:
    """Latents of one level and tile, after the bit that says so."""
    return [bits(1), *(part for value in values for part in symbol(LATENT, value))]


def group(levels: int = 1, *parts: tuple[Table, list[int]], rest: bytes = b"") -> bytes:
    """A section of latents; without parts, all of them are 0."""
    return section(LATENTS, varint(levels) + coded(*(parts or [bits(*[0] * levels)])) + rest)


def pyramids(*parts: bytes, front: bytes = b"") -> bytes:
    """A file of one pyramid with given sections."""
    rest = b"".join(parts)
    return header(front or pyramid(), rest=rest, sections=len(parts), version=b"\1\1")


def latents(*parts: bytes, levels: int = 1, **fields: int) -> bytes:
    """A file of one good pyramid with given sections after the parameters."""
    return pyramids(networks(levels=levels), *parts, front=pyramid(levels, **fields))


def variants(features: int, *fields: int) -> bytes:
    """A file of one variant of a pyramid; what it keeps, or is coarser by, changes no network."""
    track = pyramid(variant=(features, *fields))
    return header(track, rest=networks() + group(), sections=2, version=b"\1\2")


def runs(*data: bytes, levels: int = 1, rest: bytes = b"") -> bytes:
    """A section of latents of several tiles."""
    return section(
        LATENTS, varint(levels) + b"".join(map(varint, map(len, data))) + b"".join(data) + rest
    )


def tiled(*parts: bytes, edges: tuple[int, ...] = (0, 1), levels: int = 1, **fields: int) -> bytes:
    """A file of one pyramid whose tiles have edges, by default two of them."""
    front = pyramid(levels, edges=edges, **fields)
    rest = networks(levels=levels) + b"".join(parts)
    return header(front, rest=rest, sections=1 + len(parts), version=b"\1\2")


def latent_run(data: bytes) -> bytes:
    return latents(section(LATENTS, b"\1" + data))


def residual(
    *runs: bytes,
    step: float = 1,
    **grid_fields: Any,
) -> bytes:
    """A section of a residual."""
    number = varint(2 + (2 * int(step) if step >= 0 else -2 * int(step) - 1))
    out = number if step % 1 == 0 else b"\1" + f32(step)
    return section(RESIDUAL, out + grid(*runs, **grid_fields))


def grid(
    *runs: bytes,
    digits: int = 1,
    base: int = 0,
    tile: int = 0,
    contexts: tuple[int, ...] = (),
    network: bytes = context_network(),
    rest: bytes = b"",
    edges: tuple[int, ...] | None = None,
) -> bytes:
    """Integers on a grid with runs of its tiles; by default there is one, of zeros."""
    out = bytes([digits + (0 if edges is None else 128)])
    if digits:
        runs = runs or (b"",) * digits
        out += varint(base) + varint(tile) + bytes([len(contexts)]) + bytes(contexts)
        out += b"" if edges is None else logarithms(edges)
        out += (varint(len(network)) + network) * digits
        out += b"".join(varint(len(run)) for run in runs) + b"".join(runs)
    return out + rest


def mask(*runs: bytes, shared: int = 0, filled: bytes = b"\1\2", **grid_fields: Any) -> bytes:
    """A section of a mask of which nothing is missing; the fill value is 0."""
    return section(MASK, bytes([shared]) + filled + grid(*runs, **grid_fields))


def residuals(*parts: bytes, front: bytes = b"") -> bytes:
    """A file of one good pyramid with given sections after its parameters."""
    rest = networks() + b"".join(parts)
    return header(front or pyramid(), rest=rest, sections=1 + len(parts), version=b"\1\2")


def narrow_run(track: bytes) -> bytes:
    """A file whose header asks for much; its parameters are never looked at."""
    return header(track, rest=section(PARAMETERS, b"\0"), version=b"\1\1")


BASE = TINY.read_bytes()
ARRAYS = unpack_tensors(BASE, "tiny")[0]


def modulated(
    *parts: bytes,
    base: bytes = hashlib.sha256(BASE).digest()[:8],
    shape: tuple[int, int, int, int, int] = (6, 2, 5, 7, 128),
    front: bytes = b"\2\1\3\2" + axis(1) + axis(2),
) -> bytes:
    """A file of one modulated field: patch, margin, dimensions, units, step, as in the base."""
    patch, margin, dimensions, units, step = shape
    fields = base + bytes([patch, margin]) + varint(dimensions) + varint(units) + bytes([step])
    return header(front + fields, rest=b"".join(parts), sections=len(parts), version=b"\1\2")


def first_group(*values: int, rest: int = 0) -> bytes:
    """Latents of the two dimensions of the first group, where there are no neighbours, then a bit
    for the second.
    """
    bias, second = (ARRAYS[f"group0_{name}"].astype(int) for name in ("bias", "second"))
    hidden = np.clip((bias[:2] + 32) >> 6, 0, 32767)
    scales = np.clip((((bias[2:] << 4) + second @ hidden + 2**13) >> 14) + 40, 0, 96)
    tables = [(0, int(scale)) for scale in scales]
    coded_values = [part for pair in zip(tables, values, strict=True) for part in symbol(*pair)]
    return section(LATENTS, b"\1" + coded(bits(1), *coded_values, bits(rest)))


NO_LATENTS = section(LATENTS, b"\1" + coded(bits(0, 0)))

WHOLE_PYRAMID = latents(group(1, *level(1, 0, -1, 300)))
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
    "R01_latents_of_no_bytes": (TruncatedError, lambda: latents(section(LATENTS, b""))),
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
    "R05_padded_number_of_levels": (
        CorruptError,
        lambda: latents(section(LATENTS, b"\x81\0" + coded(bits(0)))),
    ),
    "R05_padded_width": (
        CorruptError,
        lambda: pyramids(
            networks(), front=pyramid(contexts=(2,)).replace(b"\1\2\0", b"\1\x82\0\0")
        ),
    ),
    "R06_spacing_not_a_number": (CorruptError, lambda: geometry(f64(np.nan, 0) + b"\0")),
    "R06_infinite_origin": (CorruptError, lambda: geometry(f64(2, -np.inf) + b"\0")),
    "R06_negative_zero": (CorruptError, lambda: geometry(f64(2, -0.0) + b"\0")),
    "R07_unit_not_utf_8": (CorruptError, lambda: geometry(f64(2, 0) + b"\2\xc3\x28")),
    "R07_unit_too_long": (CorruptError, lambda: geometry(f64(2, 0) + b"\x41" + b"m" * 65)),
    "R08_header_too_long": (CorruptError, lambda: front(body(track()) + b"\0") + GOOD),
    "R08_header_too_short": (CorruptError, lambda: front(body(track())[:-1]) + GOOD),
    # Until version 1.1 the unknown kind.
    "R08_sines_as_a_pyramid": (CorruptError, lambda: header(track(kind=2))),
    "R09_no_track": (CorruptError, lambda: front(body(sections=0))),
    "R10_unknown_content": (UnsupportedError, lambda: header(track(content=b"\xff"))),
    "R11_unknown_sample_type": (UnsupportedError, lambda: header(track(dtype=127))),
    "R12_unknown_kind": (UnsupportedError, lambda: header(track(kind=127))),
    "R13_no_channel": (CorruptError, lambda: header(track(content=b"\0\0"))),
    "R13_no_axis": (CorruptError, lambda: header(track(axes=()))),
    "R14_empty_range": (CorruptError, lambda: value_range(3, 5, 5)),
    "R14_default_range": (CorruptError, lambda: value_range(1, 0, 255)),
    "R14_range_below_the_type": (CorruptError, lambda: value_range(1, -1, 255)),
    "R14_range_above_the_type": (CorruptError, lambda: value_range(2, 0, 65536)),
    "R14_range_beyond_float32": (CorruptError, lambda: value_range(3, 0, 1e300)),
    "R14_range_lost_in_float32": (CorruptError, lambda: value_range(3, 0, 1e-320)),
    "R15_unknown_axis": (UnsupportedError, lambda: header(track(axes=(axis(127), axis(2))))),
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
    "R21_checksum_of_latents": (CorruptError, lambda: WHOLE_PYRAMID[:-1] + b"\0"),
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
    "R24_latents_first": (CorruptError, lambda: pyramids(group(), networks())),
    "R24_latents_of_sines": (CorruptError, lambda: sections(GOOD, group())),
    "R24_latents_after_metadata": (
        CorruptError,
        lambda: latents(section(METADATA, b"\1" + entry(b"a")), group()),
    ),
    "R24_residual_of_sines": (CorruptError, lambda: sections(GOOD, residual())),
    "R24_residual_before_latents": (CorruptError, lambda: residuals(residual(), group())),
    "R24_mask_after_a_residual": (CorruptError, lambda: residuals(residual(), mask())),
    "R24_mask_after_latents": (CorruptError, lambda: residuals(group(), mask())),
    "R24_mask_twice": (CorruptError, lambda: residuals(mask(), mask())),
    "R24_residual_twice": (CorruptError, lambda: residuals(residual(), residual())),
    "R25_byte_appended": (CorruptError, lambda: WHOLE + b"\0"),
    "R25_file_appended": (CorruptError, lambda: WHOLE + WHOLE),
    "R26_symbol_too_few": (CorruptError, lambda: run(varint(2) + RUN)),
    "R26_endless_symbols": (CorruptError, lambda: run(varint(2**62) + RUN)),
    "R27_zero_byte_at_the_end": (CorruptError, lambda: run(varint(3) + RUN + b"\0")),
    "R27_latents_end_with_a_zero_byte": (CorruptError, lambda: latents(group(rest=b"\0"))),
    "R28_latents_with_a_quantile_too_high": (CorruptError, lambda: latent_run(b"\xff" * 8)),
    "R28_quantile_too_high": (CorruptError, lambda: run(varint(3) + b"\xff" * 8)),
    "R29_step_below_0": (CorruptError, lambda: run(varint(3) + coded(*recipe(step=-73)))),
    "R29_step_above_127": (CorruptError, lambda: run(varint(3) + coded(*recipe(step=56)))),
    "R29_scale_above_47": (CorruptError, lambda: run(varint(3) + coded(*recipe(scale=28)))),
    "R29_shape_above_1": (CorruptError, lambda: run(varint(3) + coded(*recipe(shape=2)))),
    "R27_residual_ends_with_a_zero_byte": (
        CorruptError,
        lambda: residuals(residual(coded(*level(1, 2, 3, 4)) + b"\0")),
    ),
    "R30_escape_without_end": (CorruptError, lambda: escape(*[1] * 200)),
    "R30_symbol_beyond_31_bits": (CorruptError, lambda: escape(*[1] * 30, 0, *[1] * 30, 0)),
    "R30_latent_of_an_escape_without_end": (
        CorruptError,
        lambda: latent_run(
            coded(bits(1), (LATENT, [len(latent_table(*LATENT).frequencies) - 1]), bits(*[1] * 200))
        ),
    ),
    "R31_latents_with_words_left_over": (
        CorruptError,
        lambda: latents(group(1, *level(1, 0, -1, 300), rest=b"\1" * 12)),
    ),
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
    "R36_levels": (LimitError, lambda: narrow_run(pyramid(17))),
    "R36_tiles": (LimitError, lambda: narrow_run(pyramid(tile=1, size=513))),
    "R36_layers": (LimitError, lambda: narrow_run(pyramid(synthesis=(1,) * 5))),
    "R36_units": (LimitError, lambda: narrow_run(pyramid(contexts=(257,)))),
    "R36_residuals": (LimitError, lambda: narrow_run(pyramid(residuals=5))),
    "R36_latents": (LimitError, lambda: narrow_run(pyramid(size=2**28))),
    "R36_latents_of_all_tracks": (
        LimitError,
        lambda: header(
            *[pyramid(size=2**26)] * 3,
            rest=b"".join(section(PARAMETERS, b"\0", owner) for owner in range(3)),
            sections=3,
            version=b"\1\1",
        ),
    ),
    "R36_context_networks": (
        LimitError,
        lambda: narrow_run(pyramid(contexts=(256,) * 4, size=2**27)),
    ),
    "R36_multiply_accumulates": (
        LimitError,
        lambda: header(
            track(axes=(axis(1, 2**14), axis(2, 2**14)), net=(13, 128, 480)),
            rest=section(PARAMETERS, deep_run(13, 128)),
        ),
    ),
    "R36_layers_of_a_residual": (LimitError, lambda: residuals(residual(contexts=(1,) * 5))),
    "R36_units_of_a_residual": (
        LimitError,
        lambda: residuals(section(RESIDUAL, b"\4\1\0\0\1" + varint(257))),
    ),
    "R36_digits_of_a_residual": (
        LimitError,
        lambda: residuals(residual(digits=2, base=3), front=pyramid(size=2**27)),
    ),
    "R37_no_level": (CorruptError, lambda: pyramids(networks(), front=pyramid(0))),
    "R37_contexts_without_units": (
        CorruptError,
        lambda: pyramids(networks(), front=pyramid(contexts=(0,))),
    ),
    "R37_synthesis_without_units": (
        CorruptError,
        lambda: pyramids(networks(), front=pyramid(synthesis=(8, 0))),
    ),
    "R37_tile_as_long_as_the_lattice": (CorruptError, lambda: latents(tile=2)),
    "R37_endless_tile": (CorruptError, lambda: latents(levels=9, tile=2**62)),
    "R38_unknown_start": (UnsupportedError, lambda: latents(group(), start=255)),
    "R39_no_level_in_a_group": (CorruptError, lambda: latents(group(0, bits(0)), group())),
    "R39_too_many_levels": (CorruptError, lambda: latents(group(2))),
    "R39_endless_levels": (CorruptError, lambda: latents(section(LATENTS, varint(2**62)))),
    "R39_too_few_levels": (CorruptError, lambda: latents(group(2), levels=3)),
    "R39_group_too_many": (CorruptError, lambda: latents(group(), group())),
    "R39_tile_missing": (CorruptError, lambda: latents(*[group()] * 3, tile=1)),
    "R39_tile_too_many": (CorruptError, lambda: latents(*[group()] * 5, tile=1)),
    "R39_tiles_of_other_levels": (
        CorruptError,
        lambda: latents(group(1), group(2), group(2), group(1), levels=3, tile=1, size=5),
    ),
    "R40_weight_too_large": (CorruptError, lambda: pyramids(networks(0, 1, 127), group())),
    "R40_bias_too_large": (CorruptError, lambda: pyramids(networks(1, -40, 127, 24), group())),
    "R40_skip_too_large": (CorruptError, lambda: pyramids(networks(2, 20, 100), group())),
    "R40_sum_beyond_32_bits": (CorruptError, lambda: pyramids(networks(2, 15, 100), group())),
    "R40_network_without_latents": (CorruptError, lambda: pyramids(networks(0, 1, 127))),
    "R41_latent_above": (CorruptError, lambda: latents(group(1, *level(0, 0, 0, 32768)))),
    "R41_latent_below": (CorruptError, lambda: latents(group(1, *level(-32768, 0, 0, 0)))),
    "R41_latent_far_above": (CorruptError, lambda: latents(group(1, *level(0, 2**31 - 1, 0, 0)))),
    "R42_level_of_zeros": (CorruptError, lambda: latents(group(1, *level(0, 0, 0, 0)))),
    "R40_residual_of_large_weights": (
        CorruptError,
        lambda: residuals(residual(network=context_network(0, 1, 127))),
    ),
    "R41_residual_above": (
        CorruptError,
        lambda: residuals(residual(coded(*level(0, 0, 0, 32768)))),
    ),
    "R42_residual_of_zeros": (
        CorruptError,
        lambda: residuals(residual(coded(*level(0, 0, 0, 0)))),
    ),
    "R43_integer_as_a_float": (CorruptError, lambda: array_range(b"\1" + f32(3), b"\x14")),
    "R43_short_as_a_long_float": (CorruptError, lambda: array_range(b"\0" + f64(0.5), b"\x14")),
    "R43_integer_beyond_53_bits": (
        CorruptError,
        lambda: array_range(b"\2", varint(2 * 2**53 + 4)),
    ),
    "R44_axis_of_no_name": (CorruptError, lambda: header(track(axes=(named(b""), axis(2))))),
    "R44_axis_of_a_known_name": (CorruptError, lambda: header(track(axes=(named(b"z"), axis(2))))),
    "R45_step_of_0": (CorruptError, lambda: residuals(residual(step=0))),
    "R45_step_below_0": (CorruptError, lambda: residuals(residual(step=-1))),
    "R45_half_a_step_of_integers": (CorruptError, lambda: residuals(residual(step=1.5))),
    "R45_five_digits": (CorruptError, lambda: residuals(residual(digits=5, base=3))),
    "R45_even_base": (CorruptError, lambda: residuals(residual(digits=2, base=256))),
    "R45_base_of_65537": (CorruptError, lambda: residuals(residual(digits=2, base=65537))),
    "R45_base_of_one_digit": (CorruptError, lambda: residuals(residual(base=3))),
    "R45_tile_as_long_as_the_grid": (CorruptError, lambda: residuals(residual(tile=2))),
    "R45_contexts_without_units": (CorruptError, lambda: residuals(residual(contexts=(0,)))),
    "R46_bytes_after_the_step": (CorruptError, lambda: residuals(residual(digits=0, rest=b"\0"))),
    "R46_bytes_after_the_runs": (CorruptError, lambda: residuals(residual(rest=b"\0"))),
    "R46_run_too_long": (
        CorruptError,
        lambda: residuals(section(RESIDUAL, residual()[3:-5] + b"\1")),
    ),
    "R46_endless_tiles": (
        CorruptError,
        lambda: residuals(residual(b"", tile=1), front=pyramid(size=2**26)),
    ),
    "R47_shared_axis_that_is_not_there": (CorruptError, lambda: residuals(mask(shared=8))),
    "R47_shared_axis_of_one_channel": (CorruptError, lambda: residuals(mask(shared=1))),
    "R47_filled_by_2": (CorruptError, lambda: residuals(mask(filled=b"\2\2"))),
    "R47_integers_without_a_fill": (CorruptError, lambda: residuals(mask(filled=b"\0"))),
    "R47_fill_of_half": (CorruptError, lambda: residuals(mask(filled=b"\1\1" + f32(0.5)))),
    "R47_fill_above_the_type": (
        CorruptError,
        lambda: residuals(mask(filled=b"\1" + varint(2 + 2 * 256))),
    ),
    "R47_no_digit": (CorruptError, lambda: residuals(mask(digits=0))),
    "R47_two_digits": (CorruptError, lambda: residuals(mask(digits=2, base=3))),
    "R47_number_of_2": (CorruptError, lambda: residuals(mask(coded(*level(0, 1, 2, 1))))),
    "R47_number_of_minus_1": (CorruptError, lambda: residuals(mask(coded(*level(0, 1, -1, 1))))),
    "R51_mixture_along_no_axis": (CorruptError, lambda: variants(3, 1, 1, 2, 0)),
    "R51_mixture_that_keeps_no_axis": (CorruptError, lambda: variants(2, 1, 0, 0)),
    "R51_differences_of_differences": (CorruptError, lambda: variants(3, 1, 1, 0, 2)),
    "R36_components": (LimitError, lambda: variants(3, 1, 1025, 0, 0)),
    "R36_halvings_of_a_lattice": (LimitError, lambda: variants(4, 17)),
    "R52_variant_without_features": (CorruptError, lambda: variants(0)),
    "R52_pyramid_that_keeps_no_axis": (CorruptError, lambda: variants(1, 0)),
    "R52_mixture_of_no_components": (CorruptError, lambda: variants(3, 1, 0, 0, 0)),
    "R52_coarse_by_nothing": (CorruptError, lambda: variants(4, 0)),
    "R53_pyramid_that_keeps_all_axes": (CorruptError, lambda: variants(1, 2)),
    "R53_endless_kept_axes": (CorruptError, lambda: variants(1, 2**62)),
    "R54_unknown_feature": (UnsupportedError, lambda: variants(16)),
    "R24_sparse_pyramid": (CorruptError, lambda: sparse_run(b"", kind=2)),
    "R24_plain_and_sparse_parameters": (
        CorruptError,
        lambda: sections(GOOD, section(SPARSE, b"")),
    ),
    "R60_dictionary_of_17_bits": (UnsupportedError, lambda: sparse(bits=17)),
    "R60_dictionary_of_minus_1_bits": (UnsupportedError, lambda: sparse(bits=-1)),
    "R61_vectors_of_no_row": (CorruptError, lambda: sparse(rows=0)),
    "R61_vectors_of_too_many_rows": (CorruptError, lambda: sparse(rows=2)),
    "R61_vectors_too_long": (
        CorruptError,
        lambda: header(
            track(net=(2, 65, 480)),
            rest=section(
                SPARSE,
                varint(65 * 3 + 65 * 66 + 66)
                + coded(
                    *[*symbol(STEP, -12), *recipe(), zeros(130), *recipe(), zeros(65)],
                    *[*symbol(STEP, 4), *symbol(STEP, 63)],
                ),
            ),
            version=b"\1\2",
        ),
    ),
    "R61_no_dictionary": (
        CorruptError,
        lambda: sparse_run(
            varint(3) + coded(*symbol(STEP, -12), *recipe(), zeros(2), *recipe(), zeros(1))
        ),
    ),
    "R62_atoms_below_0": (CorruptError, lambda: sparse(count=-1)),
    "R62_more_atoms_than_pay": (CorruptError, lambda: sparse(count=2)),
    "R62_endless_atoms": (CorruptError, lambda: sparse(count=2**31 - 2)),
    "R62_endless_elements": (
        CorruptError,
        lambda: header(
            track(net=(2, 1024, 480)),
            rest=section(
                SPARSE,
                varint(3 * 1024 + 1025 * 1024 + 1025)
                + coded(
                    *[*symbol(STEP, -8), *symbol(STEP, 0), *symbol(COUNT, -256), *recipe()],
                    *[*recipe(scale=-20), (0, [table(0).reach] * 1024)],
                    *[*symbol(STEP, 0), *symbol(STEP, 3), *symbol(COUNT, 3 * 2**17)],
                ),
            ),
            version=b"\1\2",
        ),
    ),
    "R63_atom_beyond_the_last": (CorruptError, lambda: sparse(gap=(1, 1, 0, 0, 0, 0))),
    "R63_endless_gap": (CorruptError, lambda: sparse(gap=(1,) * 300)),
    "R64_coefficient_of_0": (CorruptError, lambda: sparse(coefficient=0)),
    "R64_coefficient_above": (CorruptError, lambda: sparse(coefficient=32768)),
    "R55_unknown_activation": (UnsupportedError, lambda: siren_variant(11)),
    "R56_unknown_encoding": (UnsupportedError, lambda: siren_variant(8, 0, 3, 1)),
    "R57_shape_of_a_gaussian": (CorruptError, lambda: siren_variant(2, 1)),
    "R57_wavelet_without_a_shape": (CorruptError, lambda: siren_variant(3, 0)),
    "R57_roll_off_above_1": (CorruptError, lambda: siren_variant(6, 17)),
    "R57_endless_shape": (CorruptError, lambda: siren_variant(5, 2**62)),
    "R58_encoding_of_order_0": (CorruptError, lambda: siren_variant(8, 0, 1, 0)),
    "R58_order_of_no_encoding": (CorruptError, lambda: siren_variant(8, 0, 0, 1)),
    "R58_endless_order": (
        CorruptError,
        lambda: header(
            track(kind=129, net=(1, 1, 480)) + b"\x08\0\1" + varint(2**62), version=b"\1\2"
        ),
    ),
    "R59_variant_that_is_plain": (CorruptError, lambda: siren_variant(0)),
    "R59_variant_of_no_layer": (CorruptError, lambda: siren_variant(2, depth=0)),
    "R36_tiles_with_edges": (LimitError, lambda: tiled(edges=(0, 0), size=2**17 + 1)),
    "R36_tiles_of_a_residual": (
        LimitError,
        lambda: residuals(residual(edges=(0, 0)), front=pyramid(size=2**17 + 1)),
    ),
    "R45_edges_without_digits": (
        CorruptError,
        lambda: residuals(section(RESIDUAL, b"\4\x80")),
    ),
    "R75_edges_of_one_axis": (CorruptError, lambda: tiled(edges=(0,))),
    "R75_edges_of_three_axes": (CorruptError, lambda: tiled(edges=(0, 1, 0))),
    "R75_edges_of_one_tile": (CorruptError, lambda: tiled(edges=(1, 1))),
    "R75_edge_longer_than_its_axis": (CorruptError, lambda: tiled(edges=(0, 2))),
    "R75_endless_edge": (CorruptError, lambda: tiled(edges=(0, 2**62))),
    "R75_edge_and_edges": (CorruptError, lambda: tiled(tile=1)),
    "R75_edges_of_one_tile_of_a_residual": (
        CorruptError,
        lambda: residuals(residual(edges=(1, 1))),
    ),
    "R75_edge_and_edges_of_a_residual": (
        CorruptError,
        lambda: residuals(residual(*[b""] * 4, tile=1, edges=(0, 1))),
    ),
    "R76_levels_in_tiles_and_not": (
        CorruptError,
        lambda: tiled(runs(b"", b"", levels=2), levels=2),
    ),
    "R77_run_missing": (CorruptError, lambda: tiled(runs(b""))),
    "R77_run_too_many": (CorruptError, lambda: tiled(runs(b"", b"", b""))),
    "R77_run_too_long": (CorruptError, lambda: tiled(section(LATENTS, b"\1\1\1x"))),
    "R77_bytes_after_the_runs": (CorruptError, lambda: tiled(runs(b"", b"", rest=b"\0"))),
}


FILES |= {
    "R24_modulated_without_latents": (CorruptError, lambda: modulated()),
    "R24_modulated_with_parameters": (CorruptError, lambda: modulated(GOOD, NO_LATENTS)),
    "R24_modulated_with_latents_twice": (CorruptError, lambda: modulated(NO_LATENTS, NO_LATENTS)),
    "R27_modulated_with_a_zero_byte": (
        CorruptError,
        lambda: modulated(section(LATENTS, b"\1" + coded(bits(0, 0)) + b"\0")),
    ),
    "R31_modulated_with_words_left_over": (
        CorruptError,
        lambda: modulated(section(LATENTS, b"\1" + bytes(12) + b"\1")),
    ),
    "R36_dimensions": (LimitError, lambda: modulated(NO_LATENTS, shape=(6, 2, 1025, 7, 128))),
    "R36_shifted_units": (LimitError, lambda: modulated(NO_LATENTS, shape=(6, 2, 5, 2049, 128))),
    "R36_latents_of_patches": (
        LimitError,
        lambda: modulated(
            NO_LATENTS,
            shape=(2, 1, 1000, 7, 128),
            front=b"\2\1\3\2" + axis(1, 2**12) + axis(2, 2**12),
        ),
    ),
    "R39_modulated_of_two_levels": (
        CorruptError,
        lambda: modulated(section(LATENTS, b"\2" + coded(bits(0, 0)))),
    ),
    "R41_latent_of_a_patch": (CorruptError, lambda: modulated(first_group(32768, 0))),
    "R42_group_without_latents": (CorruptError, lambda: modulated(first_group(0, 0))),
    "R50_modulated_variant": (
        UnsupportedError,
        lambda: modulated(NO_LATENTS, front=b"\2\1\x83\2" + axis(1) + axis(2)),
    ),
    "R65_margin_of_0": (CorruptError, lambda: modulated(NO_LATENTS, shape=(6, 0, 5, 7, 128))),
    "R65_margin_too_wide": (CorruptError, lambda: modulated(NO_LATENTS, shape=(6, 4, 5, 7, 128))),
    "R65_patch_of_0": (CorruptError, lambda: modulated(NO_LATENTS, shape=(0, 0, 5, 7, 128))),
    "R65_no_dimension": (CorruptError, lambda: modulated(NO_LATENTS, shape=(6, 2, 0, 7, 128))),
    "R65_no_shifted_unit": (CorruptError, lambda: modulated(NO_LATENTS, shape=(6, 2, 5, 0, 128))),
    "R66_base_that_is_not_there": (
        MissingBaseError,
        lambda: modulated(NO_LATENTS, base=bytes(range(8))),
    ),
    "R67_other_margin": (CorruptError, lambda: modulated(NO_LATENTS, shape=(6, 3, 5, 7, 128))),
    "R67_other_dimensions": (CorruptError, lambda: modulated(NO_LATENTS, shape=(6, 2, 6, 7, 128))),
    "R67_two_channels": (
        CorruptError,
        lambda: modulated(NO_LATENTS, front=b"\0\1\3\2\2" + axis(1) + axis(2)),
    ),
    "R67_one_axis": (CorruptError, lambda: modulated(NO_LATENTS, front=b"\2\1\3\1" + axis(1))),
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
    for data in (
        latents(group()),
        latents(),
        latents(group(1, *level(32767, -32767, 0, 1))),
        latents(*[group(1, *level(1))] * 4, tile=1),
        WHOLE_PYRAMID,
        residuals(group(), residual()),
        residuals(residual(digits=0)),
        residuals(residual(*[b""] * 4, tile=1)),
        residuals(residual(digits=2, base=255)),
        residuals(mask(), group(), residual()),
        header(track(), rest=GOOD + mask(), sections=2, version=b"\1\2"),
        variants(1, 1),
        variants(4, 1),
        sparse(count=0, gap=(), coefficient=0),
        siren_variant(3, 8, 1, 2),
        siren_variant(8, 0, 2, 64),
        tiled(),
        tiled(runs(b"", coded(*level(1, 0)))),
        tiled(runs(b"", levels=1), runs(b"", b"", levels=1), levels=2),
        residuals(residual(b"", b"", edges=(0, 1))),
        modulated(NO_LATENTS),
    ):
        assert (inrcodec.decode(data).samples == 128).all()


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
    symbols = {"R26", "R27", "R28", "R29", "R30", "R31", "R36", "R40", "R41", "R42"}
    symbols |= {"R45", "R46", "R47", "R60", "R61", "R62", "R63", "R64", "R66", "R67"}
    symbols |= {"R75", "R76", "R77"}
    assert name[:3] in symbols
    assert described["tracks"]


def test_every_hostile_file_is_listed() -> None:
    assert {path.name for path in HOSTILE.iterdir()} == {f"{name}.inrc" for name in FILES}


def test_hostile_files_are_small() -> None:
    """It takes few bytes to do harm."""
    assert max(path.stat().st_size for path in HOSTILE.iterdir()) < 500
