"""Checks that every file a version ever wrote still decodes to the same numbers.

Golden files are append-only: INRCODEC_WRITE_GOLDEN=1 writes those that are missing, no others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import inrcodec
from inrcodec.bitstream.container import Section, pack, unpack
from inrcodec.bitstream.header import Header, Track
from inrcodec.bitstream.kinds import tile_count
from inrcodec.bitstream.metadata import pack_metadata
from inrcodec.bitstream.wire import DtypeId, EncodingId, SectionType
from inrcodec.coding.bases import load_base
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.dictionary import Dictionary
from inrcodec.coding.grids import digit_spec, pack_grid
from inrcodec.coding.latents import pack_levels, tile_window
from inrcodec.coding.patch_latents import pack_patches
from inrcodec.coding.priors import TABLES, table
from inrcodec.coding.quantize import TensorRecipe, dequantize
from inrcodec.coding.residual import pack_residual
from inrcodec.coding.tensors import pack_tensors
from inrcodec.coding.weights import pack_weights, unpack_weights
from inrcodec.fields.activations import SHAPES, Activation
from inrcodec.fields.encodings import NO_ENCODING, Encoding
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting import grid_fit
from inrcodec.signal import Axis, Signal, SignalInfo, array_channels, full_range

GOLDEN = Path(__file__).parent / "golden" / "v1"
BASES = GOLDEN.parent / "bases"


def picture(channels: int, dtype: str = "uint8", height: int = 20, width: int = 24) -> np.ndarray:
    """A smooth picture with an edge, from whole numbers only: the same on every machine."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (9 - 2 * c) + y * (3 + 4 * c) + 60 * (x > 14)) % 256 for c in range(channels)]
    samples = np.stack(planes, axis=-1)
    return {
        "uint8": samples.astype(np.uint8),
        "uint16": (samples * 257).astype(np.uint16),
        "float32": (samples.astype(np.float32) - 100) / 8,
    }[dtype]


def fitted(source: np.ndarray | Signal, **settings: object) -> bytes:
    return inrcodec.encode(
        source, **{"steps": 30, "net": "3x12", "rate_weight": 1e-4, "device": "cpu", **settings}
    )


def with_profile() -> bytes:
    signal = Signal(
        picture(3), info(Axis("y", 20), Axis("x", 24)), {"icc": bytes(range(256)) * 2, "xmp": b"<>"}
    )
    return fitted(signal)


def with_geometry() -> bytes:
    axes = Axis("y", 20, -0.5, 10.0, "mm"), Axis("x", 24, 0.25, -3.0, "mm")
    return fitted(Signal(picture(1, "uint16"), info(*axes, channels=("grey",), dtype="uint16")))


def affine() -> bytes:
    """The smallest file of the specification."""
    symbols = {"weight0": np.array([[16, 8]], np.int32), "bias0": np.zeros(1, np.int32)}
    small = info(Axis("y", 2), Axis("x", 2), channels=("grey",))
    return packed(small, SirenSpec(2, 1, 0, 0), symbols, (TensorRecipe(72, 20),) * 2)


def every_table() -> bytes:
    """One parameter array for every probability table, with symbols at and beyond its edges."""
    spec = SirenSpec(1, 1, TABLES // 2, 4)
    generator = np.random.Generator(np.random.PCG64(1))
    symbols, recipes = {}, []
    for index, tensor in enumerate(spec.tensors()):
        chosen = index % TABLES
        reach = table(chosen).reach
        values = generator.integers(-reach - 2, reach + 3, tensor.size)
        values[0] = (reach, -reach - 1, reach + 1, 2 * reach)[index % 4]
        symbols[tensor.name] = values.reshape(tensor.shape).astype(np.int32)
        # The wider the symbols, the finer the step: the network stays tame.
        recipes.append(TensorRecipe(56 - chosen % 48, chosen))
    # A bias of -3/8, so that the samples are not on the edge between two code values.
    recipes[-1] = TensorRecipe(84, chosen)
    return packed(info(Axis("x", 64), channels=("grey",)), spec, symbols, recipes)


def info(
    *axes: Axis, channels: tuple[str, ...] = ("red", "green", "blue"), dtype: str = "uint8"
) -> SignalInfo:
    return SignalInfo(axes, channels, dtype, (0.0, 65535.0 if dtype == "uint16" else 255.0))


def packed(signal: SignalInfo, spec: SirenSpec, symbols: dict, recipes: object) -> bytes:
    payload = pack_weights(spec, symbols, recipes)
    return pack(Header((Track(signal, spec),)), [Section(SectionType.PARAMETERS, 0, payload)])


def parameters(
    spec: PyramidSpec, generator: np.random.Generator, reach: int
) -> tuple[dict[str, np.ndarray], list[TensorRecipe]]:
    """Symbols and recipes of a pyramid; those of contexts are within +-reach / 64."""
    symbols, recipes = {}, []
    for tensor in spec.tensors():
        context = tensor.role.startswith("context")
        most = reach if context else 24
        values = generator.integers(-most, most + 1, tensor.shape)
        if tensor.role == "upsampling":
            # A quarter and three quarters, and a little of the outer ones.
            values = values % 3 + np.array([-2, 17, 50, -2])
        if tensor.name == "context_skip":
            # Scales from the smallest to the largest.
            values[1] *= 2
        symbols[tensor.name] = values.astype(np.int32)
        step = 72 if context or tensor.role == "upsampling" else 52
        if spec.start:
            # Differences to networks that work.
            values, step = np.clip(values, -3, 3), 60
        recipes.append(TensorRecipe(step, 20 + 4 * (tensor.role == "upsampling")))
    return symbols, recipes


def pyramid_sections(
    spec: PyramidSpec, groups: tuple[int, ...], seed: int, reach: int, track: int = 0
) -> list[Section]:
    """Parameters and latents of one track, drawn by chance."""
    generator = np.random.Generator(np.random.PCG64(seed))
    symbols, recipes = parameters(spec, generator, reach)
    network = IntegerNetwork.of(spec, dequantize(spec, symbols, recipes).parameters)
    planes = [
        np.rint(generator.laplace(0, 2.0 ** (level - 1), spec.grid(level))).astype(np.int32)
        for level in range(spec.levels)
    ]
    planes[0].flat[:3] = 300, -20_000, 32_767
    planes[1] *= 0
    sections = [Section(SectionType.PARAMETERS, track, pack_weights(spec, symbols, recipes))]
    rest = spec.levels
    for count in groups:
        own = range(rest - 1, rest - 1 - count, -1)
        for tile in range(tile_count(spec)):
            views = [
                plane[tuple(slice(*ends) for ends in tile_window(spec, tile, level))]
                for level, plane in enumerate(planes)
            ]
            payload = pack_levels(spec, network, views, own, tile)
            sections.append(Section(SectionType.LATENTS, track, payload))
        rest -= count
    return sections


def pyramid() -> bytes:
    """In one piece, with every kind of network."""
    spec = PyramidSpec((33, 26), 1, 5, (8, 6), (9,), 2)
    signal = info(Axis("y", 33), Axis("x", 26), channels=("grey",))
    return pack(Header((Track(signal, spec),)), pyramid_sections(spec, (3, 1, 1), 1, 40))


def pyramid_start() -> bytes:
    """Parameters that are differences to those of a start; of one array it has another shape."""
    spec = PyramidSpec((20, 24), 3, 7, (12, 12), (24,), 2, start=1)
    other = PyramidSpec((20, 24), 1, 7, (12, 12), (24,), 0, start=1)
    axes = Axis("y", 20), Axis("x", 24)
    tracks = Track(info(*axes), spec), Track(info(*axes, channels=("alpha",)), other)
    sections = [*pyramid_sections(spec, (7,), 5, 3), *pyramid_sections(other, (6, 1), 6, 3, 1)]
    return pack(Header(tracks), sections)


def pyramid_tiled() -> bytes:
    """Colours in tiles, their alpha in one piece, without hidden layers; metadata."""
    axes = Axis("y", 17), Axis("x", 21)
    colours = PyramidSpec((17, 21), 3, 4, (), (), 1, tile=8)
    alpha = PyramidSpec((17, 21), 1, 2, (4,), (), 0)
    tracks = Track(info(*axes), colours), Track(info(*axes, channels=("alpha",)), alpha)
    sections = [
        *pyramid_sections(colours, (2, 2), 2, 12),
        *pyramid_sections(alpha, (2,), 3, 30, track=1),
        Section(SectionType.METADATA, 0, pack_metadata({"xmp": b"<>"})),
    ]
    return pack(Header(tracks), sections)


def pyramid_row() -> bytes:
    """One axis, wide context sums: many latent tables; float samples; an alpha of sines."""
    spec = PyramidSpec((900,), 2, 3, (5,), (4,), 1, tile=256)
    signal = SignalInfo((Axis("x", 900),), ("channel0", "channel1"), "float32", (-1.0, 3.0))
    other = SirenSpec(1, 1, 1, 2)
    symbols = {tensor.name: np.ones(tensor.shape, np.int32) for tensor in other.tensors()}
    payload = pack_weights(other, symbols, [TensorRecipe(60, 20)] * 4)
    sections = pyramid_sections(spec, (1, 2), 4, 160)
    alpha = SignalInfo(signal.axes, ("alpha",), signal.dtype, signal.value_range)
    header = Header((Track(signal, spec), Track(alpha, other)))
    return pack(header, [*sections, Section(SectionType.PARAMETERS, 1, payload)])


def volume() -> bytes:
    """Three axes, of which one has a name of its own; 16 bits with a sign; numbers of each form."""
    axes = Axis("depth", 6, 2.0, -0.5, "mm"), Axis("y", 9, 0.1), Axis("x", 11)
    signal = SignalInfo(axes, array_channels(1), "int16", (-1000.0, 3000.5))
    spec = PyramidSpec(signal.lattice, 1, 3, (7,), (6,), 1)
    return pack(Header((Track(signal, spec),)), pyramid_sections(spec, (2, 1), 7, 30))


def volume_kept() -> bytes:
    """Three axes, the first of which is not halved, in tiles along all of them."""
    axes = Axis("t", 6), Axis("y", 7), Axis("x", 8)
    signal = SignalInfo(axes, array_channels(2), "uint8", full_range("uint8"))
    spec = PyramidSpec(signal.lattice, 2, 3, (6,), (5,), 1, tile=4, kept=1)
    return pack(Header((Track(signal, spec),)), pyramid_sections(spec, (2, 1), 9, 30))


def mixture() -> bytes:
    """Components of a signal with two channels, its last axis mixed; differences of loadings."""
    axes = Axis("y", 7), Axis("x", 9), Axis("wavelength", 11)
    signal = SignalInfo(axes, array_channels(2), "uint16", (0.0, 4000.0))
    spec = PyramidSpec((3, 7, 9), 2, 3, (6,), (5,), 1, kept=1, mixed=11, axis=2, differences=True)
    return pack(Header((Track(signal, spec),)), pyramid_sections(spec, (2, 1), 10, 30))


def mixture_coarse() -> bytes:
    """Components on a coarser lattice than the signal, whose first axis is mixed."""
    axes = Axis("time", 12), Axis("lat", 13), Axis("lon", 9)
    signal = SignalInfo(axes, array_channels(1), "float32", (0.0, 1.0))
    spec = PyramidSpec((2, 4, 3), 1, 2, (4,), (5,), 1, kept=1, coarse=2, mixed=12)
    return pack(Header((Track(signal, spec),)), pyramid_sections(spec, (2,), 11, 20))


def bounded_coarse() -> bytes:
    """Integers within a bound of values that lie between those of a coarser lattice."""
    axes = Axis("z", 9), Axis("y", 7), Axis("x", 10)
    signal = SignalInfo(axes, array_channels(1), "int16", (-900.0, 1200.0))
    spec = PyramidSpec((5, 4, 5), 1, 3, (4,), (5,), 1, coarse=1)
    generator = np.random.Generator(np.random.PCG64(12))
    multiples = np.rint(generator.laplace(0, 3, (1, *signal.lattice))).astype(np.int64)
    networks = [parameters(digit_spec(signal.lattice, (6,), 0), generator, 20)]
    residual = pack_residual(5.0, pack_grid(multiples, 0, 0, (6,), networks))
    sections = [*pyramid_sections(spec, (2, 1), 12, 20), Section(SectionType.RESIDUAL, 0, residual)]
    return pack(Header((Track(signal, spec),)), sections)


def array(dtype: str) -> Callable[[], bytes]:
    """Four axes and two channels of one sample type."""

    def make() -> bytes:
        axes = Axis("time", 3), Axis("level", 2), Axis("lat", 4, -0.25, 90.0), Axis("lon", 5)
        low, high = full_range(dtype)
        signal = SignalInfo(axes, array_channels(2), dtype, (low + (high - low) / 8, high))
        spec = SirenSpec(4, 2, 1, 3)
        generator = np.random.Generator(np.random.PCG64(8))
        symbols = {
            tensor.name: generator.integers(-20, 21, tensor.shape).astype(np.int32)
            for tensor in spec.tensors()
        }
        return packed(signal, spec, symbols, [TensorRecipe(48, 20)] * 4)

    return make


def bounded_volume() -> bytes:
    """Floats of three axes and two channels within a bound; multiples of two digits, in tiles."""
    axes = Axis("t", 5), Axis("y", 7), Axis("x", 9)
    signal = SignalInfo(axes, array_channels(2), "float32", (-2.5, 40.0))
    spec = PyramidSpec(signal.lattice, 2, 3, (4,), (5,), 1)
    generator = np.random.Generator(np.random.PCG64(9))
    multiples = np.rint(generator.laplace(0, 3, (*signal.lattice, 2))).astype(np.int64)
    multiples.flat[:4] = 127, 128, -5000, 32_767
    # A tile of zeros.
    multiples[4:, 4:] = 0
    digit = digit_spec((2, *signal.lattice), (6,), 4)
    networks = [parameters(digit, generator, reach) for reach in (20, 3)]
    grid = pack_grid(np.moveaxis(multiples, -1, 0), 255, digit, networks)
    residual = pack_residual(0.0125, grid)
    sections = [*pyramid_sections(spec, (2, 1), 10, 20), Section(SectionType.RESIDUAL, 0, residual)]
    return pack(Header((Track(signal, spec),)), sections)


def flat_tiles() -> bytes:
    """A volume and its residual, each in tiles with an edge for every axis."""
    z, y, x = np.mgrid[0:5, 0:9, 0:10]
    samples = (40 + 9 * np.sin(z) + y * x / 7 + (x * y * z) % 5).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid_fit, "TILE_COST", 1.0)
        return inrcodec.encode(
            samples, axes="zyx", net="4/6/1", steps=30, max_error=1, tile=(2, 8, 4)
        )


def missing_values() -> bytes:
    """Floats of which some are NaN, in one channel of two, in the same places at all times."""
    t, y, x = np.mgrid[0:4, 0:9, 0:10]
    samples = np.stack([t + y * x, t * y - 2 * x], axis=-1).astype(np.float32) / 4
    samples[:, 2:5, 3:9, 1] = np.nan
    samples[:, 7, 7, 1] = np.nan
    return inrcodec.encode(samples, axes="tyx", net="4/6/1", steps=30)


def missing_integers() -> bytes:
    """A siren of integers of which some are a fill value."""
    samples = picture(1)[..., 0].astype(np.int16)
    samples[3:9, 4:20] = -999
    return inrcodec.encode(samples, axes="yx", fill=-999, net="2x8", steps=30, rate_weight=1e-4)


def sparse() -> bytes:
    """A siren with dictionaries of several sizes: no atom, some, vectors of unequal length."""
    spec, generator = SirenSpec(2, 3, 5, 7), np.random.Generator(np.random.PCG64(11))
    dictionaries = [None, Dictionary(16, 1), Dictionary(4, 3), Dictionary(1, 7), Dictionary(9, 2)]
    symbols, recipes = {}, []
    for index, tensor in enumerate(spec.tensors()):
        used = dictionaries[index // 2] if tensor.role == "weight" and index < 10 else None
        values = generator.integers(-20, 21, tensor.shape)
        if used is not None:
            count = (0, 0, 24, 2, 12)[index // 2]
            places = generator.choice(used.places(tensor.shape), count, replace=False)
            coefficients = generator.integers(1, 9, count) * generator.choice((-1, 1), count)
            if index == 4:
                coefficients[:2] = 32767, -32767
            values = np.stack([np.sort(places), coefficients], axis=1)
        symbols[tensor.name] = values.astype(np.int32)
        recipes.append(TensorRecipe(52 if index != 4 else 20, 16, used))
    signal = info(Axis("y", 8), Axis("x", 9))
    section = Section(SectionType.SPARSE, 0, pack_weights(spec, symbols, recipes))
    return pack(Header((Track(signal, spec),)), [section])


def siren_variant(name: str, encoding: Encoding = NO_ENCODING) -> Callable[[], bytes]:
    """Two layers of an activation, of its largest shape, or of 1."""

    def make() -> bytes:
        activation = Activation(name, min(1.0, SHAPES[name][1]))
        spec = SirenSpec(2, 3, 2, 4, 5.0, activation, encoding)
        generator = np.random.Generator(np.random.PCG64(11))
        symbols = {
            tensor.name: generator.integers(-24, 25, tensor.shape).astype(np.int32)
            for tensor in spec.tensors()
        }
        # In units of 2^-6, and of 2^-8 for what a sum of many inputs is made of.
        recipes = [TensorRecipe(64 if "weight" in name else 72, 24) for name in symbols]
        return packed(info(Axis("y", 9), Axis("x", 11)), spec, symbols, recipes)

    return make


def tiny_base(axes: int, outputs: int, patch: int, groups: tuple[int, ...]) -> bytes:
    """A base of random waves and random context networks."""
    generator = np.random.Generator(np.random.PCG64(axes))
    units, dimensions, near = 7, sum(groups), (3**axes - 1) // 2

    def waves(*shape: int) -> np.ndarray:
        return generator.normal(0, 1, shape).astype(np.float32)

    arrays = {
        "weight0": waves(3, axes),
        "bias0": waves(3),
        "weight1": waves(units, 3) / 4,
        "bias1": waves(units),
        "direct": 2 * waves(units, axes),
        "shift": waves(units, dimensions) / 32,
        "read": waves(outputs, units) / 2,
        "rates": np.ones((2, 2, dimensions), np.float32),
        "mean": generator.integers(-300, 700, (dimensions, near)).astype(np.int16),
    }
    start = 0
    for number, size in enumerate(groups):
        inputs = near * size + 2 * start + 1
        first = generator.integers(-40, 90, (2 + size, inputs))
        first[:, -1] = -200
        arrays[f"group{number}_first"] = first.astype(np.int16)
        arrays[f"group{number}_bias"] = generator.integers(0, 9000, 2 + size).astype(np.int32)
        arrays[f"group{number}_second"] = generator.integers(-90, 200, (size, 2)).astype(np.int16)
        start += size
    shape = {"axes": axes, "groups": groups, "margin": patch // 2 - 1, "patch": patch}
    words = {"format": "inrcodec-base", "version": "1", "shape": json.dumps(shape)}
    return pack_tensors(arrays, words)


TINY = {"tiny": (2, 3, 6, (2, 3)), "tiny_row": (1, 1, 16, (1, 4))}


def modulated_track(base: str, info: SignalInfo, step: int, seed: int) -> tuple[Track, Section]:
    """Latents drawn by chance."""
    known = load_base(BASES / f"{base}.safetensors")
    patches = known.patches
    described = (known.short, patches.patch, patches.margin, known.dimensions, known.units, step)
    spec = ModulatedSpec(info.lattice, len(info.channels), *described)
    generator = np.random.Generator(np.random.PCG64(seed))
    latents = generator.laplace(0, 4, (*spec.grid, spec.dimensions))
    latents = np.rint(latents).astype(np.int32)
    latents.flat[:2] = -5000, 300
    payload = pack_patches(spec, known.network, latents)
    return Track(info, spec), Section(SectionType.LATENTS, 0, payload)


def modulated() -> bytes:
    """Colours, and their alpha, which is the mean of the base's outputs; metadata."""
    axes = Axis("y", 20), Axis("x", 27)
    first, latents = modulated_track("tiny", info(*axes), 128, 11)
    second, more = modulated_track("tiny", info(*axes, channels=("alpha",)), 87, 12)
    sections = [latents, Section(SectionType.LATENTS, 1, more.payload)]
    metadata = Section(SectionType.METADATA, 0, pack_metadata({"xmp": b"<>"}))
    return pack(Header((first, second)), [*sections, metadata])


def modulated_row() -> bytes:
    """One axis, float samples, one group of latents without any."""
    signal = SignalInfo((Axis("t", 300),), array_channels(1), "float32", (-1.0, 1.0))
    track, _ = modulated_track("tiny_row", signal, 150, 13)
    base = load_base(BASES / "tiny_row.safetensors")
    latents = np.zeros((*track.spec.grid, track.spec.dimensions), np.int32)
    latents[:, 0] = np.arange(19) * 7 % 11 - 5
    payload = pack_patches(track.spec, base.network, latents)
    return pack(Header((track,)), [Section(SectionType.LATENTS, 0, payload)])


ARRAY_TYPES = ("int8", "int16", "uint32", "int32", "float16", "float64")

FILES: dict[str, Callable[[], bytes]] = {
    "affine": affine,
    **{f"array_{dtype}": array(dtype) for dtype in ARRAY_TYPES},
    "bounded_coarse": bounded_coarse,
    "bounded_volume": bounded_volume,
    "every_table": every_table,
    "float32": lambda: fitted(picture(1, "float32")),
    "grey": lambda: fitted(picture(1)),
    "grey_alpha": lambda: fitted(picture(2)),
    "lossless": lambda: inrcodec.encode(picture(3), max_error=0, net="4/6/1", steps=30),
    "missing_integers": missing_integers,
    "flat_tiles": flat_tiles,
    "missing_values": missing_values,
    "mixture": mixture,
    "mixture_coarse": mixture_coarse,
    "modulated": modulated,
    "modulated_row": modulated_row,
    "pyramid": pyramid,
    "pyramid_row": pyramid_row,
    "pyramid_start": pyramid_start,
    "pyramid_tiled": pyramid_tiled,
    "rgb": lambda: fitted(picture(3), net="5x20", rate_weight=1e-5),
    "rgb_with_profile": with_profile,
    "rgba": lambda: fitted(picture(4)),
    "sparse": sparse,
    **{f"siren_{name}": siren_variant(name) for name in SHAPES if name != "sine"},
    "siren_fourier": siren_variant("sine", Encoding("fourier", 3)),
    "siren_chebyshev": siren_variant("relu", Encoding("chebyshev", 6)),
    "uint16_with_geometry": with_geometry,
    "volume": volume,
    "volume_kept": volume_kept,
}

every_file = pytest.mark.parametrize("name", FILES)


def levels(data: bytes) -> dict[str, str]:
    """SHA-256 of what must be the same bits everywhere: symbols, parameters and latents."""
    header, sections = unpack(data)
    hashes = {name: hashlib.sha256() for name in ("symbols", "recipes", "parameters")}
    own = [track for track in header.tracks if track.spec.tensors()]
    for track, payload in zip(own, parameter_payloads(sections), strict=True):
        symbols, recipes = unpack_weights(track.spec, payload[0], "golden", payload[1])
        restored = dequantize(track.spec, symbols, recipes).parameters
        for tensor, recipe in zip(track.spec.tensors(), recipes, strict=True):
            hashes["symbols"].update(symbols[tensor.name].astype("<i4").tobytes())
            hashes["recipes"].update(bytes([recipe.step, recipe.table]))
            if recipe.dictionary is not None:
                hashes["recipes"].update(bytes([recipe.dictionary.bits, recipe.dictionary.rows]))
            hashes["parameters"].update(restored[tensor.name].astype("<f4").tobytes())
    for number in range(len(header.signals())):
        for layer in inrcodec.open(data, signal=number).layers:
            spec = layer.field.spec
            if isinstance(spec, PyramidSpec) and layer.field.latents:
                hashes.setdefault("latents", hashlib.sha256())
                for level in range(spec.levels):
                    window = [(0, size) for size in spec.grid(level)]
                    plane = layer.field.latents.read(level, window)
                    hashes["latents"].update(plane.astype("<i4").tobytes())
            if isinstance(spec, ModulatedSpec):
                hashes.setdefault("latents", hashlib.sha256())
                plane = layer.field.latents.read(0, [(0, size) for size in spec.grid])
                hashes["latents"].update(plane.astype("<i4").tobytes())
            if layer.mask is not None:
                hashes.setdefault("mask", hashlib.sha256())
                gone = layer.mask.read([(0, size) for size in layer.info.lattice])
                hashes["mask"].update(gone.astype("u1").tobytes())
            if layer.residual is not None:
                hashes.setdefault("residual", hashlib.sha256())
                multiples = layer.residual.read([(0, size) for size in layer.info.lattice])
                hashes["residual"].update(multiples.astype("<i8").tobytes())
    return {name: each.hexdigest() for name, each in hashes.items()}


def parameter_payloads(sections: tuple[Section, ...]) -> list[tuple[bytes, bool]]:
    """Of every track, and whether it is a sparse one."""
    kinds = SectionType.PARAMETERS, SectionType.SPARSE
    own = [section for section in sections if section.type in kinds]
    return [(section.payload, section.type == SectionType.SPARSE) for section in own]


def description(data: bytes) -> dict[str, object]:
    signal = inrcodec.decode(data)
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        **levels(data),
        "shape": list(signal.samples.shape),
        "dtype": str(signal.samples.dtype),
        "channels": list(signal.info.channels),
        "range": list(signal.info.value_range),
        "axes": [[a.name, a.size, a.spacing, a.origin, a.unit] for a in signal.info.axes],
        "metadata": {key: value.hex() for key, value in signal.metadata.items()},
    }


def write_missing() -> None:
    for name, how in TINY.items():
        path = BASES / f"{name}.safetensors"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(tiny_base(*how))
    for name, make in FILES.items():
        path = GOLDEN / f"{name}.inrc"
        if path.exists():
            continue
        data = make()
        path.write_bytes(data)
        text = json.dumps(description(data), indent=1) + "\n"
        path.with_suffix(".json").write_text(text, encoding="utf-8")
        np.save(path.with_suffix(".npy"), inrcodec.decode(data).samples)


if os.environ.get("INRCODEC_WRITE_GOLDEN"):
    write_missing()


@every_file
def test_golden_file_is_untouched(name: str) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    data = (GOLDEN / f"{name}.inrc").read_bytes()
    assert hashlib.sha256(data).hexdigest() == expected["sha256"]
    assert len(data) <= 4096


@every_file
def test_golden_file_means_what_it_meant(name: str) -> None:
    """Everything but the samples: symbols, parameters, metadata and description, to the bit."""
    expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert description((GOLDEN / f"{name}.inrc").read_bytes()) == expected


@every_file
def test_golden_samples_are_within_a_code_value(name: str) -> None:
    """One of 8 bits; and of 8-bit samples at most 0.01 % differ at all, though one may."""
    expected = np.load(GOLDEN / f"{name}.npy")
    signal = inrcodec.decode(GOLDEN / f"{name}.inrc")
    assert signal.samples.dtype == expected.dtype
    low, high = signal.info.value_range
    difference = np.abs(signal.samples.astype(np.float64) - expected)
    if signal.missing is not None:
        np.testing.assert_array_equal(signal.samples[signal.missing], expected[signal.missing])
        difference[signal.missing] = 0
    assert difference.max() <= (high - low) / 255
    if signal.samples.dtype == np.uint8:
        assert np.count_nonzero(difference) <= max(1, difference.size // 10_000)


def test_every_golden_file_is_listed() -> None:
    """A file that is there but not listed would never be checked."""
    found = {path.name for path in GOLDEN.iterdir()}
    assert found == {f"{name}.{kind}" for name in FILES for kind in ("inrc", "json", "npy")}


def test_golden_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < 160_000


def test_golden_files_cover_the_format() -> None:
    """Every sample type, one and two tracks, metadata, every probability table, no sine layer.

    Of pyramids: tiles and none, each number of layers, residual convolutions and none, a start and
    none, an axis that is kept and none, a coarser lattice and the signal's own.
    """
    headers, tables, kinds = [], set(), set()
    for name in FILES:
        header, sections = unpack((GOLDEN / f"{name}.inrc").read_bytes())
        headers.append(header)
        kinds |= {section.type for section in sections}
        own = [track for track in header.tracks if track.spec.tensors()]
        for track, payload in zip(own, parameter_payloads(sections), strict=True):
            _, recipes = unpack_weights(track.spec, payload[0], name, payload[1])
            tables |= {recipe.table for recipe in recipes}
    tracks = [track for header in headers for track in header.tracks]
    assert kinds == set(SectionType)
    assert tables == set(range(TABLES))
    assert {track.info.dtype for track in tracks} == {each.name.lower() for each in DtypeId}
    assert {len(header.tracks) for header in headers} == {1, 2}
    sines = [track.spec for track in tracks if isinstance(track.spec, SirenSpec)]
    pyramids = [track.spec for track in tracks if isinstance(track.spec, PyramidSpec)]
    assert 0 in {spec.depth for spec in sines}
    assert {spec.activation.name for spec in sines} == set(SHAPES)
    assert {spec.encoding.name for spec in sines} == {each.name.lower() for each in EncodingId}
    assert {len(spec.contexts) for spec in pyramids} == {0, 1, 2}
    assert {len(spec.synthesis) for spec in pyramids} == {0, 1}
    assert {spec.residuals for spec in pyramids} == {0, 1, 2}
    assert {tile_count(spec) for spec in pyramids} == {1, 4, 8, 9, 18}
    assert {spec.kept for spec in pyramids} == {0, 1}
    assert {spec.coarse for spec in pyramids} == {0, 1, 2}
    assert {spec.start for spec in pyramids} == {0, 1}
    assert {len(track.info.axes) for track in tracks} == {1, 2, 3, 4}
