"""Checks the frozen probability tables: the same numbers for ever, and good ones."""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
from functools import lru_cache

import numpy as np
import pytest

from inrcodec.coding import priors
from inrcodec.coding.priors import MAX_REACH, PRECISION, SCALES, SHAPES, TABLES, table

SHA256 = "8cc876eb51ddf10109615f92d61d9235177069f04027a6962df3d88359605660"

every_table = pytest.mark.parametrize("index", range(TABLES))
every_shape = pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)


def deviation(index: int) -> float:
    """The standard deviation that a table stands for, in symbols."""
    return float(2 ** (index % SCALES / 4 - 3))


@lru_cache(maxsize=TABLES)
def ideal(index: int) -> np.ndarray:
    """Probabilities of -reach..reach under the distribution that a table stands for."""
    sigma, reach = deviation(index), table(index).reach

    def beyond(x: float) -> float:
        if SHAPES[index // SCALES] == "gaussian":
            return math.erfc(x / sigma / math.sqrt(2)) / 2
        return math.exp(-x / sigma * math.sqrt(2)) / 2

    half = [beyond(k - 0.5) - beyond(k + 0.5) for k in range(1, reach + 1)]
    return np.array([*half[::-1], 1 - 2 * beyond(0.5), *half])


def listed(index: int) -> np.ndarray:
    """Probabilities that a table gives to -reach..reach."""
    return np.array(table(index).frequencies[:-1]) / 2**PRECISION


def cost(distribution: int, coder: int) -> float:
    """Bits per symbol of one table's distribution, coded with another that reaches as far."""
    extra = table(coder).reach - table(distribution).reach
    wide = listed(coder)
    chances = wide[extra : len(wide) - extra] if extra else wide
    return float(-(ideal(distribution) * np.log2(chances)).sum())


def test_the_tables_are_pinned() -> None:
    """Other tables would be another format."""
    digest = hashlib.sha256()
    for index in range(TABLES):
        digest.update(np.array(table(index).frequencies, "<u4").tobytes())
    assert digest.hexdigest() == SHA256


@every_table
def test_frequencies_sum_to_a_power_of_two_and_none_is_zero(index: int) -> None:
    frequencies = table(index).frequencies
    assert sum(frequencies) == 2**PRECISION
    assert min(frequencies) >= 1
    assert {type(frequency) for frequency in frequencies} == {int}


@every_table
def test_a_table_lists_minus_reach_to_reach_and_the_escape(index: int) -> None:
    assert len(table(index).frequencies) == 2 * table(index).reach + 2
    assert 2 <= table(index).reach <= MAX_REACH


@every_table
def test_a_table_is_symmetric_and_falls_from_its_centre(index: int) -> None:
    symbols = np.array(table(index).frequencies[:-1])
    assert (symbols == symbols[::-1]).all()
    assert (np.diff(symbols[table(index).reach :]) <= 0).all()


@every_table
def test_a_table_is_close_to_what_it_stands_for(index: int) -> None:
    """A frequency of at least 1 for every symbol costs the widest tables up to 0.06 bit."""
    probable = ideal(index) > 0
    loss = ideal(index)[probable] * np.log2(ideal(index)[probable] / listed(index)[probable])
    assert loss.sum() < 0.06
    if deviation(index) < 32:
        assert loss.sum() < 0.004


@every_table
def test_standard_deviation_is_near_the_nominal(index: int) -> None:
    symbols = np.arange(-table(index).reach, table(index).reach + 1)
    variance = (listed(index) * symbols**2).sum() / listed(index).sum()
    # A bin of width 1 adds 1/12; narrow distributions fall into one bin and have no width left.
    nominal = math.sqrt(deviation(index) ** 2 + 1 / 12)
    if 1 <= deviation(index) < 32:
        assert math.sqrt(variance) == pytest.approx(nominal, rel=0.06)
    elif deviation(index) > 0.5:
        assert math.sqrt(variance) == pytest.approx(nominal, rel=0.46)


@every_shape
def test_tables_of_a_shape_widen_with_the_scale(shape: int) -> None:
    first = shape * SCALES
    reaches = [table(first + scale).reach for scale in range(SCALES)]
    assert reaches == sorted(reaches)
    # Beyond this, what rounding leaves to the centre outweighs the centre itself.
    scales = [scale for scale in range(SCALES) if deviation(scale) < 32]
    centres = [table(first + scale).frequencies[reaches[scale]] for scale in scales]
    assert centres == sorted(centres, reverse=True)


@every_shape
def test_a_wider_table_does_not_code_a_distribution_better(shape: int) -> None:
    for scale in range(SCALES - 1):
        index = shape * SCALES + scale
        assert cost(index, index) <= cost(index, index + 1)


@pytest.mark.parametrize("index", [-1, TABLES, 2**40])
def test_there_are_no_other_tables(index: int) -> None:
    with pytest.raises(IndexError):
        table(index)


def test_integer_arithmetic_alone_makes_the_tables() -> None:
    """No float, no true division, no function of a platform's mathematics library."""
    tree = ast.parse(inspect.getsource(priors))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not isinstance(node, ast.Div)
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            assert [name.name for name in node.names] == ["isqrt"]
        if isinstance(node, ast.Import):
            assert not {name.name for name in node.names} & {"math", "numpy"}
