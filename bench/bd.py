"""Joins two curves, published or measured, with the Bjøntegaard delta between them.

BD-rate is the mean difference of ln(bpp) over the whole common range of PSNR, as a percentage;
BD-PSNR the mean difference of PSNR over the common range of ln(bpp). The curves between the points
are monotone cubics (PCHIP): they pass through every point and never overshoot, and the figures that
others publish for Kodak come out the same.

G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np
from bjontegaard.interpolation import interpolate

from bench.published import Curve

METHOD = "pchip"

FEWEST_POINTS = 4
"""As in Bjøntegaard's method; with fewer, the interpolation matters more than the codec."""

LEAST_DECIBELS = 1.0
"""Of common range; over less, the interpolation about a point or two decides."""


class NoDeltaError(ValueError):
    """Two curves that can't be compared; the text says in one line why."""


@dataclass(frozen=True)
class Delta:
    """A Bjøntegaard delta (% or dB) and the common range it is the mean over.

    `low` and `high` are dB for BD-rate, bpp for BD-PSNR. `notes` name the points left out.
    """

    value: float
    low: float
    high: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageDeltas:
    """The mean over images of the delta of each; `notes` name the images without one."""

    value: float
    images: Mapping[str, Delta]
    notes: tuple[str, ...] = ()

    @property
    def low(self) -> float:
        """The lowest end of the common ranges."""
        return min(delta.low for delta in self.images.values())

    @property
    def high(self) -> float:
        """The highest end of the common ranges."""
        return max(delta.high for delta in self.images.values())


def bd_rate(anchor: Curve, test: Curve) -> Delta:
    """Percent of rate that `test` needs more (or, negative, less) than `anchor`, at equal PSNR.

    Raises NoDeltaError where the averaging rules differ, a curve has under four points, or the
    PSNRs have less than 1 dB in common.
    """
    (rates, qualities), (test_rates, test_qualities), notes = _both(anchor, test)
    low, high = _common(qualities, test_qualities, anchor, test, "PSNR", "dB")
    _wide_enough(high - low, f"{low:.2f} to {high:.2f} dB", anchor, test)
    value = bjontegaard.bd_rate(
        *(rates, qualities, test_rates, test_qualities),
        method=METHOD,
        require_matching_points=False,
        min_overlap=0,
    )
    return Delta(float(value), low, high, notes)


def bd_psnr(anchor: Curve, test: Curve) -> Delta:
    """Decibels of PSNR that `test` has more (or, negative, less) than `anchor`, at equal rate.

    Raises NoDeltaError as `bd_rate` does; over the common rates, both curves must rise by 1 dB.
    """
    (rates, qualities), (test_rates, test_qualities), notes = _both(anchor, test)
    low, high = _common(rates, test_rates, anchor, test, "rate", "bpp")
    rise = min(_rise(rates, qualities, low, high), _rise(test_rates, test_qualities, low, high))
    _wide_enough(rise, f"{low:.4g} to {high:.4g} bpp, {rise:.2f} dB,", anchor, test)
    value = bjontegaard.bd_psnr(
        *(rates, qualities, test_rates, test_qualities),
        method=METHOD,
        require_matching_points=False,
        min_overlap=0,
    )
    return Delta(float(value), low, high, notes)


def rate_at(curve: Curve, psnr: float) -> float:
    """Bits per pixel that a curve needs for a PSNR in dB, between its points as a BD-rate has it.

    Raises NoDeltaError where the curve has under four points or does not reach that PSNR.
    """
    rates, qualities = _rising(curve, [])
    if not qualities[0] <= psnr <= qualities[-1]:
        raise NoDeltaError(
            f"{psnr:.2f} dB is outside {curve.label} ({qualities[0]:.2f} to {qualities[-1]:.2f} dB)"
        )
    between = interpolate(np.array(qualities), np.log(rates), METHOD)
    return math.exp(float(between(psnr)))


def matrix(
    curves: Sequence[Curve], delta: Callable[[Curve, Curve], Delta] = bd_rate
) -> list[list[Delta | str]]:
    """`delta` of every pair: a row per anchor, a column per test; text where there is none."""
    return [[_delta_or_reason(anchor, test, delta) for test in curves] for anchor in curves]


def mean_of_images(
    anchor: Mapping[str, Curve],
    test: Mapping[str, Curve],
    delta: Callable[[Curve, Curve], Delta] = bd_rate,
) -> ImageDeltas:
    """The mean of the deltas of the images, each from its own two curves.

    An image that only one side has, or that has no delta, is left out and named. Raises
    NoDeltaError where none is left.
    """
    images: dict[str, Delta] = {}
    notes = [f"{image}: only one side has it" for image in sorted(anchor.keys() ^ test.keys())]
    for image in sorted(anchor.keys() & test.keys()):
        found = _delta_or_reason(anchor[image], test[image], delta)
        if isinstance(found, str):
            notes.append(f"{image}: {found}")
        else:
            images[image] = found
    if not images:
        raise NoDeltaError(f"no image has a delta; {notes[0] if notes else 'there are no images'}")
    mean = sum(each.value for each in images.values()) / len(images)
    return ImageDeltas(mean, images, tuple(notes))


def _delta_or_reason(
    anchor: Curve, test: Curve, delta: Callable[[Curve, Curve], Delta]
) -> Delta | str:
    try:
        return delta(anchor, test)
    except NoDeltaError as error:
        return str(error)


Points = tuple[list[float], list[float]]
"""Rates and qualities."""


def _both(anchor: Curve, test: Curve) -> tuple[Points, Points, tuple[str, ...]]:
    if anchor.averaging != test.averaging:
        raise NoDeltaError(
            f"{anchor.label} is averaged by {anchor.averaging}, {test.label} by {test.averaging}; "
            "only curves of one rule can be compared"
        )
    notes: list[str] = []
    ours, theirs = (_rising(curve, notes) for curve in (anchor, test))
    return ours, theirs, tuple(dict.fromkeys(notes))


def _rising(curve: Curve, notes: list[str]) -> Points:
    """The points on which quality rises with rate.

    A point that another beats in both rate and quality is left out with a note: nobody would use
    that setting, and the interpolation needs a function. So is a lossless one (infinite PSNR).
    """
    rates: list[float] = []
    qualities: list[float] = []
    # Among points of equal rate the best comes first, and the others fall behind it.
    for rate, quality in sorted(
        zip(curve.bpp, curve.psnr, strict=True), key=lambda point: (point[0], -point[1])
    ):
        if not (math.isfinite(quality) and math.isfinite(rate) and rate > 0):
            notes.append(f"{curve.label}: left out {rate:.4g} bpp, {quality:.2f} dB: not finite")
        elif qualities and quality <= qualities[-1]:
            notes.append(f"{curve.label}: left out {rate:.4g} bpp, {quality:.2f} dB: not better")
        else:
            rates.append(rate)
            qualities.append(quality)
    if len(rates) < FEWEST_POINTS:
        raise NoDeltaError(
            f"{curve.label} has {len(rates)} usable points; a BD figure needs {FEWEST_POINTS}: "
            "measure more settings"
        )
    return rates, qualities


def _common(
    ours: Sequence[float],
    theirs: Sequence[float],
    anchor: Curve,
    test: Curve,
    name: str,
    unit: str,
) -> tuple[float, float]:
    low, high = max(ours[0], theirs[0]), min(ours[-1], theirs[-1])
    if low >= high:
        raise NoDeltaError(
            f"{anchor.label} ({ours[0]:.4g} to {ours[-1]:.4g} {unit}) and {test.label} "
            f"({theirs[0]:.4g} to {theirs[-1]:.4g} {unit}) have no range of {name} in common"
        )
    return low, high


def _rise(rates: Sequence[float], qualities: Sequence[float], low: float, high: float) -> float:
    """Decibels between two rates, on straight lines over ln(bpp)."""
    ends = np.interp(np.log([low, high]), np.log(rates), qualities)
    return float(ends[1] - ends[0])


def _wide_enough(decibels: float, common: str, anchor: Curve, test: Curve) -> None:
    # The slack is for ends that are exactly 1 dB apart but for rounding.
    if decibels < LEAST_DECIBELS - 1e-9:
        raise NoDeltaError(
            f"{anchor.label} and {test.label} have only {common} in common; a BD figure needs "
            f"{LEAST_DECIBELS:g} dB: measure settings nearer to the other's"
        )
