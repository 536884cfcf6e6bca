"""Joins the bytes of a file with a description of what is in them, for people and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from inrcodec.bitstream.container import Section, unpack
from inrcodec.bitstream.header import Track
from inrcodec.bitstream.kinds import tile_count
from inrcodec.bitstream.metadata import unpack_metadata
from inrcodec.bitstream.wire import DEFAULT_LIMITS, MAGIC, Limits, SectionType
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import PyramidSpec


def describe(data: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """What a file holds, after its checksums were verified; no symbol is decoded.

    `bpp` is bits of the whole file per lattice position of the first track. `overhead` counts the
    bytes that are neither coded parameters, coded latents nor metadata. `kept` is how many axes
    are not halved, `coarse` how often the others are for the field's lattice, `tile` samples along
    every axis, 0 where the latents are in one piece; a section of latents names the `levels` that
    it holds, coarse to fine.
    """
    header, sections = unpack(data, limits)
    coded = sum(len(section.payload) for section in sections)
    metadata = {name: len(value) for name, value in _metadata(sections, limits).items()}
    positions = header.tracks[0].info.positions
    return {
        "format": f"{data[len(MAGIC)]}.{data[len(MAGIC) + 1]}",
        "bytes": len(data),
        "samples": positions,
        "bpp": 8 * len(data) / positions,
        "overhead": len(data) - coded,
        "tracks": [_track(track) for track in header.tracks],
        "metadata": metadata,
        "sections": [_section(section) for section in sections],
    }


def read_metadata(data: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """The metadata of a file, by name."""
    return _metadata(unpack(data, limits)[1], limits)


def _metadata(sections: Sequence[Section], limits: Limits) -> dict[str, bytes]:
    for section in sections:
        if section.type == SectionType.METADATA:
            return unpack_metadata(section.payload, limits)
    return {}


def _section(section: Section) -> dict[str, Any]:
    found = {"type": section.name, "track": section.track, "bytes": len(section.payload)}
    if section.place is None:
        return found
    return {**found, "levels": list(section.place.levels), "tile": section.place.tile}


def _track(track: Track) -> dict[str, Any]:
    info, spec = track.info, track.spec
    told: dict[str, Any] = {
        "lattice": {axis.name: axis.size for axis in info.axes},
        "axes": [asdict(axis) for axis in info.axes],
        "channels": list(info.channels),
        "dtype": info.dtype,
        "range": list(info.value_range),
        "kind": spec.kind,
        "net": spec.net,
        "parameters": spec.parameter_count,
        "macs_per_sample": spec.macs_per_sample,
    }
    if isinstance(spec, PyramidSpec):
        return {
            **told,
            "levels": spec.levels,
            "kept": spec.kept,
            "coarse": spec.coarse,
            "rank": spec.rank,
            "latents": spec.latent_count,
            "tile": spec.tile,
            "edges": list(spec.edges),
            "tiles": tile_count(spec),
        }
    if isinstance(spec, ModulatedSpec):
        own = {"base": spec.base, "patch": spec.patch, "dimensions": spec.dimensions}
        return {**told, **own, "latents": spec.latent_count, "step": spec.step_size}
    return {
        **told,
        "omega_0": spec.omega_0,
        "activation": spec.activation.name,
        "shape": spec.activation.shape,
        "encoding": spec.encoding.name,
        "order": spec.encoding.order,
    }
