"""Joins packages that read other formats with this one's errors."""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inrcodec.errors import InputError, InrcodecError, UnsupportedError, UsageError

# Warning filters belong to the whole process: two threads that change them at once leave a mess.
_filters = threading.RLock()


def needed(module: str, what: str) -> Any:
    """An optional dependency, imported on use; UnsupportedError says how to get it."""
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UnsupportedError(
            f"{what} needs the package {package}; pip install inrcodec[arrays]"
        ) from error


def line_of(error: Exception) -> str:
    """What an exception says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings of other packages are for those who call them."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what a writer of another package refuses into a UsageError; an OSError passes."""
    try:
        with quiet():
            yield
    except (InrcodecError, MemoryError, OSError):
        raise
    except Exception as error:
        raise UsageError(f"{what} cannot hold it ({line_of(error)}); write .npy") from error


@contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """Turn whatever a reader of another package raises into an InputError."""
    try:
        with quiet():
            yield
    except (InrcodecError, MemoryError):
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; check the name") from None
    except PermissionError:
        raise InputError(f"{name}: no permission to read it; change its permissions") from None
    except Exception as error:
        # Readers answer damage with almost any class of exception.
        raise InputError(
            f"{name}: no intact {what}: damaged, cut short or of an unsupported kind "
            f"({line_of(error)}); make or fetch it again"
        ) from error
