"""Joins published rate-distortion points with curves that say how they were averaged."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Averaging = Literal["mean-psnr", "psnr-of-mean-mse", "one-image"]
"""Mean of the images' PSNRs; PSNR of the mean of their MSEs; no average at all."""

BASELINES = Path(__file__).parent / "baselines"


@dataclass(frozen=True)
class Curve:
    """Rate-distortion points of one system over one set of images, from low to high rate.

    `bpp` and `psnr` (dB, RGB) have one value per point, as has `ms_ssim` (0..1) where it is known.
    `real_files`: the rates are sizes of files that were written, not estimates; false where the
    source does not say. `kind` is classical, learned or overfitted for a published system, and the
    codec's family for a measured one. Curves of different `averaging` must not be compared.
    """

    system: str
    label: str
    bpp: tuple[float, ...]
    psnr: tuple[float, ...]
    ms_ssim: tuple[float, ...] | None
    averaging: Averaging
    real_files: bool
    kind: str
    source: str
    published: bool
    note: str = ""

    def __post_init__(self) -> None:
        lengths = {len(self.bpp), len(self.psnr)}
        if self.ms_ssim is not None:
            lengths.add(len(self.ms_ssim))
        if len(lengths) > 1:
            raise ValueError(f"{self.label}: bpp, psnr and ms_ssim differ in length")
        if any(later < earlier for earlier, later in zip(self.bpp, self.bpp[1:], strict=False)):
            raise ValueError(f"{self.label}: points are not sorted by rate")


def published_curves(averaging: Averaging = "mean-psnr") -> list[Curve]:
    """Every published curve of that averaging rule, in the order of the data."""
    if averaging not in get_args(Averaging):
        raise ValueError(f"averaging {averaging!r} is none of {', '.join(get_args(Averaging))}")
    points: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in _table("kodak.csv"):
        if row["averaging"] == averaging:
            points[row["system"]].append(row)
    return [_curve(system, rows, averaging) for system, rows in points.items()]


def published_curve(system: str, averaging: Averaging = "mean-psnr") -> Curve:
    """The curve of one system; raises LookupError where there is none of that rule."""
    for curve in published_curves(averaging):
        if curve.system == system:
            return curve
    raise LookupError(f"no published curve of {system!r} averaged by {averaging}")


def per_image(system: str, table: Path | None = None) -> dict[str, Curve]:
    """The published curve of each image; raises LookupError where none are published.

    `table` is a CSV file to read instead of this folder's, with its columns.
    """
    points: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in _points(system, table):
        points[row["image"]].append(row)
    return {
        image: _curve(system, sorted(rows, key=lambda row: float(row["bpp"])), "one-image")
        for image, rows in sorted(points.items())
    }


def rate_weights(system: str, table: Path | None = None) -> tuple[float, ...]:
    """The lambdas of the points of `per_image`, largest (least rate) first."""
    found = {float(row["lambda"]) for row in _points(system, table) if row.get("lambda")}
    return tuple(sorted(found, reverse=True))


def _points(system: str, table: Path | None) -> list[dict[str, str]]:
    rows = _table("kodak_per_image.csv") if table is None else _read(table)
    known = {row.get("system") or "" for row in rows}
    if system not in known:
        among = ", ".join(sorted(known - {""})) or "none"
        raise LookupError(f"no per-image points of {system!r}; known: {among}")
    found = [
        {**row, "psnr": row.get("psnr") or row.get("psnr_db") or ""}
        for row in rows
        if row.get("system") == system
    ]
    for row in found:
        try:
            row["image"], float(row["bpp"]), float(row["psnr"]), float(row.get("lambda") or 0)
        except (KeyError, TypeError, ValueError):
            raise LookupError(
                f"{table}: a row of {system!r} lacks an image, or numbers as bpp, psnr or lambda"
            ) from None
    return found


def _curve(system: str, rows: list[dict[str, str]], averaging: Averaging) -> Curve:
    about = _systems().get(system, {"label": system, "rates": "unknown", "kind": "", "source": ""})
    shown = [row.get("ms_ssim", "") for row in rows]
    return Curve(
        system=system,
        label=about["label"],
        bpp=tuple(float(row["bpp"]) for row in rows),
        psnr=tuple(float(row["psnr"]) for row in rows),
        ms_ssim=tuple(map(float, shown)) if all(shown) else None,
        averaging=averaging,
        real_files=about["rates"] == "file",
        kind=about["kind"],
        source=about["source"],
        published=True,
        note=about.get("note", ""),
    )


@cache
def _systems() -> dict[str, dict[str, str]]:
    text = (BASELINES / "kodak_systems.json").read_text(encoding="utf-8")
    systems: dict[str, dict[str, str]] = json.loads(text)
    return systems


@cache
def _table(name: str) -> list[dict[str, str]]:
    return _read(BASELINES / name)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
