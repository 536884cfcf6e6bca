"""Joins many views with many points: fields of one architecture are evaluated together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError
from inrcodec.fields.field import Field
from inrcodec.query.kernels import native, reference
from inrcodec.query.render import check_cost, from_field_values, point_coordinates
from inrcodec.query.view import SignalView


def query_many(
    views: Sequence[SignalView], points: NDArray[np.floating]
) -> list[NDArray[np.float32]]:
    """`view.at(points)` of every view, as arrays `[points, channels]`.

    `points` is `[points, axes]`, the same for all, or `[views, points, axes]`. Where the native
    kernel does not answer, fields of one architecture become one stack of matrices, so that many
    small ones cost as much as one large. Each view's limits hold for its own values.
    """
    points = np.asarray(points, np.float64)
    if points.ndim == 2:
        points = np.broadcast_to(points, (len(views), *points.shape))
    if points.ndim != 3 or len(points) != len(views):
        raise UsageError(f"points: {list(points.shape)} does not fit {len(views)} views")
    parts: list[dict[int, NDArray[np.float32]]] = [{} for _ in views]
    groups = defaultdict(list)
    for index, view in enumerate(views):
        for place, layer in enumerate(view.layers):
            coordinates = point_coordinates(layer.info, points[index])
            check_cost([layer.field], len(coordinates), len(coordinates), view.limits)
            if net := native.network_for(layer.field, coordinates):
                values = native.at_points(net, coordinates)
                parts[index][place] = from_field_values(values, layer.info)
            else:
                groups[layer.field.spec].append((index, place, layer, coordinates))
    for spec, members in groups.items():
        stacked = Field(
            spec,
            {
                tensor.name: np.stack([m[2].field.parameters[tensor.name] for m in members])
                for tensor in spec.tensors()
            },
        )
        values = reference.evaluate_chunks(stacked, np.stack([m[3] for m in members]))
        for (index, place, layer, _), own in zip(members, values, strict=True):
            parts[index][place] = from_field_values(own, layer.info)
    return [np.concatenate([own[place] for place in sorted(own)], axis=-1) for own in parts]
