"""Joins the spectrum of a Signal with the omega_0 at which a random network has the nearest one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.fields.siren import OMEGA_DENOMINATOR, SirenSpec
from inrcodec.fitting.samples import normalised
from inrcodec.fitting.siren_presets import Family
from inrcodec.fitting.siren_step import evaluate
from inrcodec.fitting.stacks import initial_stacks, layers_of
from inrcodec.query.lattice import lattice_coordinates
from inrcodec.signal import Signal

CANDIDATES = tuple(2.0 ** (power / 2) for power in range(-5, 6))
"""What the family's own omega_0 is multiplied by, to be tried."""

NETWORKS = 4
"""Random networks whose spectra are averaged."""

LINES, LONGEST = 24, 1024
"""Lines of samples along every axis that spectra are taken of, and their samples."""

Lines = NDArray[np.floating]


def matched(family: Family, part: Signal, layers: tuple[int, int], seed: int) -> Family:
    """The family at the omega_0 whose random networks, of so many layers and units, are nearest.

    Spectra are of lines along every axis, without their mean; nearest is the Wasserstein distance
    of the frequencies' energies, on average over the axes. After FreSh, Kania et al., ICLR 2025,
    which looks at whole pictures. It changes the first layer alone, and so does this: weights and
    steps of the others fall as omega_0 rises.
    """
    lines = list(_lines(part, seed))
    wanted = [_spectrum(values) for _, values in lines]
    info, best = part.info, (np.inf, family)
    for factor in CANDIDATES:
        omega_0 = max(1, round(family.omega_0 * factor * OMEGA_DENOMINATOR)) / OMEGA_DENOMINATOR
        rate = family.rate * family.omega_0 / omega_0
        candidate = replace(family, omega_0=omega_0, rate=rate)
        spec = candidate.of(SirenSpec(len(info.axes), len(info.channels), *layers))
        found = [_random_spectrum(spec, points, seed) for points, _ in lines]
        distances = (np.abs(np.cumsum(a - b)).mean() for a, b in zip(wanted, found, strict=True))
        best = min(best, (float(np.mean(list(distances))), candidate), key=lambda each: each[0])
    return best[1]


def _lines(part: Signal, seed: int) -> Iterator[tuple[Lines, Lines]]:
    """Coordinates `[lines, samples, axes]`, values `[lines, samples, channels]`, of each axis."""
    generator = np.random.default_rng(seed)
    values, lattice = normalised(part), part.info.lattice
    for axis, size in enumerate(lattice):
        if size < 4:
            continue
        length = min(size, LONGEST)
        at = [generator.integers(0, each, LINES)[:, None] for each in lattice]
        at[axis] = generator.integers(0, size - length + 1, LINES)[:, None] + np.arange(length)
        columns = [
            np.broadcast_to(lattice_coordinates(part.info, lattice, a, index), (LINES, length))
            for a, index in enumerate(at)
        ]
        yield np.stack(columns, axis=-1), values[tuple(at)]


def _random_spectrum(spec: SirenSpec, points: Lines, seed: int) -> Lines:
    flat = torch.as_tensor(points.reshape(-1, spec.inputs), dtype=torch.float32)
    spectra = []
    for number in range(NETWORKS):
        generator = torch.Generator().manual_seed(seed + number)
        layers = layers_of(initial_stacks(spec, generator, 1.0))
        with torch.no_grad():
            values = evaluate(spec, layers, flat).numpy().reshape(*points.shape[:-1], -1)
        spectra.append(_spectrum(values))
    return np.asarray(np.mean(spectra, axis=0))


def _spectrum(values: Lines) -> Lines:
    """Shares of the frequencies from 1 cycle a line on, mean over lines and channels."""
    window = np.hanning(values.shape[1] + 2)[1:-1, None]
    moved = (values - values.mean(axis=1, keepdims=True)) * window
    energy = (np.abs(np.fft.rfft(moved, axis=1)) ** 2).mean(axis=(0, 2))[1:]
    return np.asarray(energy / max(energy.sum(), 1e-30))
