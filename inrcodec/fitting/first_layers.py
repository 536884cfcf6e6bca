"""Joins a SirenSpec with random first parameters, as its family's authors draw them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from inrcodec.fields.siren import SirenSpec

LIKE_SIREN = ("sine", "finer", "hosc")
LIKE_RELU = ("relu", "gelu")


def initial_layers(spec: SirenSpec, generator: torch.Generator, first_scale: float) -> list[Tensor]:
    """Random [weight | bias] matrices, of the published distributions.

    - sine, finer, hosc: SIREN's (Sitzmann et al. 2020, section 3.2), the first layer's weights
      times `first_scale`; FINER's own code leaves it at that too.
    - relu, gelu: uniform of variance 2 / inputs, biases 0 (He et al. 2015).
    - filters: FourierNet's (Fathony et al. 2021), weights uniform within +-1 / sqrt(inputs), phases
      uniform over a period. The papers' frequencies are larger: omega_0 stands for their scale.
    - all others: uniform within +-1 / sqrt(inputs), weights and biases, what WIRE's code leaves to
      torch for its own and for Gaussian layers.
    """
    layers = []
    name = spec.activation.name
    for index, tensor in enumerate(t for t in spec.tensors() if t.role == "weight"):
        outputs, inputs = tensor.shape
        layer = torch.rand(outputs, inputs + 1, generator=generator) * 2 - 1
        if name in LIKE_RELU:
            layer *= math.sqrt(6 / inputs) / spec.gain(index)
            layer[:, -1] = 0
        elif name not in LIKE_SIREN:
            layer *= 1 / math.sqrt(inputs)
            if spec.filtered and index < spec.depth:
                layer[:, -1] *= math.pi * math.sqrt(inputs) / spec.omega_0
        elif index == 0 and spec.depth:
            layer[:, :-1] *= first_scale / inputs
            layer[:, -1] *= 1 / math.sqrt(inputs)
        else:
            layer *= math.sqrt(6 / inputs) / spec.omega_0
        # An affine field has no symmetry to break, and flat pictures should stay flat.
        layers.append(layer if spec.depth else torch.zeros_like(layer))
    return layers
