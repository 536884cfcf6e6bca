"""Joins evaluations that run side by side with settings of the whole process they share."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from inrcodec.errors import UsageError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

State = TypeVar("State")


class WhileAnyone(Generic[State]):
    """A setting that holds while anyone is inside: made by the first, undone by the last."""

    def __init__(self, make: Callable[[], State], undo: Callable[[State], None]) -> None:
        self._make, self._undo = make, undo
        self._lock = threading.Lock()
        self._inside = 0
        self._state: Any = None

    @contextmanager
    def __call__(self) -> Iterator[State]:
        with self._lock:
            if self._inside == 0:
                self._state = self._make()
            self._inside += 1
            state = self._state
        try:
            yield state
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._undo(state)


THREADS = "INRCODEC_THREADS"
"""Names the environment variable that bounds the threads of a native kernel."""


def kernel_threads() -> int:
    """The most threads that a native kernel may use: as asked, else one per core."""
    asked = os.environ.get(THREADS, "")
    if not asked:
        return _cores()
    if not (asked.isascii() and asked.isdecimal() and 1 <= int(asked) <= 9999):
        raise UsageError(f"{THREADS}={asked}: a number from 1 to 9999 is needed")
    return int(asked)


def _cores() -> int:
    # A process may be confined to some of the machine's cores; not every system can say so.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    # Looks at every library that is loaded: once is enough.
    return ThreadpoolController()


serial_blas = WhileAnyone(
    lambda: _controller().limit(limits=1, user_api="blas"),
    lambda limiter: limiter.restore_original_limits(),
)
"""One BLAS thread: matrices of a field are small, and threads that wait for each other on a busy
machine cost many times what they save."""

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""Names the environment variable that numpy's BLAS reads when it is loaded."""


def import_numpy() -> None:
    """Import numpy, in a process that is to decode and end, without threads of its BLAS.

    No field is evaluated with them, and starting them takes as long as the rest of the import. Who
    has loaded numpy already, or said how many there are to be, is left alone.
    """
    if "numpy" in sys.modules or BLAS_THREADS in os.environ:
        return
    os.environ[BLAS_THREADS] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[BLAS_THREADS]
