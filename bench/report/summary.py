"""Joins rows with what a report says of them: points of curves, speeds, failures."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.averages import AVERAGES, mean, mean_psnr
from bench.datasets import KODAK_NAMES
from bench.rows import Row

OURS = "inrcodec"
"""What the families and names of this project's own codecs start with."""

COLOURS = {
    "inrcodec": "#c8360a",
    "avif": "#0072b2",
    "webp": "#009e73",
    "jpeg": "#767676",
    "jpeg2000": "#b07d00",
    "jxl": "#cc79a7",
    "heic": "#56b4e9",
    "x265": "#2a7fa8",
    "svtav1": "#3b4cc0",
    "coin": "#7a4b1f",
    "compressai": "#6a3d9a",
}
"""Colours of families, after Okabe and Ito: apart for the colour-blind as well."""

SPARE_COLOURS = ("#8c6bb1", "#5f7a1f", "#00798c", "#a05195", "#8d5a4a", "#4a5568")


PERCEPTUAL = {"ssimulacra2": "SSIMULACRA2", "lpips": "LPIPS", "dists": "DISTS"}
"""The optional measures: their names in the notes of a row, and for readers."""


@dataclass(frozen=True)
class Point:
    """A codec at one setting, averaged over its pictures.

    `mse_psnr` is the PSNR of the mean MSE, `ms_ssim` the mean in dB, `-10 log10(1 - mean)`;
    seconds are per megapixel. `psnr` is None where a picture came back without loss. `perceptual`
    has the means of the measures of PERCEPTUAL that every picture has.
    """

    codec: str
    setting: float
    images: int
    bpp: float
    psnr: float | None
    mse_psnr: float | None
    ms_ssim: float | None
    encode: float | None
    decode: float | None
    macs: float | None
    peak_mib: float | None
    perceptual: Mapping[str, float]


@dataclass(frozen=True)
class Speed:
    """A codec over all its rows: seconds per megapixel, and those as ratio to the reference's."""

    codec: str
    encode: float
    decode: float
    encode_ratio: float | None
    decode_ratio: float | None
    macs: float | None
    peak_mib: float | None


@dataclass(frozen=True)
class Summary:
    """All that the report says of a run. `families` names the codecs, in the order of drawing."""

    images: tuple[str, ...]
    families: Mapping[str, str]
    good: tuple[Row, ...]
    failed: tuple[Row, ...]
    points: tuple[Point, ...]
    speeds: Mapping[str, Speed]
    reference: str | None

    @property
    def complete(self) -> tuple[Point, ...]:
        """Points that average every picture: only these may be compared."""
        return tuple(point for point in self.points if point.images == len(self.images))

    @property
    def is_kodak(self) -> bool:
        """Whether the pictures are the 24 of Kodak."""
        sizes = {frozenset((row.width, row.height)) for row in self.good}
        return set(self.images) == set(KODAK_NAMES) and sizes == {frozenset((768, 512))}


def colour(family: str) -> str:
    """The colour of a family, the same in every plot and run."""
    if is_ours(family):
        return COLOURS[OURS]
    spare = SPARE_COLOURS[zlib.crc32(family.encode()) % len(SPARE_COLOURS)]
    return COLOURS.get(family, spare)


def is_ours(name: str) -> bool:
    """Whether a codec or family is this project's."""
    return name.startswith(OURS)


def summarise(rows: Sequence[Row]) -> Summary:
    """Averages over pictures, with every failed row kept apart."""
    good = tuple(row for row in rows if row.failed is None and row.bpp is not None)
    failed = tuple(row for row in rows if row.failed is not None or row.bpp is None)
    # Ours last, so that it is drawn above the others.
    order = sorted(rows, key=lambda row: (is_ours(row.family), row.family, row.codec))
    families = {row.codec: row.family for row in order}
    groups: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in good:
        groups[row.codec, row.setting].append(row)
    points = [_point(codec, setting, group) for (codec, setting), group in groups.items()]
    codecs = list(families)
    points.sort(key=lambda point: (codecs.index(point.codec), point.bpp))
    reference = next((name for name in ("avif-444-s6", "avif-420-s6") if name in families), None)
    return Summary(
        images=tuple(sorted({row.image for row in rows})),
        families=families,
        good=good,
        failed=failed,
        points=tuple(points),
        speeds=_speeds(codecs, good, reference),
        reference=reference,
    )


def ms_ssim_decibels(value: float | None) -> float | None:
    """`-10 log10(1 - value)`."""
    return None if value is None or value >= 1 else -10 * math.log10(1 - value)


def _point(codec: str, setting: float, rows: Sequence[Row]) -> Point:
    psnr, mse_psnr = (mean_psnr(rows, rule) for rule in AVERAGES)
    return Point(
        codec=codec,
        setting=setting,
        images=len(rows),
        bpp=fmean(row.bpp for row in rows if row.bpp is not None),
        psnr=None if psnr == math.inf else psnr,
        mse_psnr=None if mse_psnr == math.inf else mse_psnr,
        ms_ssim=ms_ssim_decibels(mean(row.ms_ssim for row in rows)),
        encode=_per_megapixel((row, row.encode_seconds) for row in rows),
        decode=_per_megapixel((row, row.decode_seconds) for row in rows),
        macs=mean(row.macs_per_pixel for row in rows),
        peak_mib=max((row.peak_mib for row in rows if row.peak_mib is not None), default=None),
        perceptual=_perceptual(rows),
    )


def _perceptual(rows: Sequence[Row]) -> dict[str, float]:
    means = {name: mean(_number(row.notes.get(name)) for row in rows) for name in PERCEPTUAL}
    return {name: value for name, value in means.items() if value is not None}


def _number(note: str | float | None) -> float | None:
    return None if isinstance(note, str) else note


def _per_megapixel(timed: Iterable[tuple[Row, float | None]]) -> float | None:
    pairs = [(row.width * row.height / 1e6, time) for row, time in timed if time is not None]
    pixels = sum(pixels for pixels, _ in pairs)
    return sum(time for _, time in pairs) / pixels if pixels else None


def _speeds(codecs: Sequence[str], good: Sequence[Row], reference: str | None) -> dict[str, Speed]:
    times = {}
    for codec in codecs:
        rows = [row for row in good if row.codec == codec]
        encode = _per_megapixel((row, row.encode_seconds) for row in rows)
        decode = _per_megapixel((row, row.decode_seconds) for row in rows)
        if encode is not None and decode is not None:
            times[codec] = encode, decode, rows
    base = times.get(reference or "")
    return {
        codec: Speed(
            codec,
            encode,
            decode,
            encode / base[0] if base and base[0] else None,
            decode / base[1] if base and base[1] else None,
            mean(row.macs_per_pixel for row in rows),
            max((row.peak_mib for row in rows if row.peak_mib is not None), default=None),
        )
        for codec, (encode, decode, rows) in times.items()
    }
