"""Joins rows of arrays with the tables of what codecs reach at the sizes and bounds asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.array_curves import best_at, curves
from bench.array_rows import ArrayRow, of
from bench.report.tables import Table, number

RATIOS: Mapping[str, tuple[float, ...]] = {
    **dict.fromkeys(("t1", "ct"), (200.0, 40.0)),
    **dict.fromkeys(("air", "era-u", "era-v", "era-z"), (400.0, 200.0, 100.0)),
    "jasper": (160.0,),
}
"""What is asked of each array: of the cube, 160:1 is 0.1 bit per pixel and band."""

BRAIN_SIZES = (1450, 3100, 8200)
"""Bytes asked of `brain`."""

OTHERS = (200.0, 100.0, 40.0)
"""Of arrays of which nothing is asked."""

BOUNDED = "sperr-bound"
"""The codec that is there for its bound, and at equal size behind its own fixed rate."""

BOUND = 0.01
"""Of the range: the bound that sizes are compared at."""


def sizes_of(data: str, raw: float) -> list[float]:
    """Bytes at which an array of `raw` bytes is compared, from small to large."""
    if data == "brain":
        return [float(size) for size in BRAIN_SIZES]
    return [raw / ratio for ratio in RATIOS.get(data, OTHERS)]


def at_sizes(rows: Sequence[ArrayRow]) -> Table:
    """PSNR in dB of every codec at the sizes asked, n/a where its files are larger; at least (≥)
    that of its largest file where that is smaller.

    Where an array was coded as one tall picture too (`-2d`), the better of the two counts.
    """
    codecs = list(dict.fromkeys(_plain(row.codec) for row in rows if _plain(row.codec) != BOUNDED))
    lines = []
    for data in dict.fromkeys(row.data for row in rows):
        own = of(rows, data)
        found = curves(own)
        raw = own[0].bytes * own[0].ratio
        for size in sizes_of(data, raw):
            reached = []
            for codec in codecs:
                its = [curve for curve in found if _plain(curve.codec) == codec]
                best = best_at(its, size)
                more = any(best and c.codec == best[0] and c.most_bytes < size for c in its)
                text = number(_psnr(own, best[1] if best else None), 2)
                reached.append(f"≥ {text}" if more else text)
            lines.append([data, f"{raw / size:.0f}:1", f"{size:.0f}", *reached])
    return ["data", "ratio", "bytes", *codecs], lines


def _plain(codec: str) -> str:
    return codec.removesuffix("-2d")


def span_of(rows: Sequence[ArrayRow]) -> float:
    """Range of the array that rows are of."""
    row = next(row for row in rows if row.rmse > 0)
    return float(row.rmse * 10 ** (row.psnr / 20))


def _psnr(rows: Sequence[ArrayRow], rmse: float | None) -> float | None:
    return None if rmse is None else 20 * math.log10(span_of(rows) / rmse)


def at_bound(rows: Sequence[ArrayRow], data: str) -> list[ArrayRow]:
    """The smallest file of each codec that keeps the bound of 1 % of the range of an array."""
    own = of(rows, data)
    limit = BOUND * span_of(own)
    best: dict[str, ArrayRow] = {}
    for row in sorted(own, key=lambda row: -row.bytes):
        if row.max_error <= limit * (1 + 1e-4):  # as rows are rounded
            best[row.codec] = row
    return sorted(best.values(), key=lambda row: row.bytes)


def bounded(rows: Sequence[ArrayRow]) -> Table:
    """Bytes of the smallest file of each family of codecs that keeps the bound of 1 % in every
    sample, and its PSNR in dB.
    """
    families = list(dict.fromkeys(row.family for row in rows))
    lines = []
    for data in dict.fromkeys(row.data for row in rows):
        kept = at_bound(rows, data)
        cells = []
        for family in families:
            row = next((row for row in kept if row.family == family), None)
            cells.append(f"{row.bytes} ({row.psnr:.2f}, {row.codec})" if row else "n/a")
        lines.append([data, *cells])
    return ["data", *families], lines
