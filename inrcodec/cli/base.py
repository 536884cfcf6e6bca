"""Joins the words of `inrcodec base` with bases: trained, listed, described, added."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from inrcodec.cli.streams import as_json, put, say
from inrcodec.coding.base_format import Base, unpack_base
from inrcodec.coding.bases import SUFFIX, known_bases, read_base, user_folder
from inrcodec.errors import (
    ExitCode,
    InputError,
    InrcodecError,
    OutputError,
    OutputExistsError,
    UsageError,
)
from inrcodec.files.signals import read_signal
from inrcodec.signal import split_alpha


def train(args: argparse.Namespace) -> ExitCode:
    """Train a base; its name is that of a file, in the user's folder unless it is a path."""
    from inrcodec.fitting.base_group import Group
    from inrcodec.fitting.base_run import train_base
    from inrcodec.fitting.base_start import Plan

    output = _place(args.output)
    if output.exists() and not args.force:
        raise OutputExistsError(f"{output}: exists already; -f replaces it")
    names = {field.name for field in fields(Plan)}
    given = {name: value for name, value in vars(args).items() if name in names}
    plan = Plan(**{name: value for name, value in given.items() if value is not None})
    paths = sorted(
        str(path)
        for name in args.data
        for path in (Path(name).rglob("*") if Path(name).is_dir() else [Path(name)])
        if path.is_dir() is False
    )
    words = {"licence": args.licence, "about": args.about}
    told = {name: text for name, text in words.items() if text}
    first = Group.joined().rank == 0
    pictures = read_pictures(paths, _report if first else _silent)
    data = train_base(pictures, plan, output, told, _report)
    if first:
        _tell(unpack_base(data, output.stem), args.json)
    return ExitCode.OK


def read_pictures(paths: Sequence[str], report: Callable[[str], None]) -> list[NDArray[Any]]:
    """Values `[*lattice, channels]` of every file that can be read and has the axes and channels of
    the first that can; the others are reported.
    """
    from inrcodec.fitting.samples import normalised

    pictures: list[NDArray[Any]] = []
    for path in paths:
        try:
            part = split_alpha(read_signal(path))[0]
        except InrcodecError as error:
            report(f"left out: {error}")
            continue
        plain = part.info.dtype == "uint8" and part.info.value_range == (0, 255)
        values: NDArray[Any] = part.samples if plain else normalised(part)
        first = pictures[0] if pictures else values
        if (values.ndim, values.shape[-1]) != (first.ndim, first.shape[-1]):
            report(f"left out: {path}: {values.shape} is no picture like the first")
            continue
        pictures.append(values)
    if not pictures:
        raise InputError("base train: none of the files can be read")
    return pictures


def _place(name: str) -> Path:
    if Path(name).name != name or name.endswith(SUFFIX):
        return Path(name).with_suffix(SUFFIX)
    return user_folder() / f"{name}{SUFFIX}"


def listed(args: argparse.Namespace) -> ExitCode:
    """One line for every base at hand."""
    bases = list(known_bases())
    if not bases and not args.json:
        say("base: none at hand; train one, or add a file")
    for base in bases:
        if args.json:
            put(as_json(_described(base)))
        else:
            net = f"{base.patches.patch}/{base.dimensions}/{base.units}"
            put(f"{base.short}  {base.name}  {net}, {base.axes} axes, {base.size:,} bytes")
    return ExitCode.OK


def described(args: argparse.Namespace) -> ExitCode:
    """What a base is: one at hand by name or hash, or a file."""
    path = Path(args.base)
    if path.suffix == SUFFIX or path.exists():
        found = [unpack_base(read_base(path), path.stem)]
    else:
        found = [
            base
            for base in known_bases()
            if base.name == args.base or base.digest.startswith(args.base)
        ]
    if not found:
        raise UsageError(f"base {args.base}: none of that name or hash; see `inrcodec base list`")
    for base in found:
        _tell(base, args.json)
    return ExitCode.OK


def add(args: argparse.Namespace) -> ExitCode:
    """Copy a file into the user's folder, once it has proved to be a base."""
    source = Path(args.file)
    data = read_base(source)
    base = unpack_base(data, source.stem)
    if any(known.digest == base.digest for known in known_bases()):
        say(f"inrcodec: base {base.short} is at hand already")
        return ExitCode.OK
    target = user_folder() / f"{source.stem}{SUFFIX}"
    if target.exists():
        raise OutputExistsError(f"{target}: another base of that name; rename the file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from error
    _tell(base, args.json)
    return ExitCode.OK


def _report(text: str) -> None:
    say(f"inrcodec: {text}")


def _silent(_: str) -> None:
    """The other processes of a training leave it to the first."""


def _described(base: Base) -> dict[str, Any]:
    return {
        "name": base.name,
        "sha256": base.digest,
        "bytes": base.size,
        "axes": base.axes,
        "channels": base.outputs,
        "patch": base.patches.patch,
        "margin": base.patches.margin,
        "dimensions": base.dimensions,
        "units": base.units,
        "words": dict(base.words),
    }


def _tell(base: Base, as_record: bool) -> None:
    found = _described(base)
    if as_record:
        put(as_json(found))
        return
    words = found.pop("words")
    for name, value in {**found, **words}.items():
        put(f"{name:<11} {value}")
