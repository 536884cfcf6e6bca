"""Checks that parameters become symbols and bytes and come back, the same bits everywhere."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.bitstream import primitives
from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.entropy import SymbolEncoder
from inrcodec.coding.priors import SCALES, TABLES
from inrcodec.coding.quantize import (
    STEPS,
    TensorRecipe,
    dequantize,
    quantize,
    step_index,
    step_size,
)
from inrcodec.coding.weights import (
    DELTA_TABLE,
    EXPECTED,
    FIRST_SCALE,
    FIRST_STEP,
    SWITCH_TABLE,
    best_table,
    bit_costs,
    code_length,
    pack_weights,
    unpack_weights,
)
from inrcodec.errors import CorruptError
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "v1"
LARGEST = 2**31 - 1
SPEC = SirenSpec(2, 1, 1, 3)

every_step = pytest.mark.parametrize("index", range(STEPS))

symbols_of_any_size = st.one_of(
    st.integers(-40, 40), st.integers(-3000, 3000), st.integers(-LARGEST, LARGEST)
)
recipes_of_any_sort = st.builds(TensorRecipe, st.integers(0, STEPS - 1), st.integers(0, TABLES - 1))


@st.composite
def coded_fields(draw: st.DrawFn) -> tuple[SirenSpec, dict[str, np.ndarray], list[TensorRecipe]]:
    depth = draw(st.integers(0, 3))
    width = draw(st.integers(1, 5)) if depth else 0
    spec = SirenSpec(draw(st.integers(1, 3)), draw(st.integers(1, 4)), depth, width)
    symbols, recipes = {}, []
    for tensor in spec.tensors():
        values = draw(st.lists(symbols_of_any_size, min_size=tensor.size, max_size=tensor.size))
        symbols[tensor.name] = np.array(values, np.int32).reshape(tensor.shape)
        recipes.append(draw(recipes_of_any_sort))
    return spec, symbols, recipes


def zeros(spec: SirenSpec = SPEC) -> dict[str, np.ndarray]:
    return {tensor.name: np.zeros(tensor.shape, np.int32) for tensor in spec.tensors()}


def recipes_for(spec: SirenSpec = SPEC) -> list[TensorRecipe]:
    return [TensorRecipe(FIRST_STEP, FIRST_SCALE)] * len(spec.tensors())


def same(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[name].shape == theirs[name].shape and (ours[name] == theirs[name]).all()
        for name in ours
    )


# --- symbols and bytes ---------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(coded_fields())
def test_symbols_and_recipes_come_back(coded: tuple) -> None:
    spec, symbols, recipes = coded
    found, found_recipes = unpack_weights(spec, pack_weights(spec, symbols, recipes), "test")
    assert same(found, symbols)
    assert list(found_recipes) == recipes
    assert {array.dtype for array in found.values()} == {np.dtype(np.int32)}


def test_the_section_begins_with_the_number_of_symbols() -> None:
    spec = SirenSpec(2, 3, 2, 12)
    payload = pack_weights(spec, zeros(spec), recipes_for(spec))
    assert primitives.Reader(payload, "test").varint() == spec.parameter_count == 231


@pytest.mark.parametrize("count", [0, SPEC.parameter_count - 1, SPEC.parameter_count + 1, 2**62])
def test_another_number_of_symbols_is_corrupt(count: int) -> None:
    payload = pack_weights(SPEC, zeros(), recipes_for())
    with pytest.raises(CorruptError, match="symbols for"):
        unpack_weights(SPEC, primitives.varint(count) + payload[1:], "test")


def test_predicted_recipes_cost_little() -> None:
    """Like recipes are nearly free: it is what makes one recipe per array affordable."""
    spec = SirenSpec(2, 3, 30, 1)
    like = pack_weights(spec, zeros(spec), recipes_for(spec))
    wild = [TensorRecipe(127 * (i // 2 % 2), 95 * (i // 2 % 2)) for i in range(62)]
    assert len(pack_weights(spec, zeros(spec), wild)) > len(like) + 62


PYRAMID = PyramidSpec((9, 9), 3, 4, (5,), (6,), 2)


@st.composite
def coded_pyramids(draw: st.DrawFn) -> tuple[dict[str, np.ndarray], list[TensorRecipe]]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    tensors = PYRAMID.tensors()
    symbols = {t.name: generator.integers(-50, 51, t.shape).astype(np.int32) for t in tensors}
    return symbols, [draw(recipes_of_any_sort) for _ in tensors]


@settings(max_examples=60, deadline=None)
@given(coded_pyramids())
def test_symbols_and_recipes_of_a_pyramid_come_back(coded: tuple) -> None:
    symbols, recipes = coded
    found, found_recipes = unpack_weights(PYRAMID, pack_weights(PYRAMID, symbols, recipes), "test")
    assert same(found, symbols)
    assert list(found_recipes) == recipes


@pytest.mark.parametrize("finer", [-6, 0, 6])
def test_expected_recipes_cost_little(finer: int) -> None:
    """A finer step needs a wider table: where both go together, only the first step tells it."""
    zero = {t.name: np.zeros(t.shape, np.int32) for t in PYRAMID.tensors()}
    expected = [EXPECTED[t.role] for t in PYRAMID.tensors()]
    like = [TensorRecipe(step - finer, total - step + finer) for step, total in expected]
    other = [TensorRecipe(step - finer, total - step + finer - 6) for step, total in expected]

    def recipe_bits(recipes: list[TensorRecipe]) -> float:
        tensors = zip(PYRAMID.tensors(), recipes, strict=True)
        own = sum(code_length(zero[t.name].ravel(), recipe.table) for t, recipe in tensors)
        return 8 * len(pack_weights(PYRAMID, zero, recipes)) - own

    roles = len({t.role for t in PYRAMID.tensors()})
    # The number of symbols and the last word of the run take up to 48 bits.
    assert recipe_bits(like) < 4.3 * len(like) + 7 * roles + 48
    assert recipe_bits(other) > recipe_bits(like) + 3 * roles


OUT_OF_BOUNDS = {
    "step below": (-FIRST_STEP - 1, 0, 0),
    "step above": (STEPS - FIRST_STEP, 0, 0),
    "scale below": (0, -FIRST_SCALE - 1, 0),
    "scale above": (0, SCALES - FIRST_SCALE, 0),
    "shape below": (0, 0, -1),
    "shape above": (0, 0, 2),
    "step far": (LARGEST, 0, 0),
    "scale far": (0, -LARGEST, 0),
    "shape far": (0, 0, LARGEST),
}


@pytest.mark.parametrize("deltas", OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS.keys())
def test_an_impossible_recipe_is_corrupt(deltas: tuple[int, int, int]) -> None:
    encoder = SymbolEncoder()
    for delta, index in zip(deltas, (DELTA_TABLE, DELTA_TABLE, SWITCH_TABLE), strict=True):
        encoder.put(np.array([delta], np.int32), index)
    payload = primitives.varint(SPEC.parameter_count) + encoder.finish()
    with pytest.raises(CorruptError, match="recipe for weight0"):
        unpack_weights(SPEC, payload, "test")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_garbage_gives_bounded_symbols_or_a_corrupt_error(data: bytes) -> None:
    try:
        symbols, recipes = unpack_weights(
            SPEC, primitives.varint(SPEC.parameter_count) + data, "test"
        )
    except CorruptError:
        return
    assert all((np.abs(values.astype(np.int64)) <= LARGEST).all() for values in symbols.values())
    assert all(0 <= recipe.table < TABLES and 0 <= recipe.step < STEPS for recipe in recipes)


@settings(max_examples=200, deadline=None)
@given(coded_fields(), st.data())
def test_a_truncated_payload_never_gives_a_foreign_exception(
    coded: tuple, data: st.DataObject
) -> None:
    spec, symbols, recipes = coded
    payload = pack_weights(spec, symbols, recipes)
    kept = payload[: data.draw(st.integers(0, len(payload) - 1))]
    try:
        unpack_weights(spec, kept, "test")
    except CorruptError:
        return


def test_errors_name_the_section() -> None:
    with pytest.raises(CorruptError, match=r"section 3 \(parameters of track 1\)"):
        unpack_weights(SPEC, b"\1", "section 3 (parameters of track 1)")


# --- code lengths --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(symbols_of_any_size, min_size=1, max_size=200), st.integers(0, TABLES - 1))
def test_code_length_is_what_the_coder_takes(values: list[int], index: int) -> None:
    """But for the part of a word at the end, and 0.01 % that the coder's precision costs."""
    symbols = np.array(values, np.int32)
    encoder = SymbolEncoder()
    encoder.put(symbols, index)
    expected = code_length(symbols, index)
    assert expected - 40 <= 8 * len(encoder.finish()) <= expected * 1.001 + 40


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 400.0])
@pytest.mark.parametrize("shape", ["normal", "laplace"])
def test_the_best_table_is_the_best(shape: str, sigma: float) -> None:
    generator = np.random.Generator(np.random.PCG64(7))
    scale = sigma if shape == "normal" else sigma / math.sqrt(2)
    symbols = np.rint(getattr(generator, shape)(0, scale, 500)).astype(np.int32)
    lengths = [code_length(symbols, index) for index in range(TABLES)]
    assert code_length(symbols, best_table(symbols)) == min(lengths)


@pytest.mark.parametrize("values", [[0], [0] * 500, [LARGEST], [-LARGEST, LARGEST], [5] * 9])
def test_there_is_a_best_table_for_anything(values: list[int]) -> None:
    symbols = np.array(values, np.int32)
    assert math.isfinite(code_length(symbols, best_table(symbols)))


def test_costs_are_those_of_the_frequencies() -> None:
    for index in range(TABLES):
        assert np.exp2(-bit_costs(index)).sum() == pytest.approx(1, abs=1e-9)


# --- steps ---------------------------------------------------------------------------------------


@every_step
def test_a_step_is_dyadic_and_exact_in_float32(index: int) -> None:
    step = step_size(index)
    mantissa, _ = math.frexp(step)
    assert (mantissa * 2**16).is_integer()
    assert float(np.float32(step)) == step


@every_step
def test_a_step_is_a_quarter_of_an_octave_from_the_next(index: int) -> None:
    assert step_size(index) == pytest.approx(2 ** (index / 4 - 24), rel=2e-5)


@every_step
def test_the_index_of_a_step_is_found(index: int) -> None:
    assert step_index(step_size(index)) == index
    assert step_index(step_size(index) * 1.08) == index
    assert step_index(step_size(index) / 1.08) == index


def test_steps_out_of_reach_become_the_nearest() -> None:
    assert step_index(1e-30) == 0
    assert step_index(1e30) == STEPS - 1


@pytest.mark.parametrize("index", [-1, STEPS])
def test_there_are_no_other_steps(index: int) -> None:
    with pytest.raises(IndexError):
        step_size(index)


# --- quantiser -----------------------------------------------------------------------------------


def field_of(values: Sequence[float]) -> Field:
    arrays, start = {}, 0
    for tensor in SPEC.tensors():
        part = np.array(values[start : start + tensor.size], np.float32)
        arrays[tensor.name] = part.reshape(tensor.shape)
        start += tensor.size
    return Field(SPEC, arrays)


parameters_of_a_field = st.lists(
    st.floats(-30, 30, width=32), min_size=SPEC.parameter_count, max_size=SPEC.parameter_count
)
usual_recipes = st.lists(
    st.builds(TensorRecipe, st.integers(24, STEPS - 1), st.just(0)), min_size=4, max_size=4
)


@settings(max_examples=200, deadline=None)
@given(parameters_of_a_field, usual_recipes)
def test_a_parameter_moves_by_half_a_step_at_most(
    values: list[float], recipes: list[TensorRecipe]
) -> None:
    field = field_of(values)
    restored = dequantize(SPEC, quantize(field, recipes), recipes)
    for tensor, recipe in zip(SPEC.tensors(), recipes, strict=True):
        before, after = field.parameters[tensor.name], restored.parameters[tensor.name]
        assert after.dtype == np.float32
        error = np.abs(after.astype(np.float64) - before)
        assert (error <= step_size(recipe.step) / 2 + np.spacing(np.abs(after))).all()


@settings(max_examples=200, deadline=None)
@given(parameters_of_a_field, usual_recipes)
def test_what_was_quantised_once_stays(values: list[float], recipes: list[TensorRecipe]) -> None:
    symbols = quantize(field_of(values), recipes)
    assert same(quantize(dequantize(SPEC, symbols, recipes), recipes), symbols)


@settings(max_examples=300, deadline=None)
@given(st.integers(-LARGEST, LARGEST), st.integers(0, STEPS - 1))
def test_a_parameter_is_the_exact_product_rounded_once(symbol: int, step: int) -> None:
    spec = SirenSpec(1, 1, 0, 0)
    symbols = {"weight0": np.array([[symbol]], np.int32), "bias0": np.zeros(1, np.int32)}
    restored = dequantize(spec, symbols, [TensorRecipe(step, 0)] * 2).parameters["weight0"][0, 0]
    exact = symbol * Fraction(step_size(step))
    neighbours = [np.nextafter(restored, np.float32(side * np.inf)) for side in (-1, 1)]
    error = abs(Fraction(float(restored)) - exact)
    for neighbour in neighbours:
        other = abs(Fraction(float(neighbour)) - exact)
        # A tie goes to the number whose last bit is 0.
        even = restored.view(np.uint32) % 2 == 0
        assert error < other or (error == other and even)


# --- the same bits everywhere --------------------------------------------------------------------

HASHES = """
import hashlib, json, sys
from pathlib import Path
from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.quantize import dequantize
from inrcodec.coding.weights import unpack_weights

symbols, parameters = hashlib.sha256(), hashlib.sha256()
for path in sorted(Path(sys.argv[1]).glob("*.inrc")):
    header, sections = unpack(path.read_bytes())
    kinds = SectionType.PARAMETERS, SectionType.SPARSE
    parameters_of = [section for section in sections if section.type in kinds]
    tracks = [track for track in header.tracks if track.spec.tensors()]
    for track, section in zip(tracks, parameters_of, strict=True):
        sparse = section.type == SectionType.SPARSE
        coded, recipes = unpack_weights(track.spec, section.payload, "test", sparse)
        restored = dequantize(track.spec, coded, recipes).parameters
        for tensor in track.spec.tensors():
            symbols.update(coded[tensor.name].astype("<i4").tobytes())
            parameters.update(restored[tensor.name].astype("<f4").tobytes())
print(json.dumps([symbols.hexdigest(), parameters.hexdigest()]))
"""


def hashes_in_a_process(**environment: str) -> list[str]:
    """SHA-256 of the symbols and of the parameters of all golden files, in a new process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HASHES, str(GOLDEN)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hashes: list[str] = json.loads(done.stdout)
    return hashes


def optional_features() -> list[str]:
    """CPU features that this numpy has other code for and that this machine has."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


@pytest.fixture(scope="module")
def hashes_here() -> list[str]:
    return hashes_in_a_process(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def test_other_instructions_give_the_same_bits(hashes_here: list[str]) -> None:
    """numpy's exp and sin give other bits without AVX-512; symbols and parameters must not."""
    features = optional_features()
    if not features:
        pytest.skip("this CPU or this numpy has no optional features to switch off")
    assert hashes_in_a_process(NPY_DISABLE_CPU_FEATURES=" ".join(features)) == hashes_here


def test_more_threads_give_the_same_bits(hashes_here: list[str]) -> None:
    threads = {f"{library}_NUM_THREADS": "2" for library in ("OMP", "OPENBLAS", "MKL")}
    assert hashes_in_a_process(**threads, PYTHONHASHSEED="1") == hashes_here


def test_golden_hashes_are_those_of_a_process(hashes_here: list[str]) -> None:
    """The process of the tests above does decode the golden files."""
    found = hashlib.sha256()
    for path in sorted(GOLDEN.glob("*.inrc")):
        header, sections = unpack(path.read_bytes())
        kinds = SectionType.PARAMETERS, SectionType.SPARSE
        coded = [section for section in sections if section.type in kinds]
        tracks = [track for track in header.tracks if track.spec.tensors()]
        for track, section in zip(tracks, coded, strict=True):
            sparse = section.type == SectionType.SPARSE
            symbols, _ = unpack_weights(track.spec, section.payload, "test", sparse)
            for tensor in track.spec.tensors():
                found.update(symbols[tensor.name].astype("<i4").tobytes())
    assert found.hexdigest() == hashes_here[0]
