"""Checks a step of a siren's fit: the extension against torch, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import native_choice as choice
from inrcodec.errors import UsageError
from inrcodec.fields.siren import OUTPUT_CENTRE, SirenSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting.objective import psnr_of, squared_error
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.siren_step import NativeSirenStep, TorchSirenStep, evaluate, step_for
from inrcodec.fitting.stacks import initial_stacks, layers_of, stacked
from inrcodec.fitting.workers import working

EXTENSION = choice.extension()
AVAILABLE = EXTENSION.available() if EXTENSION else []
built = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")
every_isa = pytest.mark.parametrize("isa", AVAILABLE)

SPECS = st.builds(
    SirenSpec,
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    depth=st.integers(1, 10),
    width=st.integers(1, 70),
    omega_0=st.sampled_from([1.0, 30.0]),
)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """Small operations on threads of torch's own stall where the machine is busy."""
    with working("cpu"):
        yield


def problem(
    spec: SirenSpec, points: int, seed: int = 0
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Layers whose values leave 0..1 now and then, coordinates and targets."""
    generator = torch.Generator().manual_seed(seed)
    layers = layers_of(initial_stacks(spec, generator, 1.0))
    layers[-1] = torch.randn(layers[-1].shape, generator=generator) / math.sqrt(spec.width + 1)
    coordinates = torch.rand(points, spec.inputs, generator=generator) * 2 - 1
    return layers, coordinates, torch.rand(points, spec.outputs, generator=generator)


def by_torch(
    spec: SirenSpec,
    layers: Sequence[torch.Tensor],
    coordinates: torch.Tensor,
    targets: torch.Tensor,
    first: int = 0,
) -> tuple[float, list[np.ndarray]]:
    """Error and gradient in float64."""
    tracked = [layer.double().requires_grad_() for layer in layers]
    error = squared_error(evaluate(spec, tracked, coordinates.double()), targets.double())
    gradients = torch.autograd.grad(error, tracked[first:]) if first < len(layers) else ()
    return float(error.detach()), [gradient.numpy() for gradient in gradients]


def natively(
    isa: str,
    spec: SirenSpec,
    layers: Sequence[torch.Tensor],
    coordinates: torch.Tensor,
    targets: torch.Tensor,
    first: int = 0,
    threads: int = 1,
    centre: float = OUTPUT_CENTRE,
) -> tuple[float, list[np.ndarray]]:
    assert EXTENSION is not None
    shape = (spec.inputs, spec.outputs, spec.depth, spec.width)
    step = EXTENSION.SirenFit(isa, shape, spec.omega_0, centre, threads)
    parameters = np.concatenate([layer.numpy().ravel() for layer in layers])
    sizes = [layer.numel() for layer in layers[first:]]
    gradient = np.full(sum(sizes), np.nan, np.float32)
    error = step.step(parameters, coordinates.numpy(), targets.numpy(), first, gradient)
    parts = np.split(gradient, np.cumsum(sizes)[:-1]) if sizes else []
    return error, [
        part.reshape(layer.shape) for part, layer in zip(parts, layers[first:], strict=True)
    ]


def assert_same(
    ours: tuple[float, list[np.ndarray]], theirs: tuple[float, list[np.ndarray]]
) -> None:
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert len(ours[1]) == len(theirs[1])
    for mine, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-4 * np.abs(other).max() + 1e-12)


@every_isa
@settings(deadline=None, max_examples=30, derandomize=True)
@given(spec=SPECS, points=st.integers(1, 700), threads=st.integers(1, 2), data=st.data())
def test_gradients_are_those_of_torch(
    isa: str, spec: SirenSpec, points: int, threads: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, spec.depth + 1))
    layers, coordinates, targets = problem(spec, points, seed=points)
    # Neither chaos between the layers nor an error near nought, or float32 has no right digits.
    layers = [layers[0], *(layer * 0.4 for layer in layers[1:-1]), layers[-1]]
    given_ = layers, coordinates, targets + 1.5
    assert_same(natively(isa, spec, *given_, first, threads), by_torch(spec, *given_, first))


@every_isa
@pytest.mark.parametrize("spec", [SirenSpec(2, 3, 0, 0), SirenSpec(2, 3, 10, 28)])
def test_a_minibatch_is_that_of_torch(isa: str, spec: SirenSpec) -> None:
    given_ = problem(spec, 5003)
    assert_same(natively(isa, spec, *given_, threads=2), by_torch(spec, *given_))


@every_isa
def test_threads_make_no_difference(isa: str) -> None:
    spec = SirenSpec(2, 3, 4, 19)
    for points in (3, 5003):
        given_ = problem(spec, points)
        error, gradients = natively(isa, spec, *given_)
        for threads in (2, 7):
            again, same = natively(isa, spec, *given_, threads=threads)
            assert again == error
            assert all(map(np.array_equal, same, gradients))


@every_isa
def test_sine_and_cosine_are_right_to_ten_thousand(isa: str) -> None:
    # 0.5 + 0.5 sin(x): its error from nought and the slope of that give both.
    spec = SirenSpec(1, 1, 1, 1, 1.0)
    layers = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.0]])]
    target = torch.zeros(1, 1)
    generator = np.random.default_rng(0)
    for reach in (1, 30, 1e3, 1e4):
        for x in generator.uniform(-reach, reach, 150).astype(np.float32):
            error, (hidden, _) = natively(isa, spec, layers, torch.tensor([[x]]), target)
            value = math.sqrt(error)
            assert abs(2 * value - 1 - math.sin(x)) <= 2e-6
            assert abs(hidden[0, 1] - value * math.cos(x)) <= 2e-6


@every_isa
@pytest.mark.parametrize("weight", [1e3, 1e6, 1e12])
def test_arguments_beyond_that_are_still_right(isa: str, weight: float) -> None:
    spec = SirenSpec(1, 2, 1, 3, 32.0)
    layers, _, targets = problem(spec, 1)
    layers[0] = torch.tensor([[weight, 0.0], [-1.7 * weight, 0.0], [0.3, 0.0]])
    given_ = layers, torch.ones(1, 1), targets
    assert_same(natively(isa, spec, *given_), by_torch(spec, *given_))


@every_isa
@pytest.mark.parametrize("odd", [math.nan, math.inf, 3e38])
def test_odd_numbers_do_no_harm(isa: str, odd: float) -> None:
    spec = SirenSpec(2, 3, 2, 17)
    layers, coordinates, targets = problem(spec, 130)
    for index in range(len(layers)):
        wild = [layer.clone() for layer in layers]
        wild[index][0] = odd
        error, _ = natively(isa, spec, wild, coordinates, targets, threads=2)
        # So that a fit that diverged is seen.
        assert not math.isnan(odd) or math.isnan(error)
    error, _ = natively(isa, spec, layers, coordinates * odd, targets)
    error, gradients = natively(isa, spec, layers, coordinates, targets)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@built
def test_what_does_not_fit_is_refused() -> None:
    assert EXTENSION is not None
    isa, shape = AVAILABLE[-1], (2, 3, 2, 5)
    step = EXTENSION.SirenFit(isa, shape, 30.0, 0.5, 2)
    parameters, points = np.zeros(15 + 30 + 18, np.float32), np.zeros((7, 2), np.float32)
    targets, rest = np.zeros((7, 3), np.float32), np.zeros(48, np.float32)
    step.step(parameters, points, targets, 1, rest)
    nothing = np.zeros(0, np.float32)
    for arguments, said in (
        ((parameters[1:], points, targets, 1, rest), "parameters: 63"),
        ((parameters, points[:, :1].copy(), targets, 1, rest), "coordinates"),
        ((parameters, points[:0], targets[:0], 1, rest), "at least one point"),
        ((parameters, points, targets[1:], 1, rest), "targets"),
        ((parameters, points, targets[:, 1:].copy(), 1, rest), "targets"),
        ((parameters, points, targets, 0, rest), "gradient: 63"),
        ((parameters, points, targets, 3, rest), "gradient: 0"),
        ((parameters, points, targets, 4, nothing), "first"),
    ):
        with pytest.raises(ValueError, match=said):
            step.step(*arguments)
    for wrong in (
        (parameters.astype(np.float64), points, targets, 1, rest),
        (parameters, points.T, targets, 1, rest),
        (parameters, points, targets, -1, rest),
    ):
        with pytest.raises(TypeError):
            step.step(*wrong)
    for arguments, said in (
        (("sse9", shape, 30.0, 0.5, 1), "isa"),
        ((isa, (0, 3, 2, 5), 30.0, 0.5, 1), "shape"),
        ((isa, (2, 3, 2, 0), 30.0, 0.5, 1), "shape"),
        ((isa, (2, 3, 2, 2**40), 30.0, 0.5, 1), "shape"),
        ((isa, shape, math.nan, 0.5, 1), "omega_0"),
        ((isa, shape, 30.0, 0.5, 0), "threads"),
        ((isa, shape, 30.0, 0.5, 10**6), "threads"),
    ):
        with pytest.raises(ValueError, match=said):
            EXTENSION.SirenFit(*arguments)


# What a fit does with it


@built
def test_both_steps_mean_the_same(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    spec = SirenSpec(2, 3, 5, 12)
    layers, _, _ = problem(spec, 1)
    with working("cpu") as workers:
        samples = Samples(from_array(photo), "cpu", 0, workers)
        indices = next(samples.batches(1000))
        for fixed in (0, 2, 5):
            found = []
            for step in (NativeSirenStep(spec, samples), TorchSirenStep(spec, samples)):
                free = [stack.requires_grad_() for stack in stacked(layers[fixed:])]
                error = step.descend(layers[:fixed], free, indices)
                assert error == pytest.approx(step.error(layers, indices), rel=1e-5)
                found.append((error, [stack.grad.numpy() for stack in free]))
            assert_same(*found)


def test_the_choice_is_that_of_the_environment(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, samples = SirenSpec(2, 3, 2, 5), Samples(from_array(photo), "cpu", 0)
    monkeypatch.setenv(choice.VARIABLE, choice.OFF)
    assert isinstance(step_for(spec, samples), TorchSirenStep)
    with pytest.raises(UsageError, match="switched off"):
        NativeSirenStep(spec, samples)
    if EXTENSION is not None:
        monkeypatch.setenv(choice.VARIABLE, AVAILABLE[0])
        assert isinstance(step_for(spec, samples), NativeSirenStep)
        samples.device = "cuda"
        assert isinstance(step_for(spec, samples), TorchSirenStep)


@built
def test_a_descent_comes_to_what_it_comes_to_in_torch(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By Adam: SOAP turns the last bits of a gradient into tenths of a dB, torch's own included.
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    spec, reached = SirenSpec(2, 3, 3, 16), []
    samples = Samples(from_array(photo), "cpu", 0)
    everything = samples.some(samples.positions)
    for step in (NativeSirenStep(spec, samples), TorchSirenStep(spec, samples)):
        start = initial_stacks(spec, torch.Generator().manual_seed(0), 1.0)
        stacks = [stack.requires_grad_() for stack in start]
        optimiser = torch.optim.Adam(stacks, lr=2e-3)
        before = psnr_of(step.error(layers_of(stacks), everything))
        for _ in range(30):
            step.descend([], stacks, everything)
            optimiser.step()
        reached.append(psnr_of(step.error(layers_of(stacks), everything)))
        assert reached[-1] > before + 3
    assert reached[0] == pytest.approx(reached[1], abs=0.05)
