"""Joins the words of `inrcodec decode` with files read, samples computed and files written."""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.container import unpack
from inrcodec.bitstream.wire import DEFAULT_LIMITS, EXTENSION, MAGIC, Limits
from inrcodec.cli.jobs import (
    ZARR,
    Job,
    check_targets,
    open_store,
    open_target,
    plan,
    run_jobs,
    source_of,
)
from inrcodec.cli.streams import STDIO, as_json, put, say
from inrcodec.cli.values import size_along, window_along
from inrcodec.codec import open as open_inrc
from inrcodec.codec import scaled_size
from inrcodec.errors import ExitCode, InputError, InrcodecError, UsageError
from inrcodec.files.formats import (
    ARRAY,
    FOLDER,
    SUFFIXES,
    check_format,
    format_of,
    named_format,
    usual_format,
    write_folder,
    write_signal,
)
from inrcodec.files.sources import read_bytes, suffix_of
from inrcodec.query.view import SignalView
from inrcodec.signal import ALPHA, Signal


def decode(args: argparse.Namespace) -> ExitCode:
    """Every output is checked before the first sample is computed."""
    limits = _limits(args)
    points = None if args.at is None else _read_points(args)
    asked = None if args.format is None else args.format.lower()
    named = ARRAY if asked is None and points is not None else asked and named_format(asked)

    def suffix(source: str) -> str:
        return f".{asked or named or _usual_format(source, limits)}"

    todo = plan(args.inputs, args.output, suffix, _check_inrc)
    formats = {job: _format_of(job.target, named) for job in todo.jobs}
    if points is not None and {*formats.values()} - {ARRAY}:
        raise UsageError("--at: gives values, not a picture; write to a .npy file")
    check_targets(todo.jobs, args.force)

    def work(job: Job) -> ExitCode:
        started = time.monotonic()
        data = read_bytes(source_of(job.source))
        view = open_inrc(data, partial=args.partial, limits=limits)
        format_ = formats[job] or usual_format(view.info)
        check_format(view.info, format_)
        if points is None:
            signal = _read(view, args)
            lattice = _lattice(signal)
            _write(signal, job, format_, args.force)
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


def _usual_format(source: str, limits: Limits) -> str:
    """The format that a file without a named one is decoded to, from its header."""
    try:
        header, _ = unpack(read_bytes(source), limits)
    except InrcodecError:
        # Whoever decodes it says what is wrong with it.
        return "png"
    info = header.tracks[0].info
    more = [t.info.channels for t in header.tracks[1:2] if t.info.channels == (ALPHA,)]
    return usual_format(replace(info, channels=sum(more, info.channels)))


def _format_of(target: str, named: str | None) -> str | None:
    """The format that `--format` or the suffix names, which must not contradict each other; None
    where it is left to what the file holds.
    """
    meant = format_of(target)
    if named == FOLDER and (target == STDIO or suffix_of(target) != ZARR):
        raise UsageError(f"{target}: a zarr store is a folder; give it a name that ends in {ZARR}")
    if target == STDIO or (named and meant is None):
        return named
    if meant is None:
        known = ", ".join(sorted(SUFFIXES))
        suffix = Path(target).suffix.lower()
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
        raise InputError(f"{args.at}: not a .npy file of numbers; give an array [points, axes]")
    return points


def _read(view: SignalView, args: argparse.Namespace) -> Signal:
    axes, lattice, crop = view.info.axes, view.info.lattice, args.crop
    if args.size is not None:
        lattice = size_along(axes, args.size)
    if args.scale is not None:
        lattice = scaled_size(lattice, args.scale)
    return view.read(lattice, None if crop is None else window_along(axes, lattice, crop))


def _write(signal: Signal, job: Job, format_: str, overwrite: bool) -> None:
    if format_ == FOLDER:
        with open_store(job, overwrite) as folder:
            write_folder(signal, folder)
        return
    buffer = io.BytesIO()
    write_signal(signal, buffer, format_)
    with open_target(job, overwrite) as file:
        file.write(buffer.getbuffer())


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
