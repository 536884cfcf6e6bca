"""Checks how a damping of the latents' steps is chosen: by the beginnings of descents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data

from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import PyramidState, descend, measure
from inrcodec.fitting.pyramid_fit import HURRIED_STEPS, fit_pyramid
from inrcodec.fitting.pyramid_networks import Networks, random_networks
from inrcodec.fitting.pyramid_pilot import chosen_damping
from inrcodec.fitting.pyramid_targets import PyramidGoal
from inrcodec.fitting.schedule import Budget, quiet


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """72 x 64 RGB values."""
    return (skimage.data.astronaut()[84:156, 196:260] / 255).astype(np.float32)


def state_and_step(face: np.ndarray) -> tuple[PyramidState, Any]:
    spec = PyramidSpec(face.shape[:2], 3, 5, (8,), (8,), 1)
    latents = [np.zeros(spec.grid(level), np.float32) for level in range(5)]
    networks = Networks(spec, random_networks(spec, 0))
    state = PyramidState(networks, latents, face.shape[0] * face.shape[1], 255)
    return state, step_for(spec, face, 1)


def test_the_damping_of_least_loss_is_chosen(
    face: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {0.0: 0.3, 2.0: 0.2, 4.0: 0.25}
    begun = []

    def descent(pilot: Any, step: Any, preset: Any, *_: Any, until: float) -> None:
        begun.append((preset.dampings, until, [float(np.abs(x).max()) for x in pilot.latents]))
        pilot.latents[0][...] = 1
        pilot.networks.flat[:] = 0
        pilot.loss = losses[preset.dampings[0]]
        pilot.steps += 7

    monkeypatch.setattr("inrcodec.fitting.pyramid_pilot.descend", descent)
    state, step = state_and_step(face)
    before = state.networks.flat.copy()
    preset = PyramidPreset(steps=1000, dampings=(0.0, 2.0, 4.0))
    assert chosen_damping(state, step, preset, 1e-3, Budget(None)) == 2.0
    assert [one[0] for one in begun] == [(0.0,), (2.0,), (4.0,)]
    assert all(until == 0.1 and not any(latents) for _, until, latents in begun)
    assert state.steps == 21
    assert (state.networks.flat == before).all()
    assert not any(plane.any() for plane in state.latents)


def test_pilots_show_how_far_they_are(face: np.ndarray) -> None:
    state, step = state_and_step(face)
    seen: list[tuple[str, float]] = []
    preset = PyramidPreset(steps=100, dampings=(0.0, 2.0))

    def shown(stage: str, share: float, psnr: float) -> None:
        seen.append((stage, share))

    chosen_damping(state, step, preset, 1e-3, Budget(None), None, shown)
    assert {stage for stage, _ in seen} == {"try"}
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.1
    assert 0.9 < shares[-1] <= 1


def test_a_descent_is_damped_as_its_preset_says(face: np.ndarray) -> None:
    def latents(*dampings: float) -> list[np.ndarray]:
        state, step = state_and_step(face)
        preset = PyramidPreset(steps=12, dampings=dampings)
        descend(state, step, preset, lambda *_: 1e-3, Budget(None), quiet)
        return state.latents

    free, damped, again = latents(0.0), latents(2.0), latents(2.0, 0.0)
    assert all((one == two).all() for one, two in zip(damped, again, strict=True))
    # The coarsest has nothing above it, but its gradients come from a field that others changed.
    moved = [
        float(np.abs(one).mean() / np.abs(two).mean())
        for one, two in zip(damped, free, strict=True)
    ]
    assert moved[0] < 0.8
    assert moved[0] < moved[-1]


def test_a_fit_descends_with_the_damping_that_was_chosen(
    face: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def descent(state: Any, step: Any, preset: Any, *rest: Any) -> None:
        seen.append((preset.dampings, preset.steps))
        descend(state, step, preset, *rest)

    def chosen(*rest: Any) -> float:
        budget = rest[4]
        budget.interrupted = bool(seen)
        return 3.0

    monkeypatch.setattr("inrcodec.fitting.pyramid_fit.descend", descent)
    monkeypatch.setattr("inrcodec.fitting.pyramid_fit.chosen_damping", chosen)
    preset = PyramidPreset(steps=40, tuning_steps=1, dampings=(0.0, 3.0))
    spec = PyramidSpec(face.shape[:2], 3, 5, (8,), (8,), 1)
    for _ in range(2):
        goal = PyramidGoal(rate_weight=1e-2)
        fit_pyramid(spec, step_for(spec, face, 1), 255, goal, preset, 0, Budget(None), quiet)
    # The second fit is interrupted while it chooses: only HURRIED_STEPS follow.
    assert seen == [((3.0,), 40), ((3.0,), HURRIED_STEPS)]


def test_a_pilot_ends_early_and_knows_its_loss(face: np.ndarray) -> None:
    state, step = state_and_step(face)
    preset = PyramidPreset(steps=200)
    descend(state, step, preset, lambda *_: 1e-3, Budget(None), quiet, until=0.5)
    assert state.steps == 95
    now = measure(state, step)
    assert state.loss == pytest.approx(now.mse + 1e-3 * sum(now.level_bits) / 4608, rel=0.5)


def test_an_interrupt_of_a_pilot_keeps_what_it_reached(
    face: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def descent(
        pilot: Any, step: Any, preset: Any, weight: Any, budget: Budget, *_: Any, **__: Any
    ) -> None:
        pilot.latents[0][...] = 1
        pilot.networks.flat[:] = 3
        pilot.steps += 4
        budget.interrupted = True

    monkeypatch.setattr("inrcodec.fitting.pyramid_pilot.descend", descent)
    state, step = state_and_step(face)
    preset = PyramidPreset(steps=1000, dampings=(2.0, 0.0))
    assert chosen_damping(state, step, preset, 1e-3, Budget(None)) == 2.0
    assert (state.networks.flat == 3).all()
    assert (state.latents[0] == 1).all()
    assert state.steps == 4
