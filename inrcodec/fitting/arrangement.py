"""Joins an array and Settings with the axis, if any, along which its pyramid is a mixture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import SectionType
from inrcodec.fitting.bounds import absolute_bound, bound_share
from inrcodec.fitting.mixture import MOST_SAMPLES, mixture
from inrcodec.fitting.pyramid_targets import (
    PyramidGoal,
    first_weight,
    weight_of_bpp,
    weight_of_quality,
)
from inrcodec.fitting.settings import Settings
from inrcodec.signal import Signal, SignalInfo

PILOT, PILOT_EFFORT = 2**17, 4
"""Positions of the part that pilots fit, about, and their effort at most."""

LEAST_SAMPLES = 4
"""Along an axis that is worth to be mixed."""

FULL = 0.5
"""Part of the samples of an axis that components must stay below: what needs more is no mixture."""

MARGIN = 0.97
"""Loss of the better arrangement, as part of the other's, that makes it the better one."""

PILOTS_TIME = 0.2
"""Share of a time limit for all pilots together."""


class Result(Protocol):
    """What is compared: a file, its PSNR in dB, and whether the user ended it."""

    @property
    def data(self) -> bytes: ...
    @property
    def psnr(self) -> float: ...
    @property
    def interrupted(self) -> bool: ...


Encoded = TypeVar("Encoded", bound=Result)


def best_mix(
    signal: Signal, settings: Settings, encode: Callable[[Signal, Settings], Encoded]
) -> tuple[str | None, bool]:
    """The axis to mix, found by short fits of a part of the signal as it is and as a mixture.

    The second value says whether the user interrupted a pilot, which ends the search.
    """
    info = signal.info
    weight = asked_weight(settings, info)
    axes = [
        axis
        for axis, size in enumerate(info.lattice)
        if len(info.axes) > 1 and LEAST_SAMPLES <= size <= MOST_SAMPLES
    ]
    known: dict[tuple[int, ...], float] = {}
    best, name = MARGIN, None
    for axis in axes:
        part = middle(signal, axis)
        rank = mixture(part, axis, PyramidGoal(rate_weight=weight)).rank
        if rank > FULL * info.lattice[axis]:
            continue
        pilot = _pilot(settings, weight, 2 * len(axes))
        losses = []
        for mix in (None, info.axes[axis].name):
            loss = known.get(part.info.lattice) if mix is None else None
            if loss is None:
                made = encode(part, replace(pilot, mix=mix))
                if made.interrupted:
                    return name, True
                loss = _loss(made, weight, part.info.positions, info.positions)
            if mix is None:
                known[part.info.lattice] = loss
            losses.append(loss)
        if losses[1] < best * losses[0]:
            best, name = losses[1] / losses[0], info.axes[axis].name
    return name, False


def asked_weight(settings: Settings, info: SignalInfo) -> float:
    """Rate weight that suits what is asked for, about."""
    positions = info.positions
    if settings.rate_weight is not None:
        return settings.rate_weight
    if settings.psnr is not None:
        return first_weight(PyramidGoal(psnr=settings.psnr), positions)
    if settings.max_error is not None:
        bound = absolute_bound(settings.max_error, info)
        return first_weight(PyramidGoal(bound=bound_share(bound, info)), positions)
    size = settings.hard_limit(positions)
    if size is not None:
        return weight_of_bpp(8 * size / positions)
    return weight_of_quality(settings.asked_quality)


def middle(signal: Signal, axis: int) -> Signal:
    """The middle of a signal, of at most about PILOT positions, with all samples of one axis."""
    lattice = signal.info.lattice
    edges = list(lattice)
    room = max(1.0, PILOT / lattice[axis])
    rest = sorted((size, other) for other, size in enumerate(lattice) if other != axis)
    for left, (size, other) in enumerate(rest):
        edges[other] = max(1, min(size, round(room ** (1 / (len(rest) - left)))))
        room /= edges[other]
    return _cut(signal, edges)


def _cut(signal: Signal, edges: Sequence[int]) -> Signal:
    starts = [(size - edge) // 2 for size, edge in zip(signal.info.lattice, edges, strict=True)]
    place = tuple(slice(start, start + edge) for start, edge in zip(starts, edges, strict=True))
    axes = (replace(axis, size=edge) for axis, edge in zip(signal.info.axes, edges, strict=True))
    return Signal(signal.samples[place], replace(signal.info, axes=tuple(axes)))


def _pilot(settings: Settings, weight: float, count: int) -> Settings:
    limit = settings.max_time
    return replace(
        settings,
        kind="pyramid",
        quality=None,
        bpp=None,
        target_size=None,
        psnr=None,
        max_error=None,
        rate_weight=weight,
        effort=min(settings.effort, PILOT_EFFORT),
        max_time=None if limit is None else max(0.1, limit * PILOTS_TIME / count),
    )


def _loss(made: Result, weight: float, positions: int, whole: int) -> float:
    """Error and rate of the whole signal, were all of it as its part: parameters are paid once."""
    parameters = latents = 0
    for section in unpack(made.data)[1]:
        if section.type == SectionType.PARAMETERS:
            parameters += len(section.payload)
        else:
            latents += len(section.payload)
    error = 10 ** (-made.psnr / 10) if math.isfinite(made.psnr) else 0.0
    return error + weight * 8 * (latents / positions + parameters / whole)
