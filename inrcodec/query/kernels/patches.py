"""Joins the parameters of a base with the values of its patches, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrcodec.query.kernels.reference import Floats

Parameters = Mapping[str, Floats]
Wave = Floats


def phases(parameters: Parameters, places: NDArray[np.float64], patch: int) -> Floats:
    """Arguments `[places, units]` of the last sine layer where nothing shifts them, at places
    `[places, axes]` in samples from the centre of a patch.
    """
    scaled = (places * (2 / patch)).astype(np.float32)
    hidden = np.sin(scaled @ parameters["weight0"].T + parameters["bias0"])
    found = hidden @ parameters["weight1"].T + scaled @ parameters["direct"].T
    return np.asarray(found + parameters["bias1"], np.float32)


def waves(parameters: Parameters, places: NDArray[np.float64], patch: int) -> Wave:
    """What coefficients are multiplied with, `[2 units, places * outputs]`.

    sin(phase + shift) = sin(phase) cos(shift) + cos(phase) sin(shift): patches that are asked at
    the same places differ in their coefficients alone.
    """
    phase, read = phases(parameters, places, patch).T, parameters["read"].T
    both = np.concatenate([np.sin(phase)[:, :, None], np.cos(phase)[:, :, None]])
    read = np.concatenate([read, read])
    return (both * read[:, None, :]).reshape(len(read), -1)


def coefficients(shifts: Floats) -> Floats:
    """cos - 1 and sin of shifts `[patches, units]`: what is left of a latent of zero is zero."""
    return np.concatenate([np.cos(shifts) - 1, np.sin(shifts)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class PatchValues:
    """Values `[points, outputs]` of patches at points, and what their derivatives are made of."""

    parameters: Parameters
    scaled: Floats
    phase: Floats
    shifts: Floats
    patch: int

    @property
    def values(self) -> NDArray[np.float64]:
        waves = np.sin(self.phase + self.shifts) - np.sin(self.phase)
        return np.asarray(waves @ self.parameters["read"].T, np.float64)

    def slopes(self) -> NDArray[np.float64]:
        """Derivatives `[points, outputs, axes]` by the place, in samples."""
        parameters = self.parameters
        slope = np.cos(self.phase + self.shifts) - np.cos(self.phase)
        inner = np.cos(self.scaled @ parameters["weight0"].T + parameters["bias0"])
        columns = []
        for axis in range(self.scaled.shape[1]):
            rise = (inner * parameters["weight0"][:, axis]) @ parameters["weight1"].T
            rise = rise + parameters["direct"][:, axis]
            columns.append((slope * rise) @ parameters["read"].T * (2 / self.patch))
        return np.stack(columns, axis=-1).astype(np.float64)


def values_at(
    parameters: Parameters, shifts: Floats, places: NDArray[np.float64], patch: int
) -> PatchValues:
    """Values of patches of `shifts` `[points, units]`, each at a point of its own."""
    scaled = (places * (2 / patch)).astype(np.float32)
    return PatchValues(parameters, scaled, phases(parameters, places, patch), shifts, patch)
