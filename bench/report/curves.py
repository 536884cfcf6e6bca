"""Joins a summary with the rate-distortion curves that it may be compared by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.averages import AVERAGES, measured_curves, measured_images
from bench.bd import Delta, ImageDeltas, NoDeltaError, matrix, mean_of_images
from bench.published import Averaging, Curve, per_image, published_curves
from bench.report.summary import Summary
from bench.rows import Row

MAIN: Averaging = "mean-psnr"

LANDMARKS = ("vtm", "bpg-444", "av1", "cool-chic-4.2-hop", "c3", "recombiner", "coin")
"""Published systems shown from the start and used as anchors; a click shows the others."""

PER_IMAGE = "mean of the images' BD-rates"

Cell = Delta | ImageDeltas | str
"""A BD-rate, or why there is none."""


@dataclass(frozen=True)
class Deltas:
    """BD-rates of `tests` (rows) against `anchors` (columns), by one rule."""

    rule: str
    tests: tuple[str, ...]
    anchors: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    """By test and anchor."""
    notes: tuple[str, ...] = ()


def measured(summary: Summary, averaging: Averaging) -> tuple[dict[str, Curve], list[str]]:
    """A curve per codec over all pictures, and a note for each setting that is in none."""
    found, notes = measured_curves((*summary.good, *summary.failed), averaging, summary.images)
    curves = {curve.system: _finite(curve, notes) for curve in found}
    return {name: curves.get(name) or _empty(name, averaging) for name in summary.families}, notes


def _finite(curve: Curve, notes: list[str]) -> Curve:
    """Without points of no loss at all: infinity can neither be drawn nor compared."""
    kept = [index for index, psnr in enumerate(curve.psnr) if math.isfinite(psnr)]
    lost = len(curve.psnr) - len(kept)
    if not lost:
        return curve
    notes.append(f"{curve.label}: {lost} of {len(curve.psnr)} settings left out: no loss at all")
    bpp, psnr = (tuple(values[index] for index in kept) for values in (curve.bpp, curve.psnr))
    return replace(curve, bpp=bpp, psnr=psnr, ms_ssim=None)


def _empty(codec: str, averaging: Averaging) -> Curve:
    """No point at all: whoever compares it says so."""
    return Curve(codec, codec, (), (), None, averaging, True, "", "", published=False)


def published(summary: Summary, averaging: Averaging) -> list[Curve]:
    """The published curves that may stand beside the measured ones: of all of Kodak, or none."""
    return published_curves(averaging) if summary.is_kodak else []


def why_none_published(summary: Summary) -> str:
    """A line for the page where nothing published is drawn."""
    if summary.is_kodak:
        return ""
    return (
        f"No published curve is drawn: they average all 24 Kodak pictures, this run has "
        f"{len(summary.images)} picture{'s' * (len(summary.images) != 1)}. Means of different "
        "sets can't be compared."
    )


def published_label(curve: Curve) -> str:
    """As in legends: marked as published, and where its rates may be estimates."""
    return f"{curve.label}, published" + ("" if curve.real_files else " (est.)")


def deltas(summary: Summary, averaging: Averaging) -> Deltas:
    """BD-rate of every curve against every measured one and every landmark."""
    own, notes = measured(summary, averaging)
    others = {published_label(curve): curve for curve in published(summary, averaging)}
    curves = {**own, **others}
    anchors = [*own, *(name for name, curve in others.items() if curve.system in LANDMARKS)]
    # The rows of `matrix` are anchors, its columns tests.
    table = dict(zip(curves, matrix(list(curves.values())), strict=True))
    cells: dict[tuple[str, str], Cell] = {
        (test, anchor): cell
        for anchor in anchors
        for test, cell in zip(curves, table[anchor], strict=True)
        if test != anchor
    }
    return Deltas(AVERAGES[averaging], tuple(curves), tuple(anchors), cells, tuple(notes))


def image_deltas(summary: Summary) -> Deltas:
    """Means of per-image BD-rates; published systems with figures per image take part."""
    anchors = tuple(summary.families)
    own = {name: measured_images(summary.good, name) for name in anchors}
    curves = {**own, **_published_images(summary)}
    cells: dict[tuple[str, str], Cell] = {}
    for test in curves:
        for anchor in anchors:
            if test != anchor:
                try:
                    cells[test, anchor] = mean_of_images(curves[anchor], curves[test])
                except NoDeltaError as error:
                    cells[test, anchor] = str(error)
    return Deltas(PER_IMAGE, tuple(curves), anchors, cells)


def _published_images(summary: Summary) -> dict[str, dict[str, Curve]]:
    if not all(_is_kodak_size(row) for row in summary.good):
        return {}
    found = {}
    for curve in published_curves():
        try:
            images = per_image(curve.system)
        except LookupError:
            continue
        if set(summary.images) <= images.keys():
            found[published_label(curve)] = {name: images[name] for name in summary.images}
    return found


def _is_kodak_size(row: Row) -> bool:
    # A cropped or halved kodim05.png is another picture.
    return {row.width, row.height} == {768, 512}


def ranking(table: Deltas, summary: Summary) -> tuple[str | None, list[str]]:
    """The anchor for plots, and the measured codecs from best to worst against it.

    The anchor is the AVIF of the run, else the measured codec that most others can be compared to;
    codecs without a BD-rate come last.
    """
    own = [name for name in table.anchors if name in summary.families]

    def comparable(anchor: str) -> int:
        return sum(not isinstance(table.cells.get((test, anchor), ""), str) for test in own)

    best = max(own, key=lambda name: (comparable(name), name == summary.reference), default=None)
    if summary.reference in own and comparable(summary.reference):
        best = summary.reference
    if best is None or not comparable(best):
        return None, own

    def worth(name: str) -> tuple[bool, float]:
        value = rate(table, name, best)
        return value is None, value or 0.0

    return best, sorted(own, key=worth)


def rate(table: Deltas, test: str, anchor: str) -> float | None:
    """The BD-rate in percent; 0 against itself, None where there is none."""
    if test == anchor:
        return 0.0
    cell = table.cells.get((test, anchor), "")
    return None if isinstance(cell, str) else cell.value
