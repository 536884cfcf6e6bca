"""Joins `-` and the lines of the commands with standard input, output and error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TextIO

from inrcodec.errors import InputError, OutputError, UsageError

STDIO = "-"


def one_line(text: str) -> str:
    """Text that cannot break a line or command a terminal: everything unprintable is escaped."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def say(text: str) -> None:
    """One line for people, on standard error."""
    # Where nobody reads it, there is nobody to be told so.
    with suppress(OSError):
        _write_line(sys.stderr, one_line(text))


def put(text: str) -> None:
    """One line of a result, on standard output."""
    with _as_output_errors():
        _write_line(sys.stdout, one_line(text))


def as_json(record: Mapping[str, Any]) -> str:
    """One line of JSON; what is infinite or NaN, which JSON lacks, becomes null."""
    return json.dumps(_finite(record), allow_nan=False).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_line(stream: TextIO | None, line: str) -> None:
    # A stream that was closed before the start is None.
    if stream is not None:
        encoding = stream.encoding or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


@contextmanager
def _as_output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror or error}") from error


def stdin() -> BinaryIO:
    """The bytes of standard input."""
    if sys.stdin is None:
        raise InputError("standard input is closed; name a file")
    return sys.stdin.buffer


@contextmanager
def stdout() -> Iterator[BinaryIO]:
    """A binary file that is standard output."""
    check_stdout()
    with _as_output_errors():
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


def check_stdout() -> None:
    """Refuse to write a file to where there is nobody to take it."""
    if sys.stdout is None:
        raise OutputError("standard output is closed; name a file")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it or name a file")


def finish_stdout(*, drop: bool = False) -> None:
    """Write what is still buffered; with `drop`, give up on what cannot be written."""
    if sys.stdout is None:
        return
    try:
        with _as_output_errors():
            sys.stdout.flush()
    except (BrokenPipeError, OutputError):
        if not drop:
            raise
        _drop_stdout()


def _drop_stdout() -> None:
    # Otherwise Python tries once more on its way out, and complains in its own words.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
