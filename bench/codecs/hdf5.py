"""Joins arrays with chunks of HDF5 filters: SZ3, ZFP and SPERR, through hdf5plugin.

A file is the one chunk that holds the whole array; what HDF5 adds is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.codecs.arrays import (
    KINDS,
    ArrayCodec,
    ArrayEntry,
    Decoded,
    Known,
    from_slices,
    to_slices,
)
from bench.codecs.codec import library
from bench.volumes import Array

SOLID, FLAT = 3, 2
"""Dimensions."""

BITS = 32
"""Of a sample as the filters get it: float32, which all three are made for."""


@dataclass(frozen=True)
class Filter:
    """A filter, and what a setting asks of it.

    `options` makes the dataset's options of hdf5plugin, a setting, the range and the bits of a
    sample in the array's own file. `dimensions` is the most that it takes: more become slices in
    one row, or one picture of all their rows.
    """

    line: str
    family: str
    options: Callable[[Any, float, float, int], Any]
    settings: tuple[float, ...]
    dimensions: int
    kinds: tuple[str, ...] = KINDS


# fmt: off
BOUNDS = (
    0.4, 0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.018, 0.0125,
    0.01, 0.007, 0.005, 0.0035, 0.0025, 0.0018, 0.001, 0.0005, 0.00025, 0.0001,
)
POWERS = tuple(2.0**-power for power in range(-10, 15))
"""Of the range; zfp rounds a tolerance down to a power of two, and keeps far within it."""

RATIOS = (
    3200.0, 1600.0, 1000.0, 800.0, 600.0, 400.0, 300.0, 200.0, 160.0, 130.0,
    100.0, 80.0, 64.0, 50.0, 40.0, 30.0, 20.0, 12.0, 8.0,
)
# fmt: on
STRICT = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def _sz3(plugin: Any, bound: float, span: float, _: int) -> Any:
    return plugin.SZ3(absolute=bound * span)


def _zfp(plugin: Any, bound: float, span: float, _: int) -> Any:
    return plugin.Zfp(accuracy=bound * span)


# `swap`: without it the axes are taken in reverse, which costs 20 dB where they differ in length.
def _sperr(plugin: Any, ratio: float, _: float, bits: int) -> Any:
    return plugin.Sperr(rate=bits / ratio, swap=True)


def _sperr_bound(plugin: Any, bound: float, span: float, _: int) -> Any:
    return plugin.Sperr(absolute=bound * span, swap=True)


_BOUND, _RATIO = "bound by range", "size of the array's file by that of the chunk"

FILTERS = {
    "sz3": Filter(f"SZ3; {_BOUND}", "sz3", _sz3, BOUNDS, SOLID),
    "zfp": Filter(f"ZFP, fixed accuracy; {_BOUND}", "zfp", _zfp, POWERS, SOLID),
    "sperr": Filter(f"SPERR, fixed rate; {_RATIO}", "sperr", _sperr, RATIOS, SOLID),
    "sperr-bound": Filter(f"SPERR, bounded error; {_BOUND}", "sperr", _sperr_bound, STRICT, SOLID),
}
_FLAT = {  # where the leading axes are short, an array is better one tall picture
    f"{name}-2d": Filter(
        f"{each.line}; rows of all slices",
        each.family,
        each.options,
        each.settings,
        FLAT,
        ("climate",),
    )
    for name, each in FILTERS.items()
}
FILTERS |= _FLAT


def encode(used: Filter, samples: Array, known: Known, setting: float) -> bytes:
    """The chunk."""
    import h5py

    values = _merged(samples.astype(np.float32), known, used.dimensions)
    options = _options(used, known, setting, 8 * samples.itemsize)
    with h5py.File("encode", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("a", data=values, chunks=values.shape, **options)
        mask, chunk = dataset.id.read_direct_chunk((0,) * values.ndim)
        if mask or len(chunk) != dataset.id.get_storage_size():
            raise ValueError("the filter passed the array on as it was")
        return bytes(chunk)


def decode(used: Filter, data: bytes, known: Known, setting: float) -> Decoded:
    """The array of a chunk."""
    import h5py

    shape = _merged(np.empty(known.shape, np.bool_), known, used.dimensions).shape
    options = _options(used, known, setting, BITS)  # of SPERR the chunk itself knows its rate
    with h5py.File("decode", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("a", shape, np.float32, chunks=shape, **options)
        dataset.id.write_direct_chunk((0,) * len(shape), data)
        values: Decoded = dataset[...]
    if values.ndim == len(known.shape):
        return values
    merged: Decoded = from_slices(values, known)
    return merged


def _options(used: Filter, known: Known, setting: float, bits: int) -> Any:
    import hdf5plugin

    return used.options(hdf5plugin, setting, known.span, bits)


def _merged(values: Array, known: Known, dimensions: int) -> Array:
    if values.ndim <= dimensions:
        return values
    slices = to_slices(values, known)
    return slices if dimensions == SOLID else slices.reshape(-1, slices.shape[2])


def load(name: str) -> ArrayCodec:
    """The codec of that name; CodecMissingError without h5py or hdf5plugin."""
    h5py, plugin = (library(module, module, name) for module in ("h5py", "hdf5plugin"))
    used = FILTERS[name]
    return ArrayCodec(
        name=name,
        family=used.family,
        line=used.line,
        settings=used.settings,
        encode=partial(encode, used),
        decode=partial(decode, used),
        versions={"hdf5plugin": plugin.version, "hdf5": h5py.version.hdf5_version},
        kinds=used.kinds,
    )


ENTRIES = tuple(ArrayEntry(name, partial(load, name)) for name in FILTERS)
