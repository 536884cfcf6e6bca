"""Joins the latents of all patches of a ModulatedSpec with the payload of their section."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream import primitives
from inrcodec.coding.context import wavefronts
from inrcodec.coding.entropy import SymbolDecoder, SymbolEncoder
from inrcodec.coding.latent_tables import PHASES, table_numbers
from inrcodec.coding.latents import MAX_LATENT
from inrcodec.coding.patch_contexts import (
    MAX_SEEN,
    Floats,
    GroupNetwork,
    Latents,
    Neighbourhood,
    Numbers,
    PatchNetwork,
    earlier_sums,
    seen,
)
from inrcodec.errors import CorruptError
from inrcodec.fields.modulated import ModulatedSpec


def pack_patches(spec: ModulatedSpec, network: PatchNetwork, latents: Latents) -> bytes:
    """Payload of the section of latents `[*grid, dimensions]`, at most MAX_LATENT in magnitude."""
    flat = latents.reshape(-1, spec.dimensions)
    if flat.size and np.abs(flat).max() > MAX_LATENT:
        raise ValueError(f"a latent lies beyond +-{MAX_LATENT}")
    encoder = SymbolEncoder()
    order, _ = wavefronts(spec.grid)
    start = 0
    for group, (mean, phase, index) in zip(
        network.groups, predicted(spec, network, flat), strict=True
    ):
        own = flat[:, start : start + group.size]
        used = bool(own.any())
        encoder.put_bit(used)
        if used:
            symbols, tables = own - mean, table_numbers(phase, index)
            encoder.put_latents(symbols[order].ravel(), tables[order].ravel())
        start += group.size
    return primitives.varint(1) + encoder.finish()


def predicted(
    spec: ModulatedSpec, network: PatchNetwork, flat: Latents
) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Nearest integer of the mean, phase and scale index of all latents `[patches, dimensions]`,
    a group at a time.
    """
    everyone = np.arange(len(flat))
    signed, magnitudes = Neighbourhood(spec.grid, flat.shape[1]), seen(flat)
    signed.fill(np.clip(flat, -MAX_SEEN, MAX_SEEN))
    all_seen = Neighbourhood(spec.grid, flat.shape[1])
    all_seen.fill(magnitudes)
    around, causal = all_seen.around(), all_seen.causal(everyone)
    before, start, near = signed.causal(everyone), 0, network.mean.shape[1]
    for group in network.groups:
        dims = slice(start, start + group.size)
        sums = earlier_sums(group, near, magnitudes[:, :start], around[:, :start], spec.step)
        yield _tables(network, group, dims, sums, causal[:, :, dims], before[:, :, dims])
        start += group.size


def _tables(
    network: PatchNetwork,
    group: GroupNetwork,
    dims: slice,
    sums: Floats,
    causal: Floats,
    signed: Floats,
) -> tuple[Numbers, Numbers, Numbers]:
    own = causal.reshape(len(causal), -1)
    index = group.scale_index(sums + own @ group.columns[: own.shape[1]])
    mean, phase = network.predict(dims, signed, index)
    return mean, phase, index


def unpack_patches(
    spec: ModulatedSpec, network: PatchNetwork, payload: bytes, what: str
) -> Latents:
    """The latents `[*grid, dimensions]` that pack_patches wrote. Raises CorruptError, naming
    `what`, for anything that it cannot have written.
    """
    reader = primitives.Reader(payload, what)
    count = reader.varint()
    if count != 1:
        raise CorruptError(f"{what}: {count} levels where 1 is due")
    decoder = SymbolDecoder(payload[reader.offset :], what)
    order, starts = wavefronts(spec.grid)
    flat = np.zeros((len(order), spec.dimensions), np.int32)
    magnitudes, around = np.zeros(flat.shape), np.zeros(flat.shape)
    start, near = 0, network.mean.shape[1]
    for number, group in enumerate(network.groups):
        dims = slice(start, start + group.size)
        if decoder.get_bit():
            sums = earlier_sums(group, near, magnitudes[:, :start], around[:, :start], spec.step)
            own = Neighbourhood(spec.grid, group.size)
            signed = Neighbourhood(spec.grid, group.size)
            for first, last in pairwise(starts):
                patches = order[first:last]
                mean, phase, index = _tables(
                    network,
                    group,
                    dims,
                    sums[patches],
                    own.causal(patches),
                    signed.causal(patches),
                )
                symbols = decoder.get_latents(table_numbers(phase, index).ravel())
                found = mean + symbols.reshape(mean.shape)
                if np.abs(found).max() > MAX_LATENT:
                    raise CorruptError(f"{what}: latent beyond +-{MAX_LATENT}; it is damaged")
                flat[patches, dims] = found
                own.rows[own.places[patches]] = seen(found)
                signed.rows[signed.places[patches]] = np.clip(found, -MAX_SEEN, MAX_SEEN)
            if not flat[:, dims].any():
                raise CorruptError(f"{what}: latents of group {number} are 0, against their flag")
            magnitudes[:, dims], around[:, dims] = seen(flat[:, dims]), own.around()
        start += group.size
    decoder.finish()
    return flat.reshape(*spec.grid, spec.dimensions)


class LazyPatches:
    """Latents that are decoded when they are first read; 0 where there is no payload."""

    def __init__(
        self, spec: ModulatedSpec, network: PatchNetwork, payload: bytes | None, what: str
    ) -> None:
        self._spec, self._network, self._payload, self._what = spec, network, payload, what
        self._known: Latents | None = None
        self._lock = threading.Lock()

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> Latents:
        """Latents `[*window, dimensions]` of patches; `level` is 0. Raises CorruptError."""
        with self._lock:
            if self._known is None and self._payload is None:
                self._known = np.zeros((*self._spec.grid, self._spec.dimensions), np.int32)
            elif self._known is None and self._payload is not None:
                own = (self._spec, self._network)
                self._known = unpack_patches(*own, self._payload, self._what)
            assert self._known is not None
        return self._known[tuple(slice(*ends) for ends in window)]


def estimated_bits(
    spec: ModulatedSpec, network: PatchNetwork, flat: Latents
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and scales b of the Laplace distributions, `[patches, dimensions]`, that the tables of
    all latents stand for.
    """
    means, scales = [], []
    for mean, phase, index in predicted(spec, network, flat):
        means.append(mean + phase / PHASES)
        scales.append(np.exp2(index / 8 - 5))
    return np.concatenate(means, axis=1), np.concatenate(scales, axis=1)
