"""Joins measured formats with published curves of the same formats: whether they agree, and why."""

from __future__ import annotations

import json
from functools import cache

from bench.bd import NoDeltaError, bd_rate
from bench.published import BASELINES, published_curve
from bench.report.curves import MAIN, measured
from bench.report.summary import Summary
from bench.report.tables import Table, common_range, percent


def counterparts(summary: Summary) -> Table | None:
    """BD-rate of each measured format against its published curve, the common range, the reasons.

    None unless all 24 Kodak pictures were measured.
    """
    if not summary.is_kodak:
        return None
    own, _ = measured(summary, MAIN)
    heads = ["measured here", "published", "BD-rate, %", "common range", "what differs"]
    rows = []
    for pair in _pairs():
        ours, theirs = pair["measured"], published_curve(pair["published"], MAIN)
        if ours not in own:
            continue
        try:
            delta = bd_rate(theirs, own[ours])
            figures = [percent(delta.value, 2), common_range(delta)]
        except NoDeltaError as error:
            figures = ["n/a", str(error)]
        rows.append([ours, theirs.label, *figures, pair["why"]])
    return (heads, rows) if rows else None


@cache
def _pairs() -> list[dict[str, str]]:
    text = (BASELINES / "counterparts.json").read_text(encoding="utf-8")
    pairs: list[dict[str, str]] = json.loads(text)
    return pairs
