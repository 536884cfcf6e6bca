"""Checks fits of pyramids: targets met, rounding that costs little, endings that lose nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.bitstream.container import Section, pack_section, unpack
from inrcodec.bitstream.wire import SectionType
from inrcodec.codec import Encoded, as_signal, encode_signal
from inrcodec.coding import weights
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.native_latents import code_length
from inrcodec.coding.quantize import dequantize
from inrcodec.coding.tiles import pack_latents
from inrcodec.coding.weights import pack_weights
from inrcodec.errors import InrcodecError, TargetMissedError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting import pyramid_part, pyramid_spec, schedule
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import PyramidState, descend, loss, tune_networks
from inrcodec.fitting.pyramid_fit import fit_pyramid
from inrcodec.fitting.pyramid_networks import Networks, random_networks
from inrcodec.fitting.pyramid_result import FittedPyramid, Probe, rounded
from inrcodec.fitting.pyramid_rounding import curvatures, round_array, round_networks
from inrcodec.fitting.pyramid_spec import chosen_spec, probe_window, section_bytes
from inrcodec.fitting.pyramid_step import Step
from inrcodec.fitting.pyramid_targets import (
    WEIGHTS,
    PyramidGoal,
    Steered,
    bounded,
    corrected,
    weight_of_bpp,
    weight_of_psnr,
    weight_of_quality,
)
from inrcodec.fitting.pyramid_trim import trimmed_to
from inrcodec.fitting.schedule import Budget, quiet
from inrcodec.fitting.settings import Settings
from inrcodec.native_choice import VARIABLE, instruction_set
from inrcodec.signal import Axis, Signal, SignalInfo

QUICK = PyramidPreset(steps=50, tuning_steps=2, contexts=(8,), synthesis=(12,), residuals=1)

few = settings(deadline=None, max_examples=30)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """72 x 64 RGB samples of 8 bits."""
    return np.ascontiguousarray(skimage.data.astronaut()[84:156, 196:260])


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def encoded(samples: Any, **settings: Any) -> Encoded:
    usual = {"steps": 60, "net": "8/12/1", "device": "cpu"}
    return encode_signal(as_signal(samples), Settings(**usual | settings))


class Watched:
    """A step that calls back before every evaluation, and may change what steps give."""

    def __init__(
        self,
        step: Any,
        before: Callable[[int], None],
        after: Callable[[int, Step], Step] = lambda _, step: step,
    ) -> None:
        self._step, self._before, self._after, self.count = step, before, after, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def step(self, *arguments: Any, **options: Any) -> Step:
        self.count += 1
        self._before(self.count)
        return self._after(self.count, self._step.step(*arguments, **options))

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        self.count += 1
        self._before(self.count)
        return self._step.evaluate(*arguments, **options)


def spec_of(samples: np.ndarray, preset: PyramidPreset = QUICK) -> PyramidSpec:
    return chosen_spec(as_signal(samples).info, preset)


def target_of(samples: np.ndarray) -> np.ndarray:
    return (as_signal(samples).samples / np.float32(255)).astype(np.float32)


def fitted(
    samples: np.ndarray,
    goal: PyramidGoal,
    preset: PyramidPreset = QUICK,
    budget: Budget | None = None,
    before: Callable[[int], None] = lambda _: None,
    after: Callable[[int, Step], Step] = lambda _, step: step,
) -> FittedPyramid:
    spec = spec_of(samples, preset)
    step: Any = Watched(step_for(spec, target_of(samples), 1), before, after)
    return fit_pyramid(spec, step, 255, goal, preset, 0, budget or Budget(), quiet)


def state_of(spec: PyramidSpec, seed: int = 0) -> PyramidState:
    networks = Networks(spec, random_networks(spec, seed))
    latents = [np.zeros(spec.grid(level), np.float32) for level in range(spec.levels)]
    return PyramidState(networks, latents, math.prod(spec.lattice), 255)


def coded_bytes(fit: FittedPyramid) -> int:
    """Of parameters and latents, without the container."""
    parameters = dequantize(fit.spec, fit.quantised.symbols, fit.quantised.recipes).parameters
    network = IntegerNetwork.of(fit.spec, parameters)
    payloads = pack_latents(fit.spec, network, fit.latents)
    payloads.append(pack_weights(fit.spec, fit.quantised.symbols, fit.quantised.recipes))
    return sum(map(len, payloads))


# Pictures of every kind

GENERATOR = np.random.default_rng(7)
LINES = np.full((64, 64, 1), 255, np.uint8)
LINES[8::12], LINES[:, 30] = 0, 0
np.fill_diagonal(LINES[..., 0], 0)
SPOT = np.zeros((40, 50, 1), np.uint8)
SPOT[17, 23] = 255
BRIGHT = np.uint8(np.clip(np.linspace(200, 300, 48 * 56).reshape(48, 56, 1), 0, 255))


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_colour_is_kept(value: int, channels: int) -> None:
    result = encoded(np.full((24, 40, channels), value, np.uint8))
    assert result.psnr >= 40
    assert len(result.data) < 400


def test_rows_and_columns_of_one_sample(photo: np.ndarray) -> None:
    """At a lambda that makes their few samples worth the networks."""
    for samples in (photo[:1, :1], photo[:1], photo[:, :1], photo[:2, :3]):
        result = encoded(samples, rate_weight=1e-7, steps=90)
        assert inrcodec.decode(result.data).samples.shape == samples.shape
        assert result.psnr >= 30


@pytest.mark.parametrize("samples", [LINES, SPOT, BRIGHT], ids=["lines", "spot", "bright"])
def test_extremes_do_not_collapse(samples: np.ndarray) -> None:
    """What lies beyond the range is clamped, and has no gradient there."""
    constant = -10 * math.log10(float(np.var(samples)) / 255**2)
    result = encoded(samples, quality=75, steps=120)
    assert result.psnr >= constant + 5
    assert result.psnr >= result.float_psnr - 5 or result.psnr >= 35


def test_noise_is_kept_where_it_is_worth_its_bits() -> None:
    samples = GENERATOR.integers(0, 256, (48, 48, 1), np.uint8)
    result = encoded(samples, rate_weight=1e-6, steps=150)
    assert result.psnr >= 10.8 + 5


def test_an_opaque_alpha_costs_little(photo: np.ndarray) -> None:
    samples = np.concatenate([photo, np.full((*photo.shape[:2], 1), 255, np.uint8)], axis=2)
    result, plain = encoded(samples), encoded(photo)
    assert abs(inrcodec.decode(result.data).samples[..., 3].astype(int) - 255).max() <= 2
    assert len(result.data) <= len(plain.data) + 250
    assert result.psnr >= plain.psnr


def test_alpha_and_grey(photo: np.ndarray) -> None:
    shape = np.uint8(255 * (np.hypot(*np.mgrid[-1:1:48j, -1:1:40j]) < 0.7))
    samples = np.stack([photo[..., 1], shape], axis=2)
    result = encoded(samples, quality=75)
    decoded = inrcodec.decode(result.data)
    assert decoded.info.channels == ("grey", "alpha")
    assert result.psnr >= 25


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-3, -5.0), (1e30, 0.0)])
def test_floats_fit_as_well_as_their_integers(
    scale: float, offset: float, photo: np.ndarray
) -> None:
    samples = (photo[:32, :32].astype(np.float64) * scale + offset).astype(np.float32)
    result, integers = encoded(samples, steps=200), encoded(photo[:32, :32], steps=200)
    assert inrcodec.decode(result.data).samples.dtype == np.float32
    # Their range is that of the samples, not 0..255.
    assert abs(result.psnr - integers.psnr) < 3


def test_16_bits_fit_as_well_as_8(photo: np.ndarray) -> None:
    samples = photo[:32, :32]
    wide, narrow = encoded(samples.astype(np.uint16) * 257), encoded(samples)
    assert abs(wide.psnr - narrow.psnr) < 0.3
    assert inrcodec.decode(wide.data).samples.dtype == np.uint16


def test_two_channels_that_are_no_colours() -> None:
    rows, columns = np.mgrid[0:1:30j, 0:1:26j]
    wind = np.stack([20 * np.sin(5 * rows) - 3, 7 * columns * rows], -1).astype(np.float32)
    axes = (Axis("y", 30), Axis("x", 26))
    names = ("channel0", "channel1")
    info = SignalInfo(axes, names, "float32", (float(wind.min()), float(wind.max())))
    result = encode_signal(Signal(wind, info), Settings(steps=120, quality=80, net="4/8/1"))
    decoded = inrcodec.decode(result.data)
    assert decoded.info == info
    assert result.psnr >= 28
    error = decoded.samples - wind
    assert result.psnr == pytest.approx(
        20 * math.log10(np.ptp(wind)) - 10 * math.log10(np.square(error, dtype=float).mean())
    )


# Targets


@pytest.mark.parametrize("bpp", [1.8, 2.6])
def test_a_rate_is_met(bpp: float, face: np.ndarray) -> None:
    result = encoded(face, bpp=bpp, steps=120)
    assert 0.97 * bpp <= result.bpp <= bpp


def test_a_size_is_met(face: np.ndarray) -> None:
    result = encoded(face, target_size=1500, steps=100)
    assert 0.97 * 1500 <= len(result.data) <= 1500


def test_meeting_a_rate_costs_no_quality(face: np.ndarray) -> None:
    """A file of its own size is not much worse than what had that size by its lambda."""
    free = encoded(face, quality=45)
    held = encoded(face, target_size=len(free.data))
    assert held.psnr >= free.psnr - 2


def test_a_rate_with_an_opaque_alpha_is_met(face: np.ndarray) -> None:
    samples = np.concatenate([face, np.full((*face.shape[:2], 1), 255, np.uint8)], axis=2)
    result = encoded(samples, bpp=3)
    # What two tracks may take beside their samples is 3 % of so small a file.
    assert 0.96 * 3 <= result.bpp <= 3


@pytest.mark.parametrize("psnr", [27.0, 31.0])
def test_a_psnr_is_met(psnr: float, face: np.ndarray) -> None:
    assert encoded(face, psnr=psnr, steps=100).psnr == pytest.approx(psnr, abs=0.1)


def test_targets_out_of_reach(photo: np.ndarray) -> None:
    with pytest.raises(TargetMissedError, match=r"95\.00 dB asked"):
        encoded(photo, psnr=95, steps=20)
    with pytest.raises(TargetMissedError, match="40 bytes asked"):
        encoded(photo, target_size=40, steps=20)


def test_a_psnr_that_one_colour_beats_is_no_error() -> None:
    assert encoded(np.full((20, 30, 3), 99, np.uint8), psnr=30).psnr >= 29.9


def test_more_quality_takes_more_bytes(face: np.ndarray) -> None:
    results = [encoded(face, quality=quality) for quality in (25, 50, 75)]
    for less, more in itertools.pairwise(results):
        assert len(less.data) < len(more.data)
        assert less.psnr < more.psnr


def test_lambda_overrides_quality(photo: np.ndarray) -> None:
    weight = weight_of_quality(40)
    assert encoded(photo, quality=40).data == encoded(photo, rate_weight=weight).data


@few
@given(st.floats(1e-4, 64), st.floats(1e-4, 64))
def test_first_weights_fall_with_the_rate(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert WEIGHTS[0] <= weight_of_bpp(high) <= weight_of_bpp(low) <= WEIGHTS[1]
    assert weight_of_psnr(high + 20) <= weight_of_psnr(low + 20)
    assert weight_of_quality(min(high, 100)) <= weight_of_quality(min(low, 100))


@few
@given(st.floats(0.05, 8), st.floats(-1, -0.4), st.floats(0.4, 2.5))
def test_steering_ends_near_the_rate(bpp: float, exponent: float, detail: float) -> None:
    """On a picture whose rate follows the weight at once, by a power."""
    steered = Steered(weight_of_bpp(bpp), bpp=bpp)
    weight = steered.weight
    for share in np.linspace(0, 1, 200):
        reached = bpp * detail * (weight / weight_of_bpp(bpp)) ** exponent
        weight = steered(float(share), 1e-3, reached)
    if WEIGHTS[0] < weight < WEIGHTS[1]:
        assert abs(math.log(reached / bpp)) < 0.3 * abs(math.log(detail)) + 0.02


@few
@given(st.floats(-1, 1), st.floats(-0.9, -0.2))
def test_corrections_home_in_on_a_power_law(excess: float, exponent: float) -> None:
    tried = [(1e-3, excess)]
    for _ in range(6):
        weight = corrected(tried)
        tried.append((weight, excess + exponent * math.log(weight / 1e-3)))
    if WEIGHTS[0] < tried[-1][0] < WEIGHTS[1]:
        assert abs(tried[-1][1]) <= 0.1 * abs(excess) + 1e-9


def test_weights_are_bounded() -> None:
    assert bounded(1e-30) == WEIGHTS[0]
    assert bounded(1e30) == WEIGHTS[1]


def test_descents_survive_gradients_of_few_entries() -> None:
    """A rank of one and equal entries: LAPACK's float32 eigenvectors of this are not numbers."""
    gradient = torch.zeros(1, 1, 25)
    gradient[0, 0, [5, 6, 18, 21, 24]] = torch.tensor([0.0158, 0.0146, 0.0146, 0.0146, 0.0448])
    weights = torch.zeros_like(gradient).requires_grad_()
    soap = Soap([weights])
    for _ in range(30):
        weights.grad = gradient.clone()
        soap.step(1e-2)
    assert torch.isfinite(weights).all()
    assert (weights * gradient).sum() < 0


# The same again


def test_same_seed_same_bytes(photo: np.ndarray) -> None:
    one, other = encoded(photo, seed=3, steps=20), encoded(photo, seed=3, steps=20)
    assert one.data == other.data
    assert encoded(photo, seed=4, steps=20).data != one.data


@pytest.mark.skipif(instruction_set() is None, reason="the extension is not built")
def test_without_the_extension(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch does the same work: the loss is nearly that of the extension."""

    spec = PyramidSpec((20, 18), 3, 3, (4,), (6,), 1)
    target = target_of(photo[:20, :18])
    preset = PyramidPreset(steps=60, tuning_steps=1)
    costs = []
    for native in (instruction_set(), "off"):
        monkeypatch.setenv(VARIABLE, native)
        step, goal = step_for(spec, target, 1), PyramidGoal(rate_weight=1e-4)
        fit = fit_pyramid(spec, step, 255, goal, preset, 0, Budget(), quiet)
        assert 8 * coded_bytes(fit) == pytest.approx(fit.bits, rel=0.02, abs=300)
        costs.append(10 ** (-fit.psnr / 10) + 1e-4 * fit.bits / 360)
    assert costs[1] == pytest.approx(costs[0], rel=0.15)


# Rounding


@pytest.mark.parametrize("kind", ["face", "lines", "bright", "white"])
def test_rounding_the_networks_costs_little(kind: str, face: np.ndarray) -> None:
    """At most half a percent of the loss, or what every parameter's bit is worth."""
    white = np.full((32, 32, 1), 255, np.uint8)
    samples = {"face": face, "lines": LINES, "bright": BRIGHT, "white": white}[kind]
    spec, weight = spec_of(samples), 2e-4
    state = state_of(spec)
    step = step_for(spec, target_of(samples), 1)
    preset = PyramidPreset(steps=120, tuning_steps=10)
    descend(state, step, preset, lambda *_: weight, Budget(), quiet)
    state.latents = [np.floor(plane + np.float32(0.5)) for plane in state.latents]
    tune_networks(state, step, preset, 20, Budget(), 1.0)
    before = loss(state, step)
    quantised = round_networks(state, step, preset, Budget())
    price = weight / state.positions
    assert loss(state, step) <= before * 1.005 + price * spec.parameter_count
    parameters = dequantize(spec, quantised.symbols, quantised.recipes).parameters
    for name, values in state.networks.named().items():
        np.testing.assert_array_equal(values, parameters[name])


@few
@given(st.integers(0, 99), st.floats(-3, 3), st.floats(-3, 3))
def test_symbols_are_the_cheapest_around_each_value(
    seed: int, spread: float, weight: float
) -> None:
    """Distortion and bits together are no more than those of the nearest ones."""
    scaled = np.random.default_rng(seed).laplace(size=200) * 10**spread
    symbols, table = round_array(scaled, 10**weight, 1.0)
    assert np.abs(scaled - symbols).max() < 1

    def cost(symbols: np.ndarray, table: int) -> float:
        bits = weights.code_length(symbols, table)
        return float(10**weight * np.square(scaled - symbols).sum() + bits)

    nearest = np.rint(scaled).astype(np.int32)
    # Escapes are priced only about.
    most = cost(nearest, weights.best_table(nearest))
    assert cost(symbols, table) <= most * 1.02 + 1e-9


@pytest.mark.parametrize("seed", [0, 1])
def test_curvatures_of_a_quadratic(seed: int) -> None:
    """Means of the second derivatives; the off-diagonal ones cancel in the mean."""
    spec = PyramidSpec((8, 8), 3, 2, (6,), (5,), 1)
    state, size = state_of(spec, seed), spec.parameter_count
    random = np.random.default_rng(seed)
    diagonal = random.uniform(0.5, 2, size) * 10 ** random.uniform(-4, 2)
    mixed = random.standard_normal((size, size)) * diagonal.mean() * 0.02
    hessian = np.diag(diagonal) + mixed + mixed.T

    class Quadratic:
        def step(self, parameters: np.ndarray, *_: Any, **__: Any) -> Step:
            slopes = (hessian @ parameters.astype(np.float64)).astype(np.float32)
            return Step(0.0, 0.0, 0.0, slopes, [])

    step: Any = Quadratic()
    before = state.networks.flat.copy()
    found = curvatures(state, step)
    np.testing.assert_array_equal(state.networks.flat, before)
    start = 0
    for tensor in spec.tensors():
        mean = np.diag(hessian)[start : start + tensor.size].mean()
        spread = 0.08 * diagonal.mean()
        assert found[tensor.name] == pytest.approx(mean, rel=0.05, abs=spread), tensor.name
        start += tensor.size


@pytest.mark.parametrize("contexts", [(), (4,), (5, 3)])
@pytest.mark.parametrize("synthesis", [(), (6,)])
@pytest.mark.parametrize("lattice", [(9,), (5, 6), (3, 4, 5)])
def test_matrices_hold_every_parameter_once(
    contexts: tuple[int, ...], synthesis: tuple[int, ...], lattice: tuple[int, ...]
) -> None:
    spec = PyramidSpec(lattice, 2, 3, contexts, synthesis, 2)
    networks = state_of(spec).networks
    numbers = np.arange(spec.parameter_count, dtype=np.float32)
    networks.flat[...] = numbers
    networks.gather()
    entries = torch.cat([matrix.flatten() for matrix in networks.matrices])
    assert sorted(entries.tolist()) == numbers.tolist()
    networks.flat[...] = -1
    networks.scatter()
    np.testing.assert_array_equal(networks.flat, numbers)
    for matrix, part in zip(networks.matrices, networks.gathered(numbers), strict=True):
        assert torch.equal(matrix, part)
    # The arrays by name are the flat vector itself.
    networks.named()["context_skip"][...] = -5
    assert (networks.flat == -5).sum() == 2 * spec.context_count


# What the file takes


def test_the_estimate_of_the_bits_is_that_of_the_file(face: np.ndarray) -> None:
    fit = fitted(face, PyramidGoal(rate_weight=1e-4))
    assert 8 * coded_bytes(fit) == pytest.approx(fit.bits, rel=0.01, abs=160)


def test_the_psnr_of_a_fit_is_that_of_the_file(face: np.ndarray) -> None:
    result = encoded(face)
    decoded = inrcodec.decode(result.data).samples
    error = np.square(decoded.astype(float) - face).mean()
    assert result.psnr == pytest.approx(-10 * math.log10(error / 255**2))
    fit = fitted(face, PyramidGoal(rate_weight=1e-4))
    # Decisions on latents come after what it was before.
    assert fit.psnr >= fit.float_psnr - 1


@pytest.mark.parametrize("share", [0.98, 0.93])
def test_trimming_ends_below_the_limit(share: float, face: np.ndarray) -> None:
    spec = spec_of(face)
    step = step_for(spec, target_of(face), 1)
    state = state_of(spec)
    descend(state, step, QUICK, lambda *_: 1e-4, Budget(), quiet)
    result = rounded(state, step, QUICK, Budget())
    limit = share * result.bits
    trimmed = trimmed_to(result, limit, state, step, Budget())
    assert 0.97 * limit <= trimmed.bits <= limit
    # Worse than before, yet not spoilt: bits are taken where they are missed least.
    assert result.psnr - 30 * (1 - share) - 0.2 <= trimmed.psnr <= result.psnr
    assert all(
        np.abs(a).max() <= np.abs(b).max()
        for a, b in zip(trimmed.latents, result.latents, strict=True)
    )


@pytest.mark.parametrize("tile", [0, 64])
@pytest.mark.parametrize("spread", [0.05, 1.0, 200.0])
def test_section_frames_fit_into_what_is_kept_free_for_them(tile: int, spread: float) -> None:
    spec = PyramidSpec((150, 140), 1, 7, (4,), (), 0, tile)
    random = np.random.default_rng(0)
    planes = [
        np.rint(random.laplace(size=spec.grid(level)) * spread).astype(np.int32)
        for level in range(7)
    ]
    network = IntegerNetwork.of(spec, random_networks(spec, 0))
    bits = sum(code_length(spec, network, planes))
    payloads = pack_latents(spec, network, planes)
    taken = sum(len(pack_section(Section(SectionType.LATENTS, 0, p))) for p in payloads)
    assert taken <= bits / 8 + section_bytes(spec, bits / 8)


# How a fit ends


class Ticking:
    """A clock that every step takes a second of."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def tick(self, _: int) -> None:
        self.now += 1


@pytest.mark.parametrize("seconds", [1.5, 40.0, 200.0])
def test_a_time_limit_is_kept(
    seconds: float, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Ticking()
    monkeypatch.setattr(schedule, "time", clock)
    preset = PyramidPreset(steps=3000, tuning_steps=60, contexts=(4,), synthesis=(6,), residuals=1)
    budget = Budget(seconds, started=0.0)
    fit = fitted(photo, PyramidGoal(rate_weight=1e-3), preset, budget, clock.tick)
    # Curvatures, a step an array, and the search of every step size need their time anyway.
    assert clock.now <= 1.1 * seconds + 6 * len(fit.spec.tensors())
    assert fit.steps >= min(0.5 * seconds, 1)


def test_a_limit_that_is_over_before_the_first_step(photo: np.ndarray) -> None:
    """As for a picture so large that to prepare its fit takes all the time."""
    fit = fitted(photo, PyramidGoal(rate_weight=1e-3), budget=Budget(1e-3, started=0.0))
    assert math.isfinite(fit.bits)
    assert fit.steps <= 10


CALLS = 45 + 7 + 5
"""Evaluations of a QUICK fit up to its rounding, about."""


@pytest.mark.parametrize("call", [1, 2, 20, 48, CALLS, CALLS + 8, CALLS + 20])
@pytest.mark.parametrize("goal", [PyramidGoal(rate_weight=1e-3), PyramidGoal(bits=6000.0)])
def test_an_interrupt_gives_the_best_so_far(
    call: int, goal: PyramidGoal, photo: np.ndarray
) -> None:
    def interrupt(count: int) -> None:
        if count == call:
            raise KeyboardInterrupt

    budget = Budget()
    try:
        fit = fitted(photo, goal, budget=budget, before=interrupt)
    except KeyboardInterrupt:
        pytest.fail("the fit is lost")
    assert budget.interrupted
    assert math.isfinite(fit.psnr)
    assert coded_bytes(fit) > 0
    if call >= 20:
        assert fit.psnr >= 18


def test_a_second_interrupt_ends_it(photo: np.ndarray) -> None:
    def interrupt(count: int) -> None:
        if count in (10, 12):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(photo, PyramidGoal(rate_weight=1e-3), before=interrupt)


def test_an_interrupted_file_decodes(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from inrcodec.fitting import pyramid_part

    calls = itertools.count()

    def interrupt(_: int) -> None:
        if next(calls) == 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        pyramid_part, "step_for", lambda *arguments: Watched(step_for(*arguments), interrupt)
    )
    samples = np.concatenate([photo, photo[..., :1]], axis=2)
    try:
        result = encoded(samples)
    except KeyboardInterrupt:
        pytest.fail("the fit is lost")
    assert result.interrupted
    assert inrcodec.decode(result.data).samples.shape == samples.shape
    assert len({section.track for section in unpack(result.data)[1]}) == 2


@pytest.mark.parametrize("call", [1, 30])
@pytest.mark.parametrize("what", ["mse", "gradient"])
def test_a_fit_that_diverges_is_our_own_error_or_goes_on(
    call: int, what: str, photo: np.ndarray
) -> None:
    def spoil(count: int, step: Step) -> Step:
        if count < call:
            return step
        if what == "mse":
            return step._replace(mse=math.nan)
        assert step.parameters is not None
        return step._replace(parameters=step.parameters * np.float32(math.nan))

    try:
        fit = fitted(photo, PyramidGoal(rate_weight=1e-3), after=spoil)
    except InrcodecError:
        return
    assert math.isfinite(fit.psnr + fit.bits)


def test_every_setting_of_the_net_works(photo: np.ndarray) -> None:
    for net in ("//0", "4//1", "/5-4/2"):
        assert encoded(photo[:20, :24], net=net, steps=20, quality=80).net == net


# Probes


def test_a_probe_of_kept_axes_is_a_part_of_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PyramidSpec((12, 200, 70), 1, 7, (), (4,), 1, kept=1)
    monkeypatch.setattr(pyramid_spec, "PROBE", 2**9)
    window = probe_window(spec)
    assert window == [(2, 10), (64, 128), (0, 64)]
    state = state_of(spec)
    for level, plane in enumerate(state.latents):
        plane[...] = np.arange(plane.size).reshape(plane.shape)
        assert plane.shape[0] == 12, level
    inner = PyramidSpec((8, 64, 64), 1, 7, (), (4,), 1, kept=1)
    step = step_for(inner, np.zeros((8, 64, 64, 1), np.float32), 1)
    cut = Probe(step, tuple(start for start, _ in window)).cut(state)
    for level, (part, plane) in enumerate(zip(cut.latents, state.latents, strict=True)):
        rows, columns = slice(64 >> level, 128 >> level), slice(0, 64 >> level)
        np.testing.assert_array_equal(part, plane[2:10, rows, columns])


def test_long_kept_axes_are_probed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid_part, "PROBED_FROM", 2**12)
    monkeypatch.setattr(pyramid_spec, "PROBE", 2**12)
    lines = np.sin(np.indices((90, 130)).sum(0) / 9)
    fit = encode_signal(
        from_array(lines, ("t", "x")), Settings(steps=8, net="4/4/1", device="cpu", kept=1)
    )
    assert probe_window(inrcodec.open(fit.data).layers[0].field.spec) == [(13, 77), (0, 64)]
    assert fit.psnr > 5
