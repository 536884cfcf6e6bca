"""Joins what is asked of an array with points to measure, and measured ones with the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.array_curves import ArrayCurve, best_at, curves, smallest_at
from bench.array_rows import ArrayRow, of
from bench.array_tables import BOUND, BRAIN_SIZES, RATIOS, at_bound
from bench.report.tables import Table, number
from bench.volumes import Volume

CLASSICAL = ("sz3", "zfp", "sperr")
AV1 = ("av1",)
KLT = ("klt",)

BRAIN_PSNR = (31.5, 32.8, 33.8)
"""At BRAIN_SIZES."""

SECONDS = {"brain": 120.0, "climate": 300.0, "medical": 600.0, "cube": 300.0}
"""Most that a file may take."""


@dataclass(frozen=True)
class Judged:
    """A line of the table, and whether what is asked was met (None: no rival to compare with)."""

    cells: list[str]
    met: bool | None


@dataclass(frozen=True)
class Point:
    """One file to make: a target of `inrcodec.encode`, and what is asked of its result.

    Of `psnr` in dB, `gain` in dB over the best of `families` at equal size, and `share`, the size
    by that of the best at equal RMSE, those that are not None are asked; `bounded` asks for
    a size not above that of SPERR's file with the same largest error.
    """

    target: Mapping[str, Any]
    seconds: float
    families: Sequence[str] = CLASSICAL
    psnr: float | None = None
    gain: float | None = None
    share: float | None = None
    bounded: bool = False

    @property
    def asked(self) -> str:
        """In words."""
        texts = []
        if self.psnr is not None:
            texts.append(f"{self.psnr:g} dB")
        if self.gain is not None:
            texts.append(f"{self.gain:+g} dB over {'/'.join(self.families)}")
        if self.share is not None:
            texts.append(f"under {'/'.join(self.families)} at equal RMSE")
        if self.bounded:
            texts.append("at most SPERR's size at that bound")
        return ", ".join(texts) or "nothing"

    def judged(self, row: ArrayRow, rivals: Sequence[ArrayRow]) -> Judged:
        """Our row beside the rivals' rows."""
        own = of(rivals, row.data)
        against = curves(of(own, row.data, self.families))
        everyone = curves(own)
        checks = [row.encode_seconds <= self.seconds]
        if self.psnr is not None:
            checks.append(row.psnr >= self.psnr)
        measured = [(self.gain, _gain(row, against)), (self.share, _share(row, against))]
        missing = False
        (gain, (best, gained)), (share, (smallest, shared)) = measured
        if gain is not None:
            missing |= gained is None
            checks.append(gained is None or gained >= gain)
        if share is not None:
            missing |= shared is None
            checks.append(shared is None or shared < share)
        texts = [_text(best, gained, "{:+.2f} dB"), _text(smallest, shared, "{:.3f}")]
        if self.bounded:
            rival = next((r for r in at_bound(own, row.data) if r.codec.startswith("sperr")), None)
            missing |= rival is None
            if rival is not None:
                checks.append(row.bytes <= rival.bytes)
                texts[1] = f"{row.bytes / rival.bytes:.3f} of {rival.codec} at the bound"
        met = None if missing and all(checks) else all(checks)
        cells = [
            *(row.data, _target(self.target), str(row.bytes), f"{row.ratio:.0f}:1"),
            *(number(row.psnr, 2), f"{row.rmse:.5g}", f"{row.max_error:.5g}"),
            *(f"{row.encode_seconds:.0f} of {self.seconds:.0f}", number(row.decode_seconds, 1)),
            *(*texts, _text(*_share(row, everyone), "{:.3f}"), self.asked, _word(met)),
        ]
        return Judged(cells, met)


HEADS = ["data", "target", "bytes", "ratio", "PSNR, dB", "RMSE", "largest error"]
HEADS += ["encode, s", "decode, s", "dB at equal size", "size at equal RMSE"]
HEADS += ["and of all rivals", "asked", "met"]


def points_of(
    part: str, volume: Volume, targets: Sequence[tuple[str, Any]] | None = None
) -> list[Point]:
    """The files that a part asks of an array; `targets` replaces the sizes, and asks nothing of
    PSNR alone.
    """
    seconds = SECONDS[part]
    families = KLT if part == "cube" else CLASSICAL
    if targets:
        return [Point({name: value}, seconds, families) for name, value in targets]
    if part == "brain":
        asked = zip(BRAIN_SIZES, BRAIN_PSNR, strict=True)
        return [Point({"target_size": size}, seconds, psnr=psnr) for size, psnr in asked]
    sizes = {ratio: int(volume.samples.nbytes / ratio) for ratio in RATIOS[volume.name]}
    if part == "climate":
        points = [Point({"target_size": size}, seconds, share=1.0) for size in sizes.values()]
        return [*points, Point({"max_error": f"{BOUND:.0%}"}, seconds, bounded=True)]
    if part == "medical":
        gains = {200.0: 1.0, 40.0: 0.0}
        return [
            Point(
                {"target_size": size},
                seconds,
                families if gains[ratio] else ("sperr",),
                gain=gains[ratio],
            )
            for ratio, size in sizes.items()
        ]
    return [Point({"target_size": size}, seconds, KLT, gain=1.0) for size in sizes.values()]


def table_of(answers: Sequence[Judged]) -> Table:
    """All lines."""
    return HEADS, [answer.cells for answer in answers]


def _gain(row: ArrayRow, rivals: Sequence[ArrayCurve]) -> tuple[str, float | None]:
    """Decibels over the best rival's file of our size."""
    found = best_at(rivals, row.bytes)
    if found is None or row.rmse == 0:
        return "", None
    return found[0], 20 * math.log10(found[1] / row.rmse)


def _share(row: ArrayRow, rivals: Sequence[ArrayCurve]) -> tuple[str, float | None]:
    """Our size by that of the smallest rival of our error."""
    found = smallest_at(rivals, row.rmse)
    return ("", None) if found is None else (found[0], row.bytes / found[1])


def _text(codec: str, value: float | None, form: str) -> str:
    return "n/a" if value is None else f"{form.format(value)} ({codec})"


def _target(target: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in target.items())


def _word(met: bool | None) -> str:
    return {True: "yes", False: "no", None: "no rival"}[met]
