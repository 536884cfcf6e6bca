"""Joins a Signal with the components that it is a mixture of along one axis, and their loadings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.quantize import TensorRecipe, step_index, step_size
from inrcodec.coding.weights import best_table, code_length
from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.pyramid_result import FittedPyramid, decoded_values
from inrcodec.fitting.pyramid_targets import WEIGHTS, PyramidGoal, bounded, first_weight
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.samples import normalised
from inrcodec.signal import Axis, Signal, SignalInfo, array_channels

MOST_SAMPLES = 4096
"""Along a mixed axis: beyond it the eigenvectors take too long."""

BITS_PER_LOADING, WORTH = 4.0, 15.0
"""Bits that a loading takes, about, and those that one of a component has to be worth: with it
come latents, and noise is coded badly."""

LEFT_OUT = 0.15
"""Part of the error asked for that components that are left out may make."""

LOADINGS_SHARE = 0.4
"""Most of the bits that loadings may take."""

LOADINGS_ERROR = 0.08
"""Most that rounded loadings may add to the error, as part of it."""

COMPONENT_WEIGHT = 1e-5
"""Rate weight of components, which are as large as it takes: the one that fits do best at."""

RECIPE_BITS = 6.0

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Mixture:
    """A signal as a mixture: its values about 1/2, `[mixed, positions x channels]`; components
    about 1/2 as a signal of their own, their `loadings` `[rank, mixed]` and their sums of squares.

    `reach` is what one unit of a component is in values, and `left_out` the mean squared error
    without the components that are missing.
    """

    axis: int
    values: Floats
    components: Signal
    reach: float
    left_out: float
    loadings: Floats
    energies: Floats

    @property
    def rank(self) -> int:
        return self.components.info.lattice[0]

    def error(self, error: float) -> float:
        """Mean squared error of the signal for that of the components."""
        return self.reach**2 * error * self.rank / len(self.values) + self.left_out


def mixed_axis(info: SignalInfo, name: str) -> int:
    """The number of the axis of a name; raises UsageError where there is none."""
    names = [axis.name for axis in info.axes]
    if name not in names:
        raise UsageError(f"mix {name}: the signal has no such axis, but {', '.join(names)}")
    return names.index(name)


def mixture(part: Signal, axis: int, goal: PyramidGoal, rank: int | None = None) -> Mixture:
    """The components of largest energy along an axis (KLT): `rank` of them, or those worth it.

    Raises UsageError where an axis cannot be mixed or has fewer samples than `rank`.
    """
    info = part.info
    size = info.lattice[axis]
    if len(info.axes) < 2 or not 2 <= size <= MOST_SAMPLES:
        raise UsageError(
            f"mix {info.axes[axis].name}: an axis of 2 to {MOST_SAMPLES} samples beside another "
            f"axis is needed; this one has {size}"
        )
    if rank is not None and not 1 <= rank <= size:
        raise UsageError(f"rank {rank}: 1 to {size} components can be made")
    moved = np.moveaxis(normalised(part).astype(np.float64), axis, 0) - 0.5
    values = moved.reshape(size, -1)
    energies, basis = np.linalg.eigh(values @ values.T)
    energies, basis = np.maximum(energies[::-1], 0.0), basis[:, ::-1]
    # What remains without the first 0, 1, ... components.
    rest = np.append(np.cumsum(energies[::-1])[::-1], 0.0) / values.size
    components = (basis.T @ values).reshape(moved.shape)
    channels = len(info.channels)
    weight = first_weight(goal, info.positions)
    if goal.bits is not None:
        weight = _weight_of_bits(goal.bits, components, energies / channels)
    if rank is None and goal.psnr is not None:
        allowed = LEFT_OUT * 10 ** (-goal.psnr / 10)
        rank = min(size, int(np.argmax(rest <= allowed)))
    if rank is None:
        # Energies are of all channels; the loss counts their mean.
        rank = _worth(energies / channels, weight)
    rank = max(1, rank)
    components = components[:rank]
    reach = math.sqrt(weight / COMPONENT_WEIGHT)
    axes = (Axis("component", rank), *(a for n, a in enumerate(info.axes) if n != axis))
    own = SignalInfo(axes, array_channels(len(info.channels)), "float32", (0.0, 1.0))
    samples = (0.5 + components / reach).astype(np.float32)
    loadings, energies = basis[:, :rank].T * reach, energies[:rank] / reach**2
    signal = Signal(samples, own)
    return Mixture(axis, values, signal, reach, float(rest[rank]), loadings, energies)


def _worth(energies: Floats, weight: float) -> int:
    """How many components are worth their loadings at a rate weight."""
    return int((energies > weight * WORTH * len(energies)).sum())


def _weight_of_bits(bits: float, components: Floats, energies: Floats) -> float:
    """The rate weight at which components and their loadings take so many bits, about.

    A latent takes the logarithm of what neighbours differ by over the error that pays at a weight.
    """
    count = math.prod(components.shape[1:-1])
    differences = [
        0.5 * np.square(np.diff(components, axis=axis)).mean(axis=tuple(range(1, components.ndim)))
        for axis in range(1, components.ndim - 1)
        if components.shape[axis] > 1
    ]
    least = np.min(differences, axis=0) if differences else energies / count

    def taken(weight: float) -> float:
        error = weight / (2 * math.log(2))
        latents = 0.5 * np.log2(np.maximum(least / error, 1.0)).sum() * count
        return float(latents) + BITS_PER_LOADING * len(energies) * _worth(energies, weight)

    low, high = WEIGHTS
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if taken(middle) > bits else (low, middle)
    return bounded(high)


def component_goal(goal: PyramidGoal, mixed: Mixture) -> PyramidGoal:
    """What the components are fitted to, so that the signal meets its goal."""
    if goal.rate_weight is not None:
        return PyramidGoal(rate_weight=goal.rate_weight / mixed.reach**2)
    if goal.psnr is not None:
        error = max(10 ** (-goal.psnr / 10) * (1 - LOADINGS_ERROR) - mixed.left_out, 1e-15)
        error *= len(mixed.values) / (mixed.rank * mixed.reach**2)
        return PyramidGoal(psnr=-10 * math.log10(error), begin=COMPONENT_WEIGHT)
    if goal.bound is not None:
        # The error of the signal is not known while components are fitted.
        return PyramidGoal(rate_weight=first_weight(goal, 0) / mixed.reach**2)
    assert goal.bits is not None
    price = COMPONENT_WEIGHT * len(mixed.components.info.channels)
    coded = _coded(mixed.loadings, _steps(price, mixed.energies, mixed))
    left = max(goal.bits - coded.bits, (1 - LOADINGS_SHARE) * goal.bits)
    return PyramidGoal(bits=left, begin=COMPONENT_WEIGHT)


def joined(
    fitted: FittedPyramid, mixed: Mixture, most_bits: float
) -> tuple[PyramidSpec, Quantised]:
    """The architecture and symbols with the loadings that suit the components as they decode.

    The step of a component's loadings makes a bit worth what the fit's rate weight says, or is as
    narrow as LOADINGS_ERROR asks; where all take more than `most_bits`, steps are wider.
    """
    decoded = decoded_values(fitted, mixed.components.info.lattice).astype(np.float64)
    components = (decoded - 0.5).reshape(mixed.rank, -1)
    gram = components @ components.T
    gram[np.diag_indices(mixed.rank)] += 1e-9 * gram.diagonal() + 1e-12
    loadings = np.linalg.solve(gram, components @ mixed.values.T)
    price = fitted.rate_weight * fitted.spec.outputs
    allowed = LOADINGS_ERROR * mixed.error(10 ** (-fitted.psnr / 10)) * mixed.values.size
    price = min(price, 2 * math.log(2) * allowed / (loadings.size * mixed.reach**2))
    steps = _steps(price, gram.diagonal(), mixed)
    coded = _coded(loadings, steps)
    while fitted.bits + coded.bits > most_bits and coded.bits > RECIPE_BITS * (mixed.rank + 1):
        steps *= 2**0.25
        coded = _coded(loadings, steps)
    while math.isfinite(most_bits) and coded.bits < most_bits - fitted.bits:
        # What the components left over.
        steps *= 2**-0.25
        finer = _coded(loadings, steps)
        if finer.bits > most_bits - fitted.bits:
            break
        coded = finer
    spec = replace(
        fitted.spec, mixed=len(mixed.values), axis=mixed.axis, differences=coded.differences
    )
    own = fitted.quantised
    names = (f"loading{index}" for index in range(mixed.rank))
    symbols = {**own.symbols, **dict(zip(names, coded.symbols, strict=True))}
    return spec, Quantised(symbols, (*own.recipes, *coded.recipes), own.bits + coded.bits)


def _steps(price: float, energies: Floats, mixed: Mixture) -> Floats:
    """Steps of the loadings of components: d^2 / 12 of squared error per loading and position,
    log2 d bits less, of which one is worth `price` in squares of components.
    """
    worth = 6 * price * mixed.reach**2 / math.log(2)
    return np.sqrt(worth / np.maximum(energies, 1e-30))


@dataclass(frozen=True)
class _Coded:
    """Symbols of all loadings, or their differences along the axis, and the bits they take."""

    differences: bool
    symbols: list[NDArray[np.int32]]
    recipes: list[TensorRecipe]
    bits: float


def _coded(loadings: Floats, steps: Floats) -> _Coded:
    """Rounded loadings in the form that takes fewer bits."""
    indices = [step_index(float(step)) for step in steps]
    plain = [
        np.rint(row / step_size(index)).astype(np.int32)
        for row, index in zip(loadings, indices, strict=True)
    ]
    found = []
    for differences in (False, True):
        symbols = plain
        if differences:
            symbols = [np.diff(row, prepend=np.int32(0)).astype(np.int32) for row in plain]
        tables = [best_table(row) for row in symbols]
        bits = sum(map(code_length, symbols, tables)) + RECIPE_BITS * len(symbols)
        recipes = list(map(TensorRecipe, indices, tables))
        found.append(_Coded(differences, symbols, recipes, bits))
    return min(found, key=lambda each: each.bits)
