"""Joins rows with the report that people read: a page, plots and Markdown tables."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from bench.averages import AVERAGES
from bench.codecs.codec import Codec
from bench.report import tables
from bench.report.compare import comparisons
from bench.report.counterparts import counterparts
from bench.report.curves import (
    Deltas,
    deltas,
    image_deltas,
    ranking,
    why_none_published,
)
from bench.report.facts import codec_notes, facts
from bench.report.figures import rate_distortion, speeds
from bench.report.markdown import as_markdown
from bench.report.plots import write_rate_distortion, write_speed
from bench.report.summary import Summary, is_ours, summarise
from bench.rows import Row

TITLE = "Rate-distortion bench"


def write_report(
    rows: Sequence[Row],
    folder: Path,
    images: Sequence[Path],
    kept: Path | None = None,
    *,
    ours: str | None = None,
    codecs: Mapping[str, Codec] | None = None,
    left_out: Sequence[str] = (),
) -> list[Path]:
    """Write report.html, rd.png, speed.png and table.md into `folder`; returns their paths.

    `images` are the originals, found by stem; `kept` is the folder of the coded files, `files` in
    `folder` by default. `ours` names the codec that the page compares with rivals, `codecs` those
    that may code again for that; by default they come from the registry. `left_out` are lines on
    pictures and codecs that were asked for and not measured. What is missing is said on the page.
    """
    summary = summarise(rows)
    by_rule = [deltas(summary, rule) for rule in AVERAGES] + [image_deltas(summary)]
    anchor, best = ranking(by_rule[0], summary)
    available, absent = _available(summary) if codecs is None else (codecs, [])
    shown = comparisons(summary, images, kept or folder / "files", available, ours, best)
    shown["notes"] += absent
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("report.html", "rd.png", "speed.png", "table.md")]
    paths[0].write_text(_page(summary, by_rule, anchor, shown, left_out), encoding="utf-8")
    write_rate_distortion(summary, paths[1])
    write_speed(summary, by_rule[0], anchor, paths[2])
    paths[3].write_text(as_markdown(summary, by_rule, anchor, left_out), encoding="utf-8")
    return paths


def _available(summary: Summary) -> tuple[dict[str, Codec], list[str]]:
    from bench.codecs.registry import find

    found: dict[str, Codec] = {}
    missing: list[str] = []
    for name in summary.families:
        try:
            some, absent = find([name])
        except ValueError as error:  # a row of another version's codec
            missing.append(str(error))
            continue
        found |= {codec.name: codec for codec in some}
        missing += absent
    return found, missing


def _page(
    summary: Summary,
    by_rule: Sequence[Deltas],
    anchor: str | None,
    shown: dict[str, Any],
    left_out: Sequence[str],
) -> str:
    ours = [name for name, family in summary.families.items() if is_ours(family)]
    rules = [table.rule for table in by_rule]
    parts = {
        "title": html.escape(TITLE),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "facts": "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>"
            for name, text in facts(summary, left_out)
        ),
        "empty": "" if summary.good else _nothing(summary),
        "failed": _failed(summary),
        "not_measured": _not_measured(left_out),
        "codecs": tables.as_html(tables.codecs(summary, by_rule[0], anchor), ours),
        "why_no_rate": _why_no_rate(by_rule[0], anchor),
        "settings": tables.as_html(tables.settings(summary), ours),
        "counterparts": _counterparts(summary),
        "notes": _notes(summary),
        "in_no_curve": tables.listed(by_rule[0].notes, "settings in no curve"),
        "rules": "".join(
            f'<option value="{index}">{html.escape(rule)}</option>'
            for index, rule in enumerate(rules)
        ),
        "matrices": "".join(
            f'<div class="scroll matrix-of" id="matrix-{index}"{" hidden" * (index > 0)}>'
            f"{tables.matrix_html(table, summary)}</div>"
            for index, table in enumerate(by_rule)
        ),
        "published": html.escape(why_none_published(summary)),
        "reference": html.escape(summary.reference or "an AVIF of speed 6, not in this run"),
        "data": _script_data(
            {
                "rd": rate_distortion(summary),
                "speed": speeds(summary, by_rule[0], anchor),
                "compare": shown,
            }
        ),
        "plotly": get_plotlyjs(),
        "style": _resource("page.css"),
        "script": _resource("page.js"),
    }
    return Template(_resource("page.html")).substitute(parts)


def _why_no_rate(table: Deltas, anchor: str | None) -> str:
    lines = tables.reasons(table, [anchor])
    return f'<p class="remark">Why n/a:</p>{tables.as_list(lines)}' if lines else ""


def _counterparts(summary: Summary) -> str:
    table = counterparts(summary)
    if table is None:
        return ""
    return (
        "<h3>The same formats, measured here and published</h3>"
        f'<div class="scroll">{tables.as_html(table)}</div>'
    )


def _resource(name: str) -> str:
    return files("bench.report").joinpath(name).read_text(encoding="utf-8")


def _script_data(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _nothing(summary: Summary) -> str:
    count = len(summary.failed)
    why = f"all {count} rows failed; they are listed below" if count else "there are no rows yet"
    return f'<p class="warning">Nothing to draw: {why}.</p>'


def _failed(summary: Summary) -> str:
    if not summary.failed:
        return "<p>No row failed.</p>"
    count = len(summary.failed)
    return (
        f'<p class="warning">{count} row{"s" * (count != 1)} failed. No mean contains them, and no '
        "curve the setting they belong to.</p>"
        f'<div class="scroll">{tables.as_html(tables.failures(summary))}</div>'
    )


def _not_measured(left_out: Sequence[str]) -> str:
    if not left_out:
        return "<p>Nothing that was asked for was left out.</p>"
    return f'<p class="warning">{len(left_out)} left out:</p>{tables.as_list(left_out)}'


def _notes(summary: Summary) -> str:
    lines = codec_notes(summary)
    return f"<h3>Notes of the codecs</h3>{tables.as_list(lines)}" if lines else ""
