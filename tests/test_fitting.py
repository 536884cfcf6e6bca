"""Checks the parts of the encoder: descent, curvature, rounding, samples, schedules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.coding.quantize import dequantize, step_size
from inrcodec.coding.weights import pack_weights
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting import samples as samples_module
from inrcodec.fitting.architecture import architecture
from inrcodec.fitting.curvature import feedback_matrix, layer_curvatures, row_blocks
from inrcodec.fitting.fit import fit, measure
from inrcodec.fitting.objective import psnr_of, squared_error
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.presets import PYRAMID_EFFORT
from inrcodec.fitting.rate_control import quantised_psnr
from inrcodec.fitting.refine import Quantised, round_field
from inrcodec.fitting.rounding import (
    RoundedLayer,
    predicted_bits,
    round_layer,
    scale_for_bits,
    scale_for_lambda,
    sensitivities,
)
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, cosine
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import EFFORT, Preset
from inrcodec.fitting.siren_step import evaluate
from inrcodec.fitting.stacks import initial_stacks, layers_of, named, stacked
from inrcodec.fitting.workers import Workers
from inrcodec.query.kernels import reference
from inrcodec.query.lattice import lattice_coordinates
from inrcodec.signal import Axis, Signal, SignalInfo, full_range

PRESET = Preset(steps=120, rounding_steps=10)

quick = settings(deadline=None, max_examples=30)


def random_layers(
    spec: SirenSpec, seed: int, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [layer.to(dtype) for layer in layers_of(initial_stacks(spec, generator, 1.0))]


def random_points(count: int, axes: int, seed: int, low: float = -1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, axes, generator=generator) * (1 - low) + low


def noise(lattice: Sequence[int], channels: int, dtype: str, seed: int = 0) -> Signal:
    top = full_range(dtype)[1]
    values = np.random.default_rng(seed).uniform(0, top, (*lattice, channels))
    axes = tuple(
        Axis(name, size) for name, size in zip("tzyx"[-len(lattice) :], lattice, strict=True)
    )
    names = tuple(f"channel{index}" for index in range(channels))
    return Signal(values.astype(dtype), SignalInfo(axes, names, dtype, full_range(dtype)))


# Descent


def matrix_problem(seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """|A (W - T) B|^2 for A and B of condition 100."""
    generator = torch.Generator().manual_seed(seed)

    def ill(size: int) -> torch.Tensor:
        rotations = [
            torch.linalg.qr(torch.randn(size, size, generator=generator))[0] for _ in range(2)
        ]
        return rotations[0] @ torch.diag(torch.logspace(0, -2, size)) @ rotations[1]

    a, b = ill(8), ill(6)
    target = torch.randn(8, 6, generator=generator)
    return lambda w: (a @ (w - target) @ b).square().sum()


def soap_descent(
    problems: Sequence[Callable[[torch.Tensor], torch.Tensor]], steps: int, rate: float
) -> list[float]:
    """Losses after a descent from zero of all problems in one stack."""
    stack = torch.zeros(len(problems), 8, 6, requires_grad=True)
    optimiser = Soap([stack])
    for step in range(steps):
        torch.stack([p(w) for p, w in zip(problems, stack, strict=True)]).sum().backward()
        optimiser.step(rate * cosine(step / steps))
    return [float(p(w)) for p, w in zip(problems, stack.detach(), strict=True)]


def adam_descent(problem: Callable[[torch.Tensor], torch.Tensor], steps: int, rate: float) -> float:
    w = torch.zeros(8, 6, requires_grad=True)
    optimiser = torch.optim.Adam([w], betas=(0.95, 0.95))
    for step in range(steps):
        optimiser.zero_grad()
        problem(w).backward()
        optimiser.param_groups[0]["lr"] = rate * cosine(step / steps)
        optimiser.step()
    return float(problem(w.detach()))


def test_soap_beats_adam_where_directions_differ_in_scale() -> None:
    problems = [matrix_problem(seed) for seed in range(4)]
    ours = soap_descent(problems, 300, 0.1)
    for problem, loss in zip(problems, ours, strict=True):
        best_adam = min(adam_descent(problem, 300, rate) for rate in (0.03, 0.1, 0.3))
        assert loss < best_adam / 3


def test_soap_gives_the_same_every_time() -> None:
    problems = [matrix_problem(seed) for seed in range(2)]
    assert soap_descent(problems, 60, 0.03) == soap_descent(problems, 60, 0.03)


def test_matrices_of_a_stack_descend_alone() -> None:
    problems = [matrix_problem(seed) for seed in range(3)]
    alone = [soap_descent([problem], 60, 0.03)[0] for problem in problems]
    np.testing.assert_allclose(soap_descent(problems, 60, 0.03), alone, rtol=1e-3)


def test_step_clears_the_gradient() -> None:
    stack = torch.ones(2, 3, 4, requires_grad=True)
    optimiser = Soap([stack])
    for _ in range(2):
        stack.square().sum().backward()
        optimiser.step(0.1)
        assert stack.grad is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (2, 5, 1), (1, 7, 2)])
def test_soap_takes_every_shape(shape: tuple[int, int, int]) -> None:
    stack = torch.ones(shape, requires_grad=True)
    optimiser = Soap([stack])
    for _ in range(100):
        stack.square().sum().backward()
        optimiser.step(0.05)
    assert float(stack.detach().square().mean()) < 0.1


@pytest.mark.parametrize("change", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("shape", [(1, 5, 1), (1, 7, 2), (2, 28, 3), (2, 3, 29), (1, 12, 12)])
def test_no_step_is_much_longer_than_its_rate(shape: tuple[int, int, int], change: float) -> None:
    """Gradients of rank one, as of few outputs or inputs, leave most of the bases open."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape[0], size, 1, generator=generator) for size in shape[1:])
    stack = torch.zeros(shape, requires_grad=True)
    optimiser = Soap([stack])
    for _ in range(40):
        before = stack.detach().clone()
        (stack * (left @ right.mT)).sum().backward()
        optimiser.step(0.01)
        assert float((stack.detach() - before).square().mean().sqrt()) < 0.04
        left = left + change * torch.randn(left.shape, generator=generator)
        right = right + change * torch.randn(right.shape, generator=generator)


def test_zero_gradient_moves_nothing_far() -> None:
    stack = torch.ones(1, 3, 4, requires_grad=True)
    optimiser = Soap([stack])
    for _ in range(30):
        (stack * 0).sum().backward()
        optimiser.step(0.1)
    assert torch.equal(stack.detach(), torch.ones(1, 3, 4))


def test_fit_approaches_the_signal_and_keeps_the_best(photo: np.ndarray) -> None:
    samples = Samples(from_array(photo), "cpu", 0)
    spec = SirenSpec(2, 3, 3, 12)
    seen: list[float] = []
    descent = fit(spec, samples, PRESET, 0, Budget(), lambda *news: seen.append(news[2]))
    flat = psnr_of(float((photo / 255).var((0, 1)).mean()))
    everything = samples.some(samples.positions)
    assert descent.steps == PRESET.steps
    assert descent.best_psnr == seen[-1] == max(seen) > flat + 1
    reached = measure(spec, layers_of(descent.best), samples, everything)
    assert math.isclose(reached, descent.best_psnr, abs_tol=1e-3)


def test_seed_decides_the_fit(photo: np.ndarray) -> None:
    def run(seed: int) -> list[torch.Tensor]:
        samples = Samples(from_array(photo), "cpu", seed)
        return fit(SirenSpec(2, 3, 2, 8), samples, PRESET, seed, Budget()).best

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


# Networks


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_torch_and_numpy_mean_the_same_field(depth: int) -> None:
    spec = SirenSpec(2, 3, depth, 7 * bool(depth))
    layers, points = random_layers(spec, depth), random_points(50, 2, depth)
    field = Field(spec, {name: array.numpy() for name, array in named(layers).items()})
    ours = reference.evaluate(field, points.numpy())
    np.testing.assert_allclose(evaluate(spec, layers, points).numpy(), ours, atol=1e-5)


def test_stacks_hold_the_layers() -> None:
    spec = SirenSpec(2, 3, 4, 7)
    layers = random_layers(spec, 0)
    stacks = stacked(layers)
    assert [tuple(stack.shape) for stack in stacks] == [(1, 7, 3), (3, 7, 8), (1, 3, 8)]
    assert all(torch.equal(a, b) for a, b in zip(layers_of(stacks), layers, strict=True))
    arrays = named(layers)
    assert [(t.name, t.shape) for t in spec.tensors()] == [
        (name, tuple(array.shape)) for name, array in arrays.items()
    ]


@quick
@given(
    bits=st.floats(0, 1e7),
    more=st.floats(1, 100),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
)
def test_more_bits_never_give_a_smaller_network(
    bits: float, more: float, inputs: int, outputs: int
) -> None:
    small, large = (architecture(b, inputs, outputs) for b in (bits, bits * more))
    assert small.parameter_count <= large.parameter_count
    if small.depth:
        assert small.parameter_count <= bits
    assert (small.inputs, small.outputs) == (inputs, outputs)


# Loss


def test_overshoot_costs_nothing() -> None:
    values = torch.tensor([[-0.5, 1.5, 0.25]])
    assert float(squared_error(values, torch.tensor([[0.0, 1.0, 0.25]]))) == 0
    assert float(squared_error(values, torch.tensor([[0.0, 0.0, 0.25]]))) == pytest.approx(1 / 3)


@quick
@given(value=st.floats(-3, 4), target=st.floats(0, 1))
def test_gradient_passes_the_clamp(value: float, target: float) -> None:
    values = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    squared_error(values, torch.tensor([target], dtype=torch.float64)).backward()
    assert values.grad is not None
    clamped = min(max(value, 0.0), 1.0)
    assert float(values.grad) == pytest.approx(2 * (clamped - target), abs=1e-12)


def test_psnr_of_errors() -> None:
    assert psnr_of(0.0) == math.inf
    assert psnr_of(1.0) == 0
    assert psnr_of(0.01) == pytest.approx(20)
    assert psnr_of(math.inf) == -math.inf
    assert math.isnan(psnr_of(math.nan))


# Samples


@pytest.mark.parametrize("lattice", [(7,), (5, 4), (4, 5), (1, 1), (3, 4, 5), (1, 9)], ids=str)
def test_samples_lie_where_the_decoder_asks(lattice: tuple[int, ...]) -> None:
    signal = noise(lattice, 2, "uint8")
    samples = Samples(signal, "cpu", 0)
    along = [
        lattice_coordinates(signal.info, lattice, axis, np.arange(size))
        for axis, size in enumerate(lattice)
    ]
    expected = np.stack(np.meshgrid(*along, indexing="ij"), -1).reshape(-1, len(lattice))
    indices = torch.arange(samples.positions)
    np.testing.assert_allclose(samples.coordinates(indices).numpy(), expected, atol=2e-7)
    values = signal.samples.reshape(-1, 2) / 255.0
    np.testing.assert_allclose(samples.targets(indices).numpy(), values, atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_targets_span_nought_to_one(dtype: str) -> None:
    low, high = full_range(dtype)
    info = SignalInfo((Axis("x", 3),), ("grey",), dtype, (low, high))
    ramp = np.array([[low], [low + (high - low) // 2], [high]], dtype)
    targets = Samples(Signal(ramp, info), "cpu", 0).targets(torch.arange(3))[:, 0]
    assert float(targets[0]) == 0
    assert float(targets[2]) == 1


@pytest.mark.parametrize("size", [1, 4, 12, 60, 1000])
def test_a_pass_sees_every_position_once(size: int) -> None:
    samples = Samples(noise((12, 5), 1, "uint8"), "cpu", 3)
    batches = samples.batches(size)
    for _ in range(3):
        seen = torch.cat([next(batches) for _ in range(60 // min(size, 60))])
        assert sorted(seen.tolist()) == list(range(60))


def test_batches_are_of_one_size_and_reach_everything() -> None:
    samples = Samples(noise((11, 5), 1, "uint8"), "cpu", 3)
    batches = list(itertools.islice(samples.batches(16), 60))
    assert {len(batch) for batch in batches} == {16}
    for start in range(0, 60, 3):
        seen = torch.cat(batches[start : start + 3]).tolist()
        assert len(set(seen)) == len(seen)
    assert set(torch.cat(batches).tolist()) == set(range(55))


def test_seed_decides_the_order() -> None:
    orders = [
        next(Samples(noise((12, 5), 1, "uint8"), "cpu", seed).batches(60)).tolist()
        for seed in (4, 4, 5)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_large_signals_are_drawn_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples_module, "SHUFFLE_LIMIT", 50)
    samples = Samples(noise((12, 5), 1, "uint8"), "cpu", 3)
    batches = list(itertools.islice(samples.batches(16), 60))
    assert {len(batch) for batch in batches} == {16}
    assert set(torch.cat(batches).tolist()) == set(range(60))


@pytest.mark.parametrize("count", [1, 7, 60, 100])
def test_watched_positions_are_always_the_same(count: int) -> None:
    samples = Samples(noise((12, 5), 1, "uint8"), "cpu", 3)
    some = samples.some(count)
    assert len(some) == min(count, 60)
    assert some.min() >= 0
    assert some.max() < 60
    if count >= 60:
        assert sorted(some.tolist()) == list(range(60))
    next(samples.batches(60))
    assert torch.equal(samples.some(count), some)


# Schedules


def test_schedule_warms_up_and_ends_at_its_floor() -> None:
    assert 0 < cosine(0.0) < 0.2
    assert cosine(1.0) == pytest.approx(0, abs=1e-12)
    assert cosine(1.0, 0.1) == pytest.approx(0.1)
    assert cosine(1.7, 0.1) == pytest.approx(0.1)
    rates = [cosine(share / 1000, 0.05) for share in range(1001)]
    peak = rates.index(max(rates))
    assert 0.9 < max(rates) <= 1
    assert peak < 100
    assert all(a <= b for a, b in pairwise(rates[: peak + 1]))
    assert all(a >= b for a, b in pairwise(rates[peak:]))


def test_no_limit_is_never_used_up() -> None:
    assert Budget().elapsed() == 0
    assert Budget(seconds=10, started=-1e9).elapsed() > 1
    assert 0 <= Budget(seconds=1e6).elapsed() < 0.01


def test_more_effort_never_takes_fewer_steps() -> None:
    presets = [EFFORT[effort] for effort in sorted(EFFORT)]
    assert sorted(EFFORT) == list(range(1, 10))
    assert all(a.steps < b.steps for a, b in pairwise(presets))
    assert all(a.rounding_steps <= b.rounding_steps for a, b in pairwise(presets))
    assert Settings(effort=3, steps=77).preset().steps == 77


def test_more_effort_never_takes_a_smaller_pyramid_or_fewer_steps() -> None:
    presets = [PYRAMID_EFFORT[effort] for effort in sorted(PYRAMID_EFFORT)]
    assert PYRAMID_EFFORT.keys() == EFFORT.keys()
    assert all(a.steps < b.steps for a, b in pairwise(presets))
    assert all(a.tuning_steps <= b.tuning_steps for a, b in pairwise(presets))
    assert all(sum(a.contexts) <= sum(b.contexts) for a, b in pairwise(presets))
    assert all(sum(a.synthesis) <= sum(b.synthesis) for a, b in pairwise(presets))
    chosen = Settings(effort=3, steps=77, net="4-5/6/1").pyramid_preset()
    assert chosen.steps == 77
    assert (chosen.contexts, chosen.synthesis, chosen.residuals) == ((4, 5), (6,), 1)
    plain = Settings(net="//0").pyramid_preset()
    assert (plain.contexts, plain.synthesis, plain.residuals) == ((), (), 0)


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ({}, "pyramid"),
        ({"bpp": 1.0}, "pyramid"),
        ({"net": "10x28"}, "siren"),
        ({"net": "12-12/24/2"}, "pyramid"),
        ({"kind": "siren"}, "siren"),
    ],
    ids=str,
)
def test_net_says_which_kind_is_meant(named: dict[str, Any], kind: str) -> None:
    assert Settings(**named).chosen_kind == kind


# Curvature


def flat_error(
    spec: SirenSpec, layers: Sequence[torch.Tensor], index: int, points: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Mean squared deviation of the field when layer `index` becomes a flat vector's matrix."""
    wanted = evaluate(spec, layers, points)

    def error(flat: torch.Tensor) -> torch.Tensor:
        changed = [*layers[:index], flat.reshape(layers[index].shape), *layers[index + 1 :]]
        return (evaluate(spec, changed, points) - wanted).square().mean()

    return error


@pytest.mark.parametrize("index", [0, 1, 2])
def test_curvature_is_half_the_hessian_of_the_error(index: int) -> None:
    spec = SirenSpec(2, 3, 2, 4)
    layers = random_layers(spec, 5, torch.float64)
    points = random_points(40, 2, 6).double()
    error = flat_error(spec, layers, index, points)
    hessian = torch.autograd.functional.hessian(error, layers[index].flatten())
    rows, columns = layers[index].shape
    (whole,) = layer_curvatures(spec, layers, index, points, [slice(0, rows)])
    torch.testing.assert_close(whole, hessian / 2, rtol=1e-9, atol=1e-12)
    parts = layer_curvatures(spec, layers, index, points, [slice(0, 1), slice(1, rows)])
    torch.testing.assert_close(parts[0], whole[:columns, :columns])
    torch.testing.assert_close(parts[1], whole[columns:, columns:])


def test_curvature_foretells_the_error_of_a_small_change() -> None:
    spec = SirenSpec(2, 3, 2, 4)
    layers = random_layers(spec, 7, torch.float64)
    points = random_points(60, 2, 8).double()
    generator = torch.Generator().manual_seed(9)
    for index, layer in enumerate(layers):
        change = 1e-6 * torch.randn(layer.numel(), generator=generator, dtype=torch.float64)
        (curvature,) = layer_curvatures(spec, layers, index, points, [slice(0, len(layer))])
        error = flat_error(spec, layers, index, points)(layer.flatten() + change)
        assert float(error) == pytest.approx(float(change @ curvature @ change), rel=1e-3)


@quick
@given(rows=st.integers(1, 300), columns=st.integers(1, 300))
def test_blocks_tile_the_rows(rows: int, columns: int) -> None:
    blocks = row_blocks(rows, columns)
    assert [row for block in blocks for row in range(rows)[block]] == list(range(rows))
    assert all(block.stop > block.start for block in blocks)


def random_curvature(size: int, points: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(points, size, generator=generator, dtype=torch.float64)
    return jacobian.mT @ jacobian / points


@pytest.mark.parametrize("seed", range(3))
def test_feedback_costs_the_least_that_fixing_a_parameter_can(seed: int) -> None:
    curvature = random_curvature(7, 50, seed)
    upper = feedback_matrix(curvature)
    assert np.array_equal(upper, np.triu(upper))
    damped = np.linalg.inv(upper.T @ upper)
    np.testing.assert_allclose(damped, curvature.numpy(), atol=0.01 * float(curvature.max()))
    for i in range(7):
        later = slice(i + 1, 7)
        own = damped[i, i]
        if i < 6:
            coupling = damped[later, i]
            own -= coupling @ np.linalg.solve(damped[later, later], coupling)
        assert 1 / upper[i, i] ** 2 == pytest.approx(own, rel=1e-6)


@pytest.mark.parametrize("points", [1, 5, 60])
@pytest.mark.parametrize("spread", [0, 3, 6])
def test_feedback_is_finite_whatever_the_curvature(points: int, spread: int) -> None:
    """As of pictures with fewer points than parameters, and of units that are all but dead."""
    generator = torch.Generator().manual_seed(points)
    jacobian = torch.randn(points, 60, generator=generator) * torch.logspace(0, -spread, 60)
    for curvature in (jacobian.mT @ jacobian, torch.zeros(60, 60)):
        upper = feedback_matrix(curvature.double())
        assert np.isfinite(upper).all()
        assert (np.diagonal(upper) > 0).all()


# Rounding


def rounded_at(
    spec: SirenSpec, layers: list[torch.Tensor], index: int, points: torch.Tensor, bits: float
) -> RoundedLayer:
    own = sensitivities(spec, layers, points, Workers())[index]
    scale = scale_for_bits([layers[index]], [own], bits * layers[index].numel())
    return round_layer(spec, layers, index, points, own, scale)


def steps_of(rounded: RoundedLayer) -> np.ndarray:
    steps = np.full(rounded.values.shape, step_size(rounded.recipes[0].step))
    steps[:, -1] = step_size(rounded.recipes[1].step)
    return steps


def cost(curvature: torch.Tensor, error: np.ndarray) -> float:
    flat = error.ravel()
    return float(flat @ curvature.double().numpy() @ flat)


@pytest.mark.parametrize("bits", [3.0, 5.0])
@pytest.mark.parametrize(
    ("spec", "index"), [(SirenSpec(2, 3, 2, 8), 1), (SirenSpec(2, 3, 1, 10), 1)]
)
def test_feedback_errs_less_than_nearest(spec: SirenSpec, index: int, bits: float) -> None:
    ours, nearest = [], []
    for seed in range(8):
        layers, points = random_layers(spec, seed), random_points(400, 2, seed)
        rounded = rounded_at(spec, layers, index, points, bits)
        layer = layers[index].double().numpy()
        steps = steps_of(rounded)
        (curvature,) = layer_curvatures(spec, layers, index, points, [slice(0, len(layer))])
        ours.append(cost(curvature, rounded.values - layer))
        nearest.append(cost(curvature, np.rint(layer / steps) * steps - layer))
    assert np.mean(ours) < np.mean(nearest)


def test_rounding_of_two_parameters_is_the_best_there_is() -> None:
    spec = SirenSpec(1, 1, 0, 0)
    ratios = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        layer = torch.tensor(generator.normal(0, 1, (1, 2)), dtype=torch.float32)
        points = random_points(50, 1, seed, low=-0.8)
        rounded = rounded_at(spec, [layer], 0, points, 14)
        steps = steps_of(rounded)
        (curvature,) = layer_curvatures(spec, [layer], 0, points, [slice(0, 1)])
        exact = layer.double().numpy() / steps
        best = min(
            cost(curvature, (np.floor(exact) + offset - exact) * steps)
            for offset in itertools.product(range(-2, 4), repeat=2)
        )
        ratios.append(cost(curvature, rounded.values - layer.numpy()) / best)
    assert min(ratios) > 0.99
    assert np.quantile(ratios, 0.8) < 1.01
    assert np.mean(ratios) < 1.1


def test_fine_steps_lose_nothing() -> None:
    spec = SirenSpec(2, 3, 2, 6)
    layers, points = random_layers(spec, 0), random_points(300, 2, 0)
    for index, layer in enumerate(layers):
        rounded = rounded_at(spec, layers, index, points, 16)
        error = np.abs(rounded.values - layer.numpy())
        assert error.max() < 1e-2 * float(layer.abs().max())


def test_values_are_what_the_decoder_sees() -> None:
    spec = SirenSpec(2, 3, 2, 6)
    layers, points = random_layers(spec, 0), random_points(300, 2, 0)
    rounded = [rounded_at(spec, layers, index, points, 5) for index in range(3)]
    symbols, recipes = {}, []
    for index, one in enumerate(rounded):
        symbols |= {f"weight{index}": one.weights, f"bias{index}": one.biases}
        recipes += one.recipes
    field = dequantize(spec, symbols, recipes)
    for index, one in enumerate(rounded):
        np.testing.assert_array_equal(field.parameters[f"weight{index}"], one.values[:, :-1])
        np.testing.assert_array_equal(field.parameters[f"bias{index}"], one.values[:, -1])


@pytest.mark.parametrize("per_parameter", [2.0, 4.0, 8.0, 12.0])
@pytest.mark.parametrize("seed", range(3))
def test_scale_is_the_finest_that_the_bits_allow(per_parameter: float, seed: int) -> None:
    spec = SirenSpec(2, 3, 3, 9)
    layers = random_layers(spec, seed)
    sensitivity = sensitivities(spec, layers, random_points(300, 2, seed), Workers())
    bits = per_parameter * spec.parameter_count
    scale = scale_for_bits(layers, sensitivity, bits)
    assert predicted_bits(layers, sensitivity, scale) <= bits
    assert predicted_bits(layers, sensitivity, scale * (1 - 1e-6)) > bits


def test_bits_fall_as_the_scale_grows() -> None:
    spec = SirenSpec(2, 3, 3, 9)
    layers = random_layers(spec, 0)
    sensitivity = sensitivities(spec, layers, random_points(300, 2, 0), Workers())
    bits = [predicted_bits(layers, sensitivity, 2.0**power) for power in range(-20, 10)]
    assert bits == sorted(bits, reverse=True)
    assert scale_for_lambda(1e-3, 1000) < scale_for_lambda(1e-2, 1000)
    assert scale_for_lambda(1e-3, 1000) > scale_for_lambda(1e-3, 4000)


@pytest.fixture(scope="module")
def fitted(photo: np.ndarray) -> tuple[SirenSpec, list[torch.Tensor], Samples]:
    samples = Samples(from_array(photo), "cpu", 0)
    spec = SirenSpec(2, 3, 3, 20)
    return spec, layers_of(fit(spec, samples, PRESET, 0, Budget()).best), samples


@pytest.mark.parametrize("per_parameter", [3.5, 5.0, 8.0])
def test_rounding_spends_what_it_is_given(
    fitted: tuple[SirenSpec, list[torch.Tensor], Samples], per_parameter: float
) -> None:
    spec, layers, samples = fitted
    bits = per_parameter * spec.parameter_count
    done = round_field(spec, layers, samples, PRESET, Budget(), bits=bits)
    spent = 8 * len(pack_weights(spec, done.symbols, done.recipes))
    assert spent == pytest.approx(bits, rel=0.03)
    assert done.bits == pytest.approx(bits, rel=0.05)


def test_more_bits_leave_less_error(
    fitted: tuple[SirenSpec, list[torch.Tensor], Samples],
) -> None:
    spec, layers, samples = fitted

    def quality(done: Quantised) -> float:
        return quantised_psnr(spec, done, samples)

    def asked(**how: float) -> Quantised:
        return round_field(spec, layers, samples, PRESET, Budget(), **how)

    count = spec.parameter_count
    by_bits = [quality(asked(bits=bits * count)) for bits in (2.5, 4, 8)]
    by_weight = [quality(asked(rate_weight=weight)) for weight in (1e-2, 1e-3, 1e-5)]
    assert by_bits == sorted(by_bits)
    assert by_weight == sorted(by_weight)
    whole = measure(spec, layers, samples, samples.some(samples.positions))
    assert quality(asked(bits=14.0 * count)) > whole - 0.2


def test_rounding_leaves_the_field_alone(
    fitted: tuple[SirenSpec, list[torch.Tensor], Samples],
) -> None:
    spec, layers, samples = fitted
    before = [layer.clone() for layer in layers]
    round_field(spec, layers, samples, PRESET, Budget(), bits=5.0 * spec.parameter_count)
    assert all(torch.equal(a, b) for a, b in zip(layers, before, strict=True))
