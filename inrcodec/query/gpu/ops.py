"""Joins the kernels with torch: operators that `torch.compile` and `torch.export` see whole.

`torch.ops.inrcodec.siren_points`, `.siren_lattice` and `.pyramid_lattice`: on CUDA the Triton
kernels, on the CPU the package's others. Parameters are float32, in the order of the file; there
are no gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.fields.field import Field, FieldSpec
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.gpu import pyramids, sirens
from inrcodec.query.gpu.sirens import Output, converted
from inrcodec.query.kernels import native, reference
from inrcodec.query.kernels.native_pyramid import synthesise
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, inside


@torch.library.custom_op("inrcodec::siren_points", mutates_args=(), device_types="cuda")
def siren_points(
    parameters: Tensor, coordinates: Tensor, scales: Tensor, depth: int, width: int, outputs: int,
    omega_0: float, dtype: torch.dtype, planar: bool = False, fast: bool = True,
) -> Tensor:  # fmt: skip
    """Values of every field at its own points, as `sirens.at_points`."""
    spec = SirenSpec(coordinates.shape[-1], outputs, depth, width, omega_0)
    return sirens.at_points(spec, parameters, coordinates, Output(scales, dtype, planar), fast)


@siren_points.register_kernel("cpu")
def _siren_points_cpu(
    parameters: Tensor, coordinates: Tensor, scales: Tensor, depth: int, width: int, outputs: int,
    omega_0: float, dtype: torch.dtype, planar: bool = False, fast: bool = True,
) -> Tensor:  # fmt: skip
    spec = SirenSpec(coordinates.shape[-1], outputs, depth, width, omega_0)
    values = [
        torch.from_numpy(_values(one, where.numpy()))
        for one, where in zip(fields(spec, parameters), coordinates, strict=True)
    ]
    found = torch.stack(values) if values else scales.new_empty(*coordinates.shape[:2], outputs)
    return _written(found, scales, dtype, planar)


@siren_points.register_fake
def _siren_points_fake(
    parameters: Tensor, coordinates: Tensor, scales: Tensor, depth: int, width: int, outputs: int,
    omega_0: float, dtype: torch.dtype, planar: bool = False, fast: bool = True,
) -> Tensor:  # fmt: skip
    count, points = coordinates.shape[:2]
    shape = (count, outputs, points) if planar else (count, points, outputs)
    return parameters.new_empty(shape, dtype=dtype)


@torch.library.custom_op("inrcodec::siren_lattice", mutates_args=(), device_types="cuda")
def siren_lattice(
    parameters: Tensor, tables: Tensor, scales: Tensor, size: Sequence[int], depth: int,
    width: int, outputs: int, omega_0: float, dtype: torch.dtype, planar: bool = False,
    fast: bool = True,
) -> Tensor:  # fmt: skip
    """Values of every field on a lattice, as `sirens.on_lattice`."""
    spec = SirenSpec(len(size), outputs, depth, width, omega_0)
    return sirens.on_lattice(spec, parameters, tables, size, Output(scales, dtype, planar), fast)


@siren_lattice.register_kernel("cpu")
def _siren_lattice_cpu(
    parameters: Tensor, tables: Tensor, scales: Tensor, size: Sequence[int], depth: int,
    width: int, outputs: int, omega_0: float, dtype: torch.dtype, planar: bool = False,
    fast: bool = True,
) -> Tensor:  # fmt: skip
    spec = SirenSpec(len(size), outputs, depth, width, omega_0)
    out = torch.empty(len(parameters), math.prod(size), outputs)
    for values, one, table in zip(out, fields(spec, parameters), tables, strict=True):
        grid = torch.meshgrid(*table.split(list(size)), indexing="ij")
        where = torch.stack(grid, dim=-1).reshape(-1, len(size))
        values[:] = torch.from_numpy(_values(one, where.numpy()))
    shape = [outputs, *size] if planar else [*size, outputs]
    return _written(out, scales, dtype, planar).reshape(len(parameters), *shape)


@siren_lattice.register_fake
def _siren_lattice_fake(
    parameters: Tensor, tables: Tensor, scales: Tensor, size: Sequence[int], depth: int,
    width: int, outputs: int, omega_0: float, dtype: torch.dtype, planar: bool = False,
    fast: bool = True,
) -> Tensor:  # fmt: skip
    shape = [outputs, *size] if planar else [*size, outputs]
    return parameters.new_empty([parameters.shape[0], *shape], dtype=dtype)


def fields(spec: FieldSpec, parameters: Tensor) -> list[Field]:
    """Fields whose parameters are the rows of `parameters` `[fields, count]`."""
    sizes = [tensor.size for tensor in spec.tensors()]
    return [
        Field(
            spec,
            {
                tensor.name: part.reshape(tensor.shape)
                for tensor, part in zip(
                    spec.tensors(), np.split(row, np.cumsum(sizes)[:-1]), strict=True
                )
            },
        )
        for row in parameters.numpy()
    ]


def _values(field: Field, coordinates: Floats) -> Floats:
    if net := native.network_for(field, coordinates):
        return native.at_points(net, coordinates)
    with np.errstate(over="ignore", invalid="ignore"):
        return reference.evaluate_chunks(field, coordinates)


def _written(values: Tensor, scales: Tensor, dtype: torch.dtype, planar: bool) -> Tensor:
    """Values `[fields, points, outputs]`, as the kernel writes them."""
    found = converted(values, Output(scales[:, None], dtype))
    return (found.mT if planar else found).contiguous()


@torch.library.custom_op("inrcodec::pyramid_lattice", mutates_args=(), device_types="cuda")
def pyramid_lattice(
    parameters: Tensor, latents: Sequence[Tensor], scales: Tensor, lattice: Sequence[int],
    outputs: int, contexts: Sequence[int], synthesis: Sequence[int], residuals: int,
    window: Sequence[int], dtype: torch.dtype, planar: bool = False, kept: int = 0,
) -> Tensor:  # fmt: skip
    """Values of every pyramid in a window, as `pyramids.render`; the window is start and stop of
    each axis, one after the other.
    """
    spec = _pyramid(lattice, outputs, latents, contexts, synthesis, residuals, kept)
    output = Output(scales, dtype, planar)
    return pyramids.render(spec, parameters, latents, _pairs(window), output)


@pyramid_lattice.register_kernel("cpu")
def _pyramid_lattice_cpu(
    parameters: Tensor, latents: Sequence[Tensor], scales: Tensor, lattice: Sequence[int],
    outputs: int, contexts: Sequence[int], synthesis: Sequence[int], residuals: int,
    window: Sequence[int], dtype: torch.dtype, planar: bool = False, kept: int = 0,
) -> Tensor:  # fmt: skip
    spec = _pyramid(lattice, outputs, latents, contexts, synthesis, residuals, kept)
    bounds = _pairs(window)
    sizes = [stop - start for start, stop in bounds]
    values = torch.empty(len(parameters), outputs, *sizes)
    needed = pyramids.latents_needed(spec, bounds)
    for index, one in enumerate(fields(spec, parameters)):
        own = Windows(tuple(level[index].numpy() for level in latents), needed)
        values[index] = torch.from_numpy(synthesise(Field(spec, one.parameters, own), bounds))
    flat = values.reshape(len(parameters), outputs, math.prod(sizes)).mT
    shape = [outputs, *sizes] if planar else [*sizes, outputs]
    return _written(flat, scales, dtype, planar).reshape(len(parameters), *shape)


@pyramid_lattice.register_fake
def _pyramid_lattice_fake(
    parameters: Tensor, latents: Sequence[Tensor], scales: Tensor, lattice: Sequence[int],
    outputs: int, contexts: Sequence[int], synthesis: Sequence[int], residuals: int,
    window: Sequence[int], dtype: torch.dtype, planar: bool = False, kept: int = 0,
) -> Tensor:  # fmt: skip
    sizes = [stop - start for start, stop in _pairs(window)]
    shape = [outputs, *sizes] if planar else [*sizes, outputs]
    return parameters.new_empty([parameters.shape[0], *shape], dtype=dtype)


@dataclass(frozen=True)
class Windows:
    """Latents of which windows are known."""

    planes: tuple[NDArray[np.int32], ...]
    bounds: Sequence[Window]

    def read(self, level: int, window: Window) -> NDArray[np.int32]:
        """Latents of one level in a part of what is known of it."""
        return self.planes[level][inside(window, self.bounds[level])]


def _pyramid(
    lattice: Sequence[int], outputs: int, latents: Sequence[Tensor], contexts: Sequence[int],
    synthesis: Sequence[int], residuals: int, kept: int,
) -> PyramidSpec:  # fmt: skip
    return PyramidSpec(
        tuple(lattice), outputs, len(latents), tuple(contexts), tuple(synthesis), residuals,
        kept=kept,
    )  # fmt: skip


def _pairs(window: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(window[::2], window[1::2], strict=True))
