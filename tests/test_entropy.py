"""Checks that symbols survive the range coder, which integers alone can decode, and damage."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.coding.entropy import MAX_ESCAPE_BITS, SymbolDecoder, SymbolEncoder
from inrcodec.coding.latent_tables import LATENT_TABLES, numbered_table
from inrcodec.coding.priors import PRECISION, TABLES, table
from inrcodec.errors import CorruptError

LARGEST = 2**31 - 1
PLAIN_BIT = (2 ** (PRECISION - 1),) * 2

every_table = pytest.mark.parametrize("index", range(TABLES))
tables = st.integers(0, TABLES - 1)


class IntegerDecoder:
    """The decoder of rule 2 in docs/design.md: 64-bit registers and nothing but integers."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words, self.taken = list(words), 0
        self.lower, self.range = 0, 2**64 - 1
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        self.taken += 1
        return self.words[self.taken - 1] if self.taken <= len(self.words) else 0

    def decode(self, frequencies: Sequence[int]) -> int:
        edges, total = [0], 0
        for position, frequency in enumerate(frequencies):
            total += frequency
            edges.append((total * (2**24 - len(frequencies)) >> PRECISION) + position + 1)
        scale = self.range >> 24
        quantile = (self.point - self.lower) % 2**64 // scale
        assert quantile < 2**24
        found = max(i for i, edge in enumerate(edges[:-1]) if edge <= quantile)
        self.lower = (self.lower + scale * edges[found]) % 2**64
        self.range = scale * (edges[found + 1] - edges[found])
        while self.range < 2**32:
            self.lower = self.lower << 32 & 2**64 - 1
            self.range <<= 32
            self.point = (self.point << 32 & 2**64 - 1) | self.word()
        return found

    def get(self, count: int, index: int) -> list[int]:
        """As SymbolDecoder.get."""
        reach = table(index).reach
        found = [self.decode(table(index).frequencies) - reach for _ in range(count)]
        return [self.escape(reach) if symbol > reach else symbol for symbol in found]

    def escape(self, reach: int) -> int:
        length = 0
        while self.decode(PLAIN_BIT):
            length += 1
        excess = 1
        for _ in range(length):
            excess = excess << 1 | self.decode(PLAIN_BIT)
        return -(reach + excess) if self.decode(PLAIN_BIT) else reach + excess


def words_of(data: bytes) -> tuple[int, ...]:
    data += bytes(-len(data) % 4)
    return struct.unpack(f"<{len(data) // 4}I", data)


def array(*symbols: int) -> np.ndarray:
    return np.array(symbols, np.int32)


def encoded(*runs: tuple[Sequence[int], int]) -> bytes:
    encoder = SymbolEncoder()
    for symbols, index in runs:
        encoder.put(array(*symbols), index)
    return encoder.finish()


def decoded(data: bytes, *runs: tuple[int, int]) -> list[list[int]]:
    decoder = SymbolDecoder(data, "test")
    out = [decoder.get(count, index).tolist() for count, index in runs]
    decoder.finish()
    return out


def spelled(*parts: tuple[Sequence[int], Sequence[int]]) -> bytes:
    """Bytes of positions in alphabets with given frequencies: also what no encoder writes."""
    coder = constriction.stream.queue.RangeEncoder()
    for frequencies, positions in parts:
        chances = np.array(frequencies, np.float64) / 2**PRECISION
        model = constriction.stream.model.Categorical(chances, perfect=False)
        coder.encode(array(*positions), model)
    return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def escape_bits(ones: int, *after: int) -> list[int]:
    return [1] * ones + [0, *after] if after else [1] * ones


# Symbols of every sort: inside a table, at its edge, just beyond, far beyond.
def symbols_of(index: int) -> st.SearchStrategy[int]:
    reach = table(index).reach
    near = st.integers(-reach - 3, reach + 3)
    far = st.integers(-LARGEST, LARGEST)
    extreme = st.sampled_from([s * (2**29 + d) for s in (-1, 1) for d in (-1, 0, 1)])
    return st.one_of(near, near, near, far, extreme)


run = tables.flatmap(
    lambda index: st.tuples(st.lists(symbols_of(index), max_size=30), st.just(index))
)


@settings(max_examples=200, deadline=None)
@given(st.lists(run, max_size=5))
def test_symbols_come_back(runs: list[tuple[list[int], int]]) -> None:
    data = encoded(*runs)
    assert decoded(data, *((len(s), index) for s, index in runs)) == [s for s, _ in runs]


@settings(max_examples=60, deadline=None)
@given(st.lists(run, max_size=3))
def test_integers_alone_decode_them(runs: list[tuple[list[int], int]]) -> None:
    decoder = IntegerDecoder(words_of(encoded(*runs)))
    for symbols, index in runs:
        assert decoder.get(len(symbols), index) == symbols


@every_table
def test_edges_of_every_table(index: int) -> None:
    reach = table(index).reach
    edge = [s * (reach + d) for s in (-1, 1) for d in (-1, 0, 1, 2)]
    far = [s * (2**bits + d) for s in (-1, 1) for bits in (20, 29, 30) for d in (-1, 0, 1)]
    symbols = [*edge, 0, *far, LARGEST, -LARGEST, 0]
    assert decoded(encoded((symbols, index)), (len(symbols), index)) == [symbols]


@every_table
def test_a_single_symbol_and_none(index: int) -> None:
    assert decoded(encoded(([], index)), (0, index)) == [[]]
    for symbol in (0, -1, table(index).reach, table(index).reach + 1):
        assert decoded(encoded(([symbol], index)), (1, index)) == [[symbol]]


def test_nothing_is_no_bytes() -> None:
    assert encoded() == b""
    SymbolDecoder(b"", "test").finish()


def test_a_symbol_too_large_to_code_is_refused_by_the_encoder() -> None:
    with pytest.raises(ValueError, match="too large"):
        encoded(([-(2**31)], 0))


@pytest.mark.parametrize("size", [2, 3, 4, 5, 17, 64, 129, 257, 1000, 2049, 4096])
def test_integers_read_the_words_of_constriction(size: int) -> None:
    """For any alphabet: the integer formula of the cumulative is what constriction computes."""
    generator = np.random.Generator(np.random.PCG64(size))
    weights = generator.exponential(size=size) ** 3
    spare = 2**PRECISION - size
    frequencies = 1 + np.floor(weights / weights.sum() * spare).astype(int)
    frequencies[generator.integers(size)] += 2**PRECISION - frequencies.sum()
    symbols = [0, size - 1, *generator.integers(0, size, 300).tolist()]
    decoder = IntegerDecoder(words_of(spelled((frequencies.tolist(), symbols))))
    assert [decoder.decode(frequencies.tolist()) for _ in symbols] == symbols


@pytest.mark.parametrize("rare", [0, 1])
def test_the_most_lopsided_alphabet(rare: int) -> None:
    """One symbol has nearly all the probability; 70,000 of it cost less than 4 bytes more."""
    frequencies = [2**PRECISION - 1] * 2
    frequencies[rare] = 1
    symbols = [1 - rare] * 70_000 + [rare]
    data = spelled((frequencies, symbols))
    assert len(data) <= 12
    decoder = IntegerDecoder(words_of(data))
    assert [decoder.decode(frequencies) for _ in symbols] == symbols


def test_runs_do_not_end_in_zero_bytes() -> None:
    for count in range(300):
        data = encoded(([0] * count, count % TABLES))
        assert not data.endswith(b"\0")
        if data:
            with pytest.raises(CorruptError, match="superfluous"):
                SymbolDecoder(data + b"\0", "test")


@pytest.mark.parametrize("appended", [b"\1", b"\0\0\0\0\1", b"\xff" * 8, b"\1" * 400])
def test_bytes_left_over_are_noticed(appended: bytes) -> None:
    data = encoded(([0, 1, -2] * 40, 20))
    data += bytes(-len(data) % 4) + b"\1\1\1\1" + appended
    with pytest.raises(CorruptError, match="left over"):
        decoded(data, (120, 20))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 50), tables), max_size=4))
def test_garbage_gives_bounded_symbols_or_a_corrupt_error(
    data: bytes, runs: list[tuple[int, int]]
) -> None:
    try:
        found = decoded(data, *runs)
    except CorruptError:
        return
    for symbols, (count, _) in zip(found, runs, strict=True):
        assert len(symbols) == count
        assert all(-LARGEST <= symbol <= LARGEST for symbol in symbols)


@settings(max_examples=200, deadline=None)
@given(run.filter(lambda r: len(r[0]) > 3), st.data())
def test_truncated_runs_end(whole: tuple[list[int], int], data: st.DataObject) -> None:
    symbols, index = whole
    full = encoded(whole)
    kept = full[: data.draw(st.integers(0, len(full) - 1))].rstrip(b"\0")
    try:
        (found,) = decoded(kept, (len(symbols), index))
    except CorruptError:
        return
    assert len(found) == len(symbols)


def test_data_above_the_highest_quantile_are_corrupt() -> None:
    """Where constriction raises its own error."""
    with pytest.raises(CorruptError, match="do not decode"):
        decoded(b"\xff" * 8, (1, 20))


def test_an_escape_code_that_never_ends_is_corrupt() -> None:
    escape = 2 * table(20).reach + 1
    for ones in (MAX_ESCAPE_BITS + 1, 64, 5000):
        data = spelled((table(20).frequencies, [escape]), (PLAIN_BIT, escape_bits(ones)))
        with pytest.raises(CorruptError, match="escape"):
            decoded(data, (1, 20))


@pytest.mark.parametrize("sign", [0, 1])
def test_an_escape_code_beyond_32_bits_is_corrupt(sign: int) -> None:
    """The longest code says reach + 2^31 - 1, which is more than a symbol may be."""
    escape = 2 * table(20).reach + 1
    bits = escape_bits(MAX_ESCAPE_BITS, *[1] * MAX_ESCAPE_BITS, sign)
    data = spelled((table(20).frequencies, [escape]), (PLAIN_BIT, bits))
    with pytest.raises(CorruptError, match="escape"):
        decoded(data, (1, 20))


class Panic(BaseException):
    """As pyo3 raises for a Rust panic: `except Exception` does not see it."""


class Broken:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def decode(self, *_: object) -> None:
        raise self.error


@pytest.mark.parametrize("error", [Panic(), AssertionError(), KeyError(), ValueError()])
def test_whatever_the_coder_raises_is_a_corrupt_error(error: BaseException) -> None:
    decoder = SymbolDecoder(b"", "section 7")
    decoder._coder = Broken(error)
    with pytest.raises(CorruptError, match="section 7"):
        decoder.get(1, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_interrupts_and_lack_of_memory_pass(error: BaseException) -> None:
    decoder = SymbolDecoder(b"", "test")
    decoder._coder = Broken(error)
    with pytest.raises(type(error)):
        decoder.get(1, 0)


def latent_of(number: int) -> st.SearchStrategy[tuple[int, int]]:
    reach = numbered_table(number).reach
    near, far = st.integers(-reach - 3, reach + 3), st.integers(-LARGEST, LARGEST)
    return st.tuples(st.one_of(near, near, near, far), st.just(number))


latents = st.lists(st.integers(0, LATENT_TABLES - 1).flatmap(latent_of), max_size=30)


def encoded_latents(bits: list[bool], pairs: list[tuple[int, int]]) -> bytes:
    encoder = SymbolEncoder()
    for bit in bits:
        encoder.put_bit(bit)
    encoder.put_latents(array(*(s for s, _ in pairs)), np.array([n for _, n in pairs], np.int64))
    return encoder.finish()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=9), latents)
def test_latents_and_bits_come_back(bits: list[bool], pairs: list[tuple[int, int]]) -> None:
    decoder = SymbolDecoder(encoded_latents(bits, pairs), "test")
    assert [decoder.get_bit() for _ in bits] == bits
    found = decoder.get_latents(np.array([number for _, number in pairs], np.int64))
    assert found.dtype == np.int32
    assert found.tolist() == [symbol for symbol, _ in pairs]
    decoder.finish()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=9), latents)
def test_integers_alone_decode_latents(bits: list[bool], pairs: list[tuple[int, int]]) -> None:
    decoder = IntegerDecoder(words_of(encoded_latents(bits, pairs)))
    assert [bool(decoder.decode(PLAIN_BIT)) for _ in bits] == bits
    for symbol, number in pairs:
        frozen = numbered_table(number)
        found = decoder.decode(frozen.frequencies) - frozen.reach
        assert symbol == (found if found <= frozen.reach else decoder.escape(frozen.reach))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, LATENT_TABLES - 1), max_size=60))
def test_garbage_gives_bounded_latents_or_a_corrupt_error(data: bytes, numbers: list[int]) -> None:
    try:
        decoder = SymbolDecoder(data, "test")
        found = decoder.get_latents(np.array(numbers, np.int64)).tolist()
    except CorruptError:
        return
    assert len(found) == len(numbers)
    assert all(-LARGEST <= symbol <= LARGEST for symbol in found)


@pytest.mark.parametrize("error", [Panic(), AssertionError(), ValueError()])
def test_whatever_the_coder_raises_for_latents_is_a_corrupt_error(error: BaseException) -> None:
    decoder = SymbolDecoder(b"", "section 7")
    decoder._coder = Broken(error)
    with pytest.raises(CorruptError, match="section 7"):
        decoder.get_latents(np.zeros(1, np.int64))
