"""Defines FittedTrack: what the encoder writes of one part of a signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import FieldSpec
from inrcodec.fitting.refine import Quantised


@dataclass(frozen=True)
class FittedTrack:
    """An architecture, the symbols of its parameters, its latents (finest level first) if it has
    any, and how they came to be.

    `float_psnr` is that of the fit before parameters were rounded, in dB, over all positions, and
    `bytes` what its sections take, at most. `residual` is the payload of the section that keeps
    samples within a bound, where one was asked, and `mask` of the one that says which are missing.
    """

    spec: FieldSpec
    quantised: Quantised
    steps: int
    float_psnr: float
    latents: tuple[NDArray[np.int32], ...] = ()
    residual: bytes | None = None
    mask: bytes | None = None
    bytes: float = 0.0
