"""Makes latents whose probability tables follow from coarser levels alone, and so are known before
the first of them is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives
from inrcodec.coding import native_latents
from inrcodec.coding.context import IntegerNetwork, wavefronts
from inrcodec.coding.entropy import SymbolDecoder
from inrcodec.coding.latent_tables import table_numbers
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets

SCALE, SPREAD = -2.0, 1.2
"""Mean and standard deviation of log2 b of the latents' Laplace distributions, as in a photo at
about half a bit per pixel. Means lie within half a latent.
"""

UNITS = 40
"""A latent one level up of UNITS means one SPREAD."""


@dataclass(frozen=True)
class LatentSymbols:
    """`rows` x `columns` latents, and the section of them."""

    rows: int = 512
    columns: int = 1024

    @cached_property
    def spec(self) -> PyramidSpec:
        return PyramidSpec((self.rows, self.columns), 1, 3, (), (), 0)

    @cached_property
    def network(self) -> IntegerNetwork:
        """log2 b is linear in the latent one level up, the mean in that two levels up."""
        shapes = {t.name: t.shape for t in self.spec.tensors() if t.name.startswith("context")}
        values = {name: np.zeros(shape) for name, shape in shapes.items()}
        (one, two), weight = self._covering, values["context_weight0"]
        weight[0, two], weight[1, one] = 1 / 256, SPREAD / UNITS
        values["context_bias0"][:] = 0, SCALE
        return IntegerNetwork.of(self.spec, values)

    @property
    def _covering(self) -> tuple[int, int]:
        """Places of the two among the contexts."""
        near, coarser = len(causal_offsets(2)), coarser_offsets(2)
        return near + coarser.index((1, (0, 0))), near + coarser.index((2, (0, 0)))

    @cached_property
    def coarse(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        generator = np.random.default_rng(0)
        scales = generator.normal(0, UNITS, self.spec.grid(1))
        means = generator.integers(-128, 128, self.spec.grid(2), np.int32)
        return np.rint(scales).clip(-3 * UNITS, 3 * UNITS).astype(np.int32), means

    @cached_property
    def distributions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and b of all latents `[rows, columns]`, which their tables round."""
        row, column = np.indices(self.spec.lattice)
        one, two = (self.coarse[up - 1][row >> up, column >> up] for up in (1, 2))
        return two / 256, 2.0 ** (SCALE + SPREAD / UNITS * one)

    @cached_property
    def _predicted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Nearest integer of the mean, and table, in the order of coding."""
        order, _ = wavefronts(self.spec.lattice)
        row, column = np.unravel_index(order, self.spec.lattice)
        contexts = np.zeros((self.spec.context_count, len(order)))
        for up, place in enumerate(self._covering, 1):
            contexts[place] = self.coarse[up - 1][row >> up, column >> up]
        mean, phase, index = self.network.evaluate(contexts)
        return mean, table_numbers(phase, index)

    @property
    def tables(self) -> NDArray[np.int64]:
        """Numbers of the latents' tables in the order of coding."""
        return self._predicted[1]

    @cached_property
    def fine(self) -> NDArray[np.int32]:
        """Latents from the distributions that their tables describe."""
        return np.rint(np.random.default_rng(1).laplace(*self.distributions)).astype(np.int32)

    @cached_property
    def payload(self) -> bytes:
        """The section of the fine level."""
        planes = [self.fine, *self.coarse]
        return native_latents.pack_levels(self.spec, self.network, planes, [0], 0)

    def decode(self) -> NDArray[np.int32]:
        """The fine latents, as any file's are decoded."""
        out = np.empty_like(self.fine)
        planes, what = [out, *self.coarse], "bench"
        native_latents.unpack_levels(self.spec, self.network, planes, [0], 0, self.payload, what)
        return out

    def symbols(self) -> NDArray[np.int32]:
        """The same through constriction, a model at a time; in the order of coding, means off."""
        reader = primitives.Reader(self.payload, "bench")
        reader.varint()
        decoder = SymbolDecoder(self.payload[reader.offset :], "bench")
        decoder.get_bit()
        return decoder.get_latents(self.tables)

    def expected(self) -> NDArray[np.int64]:
        """What `symbols` has to give."""
        order, _ = wavefronts(self.spec.lattice)
        return np.asarray(self.fine.ravel()[order] - self._predicted[0])
