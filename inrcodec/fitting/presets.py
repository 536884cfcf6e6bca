"""Joins an effort with what the encoder then does; every number a user can trade time for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from inrcodec.bitstream.wire import DEFAULT_LIMITS
from inrcodec.errors import UsageError


@dataclass(frozen=True)
class Preset:
    """How long and how a field is fitted.

    `steps` of the float fit, then `rounding_steps` after each rounded layer; `batch` coordinates a
    step; `rate` and `rounding_rate` are the peaks of the two cosine schedules. Weights start at
    SIREN's scale, in the first layer times `first_scale`.
    """

    steps: int
    rounding_steps: int
    batch: int = 16384
    rate: float = 2e-3
    rounding_rate: float = 5e-5
    first_scale: float = 0.75


DEFAULT_EFFORT = 5

DEFAULT_QUALITY = 50.0

EFFORT = {
    1: Preset(steps=200, rounding_steps=10),
    2: Preset(steps=500, rounding_steps=20),
    3: Preset(steps=1000, rounding_steps=30),
    4: Preset(steps=2000, rounding_steps=60),
    5: Preset(steps=3500, rounding_steps=100),
    6: Preset(steps=7000, rounding_steps=150),
    7: Preset(steps=15000, rounding_steps=200),
    8: Preset(steps=30000, rounding_steps=400),
    9: Preset(steps=80000, rounding_steps=800),
}
"""Effort 1..9; each needs about twice the time of the one before."""


@dataclass(frozen=True)
class Settings:
    """Everything a user can ask of the encoder. At most one of the four targets may be given.

    `quality` 0..100 sets a rate that doubles every 20; `bpp` is bits per position of the whole
    file; `target_size` is its bytes, never exceeded; `psnr` is in dB on the samples' own type.
    `net` is sine layers x width; `steps` and `rate_weight` (lambda) override the preset's steps and
    the step sizes. `max_time` in seconds bounds the fit. `device` is `auto`, `cpu` or `cuda`.
    """

    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    psnr: float | None = None
    effort: int = DEFAULT_EFFORT
    max_time: float | None = None
    seed: int = 0
    device: str = "auto"
    kind: str = "siren"
    net: str | None = None
    omega_0: float = 30.0
    steps: int | None = None
    rate_weight: float | None = None

    def __post_init__(self) -> None:
        targets = [
            name
            for name in ("quality", "bpp", "target_size", "psnr")
            if getattr(self, name) is not None
        ]
        if len(targets) > 1:
            raise UsageError(f"{' and '.join(targets)}: one target at a time")
        if self.rate_weight is not None and targets not in ([], ["quality"]):
            raise UsageError(f"rate_weight (--lambda) and {targets[0]}: one of them at a time")
        _within("quality", self.quality, 0, 100)
        _within("effort", self.effort, min(EFFORT), max(EFFORT))
        _within("psnr", self.psnr, 1, 100)
        _within("bpp", self.bpp, 1e-4, 64)
        _within("target_size", self.target_size, 1, 2**40)
        _within("max_time", self.max_time, 0.1, 1e7)
        _within("steps", self.steps, 1, 10**8)
        _within("rate_weight", self.rate_weight, 1e-9, 1e3)
        _within("omega_0", self.omega_0, 1 / 16, 1e4)
        _within("seed", self.seed, 0, 2**63 - 1)
        if self.kind != "siren":
            raise UsageError(f"kind {self.kind!r}: only siren is known")
        if self.net is not None:
            self.layers()

    def layers(self) -> tuple[int, int]:
        """Depth and width that `net` names."""
        found = re.fullmatch(r"(\d{1,2})x(\d{1,4})", self.net or "")
        depth, width = (int(part) for part in found.groups()) if found else (0, 0)
        if not (1 <= depth <= DEFAULT_LIMITS.depth and 1 <= width <= DEFAULT_LIMITS.width):
            raise UsageError(f"net {self.net!r}: sine layers x width is needed, as in 10x28")
        return depth, width

    def preset(self) -> Preset:
        """The effort's preset with the overrides applied."""
        preset = EFFORT[self.effort]
        return preset if self.steps is None else replace(preset, steps=self.steps)

    def budget_bytes(self, positions: int) -> float:
        """Bytes the whole file may have; infinite where a PSNR or only a network is asked."""
        if self.target_size is not None:
            return self.target_size
        if self.bpp is not None:
            return self.bpp * positions / 8
        if self.psnr is not None or (self.net is not None and self.quality is None):
            return math.inf
        quality = DEFAULT_QUALITY if self.quality is None else self.quality
        return 0.03 * 2 ** (quality / 20) * positions / 8

    def hard_limit(self, positions: int) -> int | None:
        """Bytes the file must not exceed, where a size or a rate was asked."""
        asked = self.target_size is not None or self.bpp is not None
        return int(self.budget_bytes(positions)) if asked else None


def _within(name: str, value: float | None, low: float, high: float) -> None:
    # Written so that NaN fails too.
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} {value}: a number from {low:g} to {high:g} is needed")
