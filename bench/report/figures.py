"""Joins curves and speeds with plotly's traces, as data for the page's script."""

from __future__ import annotations

import html
import zlib
from typing import Any

from bench.averages import AVERAGES
from bench.published import Averaging, Curve
from bench.report.curves import (
    LANDMARKS,
    Deltas,
    measured,
    published,
    published_label,
    rate,
    why_none_published,
)
from bench.report.summary import Summary, colour, is_ours, ms_ssim_decibels
from bench.report.tables import common_range

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "hexagon")

PUBLISHED_COLOURS = {
    "vtm": "#111111",
    "vtm-18.0": "#333333",
    "vtm-19.1": "#444444",
    "hm": "#5b5b5b",
    "bpg-444": "#008b8b",
    "av1": "#0072b2",
    "webp": "#009e73",
    "jpeg": "#767676",
    "jpeg2000": "#b07d00",
    "coin": "#7a4b1f",
    "c3": "#6a3d9a",
    "cool-chic-4.2-hop": "#a6761d",
    "recombiner": "#1b7837",
}
"""A system has the colour of its family where the bench measures that as well."""

OTHER_COLOURS = ("#8c6bb1", "#5f7a1f", "#00798c", "#a05195", "#8d5a4a", "#4a5568", "#ad1457")

Trace = dict[str, Any]


def symbol(summary: Summary, codec: str) -> int:
    """Tells the codecs of a colour apart: its place among them."""
    family = summary.families[codec]
    own = [
        name
        for name, other in summary.families.items()
        if other == family or (is_ours(other) and is_ours(family))  # ours share a colour
    ]
    return own.index(codec) % len(SYMBOLS)


def published_colour(system: str) -> str:
    """The colour of a published system, the same in every plot and run."""
    other = OTHER_COLOURS[zlib.crc32(system.encode()) % len(OTHER_COLOURS)]
    return PUBLISHED_COLOURS.get(system, other)


def rate_distortion(summary: Summary) -> dict[str, Any]:
    """Views of the curves by measure: traces, title of the y axis, a remark."""
    views: dict[str, Any] = {}
    for averaging, rule in AVERAGES.items():
        curves, _ = measured(summary, averaging)
        points = {name: (curve.bpp, curve.psnr) for name, curve in curves.items()}
        views[averaging] = {
            "name": f"PSNR: {rule}",
            "y": f"PSNR, dB ({rule})",
            "traces": [_measured(summary, name, *xy) for name, xy in points.items() if xy[0]]
            + [_published(curve, curve.psnr) for curve in published(summary, averaging)],
            "remark": why_none_published(summary) or _few_of_this_rule(averaging),
        }
    structure = {
        name: [p for p in summary.complete if p.codec == name and p.ms_ssim is not None]
        for name in summary.families
    }
    traces = [
        _measured(summary, name, [p.bpp for p in own], [p.ms_ssim for p in own])
        for name, own in structure.items()
        if own
    ]
    for curve in published(summary, "mean-psnr"):
        if curve.ms_ssim:
            traces.append(_published(curve, [ms_ssim_decibels(v) for v in curve.ms_ssim]))
    views["ms-ssim"] = {
        "name": "MS-SSIM",
        "y": "MS-SSIM of the mean, dB",
        "traces": traces,
        "remark": why_none_published(summary) if traces else "No MS-SSIM was measured.",
    }
    return views


def _few_of_this_rule(averaging: Averaging) -> str:
    if averaging == "mean-psnr":
        return ""
    return "Only published curves averaged by this very rule are drawn; few sources give it."


def _measured(summary: Summary, name: str, x: Any, y: Any) -> Trace:
    family = summary.families[name]
    ours = is_ours(family)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "legendgroup": "measured",
        "legendgrouptitle": {"text": "measured here"},
        "line": {"color": colour(family), "width": 4 if ours else 2},
        "marker": {"symbol": SYMBOLS[symbol(summary, name)], "size": 10 if ours else 7},
        "hovertemplate": f"{_plain(name)}<br>%{{x:.4f}} bpp, %{{y:.2f}} dB<extra></extra>",
    }


def _published(curve: Curve, y: Any) -> Trace:
    name = published_label(curve)
    source = "<br>".join(map(_plain, filter(None, (curve.source, curve.note))))
    return {
        "type": "scatter",
        "mode": "lines",
        # The legend says "published" once, above them all.
        "name": curve.label + ("" if curve.real_files else " (est.)"),
        "x": list(curve.bpp),
        "y": list(y),
        "visible": True if curve.system in LANDMARKS else "legendonly",
        "legendgroup": "published",
        "legendgrouptitle": {"text": "published (click to show)"},
        "line": {"color": published_colour(curve.system), "width": 1.5, "dash": "dash"},
        "hovertemplate": f"{_plain(name)}<br>%{{x:.4f}} bpp, %{{y:.2f}} dB<br>{source}"
        "<extra></extra>",
    }


def _plain(text: str) -> str:
    """Text that plotly shows as it is: no tags, no placeholders."""
    return html.escape(text, quote=False).replace("%{", "% {")


def speeds(summary: Summary, table: Deltas, anchor: str | None) -> dict[str, Any]:
    """Seconds per megapixel over BD-rate; codecs without a BD-rate are named in the remark."""
    traces: list[Trace] = []
    missing = []
    for name, speed in summary.speeds.items():
        value = rate(table, name, anchor) if anchor else None
        if value is None:
            missing.append(name)
            continue
        cell = table.cells.get((name, anchor or ""), "")
        ranges = "" if isinstance(cell, str) else f", {common_range(cell)}"
        family = summary.families[name]
        for panel, seconds in enumerate((speed.encode, speed.decode)):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [seconds],
                    "y": [value],
                    "xaxis": "x2" if panel else "x",
                    "yaxis": "y2" if panel else "y",
                    "legendgroup": name,
                    "showlegend": not panel,
                    "marker": {
                        "color": colour(family),
                        "symbol": SYMBOLS[symbol(summary, name)],
                        "size": 16 if is_ours(family) else 11,
                        "line": {"color": "#ffffff", "width": 1},
                    },
                    "hovertemplate": f"{_plain(name)}<br>%{{x:.3g}} s per megapixel"
                    f"<br>%{{y:.1f}} %{ranges}<extra></extra>",
                }
            )
    remark = f"Not shown, for want of a BD-rate: {', '.join(missing)}." if missing else ""
    if anchor is None and summary.speeds:
        remark = "No two codecs of this run have a BD-rate: see the matrix for the reasons."
    return {"traces": traces, "anchor": anchor, "remark": remark}
