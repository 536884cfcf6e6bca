"""Joins a `.inrc` file with the bits that each of its parts takes: python -m bench.bits FILE.inrc.

A tensor's bits are the ideal code length of its symbols under the integer table that the file chose
for it, those of a level of latents the one under the tables that their contexts choose; escape
codes included. "end of the range coder" is what remains of the coded bytes: its last
words, its rounding to bytes, less the zero bytes that a file leaves out, so it may be negative. The
parts of a file add up to 8 * its size.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.bits_parts import Part, as_record, mean_parts, report
from inrcodec.bitstream import primitives
from inrcodec.bitstream.container import Section, pack_section, unpack, unpack_front
from inrcodec.bitstream.describe import describe
from inrcodec.bitstream.header import Track
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import tile_window
from inrcodec.coding.native_latents import code_length as code_length_of_latents
from inrcodec.coding.native_latents import unpack_levels
from inrcodec.coding.priors import SCALES, SHAPES
from inrcodec.coding.quantize import TensorRecipe, dequantize, step_size
from inrcodec.coding.tiles import tiles_of_section
from inrcodec.coding.weights import (
    DELTA_TABLE,
    EXPECTED,
    FIRST_SCALE,
    FIRST_STEP,
    STEP_TABLE,
    SWITCH_TABLE,
    code_length,
    unpack_weights,
)
from inrcodec.errors import ExitCode, InrcodecError
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import WHOLE, PyramidSpec
from inrcodec.files.sources import read_bytes

Tile = list[NDArray[np.int32]]


def parts_of(data: bytes) -> tuple[Part, ...]:
    """Every part of a file, in the file's order. Raises InrcodecError as decoding does."""
    header, sections = unpack(data)
    tiles: dict[int, dict[int, Tile]] = {}
    networks: dict[int, IntegerNetwork] = {}
    found = [
        Part("header", "signature and version", "container", 8 * 10),
        Part("header", "tracks and sections", "container", 8 * (unpack_front(data)[2] - 14)),
        Part("header", "CRC-32", "container", 8 * 4),
    ]
    for index, section in enumerate(sections):
        place = f"section {index} ({section.name} of track {section.track})"
        framing = len(pack_section(section)) - len(section.payload)
        found.append(Part(place, "type, track, size, CRC-32", "container", 8 * framing))
        if section.type == SectionType.PARAMETERS:
            track = header.tracks[section.track]
            found += _parameters(track, section, place)
            if isinstance(track.spec, PyramidSpec):
                named = dequantize(track.spec, *unpack_weights(track.spec, section.payload, place))
                networks[section.track] = IntegerNetwork.of(track.spec, named.parameters)
        elif section.type == SectionType.SPARSE:
            found.append(Part(place, "payload", "sparse", 8 * len(section.payload)))
        elif section.place is not None:
            spec = header.tracks[section.track].spec
            if isinstance(spec, PyramidSpec):
                known, network = tiles.setdefault(section.track, {}), networks[section.track]
                found += _latents(spec, network, known, section, place)
            elif isinstance(spec, ModulatedSpec):
                bits, count = 8 * len(section.payload), spec.latent_count
                found.append(Part(place, "patches", "latents", bits, values=count))
        else:
            found.append(Part(place, "payload", "metadata", 8 * len(section.payload)))
    return tuple(found)


def _parameters(track: Track, section: Section, place: str) -> Iterator[Part]:
    """The parts of one parameters section, tensor by tensor."""
    symbols, recipes = unpack_weights(track.spec, section.payload, place)
    count = len(primitives.varint(track.spec.parameter_count))
    left = float(8 * (len(section.payload) - count))
    yield Part(place, "number of symbols", "container", 8 * count)
    side = recipe_bits([tensor.role for tensor in track.spec.tensors()], recipes)
    yield Part(place, "recipes", "recipes", side, values=3 * len(recipes))
    left -= side
    for tensor, recipe in zip(track.spec.tensors(), recipes, strict=True):
        family, scale = divmod(recipe.table, SCALES)
        bits = code_length(symbols[tensor.name], recipe.table)
        yield Part(
            place,
            tensor.name,
            tensor.role,
            bits,
            values=tensor.size,
            shape=tensor.shape,
            step=step_size(recipe.step),
            step_index=recipe.step,
            family=SHAPES[family],
            scale=scale,
        )
        left -= bits
    yield Part(place, "end of the range coder", "coder", left)


def _zeros(spec: PyramidSpec, tile: int, known: dict[int, Tile]) -> Tile:
    """Latents of one tile, finest first, before any of them is known, but for levels in one piece
    above it.
    """
    planes = []
    for level in range(spec.levels):
        window = tile_window(spec, tile, level)
        if level >= spec.tiled and tile != WHOLE and WHOLE in known:
            planes.append(known[WHOLE][level][tuple(slice(*ends) for ends in window)])
        else:
            planes.append(np.zeros([stop - start for start, stop in window], np.int32))
    return planes


def _latents(
    spec: PyramidSpec, network: IntegerNetwork, known: dict[int, Tile], section: Section, place: str
) -> Iterator[Part]:
    """The parts of one section of latents, level by level; fills the tiles that are `known`."""
    assert section.place is not None
    levels = section.place.levels
    bits, values, ends = [0.0] * spec.levels, [0] * spec.levels, []
    coded = 0
    for tile, (_, payload, _) in tiles_of_section(spec, section.place, section.payload, place):
        planes = known.setdefault(tile, _zeros(spec, tile, known))
        unpack_levels(spec, network, planes, levels, tile, payload, place)
        run = len(payload) - len(primitives.varint(len(levels)))
        coded += run
        # A tile is coded as a small lattice of its own.
        alone = replace(spec, lattice=planes[0].shape, tile=0, edges=())
        own = code_length_of_latents(alone, network, planes)
        ends.append(8 * run - sum(own[level] for level in levels))
        for level in levels:
            bits[level] += own[level]
            values[level] += planes[level].size
    told = "lengths of runs" if spec.edges else "number of levels"
    yield Part(place, told, "container", 8 * (len(section.payload) - coded))
    for level in levels:
        count = math.prod(spec.grid(level)) if spec.edges else values[level]
        yield Part(place, f"level {level}", "latents", bits[level], values=count)
    for end in ends:
        yield Part(place, "end of the range coder", "coder", end)


def recipe_bits(roles: Sequence[str], recipes: Sequence[TensorRecipe]) -> float:
    """Bits of the recipes: three differences each to the last one of the same role.

    In the roles of EXPECTED the scale is predicted for the step that the recipe has.
    """
    last: dict[str, TensorRecipe] = {}
    bits = 0.0
    for role, recipe in zip(roles, recipes, strict=True):
        shape, scale = divmod(recipe.table, SCALES)
        step, old_scale, old_shape, step_table = FIRST_STEP, FIRST_SCALE, 0, DELTA_TABLE
        if role in EXPECTED:
            step, total = EXPECTED[role]
            old_scale, step_table = total - step, STEP_TABLE
        if role in last:
            step = last[role].step
            old_shape, old_scale = divmod(last[role].table, SCALES)
        if role in EXPECTED:
            old_scale -= recipe.step - step
        for difference, table in (
            (recipe.step - step, step_table),
            (scale - old_scale, DELTA_TABLE),
            (shape - old_shape, SWITCH_TABLE),
        ):
            bits += code_length(np.array([difference], np.int32), table)
        last[role] = recipe
    return bits


def main(words: Sequence[str] | None = None) -> int:
    """Print the parts of every file, and of their mean; the first failure gives the exit code."""
    summary = "Where the bits of .inrc files go, section by section and tensor by tensor."
    parser = argparse.ArgumentParser(prog="python -m bench.bits", description=summary)
    parser.add_argument("files", nargs="+", metavar="FILE.inrc")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    arguments = parser.parse_args(words)
    result = ExitCode.OK
    rows, files = [], []
    for path in arguments.files:
        try:
            data = read_bytes(path)
            parts, found = parts_of(data), describe(data)
        except InrcodecError as error:
            text = str(error)
            text = text if text.startswith(path) else f"{path}: {text}"
            print(f"bits: {text}", file=sys.stderr)
            result = result or error.exit_code
            continue
        files.append(parts)
        rows.append(
            {"file": path, "bytes": found["bytes"], "bpp": found["bpp"], **as_record(parts)}
        )
        if not arguments.json:
            nets = " + ".join(f"{track['kind']} {track['net']}" for track in found["tracks"])
            print(f"\n{path}: {found['bytes']:,} bytes, {found['bpp']:.4g} bpp, {nets}\n")
            print(report(parts))
    mean = mean_parts(files) if len(files) > 1 else ()
    if arguments.json:
        record = {"files": rows, "mean": as_record(mean) if mean else None}
        print(json.dumps(record, allow_nan=False))
    elif mean:
        size = sum(part.bits for part in mean) / 8
        print(f"\nmean of {len(files)} files: {size:,.1f} bytes\n")
        print(report(mean, len(files)))
    return int(result)


if __name__ == "__main__":
    raise SystemExit(main())
