"""Joins a Signal with minibatches of field coordinates and target values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fitting.inpainting import inpainted
from inrcodec.fitting.workers import Workers
from inrcodec.signal import Signal

SHUFFLE_LIMIT = 2**24
"""Larger signals are sampled with replacement: a permutation of their positions is too large."""


def normalised(part: Signal) -> NDArray[np.float32]:
    """Samples `[*lattice, channels]` as values that span 0..1, with smooth ones for those that are
    missing.
    """
    low, high = part.info.value_range
    values = part.samples.astype(np.float64)
    values -= low
    values /= high - low
    if part.missing is None:
        return values.astype(np.float32)
    # Whatever a fill value is, it may not overflow.
    known = np.where(part.missing, 0, values).astype(np.float32)
    return inpainted(known, part.missing)


class Samples:
    """The samples of a signal on a device, drawn in random order from a seeded generator.

    `workers` are the cores that whatever is computed of them may use.
    """

    def __init__(
        self, signal: Signal, device: str, seed: int, workers: Workers | None = None
    ) -> None:
        self.workers = workers or Workers()
        info = signal.info
        self.positions = info.positions
        self.channels = len(info.channels)
        self._lattice = info.lattice
        # Pictures stay small; of other types float32 could not tell all samples apart.
        small = info.dtype == "uint8" and signal.missing is None
        self._low, high = info.value_range if small else (0.0, 1.0)
        self._span = high - self._low
        values = signal.samples if small else normalised(signal)
        self._there = _positions_with_samples(signal, device)
        flat = np.ascontiguousarray(values).reshape(-1, self.channels)
        self._values = torch.from_numpy(flat).to(device)
        self._generator = torch.Generator(device).manual_seed(seed)
        self.device = device

    def coordinates(self, indices: Tensor) -> Tensor:
        """Field coordinates `[points, axes]` of flat lattice indices, by query.render's rule."""
        columns = []
        for size in reversed(self._lattice):
            along = indices % size
            indices = indices // size
            columns.append((2 * along + 1 - size).to(torch.float32) / max(self._lattice))
        return torch.stack(columns[::-1], dim=-1)

    def targets(self, indices: Tensor) -> Tensor:
        """Values `[points, channels]`, 0..1 over the value range."""
        values = self._values.index_select(0, indices)
        return (values.to(torch.float32) - self._low) / self._span

    def batches(self, size: int) -> Iterator[Tensor]:
        """Endless index arrays; within a pass over the signal no position comes twice."""
        count = self.positions if self._there is None else len(self._there)
        size = min(size, count)
        while count > SHUFFLE_LIMIT:
            drawn = torch.randint(count, (size,), generator=self._generator, device=self.device)
            yield self._of_those(drawn)
        while True:
            order = torch.randperm(count, generator=self._generator, device=self.device)
            # Whole batches only, so that every step sees as many points.
            yield from self._of_those(order[: count // size * size]).split(size)

    def _of_those(self, order: Tensor) -> Tensor:
        """Positions by their number among those that have samples."""
        return order if self._there is None else self._there[order]

    def some(self, count: int) -> Tensor:
        """Up to `count` indices, always the same; drawn at random, because a regular grid would
        see only a few columns of a picture.
        """
        whole = self.positions if self._there is None else len(self._there)
        if count >= whole:
            return self._of_those(torch.arange(whole, device=self.device))
        generator = torch.Generator().manual_seed(count)
        drawn = torch.randint(whole, (count,), generator=generator)
        return self._of_those(drawn.to(self.device))


def _positions_with_samples(signal: Signal, device: str) -> Tensor | None:
    """Flat indices of the positions where a channel or more has a sample; None: all."""
    if signal.missing is None:
        return None
    return torch.from_numpy(np.flatnonzero(~signal.missing.all(axis=-1))).to(device)
