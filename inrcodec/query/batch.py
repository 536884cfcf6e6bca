"""Joins many views with many points: fields that gain by it are evaluated together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.query.evaluator import at_many, evaluator
from inrcodec.query.lattice import checked_points
from inrcodec.query.masked import blank_points
from inrcodec.query.render import check_points, point_values
from inrcodec.query.view import SignalView


def query_many(
    views: Sequence[SignalView], points: NDArray[np.floating]
) -> list[NDArray[np.float32]]:
    """`view.at(points)` of every view, as arrays `[points, channels]`.

    `points` is `[points, axes]`, the same for all, or `[views, points, axes]`. Many small fields of
    one architecture may cost as much as one large. Each view's limits hold for its own values.
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
    values = iter(
        [
            point_values(own, layer.info, near, layer.residual)
            for own, layer, near in zip(at_many(asked, places), layers, places, strict=True)
        ]
    )
    found = []
    for view, own in zip(views, points, strict=True):
        parts = [next(values) for _ in view.layers]
        for layer, part in zip(view.layers, parts, strict=True):
            if layer.mask is not None:
                blank_points(part, layer.mask, own)
        found.append(np.concatenate(parts, axis=-1))
    return found
