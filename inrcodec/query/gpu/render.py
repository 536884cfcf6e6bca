"""Joins the layers of many views with samples on a GPU: layers of one shape become one launch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from inrcodec.bitstream.wire import Limits
from inrcodec.errors import LimitError
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.gpu import pyramids, sirens
from inrcodec.query.gpu.device import Device, in_parts
from inrcodec.query.gpu.sirens import DTYPES, Output, converted
from inrcodec.query.kernels.native import REACH, largest_argument
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window, fine_window, lattice_coordinates
from inrcodec.query.masked import blank
from inrcodec.query.pyramids import resampling
from inrcodec.query.render import Samples, render
from inrcodec.query.view import Layer

FAST_REACH = 256.0
"""Largest argument up to which sines of the special function unit are exact to 1e-5."""

MAX_INDEX = 2**31 - 2**16
"""Positions of one field, which kernels count in 32 bits, a block of them at a time."""

MAX_FIELDS = 1024
"""Fields of one launch: the grid of programs has 65,535 at most along this axis."""

NAMES = [str(dtype).partition(".")[2] for dtype in DTYPES]

Group = tuple[object, ...]


@dataclass(frozen=True)
class Request:
    """A window of a layer, in a type; made ready by the CPU.

    `group` says which others it can share a launch with, of those that kernels render; others have
    their samples already.
    """

    layer: Layer
    size: tuple[int, ...]
    window: tuple[tuple[int, int], ...]
    group: Group | None
    parameters: Floats | None = None
    arrays: tuple[np.ndarray, ...] = ()
    samples: Samples | None = None


def prepared(
    layer: Layer, size: Sequence[int], window: Window, device: Device, limits: Limits
) -> Request:
    """What a window of the lattice of `size` needs: integers are decoded here."""
    bounds = tuple((int(start), int(stop)) for start, stop in window)
    asked = Request(layer, tuple(size), bounds, None)
    fine, inner = fine_window(layer.info, size, window)
    group = _group(layer, fine, inner) if device.kernels else None
    if group is None:
        samples = render(layer.field, layer.info, size, window, limits, layer.residual)
        if layer.mask is not None:
            blank(samples, layer.mask, size, window)
        return replace(asked, samples=samples)
    positions = math.prod(stop - start for start, stop in inner)
    if positions > MAX_INDEX:
        raise LimitError("positions of one field on a GPU", positions, MAX_INDEX)
    group = (*group, tuple(inner), tuple(size), layer.info.dtype)
    return replace(
        asked, group=group, parameters=flat(layer.field), arrays=_arrays(layer, fine, inner)
    )


def samples_of(requests: Sequence[Request], device: Device, planar: bool) -> list[Tensor]:
    """Samples `[*window, channels]`, or `[channels, *window]`, of every request, on the device."""
    found: dict[int, Tensor] = {}
    groups = defaultdict(list)
    for index, one in enumerate(requests):
        if one.group is not None:
            groups[one.group].append(index)
        elif one.samples is not None:
            own = torch.from_numpy(one.samples).to(device.torch)
            found[index] = own.movedim(-1, 0).contiguous() if planar else own
    for indices in groups.values():
        for start in range(0, len(indices), MAX_FIELDS):
            some = indices[start : start + MAX_FIELDS]
            members = [requests[index] for index in some]
            work = partial(_launched, device.torch, planar)
            found.update(zip(some, in_parts(members, work), strict=True))
    return [found[index] for index in range(len(requests))]


def route(field: Field, farthest: float) -> bool | None:
    """Whether the fast kernel asks a siren, or the float32 one; None where the CPU has to.

    The fast one is for networks that are too wide for the other: it is up to three 8-bit codes off.
    """
    if not isinstance(field.spec, SirenSpec) or not field.spec.plain:
        return None
    largest = largest_argument(field, farthest)
    # NaN is beyond every reach: numbers that are none are the CPU's.
    if largest <= REACH and sirens.fits(field.spec, False):
        return False
    return True if largest <= FAST_REACH and sirens.fits(field.spec, True) else None


def scales(layers: Sequence[Layer], dtype: torch.dtype, device: torch.device) -> Tensor:
    """What brings values into the unit of the samples: times, and plus, `[layers, 2]`."""
    half = 0.5 if dtype in sirens.INTEGERS else 0.0
    ranges = [layer.info.value_range for layer in layers]
    return torch.tensor([(high - low, low + half) for low, high in ranges], device=device)


def sent(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Arrays of one shape on the device, stacked; the copy need not be waited for."""
    stacked = torch.from_numpy(np.stack(arrays))
    if device.type == "cuda":
        stacked = stacked.pin_memory()
    return stacked.to(device, non_blocking=True)


def _group(layer: Layer, fine: Sequence[int], inner: Window) -> Group | None:
    """What the layer has in common with others of a launch; None where no kernel renders it."""
    spec = layer.field.spec
    if layer.residual is not None or layer.mask is not None:
        return None
    if min(stop - start for start, stop in inner) < 1 or layer.info.dtype not in NAMES:
        return None
    if isinstance(spec, PyramidSpec):
        return (spec,) if pyramids.fits(spec) else None
    fast = route(layer.field, 1.0)
    return None if fast is None else (spec, fast)


def flat(field: Field) -> Floats:
    flat = [field.parameters[tensor.name].ravel() for tensor in field.spec.tensors()]
    return np.concatenate(flat, dtype=np.float32)


def _arrays(layer: Layer, fine: Sequence[int], inner: Window) -> tuple[np.ndarray, ...]:
    """Of a pyramid, its latents; of a siren, coordinates along all axes."""
    spec, latents = layer.field.spec, layer.field.latents
    if isinstance(spec, PyramidSpec):
        assert latents is not None
        needed = pyramids.latents_needed(spec, resampling(spec, fine, inner)[1])
        return tuple(latents.read(level, window) for level, window in enumerate(needed))
    along = [
        lattice_coordinates(layer.info, fine, axis, np.arange(start, stop)).astype(np.float32)
        for axis, (start, stop) in enumerate(inner)
    ]
    return (np.concatenate(along),)


def _launched(device: torch.device, planar: bool, members: Sequence[Request]) -> list[Tensor]:
    """Samples of requests of one group, stacked."""
    one = members[0]
    fine, inner = fine_window(one.layer.info, one.size, one.window)
    factors = [whole // cells for whole, cells in zip(fine, one.size, strict=True)]
    dtype: torch.dtype = getattr(torch, one.layer.info.dtype)
    final = Output(scales([each.layer for each in members], dtype, device), dtype, planar)
    if math.prod(factors) == 1:
        return list(_values(members, fine, inner, final, device))
    plain = Output(torch.tensor([[1.0, 0.0]] * len(members), device=device), torch.float32)
    values = _values(members, fine, inner, plain, device)
    cells = [
        part
        for (start, stop), k in zip(inner, factors, strict=True)
        for part in ((stop - start) // k, k)
    ]
    parts = values.reshape(len(members), *cells, values.shape[-1])
    mean = parts.mean(dim=list(range(2, 2 * len(factors) + 1, 2)), dtype=torch.float64)
    shape = [len(members), *[1] * len(factors), 2]
    found = converted(mean.to(torch.float32), replace(final, scales=final.scales.reshape(shape)))
    return list(found.movedim(-1, 1).contiguous() if planar else found)


def _values(
    members: Sequence[Request],
    fine: Sequence[int],
    inner: Window,
    output: Output,
    device: torch.device,
) -> Tensor:
    spec = members[0].layer.field.spec
    parameters = sent([one.parameters for one in members if one.parameters is not None], device)
    arrays = [sent(each, device) for each in zip(*(one.arrays for one in members), strict=True)]
    if isinstance(spec, PyramidSpec):
        if tuple(fine) == spec.lattice:
            return pyramids.render(spec, parameters, arrays, inner, output)
        return pyramids.resampled(spec, parameters, arrays, fine, inner, output)
    assert members[0].group is not None
    assert isinstance(spec, SirenSpec)
    lengths = [stop - start for start, stop in inner]
    fast = bool(members[0].group[1])
    return sirens.on_lattice(spec, parameters, arrays[0], lengths, output, fast)
