"""Joins FieldSpec and named parameter arrays into Field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FieldSpec = SirenSpec | PyramidSpec | ModulatedSpec
"""Union of the architectures this version knows."""


class Latents(Protocol):
    """Grids of integers, level 0 the finest; they may be decoded only when they are read.

    A modulated field has one, with one dimension more.
    """

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Latents of one level in a window: start and stop along every axis of its grid."""


@dataclass(frozen=True)
class Field:
    """A function of coordinates: an architecture, its float32 parameter arrays by name, and its
    latents if it has any.
    """

    spec: FieldSpec
    parameters: Mapping[str, NDArray[np.float32]]
    latents: Latents | None = None
