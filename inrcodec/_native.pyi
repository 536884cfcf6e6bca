"""Types of the extension; its source is native/src/module.cpp."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VERSION: str
"""Version of the package that it was built for."""

def available() -> list[str]:
    """Instruction sets that are built and that this CPU has, the fastest first."""

def siren_points(
    isa: str,
    shape: tuple[int, int, int, int],
    layers: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    out: NDArray[np.float32],
    threads: int,
) -> None:
    """Write values `[points, outputs]` at `coordinates` `[points, inputs]` to `out`.

    `shape` is inputs, outputs, depth, width. `layers` holds every weight `[out, in]` and bias in
    order, omega_0 multiplied in. Raises ValueError where a length does not fit.
    """

def siren_lattice(
    isa: str,
    shape: tuple[int, int, int, int],
    layers: NDArray[np.float32],
    axes: Sequence[NDArray[np.float32]],
    first: int,
    out: NDArray[np.float32],
    threads: int,
) -> None:
    """As `siren_points`, at positions `first`, `first + 1`, ... of the lattice that `axes` span."""

def sine(isa: str, values: NDArray[np.float32]) -> None:
    """Replace values by their sines: whole blocks of 64, aligned to 64 bytes."""
