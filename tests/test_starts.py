"""Checks the networks that parameters are differences to: what they are, and where they apply."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import StartId
from inrcodec.codec import as_signal, encode_signal
from inrcodec.coding import starts
from inrcodec.coding.quantize import TensorRecipe, dequantize
from inrcodec.coding.starts import FRACTION_BITS, has_start, start_values
from inrcodec.errors import UnsupportedError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.pyramid_spec import LEVELS, LONG_FROM, LOW_FROM, STARTS, started
from inrcodec.fitting.settings import Settings

FILE = Path(starts.__file__).with_name("starts.npz")

RELEASED = {
    StartId.RGB_12_12_24_2: "7110524a66d64412ff67ce109493993c41df7f43befc7a3a7f35292a5f32c38e",
    StartId.RGB_16_16_32_2: "c779856131dd0fd5195e84671b611b338429c97c18b691fa8c428d3d12f92ae9",
    StartId.RGB_20_20_48_2: "cd20bee0cd567a924348be1a5e01c050809d58e9b5b8bedf51107e0fbe89f649",
    StartId.GREY_12_12_24_2: "2a33a353225a039b49d14ff37febe9c004b34fe9ee58ed8a2acdfed2a9bae9d9",
    StartId.RGB_12_12_24_2_LOW: "6f1ca1054f6d988100cd11920158b602042774a0f56054d0457f310fc1a71c56",
    StartId.RGB_12_12_24_2_HIGH: "f9df3424a9ad5d8e932b7a78d5839d776e3e183ae3968857e217896cafc946bb",
    StartId.GREY_12_12_24_2_LOW: "b499e9d34b0e5578e7240fe69b35df15778b5368d6f0de1517bd98acb333ce5b",
    StartId.GREY_12_12_24_2_HIGH: (
        "fb13298a5e277a6ffea216500fd46eab1e7dbf323a22372b95f9b1331a5cd5ca"
    ),
}
"""SHA-256 of the values of every start, little-endian, in the order of the file. Append only: files
that name a start mean these very numbers."""

RGB = PyramidSpec((40, 30), 3, 7, (12, 12), (24,), 2, start=1)


def arrays() -> dict[int, dict[str, np.ndarray]]:
    """What the file holds, by start and name."""
    found: dict[int, dict[str, np.ndarray]] = {}
    with np.load(FILE, allow_pickle=False) as file:
        for name in file.files:
            number, _, rest = name.partition("/")
            found.setdefault(int(number), {})[rest] = file[name]
    return found


def test_a_start_never_changes() -> None:
    digests = {}
    for number, each in arrays().items():
        values = b"".join(array.astype("<i2").tobytes() for array in each.values())
        digests[number] = hashlib.sha256(values).hexdigest()
    assert digests == {int(number): digest for number, digest in RELEASED.items()}


def test_starts_are_16_bit_integers_of_known_ids() -> None:
    for number, each in arrays().items():
        assert number in set(StartId) - {StartId.NONE}
        assert {array.dtype for array in each.values()} == {np.dtype(np.int16)}
        assert has_start(number)


@pytest.mark.parametrize("number", arrays())
def test_a_start_fits_its_own_architecture_entirely(number: int) -> None:
    """Every array of it, and every array of the architecture that its id names."""
    known = next(known for known, starts in STARTS.items() if number in starts)
    spec = PyramidSpec((300, 400), known[3], LEVELS, *known[:3])
    asked = [(100, 1e-2), (LONG_FROM, 1e-2), (LONG_FROM, 1e-4)]
    assert number in {started(spec, weight, steps).start for steps, weight in asked}
    spec = replace(spec, start=number)
    values = start_values(spec)
    own = arrays()[number]
    assert len(own) == len(values)
    for (name, array), value in zip(own.items(), values.values(), strict=True):
        assert (np.ldexp(array.astype(float), -FRACTION_BITS) == value).all(), name


def test_arrays_are_matched_by_role_and_count() -> None:
    """One hidden layer of the same width: the first layer fits, the others have another shape."""
    own = arrays()[1]
    values = start_values(replace(RGB, contexts=(12,), synthesis=()))
    assert (values["context_weight0"] * 2**FRACTION_BITS == own["context0"]).all()
    assert (values["context_bias0"] * 2**FRACTION_BITS == own["context_bias0"]).all()
    # The second of its role is a hidden layer there and the last layer here.
    assert own["context1"].shape != values["context_weight1"].shape
    assert not values["context_weight1"].any()
    # The skip is the third here and the fourth there.
    assert not values["context_skip"].any()
    assert (values["residual_weight1"] * 2**FRACTION_BITS == own["residual1"]).all()


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (replace(RGB, levels=6), "upsampling"),
        (replace(RGB, levels=8), "upsampling"),
        (replace(RGB, outputs=1), "residual_weight0"),
        (replace(RGB, contexts=(11, 12)), "context_weight0"),
        (replace(RGB, contexts=(13, 12)), "context_weight0"),
        (replace(RGB, lattice=(40,)), "context_weight0"),
        (replace(RGB, lattice=(4, 3, 5)), "residual_weight0"),
    ],
)
def test_an_array_of_another_shape_starts_from_zero(spec: PyramidSpec, name: str) -> None:
    """Whether the start's is larger or smaller: nothing is cut out of it."""
    values = start_values(spec)
    for tensor in spec.tensors():
        assert values[tensor.name].shape == tensor.shape
    assert start_values(RGB)[name].any()
    assert not values[name].any()


@pytest.mark.parametrize("spec", [replace(RGB, start=0), SirenSpec(2, 3, 2, 5)])
def test_without_a_start_all_is_zero(spec: PyramidSpec | SirenSpec) -> None:
    values = start_values(spec)
    assert list(values) == [tensor.name for tensor in spec.tensors()]
    assert not any(array.any() for array in values.values())


def test_a_parameter_is_start_plus_symbol_times_step() -> None:
    generator = np.random.default_rng(0)
    tensors = RGB.tensors()
    symbols = {t.name: generator.integers(-9, 10, t.shape).astype(np.int32) for t in tensors}
    found = dequantize(RGB, symbols, [TensorRecipe(80, 20)] * len(tensors)).parameters
    for name, value in start_values(RGB).items():
        assert (found[name] == (value + symbols[name] / 16).astype(np.float32)).all()


def test_a_start_without_arrays_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_read", lambda number: arrays()[1] if number == 3 else {})
    assert not has_start(1)
    with pytest.raises(UnsupportedError, match="start 1"):
        start_values(RGB)
    start_values(replace(RGB, start=3))


def test_what_a_fit_starts_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learnt at its length and its rate; nothing for what is no picture."""
    spec = replace(RGB, start=0)

    def name(steps: int, weight: float) -> StartId:
        return StartId(started(spec, weight, steps).start)

    assert name(LONG_FROM - 1, 1e-2) == name(LONG_FROM - 1, 1e-5) == StartId.RGB_12_12_24_2
    assert name(LONG_FROM, LOW_FROM) == StartId.RGB_12_12_24_2_LOW
    assert name(LONG_FROM, 0.99 * LOW_FROM) == StartId.RGB_12_12_24_2_HIGH
    assert started(replace(spec, lattice=(40,)), 1e-2, 500).start == StartId.NONE
    assert started(replace(spec, outputs=2), 1e-2, 500).start == StartId.NONE
    monkeypatch.setattr(starts, "_read", lambda number: {})
    assert name(500, 1e-2) == StartId.NONE


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({"steps": 20}, StartId.RGB_12_12_24_2),
        ({"steps": LONG_FROM, "rate_weight": 1e-2}, StartId.RGB_12_12_24_2_LOW),
        ({"steps": LONG_FROM, "quality": 80.0}, StartId.RGB_12_12_24_2_HIGH),
        ({"steps": LONG_FROM, "bpp": 40.0}, StartId.RGB_12_12_24_2_HIGH),
    ],
)
def test_the_file_names_the_start(settings: dict[str, Any], start: StartId) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    coded = encode_signal(as_signal(samples), Settings(**settings))
    assert unpack(coded.data)[0].tracks[0].spec.start == start
