"""Joins coordinates and attributes, as arrays and numbers of numpy, with axes and labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.bitstream.wire import MAX_TEXT_BYTES
from inrcodec.errors import CorruptError
from inrcodec.files.labels import Coordinate
from inrcodec.signal import Axis

TEXT = "str"
"""The dtype of coordinates that are names."""

UNITS = "units"
FILL = "_FillValue"

_TYPED = {"dtype", "value"}

_log = logging.getLogger("inrcodec")


def described_axis(
    name: str, values: NDArray[Any], attributes: Mapping[str, Any], *, listed: bool = False
) -> tuple[Axis, Coordinate]:
    """An axis with these positions: by origin and spacing where they say them exactly, unless they
    are to be `listed`.
    """
    attributes = _without_fill(attributes)
    plain, size = Axis(name, len(values)), len(values)
    if values.dtype.kind not in "iufmM":
        return plain, Coordinate(TEXT, [_text(value) for value in values], attributes)
    dtype = values.dtype.newbyteorder("<")
    numbers = values.astype(dtype)
    if dtype.kind in "mM":
        numbers = numbers.view(np.int64)
    unit = attributes.get(UNITS, "")
    known = isinstance(unit, str) and len(unit.encode("utf-8")) <= MAX_TEXT_BYTES
    for spacing in () if listed else _spacings(numbers):
        axis = Axis(name, size, spacing, float(numbers[0]) + 0.0, unit if known else "")
        if (_cast(_positions(axis), numbers.dtype) == numbers).all():
            if known:
                attributes = {key: own for key, own in attributes.items() if key != UNITS}
            return axis, Coordinate(dtype.str, None, attributes)
    return plain, Coordinate(dtype.str, _nested(numbers), attributes)


def coordinate_values(axis: Axis, coordinate: Coordinate) -> NDArray[Any]:
    """Positions of the samples of an axis, which may be a part or a resampling of the native one.

    Between the samples that have one each, positions are interpolated.
    """
    positions = _positions(axis)
    if coordinate.values is None:
        return _as_type(positions, coordinate.dtype)
    native = _list(coordinate.values)
    if coordinate.dtype == TEXT:
        nearest = np.clip(np.rint(positions), 0, len(native) - 1).astype(np.int64)
        return np.array([str(native[index]) for index in nearest], dtype=object)
    exact = _numbers(native, coordinate.dtype)
    whole = (positions == np.rint(positions)).all()
    if whole and positions.min() >= 0 and positions.max() < len(exact):
        return exact[positions.astype(np.int64)]
    if len(exact) == 1:
        return np.repeat(exact, axis.size)
    first = np.clip(np.floor(positions), 0, len(exact) - 2).astype(np.int64)
    known = exact.astype(np.int64 if exact.dtype.kind in "mM" else np.float64).astype(np.float64)
    between = known[first] + (positions - first) * (known[first + 1] - known[first])
    return _as_type(between, coordinate.dtype)


def single_value(coordinate: Coordinate) -> Any:
    """The value of a coordinate that is the same for all samples."""
    if coordinate.dtype == TEXT:
        return str(coordinate.values)
    return _numbers(coordinate.values, coordinate.dtype)[()]


def described_value(value: NDArray[Any], attributes: Mapping[str, Any]) -> Coordinate:
    """The coordinate of an array without dimensions."""
    if value.dtype.kind not in "iufmM":
        return Coordinate(TEXT, _text(value[()]), _without_fill(attributes))
    dtype = value.dtype.newbyteorder("<")
    number = value.astype(dtype)
    number = number.view(np.int64) if dtype.kind in "mM" else number
    return Coordinate(dtype.str, _nested(number), _without_fill(attributes))


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them; what it cannot hold is left out with a warning."""
    plain = {}
    for name, value in attributes.items():
        try:
            plain[str(name)] = _plain(value)
        except TypeError as error:
            _log.warning("attribute %s: left out: %s", name, error)
    return plain


def _without_fill(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """No coordinate is missing, though many a writer says what it would be then."""
    return plain_attributes({name: own for name, own in attributes.items() if name != FILL})


def native_attributes(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as they were, with numpy's types."""
    try:
        return {name: _native(value) for name, value in plain.items()}
    except RecursionError as error:
        raise CorruptError("labels: attributes are nested too deep") from error


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | np.bool_):
        return value if value is None else bool(value)
    if isinstance(value, bytes):
        return {"dtype": "|S", "value": value.decode("latin-1")}
    if isinstance(value, str | int) and not isinstance(value, np.generic):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    array = np.asarray(value)
    if array.dtype.kind in "OSU" and array.ndim:
        return [_plain(part) for part in array.tolist()]
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{array.dtype} is no type of an attribute")
    # What JSON's own numbers become again needs no type.
    own = array.dtype in (np.dtype(np.int64), np.dtype(np.float64))
    if own and np.isfinite(array).all():
        return array.tolist()
    return {"dtype": array.dtype.newbyteorder("<").str, "value": _nested(array)}


def _native(value: Any) -> Any:
    if isinstance(value, list):
        return [_native(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != _TYPED:
        return {name: _native(part) for name, part in value.items()}
    if value["dtype"] == "|S":
        return np.bytes_(str(value["value"]).encode("latin-1", "replace"))
    return _numbers(value["value"], value["dtype"])[()]


def _spacings(numbers: NDArray[Any]) -> list[float]:
    """Distances that may be that of all neighbours: the mean, rounded or not, and the first."""
    if not np.isfinite(numbers).all():
        return []
    if len(numbers) == 1:
        return [1.0]
    mean = (float(numbers[-1]) - float(numbers[0])) / (len(numbers) - 1)
    first = float(numbers[1]) - float(numbers[0])
    found = [mean, float(f"{mean:.7g}"), float(f"{mean:.15g}"), first]
    return [spacing for spacing in dict.fromkeys(found) if spacing and math.isfinite(spacing)]


def _positions(axis: Axis) -> NDArray[np.float64]:
    # Of a guess: whether it is right is seen by its numbers.
    with np.errstate(over="ignore"):
        return axis.origin + axis.spacing * np.arange(axis.size, dtype=np.float64)


def _cast(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)


def _as_type(values: NDArray[np.float64], name: str) -> NDArray[Any]:
    """Of an integer type only where they are integers."""
    dtype = _dtype(name)
    if dtype.kind in "mM":
        return _cast(values, np.dtype(np.int64)).view(dtype)
    return (
        _cast(values, dtype) if dtype.kind == "f" or (values == np.rint(values)).all() else values
    )


def _nested(numbers: NDArray[Any]) -> Any:
    """Numbers as JSON has them, in the shortest form that their type restores."""
    if numbers.ndim:
        return [_nested(np.asarray(part)) for part in numbers]
    if numbers.dtype.kind in "iu":
        return int(numbers)
    return float(str(numbers)) if np.isfinite(numbers) else str(numbers)


def _numbers(values: Any, name: str) -> NDArray[Any]:
    dtype = _dtype(name)
    try:
        if dtype.kind in "mM":
            return np.array(values, np.int64).view(dtype)
        return np.array(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"labels: values are no {name} ({error})") from error


def _dtype(name: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(name)
    except (TypeError, ValueError) as error:
        raise CorruptError(f"labels: unknown dtype {name!r}") from error
    if dtype.kind not in "iufmM":
        raise CorruptError(f"labels: dtype {name!r} is none of numbers")
    return dtype


def _list(values: Any) -> Sequence[Any]:
    if not isinstance(values, list) or not values:
        raise CorruptError("labels: the values of a coordinate are no list")
    return values


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
