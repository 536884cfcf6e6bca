"""Joins curves and speeds with PNG plots for a README."""

from __future__ import annotations

from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from bench.report.curves import LANDMARKS, Deltas, measured, published, published_label, rate
from bench.report.figures import published_colour, symbol
from bench.report.summary import Summary, colour, is_ours

MARKERS = ("o", "s", "D", "^", "P", "*", "X", "h")
"""In the order of the page's symbols."""

LOW_RATE = 0.6


def write_rate_distortion(summary: Summary, path: Path) -> None:
    """PSNR (mean over the pictures) over bpp: everything, and the low rates."""
    figure = Figure(figsize=(13, 5.6), dpi=110, layout="constrained")
    whole, low = figure.subplots(1, 2)
    curves, _ = measured(summary, "mean-psnr")
    lines: list[tuple[Any, Any, dict[str, Any]]] = []
    for curve in published(summary, "mean-psnr"):
        if curve.system in LANDMARKS:
            style = {"color": published_colour(curve.system), "ls": "--", "lw": 1.2}
            lines.append((curve.bpp, curve.psnr, {"label": published_label(curve), **style}))
    for name, curve in curves.items():
        if curve.bpp:
            lines.append((curve.bpp, curve.psnr, {"label": name, **_style(summary, name)}))
    for axes in (whole, low):
        for x, y, style in lines:
            axes.plot(x, y, **style)
        axes.set_xlabel("bits per pixel (real files)")
        axes.grid(alpha=0.3)
        if not lines:
            _say(axes, "no codec has a point over all pictures")
    whole.set_ylabel("PSNR, dB (mean over pictures)")
    pictures = f"{len(summary.images)} picture{'s' * (len(summary.images) != 1)}"
    whole.set_title(f"PSNR over rate, {pictures}")
    low.set_title(f"up to {LOW_RATE} bpp")
    if lines:
        # Published curves may go on for long.
        widest = max((max(c.bpp) for c in curves.values() if c.bpp), default=LOW_RATE)
        _show_rates(whole, lines, 1.05 * widest)
        _show_rates(low, lines, LOW_RATE)
        figure.legend(*whole.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path)


def _show_rates(axes: Any, lines: list[tuple[Any, Any, dict[str, Any]]], highest: float) -> None:
    shown = [q for x, y, _ in lines for rate, q in zip(x, y, strict=True) if rate <= highest]
    axes.set_xlim(0, highest)
    if shown:
        axes.set_ylim(min(shown) - 0.5, max(shown) + 0.5)
    else:
        _say(axes, "no point at these rates")


def write_speed(summary: Summary, table: Deltas, anchor: str | None, path: Path) -> None:
    """BD-rate over seconds per megapixel, for encoding and decoding."""
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, what in zip(panels, ("encode", "decode"), strict=True):
        times: list[float] = []
        axes.set_title(what)
        axes.set_xscale("log")
        axes.set_xlabel(f"{what}: seconds per megapixel")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, which="both")
        for name, speed in summary.speeds.items():
            value = rate(table, name, anchor) if anchor else None
            if value is not None:
                style = {**_style(summary, name), "ls": "", "ms": 10}
                axes.plot(getattr(speed, what), value, label=name, **style)
                times.append(getattr(speed, what))
        if times and min(times) > 0:  # whole decades, so that a lone point has ticks to be read by
            ends = floor(log10(min(times)) - 0.1), ceil(log10(max(times)) + 0.1)
            axes.set_xlim(10.0 ** ends[0], 10.0 ** ends[1])
    panels[0].set_ylabel(f"BD-rate against {anchor}, %" if anchor else "BD-rate, %")
    handles, labels = panels[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    else:
        for axes in panels:
            _say(axes, "no two codecs have a BD-rate")
    figure.savefig(path)


def _style(summary: Summary, name: str) -> dict[str, Any]:
    family = summary.families[name]
    ours = is_ours(family)
    return {
        "color": colour(family),
        "marker": MARKERS[symbol(summary, name)],
        "ms": 7 if ours else 5,
        "lw": 3 if ours else 1.5,
    }


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
