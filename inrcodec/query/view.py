"""Joins the Fields of a file with array-like access: a signal computed where it is asked."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits
from inrcodec.coding.mask import Mask
from inrcodec.coding.residual import Residual
from inrcodec.errors import UsageError
from inrcodec.fields.field import Field
from inrcodec.query.coordinates import Places, places
from inrcodec.query.evaluator import evaluator
from inrcodec.query.lattice import Window, checked_points, fine_window
from inrcodec.query.masked import blank, blank_points, missing_in
from inrcodec.query.render import Samples, check_work, render, sample_points, sample_slopes
from inrcodec.signal import Signal, SignalInfo


@dataclass(frozen=True)
class Layer:
    """One track made ready: what its samples mean, the field that gives them, what keeps them
    within a bound at native size, and which of them are missing, if any are.
    """

    info: SignalInfo
    field: Field
    residual: Residual | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class SignalView:
    """A signal whose samples are computed on demand.

    Layers share one lattice; their channels follow one another (a picture's colours, its alpha).
    `problem` says what is missing of a file that is read in part.
    """

    layers: tuple[Layer, ...]
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    problem: str | None = None

    @property
    def info(self) -> SignalInfo:
        """Description of the native signal, all layers together."""
        channels = tuple(name for layer in self.layers for name in layer.info.channels)
        return replace(self.layers[0].info, channels=channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the native sample array: the lattice, then the channels."""
        return (*self.info.lattice, len(self.info.channels))

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.info.dtype)

    def __repr__(self) -> str:
        nets = ", ".join(f"{layer.field.spec.kind} {layer.field.spec.net}" for layer in self.layers)
        return f"SignalView(shape={self.shape}, dtype={self.dtype}, fields=[{nets}])"

    def resize(self, size: Sequence[int], window: Window | None = None) -> Samples:
        """Samples `[*size, channels]` of the signal resampled to `size` positions per axis.

        `window` gives (start, stop) per axis of the resampled lattice; only that part is computed,
        and it equals the same part of the whole.
        """
        lattice, window = self.checked(size, window)
        parts = [
            render(layer.field, layer.info, lattice, window, self.limits, layer.residual)
            for layer in self.layers
        ]
        for layer, part in zip(self.layers, parts, strict=True):
            if layer.mask is not None:
                blank(part, layer.mask, lattice, window)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def checked(
        self, size: Sequence[int], window: Window | None
    ) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        """Size and window of `resize`, whole by default; raises UsageError or LimitError."""
        lattice = self._checked_size(size)
        chosen = _checked_window(window, lattice)
        asked = [evaluator(layer.field, layer.info) for layer in self.layers]
        check_work(asked, *fine_window(self.info, lattice, chosen), self.limits)
        return lattice, chosen

    def at(
        self, points: NDArray[np.floating] | None = None, /, **coordinates: Any
    ) -> NDArray[np.float32]:
        """Values `[points, channels]` at lattice positions `points` `[points, axes]`, or `[...,
        channels]` at coordinates of every axis by its name: `at(lat=52.5, lon=longitudes)`.

        Position 0 is the centre of the first sample; fractions lie between samples. Coordinates are
        numbers in the unit of their axis, or dates where that is time, and broadcast; positions
        between samples are linear between the coordinates of the samples. Values are in the unit of
        the samples, neither rounded nor clamped; NaN where a siren is asked farther away than
        float32 can tell, and where the nearest sample is missing. Of a signal within a bound, those
        between samples are the field's alone.
        """
        asked = self._places(points, coordinates)
        parts = [
            sample_points(layer.field, layer.info, asked.points, self.limits, layer.residual)
            for layer in self.layers
        ]
        for layer, part in zip(self.layers, parts, strict=True):
            if layer.mask is not None:
                blank_points(part, layer.mask, asked.points)
        values = np.concatenate(parts, axis=-1)
        return values.reshape(*asked.shape, values.shape[-1])

    def gradient(
        self, points: NDArray[np.floating] | None = None, /, **coordinates: Any
    ) -> NDArray[np.float64]:
        """Exact derivatives `[points, channels, axes]` of `at`, in the unit of the samples per
        lattice position; with coordinates `[..., channels, axes]`, per unit of each.

        A pyramid is twice differentiable everywhere, a siren without end. Where coordinates are not
        evenly spaced, derivatives by them jump at samples: there, the gap after it counts. They are
        the field's; NaN where the nearest sample is missing.
        """
        asked = self._places(points, coordinates)
        parts = [
            sample_slopes(layer.field, layer.info, asked.points, self.limits)
            for layer in self.layers
        ]
        for layer, part in zip(self.layers, parts, strict=True):
            if layer.mask is not None:
                blank_points(part, layer.mask, asked.points)
        slopes = np.concatenate(parts, axis=-2) * asked.per_unit[:, None, :]
        return slopes.reshape(*asked.shape, *slopes.shape[-2:])

    def _places(
        self, points: NDArray[np.floating] | None, coordinates: Mapping[str, Any]
    ) -> Places:
        if points is None:
            return places(self.info, self.metadata, coordinates)
        if coordinates:
            raise UsageError("points and coordinates: one of them at a time")
        found = checked_points(self.info, points)
        return Places(found, (len(found),), np.ones_like(found))

    def read(self, size: Sequence[int] | None = None, window: Window | None = None) -> Signal:
        """As `resize`, with the description of what was read; native size by default.

        Axis geometry follows the samples, so that spacing and origin stay true.
        """
        lattice = self._checked_size(self.info.lattice if size is None else size)
        window = _checked_window(window, lattice)
        samples = self.resize(lattice, window)
        axes = []
        for axis, cells, (start, stop) in zip(self.info.axes, lattice, window, strict=True):
            step = axis.spacing if cells == axis.size else axis.spacing * axis.size / cells
            # Cells tile one extent; the first sample kept lies in the centre of its cell.
            origin = axis.origin + start * step + (step - axis.spacing) / 2
            axes.append(replace(axis, size=stop - start, spacing=step, origin=origin))
        info = replace(self.info, axes=tuple(axes))
        return Signal(samples, info, self.metadata, self._missing(lattice, window))

    def _missing(self, size: Sequence[int], window: Window) -> NDArray[np.bool_] | None:
        """Which samples of a window of the resampled lattice are missing, if any can be."""
        if all(layer.mask is None for layer in self.layers):
            return None
        shape = [stop - start for start, stop in window]
        parts = [
            np.zeros([*shape, len(layer.info.channels)], np.bool_)
            if layer.mask is None
            else missing_in(layer.mask, size, window)
            for layer in self.layers
        ]
        return np.concatenate(parts, axis=-1)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Samples]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("samples are computed when asked for: they are always a copy")
        return np.asarray(self.resize(self.info.lattice), dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        """Native samples, as `numpy.asarray(view)[key]` for integers, slices and an ellipsis.

        Only the enclosing window is computed.
        """
        keys = _expand(key, len(self.shape))
        window, inner = [], []
        for part, size in zip(keys[:-1], self.info.lattice, strict=True):
            bounds, remaining = _window_of(part, size)
            window.append(bounds)
            inner.append(remaining)
        channels, within = _window_of(keys[-1], self.shape[-1])
        inner.append(within)
        return self.resize(self.info.lattice, window)[..., slice(*channels)][tuple(inner)]

    def _checked_size(self, size: Sequence[int]) -> tuple[int, ...]:
        lattice = _integers(size, "size")
        if len(lattice) != len(self.info.axes) or min(lattice) < 1:
            raise UsageError(
                f"size: {len(self.info.axes)} positive numbers are needed, not {list(size)}"
            )
        return lattice


def _integers(values: Sequence[int], what: str) -> tuple[int, ...]:
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError as error:
        raise UsageError(f"{what}: whole numbers are needed, not {values!r}") from error


def _expand(key: Any, dimensions: int) -> tuple[Any, ...]:
    """One index per dimension, an ellipsis or missing parts filled up with whole slices."""
    keys = key if isinstance(key, tuple) else (key,)
    gaps = [place for place, part in enumerate(keys) if part is Ellipsis]
    if len(gaps) > 1 or len(keys) - len(gaps) > dimensions:
        raise UsageError(f"index: at most {dimensions} parts and one ellipsis, not {key!r}")
    gap = gaps[0] if gaps else len(keys)
    missing = dimensions - len(keys) + len(gaps)
    return (*keys[:gap], *[slice(None)] * missing, *keys[gap + 1 :])


def _window_of(part: Any, size: int) -> tuple[tuple[int, int], Any]:
    """Smallest window that holds what `part` selects, and the index of it inside the window."""
    try:
        if isinstance(part, slice):
            chosen = range(size)[part]
            if not chosen:
                return (0, 0), slice(None)
            low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
            return (low, high + 1), slice(None, None, chosen.step)
        if isinstance(part, bool | np.bool_):
            raise TypeError("a truth value is no position")
        index = range(size)[operator.index(part)]
    except (IndexError, TypeError, ValueError) as error:
        raise UsageError(f"index: {part!r} selects nothing of {size} samples: {error}") from error
    return (index, index + 1), 0


def _checked_window(window: Window | None, lattice: Sequence[int]) -> list[tuple[int, int]]:
    if window is None:
        return [(0, size) for size in lattice]
    pairs = [_integers(pair, "crop") for pair in window]
    if len(pairs) != len(lattice) or any(len(pair) != 2 for pair in pairs):
        raise UsageError(f"crop: start and stop for {len(lattice)} axes are needed, not {window!r}")
    checked = [(pair[0], pair[1]) for pair in pairs]
    if not all(0 <= a <= b <= size for (a, b), size in zip(checked, lattice, strict=True)):
        raise UsageError(f"crop: {checked} does not lie within {list(lattice)}")
    return checked
