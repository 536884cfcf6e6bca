"""Joins stacks of `pyramid` parameters and latents with the kernels that render them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.query.gpu.sirens import INTEGERS, Output, converted
from inrcodec.query.interpolation import TAPS, tap_weights
from inrcodec.query.kernels.pyramid import grown, latent_windows
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window
from inrcodec.query.pyramids import resampling

BLOCKS = {"doubled": 1024, "pointwise": 1024, "residual": 512}
"""Positions per program; as many registers as there are hold more of no kernel."""

MAX_CHANNELS, MAX_TAPS = 8, 243
"""Up to which sums of a convolution stay in registers, and it is compiled in seconds."""

OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}
"""Products are rounded before they are added, as on the CPU."""


def fits(spec: PyramidSpec) -> bool:
    """Whether the kernels take this architecture."""
    taps = spec.outputs * 3**spec.halved if spec.residuals else 0
    simple = len(spec.synthesis) <= 1 and not spec.mixed
    return simple and spec.outputs <= MAX_CHANNELS and taps <= MAX_TAPS


def render(
    spec: PyramidSpec, parameters: Tensor, latents: Sequence[Tensor], window: Window, output: Output
) -> Tensor:
    """Values `[fields, *window, outputs]`, or planar, at lattice positions.

    `parameters` is `[fields, count]` in the order of the file; `latents` holds `[fields, *grid]` of
    every level, finest first, in the windows that `latents_needed` says.
    """
    parts, start = {}, 0
    for tensor in spec.tensors():
        parts[tensor.name] = parameters[:, start : start + tensor.size]
        start += tensor.size
    reach = grown(spec, window, spec.residuals)
    values = _features(spec, parts, latents, reach)
    names = [f"synthesis_{kind}{layer}" for layer in range(len(spec.synthesis) + 1)
             for kind in ("weight", "bias")]  # fmt: skip
    weights = torch.cat([parts[name] for name in [*names, "synthesis_skip"]], dim=1)
    final = spec.residuals == 0
    out = _room(spec, values, reach, output, final)
    _launch(
        "pointwise", out, values, weights, output.scales, _positions(reach), weights.shape[1],
        *_strides(spec, reach, output, final),
        LEVELS=spec.levels, HIDDEN=sum(spec.synthesis), CHANNELS=spec.outputs, FINAL=final,
        ROUND=output.dtype in INTEGERS,
    )  # fmt: skip
    for index in range(spec.residuals):
        values, final = out, index == spec.residuals - 1
        inner = grown(spec, window, spec.residuals - 1 - index)
        out = _room(spec, values, inner, output, final)
        own = torch.cat([parts[f"residual_{kind}{index}"] for kind in ("weight", "bias")], dim=1)
        _launch(
            "residual", out, values, own, output.scales, own.shape[1],
            *_strides(spec, inner, output, final),
            *_four(reach, lambda source: source[1] - source[0], 1),
            *_four(inner, lambda target: target[1] - target[0], 1),
            *_four(
                list(zip(reach, inner, strict=True)), lambda pair: pair[1][0] - pair[0][0], 0
            ),
            **dict(zip(("R0", "R1", "R2", "R3"), taps(spec), strict=True)),
            CHANNELS=spec.outputs, FINAL=final, ROUND=output.dtype in INTEGERS, LAST=final,
        )  # fmt: skip
        reach = inner
    return out


def resampled(
    spec: PyramidSpec, parameters: Tensor, latents: Sequence[Tensor], size: Sequence[int],
    window: Window, output: Output,
) -> Tensor:  # fmt: skip
    """As `render`, for a window of the lattice of `size`; latents are those of what it needs.

    Torch rounds each operation by itself, as numpy does: the values are those of the CPU.
    """
    along, near = resampling(spec, size, window)
    unit = output.scales.new_tensor([[1.0, 0.0]]).expand(len(parameters), 2).contiguous()
    values = render(spec, parameters, latents, near, Output(unit, torch.float32, planar=True))
    for axis, (found, (first, _), whole) in enumerate(zip(along, near, spec.lattice, strict=True)):
        if found is not None:
            below, fraction = found
            places = [np.clip(below + tap, 0, whole - 1) - first for tap in (0, *TAPS)]
            values = _interpolated(values, axis + 2, places, tap_weights(fraction))
    scales = output.scales.reshape(len(parameters), *[1] * spec.inputs, 2)
    values = converted(values, replace(output, scales=scales))
    return values if output.planar else values.movedim(1, -1).contiguous()


def _interpolated(
    values: Tensor, axis: int, places: Sequence[NDArray[np.int64]], weights: Floats
) -> Tensor:
    """As `interpolation.interpolate`, with the places of the centre and of each tap."""
    centre, *others = (torch.from_numpy(place).to(values.device) for place in places)
    middle = values.index_select(axis, centre)
    total = middle.clone()
    shape = [1] * values.ndim
    shape[axis] = -1
    for place, weight in zip(others, torch.from_numpy(weights).to(values.device), strict=True):
        total += (values.index_select(axis, place) - middle) * weight.reshape(shape)
    return total


def latents_needed(spec: PyramidSpec, window: Window) -> list[list[tuple[int, int]]]:
    """The window of every level that `render` takes, finest first."""
    return latent_windows(spec, grown(spec, window, spec.residuals))


def taps(spec: PyramidSpec) -> list[int]:
    """Samples of a residual convolution along each of four axes."""
    return [1] * (4 - spec.halved) + [3] * spec.halved


def _features(
    spec: PyramidSpec, parts: dict[str, Tensor], latents: Sequence[Tensor], window: Window
) -> Tensor:
    """Every level's latents on the lattice: `[fields, levels, *window]`."""
    windows = latent_windows(spec, window)
    planes: Tensor | None = None
    for level in reversed(range(spec.levels)):
        bounds = windows[level]
        shape = [stop - start for start, stop in bounds]
        finer = torch.empty(
            [len(latents[level]), spec.levels - level, *shape],
            dtype=torch.float32,
            device=latents[level].device,
        )
        finer[:, 0] = latents[level]
        if planes is not None:
            filters = parts["upsampling"][:, 4 * level : 4 * level + 4].contiguous()
            source = list(windows[level + 1])
            for axis in range(spec.kept, spec.inputs):
                last = axis == spec.inputs - 1
                planes = _doubled(planes, filters, axis, source, bounds[axis],
                                  finer[:, 1:] if last else None)  # fmt: skip
                source[axis] = bounds[axis]
        planes = finer
    assert planes is not None
    return planes


def _doubled(
    planes: Tensor, filters: Tensor, axis: int, source: Window, target: tuple[int, int],
    into: Tensor | None,
) -> Tensor:  # fmt: skip
    """Planes `[fields, planes, *grid]` at `target` of the finer grid along one axis."""
    fields, count, *grid = planes.shape
    size = target[1] - target[0]
    shape = [fields, count, *grid[:axis], size, *grid[axis + 1 :]]
    if into is None:
        into = torch.empty(shape, dtype=torch.float32, device=planes.device)
    outer, inner = math.prod(grid[:axis]), math.prod(grid[axis + 1 :])
    _launch(
        "doubled", into, planes, filters, outer, grid[axis], size, inner,
        target[0], source[axis][0], into.stride(0), planes.stride(0), planes=count,
    )  # fmt: skip
    return into


def _room(spec: PyramidSpec, like: Tensor, window: Window, output: Output, final: bool) -> Tensor:
    sizes = [stop - start for start, stop in window]
    planar = output.planar or not final
    shape = [spec.outputs, *sizes] if planar else [*sizes, spec.outputs]
    kind = output.dtype if final else torch.float32
    return torch.empty([len(like), *shape], dtype=kind, device=like.device)


def _strides(spec: PyramidSpec, window: Window, output: Output, final: bool) -> tuple[int, int]:
    """Numbers from one position to the next, and from one channel to the next."""
    return (1, _positions(window)) if output.planar or not final else (spec.outputs, 1)


def _positions(window: Window) -> int:
    return math.prod(stop - start for start, stop in window)


def _four(axes: Sequence[Any], number: Any, missing: int) -> list[int]:
    """A number for each of four axes, the last ones being those that there are."""
    return [missing] * (4 - len(axes)) + [int(number(axis)) for axis in axes]


def _launch(name: str, out: Tensor, *arguments: Any, planes: int = 1, **constants: Any) -> None:
    """One launch; of `planes` or, where there is one, of all channels of a position together."""
    from inrcodec.query.kernels import triton_pyramid

    if not out.numel():
        return
    elements = out[0].numel() // (constants.get("CHANNELS", 1) * planes)
    block = BLOCKS[name]
    with torch.cuda.device_of(out):
        getattr(triton_pyramid, name)[(-(-elements // block), len(out), planes)](
            out, *arguments, **constants, BLOCK=block, **OPTIONS
        )
