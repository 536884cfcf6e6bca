"""Joins integer arrays, one per level, with the Latents of a Field: all of them at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DenseLatents:
    """Latents of every level as int32 arrays, finest first."""

    levels: tuple[NDArray[np.int32], ...]

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Latents of one level in a window: start and stop along every axis of its grid."""
        return self.levels[level][tuple(slice(start, stop) for start, stop in window)]
