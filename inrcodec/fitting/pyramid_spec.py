"""Joins a SignalInfo and a preset with the PyramidSpec that suits them."""

from __future__ import annotations

import math

from inrcodec.bitstream.wire import StartId
from inrcodec.coding.latents import tile_counts
from inrcodec.coding.starts import has_start
from inrcodec.coding.tiles import GROUP_BYTES
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.signal import SignalInfo

LEVELS = 7
"""Levels of latents; on a small lattice the coarsest have one each and cost almost nothing."""

Net = tuple[tuple[int, ...], tuple[int, ...], int, int]

STARTS: dict[Net, StartId] = {
    ((12, 12), (24,), 2, 3): StartId.RGB_12_12_24_2,
    ((16, 16), (32,), 2, 3): StartId.RGB_16_16_32_2,
    ((20, 20), (48,), 2, 3): StartId.RGB_20_20_48_2,
    ((12, 12), (24,), 2, 1): StartId.GREY_12_12_24_2,
    ((16, 16), (32,), 2, 1): StartId.RGB_16_16_32_2,
    ((20, 20), (48,), 2, 1): StartId.RGB_20_20_48_2,
}
"""Trained networks to start from, by contexts, synthesis, residuals and outputs."""

TILED_FROM, TILE = 2**22, 1024
"""Positions from which latents are coded in tiles, and the edge of a tile."""

PROBED_FROM, PROBE = 2**21, 2**20
"""Positions from which networks are rounded by a window, and about how many that has."""

SECTION_BYTES = 13
"""Most bytes of a section's frame, its count of levels and what the range coder adds."""

KIND_BYTES = 12
"""Most bytes of the header that say which pyramid it is."""


def chosen_spec(info: SignalInfo, preset: PyramidPreset) -> PyramidSpec:
    """The architecture for a signal."""
    tile = TILE if info.positions > TILED_FROM and max(info.lattice) > TILE else 0
    outputs = len(info.channels)
    known = (preset.contexts, preset.synthesis, preset.residuals, outputs)
    start = STARTS.get(known, StartId.NONE) if len(info.axes) == 2 else StartId.NONE
    return PyramidSpec(
        info.lattice,
        outputs,
        LEVELS,
        preset.contexts,
        preset.synthesis,
        preset.residuals,
        tile,
        int(start) if has_start(start) else 0,
    )


def section_bytes(spec: PyramidSpec, available: float) -> int:
    """Most bytes that a track with latents needs beside its coded symbols, of those available."""
    tiles = math.prod(tile_counts(spec))
    # Where there are several groups of levels, each is at least so long.
    groups = min(spec.levels, max(1, int(available // (GROUP_BYTES * tiles))))
    return KIND_BYTES + SECTION_BYTES * groups * tiles


def probe_window(spec: PyramidSpec) -> list[tuple[int, int]]:
    """Start and stop along every axis of the window that stands for a large lattice: the middle."""
    unit = 2 ** (spec.levels - 1)
    edge = max(unit, round(PROBE ** (1 / len(spec.lattice))) // unit * unit)
    window = []
    for size in spec.lattice:
        start = max(0, (size - edge) // 2 // unit * unit)
        window.append((start, min(size, start + edge)))
    return window
