"""Joins cubes with AV1 stills of 12 bits of their principal components.

Each component has the quality at which its bytes lower the error of the cube most.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.codecs.arrays import ArrayCodec, ArrayEntry, Decoded, Known, from_levels
from bench.codecs.codec import library
from bench.codecs.klt import HALVINGS, RATES, SIZE, Floats, Transform, unpacked
from bench.codecs.slices import AOM_BITS, aom_stream, slices_of
from bench.volumes import Array

MOST_COMPONENTS = 32

QUALITIES = (10, 20, 30, 40, 48, 55, 60, 64, 68, 72, 75, 78, 81, 84, 87, 89, 91, 93, 95, 97)
SPEED = 1

RANGE = struct.Struct("<ff")


@dataclass(frozen=True)
class _Choice:
    """One component at one quality: its bytes and squared error in the cube."""

    data: bytes
    error: float


def encode(samples: Array, known: Known, rate: float) -> bytes:
    """The file of that rate at most whose components lose most for their bytes."""
    pixels = samples.reshape(-1, known.shape[2]).astype(np.float64)
    budget = int(rate * samples.size / 8)
    found = Transform.of(pixels, min(MOST_COMPONENTS, known.shape[2]))
    table = [_choices(k.tobytes(), known.shape[:2]) for k in found.components.T]

    vector = 2 * known.shape[2]

    def size(picked: Sequence[_Choice]) -> int:
        return SIZE.size + vector + sum(vector + len(c.data) for c in picked if c.data)

    def cheapest(weight: float) -> list[_Choice]:
        return [min(choices, key=lambda c: c.error + weight * size([c])) for choices in table]

    low, high = -10.0, 40.0  # logarithms of weights, of too long and of short files
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = size(cheapest(np.exp(middle))) <= budget
        low, high = (low, middle) if fits else (middle, high)
    picked = _filled(cheapest(np.exp(high)), table, size, budget)
    columns = [k for k, choice in enumerate(picked) if choice.data]
    return found.packed(columns) + b"".join(choice.data for choice in picked)


def _filled(
    picked: list[_Choice],
    table: Sequence[Sequence[_Choice]],
    size: Callable[[Sequence[_Choice]], int],
    budget: int,
) -> list[_Choice]:
    """What is left of the budget, spent where a byte gains most."""
    while True:
        rest = budget - size(picked)
        best, most = None, 0.0
        for k, choices in enumerate(table):
            for choice in choices:
                more = size([choice]) - size([picked[k]])
                gain = (picked[k].error - choice.error) / max(more, 1)
                if more <= rest and gain > most:
                    best, most = (k, choice), gain
        if best is None:
            return picked
        picked = [*picked[: best[0]], best[1], *picked[best[0] + 1 :]]


@lru_cache(MOST_COMPONENTS)  # the first rate of a sweep makes them for all: its seconds count
def _choices(samples: bytes, shape: tuple[int, ...]) -> list[_Choice]:
    component = np.frombuffer(samples, np.float64).reshape(shape)
    low, high = (float(np.float32(bound(component))) for bound in (np.min, np.max))
    known = Known(component.shape, low, high - low or 1.0, (0, 1))
    picture = np.clip((component - known.low) / known.span, 0, 1)
    levels = np.rint(picture * (2**AOM_BITS - 1)).astype(np.uint16)
    found = [_Choice(b"", float(np.square(component).sum()))]
    for quality in QUALITIES:
        stream = aom_stream(levels[None], quality, SPEED)
        data = RANGE.pack(low, high) + SIZE.pack(len(stream)) + stream
        error = float(np.square(_component(stream, low, high) - component).sum())
        found.append(_Choice(data, error))
    return found


def _component(stream: bytes, low: float, high: float) -> Floats:
    known = Known((), low, high - low or 1.0, (0, 1))
    return from_levels(slices_of(stream)[0], known, AOM_BITS).astype(np.float64)


def decode(data: bytes, known: Known, _: float) -> Decoded:
    """The cube of a file."""
    mean, basis, rest = unpacked(data, known.shape[2])
    components = []
    for _number in range(basis.shape[1]):
        low, high = RANGE.unpack_from(rest)
        (size,) = SIZE.unpack_from(rest, RANGE.size)
        start = RANGE.size + SIZE.size
        components.append(_component(rest[start : start + size], low, high))
        rest = rest[start + size :]
    shown = np.array(components).reshape(basis.shape[1], -1)
    return (shown.T @ basis.T + mean).reshape(known.shape)


def load() -> ArrayCodec:
    """Through imagecodecs and PyAV."""
    codecs, av = (library(name, name, "klt-avif") for name in ("imagecodecs", "av"))
    return ArrayCodec(
        name="klt-avif",
        family="klt",
        line="KLT, each component as an AV1 still of 12 bits by libaom; bits per pixel and band",
        settings=RATES,
        encode=encode,
        decode=decode,
        versions={"imagecodecs": codecs.__version__, "av": av.__version__},
        kinds=("cube",),
    )


ENTRIES = (ArrayEntry("klt-avif", load),)
