"""Joins the words of `inrcodec info` with a description of what files hold."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from inrcodec.bitstream.describe import describe, read_metadata
from inrcodec.cli.jobs import Job, Plan, run_jobs, source_of
from inrcodec.cli.streams import as_json, put
from inrcodec.errors import ExitCode
from inrcodec.files.labels import described_labels
from inrcodec.files.sources import read_bytes

MAX_SHOWN = 200
"""Characters of one label that are shown."""


def info(args: argparse.Namespace) -> ExitCode:
    """Describe file after file; nothing is decoded and nothing heavy is loaded."""

    def work(job: Job) -> ExitCode:
        data = read_bytes(source_of(job.source))
        found = describe(data) | described_labels(read_metadata(data))
        if args.json:
            put(as_json({"input": job.source, **found}))
        else:
            put(job.source)
            for name, value in _table(found):
                put(f"  {name:<11} {value}")
        return ExitCode.OK

    return run_jobs(Plan(tuple(Job(name) for name in args.inputs)), work, args.debug)


def _table(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "format", found["format"]
    yield "bytes", f"{found['bytes']:,}, {found['bpp']:.4g} bits per sample position"
    yield "overhead", f"{found['overhead']} bytes"
    for index, track in enumerate(found["tracks"]):
        lattice = " x ".join(f"{axis} {size}" for axis, size in track["lattice"].items())
        low, high = track["range"]
        channels = "/".join(track["channels"])
        yield f"track {index}", f"{lattice}, {channels}, {track['dtype']} {low:g}..{high:g}"
        for axis in track["axes"]:
            if (axis["spacing"], axis["origin"], axis["unit"]) != (1.0, 0.0, ""):
                yield "", _geometry(axis)
        yield "", f"{track['kind']} {track['net']}" + _more(track)
        work = f"{track['macs_per_sample']:,} multiply-accumulates per sample"
        yield "", f"{track['parameters']:,} parameters, {work}"
    for index, section in enumerate(found["sections"]):
        of = f"{section['type']} of track {section['track']}"
        where = _where(section, found["tracks"][section["track"]])
        yield f"section {index}", f"{of}{where}, {section['bytes']:,} bytes"
    if found["metadata"]:
        entries = (f"{name} ({size:,} bytes)" for name, size in found["metadata"].items())
        yield "metadata", ", ".join(entries)
    labels = found.get("labels", {})
    if "name" in labels:
        yield "variable", labels["name"]
    for name, value in labels.get("attributes", {}).items():
        yield "", f"{name}: {_value(value)}"
    for axis, coordinate in labels.get("coordinates", {}).items():
        values = coordinate.get("values")
        told = "" if values is None else f", {_value(values)}"
        yield (
            f"{axis}",
            f"{coordinate['dtype']}{told}"
            + "".join(
                f", {name}: {_value(value)}"
                for name, value in coordinate.get("attributes", {}).items()
            ),
        )
    for name, value in labels.get("dataset", {}).items():
        yield "data set", f"{name}: {_value(value)}"


def _geometry(axis: Mapping[str, Any]) -> str:
    unit = f" {axis['unit']}" if axis["unit"] else ""
    return f"{axis['name']}: from {axis['origin']:g} by {axis['spacing']:g}{unit}"


def _value(value: Any) -> str:
    """What a label says, without its type."""
    if isinstance(value, Mapping) and value.keys() == {"dtype", "value"}:
        value = value["value"]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _more(track: dict[str, Any]) -> str:
    """What only one kind of field has."""
    if "omega_0" in track:
        shape = f" {track['shape']:g}" if track["shape"] else ""
        encoding = f", {track['encoding']} {track['order']}" if track["order"] else ""
        return f", {track['activation']}{shape}, omega_0 {track['omega_0']:g}{encoding}"
    if "base" in track:
        patches = f"{track['latents']:,} latents of step {track['step']:.3g}"
        return f", base {track['base']}, {patches}"
    tiles = f", {track['tiles']} tiles of {track['tile']}" if track["tile"] else ""
    return f", {track['levels']} levels, {track['latents']:,} latents{tiles}"


def _where(section: dict[str, Any], track: dict[str, Any]) -> str:
    """Which latents a section holds, if any."""
    if "levels" not in section:
        return ""
    first, last = section["levels"][0], section["levels"][-1]
    tile = f" of tile {section['tile']}" if track.get("tile") else ""
    return f", level {first}{tile}" if first == last else f", levels {first} to {last}{tile}"
