"""Joins plain numbers and text with their one canonical byte form."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, TypeVar

from inrcodec.bitstream.wire import MAX_INTEGER, MAX_TEXT_BYTES, MAX_VARINT_BYTES
from inrcodec.errors import CorruptError, LimitError, TruncatedError, UnsupportedError
from inrcodec.fields.modulated import HASH_BYTES

FieldTable = Iterable[tuple[str, str]]

Id = TypeVar("Id", bound=IntEnum)


class Reader:
    """A bounds-checked walk over bytes; every failure is a CorruptError that names the place."""

    def __init__(self, data: bytes, what: str, offset: int = 0) -> None:
        self.data, self.what, self.offset = data, what, offset

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.offset + count
        if end > len(self.data):
            raise TruncatedError(
                f"{self.what}: ends at byte {len(self.data)}, {count} bytes needed at "
                f"{self.offset}; the file is incomplete"
            )
        chunk = self.data[self.offset : end]
        self.offset = end
        return chunk

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """Unsigned LEB128, shortest form only."""
        start, value = self.offset, 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    break
                return value
        raise CorruptError(f"{self.what}: malformed number at byte {start}; the file is damaged")

    def f64(self) -> float:
        return self._finite("<d")

    def number(self) -> float:
        """An integer, or a float of 32 or 64 bits; the first of them that can say it."""
        start, code = self.offset, self.varint()
        form = "<f" if code == 1 else "<d"
        value = float(_signed(code - 2)) if code > 1 else self._finite(form)
        if _number_code(value) != code:
            raise CorruptError(f"{self.what}: number at byte {start} has a shorter form")
        return value

    def _finite(self, form: str) -> float:
        start = self.offset
        value = float(struct.unpack(form, self.take(struct.calcsize(form)))[0])
        if not math.isfinite(value):
            raise CorruptError(f"{self.what}: {value} at byte {start} is not a finite number")
        if value == 0 and math.copysign(1, value) < 0:
            raise CorruptError(f"{self.what}: negative zero at byte {start}; the file is damaged")
        return value

    def text(self) -> str:
        start, size = self.offset, self.varint()
        if size > MAX_TEXT_BYTES:
            raise CorruptError(f"{self.what}: text of {size} bytes at byte {start} is too long")
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorruptError(f"{self.what}: text at byte {start} is not UTF-8") from error

    def widths(self) -> tuple[int, ...]:
        """Layers of a network: how many, then the width of each."""
        return tuple(self.varint() for _ in range(self.u8()))

    def hash(self) -> str:
        """The beginning of a SHA-256, as hexadecimal digits."""
        return self.take(HASH_BYTES).hex()

    def row(self, table: FieldTable) -> dict[str, Any]:
        """One run of fields, by name."""
        return {name: getattr(self, kind)() for name, kind in table}

    def finish(self) -> None:
        """Demand that nothing is left over."""
        if self.offset != len(self.data):
            extra = len(self.data) - self.offset
            raise CorruptError(
                f"{self.what}: {extra} unexpected bytes at byte {self.offset}; "
                "the file is damaged or something was appended to it"
            )


def varint(value: int) -> bytes:
    """Unsigned LEB128 of `value` >= 0, shortest form."""
    if value < 0 or value.bit_length() > 7 * MAX_VARINT_BYTES:
        raise ValueError(f"{value} does not fit a varint")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(value: float) -> bytes:
    """A real number in the shortest form that says it exactly; negative zero becomes zero."""
    code = _number_code(value)
    if code > 1:
        return varint(code)
    return varint(code) + struct.pack("<f" if code == 1 else "<d", value)


def _number_code(value: float) -> int:
    """2 and more for integers, whose signs alternate; 1 for what float32 can hold, else 0."""
    if value.is_integer() and abs(value) <= MAX_INTEGER:
        return 2 + (2 * int(value) if value >= 0 else -2 * int(value) - 1)
    try:
        same = struct.unpack("<f", struct.pack("<f", value))[0] == value
    except OverflowError:
        return 0
    return 1 if same else 0


def _signed(code: int) -> int:
    """0, -1, 1, -2, ... for 0, 1, 2, 3, ..."""
    return -(code + 1) // 2 if code % 2 else code // 2


def text(value: str) -> bytes:
    """Length and UTF-8 bytes."""
    encoded = value.encode("utf-8")
    if len(encoded) > MAX_TEXT_BYTES:
        raise ValueError(f"text of {len(encoded)} bytes exceeds {MAX_TEXT_BYTES}")
    return varint(len(encoded)) + encoded


def widths(layers: Sequence[int]) -> bytes:
    """Number of layers and the width of each."""
    return struct.pack("<B", len(layers)) + b"".join(map(varint, layers))


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "u8": lambda value: struct.pack("<B", value),
    "varint": varint,
    # Adding 0 makes a negative zero positive: a value has one form.
    "f64": lambda value: struct.pack("<d", value + 0.0),
    "number": number,
    "text": text,
    "widths": widths,
    "hash": bytes.fromhex,
}


def row(table: FieldTable, values: Mapping[str, Any]) -> bytes:
    """The bytes of one run of fields."""
    return b"".join(_WRITERS[kind](values[name]) for name, kind in table)


def known(ids: type[Id], value: int, what: str) -> Id:
    """The id that a number of the header stands for; UnsupportedError if it is a newer one."""
    try:
        return ids(value)
    except ValueError as error:
        raise UnsupportedError(
            f"header: unknown {what} {value}; a newer inrcodec is needed"
        ) from error


def within(what: str, asked: int | float, allowed: int | float) -> None:
    """Raise LimitError if more is asked than allowed."""
    if asked > allowed:
        raise LimitError(what, asked, allowed)
