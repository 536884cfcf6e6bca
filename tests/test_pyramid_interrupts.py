"""Checks that a fit of a pyramid can be ended anywhere, and says all the while how far it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

import inrcodec
from inrcodec import codec
from inrcodec.codec import as_signal, encode_signal
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.native_latents import code_length
from inrcodec.coding.quantize import dequantize
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_fit import fit_pyramid
from inrcodec.fitting.pyramid_result import FittedPyramid
from inrcodec.fitting.pyramid_spec import chosen_spec
from inrcodec.fitting.pyramid_targets import PyramidGoal
from inrcodec.fitting.schedule import Budget, finished, quiet
from inrcodec.fitting.settings import Settings

QUICK = replace(
    PyramidPreset(steps=40, tuning_steps=2, contexts=(4,), synthesis=(6,), residuals=1),
    hard_share=0.2,
)

PHOTO = skimage.data.astronaut()[96:128, 204:236]

GOALS = {
    "quality": PyramidGoal(rate_weight=1e-3),
    "size": PyramidGoal(bits=3000.0),
    "small size": PyramidGoal(bits=1700.0),
    "psnr": PyramidGoal(psnr=24.0),
}

every_goal = pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS.keys())


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Pressed:
    """A step at whose `at`-th evaluations Ctrl-C is pressed."""

    def __init__(self, step: Any, *at: int) -> None:
        self._step, self._at, self.count = step, at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def _press(self) -> None:
        self.count += 1
        if self.count in self._at:
            raise KeyboardInterrupt

    def step(self, *arguments: Any, **options: Any) -> Any:
        self._press()
        return self._step.step(*arguments, **options)

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        self._press()
        return self._step.evaluate(*arguments, **options)


def fitted(
    goal: PyramidGoal, *at: int, budget: Budget | None = None, progress: Any = quiet
) -> tuple[FittedPyramid, int]:
    """The fit, and how many evaluations it took."""
    signal = as_signal(PHOTO)
    spec = chosen_spec(signal.info, QUICK)
    target = (signal.samples / np.float32(255)).astype(np.float32)
    step: Any = Pressed(step_for(spec, target, 1), *at)
    fit = fit_pyramid(spec, step, 255, goal, QUICK, 0, budget or Budget(), progress)
    return fit, step.count


@every_goal
def test_an_interrupt_anywhere_gives_what_was_reached(goal: PyramidGoal) -> None:
    """From the first evaluation to the last: and what is told of it is true."""
    whole, count = fitted(goal)
    assert count > 100
    for at in [1, *range(10, count, 3 + count // 12), count]:
        budget = Budget()
        fit, calls = fitted(goal, at, budget=budget)
        assert budget.interrupted
        parameters = dequantize(fit.spec, fit.quantised.symbols, fit.quantised.recipes).parameters
        network = IntegerNetwork.of(fit.spec, parameters)
        bits = fit.quantised.bits + sum(code_length(fit.spec, network, fit.latents))
        assert fit.bits == pytest.approx(bits)
        assert math.isfinite(fit.psnr)
        # What an interrupt leaves to be done is less than a rounding and a trimming from anew.
        assert calls <= at + 200
        if goal.bits is not None and whole.bits <= goal.bits and at > 0.9 * count:
            assert fit.bits <= goal.bits
            assert fit.psnr >= whole.psnr - 6


@every_goal
def test_a_second_interrupt_is_raised(goal: PyramidGoal) -> None:
    for first in (1, 20, 45):
        with pytest.raises(KeyboardInterrupt):
            fitted(goal, first, first + 2)


def test_trimming_and_corrections_end_with_the_time() -> None:
    """A limit that is over after the first rounding: the size is met in few tries."""
    goal = GOALS["small size"]
    _, count = fitted(goal)
    budget = Budget(1e-3, started=0.0)
    fit, calls = fitted(goal, budget=budget)
    assert calls < count
    assert math.isfinite(fit.psnr)


@every_goal
def test_progress_is_told_about_every_step(goal: PyramidGoal) -> None:
    seen: list[tuple[str, float, float]] = []
    fit, _ = fitted(goal, progress=lambda *news: seen.append(news))
    assert {stage for stage, _, _ in seen} == {"fit", "round"}
    assert all(0 <= share <= 1 for _, share, _ in seen)
    assert len(seen) >= fit.steps
    # From the first check on.
    known = [index for index, (_, _, psnr) in enumerate(seen) if math.isfinite(psnr)]
    assert len(known) == len(seen) - known[0]
    assert known[0] <= 5
    end = [stage for stage, _, _ in seen].index("round")
    first = [share for _, share, _ in seen[:end]]
    assert first == sorted(first)


@pytest.mark.parametrize("at", ["_packed", "_proved"])
def test_an_interrupt_after_the_fit_does_not_lose_it(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, pressed = getattr(codec, at), []

    def pressing(*arguments: Any) -> Any:
        if not pressed:
            pressed.append(at)
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(codec, at, pressing)
    settings = Settings(net="4/6/1", steps=5, device="cpu")
    made = encode_signal(as_signal(PHOTO), settings)
    assert made.interrupted
    assert inrcodec.decode(made.data).samples.shape == PHOTO.shape


def test_finished_work_is_begun_anew_once() -> None:
    tries: list[int] = []

    def work() -> int:
        tries.append(1)
        if len(tries) < stop:
            raise KeyboardInterrupt
        return len(tries)

    budget, stop = Budget(), 2
    assert finished(work, budget) == 2
    assert budget.interrupted
    stop = 4
    with pytest.raises(KeyboardInterrupt):
        finished(work, budget)
    assert len(tries) == 3
