"""Checks that the bits of a file's parts are all there, and are those that the coder spends."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import inrcodec
from bench import bits
from inrcodec.bitstream.container import Section, pack, unpack
from inrcodec.bitstream.describe import describe
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.entropy import SymbolEncoder
from inrcodec.coding.priors import SCALES, table
from inrcodec.coding.quantize import TensorRecipe
from inrcodec.coding.weights import (
    DELTA_TABLE,
    EXPECTED,
    FIRST_SCALE,
    FIRST_STEP,
    STEP_TABLE,
    SWITCH_TABLE,
    code_length,
    unpack_weights,
)

TESTS = Path(__file__).parent
GOLDEN = sorted((TESTS / "golden" / "v1").glob("*.inrc"))
DAMAGED = TESTS / "hostile" / "R21_section_checksum.inrc"
NEWER = TESTS / "hostile" / "R03_major_version_2.inrc"
TURNS = 64

every_golden = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)


def tensors_of(data: bytes) -> dict[tuple[int, str], tuple[np.ndarray, int]]:
    """Symbols and table of every tensor, by section and name."""
    header, sections = unpack(data)
    found = {}
    for index, section in enumerate(sections):
        if section.type == SectionType.PARAMETERS:
            spec = header.tracks[section.track].spec
            symbols, recipes = unpack_weights(spec, section.payload, "test")
            for tensor, recipe in zip(spec.tensors(), recipes, strict=True):
                found[index, tensor.name] = symbols[tensor.name], recipe.table
    return found


def listed(data: bytes) -> dict[tuple[int, str], bits.Part]:
    """The parts that are tensors, by section and name."""
    return {
        (int(part.place.split()[1]), part.name): part
        for part in bits.parts_of(data)
        if part.shape is not None
    }


def whole(parts: tuple[bits.Part, ...]) -> float:
    return sum(part.bits for part in parts)


@pytest.mark.parametrize("net", ["2x6", "4/5/1"])
@pytest.mark.parametrize("shape", [(24, 20, 3), (24, 20, 4), (9, 7), (9, 7, 2), (1, 1, 3)], ids=str)
def test_parts_of_a_picture_add_up_to_its_file(
    shape: tuple[int, ...], net: str, photo: np.ndarray
) -> None:
    height, width, *rest = shape
    colours = np.concatenate([photo, photo[::-1, :, :1]], axis=-1)[:height, :width]
    picture = colours[..., 0] if not rest else colours[..., -rest[0] :]
    data = inrcodec.encode(picture, net=net, steps=5, effort=1, device="cpu")
    parts = bits.parts_of(data)
    assert whole(parts) == pytest.approx(8 * len(data), abs=1e-6)
    tracks = 1 + (rest in ([2], [4]))
    places = {part.place for part in parts}
    assert len(places) == 1 + (1 if net == "2x6" else 2) * tracks
    overhead = sum(part.bits for part in parts if part.group == "container")
    counts = sum(part.bits for part in parts if part.name.startswith("number of "))
    assert overhead - counts == 8 * inrcodec.info(data)["overhead"]


@every_golden
def test_every_section_of_a_file_is_listed_whole(path: Path) -> None:
    data = path.read_bytes()
    parts = bits.parts_of(data)
    assert whole(parts) == pytest.approx(8 * len(data), abs=1e-6)
    for index, section in enumerate(describe(data)["sections"]):
        own = [part for part in parts if part.place.startswith(f"section {index} ")]
        framing, *payload = own
        assert sum(part.bits for part in payload) == pytest.approx(8 * section["bytes"], abs=1e-6)
        assert framing.bits in (8 * 7, 8 * 8, 8 * 9)
    # Two words at the most end a run, and at least the zero bytes that are left out are missing.
    assert all(-64 <= part.bits <= 64 for part in parts if part.group == "coder")


@every_golden
def test_every_latent_is_listed_once(path: Path) -> None:
    data = path.read_bytes()
    parts = bits.parts_of(data)
    for number, track in enumerate(unpack(data)[0].tracks):
        own = [part for part in parts if part.place.endswith(f"(latents of track {number})")]
        levels = [part for part in own if part.group == "latents"]
        assert sum(part.values or 0 for part in levels) == getattr(track.spec, "latent_count", 0)
        assert all(part.bits >= 1 for part in levels)


@every_golden
def test_a_tensor_costs_what_its_own_run_of_the_coder_costs(path: Path) -> None:
    data = path.read_bytes()
    parts = listed(data)
    tensors = tensors_of(data)
    assert parts.keys() == tensors.keys()
    for key, (symbols, index) in tensors.items():
        encoder = SymbolEncoder()
        # Many times, so that the end of the run counts for little.
        for _ in range(TURNS):
            encoder.put(symbols.ravel(), index)
        assert 8 * len(encoder.finish()) / TURNS == pytest.approx(
            parts[key].bits, rel=2e-3, abs=2 * 64 / TURNS
        )


@every_golden
def test_a_tensor_costs_what_the_integers_of_its_table_say(path: Path) -> None:
    data = path.read_bytes()
    parts = listed(data)
    for key, (symbols, index) in tensors_of(data).items():
        reach, frequencies = table(index).reach, table(index).frequencies
        product, plain = 1, 0
        for symbol in symbols.ravel().tolist():
            inside = abs(symbol) <= reach
            product *= frequencies[symbol + reach if inside else -1]
            # Escapes: as many ones as digits after a zero, and a sign.
            plain += 0 if inside else 2 * (abs(symbol) - reach).bit_length()
        # The logarithm of one product of integers: nothing is rounded before.
        assert parts[key].bits == pytest.approx(16 * symbols.size + plain - math.log2(product))
        assert parts[key].values == symbols.size


def test_recipes_cost_their_differences() -> None:
    first = TensorRecipe(FIRST_STEP, FIRST_SCALE)
    other = TensorRecipe(FIRST_STEP - 3, FIRST_SCALE + SCALES + 2)
    zero, same = bits.recipe_bits([], []), bits.recipe_bits(["weight"], [first])
    assert zero == 0
    assert same == pytest.approx(
        2 * code_length(np.zeros(1, np.int32), DELTA_TABLE)
        + code_length(np.zeros(1, np.int32), SWITCH_TABLE)
    )
    # Predicted by the last of the same role only.
    once = bits.recipe_bits(["weight"], [other])
    assert once > same
    assert bits.recipe_bits(["weight"] * 3, [other] * 3) == pytest.approx(once + 2 * same)
    assert bits.recipe_bits(["weight", "bias"], [other] * 2) == pytest.approx(2 * once)


def test_recipes_of_a_pyramid_cost_their_differences_to_what_is_expected() -> None:
    step, total = EXPECTED["context"]
    none = code_length(np.zeros(1, np.int32), STEP_TABLE)
    rest = bits.recipe_bits(["weight"], [TensorRecipe(FIRST_STEP, FIRST_SCALE)])
    rest -= code_length(np.zeros(1, np.int32), DELTA_TABLE)
    for change in (0, 3, -3):
        # Spread as ever, whatever the step: only that differs.
        recipe = TensorRecipe(step + change, total - step - change)
        own = code_length(np.array([change], np.int32), STEP_TABLE)
        assert bits.recipe_bits(["context"], [recipe]) == pytest.approx(rest + own)
        assert bits.recipe_bits(["context"] * 2, [recipe] * 2) == pytest.approx(
            2 * rest + own + none
        )


def test_sections_of_the_future_are_counted(small_file: bytes) -> None:
    header, sections = unpack(small_file)
    data = pack(header, [*sections, Section(0x33, 0, b"of the future")])
    parts = bits.parts_of(data)
    assert whole(parts) == pytest.approx(8 * len(data), abs=1e-6)
    assert (parts[-1].place.split()[2], parts[-1].bits) == ("(0x33", 8 * 13)


def test_the_mean_of_unequal_files_adds_up_to_their_mean_size() -> None:
    files = [bits.parts_of(path.read_bytes()) for path in GOLDEN]
    mean = bits.mean_parts(files)
    size = sum(path.stat().st_size for path in GOLDEN) / len(GOLDEN)
    assert whole(mean) == pytest.approx(8 * size, abs=1e-6)
    text = bits.report(mean, len(GOLDEN))
    places = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(places) == len(set(places)) == len({part.place for part in mean})


def test_the_mean_of_one_file_twice_is_that_file(small_file: bytes) -> None:
    parts = bits.parts_of(small_file)
    mean = bits.mean_parts([parts, parts])
    for part, same in zip(parts, mean, strict=True):
        assert (same.name, same.bits, same.step) == (part.name, part.bits, part.step)
        assert same.files == 2


def test_tables_and_json_say_the_same(
    tmp_path: Path, small_file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photo.inrc"
    path.write_bytes(small_file)
    assert bits.main([str(path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["files"][0]
    assert bits.main([str(path)]) == 0
    lines = capsys.readouterr().out.partition("| group |")[0].splitlines()
    assert record["bytes"] == len(small_file)
    assert sum(part["bits"] for part in record["parts"]) == pytest.approx(8 * len(small_file))
    assert sum(part["share"] for part in record["parts"]) == pytest.approx(1)
    assert sum(record["bits"].values()) == pytest.approx(8 * len(small_file))
    for part in record["parts"]:
        (line,) = (row for row in lines if row.startswith(f"| {part['name']} |"))
        assert f"{part['bits']:,.1f}" in line


def test_a_bad_file_gives_one_line_and_the_rest_goes_on(
    tmp_path: Path, small_file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photo.inrc"
    path.write_bytes(small_file)
    missing = str(tmp_path / "missing.inrc")
    for bad, code in ((str(DAMAGED), 4), (str(NEWER), 5), (missing, 3), (str(tmp_path), 3)):
        assert bits.main([bad, str(path)]) == code
        out, err = capsys.readouterr()
        assert err.count("\n") == 1
        assert err.startswith(f"bits: {bad}: ")
        assert "weight0" in out
    assert bits.main([missing, str(DAMAGED), "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == {"files": [], "mean": None}
