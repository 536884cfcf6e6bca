"""Joins a SignalInfo and a preset with the PyramidSpec that suits them."""

from __future__ import annotations

import math
from dataclasses import replace

from inrcodec.bitstream.kinds import is_variant
from inrcodec.bitstream.wire import StartId
from inrcodec.coding.latents import tile_counts
from inrcodec.coding.starts import has_start
from inrcodec.coding.tiles import GROUP_BYTES
from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.tilings import TILE_COST, may_be_tiled
from inrcodec.signal import SignalInfo

LEVELS = 7
"""Levels of latents; on a small lattice the coarsest have one each and cost almost nothing."""

Net = tuple[tuple[int, ...], tuple[int, ...], int, int]

STARTS: dict[Net, tuple[StartId, StartId, StartId]] = {
    ((12, 12), (24,), 2, 3): (
        StartId.RGB_12_12_24_2,
        StartId.RGB_12_12_24_2_LOW,
        StartId.RGB_12_12_24_2_HIGH,
    ),
    ((16, 16), (32,), 2, 3): (StartId.RGB_16_16_32_2,) * 3,
    ((20, 20), (48,), 2, 3): (StartId.RGB_20_20_48_2,) * 3,
    ((12, 12), (24,), 2, 1): (
        StartId.GREY_12_12_24_2,
        StartId.GREY_12_12_24_2_LOW,
        StartId.GREY_12_12_24_2_HIGH,
    ),
    ((16, 16), (32,), 2, 1): (StartId.RGB_16_16_32_2,) * 3,
    ((20, 20), (48,), 2, 1): (StartId.RGB_20_20_48_2,) * 3,
}
"""Trained networks to start from, by contexts, synthesis, residuals and outputs: for short fits,
then for long ones to low and to high rates."""

LONG_FROM = 300
"""Steps from which what long fits have learnt is the better start: it trusts in latents that short
fits do not reach."""

LOW_FROM = 2.4e-3
"""Rate weight from which a rate is low."""

TILED_FROM, TILE = 2**22, 1024
"""Positions from which latents are coded in tiles, and the edge of a tile."""

PROBED_FROM, PROBE = 2**21, 2**20
"""Positions from which networks are rounded by a window, and about how many that has."""

SECTION_BYTES = 13
"""Most bytes of a section's frame, its count of levels and what the range coder adds."""

KIND_BYTES, VARIANT_BYTES = 12, 13
"""Most bytes of the header that say which pyramid it is, and which variant of it."""


def chosen_spec(
    info: SignalInfo, preset: PyramidPreset, kept: int = 0, coarse: int = 0
) -> PyramidSpec:
    """The architecture for a signal, without a start; the first `kept` axes are not halved.

    `info` is on the field's lattice: that of the signal, halved `coarse` times along other axes.

    Raises UsageError where no axis would be left to halve.
    """
    if kept >= len(info.axes):
        raise UsageError(
            f"kept {kept}: the signal has {len(info.axes)} axes, and one has to be halved"
        )
    # Volumes get theirs once it is known what they cost.
    flat = len(info.axes) <= 2 and max(info.lattice) > TILE
    tile = TILE if info.positions > TILED_FROM and flat else 0
    return PyramidSpec(
        info.lattice,
        len(info.channels),
        LEVELS,
        preset.contexts,
        preset.synthesis,
        preset.residuals,
        tile,
        kept=kept,
        coarse=coarse,
    )


def started(spec: PyramidSpec, rate_weight: float, steps: int) -> PyramidSpec:
    """The architecture with the trained networks, if any, that a fit of `steps` starts from."""
    known = STARTS.get((spec.contexts, spec.synthesis, spec.residuals, spec.outputs))
    if known is None or spec.inputs != 2 or spec.kept:
        return spec
    short, low, high = known
    start = short if steps < LONG_FROM else low if rate_weight >= LOW_FROM else high
    return replace(spec, start=int(start)) if has_start(start) else spec


def section_bytes(spec: PyramidSpec, available: float) -> int:
    """Most bytes that a track with latents needs beside its coded symbols, of those available."""
    if spec.edges or may_be_tiled(spec):
        return KIND_BYTES + VARIANT_BYTES + 3 * SECTION_BYTES + int(TILE_COST * available)
    tiles = math.prod(tile_counts(spec))
    # Where there are several groups of levels, each is at least so long.
    groups = min(spec.levels, max(1, int(available // (GROUP_BYTES * tiles))))
    return KIND_BYTES + VARIANT_BYTES * is_variant(spec) + SECTION_BYTES * groups * tiles


def probe_window(spec: PyramidSpec) -> list[tuple[int, int]]:
    """Start and stop along every axis of the window that stands for a large lattice: the middle."""
    even, room = round(PROBE ** (1 / spec.inputs)), PROBE
    window = []
    for axis, (size, halvings) in enumerate(
        zip(spec.lattice, spec.halvings(spec.levels - 1), strict=True)
    ):
        unit, edge = 2**halvings, min(size, even)
        if axis >= spec.kept:
            # What axes that are kept and short leave to the others.
            edge = max(unit, round(room ** (1 / spec.halved)) // unit * unit)
        else:
            room //= edge
        start = max(0, (size - edge) // 2 // unit * unit)
        window.append((start, min(size, start + edge)))
    return window
