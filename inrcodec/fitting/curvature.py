"""Joins a layer of a Field with the curvature of the squared error in that layer's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.siren_step import MATHS
from inrcodec.fitting.stacks import named

BLOCK = 1200
"""Curvature is kept whole among at most this many parameters of a layer; its units form blocks."""

WIDE = 64
"""Wider layers get a block per unit: the work would grow with the square of their parameters."""

DAMPING = 1e-3
"""Share of the mean curvature that is added to every direction."""


def row_blocks(rows: int, columns: int) -> list[slice]:
    """Runs of output units whose parameters, together at most BLOCK, share one curvature matrix."""
    height = 1 if columns > WIDE else max(1, BLOCK // columns)
    return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]


def layer_curvatures(
    spec: SirenSpec,
    layers: Sequence[Tensor],
    index: int,
    coordinates: Tensor,
    blocks: Sequence[slice],
) -> list[Tensor]:
    """Gauss-Newton matrix of the mean squared error for some row blocks of layer `index`.

    `layers` are the [weight | bias] matrices. Half the Hessian of the mean over points and outputs
    when residuals are small: the mean of J^T J, J being an output's derivative by the parameters.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def recording(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = linear(hidden, weight, bias)
        seen.append((hidden, out))
        return out

    tracked = [layer.detach().requires_grad_() for layer in layers]
    values = spec.evaluate(named(tracked), coordinates, recording, MATHS)
    hidden, activation = seen[index]
    inputs = torch.cat([hidden.detach(), torch.ones_like(hidden[:, :1])], dim=1) * spec.gain(index)
    totals: list[Any] = [0.0] * len(blocks)
    for output in range(spec.outputs):
        (slope,) = torch.autograd.grad(values[:, output].sum(), activation, retain_graph=True)
        for place, block in enumerate(blocks):
            jacobian = (slope[:, block, None] * inputs[:, None, :]).flatten(1)
            totals[place] = totals[place] + jacobian.mT @ jacobian
    return [total.double() / (spec.outputs * len(coordinates)) for total in totals]


def feedback_matrix(curvature: Tensor) -> NDArray[np.float64]:
    """Upper triangular U with U^T U the inverse of the damped curvature.

    Rounding parameter i by e and moving every later parameter j by -e U[i, j] / U[i, i] costs the
    least squared error that fixing i can cost: (e / U[i, i])^2 (Frantar et al., GPTQ, 2022).
    """
    damped = curvature.clone()
    damped.diagonal().add_(DAMPING * curvature.diagonal().mean() + 1e-30)
    upper = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    return np.asarray(upper.cpu().numpy(), np.float64)
