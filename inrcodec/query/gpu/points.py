"""Joins the layers of many views with values at points, on a GPU where a kernel asks them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.errors import LimitError
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.batch import layer_values
from inrcodec.query.evaluator import evaluator
from inrcodec.query.gpu import sirens
from inrcodec.query.gpu.device import device, in_parts
from inrcodec.query.gpu.render import MAX_INDEX, flat, route, scales, sent
from inrcodec.query.gpu.sirens import Output
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.sirens import SirenEvaluator
from inrcodec.query.view import Layer, SignalView

Member = tuple[int, Layer, Floats]
"""Which of the layers, and its field coordinates."""


def values_at(
    layers: Sequence[Layer], places: Sequence[NDArray[np.float64]], name: str
) -> list[Tensor]:
    """Values `[points, channels]` of every layer at its own places, in the unit of the samples."""
    chosen = device(name)
    found: dict[int, Tensor] = {}
    groups: dict[tuple[SirenSpec, bool], list[Member]] = defaultdict(list)
    rest = []
    for index, (layer, near) in enumerate(zip(layers, places, strict=True)):
        if near.size > MAX_INDEX:
            raise LimitError("coordinates of one field on a GPU", near.size, MAX_INDEX)
        asked = evaluator(layer.field, layer.info)
        plain = layer.residual is None and layer.mask is None
        if chosen.kernels and isinstance(asked, SirenEvaluator) and plain and len(near):
            with np.errstate(over="ignore"):
                coordinates = asked.coordinates(near)
            fast = route(layer.field, float(np.abs(coordinates).max()))
            if fast is not None:
                groups[asked.spec, fast].append((index, layer, coordinates))
                continue
        rest.append(index)
    for (spec, fast), members in groups.items():
        indices = [index for index, _, _ in members]
        work = partial(_launched, spec, fast, chosen.torch)
        found.update(zip(indices, in_parts(members, work), strict=True))
    others = [layers[index] for index in rest]
    asked_too = [evaluator(layer.field, layer.info) for layer in others]
    near_too = [places[index] for index in rest]
    for index, values in zip(rest, layer_values(others, asked_too, near_too), strict=True):
        found[index] = torch.from_numpy(values).to(chosen.torch)
    return [found[index] for index in range(len(layers))]


def _launched(
    spec: SirenSpec, fast: bool, where: torch.device, members: Sequence[Member]
) -> list[Tensor]:
    layers = [layer for _, layer, _ in members]
    output = Output(scales(layers, torch.float32, where), torch.float32)
    parameters = sent([flat(layer.field) for layer in layers], where)
    coordinates = sent([own for _, _, own in members], where)
    return list(sirens.at_points(spec, parameters, coordinates, output, fast))


def joined(views: Sequence[SignalView], values: Sequence[Tensor]) -> list[Tensor]:
    """The channels of all layers of each view."""
    parts = iter(values)
    return [torch.cat([next(parts) for _ in view.layers], dim=-1) for view in views]
