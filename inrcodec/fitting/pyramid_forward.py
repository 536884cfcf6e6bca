"""Joins a PyramidSpec and latents: values and bits, in torch operations that have gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inrcodec.errors import UsageError
from inrcodec.fields.pyramid import PyramidSpec, causal_offsets, coarser_offsets

Tensors = dict[str, Tensor]

OUTPUT_CENTRE, CONTEXT_LIMIT = 0.5, 255.0
LEAST_SCALE, MOST_SCALE = -5.0, 7.0
MOST_BITS = 24.0
"""What an escape costs, about: no latent counts more, though its gradient goes on."""
CHUNK = 2**14
"""Positions of a matrix product: what is between two of them stays in the cache."""


def values_and_bits(
    spec: PyramidSpec, flat: Tensor, latents: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Values `[outputs, *lattice]`, not clamped, and the bits of each latent by level.

    `flat` holds the parameters in the order of `spec.tensors()`; `latents` are rounded, softly or
    hard. Raises UsageError where a size does not fit.
    """
    shapes = spec.tensors()
    if flat.shape != (spec.parameter_count,):
        raise UsageError(f"parameters: {spec.parameter_count} are needed, not {len(flat)}")
    if [tuple(latent.shape) for latent in latents] != [spec.grid(n) for n in range(spec.levels)]:
        raise UsageError("latents: one array per level is needed, of the shape of its grid")
    parts = flat.split([shape.size for shape in shapes])
    tensors = {s.name: part.view(s.shape) for s, part in zip(shapes, parts, strict=True)}

    bits = []
    for level, latent in enumerate(latents):
        inputs = _contexts(latents, level, spec.kept)
        mean, scale = network(tensors, "context", inputs).view(2, *latent.shape)
        bits.append(code_length(latent, mean, scale))
    features = [_upsampled(spec, tensors, latent, level) for level, latent in enumerate(latents)]
    values = network(tensors, "synthesis", torch.stack(features).flatten(1)) + OUTPUT_CENTRE
    values = values.view(spec.outputs, *spec.lattice)
    for index in range(spec.residuals):
        change = _convolved(tensors, index, values, spec.kept)
        values = values + (change.relu() if index + 1 < spec.residuals else change)
    return values, bits


def soft_round(x: Tensor, temperature: float) -> Tensor:
    """Steps around the integers, the softer the higher the temperature.

    Soft-rounding of "Universally Quantized Neural Compression" (Agustsson et al. 2020).
    """
    base = torch.floor(x.detach()) + 0.5
    return base + 0.5 / math.tanh(0.5 / temperature) * torch.tanh((x - base) / temperature)


def _chunked(function: Callable[[Tensor], Tensor], columns: Tensor) -> Tensor:
    return torch.cat([function(chunk) for chunk in columns.split(CHUNK, 1)], 1)


def network(tensors: Tensors, name: str, inputs: Tensor) -> Tensor:
    """Outputs `[outputs, positions]` of hidden ReLU layers and a linear skip."""
    depth = sum(key.startswith(f"{name}_weight") for key in tensors)

    def evaluate(columns: Tensor) -> Tensor:
        hidden = columns
        for layer in range(depth):
            bias = tensors[f"{name}_bias{layer}"][:, None]
            hidden = torch.addmm(bias, tensors[f"{name}_weight{layer}"], hidden)
            hidden = hidden.relu() if layer + 1 < depth else hidden
        return torch.addmm(hidden, tensors[f"{name}_skip"], columns)

    return _chunked(evaluate, inputs)


def _picked(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """`x` at these indices of its last axes; those outside are zero."""
    for axis, index in zip(range(-len(places), 0), places, strict=True):
        size = x.shape[axis]
        inside = ((index >= 0) & (index < size)).to(x.dtype)
        x = x.index_select(axis, index.clamp(0, size - 1))
        x = x * inside.view(-1, *[1] * (-axis - 1)) if not inside.all() else x
    return x


def _contexts(latents: Sequence[Tensor], level: int, kept: int) -> Tensor:
    """The context network's inputs `[contexts, positions]` of every latent of a level."""
    axes = latents[level].dim()
    limited = [latent.clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT) for latent in latents[level : level + 4]]
    places = [torch.arange(size) for size in latents[level].shape]
    contexts = []
    for up, offset in (*((0, own) for own in causal_offsets(axes)), *coarser_offsets(axes)):
        if level + up >= len(latents):
            contexts.append(torch.zeros_like(latents[level]))
            continue
        there = []
        for axis, (place, step) in enumerate(zip(places, offset, strict=True)):
            if axis < kept or up != 1:
                there.append((place if axis < kept else place >> up) + step)
            else:
                there.append((place >> up) + torch.where(place % 2 == 1, step, -step))
        contexts.append(_picked(limited[up], there))
    return torch.stack(contexts).flatten(1)


def code_length(value: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of integers under a Laplace distribution; nothing overflows at a scale of 2^-5."""
    inverse = torch.exp2(-log_scale.clamp(LEAST_SCALE, MOST_SCALE))
    distance = (value - mean).abs()
    inner = distance.clamp(max=0.5)
    between = -0.5 * (torch.expm1((inner - 0.5) * inverse) + torch.expm1((-inner - 0.5) * inverse))
    far = (distance - 0.5) * inverse / math.log(2) - torch.log2(-0.5 * torch.expm1(-inverse))
    bits = torch.where(distance < 0.5, -torch.log2(between), far)
    return bits + (bits.clamp(max=MOST_BITS) - bits).detach()


def _upsampled(spec: PyramidSpec, tensors: Tensors, x: Tensor, level: int) -> Tensor:
    """A level's values on the whole lattice."""
    for stage in reversed(range(level)):
        filters = torch.stack([tensors["upsampling"][stage], tensors["upsampling"][stage].flip(0)])
        for axis, size in list(enumerate(spec.grid(stage)))[spec.kept :]:
            rows = x.movedim(axis, -1)
            near = torch.arange(-2, rows.shape[-1] + 2).clamp(0, rows.shape[-1] - 1)
            padded = rows.index_select(-1, near)
            pairs = [
                sum(taps[tap] * padded.narrow(-1, odd + tap, rows.shape[-1]) for tap in range(4))
                for odd, taps in enumerate(filters)
            ]
            x = torch.stack(pairs, -1).flatten(-2)[..., :size].movedim(-1, axis)
    return x


def _convolved(tensors: Tensors, index: int, values: Tensor, kept: int) -> Tensor:
    """Residual convolution `index`; samples at the edges are repeated outside."""
    sizes = values.shape[1:]
    shifts = []
    reach = [(0,)] * kept + [(-1, 0, 1)] * (len(sizes) - kept)
    for offset in itertools.product(*reach):
        moved = [
            (torch.arange(size) + step).clamp(0, size - 1)
            for size, step in zip(sizes, offset, strict=True)
        ]
        shifts.append(_picked(values, moved))
    weight = tensors[f"residual_weight{index}"].flatten(1)
    bias = tensors[f"residual_bias{index}"][:, None]
    columns = torch.stack(shifts, 1).flatten(0, 1).flatten(1)
    return _chunked(lambda chunk: torch.addmm(bias, weight, chunk), columns).view_as(values)
