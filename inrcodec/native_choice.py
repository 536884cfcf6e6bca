"""Joins what is asked for with what is built and what the CPU can: what runs natively."""

from __future__ import annotations

import os
import warnings
from functools import cache
from types import ModuleType

from inrcodec import __version__
from inrcodec.errors import UsageError

VARIABLE = "INRCODEC_NATIVE"
"""Names an instruction set, for tests, or switches the extension off."""

OFF = "off"


@cache
def extension() -> ModuleType | None:
    """The extension, where one was built for this version of the package."""
    try:
        import inrcodec._native as native
    except ImportError:
        return None
    built = native.VERSION
    if built != __version__:
        warnings.warn(
            f"{native.__file__} was built for inrcodec {built}, this is {__version__}: not used; "
            "install the package again",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return native


def instruction_set() -> str | None:
    """The instruction set that kernels run on, or None: Python does the work.

    Raises UsageError where the environment asks for one that is not to be had.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked == OFF:
        return None
    native = extension()
    available = native.available() if native else []
    if not asked:
        return available[0] if available else None
    if asked not in available:
        known = ", ".join([*available, OFF])
        raise UsageError(f"{VARIABLE}={asked}: not available here; choose from {known}")
    return asked


def describe() -> str:
    """What `--version` says."""
    if found := instruction_set():
        return f"native: {found}"
    return "native: none (pure Python)"
