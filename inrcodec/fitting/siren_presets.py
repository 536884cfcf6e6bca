"""Joins an effort and the name of a family of activations with the siren that is then fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inrcodec.fields.activations import PLAIN, Activation
from inrcodec.fields.encodings import NO_ENCODING, Encoding
from inrcodec.fields.siren import SirenSpec


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


@dataclass(frozen=True)
class Family:
    """What `--activation` names: an activation, an encoding, and the omega_0 it is usually used at.

    `rate` is what the steps of a fit are multiplied by, of weights that are larger than a siren's.
    """

    activation: Activation = PLAIN
    encoding: Encoding = NO_ENCODING
    omega_0: float = 30.0
    rate: float = 1.0

    def of(self, spec: SirenSpec) -> SirenSpec:
        """A network of this family, as deep and wide as another."""
        return replace(
            spec, activation=self.activation, encoding=self.encoding, omega_0=self.omega_0
        )

    def paced(self, preset: Preset) -> Preset:
        """A preset at the rate of this family."""
        rate, rounding_rate = preset.rate * self.rate, preset.rounding_rate * self.rate
        return replace(preset, rate=rate, rounding_rate=rounding_rate)


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
"""Effort 1..9 for `siren`; each needs about twice the time of the one before."""

SINE = Family()

FOURIER = Encoding("fourier", 8)

FAMILIES = {
    "sine": SINE,
    "finer": Family(Activation("finer")),
    "gauss": Family(Activation("gauss"), omega_0=5.0, rate=12.0),
    "gabor": Family(Activation("gabor", 0.25), omega_0=6.0, rate=8.0),
    "sinc": Family(Activation("sinc"), omega_0=5.0, rate=12.0),
    "hosc": Family(Activation("hosc", 1.0)),
    "raised-cosine": Family(Activation("raised_cosine", 0.5), omega_0=5.0, rate=12.0),
    "prolate": Family(Activation("prolate"), omega_0=5.0, rate=12.0),
    "relu-fourier": Family(Activation("relu"), FOURIER, omega_0=1.0, rate=30.0),
    "gelu-fourier": Family(Activation("gelu"), FOURIER, omega_0=1.0, rate=20.0),
    "sine-fourier": Family(PLAIN, FOURIER),
    "mfn": Family(Activation("fourier_filter"), rate=12.0),
    "relu-chebyshev": Family(Activation("relu"), Encoding("chebyshev", 32), omega_0=1.0, rate=30.0),
}
"""What `--activation` names. Frequencies, shapes and orders are those of the papers' code for
pictures where it has any, else tried on photos that no table shows (docs/experiments.md, 26)."""

USUAL_FAMILY = "sine"
