"""Joins a file of an array with the time of a block and of a slab of it, beside the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import inrcodec
from bench.codecs.own_arrays import Wanted, encode
from bench.report.tables import Table, number
from bench.timing import CLOCKS, Run, interleaved
from bench.volumes import Volume

BLOCK, SLAB = 64, 0.01
"""Samples a side, and share of the first axis."""

SHARE = 0.05
"""Of the whole array's time that either may take."""

RATIO = 100
"""By which a file is smaller that is fitted for this alone, unless its settings say otherwise."""

TARGETS = {"quality", "bpp", "target_size", "psnr", "max_error", "rate_weight"}
"""Settings that say how large a file is to be."""

Crop = list[tuple[int, int]]


def crops(lattice: Sequence[int]) -> dict[str, Crop]:
    """The block in the middle, and slabs across the first and the last axis, by name."""
    middle = [
        (start, min(size, start + BLOCK))
        for size in lattice
        for start in [max(0, (size - BLOCK) // 2)]
    ]
    found = {"block": middle}
    for axis in (0, len(lattice) - 1):
        whole: Crop = [(0, size) for size in lattice]
        start, width = lattice[axis] // 2, max(1, round(SLAB * lattice[axis]))
        whole[axis] = (start, start + width)
        found[f"slab of axis {axis}"] = whole
    return found


def access(
    volumes: Sequence[Volume], wanted: Wanted, file: Path | None, rounds: int
) -> tuple[Table, bool]:
    """Least wall time from bytes to samples, all in turns; whether none takes too long."""
    heads = ["data", "part", "shape", "samples, %", "s", "of whole, %", "asked, %"]
    lines, met = [], True
    for volume in volumes:
        size = volume.samples.nbytes // RATIO
        target = {} if TARGETS & wanted.more.keys() else {"target_size": size}
        data = file.read_bytes() if file else encode(volume, wanted, **target)
        lattice = inrcodec.open(data).info.lattice
        wholes = {"whole": [(0, size) for size in lattice], **crops(lattice)}
        runs = [
            Run(name, partial(inrcodec.decode, data, crop=None if name == "whole" else crop))
            for name, crop in wholes.items()
        ]
        times = interleaved(runs, rounds, CLOCKS["wall time"])
        for (name, crop), time in zip(wholes.items(), times, strict=True):
            share = time.least / times[0].least
            shape = [stop - start for start, stop in crop]
            share_of_samples = math.prod(shape) / math.prod(lattice)
            met &= name == "whole" or share <= SHARE
            shown = "" if name == "whole" else number(100 * SHARE, 0)
            lines.append(
                [
                    *(volume.name, name, "x".join(map(str, shape))),
                    *(number(100 * share_of_samples, 2), number(time.least, 4)),
                    *(number(100 * share, 1), shown),
                ]
            )
    return (heads, lines), met
