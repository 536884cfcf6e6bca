"""Joins many views with many points: fields that gain by it are evaluated together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.query.evaluator import Evaluator, at_many, evaluator
from inrcodec.query.lattice import checked_points
from inrcodec.query.masked import blank_points
from inrcodec.query.render import check_points, point_values
from inrcodec.query.view import Layer, SignalView


def query_many(
    views: Sequence[SignalView], points: NDArray[np.floating], *, device: str = "cpu"
) -> list[Any]:
    """`view.at(points)` of every view, as float32 arrays `[points, channels]`.

    `points` is `[points, axes]`, the same for all, or `[views, points, axes]`. Many small fields of
    one architecture may cost as much as one large. Each view's limits hold for its own values. On
    `device`, `cuda` or `cuda:N`, sirens of one architecture become one launch, and what is returned
    are torch tensors there; other fields are asked on the CPU. Raises DeviceError where the GPU is
    not there or its memory does not suffice for one view.
    """
    points = np.asarray(points, np.float64)
    if points.ndim == 2:
        points = np.broadcast_to(points, (len(views), *points.shape))
    if points.ndim != 3 or len(points) != len(views):
        raise UsageError(f"points: {list(points.shape)} does not fit {len(views)} views")
    layers, asked, places = [], [], []
    for view, own in zip(views, points, strict=True):
        for layer in view.layers:
            layers.append(layer)
            asked.append(evaluator(layer.field, layer.info))
            places.append(checked_points(layer.info, own))
            check_points(asked[-1], places[-1], view.limits)
    if device != "cpu":
        from inrcodec.query.gpu.points import joined, values_at

        return joined(views, values_at(layers, places, device))
    values = iter(layer_values(layers, asked, places))
    return [np.concatenate([next(values) for _ in view.layers], axis=-1) for view in views]


def layer_values(
    layers: Sequence[Layer], asked: Sequence[Evaluator], places: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float32]]:
    """Values `[points, channels]` of every layer at its own places, in the unit of the samples."""
    found = []
    for own, layer, near in zip(at_many(asked, places), layers, places, strict=True):
        values = point_values(own, layer.info, near, layer.residual)
        if layer.mask is not None:
            blank_points(values, layer.mask, near)
        found.append(values)
    return found
