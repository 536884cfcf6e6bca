"""Joins the names of activations with what they are, over any array library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SHAPE_DENOMINATOR = 16
"""The shape of an activation is stored as a whole number of sixteenths."""

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Maths:
    """Functions of one array library, for arrays, tensors or dual numbers.

    `sin` may work in place. `sinc(z)` is sin(z) / z, 1 at 0; `relu(z)` is max(z, 0); `join` puts
    arrays beside each other along their last axis.
    """

    sin: Function
    cos: Function
    exp: Function
    tanh: Function
    sinc: Function
    relu: Function
    join: Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Activation:
    """What a layer does to its sums, element by element; `shape` is the one number that some take.

    All are functions of z = omega_0 (W h + b), so that omega_0 is a frequency, or the inverse of a
    width. Sources, with what they start from in `inrcodec.fitting.first_layers`:

    - sine: sin z. SIREN, Sitzmann et al., NeurIPS 2020.
    - finer: sin((|u| + 1) z), u = z / omega_0. FINER, Liu et al., CVPR 2024, eq. 4.
    - gauss: exp(-z^2 / 2), omega_0 = 1 / sigma. Ramasinghe and Lucey, ECCV 2022.
    - gabor: cos(z) exp(-(shape z)^2), shape = s_0 / omega_0. The real Gabor wavelet of WIRE,
      Saragadam et al., CVPR 2023, section 3.
    - sinc: sin(z) / z. Saratchandran et al., ICML 2024.
    - hosc: tanh(shape sin z), shape = beta. Serrano et al., 2024 (arXiv 2401.10967).
    - raised_cosine: sinc(z) cos(shape z) / (1 - (2 shape z / pi)^2), shape = roll-off. One of the
      dictionary of MIRE, Jayasundara et al., CVPR 2025.
    - prolate: the prolate spheroidal wave function of order 0, periodic (see PROLATE). PIN,
      Jayasundara et al., ICLR 2025.
    - relu: max(z, 0). With Fourier features, Tancik et al., NeurIPS 2020.
    - gelu: z / 2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))). Hendrycks and Gimpel, 2016.
    - fourier_filter: sin z, of filters that affine functions are multiplied with (FILTERS). The
      FourierNet of multiplicative filter networks, Fathony et al., ICLR 2021, eq. 4 and 6.
    """

    name: str = "sine"
    shape: float = 0.0


PLAIN = Activation()

FILTERS = ("fourier_filter",)
"""Activations of layers that all get the coordinates; each multiplies an affine function of what
came before it."""

SHAPES = {
    "sine": (0.0, 0.0),
    "finer": (0.0, 0.0),
    "gauss": (0.0, 0.0),
    "gabor": (1 / 16, 16.0),
    "sinc": (0.0, 0.0),
    "hosc": (1 / 16, 64.0),
    "raised_cosine": (1 / 16, 1.0),
    "prolate": (0.0, 0.0),
    "relu": (0.0, 0.0),
    "gelu": (0.0, 0.0),
    "fourier_filter": (0.0, 0.0),
}
"""The least and the most that the shape of each activation may be."""

PROLATE_ONE = 2**16

PROLATE = (6659, 12966, 11948, 10393, 8486, 6443, 4475, 2758, 1408)
"""c_m of sum c_m / 2^16 cos(m z / 8): the discrete prolate spheroidal wave function of order 0
(Slepian 1978) for 17 samples and a time half bandwidth of 1.5, scaled to 1 at z = 0. Its period is
16 pi; within it, it is the one of frequencies up to 1 that is best concentrated on |z| < 4.4."""


def activate(activation: Activation, omega_0: float, z: Any, maths: Maths) -> Any:
    """The activation of z = omega_0 (W h + b), which may be overwritten."""
    name, shape = activation.name, activation.shape
    if name in ("sine", "fourier_filter"):
        return maths.sin(z)
    if name == "finer":
        return maths.sin(z * (abs(z) * (1 / omega_0) + 1.0))
    if name == "gauss":
        return maths.exp(z * z * -0.5)
    if name == "gabor":
        return maths.cos(z) * maths.exp(z * z * -(shape**2))
    if name == "sinc":
        return maths.sinc(z)
    if name == "hosc":
        return maths.tanh(maths.sin(z) * shape)
    if name == "raised_cosine":
        # cos(a) / (1 - (2 a / pi)^2) by partial fractions: no pole is left to divide by.
        sides = maths.sinc(z * shape + math.pi / 2) + maths.sinc(z * shape + -math.pi / 2)
        return maths.sinc(z) * sides * (math.pi / 4)
    if name == "prolate":
        return _prolate(z, maths)
    if name == "relu":
        return maths.relu(z)
    if name == "gelu":
        inner = z * (z * z * (0.044715 * math.sqrt(2 / math.pi)) + math.sqrt(2 / math.pi))
        return z * (maths.tanh(inner) + 1.0) * 0.5
    raise ValueError(f"no activation is called {name!r}")


def _prolate(z: Any, maths: Maths) -> Any:
    """Clenshaw's sum of Chebyshev polynomials of cos(z / 8)."""
    twice = maths.cos(z * (1 / (len(PROLATE) - 1))) * 2.0
    first, *others, second, highest = (coefficient / PROLATE_ONE for coefficient in PROLATE)
    here, last = twice * highest + second, highest
    for coefficient in reversed(others):
        here, last = twice * here - last + coefficient, here
    return twice * here * 0.5 - last + first
