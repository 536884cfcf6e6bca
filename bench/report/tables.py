"""Joins a summary with its tables, in Markdown and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

from bench.bd import Delta, ImageDeltas
from bench.report.curves import Cell, Deltas
from bench.report.summary import PERCEPTUAL, Point, Speed, Summary, is_ours

Table = tuple[list[str], list[list[str]]]
"""Heads and rows of cells, as plain text."""

REASON_LENGTH = 400

PERCEPTUAL_DIGITS = {"ssimulacra2": 2, "lpips": 4, "dists": 4}


def number(value: float | None, digits: int) -> str:
    """Fixed digits, or n/a."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """Three significant digits without an exponent, or n/a."""
    if value is None:
        return "n/a"
    digits = f"{value:.3g}"
    return f"{float(digits):.0f}" if "e+" in digits else digits


def settings(summary: Summary) -> Table:
    """A row per codec and setting."""
    reference = summary.speeds.get(summary.reference or "")
    name = f"× {reference.codec}" if reference else "× AVIF s6"
    heads = ["codec", "setting", "pictures", "bpp", "PSNR, dB", "PSNR of mean MSE, dB"]
    heads += ["MS-SSIM, dB", "encode, s/MP", f"encode {name}", "decode, s/MP", f"decode {name}"]
    heads += ["MAC/pixel", "memory, MiB"]
    extra = [name for name in PERCEPTUAL if any(name in p.perceptual for p in summary.points)]
    rows = [_setting(point, len(summary.images), reference, extra) for point in summary.points]
    return heads + [PERCEPTUAL[name] for name in extra], rows


def _setting(point: Point, images: int, reference: Speed | None, extra: Sequence[str]) -> list[str]:
    return [
        point.codec,
        f"{point.setting:g}",
        f"{point.images} of {images}",
        number(point.bpp, 4),
        number(point.psnr, 2),
        number(point.mse_psnr, 2),
        number(point.ms_ssim, 2),
        short(point.encode),
        short(_ratio(point.encode, reference.encode if reference else None)),
        short(point.decode),
        short(_ratio(point.decode, reference.decode if reference else None)),
        short(point.macs),
        short(point.peak_mib),
        *(number(point.perceptual.get(name), PERCEPTUAL_DIGITS[name]) for name in extra),
    ]


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def codecs(summary: Summary, table: Deltas, anchor: str | None) -> Table:
    """A row per codec: BD-rate against the anchor, with the common range, and speed."""
    name = f"× {summary.reference}" if summary.reference in summary.speeds else "× AVIF s6"
    heads = ["codec", f"BD-rate against {anchor or 'n/a'}, %", "encode, s/MP", f"encode {name}"]
    heads += ["decode, s/MP", f"decode {name}", "MAC/pixel", "memory, MiB"]
    rows = []
    for codec in summary.families:
        speed = summary.speeds.get(codec)
        cells = [short(None)] * 6
        if speed:
            ratios = speed.encode_ratio, speed.decode_ratio
            cells = [short(speed.encode), short(ratios[0]), short(speed.decode), short(ratios[1])]
            cells += [short(speed.macs), short(speed.peak_mib)]
        value = _value(table.cells.get((codec, anchor)), codec, anchor) if anchor else "n/a"
        rows.append([codec, value, *cells])
    return heads, rows


def failures(summary: Summary) -> Table:
    """A row per failed row."""
    heads = ["codec", "setting", "picture", "why"]
    return heads, [
        [row.codec, f"{row.setting:g}", row.image, row.failed or "the row has no rate"]
        for row in summary.failed
    ]


def as_markdown(table: Table) -> str:
    """A Markdown table."""
    heads, rows = table
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    # A name or a message from a file must not end its cell or start a tag.
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")


def as_html(table: Table, emphasised: Sequence[str] = ()) -> str:
    """An HTML table; rows whose first cell is in `emphasised` stand out."""
    heads, rows = table
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    lines = []
    for row in rows:
        first, *rest = map(html.escape, row)
        mark = ' class="ours"' if row[0] in emphasised else ""
        cells = "".join(f"<td>{text}</td>" for text in rest)
        lines.append(f'<tr{mark}><th scope="row">{first}</th>{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "".join(f"- {_cell(line)}\n" for line in lines)


def as_list(lines: Sequence[str]) -> str:
    """An HTML list."""
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def matrix_markdown(table: Deltas, anchors: Sequence[str]) -> str:
    """BD-rates in percent with common ranges; a row per codec, a column per anchor."""
    heads = ["BD-rate, % against", *anchors]
    rows = [[test, *(_value(table.cells.get((test, a)), test, a) for a in anchors)]
            for test in table.tests]  # fmt: skip
    return as_markdown((heads, rows))


def reasons(table: Deltas, anchors: Sequence[str | None]) -> list[str]:
    """Why cells are n/a: each reason once, and one for a pair and its reverse."""
    texts = [table.cells.get((test, anchor or "")) for test in table.tests for anchor in anchors]
    # The two directions of a pair have the same words.
    found = {frozenset(text.split()): text for text in reversed(texts) if isinstance(text, str)}
    return [text[:REASON_LENGTH] for text in reversed(found.values())]


def _value(cell: Cell | None, test: str, anchor: str) -> str:
    if test == anchor:
        return "0"
    if cell is None or isinstance(cell, str):
        return "n/a"
    return f"{percent(cell.value)} ({common_range(cell)})"


def percent(value: float, digits: int = 1) -> str:
    """With its sign, and no minus before a zero."""
    return f"{value:+z.{digits}f}"


def common_range(cell: Delta | ImageDeltas) -> str:
    """What a BD-rate is the mean over: PSNRs, and pictures where that is not all of them."""
    text = f"{cell.low:.1f} to {cell.high:.1f} dB"
    if isinstance(cell, ImageDeltas) and cell.notes:
        text += f", {len(cell.images)} picture{'s' * (len(cell.images) != 1)}"
    return text


def matrix_html(table: Deltas, summary: Summary) -> str:
    """As `matrix_markdown`, with reasons in the hover text, and tints."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.anchors)
    lines = []
    for test in table.tests:
        cells = "".join(
            _tinted(table.cells.get((test, anchor)), test, anchor) for anchor in table.anchors
        )
        mark = ' class="ours"' if is_ours(summary.families.get(test, "")) else ""
        lines.append(f'<tr{mark}><th scope="row">{html.escape(test)}</th>{cells}</tr>')
    corner = '<th scope="col">codec ↓ against →</th>'
    return (
        f'<table class="matrix"><thead><tr>{corner}{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _tinted(cell: Cell | None, test: str, anchor: str) -> str:
    if test == anchor:
        return '<td class="self">–</td>'
    if cell is None or isinstance(cell, str):
        reason = html.escape((cell or "not compared")[:REASON_LENGTH])
        return f'<td class="none" title="{reason}">n/a</td>'
    # Blue for less rate, orange for more, full at a factor of two.
    strength = min(1.0, abs(cell.value) / (50 if cell.value < 0 else 100))
    tint = "0, 114, 178" if cell.value < 0 else "213, 94, 0"
    ranges = common_range(cell)
    hover = html.escape("\n".join([f"common range {ranges}", *cell.notes])[:REASON_LENGTH])
    return (
        f'<td style="background: rgba({tint}, {0.45 * strength:.2f})" title="{hover}">'
        f"{percent(cell.value)}<small>{ranges}</small></td>"
    )


def listed(lines: Sequence[str], what: str) -> str:
    """A list behind a line that counts it; empty text for no lines."""
    if not lines:
        return ""
    head = f"<summary>{len(lines)} {html.escape(what)}</summary>"
    return f"<details>{head}{as_list(lines)}</details>"
