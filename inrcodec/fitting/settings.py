"""Joins everything a user can ask of the encoder with the presets that it stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inrcodec.bitstream.wire import DEFAULT_LIMITS
from inrcodec.errors import UsageError
from inrcodec.fitting.presets import (
    DEFAULT_EFFORT,
    DEFAULT_QUALITY,
    PYRAMID_EFFORT,
    PyramidPreset,
)
from inrcodec.fitting.siren_presets import EFFORT, FAMILIES, USUAL_FAMILY, Preset
from inrcodec.fitting.sparsify import PLAIN, check_sparsify

KINDS = ("pyramid", "siren", "modulated")

AUTO = "auto"
"""In place of a kind: the one that codes the signal better."""

TARGETS = ("quality", "bpp", "target_size", "psnr", "max_error")

TUNES = ("mse", "ms-ssim")

MAX_HIDDEN_LAYERS, MAX_UNITS = 3, 64
"""Of the networks of a pyramid, for its fit."""

_SHARE = re.compile(r"\d*\.?\d+(e-?\d+)?%", re.ASCII | re.IGNORECASE)
_SIREN_NET = re.compile(r"(\d{1,2})x(\d{1,4})")
_PYRAMID_NET = re.compile(r"((?:\d{1,3}-)*\d{1,3}|)/((?:\d{1,3}-)*\d{1,3}|)/([0-2])")


@dataclass(frozen=True)
class Settings:
    """Everything a user can ask of the encoder. At most one of the five targets may be given.

    `quality` 0..100 sets what a bit has to be worth (`pyramid`: lambda halves every 12.5) or a rate
    (`siren`: it doubles every 20); `bpp` is bits per position of the whole file; `target_size` is
    its bytes, never exceeded; `psnr` is in dB on the samples' own type; `max_error` is the most
    that any decoded sample may be off at native size, in the unit of the samples or, as "1%", of
    their value range, 0 for none of integers. `kind` is `pyramid` (default), `siren`, `modulated`
    or, for the better of the first two, `auto`. `net` is sine layers x width, as in 10x28, and
    implies `siren`; or, for `pyramid`, hidden widths of contexts and of synthesis and the
    number of residual convolutions, as in 12-12/24/2. `activation` is the family of a `siren`,
    and implies it unless it is the usual one; `omega_0` is its frequency, `auto` for one by the
    spectrum of the signal, else what the family is usually used at; its hidden weights are, as
    `sparsify` says, sums of atoms (`sinr`), or never (`none`), or where that is better
    (`auto`). `steps` and `rate_weight` (lambda) override the preset's steps and the target.
    `kept` is for a `pyramid`: so many of the first axes are not halved from level to level; so
    is `coarse`: its lattice is the signal's, halved so often along the other axes, by default
    as often as costs little. `mix` names an axis along which the signal is coded as a mixture
    of components, `rank` of them or as many as are worth it. `tile` is the edges, powers of 2,
    of the tiles that parts of a `pyramid` are read in; large volumes have the smallest under 2
    %. `tune` is the distortion that a fit makes small: `mse` (default) or, for the colours of a
    picture in a `pyramid`, `ms-ssim`. `max_time` in seconds bounds the fit. `base` names that
    of a `modulated` field, or how its hash begins.
    `device` is `auto`, `cpu` or `cuda`.
    """

    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    psnr: float | None = None
    max_error: float | str | None = None
    effort: int = DEFAULT_EFFORT
    max_time: float | None = None
    seed: int = 0
    device: str = "auto"
    kind: str | None = None
    net: str | None = None
    activation: str = USUAL_FAMILY
    omega_0: float | str | None = None
    steps: int | None = None
    rate_weight: float | None = None
    tune: str = TUNES[0]
    kept: int | None = None
    coarse: int | None = None
    mix: str | None = None
    rank: int | None = None
    sparsify: str = PLAIN
    tile: Sequence[int] | None = None
    base: str | None = None

    def __post_init__(self) -> None:
        targets = [name for name in TARGETS if getattr(self, name) is not None]
        if len(targets) > 1:
            raise UsageError(f"{' and '.join(targets)}: one target at a time")
        if self.rate_weight is not None and targets not in ([], ["quality"], ["max_error"]):
            raise UsageError(f"rate_weight (--lambda) and {targets[0]}: one of them at a time")
        _within("quality", self.quality, 0, 100)
        _within("effort", self.effort, min(EFFORT), max(EFFORT))
        _within("psnr", self.psnr, 1, 100)
        _within("bpp", self.bpp, 1e-4, 64)
        _within("target_size", self.target_size, 1, 2**40)
        _within("max_time", self.max_time, 0.1, 1e7)
        _within("steps", self.steps, 1, 10**8)
        _within("rate_weight", self.rate_weight, 1e-9, 1e3)
        if not isinstance(self.omega_0, str):
            _within("omega_0", self.omega_0, 1 / 16, 1e4)
        elif self.omega_0 != AUTO:
            raise UsageError(f"omega_0 {self.omega_0!r}: a number or {AUTO} is needed")
        if self.activation not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise UsageError(f"activation {self.activation!r}: one of {known} is needed")
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("kept", self.kept, 0, DEFAULT_LIMITS.axes - 1)
        _within("coarse", self.coarse, 0, DEFAULT_LIMITS.levels)
        if self.kind not in (None, *KINDS, AUTO):
            raise UsageError(f"kind {self.kind!r}: {', '.join(KINDS)} or {AUTO} is needed")
        if self.activation != USUAL_FAMILY and self.kind not in (None, "siren"):
            raise UsageError(f"activation {self.activation}: a siren is needed, not {self.kind}")
        if self.kind == AUTO and (self.net or self.tune != "mse"):
            other = "net" if self.net else f"tune {self.tune}"
            raise UsageError(f"kind {AUTO} and {other}: it is for one kind alone; name that")
        _within("rank", self.rank, 1, DEFAULT_LIMITS.channels)
        words = ("kept", "coarse", "mix", "tile")
        for name, given in ((name, getattr(self, name)) for name in words):
            if given and self.chosen_kind != "pyramid":
                raise UsageError(f"{name} {given}: a pyramid is needed; name no other kind")
        check_sparsify(self.sparsify, self.chosen_kind)
        if self.rank and not self.mix:
            raise UsageError(f"rank {self.rank}: of which axis? name it with mix")
        if self.mix and self.tune != "mse":
            raise UsageError(
                f"mix {self.mix} and tune {self.tune}: components have no such measure"
            )
        if self.tune not in TUNES:
            raise UsageError(f"tune {self.tune!r}: {' or '.join(TUNES)} is needed")
        if self.tune != "mse" and self.psnr is not None:
            raise UsageError(
                f"psnr and tune {self.tune}: a PSNR is a squared error; ask for a quality or a "
                "size, or tune for mse"
            )
        if self.tune != "mse" and (self.chosen_kind != "pyramid" or self.coarse):
            raise UsageError(f"tune {self.tune}: a pyramid is needed, on the lattice of the signal")
        if self.max_error is not None:
            self._check_bound()
        if self.chosen_kind == "modulated" and (self.net or self.steps):
            raise UsageError("net and steps: those of a modulated field are its base's; name that")
        if self.base and self.chosen_kind != "modulated":
            raise UsageError(f"base {self.base}: only kind modulated has one; name that too")
        if self.net is not None:
            if self.chosen_kind == "siren":
                self.layers()
            else:
                self.pyramid_preset()

    def _check_bound(self) -> None:
        known = isinstance(self.max_error, int | float) or _SHARE.fullmatch(str(self.max_error))
        if not known:
            raise UsageError(
                f"max_error {self.max_error!r}: a number or a share as in 1% is needed"
            )
        _within("max_error", float(str(self.max_error).rstrip("%")), 0, 1e37)
        if self.tune != "mse":
            raise UsageError(f"max_error and tune {self.tune}: a bound is tuned for mse")
        if self.chosen_kind != "pyramid":
            raise UsageError("max_error: other kinds' values depend on the machine; use a pyramid")

    @property
    def chosen_kind(self) -> str:
        """The kind asked for, by name or by the form of `net`."""
        if self.kind is not None and not (self.kind == AUTO and self.max_error is not None):
            return self.kind
        if self.activation != USUAL_FAMILY:
            return "siren"
        return "siren" if _SIREN_NET.fullmatch(self.net or "") else "pyramid"

    @property
    def asked_quality(self) -> float:
        """The quality asked for, else the usual one."""
        return DEFAULT_QUALITY if self.quality is None else self.quality

    def layers(self) -> tuple[int, int]:
        """Depth and width that the `net` of a siren names."""
        found = _SIREN_NET.fullmatch(self.net or "")
        depth, width = (int(part) for part in found.groups()) if found else (0, 0)
        if not (1 <= depth <= DEFAULT_LIMITS.depth and 1 <= width <= DEFAULT_LIMITS.width):
            raise UsageError(f"net {self.net!r}: sine layers x width is needed, as in 10x28")
        return depth, width

    def preset(self) -> Preset:
        """The effort's preset of a siren with the overrides applied."""
        preset = EFFORT[self.effort]
        return preset if self.steps is None else replace(preset, steps=self.steps)

    def pyramid_preset(self) -> PyramidPreset:
        """The effort's preset of a pyramid with the overrides applied."""
        preset = PYRAMID_EFFORT[self.effort]
        if self.steps is not None:
            preset = replace(preset, steps=self.steps)
        if self.net is None:
            return preset
        found = _PYRAMID_NET.fullmatch(self.net)
        if not found:
            raise UsageError(
                f"net {self.net!r}: contexts/synthesis/residuals is needed, as in 12-12/24/2"
            )
        contexts, synthesis = (
            tuple(int(width) for width in part.split("-") if width) for part in found.groups()[:2]
        )
        widest = max([*contexts, *synthesis, 1])
        if (
            max(len(contexts), len(synthesis)) > MAX_HIDDEN_LAYERS
            or 0 in (*contexts, *synthesis)
            or widest > MAX_UNITS
        ):
            raise UsageError(
                f"net {self.net!r}: up to {MAX_HIDDEN_LAYERS} layers of up to {MAX_UNITS} units"
            )
        residuals = int(found.group(3))
        return replace(preset, contexts=contexts, synthesis=synthesis, residuals=residuals)

    def budget_bytes(self, positions: int) -> float:
        """Bytes the whole file may have; infinite where a PSNR or only a network is asked."""
        if self.target_size is not None:
            return self.target_size
        if self.bpp is not None:
            return self.bpp * positions / 8
        free = self.psnr is not None or self.chosen_kind != "siren"
        if free or (self.net is not None and self.quality is None):
            return math.inf
        return 0.03 * 2 ** (self.asked_quality / 20) * positions / 8

    def hard_limit(self, positions: int) -> int | None:
        """Bytes the file must not exceed, where a size or a rate was asked."""
        asked = self.target_size is not None or self.bpp is not None
        return int(self.budget_bytes(positions)) if asked else None


def _within(name: str, value: float | None, low: float, high: float) -> None:
    # Written so that NaN fails too.
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} {value}: a number from {low:g} to {high:g} is needed")
