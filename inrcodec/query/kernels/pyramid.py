"""Joins a `pyramid` Field's latents with the values of its lattice, in numpy: the exact meaning.

Every value is made by separate float32 multiplications and additions in one order, each IEEE 754's,
none fused: any window, block or backend gives the same bits. So no matrix products here, whose
order of additions is the library's.
"""

from __future__ import annotations

import itertools

import numpy as np

from inrcodec.fields.field import Field, Latents
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import OUTPUT_CENTRE
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, inside

CHUNK = 2**17
"""Values per operation: they and their products stay in the cache of one core."""

ZERO = np.float32(0)


def synthesise(field: Field, window: Window) -> Floats:
    """Field values `[outputs, *window]` at lattice positions; the window must not be empty.

    Reads no latents but those the values depend on. What `field.latents.read` raises is let
    through.
    """
    spec = _spec(field)
    reach = grown(spec, window, spec.residuals)
    # Weights of a damaged file may overflow: values are clamped in the end, whatever they are.
    with np.errstate(over="ignore", invalid="ignore"):
        values = _network(field, _features(field, reach))
        for index in range(spec.residuals):
            inner = grown(spec, window, spec.residuals - 1 - index)
            values = _residual(field, index, values, reach, inner)
            reach = inner
    return values


def latent_windows(spec: PyramidSpec, window: Window) -> list[list[tuple[int, int]]]:
    """What a window of level 0 needs of every level, finest first."""
    windows = [list(window)]
    for level in range(1, spec.levels):
        # Outputs 2i and 2i + 1 of a stage need its inputs i - 2 .. i + 1 and i - 1 .. i + 2.
        halved = [
            (max(0, (start + 1) // 2 - 2), min(size, stop // 2 + 2))
            for (start, stop), size in zip(windows[-1], spec.grid(level), strict=True)
        ]
        windows.append([*window[: spec.kept], *halved[spec.kept :]])
    return windows


def spec_and_latents(field: Field) -> tuple[PyramidSpec, Latents]:
    """What makes a field a pyramid; raises TypeError where it is none."""
    if not isinstance(field.spec, PyramidSpec):
        raise TypeError(f"a {field.spec.kind} is no pyramid")
    if field.latents is None:
        raise TypeError("a pyramid without latents")
    return field.spec, field.latents


def _spec(field: Field) -> PyramidSpec:
    return spec_and_latents(field)[0]


def grown(spec: PyramidSpec, window: Window, margin: int) -> list[tuple[int, int]]:
    """A window with so much of the lattice around it; along kept axes, nothing."""
    around = [
        (max(0, start - margin), min(size, stop + margin))
        for (start, stop), size in zip(window, spec.lattice, strict=True)
    ]
    return [*window[: spec.kept], *around[spec.kept :]]


# Upsampling


def _features(field: Field, window: Window) -> Floats:
    """Every level's latents on the lattice: `[levels, *window]`."""
    spec, latents = spec_and_latents(field)
    windows = latent_windows(spec, window)
    planes = np.empty((0,), np.float32)
    for level in reversed(range(spec.levels)):
        bounds = windows[level]
        finer = np.empty([spec.levels - level, *(b - a for a, b in bounds)], np.float32)
        finer[0] = latents.read(level, bounds)
        if level + 1 < spec.levels:
            taps, source = field.parameters["upsampling"][level], windows[level + 1]
            step = max(1, CHUNK // 4 // finer[0].size)
            for first in range(0, len(planes), step):
                part = planes[first : first + step]
                for axis in range(spec.kept, spec.inputs):
                    part = _doubled(part, axis + 1, taps, source[axis], bounds[axis])
                finer[first + 1 : first + step + 1] = part
        planes = finer
    return planes


def _doubled(
    values: Floats, axis: int, taps: Floats, source: tuple[int, int], target: tuple[int, int]
) -> Floats:
    """Values at `target` of the finer grid along one axis, from those at `source`."""
    first, last = target[0] >> 1, (target[1] - 1) >> 1
    count = last - first + 1
    # Where the source ends before the filter does, there is the edge of the grid, which repeats, or
    # an output beside the target.
    near = np.clip(np.arange(first - 2, last + 3), source[0], source[1] - 1) - source[0]
    values = np.take(values, near, axis)
    terms = [values * tap for tap in taps]
    shape = list(values.shape)
    shape[axis] = 2 * count
    out = np.empty(shape, np.float32)

    def shifted(tap: int, by: int) -> Floats:
        part: Floats = terms[tap][(*[slice(None)] * axis, slice(by, by + count))]
        return part

    for parity, order in enumerate(((0, 1, 2, 3), (3, 2, 1, 0))):
        total = shifted(order[0], parity) + shifted(order[1], parity + 1)
        total += shifted(order[2], parity + 2)
        total += shifted(order[3], parity + 3)
        out[(*[slice(None)] * axis, slice(parity, None, 2))] = total
    start = target[0] - 2 * first
    kept: Floats = out[(*[slice(None)] * axis, slice(start, start + target[1] - target[0]))]
    return kept


# Networks


def _network(field: Field, features: Floats) -> Floats:
    """The pointwise network at `features` `[levels, *window]`: `[outputs, *window]`."""
    spec, weights = _spec(field), field.parameters
    depth = len(spec.synthesis)
    widest = max(spec.outputs, *spec.synthesis, 1)
    flat = features.reshape(spec.levels, -1)
    out = np.empty((spec.outputs, flat.shape[1]), np.float32)
    step = max(1, CHUNK // 2 // widest)
    product = np.empty((widest, min(step, flat.shape[1])), np.float32)
    for start in range(0, flat.shape[1], step):
        inputs = hidden = flat[:, start : start + step]
        for layer in range(depth + 1):
            matrix, bias = weights[f"synthesis_weight{layer}"], weights[f"synthesis_bias{layer}"]
            total = np.empty((len(bias), hidden.shape[1]), np.float32)
            total[:] = bias[:, None]
            _add_products(total, matrix, hidden, product)
            hidden = np.fmax(total, ZERO, out=total) if layer < depth else total
        _add_products(hidden, weights["synthesis_skip"], inputs, product)
        np.add(hidden, np.float32(OUTPUT_CENTRE), out=out[:, start : start + step])
    return out.reshape(spec.outputs, *features.shape[1:])


def _add_products(total: Floats, matrix: Floats, inputs: Floats, product: Floats) -> None:
    """Add a matrix times vectors, one column after the other."""
    room = product[: len(total), : total.shape[1]]
    for column, values in zip(matrix.T, inputs, strict=True):
        np.multiply(column[:, None], values, out=room)
        total += room


def _residual(field: Field, index: int, values: Floats, source: Window, target: Window) -> Floats:
    """Values at `target` after one more residual convolution, from those at `source`."""
    spec = _spec(field)
    kernel = field.parameters[f"residual_weight{index}"].reshape(spec.outputs, spec.outputs, -1)
    bias = field.parameters[f"residual_bias{index}"]
    last = index == spec.residuals - 1
    # A source that ends where the target does ends at the edge of the lattice, which repeats.
    width = [
        (int(low == start), int(high == stop)) if axis >= spec.kept else (0, 0)
        for axis, ((start, stop), (low, high)) in enumerate(zip(source, target, strict=True))
    ]
    padded = np.pad(values, [(0, 0), *width], mode="edge") if np.any(width) else values
    out = values[(slice(None), *inside(target, source))].copy()
    near = [range(3 if axis >= spec.kept else 1) for axis in range(spec.inputs)]
    offsets = list(enumerate(itertools.product(*near)))
    step = max(1, CHUNK // 4 * out.shape[1] // out.size)
    for start in range(0, out.shape[1], step):
        part = out[:, start : start + step]
        change = np.empty_like(part)
        change[:] = bias.reshape(-1, *[1] * spec.inputs)
        product = np.empty_like(part)
        for channel, (number, offset) in itertools.product(range(spec.outputs), offsets):
            rows = slice(start + offset[0], start + offset[0] + part.shape[1])
            moved: list[int | slice] = [channel, rows]
            for first, size in zip(offset[1:], part.shape[2:], strict=True):
                moved.append(slice(first, first + size))
            column = kernel[:, channel, number].reshape(-1, *[1] * spec.inputs)
            np.multiply(column, padded[tuple(moved)], out=product)
            change += product
        part += change if last else np.fmax(change, ZERO, out=change)
    return out
