"""Joins a PyramidSpec and a target: the step of `pyramid_step.py`, several times faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets
from inrcodec.fitting.pyramid_step import (
    HARD,
    SOFT,
    STRAIGHT,
    Distortion,
    Evaluation,
    Floats,
    Levels,
    Step,
    TorchStep,
)
from inrcodec.native_choice import extension, instruction_set

MOST_OUTPUTS = 4
"""Channels that the extension fits."""


def step_for(
    spec: PyramidSpec, target: Floats, threads: int, distortion: Distortion | None = None
) -> NativeStep | TorchStep:
    """The fastest step there is: the extension's, else torch's with the threads torch has."""
    if instruction_set() and spec.outputs <= MOST_OUTPUTS:
        return NativeStep(spec, target, threads, distortion)
    return TorchStep(spec, target, distortion)


class NativeStep:
    """As `TorchStep`, but for the noise: of other numbers, and only nearly Gaussian.

    Takes 36 to 175 bytes per position besides latents and target: 135 with 7 levels, 3 outputs and
    2 residual convolutions; twice a render more where a distortion is given. Results vary with the
    number of threads only as sums do.
    """

    def __init__(
        self,
        spec: PyramidSpec,
        target: Floats,
        threads: int,
        distortion: Distortion | None = None,
    ) -> None:
        native, isa = extension(), instruction_set()
        if native is None or isa is None:
            raise UsageError("native step: the extension is not built, or switched off")
        if target.shape != (*spec.lattice, spec.outputs):
            raise UsageError(f"target: {target.shape}, not {(*spec.lattice, spec.outputs)}")
        own = [(0, offset) for offset in causal_offsets(spec.inputs)]
        self.spec, self.target = spec, target
        with _refusals():
            self._fit = native.PyramidFit(
                isa,
                spec.lattice,
                spec.kept,
                spec.outputs,
                spec.levels,
                spec.contexts,
                spec.synthesis,
                spec.residuals,
                [*own, *coarser_offsets(spec.inputs)],
                np.ascontiguousarray(target, np.float32).ravel(),
                threads,
            )
        self._outside = None if distortion is None else _Outside(distortion, target.shape)
        self._gradient = np.zeros(spec.parameter_count)
        self._slopes, self._means, self._squares = Levels(), Levels(), Levels()

    def step(
        self,
        parameters: Floats,
        latents: Sequence[Floats],
        rate_weight: float,
        temperature: float = 0.3,
        noise: float = 0.0,
        mode: str = SOFT,
        seed: int = 0,
    ) -> Step:
        """As `TorchStep.step`; `temperature` is 0.001 to 1000, `seed` a number of 32 bits."""
        if mode == HARD:
            state = self.evaluate(parameters, latents)
            return Step(state.mse, sum(state.level_bits), state.distortion, None, None)
        if mode not in (SOFT, STRAIGHT):
            raise UsageError(f"mode {mode}: {SOFT}, {STRAIGHT} or {HARD} is needed")
        self._slopes = self._slopes or self._like_latents()
        outside = self._outside
        with _refusals():
            mse, bits = self._fit.descend(
                mode == SOFT,
                parameters,
                self._flat(latents),
                rate_weight,
                temperature,
                noise,
                seed,
                self._gradient,
                self._flat(self._slopes),
                outside and outside.argument(),
            )
        distortion = outside.value if outside else mse
        return Step(mse, bits, distortion, self._gradient.astype(np.float32), list(self._slopes))

    def evaluate(
        self,
        parameters: Floats,
        latents: Sequence[Floats],
        peak: int = 255,
        render: bool = False,
        latent_bits: bool = False,
    ) -> Evaluation:
        """As `TorchStep.evaluate`."""
        spec = self.spec
        seen = render or self._outside is not None
        values = np.empty((*spec.lattice, spec.outputs), np.float32) if seen else None
        costs = self._like_latents() if latent_bits else None
        with _refusals():
            mse, coded_mse, level_bits = self._fit.evaluate(
                parameters,
                self._flat(latents),
                peak,
                None if values is None else values.reshape(-1),
                None if costs is None else self._flat(costs),
            )
        distortion = mse
        if self._outside is not None and values is not None:
            distortion = self._outside.distortion.value(values)
        values = values if render else None
        return Evaluation(mse, coded_mse, distortion, tuple(level_bits), values, costs)

    def forget(self) -> None:
        """As `TorchStep.forget`."""
        self._means, self._squares = Levels(), Levels()

    def adam(
        self,
        latents: Sequence[Floats],
        gradients: Sequence[Floats],
        rate: float,
        betas: tuple[float, float],
        epsilon: float,
        damping: float,
        count: int,
    ) -> None:
        """As `TorchStep.adam`."""
        self._means = self._means or self._like_latents()
        self._squares = self._squares or self._like_latents()
        arrays = (latents, gradients, self._means, self._squares)
        with _refusals():
            self._fit.adam(*map(self._flat, arrays), rate, betas, epsilon, damping, count)

    def _like_latents(self) -> Levels:
        return [np.zeros(self.spec.grid(level), np.float32) for level in range(self.spec.levels)]

    def _flat(self, levels: Sequence[Floats]) -> Levels:
        """Views, never copies: they are written to."""
        if [level.shape for level in levels] != [
            self.spec.grid(level) for level in range(self.spec.levels)
        ]:
            raise UsageError("latents: one array per level is needed, of the shape of its grid")
        if not all(level.flags.c_contiguous for level in levels):
            raise UsageError("latents: contiguous arrays are needed")
        return [level.reshape(-1) for level in levels]


class _Outside:
    """A Distortion that is called between the way to the render and the way back."""

    def __init__(self, distortion: Distortion, shape: tuple[int, ...]) -> None:
        self.distortion, self.value = distortion, math.nan
        self._render, self._slopes = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def argument(self) -> tuple[Callable[[], None], Floats, Floats]:
        """As the extension takes it."""
        return self._call, self._render.reshape(-1), self._slopes.reshape(-1)

    def _call(self) -> None:
        self.value, self._slopes[...] = self.distortion.slope(self._render)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(f"native step: {error}") from error
