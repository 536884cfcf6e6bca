"""Joins a summary and its BD-rates with a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import tables
from bench.report.counterparts import counterparts
from bench.report.curves import LANDMARKS, Deltas, why_none_published
from bench.report.facts import codec_notes, facts
from bench.report.summary import Summary


def as_markdown(
    summary: Summary, by_rule: Sequence[Deltas], anchor: str | None, left_out: Sequence[str]
) -> str:
    """All figures of a report, with what was left out; `by_rule` begins with the main rule."""
    main, images = by_rule[0], by_rule[-1]
    own = [name for name in main.anchors if name in summary.families]
    landmarks = [name for name in main.anchors if name not in summary.families]
    parts = [
        "# Rate-distortion bench\n",
        tables.bullets([f"{name}: {text}" for name, text in facts(summary, left_out)]),
        "Rates are `8 * bytes / pixels` of real files; seconds are per megapixel; MS-SSIM is "
        "`-10 log10(1 - mean)`.\n",
        "## Codecs\n",
        tables.as_markdown(tables.codecs(summary, main, anchor)),
        _reasons(main, [anchor]),
        f"## BD-rate, {main.rule}\n",
        "Negative: the codec of the row needs less rate than that of the column. In brackets: the "
        "range of PSNR that both reach, which the figure is the mean over.\n",
        tables.matrix_markdown(main, own),
        _reasons(main, own),
    ]
    if landmarks:
        names = f"Against published curves ({len(landmarks)} of {len(LANDMARKS)} landmarks).\n"
        parts += [names, tables.matrix_markdown(main, landmarks), _reasons(main, landmarks)]
    elif reason := why_none_published(summary):
        parts.append(reason + "\n")
    if table := counterparts(summary):
        parts += ["## The same formats, measured here and published\n", tables.as_markdown(table)]
    parts += [
        f"## BD-rate, {images.rule}\n",
        tables.matrix_markdown(images, images.anchors),
        _reasons(images, images.anchors),
        "## Settings\n",
        tables.as_markdown(tables.settings(summary)),
    ]
    if lines := codec_notes(summary):
        parts += ["## Notes of the codecs\n", tables.bullets(lines)]
    parts.append(f"## Failed rows: {len(summary.failed)}\n")
    if summary.failed:
        parts.append(tables.as_markdown(tables.failures(summary)))
    parts.append(f"## Left out: {len(left_out)}\n")
    if left_out:
        parts.append(tables.bullets(left_out))
    return "\n".join(filter(None, parts))


def _reasons(table: Deltas, anchors: Sequence[str | None]) -> str:
    lines = tables.reasons(table, anchors)
    return f"Why n/a:\n\n{tables.bullets(lines)}" if lines else ""
