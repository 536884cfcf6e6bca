"""Joins the values of options, as they are typed, with what they stand for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from typing import Any

from inrcodec.errors import UsageError
from inrcodec.signal import Axis

Window = tuple[tuple[int, int], ...]
Named = dict[str, tuple[int | None, int | None]]
"""(start, stop) of axes by name; None where it is the end of the lattice."""

_SUFFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

_NAME = r"[^=,:\s]+"
_NUMBER = r"\d{1,10}"


def count(text: str) -> int:
    """A number above 0, as in 4711, 12k or 1.5M."""
    found = re.fullmatch(r"(\d{1,18})(?:\.(\d{1,18}))?([kmgt]?)", text.lower(), re.ASCII)
    if found:
        whole, part, suffix = found[1], found[2] or "", found[3]
        number, rest = divmod(int(whole + part) * _SUFFIX[suffix], int(10 ** len(part)))
        if number and not rest:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is no count; give one as in 4711, 12k or 1.5M")


def positive(text: str) -> int:
    """A number from 1 to 9999."""
    if re.fullmatch(r"0*[1-9]\d{0,3}", text, re.ASCII):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 9999")


def bound(text: str) -> float | str:
    """A number, or a share as in 1%."""
    try:
        return text if text.endswith("%") else float(text)
    except ValueError as error:
        message = f"{text!r} is no bound; give a number as in 0.5, or a share as in 1%"
        raise argparse.ArgumentTypeError(message) from error


def omega(text: str) -> float | str:
    """A number, or `auto`."""
    try:
        return text if text == "auto" else float(text)
    except ValueError as error:
        message = f"{text!r} is no frequency; give a number as in 30, or auto"
        raise argparse.ArgumentTypeError(message) from error


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    found = tuple(text.split(","))
    if all(found):
        return found
    raise argparse.ArgumentTypeError(f"{text!r} are no names; give them as in z,y,x")


def shape(text: str) -> tuple[int, ...]:
    """Sizes of the dimensions of an array, with commas between them."""
    if re.fullmatch(rf"{_NUMBER}(,{_NUMBER})*", text, re.ASCII):
        return tuple(map(int, text.split(",")))
    raise argparse.ArgumentTypeError(f"{text!r} is no shape; give one as in 64,64,64")


def size(text: str) -> tuple[int, ...] | dict[str, int]:
    """Height and width of WxH, or sizes of axes by their names."""
    if "=" in text:
        return {name: int(number) for name, number in _by_name(_NUMBER, text, "z=32,y=64")}
    width, height = _numbers(r"(\d{1,10})x(\d{1,10})", text, "WxH, as in 1920x1080, or z=32,y=64")
    return height, width


def crop(text: str) -> Window | Named:
    """Rows and columns of X,Y,W,H, or (start, stop) of axes by their names."""
    if "=" in text:
        example = "z=0:10,y=5:20"
        ends = {}
        for name, part in _by_name(rf"(?:{_NUMBER})?:(?:{_NUMBER})?", text, example):
            start, _, stop = part.partition(":")
            ends[name] = (int(start) if start else None, int(stop) if stop else None)
        if all(stop is None or (start or 0) < stop for start, stop in ends.values()):
            return ends
        raise argparse.ArgumentTypeError(f"{text!r} is empty; a stop has to be above its start")
    number = r"(\d{1,10})"
    example = "X,Y,W,H, as in 0,0,64,64, or z=0:10,y=5:20"
    x, y, width, height = _numbers(",".join([number] * 4), text, example)
    if not width or not height:
        raise argparse.ArgumentTypeError(f"{text!r} is empty; give W and H of at least 1")
    return (y, y + height), (x, x + width)


def array_words(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of array files, for `read_signal`."""
    return {name: getattr(args, name) for name in ("axes", "variable", "shape", "dtype", "fill")}


def size_along(axes: tuple[Axis, ...], given: tuple[int, ...] | dict[str, int]) -> tuple[int, ...]:
    """What `--size` means for these axes: those that are not named keep theirs."""
    if not isinstance(given, dict):
        _check_two("size", "WxH", axes)
        return given
    _check_names("size", axes, given)
    return tuple(given.get(axis.name, axis.size) for axis in axes)


def window_along(axes: tuple[Axis, ...], lattice: tuple[int, ...], given: Window | Named) -> Window:
    """What `--crop` means for these axes of `lattice` samples: those not named stay whole."""
    if not isinstance(given, dict):
        _check_two("crop", "X,Y,W,H", axes)
        return given
    _check_names("crop", axes, given)
    window = []
    for axis, cells in zip(axes, lattice, strict=True):
        start, stop = given.get(axis.name, (None, None))
        window.append((start or 0, cells if stop is None else stop))
    return tuple(window)


def _check_two(option: str, form: str, axes: tuple[Axis, ...]) -> None:
    if len(axes) != 2:
        known = ", ".join(axis.name for axis in axes)
        raise UsageError(f"--{option} {form}: is for pictures; name the axes, of {known}: NAME=...")


def _check_names(option: str, axes: tuple[Axis, ...], given: Collection[str]) -> None:
    known = [axis.name for axis in axes]
    if wrong := [name for name in given if name not in known]:
        raise UsageError(f"--{option}: no axis {wrong[0]!r}; the file has {', '.join(known)}")


def _by_name(value: str, text: str, example: str) -> list[tuple[str, str]]:
    parts = text.split(",")
    found = [re.fullmatch(rf"({_NAME})=({value})", part, re.ASCII) for part in parts]
    pairs = [(each[1], each[2]) for each in found if each]
    if len(pairs) < len(parts) or len({name for name, _ in pairs}) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {example}")
    return pairs


def _numbers(pattern: str, text: str, example: str) -> tuple[int, ...]:
    found = re.fullmatch(pattern, text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {example}")
    return tuple(int(part) for part in found.groups())
