"""Joins arrays with this project's own files, through the package's public interface."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import inrcodec
from bench.array_rows import ArrayRow, compare
from bench.codecs.own import signal_versions, sources
from bench.volumes import Array, Volume
from inrcodec.errors import UsageError
from inrcodec.fitting.presets import DEFAULT_EFFORT
from inrcodec.fitting.settings import KINDS
from inrcodec.signal import Axis

DEGREES = {"latitude": "degrees_north", "longitude": "degrees_east"}
"""Units of climate fields' axes, by the CF conventions."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of `inrcodec.encode` for every array; `more` are other arguments of it."""

    kind: str = KINDS[0]
    effort: int = DEFAULT_EFFORT
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As a codec of the rows."""
        texts = [f"{name}={json.dumps(value)}" for name, value in sorted(self.more.items())]
        return " ".join([f"inrcodec-{self.kind}-e{self.effort}", *texts])


def axes_of(volume: Volume) -> list[Axis]:
    """The axes of the lattice: of a cube without the bands, which are channels."""
    names = volume.axes[:-1] if volume.channels else volume.axes
    return [
        _axis(volume, name, size) for name, size in zip(names, volume.samples.shape, strict=False)
    ]


def _axis(volume: Volume, name: str, size: int) -> Axis:
    values = volume.coordinates.get(name)
    if values is None:
        return Axis(name, size)
    origin, spacing = float(values[0]), float(values[-1] - values[0]) / (size - 1)
    return Axis(name, size, spacing, origin, DEGREES[name])


def encode(volume: Volume, wanted: Wanted, **target: Any) -> bytes:
    """The file of an array at one target."""
    asked = {"kind": wanted.kind, "effort": wanted.effort, **wanted.more, **target}
    try:
        return inrcodec.encode(volume.samples, axes=axes_of(volume), **asked)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise UsageError(f"inrcodec.encode: {str(error).partition('got ')[2]}") from None


def decode(data: bytes, volume: Volume) -> Array:
    """The array of a file, in the shape that it came in."""
    return inrcodec.decode(data).samples.reshape(volume.samples.shape)


def measured(volume: Volume, wanted: Wanted, keep: Path | None = None, **target: Any) -> ArrayRow:
    """Encode, decode and compare one array; `keep` is a folder for the file."""
    ((name, value),) = target.items()
    start = time.perf_counter()
    data = encode(volume, wanted, **target)
    between = time.perf_counter()
    decoded = decode(data, volume)
    end = time.perf_counter()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        stem = f"{volume.name} {wanted.name} {name}={value}".replace(" ", "_").replace("/", "-")
        (keep / f"{stem}.inrc").write_bytes(data)
    versions = {"inrcodec": f"{inrcodec.__version__} {sources()}", **signal_versions()}
    return ArrayRow(
        data=volume.name,
        codec=f"{wanted.name} {name}",
        family=f"inrcodec-{wanted.kind}",
        setting=float(str(value).rstrip("%")),
        bytes=len(data),
        ratio=volume.samples.nbytes / len(data),
        **compare(volume, np.asarray(decoded)),
        encode_seconds=between - start,
        decode_seconds=end - between,
        versions=" ".join(f"{name} {text}" for name, text in sorted(versions.items())),
        measured=time.strftime("%Y-%m-%d"),
    )
