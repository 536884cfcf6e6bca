"""Types of the extension; its source is native/src/module.cpp."""

from collections.abc import Callable, Sequence

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

class LatentTables:
    """Every table of latents, ready for the range coder."""

    def __init__(
        self,
        offsets: NDArray[np.int32],
        reaches: NDArray[np.int32],
        cumulative: NDArray[np.int32],
    ) -> None:
        """As `latent_tables.flat_tables` gives them; raises ValueError where one is no table."""

class ContextNetwork:
    """An integer context network, packed for the kernels."""

    def __init__(
        self,
        contexts: Sequence[tuple[int, int, int]],
        widths: Sequence[int],
        weights: NDArray[np.int16],
        biases: NDArray[np.int32],
    ) -> None:
        """`contexts` are levels up, row and column; `widths` those of the hidden layers.

        `weights` holds those of every layer `[out, in]`, then the skip; `biases` those of every
        layer. Sums are modulo 2^32. Raises ValueError where something does not fit.
        """

class LatentDecoder:
    """Fills the planes of levels, no farther than it is asked for."""

    def __init__(
        self,
        isa: str,
        network: ContextNetwork,
        tables: LatentTables,
        planes: Sequence[NDArray[np.int32]],
        levels: Sequence[int],
        payload: bytes,
    ) -> None:
        """`planes` are `[rows, columns]`, finest first, each half as large as the one before; those
        of `levels`, which come coarse to fine, are filled. `payload` is the run of the range coder
        alone. Raises ValueError where sizes or levels do not fit.
        """

    def decode(self, before: int, wave: int) -> str | None:
        """Decode all levels but the last, and of that the wavefronts before `wave`, 3 row + column.

        Says what is wrong with the payload, if anything; latents are then not to be used. Not for
        two threads at a time.
        """

def encode_latents(
    isa: str,
    network: ContextNetwork,
    tables: LatentTables,
    planes: Sequence[NDArray[np.int32]],
    levels: Sequence[int],
) -> bytes:
    """The payload for `LatentDecoder`."""

def latent_bits(
    isa: str,
    network: ContextNetwork,
    tables: LatentTables,
    planes: Sequence[NDArray[np.int32]],
    levels: Sequence[int],
) -> list[float]:
    """Bits of each of `levels`, by the frequencies of the tables."""

def pyramid_values(
    isa: str,
    lattice: Sequence[int],
    outputs: int,
    synthesis: Sequence[int],
    residuals: int,
    parameters: NDArray[np.float32],
    latents: Sequence[NDArray[np.int32]],
    window: Sequence[tuple[int, int]],
    out: NDArray[np.float32],
    threads: int,
) -> None:
    """Write the values `[outputs, *window]` of a pyramid to `out`.

    `parameters` holds the upsampling, every weight and bias of the synthesis network, its skip, and
    those of the residual convolutions; `latents` what the window needs of each level, finest first
    (`latent_windows` of the window grown by the convolutions). Raises ValueError where a length
    does not fit.
    """

class PyramidFit:
    """A target and the planes that a step of a pyramid field's fit works on.

    `context_places` are (levels up, offset) in the order of the network's inputs; `target` is the
    flat `[*lattice, outputs]`. Latents and all that is as large are flat arrays by level. Every
    method raises ValueError where a length does not fit or a limit is passed.
    """

    def __init__(
        self,
        isa: str,
        lattice: Sequence[int],
        outputs: int,
        levels: int,
        contexts: Sequence[int],
        synthesis: Sequence[int],
        residuals: int,
        context_places: Sequence[tuple[int, Sequence[int]]],
        target: NDArray[np.float32],
        threads: int,
    ) -> None: ...
    def descend(
        self,
        soft: bool,
        parameters: NDArray[np.float32],
        latents: Sequence[NDArray[np.float32]],
        rate: float,
        temperature: float,
        noise: float,
        seed: int,
        gradient: NDArray[np.float64],
        latent_gradients: Sequence[NDArray[np.float32]],
        outside: tuple[Callable[[], None], NDArray[np.float32], NDArray[np.float32]] | None,
    ) -> tuple[float, float]:
        """Mean square error and bits; writes the gradients of error + rate x bits / positions.

        `outside` has another distortion: what is called once its first array holds the render, and
        leaves in the second one the gradient that takes the place of the error's.
        """

    def evaluate(
        self,
        parameters: NDArray[np.float32],
        latents: Sequence[NDArray[np.float32]],
        peak: float,
        render: NDArray[np.float32] | None,
        bits: Sequence[NDArray[np.float32]] | None,
    ) -> tuple[float, float, list[float]]:
        """Errors of the values and of their codes 0..peak, and bits by level, latents rounded.

        Writes the values to `render`, and the bits of each latent.
        """

    def adam(
        self,
        latents: Sequence[NDArray[np.float32]],
        gradients: Sequence[NDArray[np.float32]],
        means: Sequence[NDArray[np.float32]],
        squares: Sequence[NDArray[np.float32]],
        rate: float,
        betas: tuple[float, float],
        epsilon: float,
        damping: float,
        count: int,
    ) -> None:
        """Update latents and moments for the `count`-th time."""

class SirenFit:
    """The buffers and threads that a step of a siren's fit works with.

    `shape` is inputs, outputs, depth, width; `centre` is added to the outputs.
    """

    def __init__(
        self,
        isa: str,
        shape: tuple[int, int, int, int],
        omega_0: float,
        centre: float,
        threads: int,
    ) -> None: ...
    def step(
        self,
        parameters: NDArray[np.float32],
        coordinates: NDArray[np.float32],
        targets: NDArray[np.float32],
        first: int,
        gradient: NDArray[np.float32],
    ) -> float:
        """The mean squared error of values, clamped to 0..1, to `targets` `[points, outputs]`.

        `parameters` holds a matrix [weight | bias] `[out, in + 1]` per layer; the gradient of those
        from layer `first` on, passed straight through the clamp, goes to `gradient`. Raises
        ValueError where a length does not fit.
        """
