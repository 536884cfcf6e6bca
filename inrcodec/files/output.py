"""Joins bytes with a file that holds all of them or, if anything fails, what it held before."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from inrcodec.errors import OutputError, OutputExistsError, UsageError
from inrcodec.files.sources import is_zarr

StrPath = str | os.PathLike[str]

_REASONS = {
    errno.ENOSPC: "no space is left on the device; free some or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some space or write elsewhere",
    errno.EFBIG: "the file is larger than the system allows; write elsewhere",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.EACCES: "no permission to write there; write elsewhere",
    errno.EPERM: "no permission to write there; write elsewhere",
}
_CANNOT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}

# Names for files that are open already: what stands behind them belongs to whoever opened it, so
# bytes are appended to it and it is never replaced.
_DESCRIPTORS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")


def check_output(path: StrPath, overwrite: bool, *, inputs: Iterable[StrPath] = ()) -> None:
    """Refuse an output that cannot or must not be written, before any work is done.

    Devices, pipes and names of open descriptors are written as they are and never refused as
    existing. Raises UsageError when `path` is one of `inputs`, OutputExistsError when a file is
    there and `overwrite` is false, OutputError when `path` cannot be written.
    """
    with _as_output_errors(path):
        state = _state(path)
        if _is_stream(path, state):
            if not os.access(path, os.W_OK):
                raise OutputError(f"{path}: {_REASONS[errno.EACCES]}")
            return
        if state is not None:
            if stat.S_ISDIR(state.st_mode):
                raise OutputError(f"{path}: is a folder; name a file")
            if not stat.S_ISREG(state.st_mode):
                raise OutputError(f"{path}: is not a regular file; name one")
            if any(_is_same(state, source) for source in inputs):
                raise UsageError(f"{path}: is the input too; choose another output")
            if not overwrite:
                raise OutputExistsError(f"{path}: exists already; replaced only with -f")
        if os.fspath(path).endswith(os.sep):
            raise OutputError(f"{path}: names a folder; name a file")
        folder = Path(path).resolve().parent
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise OutputError(f"{path}: the folder {folder} {what}; create it or write elsewhere")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{path}: {_REASONS[errno.EACCES]}")


def check_store(path: StrPath, overwrite: bool, *, inputs: Iterable[StrPath] = ()) -> None:
    """As `check_output`, of a zarr store: a folder, replaced only where it is one already."""
    with _as_output_errors(path):
        state = _state(path)
        if state is None:
            check_output(path, overwrite, inputs=inputs)
            return
        if not stat.S_ISDIR(state.st_mode):
            raise OutputError(f"{path}: is a file, where a folder has to be made; name another")
        if any(_is_same(state, source) for source in inputs):
            raise UsageError(f"{path}: is the input too; choose another output")
        if not overwrite:
            raise OutputExistsError(f"{path}: exists already; replaced only with -f")
        if not is_zarr(path):
            raise OutputError(f"{path}: is a folder, and no zarr store; it is kept, name another")


@contextmanager
def write_store(path: StrPath, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder that appears at `path`, all or nothing; raises what `check_store` raises."""
    import shutil

    check_store(path, overwrite)
    with _as_output_errors(path):
        target = Path(path).resolve()
        temporary, old = (
            target.with_name(f".inrcodec-{os.urandom(16).hex()}.tmp") for _ in range(2)
        )
        temporary.mkdir()
        try:
            yield temporary
            if target.is_dir():
                check_store(path, overwrite)
                target.rename(old)
            try:
                temporary.rename(target)
            except BaseException:
                if old.is_dir():
                    old.rename(target)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        _sync_folder(target.parent)


@contextmanager
def write_atomically(path: StrPath, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A binary file whose bytes appear at `path` when the block ends without an exception.

    Until then, and after any exception, `path` is as it was and nothing else is left behind. A
    file that is replaced gives its permissions to the new one; a symbolic link stays and the file
    it points to is replaced. Without `overwrite`, a file that appears meanwhile is not replaced
    either. Devices, pipes and names of open descriptors are written directly.

    Raises what `check_output` raises; an OSError in the block counts as a failure to write.
    """
    check_output(path, overwrite)
    with _as_output_errors(path):
        state = _state(path)
        if _is_stream(path, state):
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb")
            with _finished(file):
                yield file
            return
        target = Path(path).resolve()
        temporary = target.with_name(f".inrcodec-{os.urandom(16).hex()}.tmp")
        # What replaces a private file is private from its first byte on.
        mode = 0o666 if state is None else 0o600
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            file = os.fdopen(os.open(temporary, flags, mode), "wb")
            with _finished(file):
                yield file
                file.flush()
                _sync(file.fileno())
            if state is not None:
                _inherit(temporary, state)
            if overwrite:
                temporary.replace(target)
            else:
                _publish_new(temporary, target, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        _sync_folder(target.parent)


def _state(path: StrPath) -> os.stat_result | None:
    """What is at `path`, links followed; None when nothing is."""
    try:
        return Path(path).stat()
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OutputError(
            f"{os.fspath(path)!r}: not a file name ({error}); choose another"
        ) from None


def _is_stream(path: StrPath, state: os.stat_result | None) -> bool:
    if state is None or stat.S_ISDIR(state.st_mode):
        return False
    if str(Path(path).absolute()).startswith(_DESCRIPTORS):
        return True
    return stat.S_ISCHR(state.st_mode) or stat.S_ISFIFO(state.st_mode)


def _is_same(state: os.stat_result, source: StrPath) -> bool:
    try:
        return os.path.samestat(state, Path(source).stat())
    except (OSError, ValueError):
        # Whoever reads this input says what is wrong with it.
        return False


@contextmanager
def _as_output_errors(path: StrPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or f"{error.strerror or error}; write elsewhere"
        raise OutputError(f"{path}: {reason}") from error


@contextmanager
def _finished(file: BinaryIO) -> Iterator[None]:
    """Close `file` at the end; a failing close never hides the exception that came before it."""
    try:
        yield
        file.close()
    except BaseException:
        with suppress(OSError):
            file.close()
        raise


def _publish_new(temporary: Path, target: Path, path: StrPath) -> None:
    """Give `temporary` the name `target` unless something has that name by now."""
    exists = OutputExistsError(f"{path}: was created by another program meanwhile; it was kept")
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise exists from None
    except (OSError, NotImplementedError):
        # A file system without hard links: reserve the name, then replace the empty file.
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise exists from None
        try:
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                target.unlink()
            raise


def _inherit(temporary: Path, state: os.stat_result) -> None:
    """Owner, if that is allowed, and permissions of the file that is about to be replaced."""
    with suppress(OSError, AttributeError):
        os.chown(temporary, state.st_uid, state.st_gid)
    temporary.chmod(stat.S_IMODE(state.st_mode) & 0o777)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name durable where folders can be synchronised at all."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
