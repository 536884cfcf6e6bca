"""Joins stacks of `siren` parameters with the kernel that asks them all in one launch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inrcodec.fields.siren import SirenSpec
from inrcodec.query.kernels.reference import MATHS

WIDEST = {True: 256, False: 64}
"""Widths up to which the kernel keeps all of a tile in registers: fast, and in float32."""

RESIDENT_UNITS = 384
"""Sine units of all hidden layers up to which their weights are loaded once per program."""

PROGRAMS_PER_PROCESSOR = 2

INTEGERS = (torch.uint8, torch.uint16)
DTYPES = (*INTEGERS, torch.float16, torch.float32)
"""What the kernels write."""


@dataclass(frozen=True)
class Tiling:
    """How a network is compiled: see the kernel for the names."""

    width: int
    padded: int
    block: int
    warps: int
    stages: int
    resident: bool


@dataclass(frozen=True)
class Output:
    """What becomes of values: times scale plus shift `[fields, 2]`, in a type and an order."""

    scales: Tensor
    dtype: torch.dtype
    planar: bool = False


def converted(values: Tensor, output: Output) -> Tensor:
    """Values as the kernels write them, in torch."""
    scale, shift = output.scales[..., :1], output.scales[..., 1:]
    if output.dtype not in INTEGERS:
        return (values * scale + shift).to(output.dtype)
    # NaN, as weights of a damaged file may give, becomes 0.
    near = values.nan_to_num(0).clamp(0, 1)
    return (near * scale + shift).floor().to(torch.int32).to(output.dtype)


def tiling(spec: SirenSpec, fast: bool) -> Tiling:
    """How the kernel is compiled for an architecture."""
    width = max(32, 1 << (spec.width - 1).bit_length())
    padded = max(16, 1 << (spec.outputs - 1).bit_length())
    resident = fast and width < WIDEST[True] and (spec.depth - 1) * width <= RESIDENT_UNITS
    block, warps = (128, 8) if fast else (64, 4)
    # Two matrices of the widest would not fit into shared memory.
    stages = 1 if width == WIDEST[True] else 2
    return Tiling(width, padded, block, warps, stages, resident)


def fits(spec: SirenSpec, fast: bool) -> bool:
    """Whether the kernel takes this architecture."""
    return spec.plain and spec.depth >= 1 and spec.width <= WIDEST[fast] and spec.outputs <= 16


def layers(spec: SirenSpec, parameters: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights `[fields, out, in]` and biases of every layer, as the forward pass uses them, from
    parameters `[fields, count]` in the order of the file.
    """
    named, start = {}, 0
    for tensor in spec.tensors():
        flat = parameters[:, start : start + tensor.size]
        named[tensor.name] = flat.reshape(-1, *tensor.shape)
        start += tensor.size
    found: list[tuple[Tensor, Tensor]] = []
    maths = replace(MATHS, sin=lambda _: None)
    spec.evaluate(named, None, lambda _, *layer: found.append(layer), maths)
    return found


def on_lattice(
    spec: SirenSpec, parameters: Tensor, tables: Tensor, size: Sequence[int], output: Output,
    fast: bool,
) -> Tensor:  # fmt: skip
    """Values `[fields, *size, outputs]`, or `[fields, outputs, *size]` where planar.

    `tables` `[fields, sum(size)]` holds the coordinates along every axis, one after the other.
    """
    shape = [spec.outputs, *size] if output.planar else [*size, spec.outputs]
    out = torch.empty([len(parameters), *shape], dtype=output.dtype, device=parameters.device)
    four = [*[1] * (4 - len(size)), *size]
    # Axes that there are not have one position each.
    padding = tables.new_zeros(len(tables), 4 - len(size))
    where = torch.cat([padding, tables], dim=1)
    _launch(spec, parameters, where, four, output, fast, out, lattice=True)
    return out


def at_points(
    spec: SirenSpec, parameters: Tensor, coordinates: Tensor, output: Output, fast: bool
) -> Tensor:
    """Values `[fields, points, outputs]`, or planar, at coordinates `[fields, points, axes]`."""
    points = coordinates.shape[1]
    shape = [spec.outputs, points] if output.planar else [points, spec.outputs]
    out = torch.empty([len(parameters), *shape], dtype=output.dtype, device=parameters.device)
    where = coordinates.contiguous()
    _launch(spec, parameters, where, [1, 1, 1, points], output, fast, out, lattice=False)
    return out


def _launch(
    spec: SirenSpec, parameters: Tensor, where: Tensor, size: Sequence[int], output: Output,
    fast: bool, out: Tensor, lattice: bool,
) -> None:  # fmt: skip
    from inrcodec.query.kernels.triton import sirens

    fields, positions = len(parameters), math.prod(size)
    if not fields or not positions:
        return
    how = tiling(spec, fast)
    tiles = math.prod(size[:-1]) * -(-size[-1] // how.block)
    processors = 1
    if out.is_cuda:
        processors = torch.cuda.get_device_properties(out.device).multi_processor_count
    programs = min(tiles, -(-PROGRAMS_PER_PROCESSOR * processors // fields))
    point, channel = (1, positions) if output.planar else (spec.outputs, 1)
    with torch.cuda.device_of(out):
        sirens[(programs, fields)](
            out,
            where,
            *packed(spec, parameters, how, fast),
            output.scales,
            *size,
            point,
            channel,
            **constants(spec, output.dtype, fast, lattice),
            num_warps=how.warps,
            num_stages=how.stages,
        )


def constants(spec: SirenSpec, dtype: torch.dtype, fast: bool, lattice: bool) -> dict[str, Any]:
    """What the kernel is compiled for."""
    how = tiling(spec, fast)
    return {
        "LATTICE": lattice,
        "AXES": spec.inputs,
        "DEPTH": spec.depth,
        "WIDTH": how.width,
        "CHANNELS": spec.outputs,
        "PADDED": how.padded,
        "BLOCK": how.block,
        "FAST": fast,
        "ROUND": dtype in INTEGERS,
        "RESIDENT": how.resident,
    }


def packed(
    spec: SirenSpec, parameters: Tensor, how: Tiling, fast: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What the kernel reads: weights `[in, out]`, widths filled up with zeros."""
    operand = torch.float16 if fast else torch.float32
    (weight, bias), *inner, (last, last_bias) = layers(spec, parameters)
    fields = len(parameters)
    first = parameters.new_zeros(fields, spec.inputs + 1, how.width)
    first[:, :-1, : spec.width] = weight.mT
    first[:, -1, : spec.width] = bias
    # The kernel wants a place to point at, even where there is nothing.
    count = max(1, len(inner))
    hidden = parameters.new_zeros(fields, count, how.width, how.width, dtype=operand)
    biases = parameters.new_zeros(fields, count, how.width)
    for layer, (own, own_bias) in enumerate(inner):
        hidden[:, layer, : spec.width, : spec.width] = own.mT
        biases[:, layer, : spec.width] = own_bias
    readout = parameters.new_zeros(fields, how.width, how.padded, dtype=operand)
    readout[:, : spec.width, : spec.outputs] = last.mT
    ends = parameters.new_zeros(fields, how.padded)
    ends[:, : spec.outputs] = last_bias
    return first, hidden, biases, readout, ends
