"""Turns every broken rule into one exception class and one exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line returns to the shell."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    CANNOT_READ = 3
    DAMAGED = 4
    UNSUPPORTED = 5
    EXISTS = 6
    TARGET_MISSED = 7
    LIMIT = 8
    CANNOT_WRITE = 9
    MISSING_BASE = 10
    INTERRUPTED = 130


class InrcodecError(Exception):
    """Base of everything this library raises on purpose."""

    exit_code = ExitCode.INTERNAL


class UsageError(InrcodecError):
    """An argument makes no sense or two arguments contradict each other."""

    exit_code = ExitCode.USAGE


class InputError(InrcodecError):
    """A source cannot be read, is of an unknown format, or holds NaN or infinite samples."""

    exit_code = ExitCode.CANNOT_READ


class CorruptError(InrcodecError):
    """The bytes are not an intact `.inrc` file."""

    exit_code = ExitCode.DAMAGED


class TruncatedError(CorruptError):
    """The bytes end before the file does."""


class UnsupportedError(InrcodecError):
    """A newer major version, or a critical section or feature this version does not know; an array
    format whose package is not installed.
    """

    exit_code = ExitCode.UNSUPPORTED


class DeviceError(InrcodecError):
    """The device that was asked for is not there, or its memory does not suffice."""

    exit_code = ExitCode.UNSUPPORTED


class MissingBaseError(InrcodecError):
    """A file needs a base that is not at hand; `base` is what its header names it by."""

    exit_code = ExitCode.MISSING_BASE

    def __init__(self, base: str) -> None:
        self.base = base
        super().__init__(
            f"base {base}: the file needs it and it is not at hand; fetch the base whose SHA-256 "
            "begins so, and `inrcodec base add` it"
        )


class OutputExistsError(InrcodecError):
    """The output is there already and overwriting was not asked for."""

    exit_code = ExitCode.EXISTS


class TargetMissedError(InrcodecError):
    """No field was found that meets the asked size or quality."""

    exit_code = ExitCode.TARGET_MISSED


class LimitError(InrcodecError):
    """A file or a request asks for more than the limits in force allow."""

    exit_code = ExitCode.LIMIT

    def __init__(self, what: str, asked: int | float, allowed: int | float) -> None:
        self.what, self.asked, self.allowed = what, asked, allowed
        super().__init__(f"{what}: {asked:,} asked, {allowed:,} allowed; raise the limit to go on")


class OutputError(InrcodecError):
    """The output cannot be written: no permission, no folder, no space."""

    exit_code = ExitCode.CANNOT_WRITE
