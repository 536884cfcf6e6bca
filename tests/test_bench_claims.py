"""Checks that the rows of the claims outlive a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.claims import finished, keep

ROWS = [{"claim": "size", "image": name, "effort": 5, "psnr": 30.5} for name in ("a", "b", "c")]


def test_a_half_written_line_loses_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "claims.jsonl"
    assert finished(path) == {}
    for row in ROWS[:2]:
        keep(path, row)
    path.write_bytes(path.read_bytes()[:-20])
    assert list(finished(path).values()) == ROWS[:1]
    assert f"{path}: line 2 is no row" in capsys.readouterr().err
    keep(path, ROWS[2])
    assert list(finished(path).values()) == [ROWS[0], ROWS[2]]


@pytest.mark.parametrize("line", ["", "[1]", "7", '{"claim": "size"}', '{"claim": []', "\x00"])
def test_lines_that_are_no_rows(line: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.jsonl"
    path.write_text(line + "\n")
    keep(path, ROWS[0])
    assert list(finished(path).values()) == ROWS[:1]
