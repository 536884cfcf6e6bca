"""Checks the frozen tables of latents: the same numbers for ever, and good ones."""

from __future__ import annotations

import ast
import hashlib
import inspect
import math

import numpy as np
import pytest

from inrcodec.coding import latent_tables
from inrcodec.coding.latent_tables import (
    LATENT_TABLES,
    PHASED,
    PHASES,
    SCALES,
    flat_tables,
    latent_table,
    numbered_table,
    reach,
    table_numbers,
)
from inrcodec.coding.priors import PRECISION

SHA256 = "4321b4fe078038cd51cf2c4a61341ea5485e7b12cdc543c63fddc7ba2c5b58f3"

some_index = pytest.mark.parametrize("index", [0, 1, 8, 17, 24, 33, 40, 48, 55, 56, 57, 72, 96])


def phases(index: int) -> range:
    return range(-PHASES // 2, PHASES // 2) if index < PHASED else range(1)


def ideal(phase: int, index: int) -> np.ndarray:
    """Probabilities of -reach..reach and of what lies beyond."""
    scale, mean = 2 ** (index / 8 - 5), phase / PHASES

    def above(x: float) -> float:
        return math.exp(-x / scale) / 2 if x >= 0 else 1 - math.exp(x / scale) / 2

    def within(k: int) -> float:
        low, high = k - 0.5 - mean, k + 0.5 - mean
        return above(low) - above(high) if k > 0 else above(-high) - above(-low)

    last = reach(index)
    listed = [within(k) for k in range(-last, last + 1)]
    return np.array([*listed, above(last + 0.5 - mean) + above(last + 0.5 + mean)])


def test_the_tables_are_pinned() -> None:
    """Other tables would be another format."""
    digest = hashlib.sha256()
    for number in range(LATENT_TABLES):
        digest.update(np.array(numbered_table(number).frequencies, "<u4").tobytes())
    assert digest.hexdigest() == SHA256


def test_frequencies_sum_to_a_power_of_two_and_none_is_zero() -> None:
    for number in range(LATENT_TABLES):
        frozen = numbered_table(number)
        assert len(frozen.frequencies) == 2 * frozen.reach + 2
        assert sum(frozen.frequencies) == 2**PRECISION
        assert min(frozen.frequencies) >= 1


def test_phases_mirror() -> None:
    """A mean as far below as above: the same table backwards."""
    for index in range(PHASED):
        for phase in range(PHASES // 2):
            up, down = (latent_table(p, index).frequencies for p in (phase, -phase))
            assert up[:-1] == down[-2::-1]
            assert up[-1] == down[-1]


@some_index
def test_a_table_is_close_to_what_it_stands_for(index: int) -> None:
    for phase in phases(index):
        chances = np.array(latent_table(phase, index).frequencies) / 2**PRECISION
        expected = ideal(phase, index)
        assert expected.sum() == pytest.approx(1)
        probable = expected > 0
        loss = expected[probable] * np.log2(expected[probable] / chances[probable])
        assert loss.sum() < (2e-4 if index < PHASED else 0.03)


@some_index
def test_a_table_falls_from_its_mean(index: int) -> None:
    for phase in phases(index):
        listed = np.array(latent_table(phase, index).frequencies[:-1])
        last = reach(index)
        assert (np.diff(listed[last:]) <= 0).all()
        assert (np.diff(listed[: last + 1])[:-1] >= 0).all()
        # The mean lies half way to -1 at the lowest phase only; there the two are as probable.
        if phase > -PHASES // 2:
            assert listed[last] >= listed[last - 1]


def test_reach_grows_with_the_scale() -> None:
    assert [reach(index) for index in (0, 16, 24, 40, 56, 96)] == [1, 2, 3, 9, 33, 1025]
    reaches = [reach(index) for index in range(SCALES)]
    assert reaches == sorted(reaches)


@pytest.mark.parametrize(
    ("phase", "index"), [(-17, 0), (16, 0), (16, 55), (1, 56), (-1, 96), (0, 97), (0, -1)]
)
def test_there_are_no_other_tables(phase: int, index: int) -> None:
    with pytest.raises(IndexError):
        latent_table(phase, index)


def test_numbers_count_scales_then_phases() -> None:
    pairs = [(phase, index) for index in range(SCALES) for phase in phases(index)]
    phase, index = np.array(pairs).T
    assert table_numbers(phase, index).tolist() == list(range(LATENT_TABLES))
    for number in (0, 1, 900, 56 * 32 - 1, 56 * 32, LATENT_TABLES - 1):
        assert numbered_table(number) == latent_table(*pairs[number])


def test_flat_tables_are_the_tables() -> None:
    offsets, reaches, cumulative = flat_tables()
    assert {offsets.dtype, reaches.dtype, cumulative.dtype} == {np.dtype(np.int32)}
    ends = [*offsets[1:].tolist(), len(cumulative)]
    for number in range(LATENT_TABLES):
        frozen = numbered_table(number)
        sums = cumulative[offsets[number] : ends[number]]
        assert (sums[0], sums[-1]) == (0, 2**PRECISION)
        assert tuple(np.diff(sums).tolist()) == frozen.frequencies
        assert reaches[number] == frozen.reach


def test_integer_arithmetic_alone_makes_the_tables() -> None:
    """No float, no true division, no function of a platform's mathematics library."""
    tree = ast.parse(inspect.getsource(latent_tables))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not isinstance(node, ast.Div)
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            assert [name.name for name in node.names] == ["isqrt"]
    makers = [latent_tables.reach, latent_table.__wrapped__, latent_tables._edges.__wrapped__]
    assert not any("np." in inspect.getsource(maker) for maker in makers)
