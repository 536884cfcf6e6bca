"""Joins a vector of weights with the few atoms that make up most of it: matching pursuit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pursued:
    """Numbers of the chosen atoms in the order of choice, their coefficients, and their Gram
    matrix in the metric of the pursuit.
    """

    numbers: NDArray[np.int64]
    coefficients: Floats
    gram: Floats


def pursue(
    vector: Floats, metric: Floats, atoms: NDArray[np.float32], price: float, most: int
) -> Pursued:
    """Up to `most` of the `atoms` `[elements, atoms]`, each lowering |metric (vector - sum)|^2 by
    `price` or more; their coefficients are least squares.

    Orthogonal matching pursuit in which an atom is judged by its part at right angles to those that
    were chosen before, so that each step is the best one (Rebollo-Neira and Lowe 2002).
    """
    seen = metric.astype(np.float32) @ atoms
    wanted = metric @ vector
    energy = np.einsum("ij,ij->j", seen, seen).astype(np.float64)
    floor = 1e-5 * float(energy.mean())
    match = (seen.T @ wanted.astype(np.float32)).astype(np.float64)
    chosen: list[int] = []
    basis: Floats = np.zeros((len(vector), 0))
    for _ in range(most):
        gains = np.where(energy > floor, match**2 / np.maximum(energy, floor), 0)
        best = int(np.argmax(gains))
        if gains[best] < price:
            break
        direction = seen[:, best].astype(np.float64)
        # Twice is enough for float64.
        for _ in range(2):
            direction -= basis @ (basis.T @ direction)
        direction /= math.sqrt(float(direction @ direction))
        along = (seen.T @ direction.astype(np.float32)).astype(np.float64)
        match -= float(direction @ wanted) * along
        energy -= along**2
        energy[best] = 0
        basis = np.column_stack([basis, direction])
        chosen.append(best)
    own = seen[:, chosen].astype(np.float64)
    gram = own.T @ own
    coefficients: Floats = np.asarray(np.linalg.lstsq(own, wanted, rcond=None)[0], np.float64)
    return Pursued(np.array(chosen, np.int64), coefficients, gram)
