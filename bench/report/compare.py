"""Joins our kept files with files of rivals of the same size, to be looked at side by side."""

from __future__ import annotations

import base64
import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from bench.codecs.codec import Codec, Coded, Picture
from bench.datasets import read_picture
from bench.measures import mse, psnr_of
from bench.report.summary import Summary, is_ours
from bench.rows import Row

PICTURES, POINTS, RIVALS = 4, 2, 4
"""The most pictures, rates of each, and rivals at each that a page shows."""

MAX_EDGE = 768
"""Larger pictures show the middle of this size."""

BUDGET = 17_000_000
"""Characters of embedded pictures, so that the page stays below 25 MB."""

FAST_SECONDS = 3.0
"""Longer encodes would make the bisection, about ten of them, too slow."""

CLOSE, EQUAL = 0.01, 0.03
"""The bisection stops within the one; what is outside the other is marked on the page."""

MOST_TRIES = 14

_log = logging.getLogger("bench")


@dataclass
class Embedded:
    """Data URIs made so far."""

    characters: int = 0

    def uri(self, picture: Picture) -> str:
        """A lossless WebP of the middle of the picture."""
        top, left = (max(0, (edge - MAX_EDGE) // 2) for edge in picture.shape[:2])
        part = picture[top : top + MAX_EDGE, left : left + MAX_EDGE]
        file = io.BytesIO()
        Image.fromarray(part).save(file, "WEBP", lossless=True, quality=40, method=3)
        text = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        self.characters += len(text)
        return text


def comparisons(
    summary: Summary,
    images: Sequence[Path],
    kept: Path,
    codecs: Mapping[str, Codec],
    ours: str | None,
    ranking: Sequence[str],
) -> dict[str, Any]:
    """What the page's slider shows: `views` of pictures, and `notes` on what is not there.

    `ours` defaults to the codec of this project with most rows, and where there is none to the
    first of `ranking`: codec names, the best first, of which rivals are taken one per family.
    """
    notes: list[str] = []
    base = ours or _base(summary, ranking)
    if base is None or base not in codecs:
        return {"views": [], "notes": [f"No comparison: {base or 'our codec'} can't run here."]}
    rivals = _rivals(summary, codecs, base, ranking)
    if not rivals:
        notes.append(f"No rival to {base} in this run is fast enough to be encoded again.")
    places = {path.stem: path for path in images}
    named = [name for name in summary.images if name in places]
    views: list[dict[str, Any]] = []
    embedded = Embedded()
    for name in _spread(named, PICTURES):
        rows = sorted(
            (row for row in summary.good if (row.codec, row.image) == (base, name)),
            key=lambda row: row.bytes or 0,
        )
        rows = _within_reach(rows, rivals, summary)
        view = {"image": name, "points": []}
        original: Picture | None = None
        for row in _spread(rows, POINTS):
            if embedded.characters > BUDGET:
                notes.append(f"{name}: no room left in the page for setting {row.setting:g}.")
                continue
            try:
                if original is None:
                    original = read_picture(places[name])
                    view |= {"original": embedded.uri(original), "cut": _cut(original)}
                view["points"].append(
                    _point(row, codecs[base], rivals, original, kept, embedded, notes)
                )
            except Exception as error:  # codecs raise what they like; the report goes on
                notes.append(f"{name}, {base} at {row.setting:g}: {_line(error)}")
        if view["points"]:
            views.append(view)
    if not views and not notes:
        notes.append(f"No comparison: no decodable row of {base} for a picture that is here.")
    for note in notes:
        _log.info("report: %s", note)
    return {"base": base, "equal": EQUAL, "views": views, "notes": notes}


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def equal_bytes(codec: Codec, picture: Picture, size: int) -> tuple[float, Coded]:
    """The setting whose file comes nearest to `size` bytes, by bisection.

    Searched first between the bench's settings, then up to the codec's limits: their last steps
    make files that take long and are seldom wanted.
    """
    tried: dict[float, Coded] = {}

    def reached(setting: float) -> int:
        if setting not in tried:
            tried[setting] = codec.encode(picture, setting)
        return len_of(tried[setting])

    low, high = float(codec.settings[0]), float(codec.settings[-1])
    least, most = codec.limits or (low, high)
    if reached(low) > size:
        low, high = float(least), low
    elif reached(high) < size:
        low, high = high, float(most)
    while reached(low) < size < reached(high) and len(tried) < MOST_TRIES:
        middle = _between(low, high, codec.whole)
        if middle in (low, high) or abs(reached(middle) / size - 1) <= CLOSE:
            break
        low, high = (middle, high) if reached(middle) < size else (low, middle)
    return min(tried.items(), key=lambda item: abs(math.log(len_of(item[1]) / size)))


def _between(low: float, high: float, whole: bool) -> float:
    if whole:
        return float(round((low + high) / 2))
    # Ratios and rates span decades.
    return math.sqrt(low * high) if low > 0 and high > 0 else (low + high) / 2


def len_of(coded: Coded) -> int:
    """Bytes of a file."""
    return len(coded.data)


def _base(summary: Summary, ranking: Sequence[str]) -> str | None:
    ours = [row.codec for row in summary.good if is_ours(row.family)]
    if ours:
        return max(sorted(set(ours)), key=ours.count)
    return next((name for name in ranking if name in summary.speeds), None)


def _rivals(
    summary: Summary, codecs: Mapping[str, Codec], base: str, ranking: Sequence[str]
) -> list[Codec]:
    chosen: dict[str, Codec] = {}
    for name in ranking:
        family = summary.families[name]
        rows = [row.encode_seconds or 0.0 for row in summary.good if row.codec == name]
        fast = name in codecs and not codecs[name].slow and rows and max(rows) <= FAST_SECONDS
        if name != base and fast and not is_ours(family):
            chosen.setdefault(family, codecs[name])
    return list(chosen.values())[:RIVALS]


def _within_reach(rows: list[Row], rivals: Sequence[Codec], summary: Summary) -> list[Row]:
    """The rows of one picture that some rival can be as small as; all where none is."""
    names = {rival.name for rival in rivals}
    smallest = min(
        (
            row.bytes
            for row in summary.good
            if rows and row.image == rows[0].image and row.codec in names and row.bytes
        ),
        default=0,
    )
    return [row for row in rows if (row.bytes or 0) >= smallest * (1 - EQUAL)] or rows


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced, each the middle of its share."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * index + 1) * len(items) // (2 * count)] for index in range(count)]


def _cut(picture: Picture) -> str:
    height, width = picture.shape[:2]
    if max(height, width) <= MAX_EDGE:
        return ""
    return (
        f"Shown: the middle {min(width, MAX_EDGE)} × {min(height, MAX_EDGE)} of {width} × {height}"
        " pixels; PSNR is that of the whole picture."
    )


def _point(
    row: Row,
    codec: Codec,
    rivals: Sequence[Codec],
    original: Picture,
    kept: Path,
    embedded: Embedded,
    notes: list[str],
) -> dict[str, Any]:
    if not re.fullmatch("[0-9a-f]{64}", row.file or ""):
        raise ValueError("the row names no kept file")
    data = (kept / str(row.file)).read_bytes()
    pictures = [_shown(codec, row.setting, data, original, embedded)]
    for rival in rivals:
        try:
            setting, coded = equal_bytes(rival, original, len(data))
            pictures.append(_shown(rival, setting, coded.data, original, embedded))
        except Exception as error:  # as above
            notes.append(f"{row.image}, {rival.name}: {_line(error)}")
    own, *others = pictures
    # A rival that can't be as small comes last, so that the page opens with a fair one.
    others.sort(key=lambda other: abs(other["bytes"] / len(data) - 1) > EQUAL)
    bpp = 8 * len(data) / (row.width * row.height)
    label = f"{bpp:.3f} bpp ({len(data):,} bytes, setting {row.setting:g})"
    return {"label": label, "bytes": len(data), "pictures": [own, *others]}


def _shown(
    codec: Codec, setting: float, data: bytes, original: Picture, embedded: Embedded
) -> dict[str, Any]:
    decoded = codec.decode(data)
    if decoded.shape != original.shape:
        raise ValueError(f"decodes to {decoded.shape}, the original is {original.shape}")
    psnr = psnr_of(mse(original, decoded))
    return {
        "codec": codec.name,
        "setting": setting,
        "bytes": len(data),
        "psnr": psnr if math.isfinite(psnr) else None,
        "src": embedded.uri(decoded),
    }
