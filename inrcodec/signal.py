"""Defines Signal: samples on a regular lattice, with the meaning of their axes and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLOUR_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
ALPHA = "alpha"


@dataclass(frozen=True)
class Axis:
    """One lattice axis: `size` samples, the first at `origin`, `spacing` apart, in `unit`."""

    name: str
    size: int
    spacing: float = 1.0
    origin: float = 0.0
    unit: str = ""


@dataclass(frozen=True)
class SignalInfo:
    """Everything about a signal except its samples: what a header describes.

    `value_range` is the pair of sample values that the field's 0 and 1 stand for, `fill` what
    samples are where they are missing: None is NaN.
    """

    axes: tuple[Axis, ...]
    channels: tuple[str, ...]
    dtype: str
    value_range: tuple[float, float]
    fill: float | None = None

    @property
    def lattice(self) -> tuple[int, ...]:
        """Sizes of the axes, in the order of the sample array."""
        return tuple(axis.size for axis in self.axes)

    @property
    def positions(self) -> int:
        """Number of lattice positions: pixels of a picture."""
        product = 1
        for axis in self.axes:
            product *= axis.size
        return product


@dataclass(frozen=True)
class Signal:
    """Samples of shape `[*lattice, channels]` with their description.

    `metadata` maps a name (`icc`, `exif`, `xmp`) to its bytes. `missing`, in the shape of the
    samples, is true where there is none; None is nowhere.
    """

    samples: NDArray[np.generic]
    info: SignalInfo
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    missing: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        axes = " x ".join(f"{axis.name}={axis.size}" for axis in self.info.axes)
        return f"Signal({axes}, channels={'/'.join(self.info.channels)}, dtype={self.info.dtype})"


def array_channels(count: int) -> tuple[str, ...]:
    """Names of the channels of an array that is no picture."""
    return tuple(f"value{index}" for index in range(count))


def is_picture(info: SignalInfo) -> bool:
    """Whether the channels of a signal are colours, not values of an array."""
    return info.channels[:1] in COLOUR_CHANNELS.values() or info.channels[:3] == COLOUR_CHANNELS[3]


def plain_samples(signal: Signal) -> NDArray[np.generic]:
    """Samples as an array has them: without a dimension for its only channel."""
    single = len(signal.info.channels) == 1 and not is_picture(signal.info)
    return signal.samples[..., 0] if single else signal.samples


def full_range(dtype: str) -> tuple[float, float]:
    """The range an integer dtype can hold; 0..1 for floating point."""
    if dtype.startswith("uint"):
        return 0.0, float(2 ** int(dtype[4:]) - 1)
    if dtype.startswith("int"):
        bits = int(dtype[3:])
        return float(-(2 ** (bits - 1))), float(2 ** (bits - 1) - 1)
    return 0.0, 1.0


def split_alpha(signal: Signal) -> tuple[Signal, ...]:
    """The parts that get fields of their own: the colours, and the alpha channel if any."""
    info = signal.info
    if info.channels[-1] != ALPHA or len(info.channels) == 1:
        return (signal,)
    colours = replace(info, channels=info.channels[:-1])
    alpha = replace(info, channels=(ALPHA,))
    return (
        _part(signal, colours, slice(None, -1), signal.metadata),
        _part(signal, alpha, slice(-1, None), {}),
    )


def _part(
    signal: Signal, info: SignalInfo, channels: slice, metadata: Mapping[str, bytes]
) -> Signal:
    missing = None if signal.missing is None else signal.missing[..., channels]
    if missing is not None and not missing.any():
        missing = None
    return Signal(signal.samples[..., channels], info, metadata, missing)
