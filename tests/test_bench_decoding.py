"""Checks that the decoding bench measures what it says, on small things."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import decoding
from bench.decoding import Bench, Row, main, markdown
from bench.latent_symbols import LatentSymbols

SMALL = LatentSymbols(21, 40)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PICTURE": (24, 32),
        "SCAN": (130, 140),
        "TILE": 64,
        "WINDOW": 8,
        "PLACES": 2,
    }.items():
        monkeypatch.setattr(decoding, name, value)
    monkeypatch.setattr(decoding, "LatentSymbols", lambda: SMALL)


def test_tables_of_the_symbols_are_those_of_the_coder() -> None:
    np.testing.assert_array_equal(SMALL.decode(), SMALL.fine)
    np.testing.assert_array_equal(SMALL.symbols(), SMALL.expected())
    assert len(np.unique(SMALL.tables)) > 100


def test_a_row_is_missed_on_the_wrong_side_of_its_bound() -> None:
    most, least = Row("a", 5, 5.1, "%"), Row("b", 3, 10.4, "x as fast", least=True, note="n")
    assert (most.met, least.met) == (False, True)
    assert markdown([most, least]).splitlines()[2:] == [
        "| a | at most 5 % | 5.1 % **missed** |  |",
        "| b | at least 3 x as fast | 10.4 x as fast | n |",
    ]


@pytest.mark.parametrize(
    ("part", "count"), [("crops", 2), ("scales", 2), ("fallback", 2), ("entropy", 2)]
)
def test_a_part_gives_its_rows(part: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([part, "--rounds", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["rounds"] == 5
    assert len(found["rows"]) == count
    for row in found["rows"]:
        assert row["measured"] > 0


def test_processes_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "own.inrc"
    file.write_bytes(decoding.PyramidSubject(9, 8, decoding.NETS[0]).data)
    (row,) = decoding.command(Bench(1, file))
    assert row.measured > 20
    assert f"{file.stat().st_size:,} bytes" in row.note


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_memory_is_that_of_the_decode() -> None:
    small, larger, *_ = decoding.memory(Bench(1))
    assert 0 < small.measured < 64
    assert small.asked == (3 * 24 * 32 * 3 + decoding.SPARE) / 1e6
    assert larger.note == "output 0.0 MB"


@pytest.mark.parametrize("words", [["nothing"], ["crops", "--rounds", "1"]])
def test_wrong_words_are_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert "bench.decoding: error:" in capsys.readouterr().err
