"""Joins measured rows with their averages over images, and those with curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from bench.measures import psnr_of
from bench.published import Averaging, Curve
from bench.rows import Row

AVERAGES: dict[Averaging, str] = {
    "mean-psnr": "mean of the images' PSNR",
    "psnr-of-mean-mse": "PSNR of the mean MSE",
}
"""The rules for more than one image, in words."""


def mean(values: Iterable[float | None]) -> float | None:
    """The mean; None where there is no value or one is missing."""
    kept = list(values)
    known = _known(kept)
    return fmean(known) if known and len(known) == len(kept) else None


def mean_psnr(rows: Iterable[Row], averaging: Averaging) -> float | None:
    """PSNR in dB over the images of `rows` by that rule; None where a row has none.

    Infinite by the one rule where an image is without loss, by the other where all are.
    """
    if averaging != "psnr-of-mean-mse":
        return mean(row.psnr for row in rows)
    mse = mean(row.mse for row in rows)
    return None if mse is None else psnr_of(mse)


def complete_settings(
    rows: Iterable[Row], images: Iterable[str] | None = None
) -> tuple[dict[str, list[list[Row]]], list[str]]:
    """Per codec the rows of each setting that has every image, by rising mean rate; and notes.

    `images` is every image of the rows unless it is given. A setting with an image that is missing
    or failed is left out and named in the notes: its mean would be one over other images.
    """
    rows = list(rows)
    wanted = set(images) if images is not None else {row.image for row in rows}
    settings: defaultdict[tuple[str, float], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.image in wanted:
            settings[row.codec, row.setting][row.image] = row
    complete: defaultdict[str, list[list[Row]]] = defaultdict(list)
    notes = []
    for (codec, setting), found in settings.items():
        failed = sorted(row.image for row in found.values() if not _usable(row))
        missing = sorted(wanted - found.keys())
        if failed or missing:
            lacks = [f"{name} failed" for name in failed] + [f"{name} missing" for name in missing]
            more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
            notes.append(f"{codec} at {setting:g} left out: {', '.join(lacks[:3])}{more}")
        else:
            complete[codec].append([found[name] for name in sorted(wanted)])
    for found_settings in complete.values():
        found_settings.sort(key=lambda group: mean(row.bpp for row in group) or 0.0)
    return dict(complete), notes


def measured_curves(
    rows: Iterable[Row], averaging: Averaging, images: Iterable[str] | None = None
) -> tuple[list[Curve], list[str]]:
    """A curve per codec, each point the mean of one setting over exactly the same images.

    Rates are means of the images' bpp. The notes name the settings left out.
    """
    complete, notes = complete_settings(rows, images)
    return [_measured(groups, averaging) for groups in complete.values()], notes


def measured_images(rows: Iterable[Row], codec: str) -> dict[str, Curve]:
    """The curve of each image through one codec; failed rows are not in it."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.codec == codec and _usable(row):
            found[row.image].append(row)
    return {
        image: _measured([[row] for row in sorted(own, key=lambda row: row.bpp or 0)], "one-image")
        for image, own in sorted(found.items())
    }


def _usable(row: Row) -> bool:
    return row.failed is None and row.bpp is not None and None not in (row.psnr, row.mse)


def _measured(groups: Sequence[Sequence[Row]], averaging: Averaging) -> Curve:
    """Groups are the settings, by rising rate; all have the same images."""
    first = groups[0][0]
    versions = sorted({f"{name} {text}" for name, text in first.versions.items()})
    structure = _known(mean(row.ms_ssim for row in group) for group in groups)
    return Curve(
        system=first.codec,
        label=first.codec,
        bpp=_known(mean(row.bpp for row in group) for group in groups),
        psnr=_known(mean_psnr(group, averaging) for group in groups),
        ms_ssim=structure if len(structure) == len(groups) else None,
        averaging=averaging,
        real_files=True,
        kind=first.family,
        source=f"measured, {len(groups[0])} images" + "".join(f", {each}" for each in versions),
        published=False,
    )


def _known(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)
