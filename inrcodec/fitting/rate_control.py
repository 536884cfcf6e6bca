"""Joins a target (bits or PSNR) with the architecture and the step scale that meet it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch

from inrcodec.coding.quantize import dequantize
from inrcodec.coding.weights import is_sparse, pack_weights
from inrcodec.errors import TargetMissedError
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.architecture import (
    BITS_PER_PARAMETER,
    architecture,
    floor_bits,
    least_sine_bits,
)
from inrcodec.fitting.fit import Descent, fit, measure
from inrcodec.fitting.refine import Quantised, round_field
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, Progress
from inrcodec.fitting.siren_presets import SINE, Family, Preset
from inrcodec.fitting.sparsify import AUTO, PLAIN
from inrcodec.fitting.stacks import layers_of
from inrcodec.fitting.tracks import FittedTrack

DB_PER_DOUBLING = 2.0
"""PSNR that twice the parameters bring, as on Kodak for COIN's five networks."""

PSNR_TOLERANCE = 0.05
"""How far under the asked PSNR, in dB, a field still counts as meeting it."""

MAX_FITS = 4
"""Networks fitted at most, to find one for a PSNR."""

RESERVE = (0.1, 0.8)
"""How far above the asked PSNR, in dB, a float fit should be: rounding costs about 0.4."""


@dataclass(frozen=True)
class Goal:
    """What one track is fitted to: `bits` in all, or `psnr` in dB, or the slope `rate_weight`.

    With `rate_weight` (lambda, mean squared error per bit per position) `bits` only chooses the
    architecture, of `family`. `spec` overrides that choice.
    """

    bits: float
    psnr: float | None = None
    rate_weight: float | None = None
    spec: SirenSpec | None = None
    family: Family = SINE

    def architecture(self, bits: float, inputs: int, outputs: int) -> SirenSpec:
        """The network asked for, else the one that fills `bits`."""
        return self.spec or architecture(bits, inputs, outputs, self.family)


def fit_track(
    samples: Samples,
    axes: int,
    goal: Goal,
    preset: Preset,
    seed: int,
    budget: Budget,
    progress: Progress,
    sparsify: str = PLAIN,
) -> FittedTrack:
    """Fit, round and entropy-model one track. Raises TargetMissedError for a PSNR out of reach."""
    if goal.psnr is not None:
        spec, descent = _fit_to_psnr(samples, axes, goal, preset, seed, budget, progress)
    else:
        spec = goal.architecture(goal.bits, axes, samples.channels)
        descent = fit(spec, samples, preset, seed, budget, progress)
    return round_track(spec, descent, samples, goal, preset, budget, progress, sparsify)


def round_track(
    spec: SirenSpec,
    descent: Descent,
    samples: Samples,
    goal: Goal,
    preset: Preset,
    budget: Budget,
    progress: Progress,
    sparsify: str,
) -> FittedTrack:
    """What the file will hold of a field of floats, as near to the goal as rounding comes.

    `sparsify` is one of SPARSIFY. Where some weights became sums of atoms because they seemed
    better so, that is kept only if the whole is better than without.
    """

    def rounded(how: str) -> FittedTrack:
        return _rounded(spec, descent, samples, goal, preset, budget, progress, how)

    if sparsify != AUTO:
        return rounded(sparsify)
    # What a target misses with atoms it may meet without.
    with suppress(TargetMissedError):
        sparse = rounded(AUTO)
        if not is_sparse(sparse.quantised.recipes):
            return sparse
        plain = rounded(PLAIN)
        return sparse if _better(sparse, plain, goal, samples) else plain
    return rounded(PLAIN)


def _better(sparse: FittedTrack, plain: FittedTrack, goal: Goal, samples: Samples) -> bool:
    """Whether one rounding of a field is better than another and, but for the balance of a slope,
    not larger.
    """
    errors, sizes = [], []
    for track in (sparse, plain):
        assert isinstance(track.spec, SirenSpec)
        reached = quantised_psnr(track.spec, track.quantised, samples)
        errors.append(10 ** (-reached / 10))
        sizes.append(
            8 * len(pack_weights(track.spec, track.quantised.symbols, track.quantised.recipes))
        )
    if goal.rate_weight is not None:
        price = goal.rate_weight / samples.positions
        return errors[0] + price * sizes[0] < errors[1] + price * sizes[1]
    return sizes[0] < sizes[1] and (goal.psnr is not None or errors[0] <= errors[1])


def _rounded(
    spec: SirenSpec,
    descent: Descent,
    samples: Samples,
    goal: Goal,
    preset: Preset,
    budget: Budget,
    progress: Progress,
    sparsify: str,
) -> FittedTrack:
    layers = layers_of(descent.best)
    float_psnr = measure(spec, layers, samples, samples.some(samples.positions))

    def rounded(**how: float) -> Quantised:
        return round_field(
            spec, layers, samples, preset, budget, **how, sparsify=sparsify, progress=progress
        )

    if goal.psnr is not None:
        quantised = _round_to_psnr(spec, descent, samples, goal.psnr, budget, rounded)
        return FittedTrack(spec, quantised, descent.steps, float_psnr)
    if goal.rate_weight is not None:
        quantised = rounded(rate_weight=goal.rate_weight)
        return FittedTrack(spec, quantised, descent.steps, float_psnr)
    natural = BITS_PER_PARAMETER * spec.parameter_count
    wanted = natural if goal.bits == math.inf else max(goal.bits, floor_bits(spec))
    asked = wanted
    quantised = rounded(bits=wanted)
    for _ in range(3):
        excess = 8 * len(pack_weights(spec, quantised.symbols, quantised.recipes)) - wanted
        if excess <= 0 or wanted > goal.bits:
            break
        asked -= excess
        quantised = rounded(bits=asked)
    return FittedTrack(spec, quantised, descent.steps, float_psnr)


def quantised_psnr(spec: SirenSpec, quantised: Quantised, samples: Samples) -> float:
    """PSNR in dB over all positions, before rounding to the samples' type."""
    field = dequantize(spec, quantised.symbols, quantised.recipes)
    layers = [
        torch.as_tensor(
            np.column_stack([field.parameters[f"weight{i}"], field.parameters[f"bias{i}"]]),
            device=samples.device,
        )
        for i in range(spec.layers)
    ]
    return measure(spec, layers, samples, samples.some(samples.positions))


def _fit_to_psnr(
    samples: Samples,
    axes: int,
    goal: Goal,
    preset: Preset,
    seed: int,
    budget: Budget,
    progress: Progress,
) -> tuple[SirenSpec, Descent]:
    """The network whose float fit is a little above the goal, and that fit."""
    assert goal.psnr is not None
    # COIN's operating points on photographs: 28.4 dB at 0.2 bit per position.
    bits = samples.positions * 0.2 * 2 ** ((goal.psnr - 28.4) / DB_PER_DOUBLING)
    # More parameters than half the samples are no compression.
    most = 0.5 * BITS_PER_PARAMETER * samples.positions * samples.channels
    least = least_sine_bits(axes, samples.channels)
    most = max(most, least)
    tried: dict[SirenSpec, Descent] = {}
    for _ in range(1 if goal.spec else MAX_FITS):
        spec = goal.architecture(min(max(bits, least), most), axes, samples.channels)
        if spec in tried:
            break
        own = budget.part(0.7 / MAX_FITS)
        tried[spec] = fit(spec, samples, preset, seed, own, progress)
        budget.interrupted |= own.interrupted
        reserve = tried[spec].best_psnr - goal.psnr
        if budget.interrupted or RESERVE[0] <= reserve <= RESERVE[1]:
            break
        bits = BITS_PER_PARAMETER * 2 ** _next_size(tried, goal.psnr + sum(RESERVE) / 2)
    enough = [spec for spec in tried if tried[spec].best_psnr >= goal.psnr + RESERVE[0]]
    spec = min(enough or tried, key=lambda spec: spec.parameter_count * (1 if enough else -1))
    return spec, tried[spec]


def _next_size(tried: Mapping[SirenSpec, Descent], wanted: float) -> float:
    """log2 of the number of parameters at which `wanted` dB is expected, by the nearest fits."""
    known = sorted((descent.best_psnr, spec.parameter_count) for spec, descent in tried.items())
    known.sort(key=lambda entry: abs(entry[0] - wanted))
    (near_psnr, near), slope = known[0], DB_PER_DOUBLING
    if len(known) > 1:
        far_psnr, far = known[1]
        slope = (near_psnr - far_psnr) / math.log2(near / far)
    slope = min(max(slope, DB_PER_DOUBLING / 2), DB_PER_DOUBLING * 4)
    return math.log2(near) + (wanted - near_psnr) / slope


def _round_to_psnr(
    spec: SirenSpec,
    descent: Descent,
    samples: Samples,
    wanted: float,
    budget: Budget,
    rounded: Callable[..., Quantised],
) -> Quantised:
    per_parameter, tried = BITS_PER_PARAMETER, []
    for _ in range(5):
        bits = max(per_parameter * spec.parameter_count, floor_bits(spec))
        quantised = rounded(bits=bits)
        reached = quantised_psnr(spec, quantised, samples)
        tried.append((quantised.bits, reached, quantised))
        close = -PSNR_TOLERANCE <= reached - wanted <= PSNR_TOLERANCE
        if close or budget.interrupted or budget.elapsed() > 1:
            break
        # Rounding costs descent - reached dB; its noise falls by 6 dB per bit.
        noise = max(10 ** (-reached / 10) - 10 ** (-descent.best_psnr / 10), 1e-12)
        allowed = max(10 ** (-wanted / 10) - 10 ** (-descent.best_psnr / 10), noise / 64)
        change = 0.5 * math.log2(noise / allowed)
        change = min(max(per_parameter + change, 2.0), 16.0) - per_parameter
        if abs(change) < 0.02:
            break
        per_parameter += change
    good = [entry for entry in tried if entry[1] >= wanted - PSNR_TOLERANCE]
    if not good and not budget.interrupted:
        best = max(entry[1] for entry in tried)
        raise TargetMissedError(
            f"PSNR: {wanted:.2f} dB asked, {best:.2f} dB reached with net {spec.net}; "
            "give a higher effort, more time, a larger --net or a lower target"
        )
    smallest = min(good, key=lambda entry: entry[0], default=None)
    chosen = smallest or max(tried, key=lambda entry: entry[1])
    return chosen[2]
