"""Joins a Field with the code that can ask it: the one place of this room that knows the kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inrcodec.fields.field import Field, FieldSpec
from inrcodec.fields.modulated import ModulatedSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.query import sirens
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window
from inrcodec.query.mixtures import mixture_evaluator
from inrcodec.query.modulations import ModulatedEvaluator
from inrcodec.query.pyramids import PyramidEvaluator
from inrcodec.query.sirens import SirenEvaluator
from inrcodec.signal import SignalInfo


class Evaluator(Protocol):
    """A field, asked in the lattice positions of one signal. Values of 0..1 span its range."""

    @property
    def spec(self) -> FieldSpec: ...

    def fill(
        self,
        out: NDArray[np.generic],
        convert: Callable[[Floats], NDArray[np.generic]],
        size: Sequence[int],
        window: Window,
    ) -> None:
        """Write a window `[*window, outputs]` of the lattice of `size`, which is at least as dense
        as the native one. `convert` maps float32 values of any shape to the type of `out`.
        """

    def at(self, points: NDArray[np.float64]) -> Floats:
        """Values `[points, outputs]` at lattice positions `[points, axes]`."""

    def slopes(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives `[points, outputs, axes]` of `at` by the lattice position."""

    def work(self, size: Sequence[int], window: Window) -> int:
        """Multiply-accumulates of `fill`, about."""

    def work_at(self, points: NDArray[np.float64]) -> int:
        """Multiply-accumulates of `at`, about."""


def evaluator(field: Field, info: SignalInfo) -> Evaluator:
    """What answers for a field that describes a signal of `info`."""
    if isinstance(field.spec, SirenSpec):
        return SirenEvaluator(field.spec, field, info)
    if isinstance(field.spec, ModulatedSpec):
        return ModulatedEvaluator(field.spec, field)
    if field.spec.mixed:
        return mixture_evaluator(field.spec, field, info.lattice)
    return PyramidEvaluator(field.spec, field, info.lattice)


def at_many(asked: Sequence[Evaluator], points: Sequence[NDArray[np.float64]]) -> list[Floats]:
    """`at` of every evaluator, each at its own points; equally many of them where they gain by
    being asked together.
    """
    together = [index for index, one in enumerate(asked) if isinstance(one, SirenEvaluator)]
    members = [one for one in asked if isinstance(one, SirenEvaluator)]
    values = dict(
        zip(together, sirens.at_many(members, [points[i] for i in together]), strict=True)
    )
    return [
        values[index] if index in values else one.at(points[index])
        for index, one in enumerate(asked)
    ]
