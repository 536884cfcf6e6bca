"""Checks that the specification says what the package does, and that its own decoder works."""

from __future__ import annotations

import ast
import hashlib
import importlib
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec import errors
from inrcodec.bitstream import wire
from inrcodec.bitstream.container import Section, pack, unpack
from inrcodec.bitstream.header import Header, Track
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.priors import PRECISION, TABLES, table
from inrcodec.coding.quantize import STEPS, TensorRecipe, dequantize, step_size
from inrcodec.coding.weights import pack_weights, unpack_weights
from inrcodec.fields.siren import SirenSpec
from inrcodec.signal import Axis, SignalInfo

TESTS = Path(__file__).parent
SPEC = (TESTS.parent / "bitstream_spec.md").read_text(encoding="utf-8")
GOLDEN = sorted((TESTS / "golden" / "v1").glob("*.inrc"))
HOSTILE = sorted((TESTS / "hostile").glob("*.inrc"))

CODE = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", SPEC, re.MULTILINE | re.DOTALL))

every_golden = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
every_hostile = pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def decoder() -> dict[str, Any]:
    """The names that the Python blocks of the specification define, run in their order."""
    names: dict[str, Any] = {}
    exec(compile(CODE, "bitstream_spec.md", "exec"), names)
    return names


# --- tables of the text --------------------------------------------------------------------------


def rows_after(place: str) -> list[list[str]]:
    """Cells of the first table after a line or a part of one; its head is left out."""
    _, found, rest = SPEC.partition(place)
    assert found, f"the specification has no {place!r}"
    lines = rest.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def headings() -> set[str]:
    """What has a table of its own: the names in headings of the third level."""
    return set(re.findall(r"^### `([\w.]+)`$", SPEC, re.MULTILINE))


def enums() -> dict[str, type[IntEnum]]:
    return {
        name: value
        for name, value in vars(wire).items()
        if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
    }


def field_tables() -> dict[str, tuple[tuple[str, str], ...]]:
    return {name: value for name, value in vars(wire).items() if name.endswith("_FIELDS")}


CONSTANT_MODULES = [
    "inrcodec.bitstream.wire",
    "inrcodec.coding.priors",
    "inrcodec.coding.entropy",
    "inrcodec.coding.quantize",
    "inrcodec.coding.weights",
    "inrcodec.fields.siren",
]


def constants(module: ModuleType) -> dict[str, object]:
    """Public numbers, texts and bytes that the module itself defines."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    targets: Iterator[ast.expr] = (
        target
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for each in node.targets
        for target in (each.elts if isinstance(each, ast.Tuple) else [each])
    )
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    found = {
        name: getattr(module, name) for name in names if re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
    }
    return {k: v for k, v in found.items() if isinstance(v, int | float | str | bytes)}


def spelled(value: object) -> str:
    """A constant as the tables of the specification write it."""
    if isinstance(value, bytes):
        return f"`{value.hex()}`"
    return f"`{value}`" if isinstance(value, str) else f"{value}"


@pytest.mark.parametrize("name", enums())
def test_ids_are_those_of_the_package(name: str) -> None:
    told = {row[1].strip("`"): int(row[0], 0) for row in rows_after(f"### `{name}`\n")}
    assert told == {member.name: int(member) for member in enums()[name]}


@pytest.mark.parametrize("name", field_tables())
def test_fields_are_those_of_the_package(name: str) -> None:
    told = tuple((row[0].strip("`"), row[1]) for row in rows_after(f"### `{name}`\n"))
    assert told == field_tables()[name]


def test_limits_are_those_of_the_package() -> None:
    told = {row[0].strip("`"): int(row[1]) for row in rows_after("### `Limits`\n")}
    assert told == asdict(wire.DEFAULT_LIMITS)


@pytest.mark.parametrize("name", CONSTANT_MODULES)
def test_constants_are_those_of_the_package(name: str) -> None:
    told = {row[0].strip("`"): row[1] for row in rows_after(f"### `{name}`\n")}
    module = importlib.import_module(name)
    assert told == {key: spelled(value) for key, value in constants(module).items()}


def test_every_table_of_the_text_is_compared() -> None:
    """In both directions: nothing in the text that the package does not have."""
    assert headings() == {*enums(), *field_tables(), *CONSTANT_MODULES, "Limits"}


def test_types_of_fields_are_explained() -> None:
    explained = {row[0].strip("`") for row in rows_after("Numbers have these forms")}
    assert explained == {kind for fields in field_tables().values() for _, kind in fields}


# --- the smallest file ---------------------------------------------------------------------------


def smallest_file() -> tuple[bytes, bytes]:
    """The file of page one, made by the package, and its payload."""
    info = SignalInfo((Axis("y", 2), Axis("x", 2)), ("grey",), "uint8", (0.0, 255.0))
    spec = SirenSpec(inputs=2, outputs=1, depth=0, width=0, omega_0=30.0)
    symbols = {"weight0": np.array([[16, 8]], np.int32), "bias0": np.zeros(1, np.int32)}
    payload = pack_weights(spec, symbols, [TensorRecipe(72, 20)] * 2)
    header = Header((Track(info, spec),))
    return pack(header, [Section(SectionType.PARAMETERS, 0, payload)]), payload


def test_the_dump_is_the_file_byte_for_byte() -> None:
    dump, end = b"", 0
    for offset, text, _, _ in rows_after("as an affine function of its coordinates"):
        assert int(offset) == end, "every byte is explained, once"
        dump += bytes.fromhex(text.strip("`"))
        end = len(dump)
    data, _ = smallest_file()
    assert dump == data
    assert f"{len(data)} bytes:" in SPEC


def test_the_trace_is_what_the_range_coder_does(decoder: dict[str, Any]) -> None:
    _, payload = smallest_file()
    coder = decoder["RangeDecoder"](payload[1:])
    for number, (position, index, left, width, value, _) in enumerate(
        rows_after("The range coder gives, one after the other"), start=1
    ):
        reach, frequencies = decoder["TABLES"][int(index)]
        found = coder.symbol(frequencies)
        edges = [
            (sum(frequencies[:i]) * (2**24 - len(frequencies)) >> PRECISION) + i
            for i in (found, found + 1)
        ]
        assert int(position) == number
        assert (int(left), int(width)) == (edges[0], edges[1] - edges[0])
        assert int(value) == found - reach
    coder.finish()


def test_the_example_is_the_file() -> None:
    data, _ = smallest_file()
    decoded = inrcodec.decode(data).samples[..., 0].tolist()
    told = re.search(r"2 x 2 samples, `([\d /]+)`", SPEC)
    assert told
    assert [[int(n) for n in row.split()] for row in told[1].split("/")] == decoded


# --- the decoder of the text ---------------------------------------------------------------------


def test_the_decoder_stands_on_its_own() -> None:
    imported = [node for node in ast.walk(ast.parse(CODE)) if isinstance(node, ast.Import)]
    names = {alias.name for node in imported for alias in node.names}
    assert names == {"math", "struct", "zlib", "numpy"}
    assert "inrcodec" not in CODE


def test_the_range_decoder_is_short() -> None:
    (block,) = (part for part in SPEC.split("```python\n") if part.startswith("class RangeDecoder"))
    assert len(block.partition("```")[0].splitlines()) <= 40


def test_the_text_makes_the_tables_of_the_package(decoder: dict[str, Any]) -> None:
    digest = hashlib.sha256()
    for index in range(TABLES):
        reach, frequencies = decoder["TABLES"][index]
        assert (reach, tuple(frequencies)) == (table(index).reach, table(index).frequencies)
        digest.update(np.array(frequencies, "<u4").tobytes())
    assert f"`{digest.hexdigest()}`" in SPEC
    assert f"{4 * sum(len(table(i).frequencies) for i in range(TABLES)):,} bytes" in SPEC


def test_the_text_makes_the_steps_of_the_package(decoder: dict[str, Any]) -> None:
    assert [decoder["step_size"](i) for i in range(STEPS)] == [step_size(i) for i in range(STEPS)]


def test_the_code_of_the_text_has_the_limits_of_the_text(decoder: dict[str, Any]) -> None:
    assert decoder["LIMITS"] == asdict(wire.DEFAULT_LIMITS)


@every_golden
def test_both_decoders_agree_on_a_golden_file(decoder: dict[str, Any], path: Path) -> None:
    """Symbols, parameters and metadata to the bit, samples within one code value of 8 bits."""
    data = path.read_bytes()
    tracks, symbols, parameters, samples, metadata = decoder["decode"](data)
    header, sections = unpack(data)
    assert len(tracks) == len(header.tracks)
    for ours, section, theirs, restored in zip(
        header.tracks, sections, symbols, parameters, strict=False
    ):
        coded, recipes = unpack_weights(ours.spec, section.payload, path.stem)
        field = dequantize(ours.spec, coded, recipes)
        for index, tensor in enumerate(ours.spec.tensors()):
            assert (theirs[index] == coded[tensor.name]).all()
            assert (restored[index] == field.parameters[tensor.name]).all()
            assert restored[index].dtype == np.float32
    signal = inrcodec.decode(data)
    assert metadata == signal.metadata
    assert_close(samples, signal)
    axes = [(a.name, a.size, a.spacing, a.origin, a.unit) for a in signal.info.axes]
    assert [tuple(axis) for axis in tracks[0]["axes"]] == axes
    assert tuple(tracks[0]["range"]) == signal.info.value_range
    names = [name for track in tracks for name in track["channels"]]
    assert names == list(signal.info.channels)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (20, 24), (13, 24), (41, 50), (7, 90)])
@pytest.mark.parametrize("name", ["rgb", "rgba", "float32", "uint16_with_geometry"])
def test_both_decoders_agree_at_other_sizes(
    decoder: dict[str, Any], name: str, size: tuple[int, int]
) -> None:
    """Smaller ones are means, larger ones are asked more densely."""
    data = (TESTS / "golden" / "v1" / f"{name}.inrc").read_bytes()
    assert_close(decoder["decode"](data, size)[3], inrcodec.decode(data, size=size))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_both_decoders_read_the_same_out_of_any_bytes(decoder: dict[str, Any], data: bytes) -> None:
    """Symbols and recipes to the bit, or a refusal from both."""
    spec = SirenSpec(inputs=2, outputs=1, depth=1, width=2)
    payload = bytes([spec.parameter_count]) + data
    track = {"widths": [2, 2, 1]}
    try:
        coded, recipes = unpack_weights(spec, payload, "test")
    except errors.CorruptError:
        with pytest.raises(decoder["Refused"]):
            decoder["read_parameters"](track, payload)
        return
    symbols, parameters = decoder["read_parameters"](track, payload)
    field = dequantize(spec, coded, recipes)
    for index, tensor in enumerate(spec.tensors()):
        assert (symbols[index] == coded[tensor.name]).all()
        assert (parameters[index] == field.parameters[tensor.name]).all()


def assert_close(samples: np.ndarray, signal: inrcodec.Signal) -> None:
    assert samples.shape == signal.samples.shape
    assert samples.dtype == signal.samples.dtype
    low, high = signal.info.value_range
    difference = np.abs(samples.astype(np.float64) - signal.samples)
    assert difference.max() <= (high - low) / 255
    if samples.dtype == np.uint8:
        assert np.count_nonzero(difference) <= max(1, difference.size // 10_000)


# --- rules ---------------------------------------------------------------------------------------


def rules() -> dict[str, str]:
    """Error class of every rule."""
    return {row[0]: row[1] for row in rows_after("### Rules\n")}


def test_rules_are_numbered_without_gaps() -> None:
    assert list(rules()) == [f"R{number:02}" for number in range(1, len(rules()) + 1)]


def test_every_rule_of_the_text_is_in_the_table() -> None:
    """And every rule of the table stands in the text or in its decoder."""
    front, _, table_and_rest = SPEC.partition("### Rules\n")
    told = set(re.findall(r"\bR\d\d\b", front + table_and_rest.partition("## 14")[2]))
    assert told == rules().keys()


def test_every_rule_has_a_hostile_file() -> None:
    assert {path.name[:3] for path in HOSTILE} == rules().keys()


@every_hostile
def test_the_decoder_of_the_text_names_the_rule(decoder: dict[str, Any], path: Path) -> None:
    started = time.process_time()
    with pytest.raises(decoder["Refused"]) as caught:
        decoder["decode"](path.read_bytes())
    assert str(caught.value) == path.name[:3]
    assert time.process_time() - started < 5


@every_hostile
def test_the_package_gives_the_error_of_the_text(path: Path) -> None:
    names = {row[0]: row[2].strip("`") for row in rows_after("Four classes of error")}
    with pytest.raises(getattr(errors, names[rules()[path.name[:3]]])):
        inrcodec.decode(path)
