"""Joins a PyramidState with the damping that suits its target: by the beginnings of descents."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import AnyStep, PyramidState, descend
from inrcodec.fitting.pyramid_networks import Networks
from inrcodec.fitting.pyramid_result import Probe
from inrcodec.fitting.schedule import Budget, Progress, quiet

PILOT_STEPS = 100
"""Steps after which the order of two descents is that of their ends: 80 were enough on photos."""

MOST = 0.15
"""Share of a descent that a pilot takes at most."""


def chosen_damping(
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    rate_weight: float,
    budget: Budget,
    probe: Probe | None = None,
    progress: Progress = quiet,
) -> float:
    """The one of the preset's dampings whose descent has the least loss after a few steps.

    `state` is one that no step was taken from, and stays so, but for their number. Large lattices
    are judged by their probe. An interrupt ends it with the first damping, and gives `state` what
    was reached.
    """
    hurried = budget.interrupted
    if len(preset.dampings) == 1 or hurried:
        return preset.dampings[0]
    seen, looking = (state, step) if probe is None else (probe.cut(state), probe.step)
    losses: list[float] = []
    until = min(PILOT_STEPS / preset.steps, MOST)

    def shown(_stage: str, share: float, psnr: float) -> None:
        progress("try", (len(losses) + min(share / until, 1.0)) / len(preset.dampings), psnr)

    for damping in preset.dampings:
        own = replace(preset, dampings=(damping,))
        pilot = _fresh(seen, looking)
        descend(pilot, looking, own, lambda *_: rate_weight, budget, shown, until=until)
        state.steps += pilot.steps
        if budget.interrupted:
            _adopt(state, pilot)
            return preset.dampings[0]
        losses.append(pilot.loss)
    return preset.dampings[int(np.argmin(losses))]


def _fresh(state: PyramidState, step: AnyStep) -> PyramidState:
    """A copy to descend from, of the size that the step is for."""
    networks = Networks(state.networks.spec, state.networks.named())
    latents = [plane.copy() for plane in state.latents]
    positions = math.prod(step.spec.lattice)
    return replace(state, networks=networks, latents=latents, positions=positions, steps=0)


def _adopt(state: PyramidState, pilot: PyramidState) -> None:
    state.networks.flat[:] = pilot.networks.flat
    state.networks.gather()
    if state.positions == pilot.positions:
        state.latents = pilot.latents
