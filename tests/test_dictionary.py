"""Checks dictionaries of weights: atoms, their code, pursuit, and what the encoder does."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import SectionType
from inrcodec.codec import as_signal
from inrcodec.coding.dictionary import (
    MAX_VECTOR,
    Dictionary,
    atoms,
    most_atoms,
    put_atoms,
    sums,
)
from inrcodec.coding.entropy import SymbolEncoder
from inrcodec.coding.quantize import TensorRecipe, dequantize
from inrcodec.coding.weights import code_length, pack_weights, unpack_weights
from inrcodec.errors import UsageError
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.fit import fit
from inrcodec.fitting.pursuit import pursue
from inrcodec.fitting.rate_control import Goal, round_track
from inrcodec.fitting.rounding import round_layer, scale_for_bits, sensitivities
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, quiet
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_step import MATHS
from inrcodec.fitting.sparse_rounding import atom_bits, layer_error, sparse_layer, with_atoms
from inrcodec.fitting.stacks import layers_of
from inrcodec.fitting.workers import Workers, working

SPEC = SirenSpec(2, 3, 3, 12)
NET = "3x12"


# --- atoms ---------------------------------------------------------------------------------------


def test_the_first_element_is_that_of_splitmix64() -> None:
    """0xe220a8397b1dcdaf is the generator's published first output from seed 0."""
    assert atoms(np.array([0]), 1).item() == sum(bytes.fromhex("e220a8397b1dcdaf")) - 1020


def test_atoms_never_change() -> None:
    made = atoms(np.arange(0, 2**16, 997), MAX_VECTOR)
    assert hashlib.sha256(made.astype("<i8").tobytes()).hexdigest() == ATOMS
    assert abs(made.mean()) < 1
    assert made.std() == pytest.approx(209, abs=1)
    correlations = np.corrcoef(made)
    assert np.abs(correlations - np.eye(len(made))).max() < 6 / math.sqrt(MAX_VECTOR)


ATOMS = "c3dd940e8bbe90d2a7b9b45752f4544fd23e3cac1422487ab3551d0086c5ee36"


@st.composite
def sparse_arrays(draw: st.DrawFn) -> tuple[tuple[int, int], Dictionary, np.ndarray]:
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    dictionary = Dictionary(draw(st.integers(1, 16)), draw(st.integers(1, shape[0])))
    places = dictionary.places(shape)
    most = min(places, most_atoms(math.prod(shape)))
    chosen = draw(st.lists(st.integers(0, places - 1), max_size=most, unique=True))
    size = st.integers(1, 32767)
    magnitudes = draw(st.lists(size, min_size=len(chosen), max_size=len(chosen)))
    signs = [draw(st.sampled_from([-1, 1])) for _ in chosen]
    pairs = np.stack([sorted(chosen), np.multiply(magnitudes, signs)], axis=1)
    return shape, dictionary, pairs.astype(np.int32).reshape(-1, 2)


@settings(max_examples=100, deadline=None)
@given(sparse_arrays(), st.integers(0, 127), st.integers(0, 95))
def test_atoms_come_back_and_sum_to_the_array(
    sparse: tuple[tuple[int, int], Dictionary, np.ndarray], step: int, table: int
) -> None:
    (outputs, inputs), dictionary, pairs = sparse
    spec = SirenSpec(inputs, outputs, 0, 0)
    symbols = {"weight0": pairs, "bias0": np.zeros(outputs, np.int32)}
    recipes = [TensorRecipe(step, table, dictionary), TensorRecipe(72, 20)]
    payload = pack_weights(spec, symbols, recipes)
    found, found_recipes = unpack_weights(spec, payload, "test", sparse=True)
    assert (found["weight0"] == pairs).all()
    assert list(found_recipes) == recipes
    expected = np.zeros((outputs, inputs), object)
    for place, coefficient in pairs.tolist():
        vector, number = divmod(place, 2**dictionary.bits)
        rows = expected[vector * dictionary.rows :][: dictionary.rows]
        atom = atoms(np.array([number]), rows.size)[0].reshape(rows.shape)
        rows += coefficient * atom.astype(object)
    assert (sums(pairs, dictionary, (outputs, inputs)) == expected).all()
    restored = dequantize(spec, found, found_recipes).parameters["weight0"]
    one = dequantize(SirenSpec(1, 1, 0, 0), ONES, [TensorRecipe(step, 0)] * 2).parameters["weight0"]
    exact = expected.astype(np.float64) * np.float64(one.item()) / 256
    assert (restored == exact.astype(np.float32)).all()


ONES = {"weight0": np.ones((1, 1), np.int32), "bias0": np.zeros(1, np.int32)}


@pytest.mark.parametrize(("bits", "count"), [(16, 250), (12, 300), (6, 300), (14, 30)])
def test_places_cost_about_what_a_set_costs(bits: int, count: int) -> None:
    shape, dictionary = (28, 28), Dictionary(bits, 1)
    generator = np.random.default_rng(bits)
    total = dictionary.places(shape)
    places = np.sort(generator.choice(total, count, replace=False))
    pairs = np.stack([places, np.ones(count, int)], axis=1).astype(np.int32)
    least = (math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)) / (
        math.log(2)
    )
    bits_of_places = atom_bits(pairs, dictionary, shape)
    assert least - 8 < bits_of_places < least + 8 + 0.15 * count
    encoder = SymbolEncoder()
    put_atoms(encoder, pairs, dictionary, shape, 20)
    ones = code_length(pairs[:, 1], 20)
    assert 8 * len(encoder.finish()) == pytest.approx(bits_of_places + ones, abs=64)


# --- pursuit -------------------------------------------------------------------------------------


def test_a_sum_of_few_atoms_is_found() -> None:
    generator = np.random.default_rng(0)
    known = generator.standard_normal((40, 500)).astype(np.float32)
    vector = known[:, [7, 90, 333]].astype(np.float64) @ [3.0, -2.0, 1.0]
    found = pursue(vector, np.eye(40), known, 1e-3, 20)
    assert dict(zip(found.numbers.tolist(), found.coefficients.round(4), strict=True)) == {
        7: 3,
        90: -2,
        333: 1,
    }


def test_every_atom_is_worth_its_price_by_the_metric() -> None:
    generator = np.random.default_rng(1)
    known = generator.standard_normal((24, 300)).astype(np.float32)
    vector, metric = generator.standard_normal(24), generator.standard_normal((24, 24))
    counts = []
    for price in (1e-9, 1.0, 10.0, 1e9):
        found = pursue(vector, metric, known, price, 12)
        made = known[:, found.numbers].astype(np.float64) @ found.coefficients
        error = np.square(metric @ (vector - made)).sum()
        assert error <= np.square(metric @ vector).sum() - price * len(found.numbers) * 0.999
        counts.append(len(found.numbers))
    assert counts[0] == 12
    assert counts[-1] == 0
    assert counts == sorted(counts, reverse=True)


# --- the encoder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x = np.mgrid[0:24, 0:24] / 24
    waves = [np.sin(6 * x + 3 * y * y + shift) for shift in (0.0, 1.0, 2.0)]
    return (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def descent(picture: np.ndarray) -> object:
    with working("cpu"):
        samples = Samples(as_signal(picture), "cpu", 0)
        return fit(SPEC, samples, Settings(net=NET, effort=1, steps=60).preset(), 0, Budget())


@pytest.mark.parametrize("bits", [1.0, 3.0])
def test_a_layer_is_what_the_decoder_will_see(
    picture: np.ndarray, descent: object, bits: float
) -> None:
    with working("cpu"):
        check_layer(picture, layers_of(descent.best), bits)


def check_layer(picture: np.ndarray, layers: list[torch.Tensor], bits: float) -> None:
    samples = Samples(as_signal(picture), "cpu", 0, Workers())
    points = samples.coordinates(samples.some(500))
    known = sensitivities(SPEC, layers, points, Workers())
    scale = scale_for_bits(layers, known, bits * SPEC.parameter_count)
    for dictionary in (Dictionary(8, 1), Dictionary(8, 5), Dictionary(8, 99)):
        layer = sparse_layer(SPEC, layers, 1, points, known[1], scale, dictionary)
        assert layer is not None
        alone = SirenSpec(12, 12, 0, 0)
        coded = {"weight0": layer.weights, "bias0": layer.biases}
        restored = dequantize(alone, coded, layer.recipes).parameters
        assert (restored["weight0"] == layer.values[:, :-1]).all()
        assert (restored["bias0"] == layer.values[:, -1]).all()
        payload = pack_weights(alone, coded, layer.recipes)
        assert 8 * len(payload) == pytest.approx(layer.bits, abs=90)
        nothing = layer_error(SPEC, layers, 1, points, [layer])[0]
        assert 0 < nothing < float(torch.square(layers[1]).sum())
    plain = round_layer(SPEC, layers, 1, points, known[1], scale)
    kept = with_atoms(SPEC, layers, 1, points, known[1], scale, plain, forced=False)
    losses = [
        error + scale**2 * math.log(2) / 6 * each.bits
        for each, error in zip(
            (plain, kept), layer_error(SPEC, layers, 1, points, [plain, kept]), strict=True
        )
    ]
    assert losses[1] <= losses[0]


def section_types(data: bytes) -> list[int]:
    return [section.type for section in unpack(data)[1]]


def test_a_file_of_atoms_says_so(picture: np.ndarray) -> None:
    how = {"net": NET, "effort": 1, "steps": 60, "rate_weight": 1e-3, "device": "cpu"}
    data = inrcodec.encode(picture, sparsify="sinr", **how)
    assert section_types(data) == [SectionType.SPARSE]
    assert data[9] == 2
    assert inrcodec.info(data)["sections"][0]["type"] == "sparse"
    plain = inrcodec.encode(picture, **how)
    assert section_types(plain) == [SectionType.PARAMETERS]
    assert data[9] > plain[9] == 0
    for decoded in (inrcodec.decode(data), inrcodec.open(data, partial=True).read()):
        assert np.abs(decoded.samples.astype(int) - picture).mean() < 40


@pytest.mark.parametrize("rate_weight", [1e-4, 0.1])
def test_auto_is_never_worse(picture: np.ndarray, descent: object, rate_weight: float) -> None:
    losses = []
    for way in ("none", "auto"):
        samples = Samples(as_signal(picture), "cpu", 0, Workers())
        goal = Goal(0, rate_weight=rate_weight)
        preset = Settings(net=NET, effort=1).preset()
        with working("cpu"):
            made = round_track(SPEC, descent, samples, goal, preset, Budget(), quiet, way)
        field = dequantize(SPEC, made.quantised.symbols, made.quantised.recipes)
        where = samples.coordinates(samples.some(samples.positions))
        values = SPEC.evaluate(
            {name: torch.from_numpy(own) for name, own in field.parameters.items()},
            where,
            torch.nn.functional.linear,
            MATHS,
        )
        targets = samples.targets(samples.some(samples.positions))
        error = float((values.clamp(0, 1) - targets).square().mean())
        size = len(pack_weights(SPEC, made.quantised.symbols, made.quantised.recipes))
        losses.append(error + rate_weight * 8 * size / samples.positions)
    assert losses[1] <= losses[0] * (1 + 1e-6)


def test_a_size_is_kept_with_auto(picture: np.ndarray) -> None:
    how = {"net": NET, "effort": 1, "steps": 60, "target_size": 230, "device": "cpu"}
    sizes = [len(inrcodec.encode(picture, sparsify=way, **how)) for way in ("none", "auto")]
    assert sizes[1] <= sizes[0] <= 230


@pytest.mark.parametrize(
    "settings_",
    [
        {"sparsify": "ksvd", "net": NET},
        {"sparsify": "sinr"},
        {"sparsify": "auto", "kind": "pyramid"},
        {"sparsify": "auto", "kind": "auto"},
    ],
)
def test_what_cannot_be_is_refused(settings_: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="sparsify"):
        Settings(**settings_)
