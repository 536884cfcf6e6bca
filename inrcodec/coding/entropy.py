"""Joins Symbols with compressed bytes through constriction's range coder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.latent_tables import LATENT_TABLES, numbered_table
from inrcodec.coding.priors import PRECISION, TABLES, table
from inrcodec.errors import CorruptError

Integers = NDArray[np.int32]

MAX_ESCAPE_BITS = 30
"""Exp-Golomb prefixes are at most this long."""

_MAX_SYMBOL = 2**31 - 1


def _categorical(frequencies: tuple[int, ...]) -> Any:
    # Integers that sum to a power of two are exact as floats, and constriction then rounds
    # nowhere: the cumulative of K symbols is ((c * (2^24 - K)) >> 16) + i (bitstream_spec.md).
    probabilities = np.array(frequencies, dtype=np.float64) / float(1 << PRECISION)
    return constriction.stream.model.Categorical(probabilities, perfect=False)


@lru_cache(maxsize=TABLES)
def _model(index: int) -> Any:
    return _categorical(table(index).frequencies)


@lru_cache(maxsize=LATENT_TABLES)
def _latent_model(number: int) -> tuple[Any, int]:
    """Model and reach of a latent table."""
    frozen = numbered_table(number)
    return _categorical(frozen.frequencies), frozen.reach


@lru_cache(maxsize=1)
def _coin() -> Any:
    """Two equally likely symbols: a plain bit."""
    half = 1 << (PRECISION - 1)
    return _categorical((half, half))


class SymbolEncoder:
    """Appends arrays of symbols to one compressed run of bytes."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, symbols: Integers, table_index: int) -> None:
        """Append `symbols`, a flat array, coded with one frozen table."""
        reach = table(table_index).reach
        if symbols.size and symbols.min() < -_MAX_SYMBOL:
            raise ValueError(f"symbol {symbols.min()} is too large to code")
        inside = np.abs(symbols) <= reach
        # The escape symbol is the last of the alphabet.
        indices = np.where(inside, symbols + reach, 2 * reach + 1).astype(np.int32)
        self._coder.encode(indices, _model(table_index))
        for value in symbols[~inside].tolist():
            self._put_escape(abs(value) - reach, value < 0)

    def put_latents(self, symbols: NDArray[np.integer[Any]], tables: NDArray[np.int64]) -> None:
        """Append `symbols`, each coded with the latent table whose number stands in `tables`.

        Both are flat; symbols lie in -(2^31 - 1)..2^31 - 1.
        """
        encode = self._coder.encode
        # constriction takes no array of models; one call per symbol is fast enough.
        for symbol, number in zip(symbols.tolist(), tables.tolist(), strict=True):
            model, reach = _latent_model(number)
            if -reach <= symbol <= reach:
                encode(symbol + reach, model)
            else:
                encode(2 * reach + 1, model)
                self._put_escape(abs(symbol) - reach, symbol < 0)

    def put_bit(self, bit: bool) -> None:
        """Append one plain bit."""
        self._coder.encode(int(bit), _coin())

    def put_bits(self, bits: Integers) -> None:
        """Append plain bits, a flat array."""
        self._coder.encode(bits, _coin())

    def _put_escape(self, excess: int, negative: bool) -> None:
        """Exp-Golomb code of `excess` >= 1 (ones, a zero, the bits below the leading 1), sign."""
        length = excess.bit_length() - 1
        bits = [1] * length + [0] + [excess >> i & 1 for i in range(length - 1, -1, -1)]
        self._coder.encode(np.array([*bits, int(negative)], dtype=np.int32), _coin())

    def finish(self) -> bytes:
        """Everything put so far: little-endian 32-bit words without the zero bytes at the end."""
        words = self._coder.get_compressed()
        return bytes(words.astype("<u4").tobytes().rstrip(b"\0"))


class SymbolDecoder:
    """Takes arrays of symbols from what SymbolEncoder wrote."""

    def __init__(self, data: bytes, what: str) -> None:
        if data.endswith(b"\0"):
            raise CorruptError(f"{what}: superfluous zero byte at the end; the file is damaged")
        self._what = what
        words = np.frombuffer(data + bytes(-len(data) % 4), dtype="<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, MemoryError, CorruptError):
            raise
        # constriction raises AssertionError, or a Rust panic that is no Exception.
        except BaseException as error:
            raise CorruptError(
                f"{self._what}: symbols do not decode; the file is damaged"
            ) from error

    def _decode(self, model: Any, count: int) -> Integers:
        with self._boundary():
            decoded: Integers = self._coder.decode(model, count)
        return decoded

    def get(self, count: int, table_index: int) -> Integers:
        """The next `count` symbols, coded with one frozen table."""
        reach = table(table_index).reach
        symbols = self._decode(_model(table_index), count) - np.int32(reach)
        for position in np.flatnonzero(symbols == reach + 1):
            symbols[position] = self._get_escape(reach)
        return symbols.astype(np.int32)

    def get_latents(self, tables: NDArray[np.int64]) -> Integers:
        """The next symbols, each coded with the latent table whose number stands in `tables`."""
        symbols = []
        with self._boundary():
            decode = self._coder.decode
            for number in tables.tolist():
                model, reach = _latent_model(number)
                symbol = decode(model) - reach
                symbols.append(symbol if symbol <= reach else self._get_escape(reach))
        return np.array(symbols, np.int32)

    def get_bit(self) -> bool:
        """The next plain bit."""
        return bool(self._bit())

    def get_bits(self, count: int) -> Integers:
        """The next `count` plain bits."""
        return self._decode(_coin(), count)

    def _get_escape(self, reach: int) -> int:
        length = 0
        while self._bit():
            length += 1
            if length > MAX_ESCAPE_BITS:
                raise CorruptError(f"{self._what}: impossible escape code; the file is damaged")
        excess = 1
        for _ in range(length):
            excess = excess << 1 | self._bit()
        magnitude = reach + excess
        if magnitude > _MAX_SYMBOL:
            raise CorruptError(f"{self._what}: impossible escape code; the file is damaged")
        return -magnitude if self._bit() else magnitude

    def _bit(self) -> int:
        return int(self._decode(_coin(), 1)[0])

    def finish(self) -> None:
        """Demand that all bytes were used."""
        if not self._coder.maybe_exhausted():
            raise CorruptError(f"{self._what}: bytes left over; the file is damaged")
