"""Checks a step of the pyramid's fit: torch against the definition, the extension against torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from inrcodec import native_choice as choice
from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets
from inrcodec.fitting.native_step import NativeStep, step_for
from inrcodec.fitting.pyramid_step import (
    HARD,
    SOFT,
    STRAIGHT,
    Evaluation,
    Floats,
    Step,
    TorchStep,
)

EXTENSION = choice.extension()
AVAILABLE = EXTENSION.available() if EXTENSION else []
built = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")

SPECS = [
    PyramidSpec((37, 70), 3, 4, (16, 16), (32,), 2),
    PyramidSpec((1, 1), 3, 1, (), (), 2),
    PyramidSpec((1, 1), 2, 10, (5,), (4,), 1),
    PyramidSpec((1, 45), 1, 5, (7,), (6, 5), 2),
    PyramidSpec((45, 1), 4, 5, (), (3,), 1),
    PyramidSpec((3, 130), 1, 7, (9, 4, 3), (), 0),
    PyramidSpec((33, 31), 4, 3, (24, 13, 64), (64, 5, 7), 2),
    PyramidSpec((2, 2), 3, 2, (4,), (4,), 2),
    PyramidSpec((700,), 1, 5, (16,), (8,), 2),
    PyramidSpec((9, 10, 11), 3, 4, (16, 8), (8,), 2),
    PyramidSpec((5, 4, 6, 7), 2, 3, (8,), (8,), 1),
    PyramidSpec((6, 45), 2, 4, (8,), (5,), 2, kept=1),
    PyramidSpec((1, 1), 1, 3, (4,), (4,), 1, kept=1),
    PyramidSpec((5, 9, 11), 3, 4, (8,), (8,), 2, kept=1),
    PyramidSpec((3, 4, 21), 2, 4, (8,), (8,), 1, kept=2),
    PyramidSpec((3, 5, 6, 7), 1, 3, (8,), (8,), 1, kept=1),
    PyramidSpec((4, 3, 6, 7), 2, 3, (8,), (8,), 2, kept=2),
    PyramidSpec((2, 3, 2, 9), 1, 3, (8,), (8,), 1, kept=3),
    # So large that the extension cuts them into pieces.
    PyramidSpec((131, 149), 3, 4, (8,), (8,), 2),
    PyramidSpec((20_003,), 2, 4, (8,), (8,), 1),
    PyramidSpec((19, 32, 33), 1, 3, (8,), (), 1),
    PyramidSpec((300, 47), 1, 3, (8,), (), 1, kept=1),
    PyramidSpec((7, 62, 63), 1, 4, (8,), (), 1, kept=1),
]
every_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda s: f"{s.lattice}-{s.net}-{s.kept}".replace(" ", "")
)

State = tuple[Floats, Floats, list[Floats]]


def state_of(spec: PyramidSpec, seed: int = 0, spread: float = 2.0) -> State:
    """A target, parameters and latents; two of these beyond the limit of contexts."""
    random = np.random.default_rng(seed)
    target = random.random((*spec.lattice, spec.outputs), dtype=np.float32)
    weights = [
        random.standard_normal(t.size) * 0.5 / math.sqrt(max(1, t.size // t.shape[0]))
        for t in spec.tensors()
    ]
    latents = [
        (random.standard_normal(spec.grid(level)) * spread).astype(np.float32)
        for level in range(spec.levels)
    ]
    for latent, extreme in zip(latents, (300.3, -400.2), strict=False):
        if latent.size > 100:
            latent.flat[latent.size // 2] = extreme
    return target, np.concatenate(weights).astype(np.float32), latents


def native_of(spec: PyramidSpec, target: Floats, threads: int = 1) -> NativeStep:
    if EXTENSION is None:
        pytest.skip("the extension is not built")
    return NativeStep(spec, target, threads)


def far(one: np.ndarray, other: np.ndarray) -> float:
    """Distance relative to the norm."""
    size = np.linalg.norm(other.astype(float))
    distance = np.linalg.norm(one.astype(float) - other)
    return float(distance / size) if size else float(distance)


def assert_near(spec: PyramidSpec, one: Step, other: Step, most: float) -> None:
    assert one.mse == pytest.approx(other.mse, rel=1e-5)
    assert one.bits == pytest.approx(other.bits, rel=1e-5)
    assert one.distortion == pytest.approx(other.distortion, rel=1e-5)
    assert one.parameters is not None
    assert other.parameters is not None
    ends = np.cumsum([tensor.size for tensor in spec.tensors()])[:-1]
    arrays = (np.split(step.parameters, ends) for step in (one, other))
    for tensor, mine, theirs in zip(spec.tensors(), *arrays, strict=True):
        assert far(mine, theirs) <= most, tensor.name
    for level, (mine, theirs) in enumerate(zip(one.latents, other.latents, strict=True)):
        assert far(mine, theirs) <= most, f"level {level}"


def code_lengths(spec: PyramidSpec, parameters: Floats, latents: list[Floats]) -> list[np.ndarray]:
    """By the definition, latent by latent, in double precision."""
    at, arrays = 0, {}
    for tensor in spec.tensors():
        arrays[tensor.name] = parameters[at : at + tensor.size].reshape(tensor.shape).astype(float)
        at += tensor.size
    values = [np.floor(latent + 0.5) for latent in latents]
    places = [(0, own) for own in causal_offsets(spec.inputs)] + list(coarser_offsets(spec.inputs))

    def context(level: int, index: tuple[int, ...], up: int, offset: tuple[int, ...]) -> float:
        if level + up >= spec.levels:
            return 0.0
        there = []
        for axis, (i, o) in enumerate(zip(index, offset, strict=True)):
            if axis < spec.kept:
                there.append(i + o)
            else:
                there.append((i >> up) + (o if up != 1 or i % 2 else -o))
        plane = values[level + up]
        if any(i < 0 or i >= size for i, size in zip(there, plane.shape, strict=True)):
            return 0.0
        return float(np.clip(plane[tuple(there)], -255, 255))

    def below(x: float) -> float:
        return 0.5 * math.exp(x) if x < 0 else 1 - 0.5 * math.exp(-x)

    lengths = []
    for level, plane in enumerate(values):
        bits = np.empty(plane.shape)
        for index in itertools.product(*map(range, plane.shape)):
            inputs = np.array([context(level, index, *place) for place in places])
            hidden = inputs
            for layer in range(len(spec.contexts) + 1):
                bias = arrays[f"context_bias{layer}"]
                hidden = arrays[f"context_weight{layer}"] @ hidden + bias
                if layer < len(spec.contexts):
                    hidden = np.maximum(hidden, 0)
            mean, log_scale = hidden + arrays["context_skip"] @ inputs
            scale, error = 2 ** np.clip(log_scale, -5, 7), -abs(plane[index] - mean)
            chance = below((error + 0.5) / scale) - below((error - 0.5) / scale)
            bits[index] = min(24, -math.log2(chance)) if chance > 0 else 24
        lengths.append(bits)
    return lengths


@pytest.mark.parametrize(
    "spec", [SPECS[i] for i in (3, 7, 0, 8, 13, 16)], ids=lambda s: str(s.lattice)
)
def test_bits_are_the_laplace_code_length(spec: PyramidSpec) -> None:
    target, parameters, latents = state_of(spec)
    exact = code_lengths(spec, parameters, latents)
    steps = [TorchStep(spec, target)]
    if EXTENSION is not None:
        steps.append(NativeStep(spec, target, 1))
    for step in steps:
        state = step.evaluate(parameters, latents, latent_bits=True)
        assert state.latent_bits is not None
        assert state.level_bits == pytest.approx([level.sum() for level in exact], rel=1e-5)
        for bits, lengths in zip(state.latent_bits, exact, strict=True):
            np.testing.assert_allclose(bits, lengths, rtol=2e-4, atol=2e-4)


def test_gradients_are_those_of_the_loss() -> None:
    """Of torch's step by differences, where nothing of it is straight-through."""
    spec = PyramidSpec((6, 7), 2, 3, (5,), (4,), 1)
    target, parameters, latents = state_of(spec, spread=0.6)
    target = 0.5 + 0.01 * target
    parameters *= np.float32(0.05)  # values stay within 0..1
    step = TorchStep(spec, target)
    random = np.random.default_rng(5)
    slope = step.step(parameters, latents, 0.1, 0.5)
    assert slope.parameters is not None
    assert slope.latents is not None
    direction = random.standard_normal(parameters.size).astype(np.float32)
    directions = [random.standard_normal(x.shape).astype(np.float32) for x in latents]

    def loss(length: float) -> float:
        moved = [x + np.float32(length) * d for x, d in zip(latents, directions, strict=True)]
        at = step.step(parameters + np.float32(length) * direction, moved, 0.1, 0.5)
        return at.mse + 0.1 * at.bits / 42

    measured = (loss(2e-3) - loss(-2e-3)) / 4e-3
    exact = sum(float((a * b).sum()) for a, b in zip(slope.latents, directions, strict=True))
    assert measured == pytest.approx(exact + float(slope.parameters @ direction), rel=0.01)


@pytest.mark.parametrize("mode", [SOFT, STRAIGHT])
@every_spec
def test_native_step_is_torchs(spec: PyramidSpec, mode: str) -> None:
    target, parameters, latents = state_of(spec)
    arguments = (parameters, latents, 0.02, 0.25, 0.0, mode)
    one = native_of(spec, target).step(*arguments)
    assert_near(spec, one, TorchStep(spec, target).step(*arguments), 1e-4)


@every_spec
def test_native_evaluation_is_torchs(spec: PyramidSpec) -> None:
    target, parameters, latents = state_of(spec)
    one = native_of(spec, target).evaluate(parameters, latents, 15, render=True)
    other = TorchStep(spec, target).evaluate(parameters, latents, 15, render=True)
    assert one.mse == pytest.approx(other.mse, rel=1e-5)
    # A value close to the middle between two codes may fall to either.
    assert one.coded_mse == pytest.approx(other.coded_mse, rel=1e-3)
    if target.size > 10:
        assert one.coded_mse != one.mse
    assert one.level_bits == pytest.approx(other.level_bits, rel=1e-5)
    assert one.render is not None
    assert other.render is not None
    np.testing.assert_allclose(one.render, other.render, atol=2e-5)
    hard = native_of(spec, target).step(parameters, latents, 0.02, mode=HARD)
    assert hard == (one.mse, pytest.approx(sum(one.level_bits)), one.mse, None, None)


class Power:
    """Sum of powers of the errors; of 2, and scaled as the mean is, the MSE."""

    def __init__(self, target: Floats, power: int, scale: float) -> None:
        self.target, self.power, self.scale = target, power, np.float32(scale)

    def value(self, render: Floats) -> float:
        assert render.shape == self.target.shape
        assert 0 <= render.min() <= render.max() <= 1
        errors = np.abs(render - self.target)
        return float(self.scale * (errors**self.power).sum(dtype=np.float64))

    def slope(self, render: Floats) -> tuple[float, Floats]:
        errors = render - self.target
        rise = self.power * np.abs(errors) ** (self.power - 1) * np.sign(errors)
        return self.value(render), self.scale * rise


def assert_evaluates_as(one: Evaluation, other: Evaluation) -> None:
    assert one.distortion == pytest.approx(other.distortion, rel=1e-5)
    assert (one.mse, one.render) == (pytest.approx(other.mse, rel=1e-5), None)
    assert one.level_bits == pytest.approx(other.level_bits, rel=1e-5)


@pytest.mark.parametrize("mode", [SOFT, STRAIGHT])
@pytest.mark.parametrize("spec", [SPECS[i] for i in (0, 1, 5, 6, 8, 10, 11, 18)], ids=str)
def test_another_distortion_is_the_same_in_both(spec: PyramidSpec, mode: str) -> None:
    if EXTENSION is None:
        pytest.skip("the extension is not built")
    target, parameters, latents = state_of(spec)
    fourth = Power(target, 4, 3 / target.size)
    one, other = NativeStep(spec, target, 1, fourth), TorchStep(spec, target, fourth)
    arguments = (parameters, latents, 0.02, 0.25, 0.0, mode)
    descended = other.step(*arguments)
    assert descended.distortion != pytest.approx(descended.mse, rel=0.01)
    assert_near(spec, one.step(*arguments), descended, 1e-4)
    assert_evaluates_as(one.evaluate(parameters, latents), other.evaluate(parameters, latents))
    assert one.step(parameters, latents, 0.02, mode=HARD).distortion == (
        one.evaluate(parameters, latents).distortion
    )


@pytest.mark.parametrize("kind", [TorchStep, native_of])
@pytest.mark.parametrize("spec", [SPECS[i] for i in (0, 5, 8, 11, 18)], ids=str)
def test_the_mse_from_outside_is_the_one_within(
    spec: PyramidSpec, kind: Callable[..., NativeStep | TorchStep]
) -> None:
    target, parameters, latents = state_of(spec)
    within = kind(spec, target)
    outside = type(within)(
        spec,
        target,
        **({"threads": 2} if kind is native_of else {}),
        distortion=Power(target, 2, 1 / target.size),
    )
    arguments = (parameters, latents, 0.02, 0.3, 0.2, SOFT, 5)
    assert_near(spec, outside.step(*arguments), within.step(*arguments), 1e-5)
    assert_evaluates_as(outside.evaluate(parameters, latents), within.evaluate(parameters, latents))


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_failing_distortion_leaves_the_step_usable(failure: type[BaseException]) -> None:
    spec = SPECS[-1]
    target, parameters, latents = state_of(spec)
    failures = [failure("halfway")]

    class Failing(Power):
        def slope(self, render: Floats) -> tuple[float, Floats]:
            if failures:
                raise failures.pop()
            return super().slope(render)

    step = step_for(spec, target, 2, Failing(target, 2, 1 / target.size))
    with pytest.raises(failure, match="halfway"):
        step.step(parameters, latents, 0.02)
    expected = step_for(spec, target, 2).step(parameters, latents, 0.02)
    assert_near(spec, step.step(parameters, latents, 0.02), expected, 1e-5)


@pytest.mark.parametrize("spec", SPECS[-3:], ids=lambda s: str(s.lattice))
def test_threads_change_sums_alone(spec: PyramidSpec) -> None:
    target, parameters, latents = state_of(spec)
    one, three = (
        native_of(spec, target, threads).step(parameters, latents, 0.02, 0.3, 0.2, SOFT, 7)
        for threads in (1, 3)
    )
    for mine, theirs in zip(one.latents, three.latents, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert_near(spec, one, three, 1e-6)


@pytest.mark.parametrize("isa", AVAILABLE)
@pytest.mark.parametrize("spec", [SPECS[0], SPECS[6], SPECS[9]], ids=lambda s: str(s.lattice))
def test_instruction_sets_agree(
    spec: PyramidSpec, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, parameters, latents = state_of(spec)
    steps = []
    for name in (isa, "baseline"):
        monkeypatch.setenv(choice.VARIABLE, name)
        step = NativeStep(spec, target, 1)
        steps.append(step.step(parameters, latents, 0.02, 0.3, 0.2, SOFT, 3))
    assert_near(spec, *steps, 1e-4)


@built
def test_noise_is_of_variance_one_and_of_the_seed() -> None:
    spec = PyramidSpec((200, 300), 1, 1, (), (), 0)
    target, parameters, latents = state_of(spec)
    parameters[:] = 0
    parameters[-1] = 1  # the skip of synthesis: the value is the latent + 1/2
    latents = [np.zeros(spec.grid(0), np.float32)]
    step = NativeStep(spec, np.zeros_like(target) + np.float32(0.5), 1)
    mean = [step.step(parameters, latents, 0, 1e-2, 0.5, SOFT, seed).mse for seed in (1, 1, 2)]
    assert mean[0] == mean[1] != mean[2]
    # Soft-round at a high temperature is the identity: errors of at most 1/2 are the noise.
    hot = step.step(parameters, latents, 0, 100.0, 0.1, SOFT, 4).mse
    assert hot == pytest.approx(0.1**2, rel=0.03)


@pytest.mark.parametrize("damping", [0.0, 8.0])
@pytest.mark.parametrize("spec", SPECS)
def test_adam_is_the_same_in_both(spec: PyramidSpec, damping: float) -> None:
    target, _, latents = state_of(spec)
    random = np.random.default_rng(1)
    results = []
    for step in (TorchStep(spec, target), native_of(spec, target, 2)):
        random = np.random.default_rng(1)
        moved = [latent.copy() for latent in latents]
        for count in (1, 2, 3):
            slopes = [random.standard_normal(x.shape).astype(np.float32) for x in latents]
            step.adam(moved, slopes, 0.05, (0.6, 0.85), 1e-12, damping, count)
        results.append(moved)
    for before, one, other in zip(latents, *results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert np.abs(one - before).mean() > 0.01


@pytest.mark.parametrize("kind", [TorchStep, native_of])
def test_what_a_coarse_latent_can_say_is_left_to_it(kind: type) -> None:
    spec = PyramidSpec((32, 32), 1, 3, (), (), 0)
    random = np.random.default_rng(1)

    def moved(finest: np.ndarray) -> float:
        step = kind(spec, np.zeros((32, 32, 1), np.float32))
        slopes = [finest]
        while len(slopes) < 3:
            below = slopes[-1]
            slopes.append(below[::2, ::2] + below[1::2, ::2] + below[::2, 1::2] + below[1::2, 1::2])
        latents = [np.zeros_like(slope) for slope in slopes]
        slopes = [np.ascontiguousarray(slope, np.float32) for slope in slopes]
        step.adam(latents, slopes, 1.0, (0.8, 0.95), 1e-12, 8.0, 1)
        return float(np.sqrt(np.mean(latents[0] ** 2)))

    # One sign everywhere: mean squares are 16 times as large per level, and 8 are let pass.
    assert moved(np.ones((32, 32), np.float32)) == pytest.approx(0.5, rel=1e-3)
    checks = np.indices((32, 32)).sum(0) % 2 * 2.0 - 1
    assert moved(checks.astype(np.float32)) == pytest.approx(1, rel=1e-3)
    noise = random.standard_normal((32, 32)).astype(np.float32)
    assert moved(noise) > 0.8


def test_descent_descends() -> None:
    spec = PyramidSpec((24, 20), 1, 4, (8,), (8,), 2)
    target, parameters, latents = state_of(spec, spread=0.5)
    latents = [np.clip(x, -2, 2) for x in latents]
    step = step_for(spec, target, 2)
    losses = []
    for count in range(1, 60):
        slope = step.step(parameters, latents, 1e-3, 0.3, 0.1, SOFT, count)
        losses.append(slope.mse + 1e-3 * slope.bits / 480)
        assert slope.parameters is not None
        assert slope.latents is not None
        parameters = parameters - np.float32(0.05) * slope.parameters
        step.adam(latents, slope.latents, 0.02, (0.6, 0.85), 1e-12, 8.0, count)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.parametrize("kind", [TorchStep, native_of])
def test_what_does_not_fit_is_refused(kind: type) -> None:
    spec = SPECS[7]
    target, parameters, latents = state_of(spec)
    with pytest.raises(UsageError, match="target"):
        kind(spec, target[..., :1])
    step = kind(spec, target)
    with pytest.raises(UsageError, match="parameters"):
        step.step(parameters[1:], latents, 0.1)
    with pytest.raises(UsageError, match="latents"):
        step.step(parameters, [latents[0], latents[0]], 0.1)


@built
def test_extension_refuses_what_it_cannot_do() -> None:
    target, parameters, latents = state_of(SPECS[7])
    step = NativeStep(SPECS[7], target, 1)
    with pytest.raises(UsageError, match="temperature"):
        step.step(parameters, latents, 0.1, temperature=0.0)
    with pytest.raises(UsageError, match="contiguous"):
        step.step(parameters, [latents[0].T, latents[1]], 0.1)
    with pytest.raises(UsageError):
        step.step(parameters.astype(np.float64), latents, 0.1)
    wide = PyramidSpec((2, 2), 3, 2, (65,), (4,), 2)
    with pytest.raises(UsageError, match="widths"):
        NativeStep(wide, target, 1)
