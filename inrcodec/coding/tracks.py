"""Joins the Symbols and latents of one track with its Sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.container import Section
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.bases import base_of
from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.patch_latents import LazyPatches, pack_patches
from inrcodec.coding.quantize import TensorRecipe, dequantize
from inrcodec.coding.tiles import Coded, TiledLatents, pack_latents, tiles_of_section
from inrcodec.coding.weights import Symbols, is_sparse, pack_weights, unpack_weights
from inrcodec.fields.field import Field, FieldSpec
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import PyramidSpec

PARAMETERS = (SectionType.PARAMETERS, SectionType.SPARSE)
"""Types of the section that has a track's parameters."""


def pack_track(
    number: int,
    spec: FieldSpec,
    symbols: Symbols,
    recipes: Sequence[TensorRecipe],
    latents: Sequence[NDArray[np.int32]] = (),
) -> list[Section]:
    """The sections of track `number`: its parameters, then its latents, if any.

    `latents` has one array per level, finest first. Raises CorruptError for a context network that
    the format does not allow, and MissingBaseError for a base that is not at hand.
    """
    if isinstance(spec, ModulatedSpec):
        payload = pack_patches(spec, base_of(spec).network, latents[0])
        return [Section(SectionType.LATENTS, number, payload)]
    payload = pack_weights(spec, symbols, recipes)
    kind = SectionType.SPARSE if is_sparse(recipes) else SectionType.PARAMETERS
    sections = [Section(kind, number, payload)]
    if isinstance(spec, PyramidSpec):
        network = IntegerNetwork.of(spec, dequantize(spec, symbols, recipes).parameters)
        payloads = pack_latents(spec, network, latents)
        sections += [Section(SectionType.LATENTS, number, payload) for payload in payloads]
    return sections


def unpack_track(number: int, spec: FieldSpec, sections: Sequence[Section]) -> Field:
    """The field of track `number`, of all sections of a file; latents are decoded when read.

    Raises CorruptError for damaged parameters, UnsupportedError for a start that is not there,
    and MissingBaseError for a base that is not.
    """
    if isinstance(spec, ModulatedSpec):
        return _unpack_modulated(number, spec, sections)
    latents: dict[int, list[Coded]] = {}
    field: Field | None = None
    for index, section in enumerate(sections):
        if section.track != number:
            continue
        what = f"section {index} ({section.name} of track {number})"
        if section.type in PARAMETERS:
            sparse = section.type == SectionType.SPARSE
            field = dequantize(spec, *unpack_weights(spec, section.payload, what, sparse))
        elif section.place is not None:
            for tile, coded in tiles_of_section(spec, section.place, section.payload, what):
                latents.setdefault(tile, []).append(coded)
    # Every file has the parameters of all tracks: `unpack` made sure.
    assert field is not None
    if isinstance(spec, PyramidSpec):
        network = IntegerNetwork.of(spec, field.parameters)
        field = replace(field, latents=TiledLatents(spec, network, latents))
    return field


def _unpack_modulated(number: int, spec: ModulatedSpec, sections: Sequence[Section]) -> Field:
    base = base_of(spec)
    payload, what = None, ""
    for index, section in enumerate(sections):
        if section.track == number and section.place is not None:
            payload, what = section.payload, f"section {index} (latents of track {number})"
    latents = LazyPatches(spec, base.network, payload, what)
    return Field(spec, base.parameters_for(spec.outputs), latents)


def track_symbols(
    number: int, spec: FieldSpec, sections: Sequence[Section]
) -> tuple[Symbols, tuple[TensorRecipe, ...]]:
    """What a track's section of parameters holds; nothing where it has none."""
    for section in sections:
        if section.track == number and section.type in PARAMETERS:
            sparse = section.type == SectionType.SPARSE
            return unpack_weights(spec, section.payload, "proof", sparse)
    return {}, ()
