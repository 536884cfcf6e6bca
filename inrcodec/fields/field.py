"""Joins FieldSpec and named parameter arrays into Field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inrcodec.fields.siren import SirenSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FieldSpec = SirenSpec
"""Union of the architectures this version knows."""


@dataclass(frozen=True)
class Field:
    """A function of coordinates: an architecture and its float32 parameter arrays by name."""

    spec: FieldSpec
    parameters: Mapping[str, NDArray[np.float32]]
