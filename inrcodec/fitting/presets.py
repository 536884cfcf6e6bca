"""Joins an effort with what the encoder then does; every number a user can trade time for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PyramidPreset:
    """How long and how a pyramid is fitted, and the networks it gets.

    `rate` and `latent_rate` are the peaks of the cosine schedules of networks (SOAP) and latents
    (Adam, in units of one latent). Temperature of soft-rounding and width of the noise fall from
    the first to the second number. The last `hard_share` of the steps fits the networks alone, at
    `hard_rate`, to rounded latents; `tuning_steps` follow each rounded layer. `spread` is how far
    parameters are expected to move in a fit, and `stay` how much their bits count meanwhile.

    Latents' steps are divided by a root mean square gradient no smaller than that of the coarser
    latents above them, by level over `damping` times what it is when gradients of neighbours have
    nothing in common: what a coarse latent can say is left to it. 0 is without. Of several
    `dampings`, short descents choose one.

    Rounded latents are moved one by one while an evaluation lowers the loss by more than
    `decisions` / `steps` of it: further steps would do better then. 0 is without.
    """

    steps: int
    tuning_steps: int = 10
    spread: float = 0.1
    stay: float = 1.0
    contexts: tuple[int, ...] = (12, 12)
    synthesis: tuple[int, ...] = (24,)
    residuals: int = 2
    rate: float = 1e-2
    latent_rate: float = 0.24
    betas: tuple[float, float] = (0.8, 0.95)
    dampings: tuple[float, ...] = (0.0,)
    temperature: tuple[float, float] = (0.35, 0.08)
    noise: tuple[float, float] = (0.22, 0.15)
    clip: float = 0.05
    hard_share: float = 0.05
    hard_rate: float = 1e-3
    decisions: float = 0.08


DEFAULT_EFFORT = 5

DEFAULT_QUALITY = 50.0

BOTH = (0.0, 2.0)
"""Dampings to choose from: the second is 5 % better on smooth pictures at low rates, 3 % worse
on others."""

PYRAMID_EFFORT = {
    1: PyramidPreset(steps=60, tuning_steps=2),
    2: PyramidPreset(steps=120, tuning_steps=4),
    3: PyramidPreset(steps=220, tuning_steps=6),
    4: PyramidPreset(steps=400, tuning_steps=8),
    5: PyramidPreset(steps=700, tuning_steps=10, dampings=BOTH),
    6: PyramidPreset(steps=1100, tuning_steps=15, dampings=BOTH),
    7: PyramidPreset(steps=1600, tuning_steps=20, dampings=BOTH),
    8: PyramidPreset(4000, 30, contexts=(16, 16), synthesis=(32,), dampings=BOTH),
    9: PyramidPreset(9500, 40, contexts=(20, 20), synthesis=(48,), dampings=BOTH),
}
"""Effort 1..9 for `pyramid`."""
