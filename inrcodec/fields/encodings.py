"""Joins the names of encodings of coordinates with what they are, over any array library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from inrcodec.fields.activations import Maths

MAX_ORDER = 64
"""Most octaves or degrees of an encoding."""


@dataclass(frozen=True)
class Encoding:
    """What the first layer gets instead of coordinates; no parameter of a file is part of it.

    - none: the coordinates themselves.
    - fourier: them, and for k < `order` the sines and the cosines of 2^k pi times them (Mildenhall
      et al., ECCV 2020, section 5.1; with sines, Strümpler et al., ECCV 2022).
    - chebyshev: their Chebyshev polynomials of degree 1 to `order`: with the layer that follows,
      a polynomial learnt for each coordinate and unit, the first block of SL2A-INR (Heidari et al.,
      ICCV 2025).
    """

    name: str = "none"
    order: int = 0

    def width(self, axes: int) -> int:
        """Inputs of the first layer, of a field of so many axes."""
        return axes * {"none": 1, "fourier": 1 + 2 * self.order, "chebyshev": self.order}[self.name]


NO_ENCODING = Encoding()


def encode(encoding: Encoding, coordinates: Any, maths: Maths) -> Any:
    """Inputs `[points, width]` of the first layer at `coordinates` `[points, axes]`."""
    if encoding.name == "fourier":
        parts = [coordinates]
        for octave in range(encoding.order):
            angle = coordinates * (math.pi * 2**octave)
            cosine = maths.cos(angle)
            parts += [maths.sin(angle), cosine]
        return maths.join(parts)
    if encoding.name == "chebyshev":
        parts = [coordinates]
        for degree in range(2, encoding.order + 1):
            before = parts[-2] if degree > 2 else 1.0
            parts.append(coordinates * parts[-1] * 2.0 - before)
        return maths.join(parts)
    return coordinates
