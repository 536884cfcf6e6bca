"""Joins one setting of a codec with the bytes that it makes of a picture."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB, `[height, width, 3]`."""


class CodecMissingError(Exception):
    """A codec that cannot run here; the text says in one line what is missing."""


@dataclass(frozen=True)
class Coded:
    """One picture's file, and what the codec knows of it."""

    data: bytes
    macs_per_pixel: float | None = None
    notes: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Codec:
    """A codec in one configuration; a number, its setting, is left free.

    `name` is unique and goes into the rows and plots (`avif-444-s2`); `family` groups what is drawn
    alike (`avif`). `settings` run from low to high rate, and `quick` is the part of them that the
    quick set uses. `decode` sees nothing but the bytes that `encode` returned. `versions` names
    the libraries below. Both functions run with one thread, in a process of their own.
    """

    name: str
    family: str
    settings: tuple[float, ...]
    quick: tuple[float, ...]
    encode: Callable[[Picture, float], Coded]
    decode: Callable[[bytes], Picture]
    versions: Mapping[str, str]
    device: str = "cpu"
    slow: bool = False
    """Whether an encode takes minutes; such rows run last."""
    limits: tuple[float, float] | None = None
    """The settings of least and most rate that the codec has, where that is known."""
    whole: bool = False
    """Whether only whole numbers are settings."""
    prepare: Callable[[float], None] | None = None
    """Loads what an encode and a decode at one setting need, outside the measured time."""


@dataclass(frozen=True)
class Entry:
    """A codec that can be asked for, before any of its libraries is imported.

    `line` says in a few words what it is and what its setting means. A `pattern` (whole names, as a
    regular expression) stands for many codecs, which `name` then shows in general. `load` gets the
    name asked for and raises CodecMissingError where the codec cannot run.
    """

    name: str
    line: str
    load: Callable[[str], Codec]
    pattern: str | None = None


def library(module: str, package: str, codec: str) -> ModuleType:
    """An optional library; CodecMissingError where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError)
        why = "is not installed" if absent else f"cannot be imported ({error})"
        raise CodecMissingError(f"{codec}: {package} {why}: pip install {package}") from None
