"""Joins Settings with the kind of field that codes a signal best: both are tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from inrcodec.errors import TargetMissedError
from inrcodec.fitting.arrangement import Result, best_mix
from inrcodec.fitting.settings import Settings
from inrcodec.signal import Signal, is_picture

MOST_BYTES = 2**14
"""Size from which on a siren is not tried: only smooth signals are better off with one, and of
these a pyramid has made a small file."""

PROBE_EFFORT, WITHIN = 1, 3.0
"""A siren is fitted in earnest if a hurried one comes so near to the pyramid's PSNR, in dB. At
effort 4 sirens of photos ended 2 to 10 dB below a pyramid of their size, those of smooth waves and
gradients 6 to 12 dB above."""

PYRAMID_TIME, PROBE_TIME = 0.5, 0.1
"""Shares of a time limit; the rest is the siren's."""


HURRIED_STEPS = 20
"""Of the fit that follows where an interrupt ends the search for what to fit."""

Encoded = TypeVar("Encoded", bound=Result)


def best_of_kinds(
    signal: Signal, settings: Settings, encode: Callable[[Signal, Settings], Encoded]
) -> tuple[Encoded, bool]:
    """The better of a pyramid and a siren, which `encode` makes, of the same bytes or PSNR.

    The pyramid of an array is a mixture where that suits it. A siren gets the pyramid's bytes to
    beat its PSNR, or, where a PSNR is asked, has to reach that in fewer bytes. An interrupt ends
    the contest; the second value says whether there was one.
    """
    mix, stopped = (None, False) if is_picture(signal.info) else best_mix(signal, settings, encode)
    asked = replace(_of("pyramid", settings, PYRAMID_TIME), mix=mix)
    if stopped:
        asked = replace(asked, steps=min(HURRIED_STEPS, settings.steps or HURRIED_STEPS))
        return encode(signal, asked), True
    pyramid = encode(signal, asked)
    if pyramid.interrupted or len(pyramid.data) > MOST_BYTES:
        return pyramid, pyramid.interrupted
    same_size = replace(
        settings, quality=None, bpp=None, psnr=None, rate_weight=None, target_size=len(pyramid.data)
    )
    hurried = replace(same_size, effort=min(PROBE_EFFORT, settings.effort))
    try:
        probe = encode(signal, _of("siren", hurried, PROBE_TIME))
        if probe.interrupted or probe.psnr < pyramid.psnr - WITHIN:
            return pyramid, probe.interrupted
        asked = same_size if settings.psnr is None else settings
        siren = encode(signal, _of("siren", asked, 1 - PYRAMID_TIME - PROBE_TIME))
    except TargetMissedError:
        return pyramid, False
    if settings.psnr is None:
        better = siren.psnr > pyramid.psnr
    else:
        # One that was interrupted may not have come so far.
        better = len(siren.data) < len(pyramid.data) and not siren.interrupted
    return siren if better else pyramid, siren.interrupted


def _of(kind: str, settings: Settings, share: float) -> Settings:
    limit = None if settings.max_time is None else settings.max_time * share
    return replace(settings, kind=kind, max_time=limit)
