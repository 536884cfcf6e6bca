"""Joins a time limit, an interrupt and a progress display with the loops that fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")

Progress = Callable[[str, float, float], None]
"""Called with the stage, the share of it that is done, and the PSNR in dB so far."""

WARM_UP = 0.03
"""Share of a schedule over which the rate rises."""


def quiet(stage: str, share: float, psnr: float) -> None:
    """Progress that shows nothing."""


@dataclass
class Budget:
    """A time limit in seconds from now, or none, and whether the user has asked to stop."""

    seconds: float | None = None
    interrupted: bool = False
    started: float = field(default_factory=time.monotonic)

    def part(self, share: float) -> Budget:
        """A budget of its own for the next `share` of what this one has in all."""
        return Budget(self.seconds * share if self.seconds else None, self.interrupted)

    def elapsed(self) -> float:
        """Share of the time limit that has passed; 0 without one."""
        return (time.monotonic() - self.started) / self.seconds if self.seconds else 0.0


def finished(work: Callable[[], Result], budget: Budget) -> Result:
    """The result of work without which all would be lost: a first interrupt begins it anew."""
    try:
        return work()
    except KeyboardInterrupt:
        if budget.interrupted:
            raise
        budget.interrupted = True
        return work()


def cosine(share: float, floor: float = 0.0) -> float:
    """Schedule from 1 to `floor` as `share` goes from 0 to 1, after a linear warm-up."""
    warm = min(1.0, (share + 1e-3) / WARM_UP)
    return warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
