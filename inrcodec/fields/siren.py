"""Defines the `siren` FieldSpec: layers of sines, or of other activations, and a read-out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from inrcodec.fields.activations import FILTERS, PLAIN, Activation, Maths, activate
from inrcodec.fields.encodings import NO_ENCODING, Encoding, encode

OUTPUT_CENTRE = 0.5
"""Added to the network's output, so that a network of zeros is mid-grey (COIN++'s convention)."""

OMEGA_DENOMINATOR = 16
"""omega_0 is stored as a whole number of sixteenths."""

COIN_NETS = ("5x20", "5x30", "10x28", "10x40", "13x49")
"""The five networks of COIN (Dupont et al. 2021), as sine layers x width."""


@dataclass(frozen=True)
class TensorShape:
    """Name and shape of one parameter array; `role` groups arrays that are coded alike."""

    name: str
    shape: tuple[int, ...]
    role: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class SirenSpec:
    """`depth` layers sin(omega_0 (W h + b)) of `width` units, then W h + b (Sitzmann et al. 2020).

    A depth of 0 is an affine function of the coordinates. A variant has another activation than
    sines, or gets an encoding of the coordinates; its depth is not 0.
    """

    kind: ClassVar[str] = "siren"

    inputs: int
    outputs: int
    depth: int
    width: int
    omega_0: float = 30.0
    activation: Activation = PLAIN
    encoding: Encoding = NO_ENCODING

    @property
    def plain(self) -> bool:
        """Whether all layers are sines of sums of coordinates."""
        return (self.activation, self.encoding) == (PLAIN, NO_ENCODING)

    @property
    def net(self) -> str:
        """Short name, as in `10x28`."""
        return f"{self.depth}x{self.width}"

    def tensors(self) -> tuple[TensorShape, ...]:
        """Every parameter array in the order of the bitstream; weights are `[outputs, inputs]`."""
        shapes = []
        for layer, (fan_in, fan_out) in enumerate(self._fans()):
            shapes.append(TensorShape(f"weight{layer}", (fan_out, fan_in), "weight"))
            shapes.append(TensorShape(f"bias{layer}", (fan_out,), "bias"))
        return tuple(shapes)

    def _fans(self) -> list[tuple[int, int]]:
        """Inputs and outputs of every layer."""
        first = self.encoding.width(self.inputs)
        if not self.filtered:
            return list(pairwise((first, *([self.width] * self.depth), self.outputs)))
        affine = pairwise([self.width] * self.depth)
        return [*[(first, self.width)] * self.depth, *affine, (self.width, self.outputs)]

    @property
    def filtered(self) -> bool:
        """Whether its layers are filters: all of them first, then the affine functions between."""
        return self.activation.name in FILTERS

    @property
    def layers(self) -> int:
        """Pairs of a weight and a bias."""
        return len(self._fans())

    @property
    def parameter_count(self) -> int:
        return sum(tensor.size for tensor in self.tensors())

    @property
    def macs_per_sample(self) -> int:
        """Multiply-accumulates for one coordinate; an activation counts as one."""
        weights = sum(tensor.size for tensor in self.tensors() if tensor.role == "weight")
        return weights + self.depth * self.width

    def gain(self, layer: int) -> float:
        """Factor on the weights and biases of `layer`: omega_0, and 1 for what no activation
        follows."""
        return self.omega_0 if layer < self.depth else 1.0

    def evaluate(
        self,
        parameters: Mapping[str, Any],
        coordinates: Any,
        linear: Callable[[Any, Any, Any], Any],
        maths: Maths,
    ) -> Any:
        """Values `[points, outputs]` at `[points, inputs]` for any array library.

        `linear(h, W, b)` is W h + b for every point.
        """
        first = hidden = encode(self.encoding, coordinates, maths)
        filters = []
        for layer in range(self.depth):
            # omega_0 goes to the few weights, not to the many activations.
            weight = parameters[f"weight{layer}"] * self.gain(layer)
            bias = parameters[f"bias{layer}"] * self.gain(layer)
            sums = linear(first if self.filtered else hidden, weight, bias)
            hidden = activate(self.activation, self.omega_0, sums, maths)
            if self.filtered:
                filters.append(hidden)
        last = self.layers - 1
        if self.filtered:
            hidden = filters[0]
            for layer, factor in zip(range(self.depth, last), filters[1:], strict=True):
                weight, bias = parameters[f"weight{layer}"], parameters[f"bias{layer}"]
                hidden = linear(hidden, weight, bias) * factor
        return linear(
            hidden, parameters[f"weight{last}"], parameters[f"bias{last}"] + OUTPUT_CENTRE
        )
