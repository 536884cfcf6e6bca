"""Joins the variable that switches the extension off with a block of a bench."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pure_python() -> Iterator[None]:
    """As where no extension was built."""
    # Not before it is asked: atheris watches only what is imported after it.
    from inrcodec.native_choice import OFF, VARIABLE

    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = OFF
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
