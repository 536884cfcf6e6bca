"""Joins measured rows with result files that CompressAI's plot tool reads.

A file per codec: `name`, `description`, and in `results` one list per measure with a value for each
setting, by rising rate: what `python -m compressai.utils.plot -f FILE ...` draws.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.averages import AVERAGES, complete_settings, mean, mean_psnr
from bench.published import Averaging
from bench.rows import Row


def write_results(
    rows: Iterable[Row], folder: Path, averaging: Averaging = "mean-psnr"
) -> tuple[list[Path], list[str]]:
    """One `<codec>.json` per codec in `folder`, which is made; and notes on what was left out.

    Left out are settings without all the images and, as JSON has no infinity, lossless ones.
    """
    complete, notes = complete_settings(rows)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for codec, groups in complete.items():
        lossy = [group for group in groups if mean_psnr(group, averaging) != math.inf]
        notes += [
            f"{codec} at {group[0].setting:g} left out: lossless"
            for group in groups
            if group not in lossy
        ]
        if lossy:
            # The tool takes a name up to its first dot.
            path = folder / (re.sub(r"[^\w+-]", "_", codec) + ".json")
            path.write_text(json.dumps(result(lossy, averaging), indent=2, allow_nan=False) + "\n")
            paths.append(path)
    return paths, notes


def result(groups: Sequence[Sequence[Row]], averaging: Averaging) -> dict[str, Any]:
    """The JSON object of one codec; `groups` are its settings, by rising rate."""
    columns: dict[str, Sequence[float | None]] = {
        "psnr": [mean_psnr(group, averaging) for group in groups],
        "ms-ssim": [mean(row.ms_ssim for row in group) for group in groups],
        "bpp": [mean(row.bpp for row in group) for group in groups],
        "encoding_time": [mean(row.encode_seconds for row in group) for group in groups],
        "decoding_time": [mean(row.decode_seconds for row in group) for group in groups],
    }
    # The tool of 1.2.8 looks for the names with -rgb, earlier ones for those without.
    for name in ("psnr", "ms-ssim"):
        columns[f"{name}-rgb"] = columns[name]
    return {
        "name": groups[0][0].codec,
        "description": describe(groups, averaging),
        "results": {name: values for name, values in columns.items() if None not in values},
    }


def describe(groups: Sequence[Sequence[Row]], averaging: Averaging) -> str:
    """What the numbers are: averaging rule, images, versions, threads, dates."""
    rows = [row for group in groups for row in group]
    versions = sorted({f"{name} {text}" for row in rows for name, text in row.versions.items()})
    dates = sorted({row.measured[:10] for row in rows if row.measured})
    threads = sorted({row.threads for row in rows})
    parts = [
        f"{AVERAGES[averaging]} of 8-bit RGB over {len(groups[0])} images",
        "rates of real files",
        f"mean seconds with {'/'.join(map(str, threads))} thread(s) on {rows[0].device}",
        *versions,
        *([f"measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"] if dates else []),
    ]
    return "; ".join(parts)
