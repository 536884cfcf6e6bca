"""Joins FieldSpec, of every kind, with the fields of the header that say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import gt
from typing import Any

from inrcodec.bitstream import primitives, wire
from inrcodec.bitstream.primitives import known, within
from inrcodec.bitstream.wire import ActivationId, EncodingId, Feature, KindId, Limits, StartId
from inrcodec.errors import CorruptError, UnsupportedError
from inrcodec.fields.activations import SHAPE_DENOMINATOR, SHAPES, Activation
from inrcodec.fields.encodings import MAX_ORDER, Encoding
from inrcodec.fields.field import FieldSpec
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import REACH, PyramidSpec, coarser
from inrcodec.fields.siren import OMEGA_DENOMINATOR, SirenSpec
from inrcodec.signal import SignalInfo


def is_variant(spec: FieldSpec) -> bool:
    """Whether a spec needs more fields than those of its kind."""
    if isinstance(spec, PyramidSpec):
        return bool(_features(spec))
    return isinstance(spec, SirenSpec) and not spec.plain


def pack_spec(spec: FieldSpec) -> bytes:
    """The fields of a track's kind, and of its variant if it is one. Raises ValueError for what the
    format cannot say.
    """
    if isinstance(spec, PyramidSpec):
        return _pack_pyramid(spec)
    if isinstance(spec, ModulatedSpec):
        own = {name: getattr(spec, name) for name, _ in wire.MODULATED_FIELDS}
        return primitives.row(wire.MODULATED_FIELDS, own)
    return _pack_siren(spec)


def unpack_spec(
    kind: KindId, variant: bool, reader: primitives.Reader, info: SignalInfo, limits: Limits
) -> FieldSpec:
    """The architecture of the field of a track that `info` describes."""
    if kind == KindId.PYRAMID:
        return _unpack_pyramid(variant, reader, info, limits)
    if kind == KindId.SIREN:
        return _unpack_siren(variant, reader, info, limits)
    if variant:
        raise UnsupportedError(
            f"header: unknown variant of a {kind.name.lower()}; a newer inrcodec is needed"
        )
    return _unpack_modulated(reader, info, limits)


def check_specs(specs: Sequence[FieldSpec], limits: Limits) -> None:
    """Raise LimitError if all tracks together ask for too many parameters or latents."""
    within("parameters", sum(spec.parameter_count for spec in specs), limits.parameters)
    pyramids = [spec for spec in specs if isinstance(spec, PyramidSpec)]
    modulated = [spec for spec in specs if isinstance(spec, ModulatedSpec)]
    latents = sum(spec.latent_count for spec in pyramids)
    latents += sum(spec.latent_count for spec in modulated)
    within("latents", latents, limits.latents)
    work = sum(context_macs(spec) for spec in pyramids)
    # A hidden unit or two for every pair of dimensions.
    work += sum(2 * spec.latent_count * spec.dimensions for spec in modulated)
    within("multiply-accumulates of context networks", work, limits.macs)


def context_macs(spec: PyramidSpec) -> int:
    """Multiply-accumulates of its context network for all latents."""
    weights = sum(tensor.size for tensor in spec.tensors() if tensor.role == "context")
    return weights * spec.latent_count


def _pack_siren(spec: SirenSpec) -> bytes:
    omega = _fixed("omega_0", spec.omega_0, OMEGA_DENOMINATOR)
    siren = {"depth": spec.depth, "width": spec.width, "omega_0": omega}
    packed = primitives.row(wire.SIREN_FIELDS, siren)
    if is_variant(spec):
        variant = {
            "activation": ActivationId[spec.activation.name.upper()],
            "shape": _fixed("shape", spec.activation.shape, SHAPE_DENOMINATOR),
            "encoding": EncodingId[spec.encoding.name.upper()],
            "order": spec.encoding.order,
        }
        packed += primitives.row(wire.SIREN_VARIANT_FIELDS, variant)
    return packed


def _fixed(name: str, value: float, denominator: int) -> int:
    number = round(value * denominator)
    if number / denominator != value:
        raise ValueError(f"{name} {value} is not a multiple of 1/{denominator}")
    return number


def _unpack_siren(
    variant: bool, reader: primitives.Reader, info: SignalInfo, limits: Limits
) -> SirenSpec:
    row = reader.row(wire.SIREN_FIELDS)
    within("depth", row["depth"], limits.depth)
    within("width", row["width"], limits.width)
    within("omega_0", row["omega_0"] / OMEGA_DENOMINATOR, limits.omega_0)
    if row["omega_0"] == 0 or (row["width"] == 0) != (row["depth"] == 0):
        raise CorruptError(f"header: impossible network {row}")
    omega_0 = row["omega_0"] / OMEGA_DENOMINATOR
    spec = SirenSpec(len(info.axes), len(info.channels), row["depth"], row["width"], omega_0)
    return _unpack_siren_variant(reader, spec) if variant else spec


def _unpack_siren_variant(reader: primitives.Reader, plain: SirenSpec) -> SirenSpec:
    row = reader.row(wire.SIREN_VARIANT_FIELDS)
    name = known(ActivationId, row["activation"], "activation").name.lower()
    encoding = known(EncodingId, row["encoding"], "encoding of coordinates").name.lower()
    least, most = (int(end * SHAPE_DENOMINATOR) for end in SHAPES[name])
    if not least <= row["shape"] <= most:
        raise CorruptError(f"header: activation {name} has an impossible shape {row['shape']}")
    if (row["order"] == 0) != (encoding == "none") or row["order"] > MAX_ORDER:
        raise CorruptError(f"header: encoding {encoding} has an impossible order {row['order']}")
    spec = replace(
        plain,
        activation=Activation(name, row["shape"] / SHAPE_DENOMINATOR),
        encoding=Encoding(encoding, row["order"]),
    )
    if spec.plain or spec.depth == 0:
        raise CorruptError("header: the variant of a siren is the plain one, or has no layer")
    return spec


def _unpack_modulated(reader: primitives.Reader, info: SignalInfo, limits: Limits) -> ModulatedSpec:
    row = reader.row(wire.MODULATED_FIELDS)
    within("dimensions", row["dimensions"], limits.dimensions)
    within("units", row["units"], limits.width)
    within("outputs", len(info.channels), limits.channels)
    if row["dimensions"] == 0 or row["units"] == 0 or not 1 <= row["margin"] <= row["patch"] // 2:
        raise CorruptError(f"header: impossible modulated field {row}")
    return ModulatedSpec(info.lattice, len(info.channels), **row)


def _pack_pyramid(spec: PyramidSpec) -> bytes:
    tile, rest = divmod(spec.tile, 2 ** (spec.levels - 1))
    if rest:
        raise ValueError(f"tile {spec.tile} is not a multiple of 2^{spec.levels - 1}")
    row = {
        "levels": spec.levels,
        "contexts": spec.contexts,
        "synthesis": spec.synthesis,
        "residuals": spec.residuals,
        "tile": tile,
        "start": spec.start,
    }
    packed = primitives.row(wire.PYRAMID_FIELDS, row)
    features = _features(spec)
    if features:
        packed += primitives.row(wire.PYRAMID_VARIANT_FIELDS, {"features": sum(features)})
    for feature, fields in features.items():
        packed += primitives.row(wire.FEATURES[feature], fields)
    return packed


def _features(spec: PyramidSpec) -> dict[Feature, dict[str, Any]]:
    """What makes a pyramid a variant, with the fields of each."""
    features: dict[Feature, dict[str, Any]] = {}
    if spec.kept:
        features[Feature.KEPT] = {"kept": spec.kept}
    if spec.mixed:
        mixture = {"rank": spec.rank, "axis": spec.axis, "differences": int(spec.differences)}
        features[Feature.MIXTURE] = mixture
    if spec.coarse:
        features[Feature.COARSE] = {"coarse": spec.coarse}
    if spec.edges:
        features[Feature.EDGES] = {"edges": _logarithms(spec.edges)}
    return features


def _unpack_pyramid(
    variant: bool, reader: primitives.Reader, info: SignalInfo, limits: Limits
) -> PyramidSpec:
    row = reader.row(wire.PYRAMID_FIELDS)
    lattice, own = info.lattice, dict[str, Any]()
    if variant:
        lattice, own = _unpack_variant(reader, lattice, limits)
    if "edges" in own and row["tile"]:
        raise CorruptError("header: both an edge and edges of tiles; the file is damaged")
    # Whatever the limits: more axes have no contexts.
    within("axes of a pyramid", len(info.axes), max(REACH))
    within("levels", row["levels"], limits.levels)
    within("residual convolutions", row["residuals"], limits.residuals)
    for widths in (row["contexts"], row["synthesis"]):
        within("hidden layers", len(widths), limits.layers)
        within("units of a layer", max(widths, default=0), limits.units)
    start = known(StartId, row["start"], "start of the parameters")
    if row["levels"] == 0 or 0 in row["contexts"] or 0 in row["synthesis"]:
        raise CorruptError(f"header: impossible pyramid {row}")
    tile = row["tile"] * 2 ** (row["levels"] - 1)
    if tile >= max(lattice):
        raise CorruptError(f"header: tiles of {tile} samples are no smaller than the lattice")
    spec = PyramidSpec(
        lattice,
        len(info.channels),
        row["levels"],
        row["contexts"],
        row["synthesis"],
        row["residuals"],
        tile,
        int(start),
        **own,
    )
    within("tiles", tile_count(spec), limits.tiles if spec.edges else limits.sections)
    return spec


def pack_edges(edges: Sequence[int]) -> bytes:
    """Edges of tiles, powers of 2, as their logarithms."""
    return primitives.row(wire.EDGES_FIELDS, {"edges": _logarithms(edges)})


def _logarithms(edges: Sequence[int]) -> list[int]:
    return [edge.bit_length() - 1 for edge in edges]


def unpack_edges(reader: primitives.Reader, lattice: Sequence[int]) -> tuple[int, ...]:
    """Edges of the tiles of a lattice.

    Raises CorruptError unless there is one for every axis, none longer than it has to be to hold
    all of its axis, and not all of them so long.
    """
    powers = reader.row(wire.EDGES_FIELDS)["edges"]
    most = [(size - 1).bit_length() for size in lattice]
    if len(powers) != len(most) or any(map(gt, powers, most)) or list(powers) == most:
        raise CorruptError(
            f"{reader.what}: impossible edges of tiles 2^{list(powers)}; the file is damaged"
        )
    return tuple(2**power for power in powers)


def _unpack_variant(
    reader: primitives.Reader, lattice: tuple[int, ...], limits: Limits
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The lattice of a variant of a pyramid for a signal of `lattice`, and its other fields."""
    features = reader.row(wire.PYRAMID_VARIANT_FIELDS)["features"]
    if features == 0:
        raise CorruptError("header: the variant of a pyramid is the plain one")
    if features >> len(Feature):
        raise UnsupportedError(
            f"header: unknown features {features} of a pyramid; a newer inrcodec is needed"
        )
    row = {"kept": 0, "rank": 0, "coarse": 0}
    for feature in (Feature.KEPT, Feature.MIXTURE, Feature.COARSE):
        if features & feature:
            row |= (fields := reader.row(wire.FEATURES[feature]))
            if next(iter(fields.values())) == 0:
                raise CorruptError(f"header: a pyramid has {feature.name} for nothing: {fields}")
    own: dict[str, Any] = {"kept": row["kept"], "coarse": row["coarse"]}
    if row["kept"] >= len(lattice):
        raise CorruptError(f"header: a pyramid keeps {row['kept']} of {len(lattice)} axes")
    within("halvings of a lattice", row["coarse"], limits.levels)
    if features & Feature.MIXTURE:
        rank, axis, differences = row["rank"], row["axis"], row["differences"]
        within("components", rank, limits.channels)
        if axis >= len(lattice) or differences > 1 or row["kept"] == 0:
            raise CorruptError(f"header: impossible mixture {row}")
        own |= {"mixed": lattice[axis], "axis": axis, "differences": bool(differences)}
        lattice = (rank, *lattice[:axis], *lattice[axis + 1 :])
    lattice = coarser(lattice, row["kept"], row["coarse"])
    if features & Feature.EDGES:
        own["edges"] = unpack_edges(reader, lattice)
    return lattice, own


def tile_count(spec: PyramidSpec) -> int:
    """Tiles that the latents of a pyramid are coded in."""
    return math.prod(
        -(-size // edge) for size, edge in zip(spec.lattice, spec.tile_edges, strict=True)
    )


def sections_of_levels(spec: PyramidSpec | ModulatedSpec) -> int:
    """Sections that the same levels of latents are in: one for each tile, or one for all."""
    return 1 if isinstance(spec, ModulatedSpec) or spec.edges else tile_count(spec)
