"""Joins the files and folders a command line names with the files that will be read and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from inrcodec.cli.streams import STDIO, check_stdout, say, stdin, stdout
from inrcodec.errors import ExitCode, InputError, InrcodecError, OutputError, UsageError
from inrcodec.files.output import check_output, check_store, write_atomically, write_store
from inrcodec.files.sources import Source, is_zarr, suffix_of

ZARR = ".zarr"
"""The suffix of outputs that are folders."""

Check = Callable[[str], object]


@dataclass(frozen=True)
class Job:
    """One file to read and one to write, if any; `-` is standard input or output.

    Where `in_tree`, the folder of `target` may be missing and is made when there is a result.
    """

    source: str
    target: str = ""
    in_tree: bool = False


@dataclass(frozen=True)
class Plan:
    """What a command has to do, and why some files of its folders are left out."""

    jobs: tuple[Job, ...]
    skipped: tuple[InrcodecError, ...] = ()


def plan(inputs: Sequence[str], output: str, suffix: Callable[[str], str], check: Check) -> Plan:
    """Which input becomes which output.

    One file becomes `output`, or a file with its name and its `suffix` in the folder `output`.
    Several, and all files below folders, become files in `output`, in the same tree; those of a
    folder that `check` raises InputError for are left out, as are hidden ones. A zarr store counts
    as a file, and so does what is to become one. Raises InrcodecError.
    """
    into_folder = Path(output).is_dir() and suffix_of(output) != ZARR
    several = len(inputs) > 1 or _is_folder(inputs[0])
    if not several and not into_folder:
        return Plan((Job(inputs[0], output),))
    if STDIO in inputs:
        raise UsageError("standard input has no name that a file in a folder could get; name OUT")
    if not into_folder and (output == STDIO or Path(output).exists() or Path(output).suffix):
        raise UsageError(f"{output}: is not a folder, which several inputs need; make or name one")
    jobs: dict[str, Job] = {}
    skipped: list[InrcodecError] = []
    for source, name in _named(inputs, skipped, check):
        stem = name.name[: len(name.name) - len(suffix_of(name.name))]
        target = str(Path(output, name).with_name(stem + suffix(source)))
        if target in jobs:
            rivals = f"{jobs[target].source} and {source}"
            raise UsageError(f"{rivals}: would both become {target}; use two folders")
        jobs[target] = Job(source, target, in_tree=True)
    return Plan(tuple(jobs.values()), tuple(skipped))


def _named(
    inputs: Sequence[str], skipped: list[InrcodecError], check: Check
) -> Iterator[tuple[str, Path]]:
    """Each file with the name it gets below the output folder."""

    def unreadable(error: OSError) -> None:
        skipped.append(InputError(f"{error.filename}: {error.strerror}"))

    for given in inputs:
        if not _is_folder(given):
            yield given, Path(Path(given).name)
            continue
        for folder, folders, names in os.walk(given, onerror=unreadable):
            shown = sorted(name for name in folders if not name.startswith("."))
            stores = [name for name in shown if is_zarr(Path(folder, name))]
            folders[:] = [name for name in shown if name not in stores]
            for name in sorted([*names, *stores]):
                path = Path(folder, name)
                # What is no file, a pipe for instance, might block whoever opens it.
                if name.startswith(".") or not (path.is_file() or name in stores):
                    continue
                try:
                    check(str(path))
                except InputError as error:
                    skipped.append(error)
                else:
                    yield str(path), path.relative_to(given)


def _is_folder(path: str) -> bool:
    return Path(path).is_dir() and not is_zarr(path)


def check_targets(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse outputs that cannot or must not be written, before any work is done."""
    inputs = [job.source for job in jobs]
    for job in jobs:
        if job.target == STDIO:
            check_stdout()
            continue
        path: str | Path = job.target
        if job.in_tree:
            # The first folder that is missing stands for all that will be made.
            path = Path(job.target)
            while not path.parent.exists():
                path = path.parent
        check = check_store if suffix_of(str(path)) == ZARR else check_output
        check(path, overwrite, inputs=inputs)


def run_jobs(todo: Plan, work: Callable[[Job], ExitCode], debug: bool) -> ExitCode:
    """Do one job after the other; a job that fails is reported and the rest goes on.

    Returns the exit code of the first failure. An interrupt, or an output that cannot be written,
    ends it all.
    """
    for error in todo.skipped:
        say(f"inrcodec: skipped: {error}")
    result = ExitCode.CANNOT_READ if todo.skipped else ExitCode.OK
    if not todo.jobs:
        raise InputError("nothing to do: the folder holds no file that can be read")
    failed = 0
    for job in todo.jobs:
        try:
            done = work(job)
        except InrcodecError as error:
            if debug:
                raise
            name = "standard input" if job.source == STDIO else job.source
            known = str(error).startswith((name, job.target or name, "<stdin>", "standard "))
            say(f"inrcodec: {error}" if known else f"inrcodec: {name}: {error}")
            done = error.exit_code
            failed += 1
            if isinstance(error, OutputError):
                return done
        result = result or done
        if done is ExitCode.INTERRUPTED:
            return done
    left_out = failed + len(todo.skipped)
    count = len(todo.jobs) + len(todo.skipped)
    if left_out and count > 1:
        say(f"inrcodec: {count - left_out} of {count} files done, {left_out} left out")
    return result


def source_of(name: str) -> Source:
    """What to read for an input's name."""
    return stdin() if name == STDIO else name


@contextmanager
def open_target(job: Job, overwrite: bool) -> Iterator[BinaryIO]:
    """A binary file that appears at the job's target when all of it is written."""
    if job.target == STDIO:
        with stdout() as file:
            yield file
        return
    _make_folder(job)
    with write_atomically(job.target, overwrite) as file:
        yield file


@contextmanager
def open_store(job: Job, overwrite: bool) -> Iterator[Path]:
    """An empty folder that appears at the job's target when all of it is written."""
    _make_folder(job)
    with write_store(job.target, overwrite) as folder:
        yield folder


def _make_folder(job: Job) -> None:
    if not job.in_tree:
        return
    folder = Path(job.target).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}; write elsewhere") from error
