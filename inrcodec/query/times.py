"""Joins dates with the numbers that stand for them in an array's coordinates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import UsageError

MICROSECONDS = {
    "day": 86_400_000_000,
    "d": 86_400_000_000,
    "hour": 3_600_000_000,
    "hr": 3_600_000_000,
    "h": 3_600_000_000,
    "minute": 60_000_000,
    "min": 60_000_000,
    "second": 1_000_000,
    "sec": 1_000_000,
    "s": 1_000_000,
    "millisecond": 1000,
    "msec": 1000,
    "ms": 1000,
    "microsecond": 1,
    "us": 1,
}
"""Units of time of the CF conventions that are the same length everywhere."""

CALENDARS = ("standard", "gregorian", "proleptic_gregorian")

GREGORIAN = np.datetime64("1582-10-15")
"""Before it the calendar `standard` is the Julian one."""

_SINCE = re.compile(
    r"\s*([a-z]+)\s+since\s+(\d{1,4})-(\d\d?)-(\d\d?)"
    r"(?:[t\s]\s*(\d\d?):(\d\d?)(?::(\d\d?)(?:\.(\d{1,6})\d*)?)?)?\s*(?:z|utc|gmt|\+?0?0:?00)?\s*",
    re.ASCII | re.IGNORECASE,
)


def time_numbers(
    asked: Any, dtype: np.dtype[Any], attributes: Mapping[str, Any], name: str
) -> NDArray[np.float64]:
    """Dates (datetime64, `datetime` or ISO 8601 text) as the numbers that coordinates of `dtype`
    with these `attributes` count in, to the microsecond.

    The coordinates are datetime64, or numbers with CF `units` such as `hours since 1900-01-01`.
    Raises UsageError where they are no dates, or what is asked is none.
    """
    zero, unit = _origin(dtype, attributes, name)
    try:
        dates = np.asarray(asked, "datetime64[us]")
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name}: {asked!r} is neither number nor date: {error}") from error
    if np.isnat(dates).any():
        raise UsageError(f"{name}: NaT is no position")
    return np.asarray((dates - zero) / unit, np.float64)


def _origin(
    dtype: np.dtype[Any], attributes: Mapping[str, Any], name: str
) -> tuple[np.datetime64, np.timedelta64]:
    """The date that 0 stands for, and what 1 is more."""
    if dtype.kind == "M":
        return np.datetime64(0, "us"), np.ones(1, dtype.str.replace("M", "m"))[0]
    units = str(attributes.get("units", ""))
    found = _SINCE.fullmatch(units)
    one = None
    if found:
        one = MICROSECONDS.get(found[1].lower()) or MICROSECONDS.get(found[1].lower().rstrip("s"))
    if not found or one is None:
        raise UsageError(
            f"{name}: its unit {units!r} does not say how numbers are dates; give numbers"
        )
    year, month, day, *clock = found.groups()[1:]
    hour, minute, second = (int(each or 0) for each in clock[:3])
    fraction = (clock[3] or "").ljust(6, "0")
    try:
        zero = np.datetime64(
            f"{int(year):04}-{int(month):02}-{int(day):02}"
            f"T{hour:02}:{minute:02}:{second:02}.{fraction}"
        )
    except ValueError as error:
        raise UsageError(f"{name}: its unit {units!r} names no date; give numbers") from error
    calendar = str(attributes.get("calendar", CALENDARS[0])).lower()
    if calendar not in CALENDARS or (zero < GREGORIAN and calendar != CALENDARS[-1]):
        raise UsageError(f"{name}: {units!r} in calendar {calendar} is not known; give numbers")
    return zero, one * np.timedelta64(1, "us")
