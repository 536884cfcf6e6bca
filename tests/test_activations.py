"""Checks activations and encodings of sirens: their definitions, derivatives, fits and files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal.windows import dpss
from scipy.special import erf

import inrcodec
from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import ActivationId, EncodingId
from inrcodec.codec import encode_signal
from inrcodec.errors import UsageError
from inrcodec.fields.activations import (
    PROLATE,
    PROLATE_ONE,
    SHAPES,
    Activation,
    activate,
)
from inrcodec.fields.encodings import Encoding, encode
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting.curvature import layer_curvatures
from inrcodec.fitting.frequency import CANDIDATES, matched
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import FAMILIES, SINE
from inrcodec.fitting.siren_step import MATHS as OF_TORCH
from inrcodec.fitting.siren_step import NativeSirenStep, evaluate, step_for
from inrcodec.fitting.stacks import initial_stacks, layers_of
from inrcodec.query.kernels import native, reference, tangents
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, SignalInfo


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


every_family = pytest.mark.parametrize("name", FAMILIES)
every_activation = pytest.mark.parametrize("name", SHAPES)

quick = settings(deadline=None, max_examples=30)


def specimen(name: str, depth: int = 3, width: int = 8) -> SirenSpec:
    return FAMILIES[name].of(SirenSpec(2, 3, depth, width))


def field_of(spec: SirenSpec, seed: int = 0) -> Field:
    layers = layers_of(initial_stacks(spec, torch.Generator().manual_seed(seed), 1.0))
    arrays = {}
    for index, layer in enumerate(layers):
        arrays[f"weight{index}"] = layer[:, :-1].numpy().copy()
        arrays[f"bias{index}"] = layer[:, -1].numpy().copy()
    return Field(spec, arrays)


def view_of(field: Field, height: int = 37, width: int = 50) -> SignalView:
    axes = Axis("y", height), Axis("x", width)
    info = SignalInfo(axes, ("red", "green", "blue"), "float32", (0.0, 1.0))
    return SignalView((Layer(info, field),))


def waves(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (3 + c)) * np.cos(y / (5 - c)) for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


# Definitions


def test_names_are_those_of_the_format() -> None:
    assert set(SHAPES) == {each.name.lower() for each in ActivationId}
    assert {family.activation.name for family in FAMILIES.values()} == set(SHAPES)
    assert {family.encoding.name for family in FAMILIES.values()} == {
        each.name.lower() for each in EncodingId
    }


def value(name: str, z: np.ndarray, shape: float = 0.0, omega_0: float = 30.0) -> np.ndarray:
    return np.asarray(activate(Activation(name, shape), omega_0, z.copy(), reference.MATHS))


def test_definitions_are_the_papers() -> None:
    """Written as the papers write them, of u = W h + b."""
    u = np.linspace(-1, 1, 1001)
    z = 30 * u
    with np.errstate(invalid="ignore", divide="ignore"):
        papers = {
            ("finer", 0.0): np.sin(30 * (np.abs(u) + 1) * u),
            ("gauss", 0.0): np.exp(-(u**2) / (2 * (1 / 30) ** 2)),
            ("gabor", 0.25): np.cos(30 * u) * np.exp(-((7.5 * u) ** 2)),
            ("sinc", 0.0): np.where(u == 0, 1, np.sin(30 * u) / (30 * u)),
            ("hosc", 2.0): np.tanh(2 * np.sin(30 * u)),
            ("raised_cosine", 0.5): np.sinc(z / np.pi) * np.cos(z / 2) / (1 - (z / np.pi) ** 2),
            ("relu", 0.0): np.maximum(z, 0),
        }
    for (name, shape), expected in papers.items():
        np.testing.assert_allclose(value(name, z, shape), expected, atol=1e-12, err_msg=name)
    exact = z / 2 * (1 + erf(z / math.sqrt(2)))
    np.testing.assert_allclose(value("gelu", z), exact, atol=1e-3)


def test_a_raised_cosine_has_no_pole() -> None:
    """At z = pi / (2 s) its usual form divides 0 by 0."""
    for shape in (0.25, 0.5, 1.0):
        pole = math.pi / (2 * shape)
        near = value("raised_cosine", pole + np.array([-1e-4, 0, 1e-4]), shape)
        assert np.isfinite(near).all()
        assert near[1] == pytest.approx(near[[0, 2]].mean(), abs=1e-7)


def test_the_prolate_is_slepians() -> None:
    sequence = dpss(17, 1.5)
    cosines = np.array([1, *[2] * 8]) * sequence[8:] / sequence.sum()
    np.testing.assert_allclose(np.array(PROLATE) / PROLATE_ONE, cosines, atol=1.6 / PROLATE_ONE)
    assert sum(PROLATE) == PROLATE_ONE
    z = np.linspace(-60, 60, 500)
    sums = sum(c * np.cos(m * z / 8) for m, c in enumerate(PROLATE)) / PROLATE_ONE
    np.testing.assert_allclose(value("prolate", z), sums, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_encodings_are_what_they_are_called(order: int) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    fourier = encode(Encoding("fourier", order), points, reference.MATHS)
    assert fourier.shape == (20, Encoding("fourier", order).width(2))
    top = 2 ** (order - 1) * np.pi * points
    np.testing.assert_allclose(fourier[:, -4:], np.hstack([np.sin(top), np.cos(top)]), atol=1e-12)
    chebyshev = encode(Encoding("chebyshev", order), points, reference.MATHS)
    assert chebyshev.shape == (20, Encoding("chebyshev", order).width(2))
    polynomials = np.cos(order * np.arccos(points))
    np.testing.assert_allclose(chebyshev[:, -2:], polynomials, atol=1e-12)


@every_activation
@quick
@given(st.floats(-20, 20), st.floats(0, 1))
def test_torch_agrees_with_numpy_and_with_dual_numbers(name: str, z: float, at: float) -> None:
    """Of values, and of slopes by torch's autograd."""
    least, most = SHAPES[name]
    activation = Activation(name, least + at * (most - least) / 8)
    tensor = torch.tensor([[z]], dtype=torch.float64, requires_grad=True)
    ours = activate(activation, 30.0, tensor * 1.0, OF_TORCH)
    ours.sum().backward()
    dual = tangents.Dual(np.array([[z]]), np.array([[[1.0]]]))
    found = activate(activation, 30.0, dual, tangents.MATHS)
    assert tensor.grad is not None
    np.testing.assert_allclose(found.values, ours.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(found.slopes[0], tensor.grad.numpy(), atol=2e-6, rtol=1e-6)
    plain = activate(activation, 30.0, np.array([[z]]), reference.MATHS)
    np.testing.assert_allclose(plain, found.values, atol=1e-12)


# Fields


@every_family
def test_a_crop_is_one_of_the_whole(name: str) -> None:
    view = view_of(field_of(specimen(name)))
    whole = np.asarray(view)
    for window in ([(3, 20), (11, 50)], [(36, 37), (0, 1)]):
        place = tuple(slice(*ends) for ends in window)
        np.testing.assert_array_equal(view[place], whole[place])


@every_family
def test_gradients_are_limits_of_differences(name: str) -> None:
    spec = specimen(name)
    field = field_of(spec)
    parameters = {key: array.astype(np.float64) for key, array in field.parameters.items()}

    def values(points: np.ndarray) -> np.ndarray:
        found = spec.evaluate(parameters, points, lambda h, w, b: h @ w.T + b, reference.MATHS)
        return np.asarray(found)

    points = np.random.default_rng(1).uniform(-1, 1, (40, 2))
    found = tangents.slopes(field, points)
    step = 1e-6
    for axis in range(2):
        ahead = step * np.eye(2)[axis]
        expected = (values(points + ahead) - values(points - ahead)) / (2 * step)
        scale = np.abs(expected).max()
        # Of rectifiers a difference may straddle a corner.
        off = np.abs(found[..., axis] - expected) > 1e-5 * scale
        assert off.mean() <= (0.1 if spec.activation.name == "relu" else 0)
        assert scale > 0


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "sine"])
def test_only_sines_go_to_the_extension(name: str) -> None:
    spec = specimen(name)
    assert native.network(field_of(spec), 1.0) is None
    samples = Samples(from_array(waves()), "cpu", 0)
    assert not isinstance(step_for(spec, samples), NativeSirenStep)


def test_a_field_beyond_float32_is_no_warning() -> None:
    for name in FAMILIES:
        field = field_of(specimen(name))
        huge = {key: array * np.float32(1e30) for key, array in field.parameters.items()}
        view = view_of(replace(field, parameters=huge), 5, 6)
        np.asarray(view)
        view.gradient(np.array([[1.0, 2.0]]))


# Fits


@every_family
def test_curvatures_are_jacobians_squared(name: str) -> None:
    """Against derivatives of all parameters of a layer at once, by torch."""
    spec = specimen(name, depth=2, width=4)
    generator = torch.Generator().manual_seed(3)
    layers = [layer.double() for layer in layers_of(initial_stacks(spec, generator, 1.0))]
    points = torch.rand(12, 2, generator=generator, dtype=torch.float64) * 2 - 1
    for index, layer in enumerate(layers):

        def values(own: torch.Tensor, index: int = index) -> torch.Tensor:
            return evaluate(spec, [*layers[:index], own, *layers[index + 1 :]], points)

        jacobian = torch.autograd.functional.jacobian(values, layer, vectorize=True).reshape(36, -1)
        (found,) = layer_curvatures(spec, layers, index, points, [slice(0, len(layer))])
        expected = jacobian.T @ jacobian / 36
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@every_family
def test_a_family_is_fitted_written_and_read(name: str) -> None:
    picture = waves()
    asked = Settings(
        activation=name, kind="siren", net="2x10", steps=80, effort=1, rate_weight=1e-6
    )
    encoded = encode_signal(from_array(picture), asked)
    spec = unpack(encoded.data)[0].tracks[0].spec
    assert isinstance(spec, SirenSpec)
    assert (spec.activation, spec.encoding, spec.omega_0) == (
        FAMILIES[name].activation,
        FAMILIES[name].encoding,
        FAMILIES[name].omega_0,
    )
    assert encoded.data[9] == (0 if name == "sine" else 2)
    decoded = inrcodec.decode(encoded.data).samples
    flat = np.mean((picture - picture.mean((0, 1))) ** 2)
    assert np.mean((decoded.astype(float) - picture) ** 2) < 0.8 * flat
    told = inrcodec.open(encoded.data)
    np.testing.assert_array_equal(told[3:9, 4:20], decoded[3:9, 4:20])


@every_family
def test_a_size_is_met(name: str) -> None:
    asked = Settings(activation=name, kind="siren", target_size=700, steps=5, effort=1)
    assert len(encode_signal(from_array(waves()), asked).data) <= 700


def test_an_activation_asks_for_a_siren() -> None:
    assert Settings(activation="gauss").chosen_kind == "siren"
    assert Settings().chosen_kind == "pyramid"
    for wrong in ({"kind": "pyramid"}, {"kind": "auto"}):
        with pytest.raises(UsageError, match="activation gauss: a siren is needed"):
            Settings(activation="gauss", **wrong)
    with pytest.raises(UsageError, match="activation 'wavelet': one of sine, finer"):
        Settings(activation="wavelet")
    with pytest.raises(UsageError, match="omega_0 'best': a number or auto"):
        Settings(omega_0="best")


def test_a_spectrum_finds_its_frequency() -> None:
    """Finer waves need a higher omega_0, and what a network made is near to it."""
    y, x = np.mgrid[0:64, 0:96]
    smooth, fine = (
        np.stack([128 + 60 * np.sin(x / period) + 60 * np.cos(y / period)] * 3, -1)
        for period in (24, 2.5)
    )
    found = [
        matched(SINE, from_array(each.astype(np.uint8)), (3, 16), 0).omega_0
        for each in (smooth, fine)
    ]
    assert found[0] < found[1]
    spec = replace(SirenSpec(2, 3, 3, 16), omega_0=60.0)
    rendered = np.asarray(view_of(field_of(spec, seed=9), 64, 96))
    own = matched(SINE, from_array(rendered.astype(np.float32)), (3, 16), 0).omega_0
    assert 60 / max(CANDIDATES) < own
    assert 30 <= own <= 120


def test_auto_frequency_is_in_the_file() -> None:
    asked = Settings(kind="siren", omega_0="auto", net="2x6", steps=3, effort=1)
    spec = unpack(encode_signal(from_array(waves()), asked).data)[0].tracks[0].spec
    assert isinstance(spec, SirenSpec)
    expected = matched(SINE, from_array(waves()), (2, 6), 0).omega_0
    assert spec.omega_0 == expected
    assert spec.omega_0 * 16 == round(spec.omega_0 * 16)
