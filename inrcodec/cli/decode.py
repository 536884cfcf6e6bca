"""Joins the words of `inrcodec decode` with files read, samples computed and pictures written."""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.wire import DEFAULT_LIMITS, EXTENSION, MAGIC, Limits
from inrcodec.cli.jobs import Job, check_targets, open_target, plan, run_jobs, source_of
from inrcodec.cli.streams import STDIO, as_json, put, say
from inrcodec.codec import open as open_inrc
from inrcodec.codec import scaled_size
from inrcodec.errors import ExitCode, InputError, UsageError
from inrcodec.files.images import SUFFIXES, image_mode, write_array, write_image
from inrcodec.files.sources import read_bytes
from inrcodec.query.view import SignalView
from inrcodec.signal import Signal

ARRAY = "npy"


def decode(args: argparse.Namespace) -> ExitCode:
    """Every output is checked before the first sample is computed."""
    limits = _limits(args)
    points = None if args.at is None else _read_points(args)
    named = _named_format(args.format)
    usual = ARRAY if points is not None else "png"
    todo = plan(args.inputs, args.output, f".{(args.format or usual).lower()}", _check_inrc)
    formats = {job: _format_of(job.target, named, usual) for job in todo.jobs}
    if points is not None and {*formats.values()} - {ARRAY}:
        raise UsageError("--at: gives values, not a picture; write to a .npy file")
    check_targets(todo.jobs, args.force)

    def work(job: Job) -> ExitCode:
        started = time.monotonic()
        data = read_bytes(source_of(job.source))
        view = open_inrc(data, partial=args.partial, limits=limits)
        format_ = formats[job]
        if format_ != ARRAY:
            image_mode(view.info, format_)
        if points is None:
            signal = _read(view, args)
            content, lattice = _file_of(signal, format_), _lattice(signal)
        else:
            values = view.at(points)
            content, lattice = _array_file(values), {"points": len(values)}
        with open_target(job, args.force) as file:
            file.write(content)
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": len(data),
            "lattice": lattice,
            "channels": list(view.info.channels),
            "problem": view.problem,
            "seconds": time.monotonic() - started,
        }
        if view.problem is not None:
            name = "standard input" if job.source == STDIO else job.source
            say(f"inrcodec: {name}: decoded in part: {view.problem}")
        _report(args, job, record)
        return ExitCode.OK

    return run_jobs(todo, work, args.debug)


def _limits(args: argparse.Namespace) -> Limits:
    asked = {"samples": args.max_samples, "macs": args.max_macs}
    return replace(
        DEFAULT_LIMITS, **{name: value for name, value in asked.items() if value is not None}
    )


def _check_inrc(path: str) -> None:
    """Raise InputError for what does not begin as a `.inrc` file."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if start != MAGIC:
        raise InputError(f"{path}: not a {EXTENSION} file")


def _named_format(name: str | None) -> str | None:
    if name is None or name.lower() == ARRAY:
        return name and ARRAY
    try:
        return SUFFIXES[f".{name.lower()}"]
    except KeyError:
        known = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise UsageError(f"--format {name}: unknown; use one of {known}, {ARRAY}") from None


def _format_of(target: str, named: str | None, usual: str) -> str:
    """The format that `--format` or the suffix names; they must not contradict each other."""
    suffix = Path(target).suffix.lower()
    meant = ARRAY if suffix == f".{ARRAY}" else SUFFIXES.get(suffix)
    if target == STDIO or (named and meant is None):
        return named or usual
    if meant is None:
        known = ", ".join([*sorted(SUFFIXES), f".{ARRAY}"])
        raise UsageError(f"{target}: unknown suffix {suffix!r}; use one of {known}, or --format")
    if named and named != meant:
        raise UsageError(f"{target}: its suffix says {meant}, --format says {named}; choose one")
    return meant


def _read_points(args: argparse.Namespace) -> NDArray[np.floating[Any]]:
    """The array of `--at`; its shape is the view's to judge."""
    if (args.scale, args.size, args.crop) != (None, None, None):
        raise UsageError("--at: points are native positions; leave out --scale, --size and --crop")
    data = read_bytes(args.at)
    try:
        points = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{args.at}: not an intact .npy file of numbers") from error
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "iuf":
        raise InputError(f"{args.at}: not a .npy file of numbers; give an array [points, 2]")
    return points


def _read(view: SignalView, args: argparse.Namespace) -> Signal:
    size = args.size
    if args.scale is not None:
        size = scaled_size(view.info.lattice, args.scale)
    return view.read(size, args.crop)


def _file_of(signal: Signal, format_: str) -> bytes:
    buffer = io.BytesIO()
    if format_ == ARRAY:
        write_array(signal, buffer)
    else:
        write_image(signal, buffer, format_)
    return buffer.getvalue()


def _array_file(values: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _lattice(signal: Signal) -> dict[str, int]:
    return {axis.name: axis.size for axis in signal.info.axes}


def _report(args: argparse.Namespace, job: Job, record: dict[str, Any]) -> None:
    if args.json and job.target == STDIO:
        say(as_json(record))
    elif args.json:
        put(as_json(record))
    elif not args.quiet:
        name = "standard output" if job.target == STDIO else job.target
        size = " x ".join(f"{axis} {count}" for axis, count in record["lattice"].items())
        channels = "/".join(record["channels"])
        say(f"{name}: {size}, {channels}, {record['seconds']:.2f} s")
