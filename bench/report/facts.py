"""Joins a summary with what a reader has to know of the run: pictures, machines, notes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.summary import PERCEPTUAL, Summary
from bench.rows import Row

MOST_TEXTS = 8
"""Of one note of one codec, such as the nets that it chose."""


def facts(summary: Summary, left_out: Sequence[str] = ()) -> list[tuple[str, str]]:
    """What was measured, on what, with what, and what was not."""
    rows = (*summary.good, *summary.failed)
    # A row that failed early does not know the size.
    pixels = {row.image: row.width * row.height for row in rows if row.width}
    data = "Kodak, all 24 pictures" if summary.is_kodak else _some(summary.images)
    days = sorted({row.measured[:10] for row in rows if row.measured})
    versions = sorted({f"{name} {text}" for row in rows for name, text in row.versions.items()})
    return [
        ("Pictures", f"{data} ({sum(pixels.values()) / 1e6:.2f} megapixels)"),
        ("Rows", f"{len(summary.good)} measured, {len(summary.failed)} failed"),
        *([("Left out", f"{len(left_out)} of what was asked for")] if left_out else []),
        ("Codecs", str(len(summary.families))),
        ("Measured", " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "no date given"),
        ("Device", ", ".join(sorted({row.device for row in rows})) or "none"),
        *_machines(rows),
        ("Threads", ", ".join(sorted({str(row.threads) for row in rows})) or "none"),
        ("Versions", ", ".join(versions) or "not recorded"),
    ]


def _machines(rows: Sequence[Row]) -> list[tuple[str, str]]:
    names = sorted({row.machine or "not recorded" for row in rows})
    if len(names) < 2:
        return [("Machine", "".join(names) or "none")]
    return [
        ("Machines", "; ".join(names)),
        ("Caution", f"seconds come from {len(names)} machines or loads, so their ratios mix them"),
    ]


def _some(images: Sequence[str]) -> str:
    names = ", ".join(images[:6]) + (", …" if len(images) > 6 else "")
    return f"{len(images)}: {names}" if images else "none"


def codec_notes(summary: Summary) -> list[str]:
    """What the codecs say of themselves: a line each, with the distinct texts of every note.

    Numbers belong to single rows and are left out.
    """
    found: dict[str, dict[str, dict[str, None]]] = {name: {} for name in summary.families}
    for row in summary.good:
        for name, text in row.notes.items():
            if isinstance(text, str) and name not in PERCEPTUAL:
                found[row.codec].setdefault(name, {})[text] = None
    return [
        f"{codec}: " + "; ".join(f"{name}: {_few(list(texts))}" for name, texts in own.items())
        for codec, own in found.items()
        if own
    ]


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_TEXTS
    return ", ".join(texts[:MOST_TEXTS]) + (f" and {more} more" if more > 0 else "")
