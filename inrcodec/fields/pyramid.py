"""Defines the `pyramid` FieldSpec: grids of integer latents, and the networks that read them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

from inrcodec.fields.siren import TensorShape

TAPS = 4
"""Free taps of an upsampling filter: 8 taps, symmetric."""

REACH = {1: 9, 2: 9, 3: 4, 4: 3}
"""Squared distance up to which a latent's earlier neighbours are contexts, by number of axes."""

WHOLE = -1
"""In place of the number of a tile: all of the levels that are not tiled."""

Offset = tuple[int, ...]


def causal_offsets(axes: int) -> tuple[Offset, ...]:
    """Where a latent's neighbours on its own level lie that are decoded before it.

    Nearest first; at equal distance in lexicographic order. 3, 14, 16 and 32 for 1 to 4 axes.
    """
    edge = math.isqrt(REACH[axes])
    ball = itertools.product(range(-edge, edge + 1), repeat=axes)
    near = ((sum(step * step for step in offset), offset) for offset in ball)
    return tuple(
        offset
        for distance, offset in sorted(near)
        if distance <= REACH[axes] and offset < (0,) * axes
    )


def coarser_offsets(axes: int) -> tuple[tuple[int, Offset], ...]:
    """(levels up, offset) of the contexts of coarser levels, from the value that covers a latent.

    One level up: the covering value and its neighbours along each axis, first the one nearer to the
    latent (+1 here, whichever side it lies on), then the farther; along an axis that is kept, the
    one after it, then the one before. Then the covering values of two and three levels up. 5, 7, 9
    and 11 for 1 to 4 axes.
    """
    centre = (0,) * axes
    sides = [
        tuple(side if other == axis else 0 for other in range(axes))
        for axis in range(axes)
        for side in (1, -1)
    ]
    return (*((1, offset) for offset in (centre, *sides)), (2, centre), (3, centre))


def coarser(lattice: tuple[int, ...], kept: int, coarse: int) -> tuple[int, ...]:
    """A lattice halved `coarse` times along every axis but the first `kept` ones."""
    return (*lattice[:kept], *(-(-size // 2**coarse) for size in lattice[kept:]))


@dataclass(frozen=True)
class PyramidSpec:
    """Latents on `levels` grids, level l with one value per 2^l samples along every axis but the
    first `kept` ones, of which every level has all samples.

    Values come from all levels, upsampled to the lattice by one symmetric filter per stage, through
    a pointwise network (`synthesis` hidden widths, ReLU, linear skip) and `residuals` convolutions
    of 3 samples along every axis that is not kept. The probability table of a latent comes from a
    network of its contexts (`contexts` hidden widths, ReLU, linear skip). Latents are coded in
    tiles of `tile` samples along every axis, or in one piece where it is 0. `start` names the
    networks that the parameters are differences to; 0 is zero. After the Cool-chic family (Ladune
    et al. 2023).

    Where `coarse` is not 0, the lattice is that of the signal halved so many times along every axis
    that is not kept; the samples of the signal lie between its values, and are interpolated.

    Where `mixed` is not 0, the lattice is that of components, which its first axis counts: the
    signal has an axis of `mixed` samples instead, as its axis number `axis`, and its values are
    1/2 + the sum over components of (component - 1/2) x loading, one for each of those samples.
    `differences` says that symbols of loadings are differences to those of the sample before.

    With `edges`, powers of 2, instead of `tile`, tiles have so many samples along every axis, and
    levels whose latents are larger than a tile are coded in one piece, before all tiles.
    """

    kind: ClassVar[str] = "pyramid"

    lattice: tuple[int, ...]
    outputs: int
    levels: int
    contexts: tuple[int, ...]
    synthesis: tuple[int, ...]
    residuals: int
    tile: int = 0
    start: int = 0
    kept: int = 0
    coarse: int = 0
    mixed: int = 0
    axis: int = 0
    differences: bool = False
    edges: tuple[int, ...] = ()

    @property
    def inputs(self) -> int:
        """Number of axes."""
        return len(self.lattice)

    @property
    def net(self) -> str:
        """Short name, as in `16-16/32/2`: contexts, synthesis, residual convolutions."""
        contexts, synthesis = ("-".join(map(str, w)) for w in (self.contexts, self.synthesis))
        return f"{contexts}/{synthesis}/{self.residuals}"

    @property
    def rank(self) -> int:
        """Number of components; 0 where the signal is not a mixture."""
        return self.lattice[0] if self.mixed else 0

    @property
    def halved(self) -> int:
        """Number of axes that are not kept: at least one, and the last ones."""
        return self.inputs - self.kept

    def halvings(self, level: int) -> tuple[int, ...]:
        """How often a level's grid has been halved along every axis."""
        return (0,) * self.kept + (level,) * self.halved

    def grid(self, level: int) -> tuple[int, ...]:
        """Latents of a level along every axis."""
        return tuple(
            -(-size // 2**times)
            for size, times in zip(self.lattice, self.halvings(level), strict=True)
        )

    @property
    def tile_edges(self) -> tuple[int, ...]:
        """Samples of a tile along every axis; the lattice may have fewer."""
        return self.edges or (self.tile or max(self.lattice),) * self.inputs

    @property
    def tiled(self) -> int:
        """How many levels, the finest ones, are coded tile by tile."""
        cut = [
            edge.bit_length()
            for edge, size in zip(self.edges[self.kept :], self.lattice[self.kept :], strict=False)
            if edge < size
        ]
        return min([self.levels, *cut])

    @cached_property
    def context_count(self) -> int:
        """Inputs of the context network."""
        return len(causal_offsets(self.inputs)) + len(coarser_offsets(self.inputs))

    def tensors(self) -> tuple[TensorShape, ...]:
        """Every parameter array of the networks in the order of the bitstream.

        Weights are `[outputs, inputs]`; those of residuals `[outputs, inputs, 3, ...]`, with 1
        instead of 3 along kept axes.
        """
        shapes = [
            *_network("context", (self.context_count, *self.contexts, 2)),
            TensorShape("upsampling", (self.levels - 1, TAPS), "upsampling"),
            *_network("synthesis", (self.levels, *self.synthesis, self.outputs)),
        ]
        for index in range(self.residuals):
            kernel = (self.outputs, self.outputs, *[1] * self.kept, *[3] * self.halved)
            shapes.append(TensorShape(f"residual_weight{index}", kernel, "residual"))
            shapes.append(TensorShape(f"residual_bias{index}", (self.outputs,), "residual_bias"))
        for component in range(self.rank):
            shapes.append(TensorShape(f"loading{component}", (self.mixed,), "loading"))
        return tuple(shape for shape in shapes if shape.size)

    @property
    def parameter_count(self) -> int:
        """Parameters of the networks, latents not counted."""
        return sum(tensor.size for tensor in self.tensors())

    @property
    def latent_count(self) -> int:
        return sum(math.prod(self.grid(level)) for level in range(self.levels))

    @property
    def macs_per_sample(self) -> int:
        """Multiply-accumulates of a whole decode per position of the signal, rounded up."""
        pointwise = contexts = 0
        for tensor in self.tensors():
            if tensor.role == "context":
                contexts += tensor.size
            elif tensor.role in ("synthesis", "residual"):
                pointwise += tensor.size
        macs = pointwise * math.prod(self.lattice) + contexts * self.latent_count
        for stage in range(self.levels - 1):
            # Every level above passes through the stage, one axis after the other.
            sizes = list(self.grid(stage + 1))
            for axis, size in enumerate(self.grid(stage)):
                if axis < self.kept:
                    continue
                sizes[axis] = size
                macs += TAPS * math.prod(sizes) * (self.levels - 1 - stage)
        between = 1 << (self.coarse * self.halved)
        if self.mixed:
            return self.rank + -(-macs // (math.prod(self.lattice[1:]) * self.mixed * between))
        return -(-macs // (math.prod(self.lattice) * between))


def _network(name: str, widths: tuple[int, ...]) -> list[TensorShape]:
    shapes = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        shapes.append(TensorShape(f"{name}_weight{layer}", (fan_out, fan_in), name))
        shapes.append(TensorShape(f"{name}_bias{layer}", (fan_out,), f"{name}_bias"))
    shapes.append(TensorShape(f"{name}_skip", (widths[-1], widths[0]), name))
    return shapes
