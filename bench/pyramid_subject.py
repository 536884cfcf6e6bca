"""Makes the pyramid that stages are timed on: a start's networks, and latents of noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import inrcodec
from inrcodec.bitstream.container import pack
from inrcodec.bitstream.header import Header, Track
from inrcodec.coding.quantize import TensorRecipe
from inrcodec.coding.tracks import pack_track
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting.pyramid_spec import LEVELS, STARTS, Net

NETS: tuple[Net, ...] = (((12, 12), (24,), 2, 3), ((20, 20), (48,), 2, 3))
"""The networks of the quick efforts, and the largest ones."""

SPREAD = 0.245
"""Standard deviation of latents: about half a bit per pixel."""


@dataclass(frozen=True)
class PyramidSubject:
    """A picture of `height` and `width` by one of NETS. What a decoder does hardly depends on what
    it shows.
    """

    height: int
    width: int
    net: Net
    tile: int = 0

    @property
    def spec(self) -> PyramidSpec:
        contexts, synthesis, residuals, outputs = self.net
        lattice, start = (self.height, self.width), int(STARTS[self.net][0])
        return PyramidSpec(
            lattice, outputs, LEVELS, contexts, synthesis, residuals, self.tile, start
        )

    @cached_property
    def data(self) -> bytes:
        """A file of it."""
        spec, generator = self.spec, np.random.default_rng(0)
        symbols = {t.name: np.zeros(t.shape, np.int32) for t in spec.tensors()}
        recipes = [TensorRecipe(0, 0)] * len(symbols)
        latents = [
            np.rint(generator.normal(0, SPREAD, spec.grid(level))).astype(np.int32)
            for level in range(spec.levels)
        ]
        info = from_array(np.zeros((*spec.lattice, spec.outputs), np.uint8)).info
        return pack(Header((Track(info, spec),)), pack_track(0, spec, symbols, recipes, latents))

    @cached_property
    def field(self) -> Field:
        """What the file holds, its latents decoded."""
        field = inrcodec.open(self.data).layers[0].field
        assert field.latents is not None
        field.latents.read(0, [(0, size) for size in self.spec.lattice])
        return field
