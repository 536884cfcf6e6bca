"""Checks that the specification says what the package does, and that its own decoder works."""

from __future__ import annotations

import ast
import hashlib
import importlib
import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
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
from inrcodec.bitstream.kinds import tile_count
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latent_tables import LATENT_TABLES, PHASED, PHASES, numbered_table
from inrcodec.coding.latents import pack_levels, tile_window, unpack_levels
from inrcodec.coding.planes import DenseLatents
from inrcodec.coding.priors import PRECISION, TABLES, table
from inrcodec.coding.quantize import STEPS, TensorRecipe, dequantize, step_size
from inrcodec.coding.weights import EXPECTED, best_table, pack_weights, unpack_weights
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets
from inrcodec.fields.siren import SirenSpec
from inrcodec.query import interpolation
from inrcodec.query.render import render
from inrcodec.signal import Axis, SignalInfo

TESTS = Path(__file__).parent
SPEC = (TESTS.parent / "bitstream_spec.md").read_text(encoding="utf-8")
GOLDEN = sorted((TESTS / "golden" / "v1").glob("*.inrc"))
HOSTILE = sorted((TESTS / "hostile").glob("*.inrc"))

BASES = TESTS / "golden" / "bases"

STARTS = TESTS.parent / "inrcodec" / "coding" / "starts.npz"

CODE = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", SPEC, re.MULTILINE | re.DOTALL))

every_golden = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
every_hostile = pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def decoder() -> dict[str, Any]:
    """The names that the Python blocks of the specification define, run in their order."""
    names: dict[str, Any] = {}
    exec(compile(CODE, "bitstream_spec.md", "exec"), names)
    with np.load(STARTS, allow_pickle=False) as file:
        names["STARTS"].update(file)
    for path in BASES.glob("*.safetensors"):
        data = path.read_bytes()
        names["BASES"][hashlib.sha256(data).hexdigest()[:16]] = data
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
    "inrcodec.coding.dictionary",
    "inrcodec.coding.starts",
    "inrcodec.coding.weights",
    "inrcodec.coding.latent_tables",
    "inrcodec.coding.context",
    "inrcodec.coding.latents",
    "inrcodec.coding.grids",
    "inrcodec.fields.activations",
    "inrcodec.fields.encodings",
    "inrcodec.coding.patch_contexts",
    "inrcodec.fields.modulated",
    "inrcodec.fields.siren",
    "inrcodec.fields.pyramid",
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


def test_expected_recipes_are_those_of_the_package(decoder: dict[str, Any]) -> None:
    told = {row[0].strip("`"): (int(row[1]), int(row[2])) for row in rows_after("### `EXPECTED`\n")}
    assert told == EXPECTED == decoder["EXPECTED"]


def test_starts_are_those_of_the_package() -> None:
    """Every start of the file, and no other, with what its values are."""
    found: dict[str, list[np.ndarray]] = {}
    with np.load(STARTS, allow_pickle=False) as file:
        for name in file.files:
            found.setdefault(name.partition("/")[0], []).append(file[name])
    rows = []
    for number, arrays in sorted(found.items()):
        assert {array.dtype for array in arrays} == {np.dtype("<i2")}
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
        rows.append([number, f"{len(arrays)}", f"{sum(a.size for a in arrays)}", f"`{digest}`"])
    assert rows_after("### `STARTS`\n") == rows


def test_every_table_of_the_text_is_compared() -> None:
    """In both directions: nothing in the text that the package does not have."""
    special = {"Limits", "EXPECTED", "STARTS"}
    assert headings() == {*enums(), *field_tables(), *CONSTANT_MODULES, *special}


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


def small_pyramid() -> tuple[bytes, list[np.ndarray]]:
    """The file at the end of the page, made by the package, and its latents."""
    axes = Axis("y", 4), Axis("x", 4)
    spec = PyramidSpec((4, 4), 1, 2, (), (), 0)
    symbols = {tensor.name: np.zeros(tensor.shape, np.int32) for tensor in spec.tensors()}
    # In 1/64: the mean is a quarter of the covering latent, the scale 1/2.
    symbols["context_weight0"][0, 14] = 16
    symbols["context_bias0"][:] = 0, -64
    symbols["upsampling"][:] = 0, 16, 48, 0
    symbols["synthesis_weight0"][:] = 4, 8
    recipes = [TensorRecipe(72, best_table(symbols[t.name])) for t in spec.tensors()]
    fine = [[0, 0, 0, 1], [0, -1, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    planes = [np.array(fine, np.int32), np.array([[-2, 0], [3, 1]], np.int32)]
    payload = pack_weights(spec, symbols, recipes)
    field = dequantize(spec, symbols, recipes)
    sections = [Section(SectionType.PARAMETERS, 0, payload)]
    for run in latents_sections(spec, field, planes, [2]):
        sections.append(Section(SectionType.LATENTS, 0, run))
    track = Track(SignalInfo(axes, ("grey",), "uint8", (0.0, 255.0)), spec)
    return pack(Header((track,)), sections), planes


def test_the_small_pyramid_is_the_file_byte_for_byte(decoder: dict[str, Any]) -> None:
    data, planes = small_pyramid()
    assert data == decoder["SMALL_PYRAMID"]
    for ours, theirs in zip(planes, decoder["decode"](data)[3][0], strict=True):
        assert (ours == theirs).all()


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
    assert names == {"json", "math", "struct", "zlib", "numpy"}
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


def test_the_text_makes_the_tables_of_latents(decoder: dict[str, Any]) -> None:
    digest, size = hashlib.sha256(), 0
    for number in range(LATENT_TABLES):
        theirs = numbered_table(number)
        index = number // PHASES if number < PHASED * PHASES else number - PHASED * (PHASES - 1)
        phase = number % PHASES - PHASES // 2 if index < PHASED else 0
        reach, frequencies = decoder["latent_table"](phase, index)
        assert (reach, tuple(frequencies)) == (theirs.reach, theirs.frequencies)
        digest.update(np.array(frequencies, "<u4").tobytes())
        size += 4 * len(frequencies)
    assert f"{LATENT_TABLES} tables" in SPEC
    assert f"`{digest.hexdigest()}`" in SPEC
    assert f"{size:,} bytes" in SPEC


def test_the_text_makes_the_steps_of_the_package(decoder: dict[str, Any]) -> None:
    assert [decoder["step_size"](i) for i in range(STEPS)] == [step_size(i) for i in range(STEPS)]


def test_the_code_of_the_text_has_the_limits_of_the_text(decoder: dict[str, Any]) -> None:
    assert decoder["LIMITS"] == asdict(wire.DEFAULT_LIMITS)


@every_golden
def test_both_decoders_agree_on_a_golden_file(decoder: dict[str, Any], path: Path) -> None:
    """Symbols, parameters and metadata to the bit, samples within one code value of 8 bits."""
    data = path.read_bytes()
    tracks, symbols, parameters, latents, samples, metadata = decoder["decode"](data)
    header, sections = unpack(data)
    kinds = SectionType.PARAMETERS, SectionType.SPARSE
    stored = [each for each in sections if each.type in kinds]
    own = [index for index, each in enumerate(header.tracks) if each.spec.tensors()]
    for index, section in zip(own, stored, strict=True):
        ours, theirs, restored = header.tracks[index], symbols[index], parameters[index]
        sparse = section.type == SectionType.SPARSE
        coded, recipes = unpack_weights(ours.spec, section.payload, path.stem, sparse)
        field = dequantize(ours.spec, coded, recipes)
        for place, tensor in enumerate(ours.spec.tensors()):
            assert (theirs[place] == coded[tensor.name]).all()
            assert (restored[place] == field.parameters[tensor.name]).all()
            assert restored[place].dtype == np.float32
    for layer, planes in zip(inrcodec.open(data).layers, latents, strict=True):
        for level, plane in enumerate(planes):
            window = [(0, size) for size in plane.shape]
            assert (layer.field.latents.read(level, window) == plane).all()
    signal = inrcodec.decode(data)
    assert metadata == signal.metadata
    assert_close(samples, signal)
    if any(section.type == SectionType.RESIDUAL for section in sections):
        np.testing.assert_array_equal(samples, signal.samples)
    if signal.missing is not None:
        gone = samples == (math.nan if signal.info.fill is None else signal.info.fill)
        gone |= np.isnan(samples)
        np.testing.assert_array_equal(gone, signal.missing)
    axes = [(a.name, a.size, a.spacing, a.origin, a.unit) for a in signal.info.axes]
    assert [tuple(axis) for axis in tracks[0]["axes"]] == axes
    assert tuple(tracks[0]["range"]) == signal.info.value_range
    names = [name for track in tracks for name in track["channels"]]
    assert names == list(signal.info.channels)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (20, 24), (13, 24), (41, 50), (7, 90)])
@pytest.mark.parametrize("name", ["rgb", "rgba", "float32", "modulated", "uint16_with_geometry"])
def test_both_decoders_agree_at_other_sizes(
    decoder: dict[str, Any], name: str, size: tuple[int, int]
) -> None:
    """Smaller ones are means, larger ones are asked more densely."""
    data = (TESTS / "golden" / "v1" / f"{name}.inrc").read_bytes()
    assert_close(decoder["decode"](data, size)[4], inrcodec.decode(data, size=size))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_both_decoders_read_the_same_out_of_any_bytes(
    decoder: dict[str, Any], data: bytes, sparse: bool
) -> None:
    """Symbols and recipes to the bit, or a refusal from both."""
    spec = SirenSpec(inputs=2, outputs=1, depth=1, width=2)
    payload = bytes([spec.parameter_count]) + data
    track = {"kind": 1, "layers": [(2, 2), (2, 1)]}
    try:
        coded, recipes = unpack_weights(spec, payload, "test", sparse)
    except (errors.CorruptError, errors.UnsupportedError):
        with pytest.raises(decoder["Refused"]):
            decoder["read_parameters"](track, payload, sparse)
        return
    symbols, parameters = decoder["read_parameters"](track, payload, sparse)
    field = dequantize(spec, coded, recipes)
    for index, tensor in enumerate(spec.tensors()):
        assert (symbols[index] == coded[tensor.name]).all()
        assert (parameters[index] == field.parameters[tensor.name]).all()


def test_the_text_has_the_kernel_of_the_package(decoder: dict[str, Any]) -> None:
    told = rows_after("12 K is\n")
    assert tuple(tuple(map(int, row[1:])) for row in told) == interpolation.PIECES
    assert decoder["PIECES"] == interpolation.PIECES
    fraction = np.arange(0, 1, 1 / 64)
    ours = interpolation.tap_weights(fraction)
    for tap, weights in zip(interpolation.TAPS, ours, strict=True):
        piece = abs(tap) if tap < 0 else tap - 1
        theirs = decoder["kernel"](piece, fraction if tap < 0 else 1 - fraction)
        assert (theirs.astype(np.float32) == weights).all()


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_the_text_has_the_contexts_of_the_package(decoder: dict[str, Any], axes: int) -> None:
    own = [(0, offset) for offset in causal_offsets(axes)]
    assert decoder["context_offsets"]({"lattice": [1] * axes}) == [*own, *coarser_offsets(axes)]
    told = re.search(r"There are (\d+), (\d+), (\d+), (\d+);", SPEC)
    assert told
    assert int(told[axes]) == len(own)


@st.composite
def pyramids(draw: st.DrawFn) -> PyramidSpec:
    """Small ones of 1 to 4 axes."""
    axes, levels = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    kept = draw(st.integers(0, axes - 1))
    lattice = tuple(draw(st.integers(1, (40, 12, 6, 4)[axes - 1])) for _ in range(axes))
    layers = st.lists(st.integers(1, 5), max_size=3).map(tuple)
    unit = 2 ** (levels - 1)
    tile = unit * draw(st.integers(0, (max(lattice) - 1) // unit))
    outputs, residuals = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    if axes == 2 and draw(st.booleans()):
        # What fits the start in part, or in whole.
        contexts, synthesis = draw(st.sampled_from([((12, 12), (24,)), ((12,), ()), ((), (24,))]))
        levels, tile, outputs = draw(st.integers(6, 8)), 0, draw(st.sampled_from([1, 3]))
        return PyramidSpec(lattice, outputs, levels, contexts, synthesis, residuals, tile, 1, kept)
    networks = draw(layers), draw(layers)
    return PyramidSpec(lattice, outputs, levels, *networks, residuals, tile, kept=kept)


def track_of(decoder: dict[str, Any], spec: PyramidSpec) -> dict[str, Any]:
    """What the decoder of the text makes of the header, for more axes than have ids."""
    lattice = list(spec.lattice)
    track = {"kind": 2, "lattice": lattice, "channels": ["any"] * spec.outputs, "tile": spec.tile}
    track["edges"] = list(spec.edges)
    track |= {"levels": spec.levels, "residuals": spec.residuals, "start": spec.start}
    track |= {"kept": spec.kept, "rank": 0, "native": lattice}
    track["contexts"] = [len(decoder["context_offsets"](track)), *spec.contexts, 2]
    track["synthesis"] = [spec.levels, *spec.synthesis, spec.outputs]
    return track


def random_field(spec: PyramidSpec, seed: int, steps: tuple[int, int]) -> tuple[Field, bytes]:
    """Parameters of which those of contexts are coarse or fine, and their payload."""
    generator = np.random.default_rng(seed)
    symbols, recipes = {}, []
    for tensor in spec.tensors():
        symbols[tensor.name] = generator.integers(-8, 9, tensor.shape).astype(np.int32)
        step = int(generator.integers(*steps)) if tensor.role.startswith("context") else 80
        recipes.append(TensorRecipe(step, 14))
    return dequantize(spec, symbols, recipes), pack_weights(spec, symbols, recipes)


def random_latents(spec: PyramidSpec, seed: int, spread: float) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    planes = []
    for level in range(spec.levels):
        plane = np.rint(generator.laplace(0, spread, spec.grid(level)))
        # Now and then a level of zeros, or one with an outlier.
        plane *= generator.random() > 0.2
        plane.flat[0] += (generator.random() > 0.8) * 30_000
        planes.append(np.clip(plane, -32767, 32767).astype(np.int32))
    return planes


def latents_sections(
    spec: PyramidSpec, field: Field, planes: list[np.ndarray], groups: list[int]
) -> list[bytes]:
    """Payloads, made by the package."""
    network = IntegerNetwork.of(spec, field.parameters)
    payloads, rest = [], spec.levels
    for count in groups:
        levels = range(rest - 1, rest - 1 - count, -1)
        for tile in range(tile_count(spec)):
            views = [
                plane[tuple(slice(*ends) for ends in tile_window(spec, tile, level))]
                for level, plane in enumerate(planes)
            ]
            payloads.append(pack_levels(spec, network, views, levels, tile))
        rest -= count
    return payloads


@settings(max_examples=120, deadline=None)
@given(pyramids(), st.integers(0, 2**32), st.floats(-3, 11), st.integers(68, 94), st.data())
def test_both_decoders_read_the_same_latents(
    decoder: dict[str, Any],
    spec: PyramidSpec,
    seed: int,
    spread: float,
    step: int,
    data: st.DataObject,
) -> None:
    """Of any number of axes, levels, tiles, groups and layers; or both refuse the network."""
    field, payload = random_field(spec, seed, (step, step + 3))
    track = track_of(decoder, spec)
    _, parameters = decoder["read_parameters"](track, payload)
    assert [role_and_shape[1] for role_and_shape in decoder["tensors"](track)] == [
        tensor.shape for tensor in spec.tensors()
    ]
    for tensor, theirs in zip(spec.tensors(), parameters, strict=True):
        assert (theirs == field.parameters[tensor.name]).all()
    try:
        IntegerNetwork.of(spec, field.parameters)
    except errors.CorruptError:
        with pytest.raises(decoder["Refused"], match="R40"):
            decoder["read_latents"](track, parameters, [])
        return
    groups, rest = [], spec.levels
    while rest:
        groups.append(data.draw(st.integers(1, rest)))
        rest -= groups[-1]
    planes = random_latents(spec, seed, 2.0**spread)
    payloads = latents_sections(spec, field, planes, groups)
    found = decoder["read_latents"](track, parameters, payloads)
    for ours, theirs in zip(planes, found, strict=True):
        assert (ours == theirs).all()


@settings(max_examples=60, deadline=None)
@given(pyramids(), st.integers(0, 2**32), st.floats(-3, 4))
def test_both_decoders_give_the_same_values_on_the_lattice(
    decoder: dict[str, Any], spec: PyramidSpec, seed: int, spread: float
) -> None:
    """To the last bit: float32 sums in one order."""
    field, _ = random_field(spec, seed, (72, 75))
    planes = random_latents(spec, seed, 2.0**spread)
    names = tuple(f"channel{index}" for index in range(spec.outputs))
    axes = tuple(Axis(f"axis{index}", size) for index, size in enumerate(spec.lattice))
    info = SignalInfo(axes, names, "float32", (0.0, 1.0))
    ours = render(replace(field, latents=DenseLatents(tuple(planes))), info)
    parameters = [field.parameters[tensor.name] for tensor in spec.tensors()]
    theirs = decoder["lattice_values"](track_of(decoder, spec), parameters, planes)
    assert theirs.dtype == ours.dtype == np.float32
    assert (theirs == ours).all()


@pytest.mark.parametrize("coarse", [0, 2])
@pytest.mark.parametrize("size", [(9, 13), (18, 26), (23, 14), (9, 5), (4, 40), (1, 1)])
def test_both_decoders_resample_a_pyramid_alike(
    decoder: dict[str, Any], size: tuple[int, int], coarse: int
) -> None:
    spec = PyramidSpec((3, 4) if coarse else (9, 13), 3, 3, (4,), (5,), 1, coarse=coarse)
    field, _ = random_field(spec, 5, (72, 75))
    planes = random_latents(spec, 6, 1.0)
    info = SignalInfo((Axis("y", 9), Axis("x", 13)), ("a", "b", "c"), "float32", (0.0, 255.0))
    track = track_of(decoder, spec) | {"dtype": "float32", "range": (0, 255), "native": [9, 13]}
    parameters = [field.parameters[tensor.name] for tensor in spec.tensors()]
    theirs = decoder["render"](track, parameters, planes, size)
    ours = render(replace(field, latents=DenseLatents(tuple(planes))), info, size)
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours).max() <= 1e-5 * np.abs(ours).max()


ZEROS = PyramidSpec((5, 6), 1, 2, (3,), (), 0)
ZEROS_FIELD = random_field(ZEROS, 3, (72, 80))[0]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=30))
def test_both_decoders_read_the_same_latents_out_of_any_bytes(
    decoder: dict[str, Any], data: bytes
) -> None:
    """To the bit, or a refusal from both."""
    payload = bytes([2]) + data
    track = track_of(decoder, ZEROS)
    network = IntegerNetwork.of(ZEROS, ZEROS_FIELD.parameters)
    planes = [np.zeros(ZEROS.grid(level), np.int32) for level in range(2)]
    parameters = [ZEROS_FIELD.parameters[tensor.name] for tensor in ZEROS.tensors()]
    try:
        unpack_levels(ZEROS, network, planes, range(1, -1, -1), 0, payload, "test")
    except errors.CorruptError:
        with pytest.raises(decoder["Refused"]):
            decoder["read_latents"](track, parameters, [payload])
        return
    for ours, theirs in zip(
        planes, decoder["read_latents"](track, parameters, [payload]), strict=True
    ):
        assert (ours == theirs).all()


def network_of_sum(total: int, hidden: bool) -> tuple[PyramidSpec, dict[str, np.ndarray]]:
    """A context network of which the largest magnitude of one sum is `total` with its rounding."""
    spec = PyramidSpec((4,), 1, 1, (1,) if hidden else (), (), 0)
    values = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in spec.tensors()}
    weight, most = 32000, 32767 if hidden else 255 << 7
    skips, bias = divmod(total - 2**11 - weight * most, 255 << 7)
    layer = int(hidden)
    values[f"context_weight{layer}"][0, 0] = -weight / 2**10
    values[f"context_bias{layer}"][0] = bias / 2**17
    values["context_skip"][0, :2] = skips // 2 / 2**10, -(skips - skips // 2) / 2**10
    return spec, values


@pytest.mark.parametrize("hidden", [True, False])
def test_both_decoders_draw_the_line_of_32_bits_at_one_place(
    decoder: dict[str, Any], hidden: bool
) -> None:
    spec, values = network_of_sum(2**31 - 1, hidden)
    network = IntegerNetwork.of(spec, values)
    assert network.largest_sums(int(hidden))[0] == 2**31 - 1
    track = track_of(decoder, spec)
    decoder["integer_network"](track, [values[tensor.name] for tensor in spec.tensors()])
    _, values = network_of_sum(2**31, hidden)
    with pytest.raises(errors.CorruptError, match="32 bits"):
        IntegerNetwork.of(spec, values)
    with pytest.raises(decoder["Refused"], match="R40"):
        decoder["integer_network"](track, [values[tensor.name] for tensor in spec.tensors()])


def assert_close(samples: np.ndarray, signal: inrcodec.Signal) -> None:
    assert samples.shape == signal.samples.shape
    assert samples.dtype == signal.samples.dtype
    low, high = signal.info.value_range
    difference = np.abs(samples.astype(np.float64) - signal.samples)
    if signal.missing is not None:
        difference[signal.missing] = 0
    assert difference.max() <= (high - low) / 255
    if samples.dtype == np.uint8:
        assert np.count_nonzero(difference) <= max(1, difference.size // 10_000)


# --- rules ---------------------------------------------------------------------------------------


def rules() -> dict[str, str]:
    """Error class of every rule."""
    return {row[0]: row[1] for row in rows_after("### Rules\n")}


def test_rules_are_in_the_order_of_their_numbers() -> None:
    numbers = [int(rule[1:]) for rule in rules()]
    assert numbers == sorted(set(numbers))


def test_every_rule_of_the_text_is_in_the_table() -> None:
    """And every rule of the table stands in the text or in its decoder."""
    front, _, table_and_rest = SPEC.partition("### Rules\n")
    told = set(re.findall(r"\bR\d\d\b", front + table_and_rest.partition("## 16")[2]))
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
