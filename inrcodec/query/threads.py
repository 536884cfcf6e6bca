"""Joins evaluations that run side by side with settings of the whole process they share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Generic, TypeVar

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


@cache
def _controller() -> ThreadpoolController:
    # Looks at every library that is loaded: once is enough.
    return ThreadpoolController()


serial_blas = WhileAnyone(
    lambda: _controller().limit(limits=1, user_api="blas"),
    lambda limiter: limiter.restore_original_limits(),
)
"""One BLAS thread: matrices of a field are small, and threads that wait for each other on a busy
machine cost many times what they save."""
