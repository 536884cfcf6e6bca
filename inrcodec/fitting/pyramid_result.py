"""Joins a PyramidState with Symbols of its networks and latents: what a file can hold of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.context import IntegerNetwork
from inrcodec.coding.latents import MAX_LATENT
from inrcodec.coding.native_latents import code_length
from inrcodec.coding.planes import DenseLatents
from inrcodec.coding.quantize import dequantize
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.objective import psnr_of
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import AnyStep, PyramidState, measure, tune_networks
from inrcodec.fitting.pyramid_rounding import ROUNDED_FROM, round_networks
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.schedule import Budget, Progress, finished, quiet
from inrcodec.query.pyramids import PyramidEvaluator

Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Probe:
    """A window of a large lattice that stands for all of it when networks are rounded.

    `origin` is its corner, a multiple of 2^(levels - 1) along every axis that is not kept.
    """

    step: AnyStep
    origin: tuple[int, ...]

    def cut(self, state: PyramidState) -> PyramidState:
        """The state of the window; it shares the networks."""
        latents = []
        for level, plane in enumerate(state.latents):
            spec = self.step.spec
            halvings, sizes = spec.halvings(level), spec.grid(level)
            corner = [start >> by for start, by in zip(self.origin, halvings, strict=True)]
            place = tuple(slice(c, c + size) for c, size in zip(corner, sizes, strict=True))
            latents.append(np.ascontiguousarray(plane[place]))
        return replace(state, latents=latents)


@dataclass(frozen=True)
class FittedPyramid:
    """Symbols of the networks, latents of every level (finest first), and how they came to be.

    `rate_weight` is what a bit was worth in the end.
    """

    spec: PyramidSpec
    quantised: Quantised
    latents: tuple[Integers, ...]
    bits: float
    psnr: float
    float_psnr: float
    steps: int
    rate_weight: float


def rounded(
    state: PyramidState,
    step: AnyStep,
    preset: PyramidPreset,
    budget: Budget,
    probe: Probe | None = None,
    progress: Progress = quiet,
) -> FittedPyramid:
    """The present state as symbols; networks are tuned to the rounded latents first.

    Leaves the rounded networks in `state`. An interrupt ends the tuning, no more.
    """
    planes = integers(state.latents)
    hard = _with(state, planes)
    seen, looking = (hard, step) if probe is None else (probe.cut(hard), probe.step)
    if not budget.interrupted:

        def tuned(share: float) -> None:
            progress("fit", 1 - preset.hard_share * (1 - share), state.psnr)

        count = round(preset.steps * preset.hard_share)
        tune_networks(seen, looking, preset, count, budget, ROUNDED_FROM, tuned=tuned)
    float_psnr = finished(lambda: psnr_of(measure(hard, step).coded_mse), budget)
    unrounded = state.networks.flat.copy()

    def symbols() -> Quantised:
        # After an interrupt the networks are rounded in part.
        state.networks.flat[:] = unrounded
        state.networks.gather()
        return round_networks(seen, looking, preset, budget, progress)

    quantised = finished(symbols, budget)
    state.steps = seen.steps
    return finished(lambda: measured(quantised, planes, state, step, float_psnr), budget)


def measured(
    quantised: Quantised,
    planes: Sequence[Integers],
    state: PyramidState,
    step: AnyStep,
    float_psnr: float,
) -> FittedPyramid:
    """Given symbols, which `state` has the networks of, with their bits and their PSNR."""
    spec = state.networks.spec
    network = IntegerNetwork.of(spec, state.networks.named())
    bits = quantised.bits + sum(code_length(spec, network, planes))
    psnr = psnr_of(measure(_with(state, planes), step).coded_mse)
    return FittedPyramid(
        spec, quantised, tuple(planes), bits, psnr, float_psnr, state.steps, state.rate_weight
    )


def decoded_values(fitted: FittedPyramid, lattice: tuple[int, ...]) -> NDArray[np.float32]:
    """Values `[*lattice, channels]` as the decoder makes them of a signal of that lattice."""
    field = dequantize(fitted.spec, fitted.quantised.symbols, fitted.quantised.recipes)
    field = replace(field, latents=DenseLatents(tuple(fitted.latents)))
    whole = [(0, size) for size in lattice]
    values = PyramidEvaluator(fitted.spec, field, lattice).resampled(lattice, whole)
    return np.moveaxis(values, 0, -1)


def restore(state: PyramidState, result: FittedPyramid) -> None:
    """Give `state` the networks and latents of a result."""
    quantised = result.quantised
    parameters = dequantize(result.spec, quantised.symbols, quantised.recipes).parameters
    for name, values in state.networks.named().items():
        values[...] = parameters[name]
    state.networks.gather()
    for latents, plane in zip(state.latents, result.latents, strict=True):
        latents[...] = plane


def integers(latents: Sequence[NDArray[np.float32]]) -> list[Integers]:
    """Latents as the steps round them: half up."""
    halves = [np.floor(plane + np.float32(0.5)) for plane in latents]
    return [np.clip(plane, -MAX_LATENT, MAX_LATENT).astype(np.int32) for plane in halves]


def _with(state: PyramidState, planes: Sequence[Integers]) -> PyramidState:
    return replace(state, latents=[plane.astype(np.float32) for plane in planes])
