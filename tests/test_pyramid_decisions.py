"""Checks decisions on single latents: the loss only falls, and what is useless goes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from inrcodec.fields.pyramid import PyramidSpec, causal_offsets
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_decisions import decide, decided, seen
from inrcodec.fitting.pyramid_descent import PyramidState, descend
from inrcodec.fitting.pyramid_networks import Networks, random_networks
from inrcodec.fitting.pyramid_result import rounded
from inrcodec.fitting.pyramid_step import TorchStep
from inrcodec.fitting.pyramid_windows import WINDOW, covered, onto, summits, window_sums
from inrcodec.fitting.schedule import Budget, quiet

SIZES = {1: (23,), 2: (13, 18), 3: (7, 6, 9), 4: (4, 5, 3, 6)}

LEAST = 1e-5

every_count_of_axes = pytest.mark.parametrize("axes", SIZES)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def window(latent: tuple[int, ...], scale: int = 1) -> tuple[slice, ...]:
    """What the module says a latent's window is, written out."""
    edge = WINDOW[len(latent)]
    starts = [place - (edge - 1) // 2 for place in latent]
    return tuple(slice(max(s, 0) * scale, (s + edge) * scale) for s in starts)


def fitted(lattice: tuple[int, ...] = (32, 29), steps: int = 60) -> tuple[PyramidState, Any]:
    """A fit whose latents are rounded; its networks are not."""
    samples = skimage.data.astronaut()[94:126, 204:233] / np.float32(255)
    if len(lattice) != 2:
        wave = sum(np.sin(0.7 * (axis + 1) * x) for axis, x in enumerate(np.indices(lattice)))
        samples = 0.5 + 0.2 * np.asarray(wave)[..., None]
    target = np.ascontiguousarray(samples, np.float32)
    spec = PyramidSpec(lattice, target.shape[-1], 4, (6,), (8,), 1)
    networks = Networks(spec, random_networks(spec, 0))
    latents = [np.zeros(spec.grid(level), np.float32) for level in range(spec.levels)]
    state = PyramidState(networks, latents, math.prod(lattice), 255)
    step = step_for(spec, target, 1)
    descend(state, step, PyramidPreset(steps=steps), lambda *_: 1e-3, Budget(), quiet)
    for plane in state.latents:
        plane[...] = np.floor(plane + np.float32(0.5))
    return state, step


@pytest.fixture(scope="module")
def fit() -> tuple[PyramidState, Any]:
    return fitted()


def copied(fit: tuple[PyramidState, Any]) -> tuple[PyramidState, Any]:
    state, step = fit
    latents = [plane.copy() for plane in state.latents]
    copy = PyramidState(state.networks, latents, state.positions, state.peak)
    copy.rate_weight = state.rate_weight
    return copy, step


def loss(state: PyramidState, step: Any) -> float:
    now = step.evaluate(state.networks.flat, state.latents)
    return float(now.mse + state.rate_weight * sum(now.level_bits) / state.positions)


# Windows


@every_count_of_axes
def test_contexts_stay_in_windows(axes: int) -> None:
    edge = WINDOW[axes]
    for offset in causal_offsets(axes):
        assert all(-((edge - 1) // 2) <= -step <= edge // 2 for step in offset)


@pytest.mark.parametrize(("axes", "kept"), [(n, kept) for n in SIZES for kept in range(n)])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_windows_are_where_they_should_be(axes: int, kept: int, scale: int) -> None:
    generator = np.random.default_rng(axes)
    shape = (
        *SIZES[axes][:kept],
        *(size * scale - scale // 2 for size in SIZES[axes][kept:]),
    )
    values = generator.standard_normal(shape).astype(np.float32)
    sums = window_sums(onto(values, scale, kept))
    assert sums.shape == SIZES[axes]
    for latent in generator.integers(0, SIZES[axes], (20, axes)):
        place = tuple(map(int, latent))
        inside = (*window(place)[:kept], *window(place, scale)[kept:])
        assert sums[place] == pytest.approx(values[inside].sum(), abs=1e-3)
        chosen = np.zeros(SIZES[axes], bool)
        chosen[place] = True
        expected = np.zeros(shape, bool)
        expected[inside] = True
        assert (covered(chosen, shape, scale, kept) == expected).all()


@every_count_of_axes
def test_windows_of_summits_do_not_overlap(axes: int) -> None:
    values = np.random.default_rng(axes).random(SIZES[axes], np.float32)
    values[values < 0.5] = 0
    chosen = summits(values)
    assert values.max() in values[chosen]
    places = np.argwhere(chosen)
    apart = np.abs(places[:, None] - places[None]).max(axis=-1)
    assert (apart[~np.eye(len(places), dtype=bool)] >= WINDOW[axes]).all()
    assert (values[chosen] > 0).all()
    assert not summits(np.zeros_like(values)).any()


# Decisions


def test_the_loss_falls_and_is_what_the_maps_say(fit: tuple[PyramidState, Any]) -> None:
    state, step = copied(fit)
    before = loss(state, step)
    decide(state, step, LEAST, Budget())
    after = loss(state, step)
    assert after < 0.99 * before
    assert all((plane == np.rint(plane)).all() for plane in state.latents)
    total = seen(state, step).total() * state.rate_weight / state.positions
    assert total == pytest.approx(after, rel=1e-5)


@pytest.mark.parametrize("lattice", [(90,), (14, 12, 10), (6, 7, 5, 6)])
def test_the_loss_falls_whatever_the_axes(lattice: tuple[int, ...]) -> None:
    state, step = fitted(lattice, 20)
    before = loss(state, step)
    state.latents[0].flat[:: 7 ** len(lattice)] += 2
    disturbed = loss(state, step)
    decide(state, step, LEAST, Budget())
    assert loss(state, step) < min(disturbed, 1.02 * before)


def test_a_useless_move_is_undone(fit: tuple[PyramidState, Any]) -> None:
    state, step = copied(fit)
    decide(state, step, LEAST, Budget())
    whole = [plane.copy() for plane in state.latents]
    best = loss(state, step)
    for by in (-1, 1):
        for plane, kept in zip(state.latents, whole, strict=True):
            plane[...] = kept
        state.latents[0][16, 14] += by
        assert loss(state, step) > best
        decide(state, step, LEAST, Budget())
        assert loss(state, step) <= best
        assert state.latents[0][16, 14] == whole[0][16, 14]


def test_the_same_again(fit: tuple[PyramidState, Any]) -> None:
    results = []
    for _ in range(2):
        state, step = copied(fit)
        decide(state, step, LEAST, Budget())
        results.append(state.latents)
    for one, other in zip(*results, strict=True):
        assert (one == other).all()


def test_torch_decides_as_the_extension_does(fit: tuple[PyramidState, Any]) -> None:
    state, step = copied(fit)
    decide(state, step, LEAST, Budget())
    other, _ = copied(fit)
    decide(other, TorchStep(step.spec, step.target), LEAST, Budget())
    assert loss(other, step) == pytest.approx(loss(state, step), rel=2e-3)


class Pressed:
    """A step at whose `at`-th evaluation Ctrl-C is pressed."""

    def __init__(self, step: Any, at: int) -> None:
        self._step, self._at, self.count = step, at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        self.count += 1
        if self.count == self._at:
            raise KeyboardInterrupt
        return self._step.evaluate(*arguments, **options)


def test_an_interrupt_keeps_what_is_decided(fit: tuple[PyramidState, Any]) -> None:
    state, step = copied(fit)
    preset = PyramidPreset(steps=60, tuning_steps=1)
    result = rounded(state, step, preset, Budget())
    price = state.rate_weight / state.positions
    costs = []
    for at in (1, 5, 20, 10**6):
        budget, watched = Budget(), Pressed(step, at)
        found = decided(result, state, watched, preset, budget)
        assert budget.interrupted == (at <= watched.count)
        costs.append(10 ** (-found.psnr / 10) + price * found.bits)
    assert costs[0] == 10 ** (-result.psnr / 10) + price * result.bits
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_no_time_no_moves(fit: tuple[PyramidState, Any]) -> None:
    state, step = copied(fit)
    decide(state, step, 0.0, Budget(1e-3, started=0.0))
    for plane, before in zip(state.latents, fit[0].latents, strict=True):
        assert (plane == before).all()
