"""Joins measured rows of pyramids with the tables that a claim is read from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from bench.averages import complete_settings, mean, mean_psnr
from bench.bd import NoDeltaError, mean_of_images, rate_at
from bench.halves import Doubled
from bench.published import Curve
from bench.report.summary import summarise
from bench.report.tables import Table, common_range, number, percent, short
from bench.rows import Row

LOW_RATE = 0.15
"""Bits per pixel below which a rate is low."""

Noted = tuple[Table, list[str]]
"""A table, and what a reader has to know of its cells."""


def files(rows: Iterable[Row]) -> Noted:
    """A row per file, by picture and rate, and what they took at most."""
    rows = sorted(rows, key=lambda row: (row.image, row.bpp or 0))
    heads = ["picture", "lambda", "bytes", "bpp", "PSNR, dB", "net", "steps", "MAC/pixel"]
    heads += ["encode, s", "decode, s"]
    table = heads, [_file(row) for row in rows]
    if not rows:
        return table, []
    steps = max(int(row.notes.get("steps", 0)) for row in rows)
    macs = max(row.macs_per_pixel or 0 for row in rows)
    seconds = mean(row.encode_seconds for row in rows)
    return table, [
        f"{len(rows)} files: at most {steps:,} steps and {macs:,.0f} MAC/pixel; "
        f"{short(seconds)} s a file in the mean"
    ]


def _file(row: Row) -> list[str]:
    return [
        row.image,
        f"{row.setting:g}",
        f"{row.bytes:,}",
        number(row.bpp, 4),
        number(row.psnr, 2),
        str(row.notes.get("net", "n/a")),
        f"{int(row.notes.get('steps', 0)):,}",
        f"{row.macs_per_pixel or 0:,.0f}",
        number(row.encode_seconds, 1),
        number(row.decode_seconds, 2),
    ]


def bd_rates(
    ours: Mapping[str, Curve], rivals: Mapping[str, Mapping[str, Curve]], images: Sequence[str]
) -> Noted:
    """A row per picture and one for their mean, a column per rival: BD-rate and common range."""
    columns, notes = [], []
    for name, curves in rivals.items():
        anchor = {image: curves[image] for image in images if image in curves}
        try:
            found = mean_of_images(anchor, ours)
        except NoDeltaError as error:
            columns.append(["n/a"] * (len(images) + 1))
            notes.append(f"{name}: {error}")
            continue
        deltas = [found.images.get(image) for image in images]
        cells = [f"{percent(d.value, 2)} ({common_range(d)})" if d else "n/a" for d in deltas]
        columns.append([*cells, f"{percent(found.value, 2)} ({common_range(found)})"])
        notes += found.notes
        notes += (f"{image}: {note}" for image, d in found.images.items() for note in d.notes)
    heads = ["picture", *(f"BD-rate against {name}, %" for name in rivals)]
    return (heads, [list(row) for row in zip([*images, "mean"], *columns, strict=True)]), notes


def low_rates(rows: Iterable[Row], codec: str, images: Sequence[str], rival: Curve) -> Noted:
    """A row per setting that has every picture: means, and the rival's rate at the mean PSNR.

    A published average stands only beside the mean of all the pictures that it is of.
    """
    rows = list(rows)
    complete, notes = complete_settings(rows, images)
    whole = summarise(rows).is_kodak
    if not whole:
        notes.append(f"{rival.label}: averages of 24 pictures; run all of them to compare")
    table, differences = [], []
    for group in complete.get(codec, []):
        bpp, psnr = mean(row.bpp for row in group), mean_psnr(group, rival.averaging)
        assert bpp is not None
        assert psnr is not None
        setting, theirs, difference = f"{group[0].setting:g}", None, None
        try:
            theirs = rate_at(rival, psnr) if whole else None
        except NoDeltaError as error:
            notes.append(f"lambda {setting}: {error}")
        if theirs is not None:
            difference = 100 * (bpp / theirs - 1)
            if bpp < LOW_RATE:
                differences.append(difference)
            else:
                notes.append(f"lambda {setting}: not below {LOW_RATE:g} bpp, so not in the mean")
        table.append(
            [setting, number(bpp, 4), number(psnr, 2), number(theirs, 4), _sign(difference)]
        )
    overall = fmean(differences) if differences else None
    table.append([f"mean below {LOW_RATE:g} bpp", "", "", "", _sign(overall)])
    return (["lambda", "bpp", "PSNR, dB", f"{rival.label}, bpp", "more rate, %"], table), notes


def _sign(value: float | None) -> str:
    return "n/a" if value is None else percent(value, 2)


def doubled(results: Sequence[Doubled]) -> Table:
    """A row per half and lambda, and the means of each way of halving."""
    heads = ["picture", "halved by", "lambda", "bpp", "PSNR at its size, dB", "decoded at 2x, dB"]
    heads += ["Lanczos-2x of its decode, dB", "difference, dB"]
    table = [[each.half.name, *_cells([each])] for each in results]
    for kind in dict.fromkeys(map(_kind, results)):
        same = [each for each in results if _kind(each) == kind]
        table.append([f"mean of {len(same)}", *_cells(same)])
    return heads, table


def _kind(result: Doubled) -> tuple[str, float]:
    return result.half.way, result.row.setting


def _cells(results: Sequence[Doubled]) -> list[str]:
    ours = fmean(each.ours for each in results)
    lanczos = fmean(each.lanczos for each in results)
    return [
        results[0].half.way,
        f"{results[0].row.setting:g}",
        number(mean(each.row.bpp for each in results), 4),
        number(mean(each.row.psnr for each in results), 2),
        number(ours, 3),
        number(lanczos, 3),
        percent(ours - lanczos, 3),
    ]
