"""Checks that no row is lost: to a kill, a second writer, garbage, or a number that JSON lacks."""

from __future__ import annotations

import json
import logging
import math
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.rows import NOT_FINITE, Row, RowsBusyError, appending, read_rows

ROOT = Path(__file__).resolve().parents[1]

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from bench.rows import Row, appending
with appending(Path(sys.argv[1])) as file:
    row = Row("jpeg", "jpeg", 0, "fox", 3, 2)
    for number in range(int(sys.argv[2]), 10**9):
        # Some are longer than any buffer.
        long = {"long": "x" * 20_000} if number % 7 == 0 else {}
        file.append(replace(row, setting=number, notes=long))
        print(number, flush=True)
"""

HOLDER = """
import sys
from pathlib import Path
from bench.rows import RowsBusyError, appending
try:
    with appending(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except RowsBusyError as error:
    print(f"busy: {error}", flush=True)
"""

texts = st.text(max_size=12)
numbers = st.floats(allow_subnormal=True)
maybe = st.none() | numbers
rows = st.builds(
    Row,
    codec=texts,
    family=texts,
    setting=st.floats(allow_nan=False),
    image=texts,
    width=st.integers(1, 2**40),
    height=st.integers(1, 2**40),
    bytes=st.none() | st.integers(0),
    bpp=maybe,
    psnr=maybe,
    mse=maybe,
    ms_ssim=maybe,
    encode_seconds=maybe,
    device=texts,
    versions=st.dictionaries(texts, texts, max_size=3),
    notes=st.dictionaries(
        texts, numbers | texts.filter(lambda text: text not in NOT_FINITE), max_size=3
    ),
    failed=st.none() | texts,
)


def row(setting: float = 75, **values: object) -> Row:
    return replace(Row("jpeg", "jpeg", setting, "fox", 3, 2, bytes=40), **values)


def write(path: Path, *written: Row) -> None:
    with appending(path) as file:
        for each in written:
            file.append(each)


def refuse_constant(token: str) -> None:
    raise AssertionError(f"{token} is no standard JSON")


@given(st.lists(rows, max_size=4, unique_by=lambda each: each.key))
def test_rows_come_back(tmp_path_factory: pytest.TempPathFactory, written: list[Row]) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write(path, *written)
    # As text, because NaN is no equal of itself.
    assert repr(read_rows(path)) == repr(written)
    lines = path.read_text().splitlines()
    assert len(lines) == len(written)
    for line in lines:
        json.loads(line, parse_constant=refuse_constant)


def test_an_image_may_be_called_nan(tmp_path: Path) -> None:
    names = [replace(row(), image=name, codec=name) for name in NOT_FINITE]
    write(tmp_path / "rows.jsonl", *names)
    assert read_rows(tmp_path / "rows.jsonl") == names


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "rows.jsonl") == []
    write(tmp_path / "new" / "folder" / "rows.jsonl", row())
    assert read_rows(tmp_path / "new" / "folder" / "rows.jsonl") == [row()]


def test_the_last_of_a_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    other = row(80)
    write(path, row(failed="killed"), other)
    write(path, row(psnr=30.0))
    assert {each.key: each for each in read_rows(path)} == {
        row().key: row(psnr=30.0),
        other.key: other,
    }


def test_a_row_cut_off_anywhere_loses_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    cut = row(90, image="füchse", psnr=math.inf, notes={"net": "10x28"})
    write(path, row(75), cut)
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole) + 1):
        path.write_bytes(whole[:end])
        kept = [row(75), cut] if end >= len(whole) - 1 else [row(75)]
        assert read_rows(path) == kept
        write(path, row(60))
        assert read_rows(path) == [*kept, row(60)]
        # The row that was lost is measured again.
        write(path, cut)
        assert {each.key for each in read_rows(path)} == {row(75).key, cut.key, row(60).key}


GOOD = '{"codec": "a", "family": "a", "setting": 1, "image": "i", "width": 1, "height": 1}'
GARBAGE = {
    "nothing": "",
    "binary": "\0\1\2",
    "null": "null",
    "number": "5",
    "text": '"codec"',
    "list": '["codec"]',
    "no field": "{}",
    "deep": "[" * 200_000,
    "many digits": "1" * 10_000,
    "codec list": GOOD.replace('"a"', "[]", 1),
    "codec object": GOOD.replace('"a"', "{}", 1),
    "setting text": GOOD.replace('"setting": 1', '"setting": "high"'),
    "width fraction": GOOD.replace('"width": 1', '"width": 1.5'),
    "width truth": GOOD.replace('"width": 1', '"width": true'),
    "width null": GOOD.replace('"width": 1', '"width": null'),
    "psnr text": GOOD.replace("}", ', "psnr": "good"}'),
    "notes list": GOOD.replace("}", ', "notes": []}'),
    "notes number": GOOD.replace("}", ', "notes": 3}'),
    "versions text": GOOD.replace("}", ', "versions": "1.0"}'),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_line_that_is_no_row_is_left_out_with_a_warning(
    garbage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(f"{GOOD}\n{garbage}\n".encode() + b"\xff\xfe\x00\n")
    write(path, row())
    with caplog.at_level(logging.WARNING, "bench"):
        found = read_rows(path)
    assert [each.codec for each in found] == ["a", "jpeg"]
    assert found[1] == row()
    warned = [re.sub(".*: (line [0-9]+) is.*", r"\1", each.getMessage()) for each in caplog.records]
    assert warned == ["line 2", "line 3"]


def test_what_a_newer_version_adds_is_no_garbage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(GOOD.replace("}", ', "vmaf": {"neg": 1}, "psnr": 30}') + "\n")
    (found,) = read_rows(path)
    assert (found.psnr, caplog.records) == (30, [])


def test_a_second_writer_of_this_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with appending(path) as file:
        with pytest.raises(RowsBusyError, match="another bench"), appending(path):
            pass
        file.append(row())
    write(path, row(80))
    assert read_rows(path) == [row(), row(80)]


def test_a_second_writer_of_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with appending(path) as file:
        done = subprocess.run(command, cwd=ROOT, stdin=DEVNULL, capture_output=True, check=True)
        assert done.stdout.startswith(f"busy: {path}: another bench".encode())
        file.append(row())
    with subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RowsBusyError), appending(path):
            pass
        # Reading needs no lock.
        assert read_rows(path) == [row()]
        other.kill()
        other.wait()
        write(path, row(80))
    assert read_rows(path) == [row(), row(80)]


def test_rows_survive_kills_of_their_writer(tmp_path: Path) -> None:
    """What was appended before the kill is there; the next writer goes on behind it."""
    path = tmp_path / "rows.jsonl"
    chance = random.Random(0)
    count = 0
    for _ in range(8):
        command = [sys.executable, "-c", WRITER, str(path), str(count)]
        with subprocess.Popen(command, cwd=ROOT, stdout=PIPE) as writer:
            assert writer.stdout
            said = writer.stdout.readline()
            time.sleep(chance.uniform(0, 0.02))
            writer.kill()
            said += writer.stdout.read()
        last = int(said[: said.rindex(b"\n")].split()[-1])
        found = [each.setting for each in read_rows(path)]
        assert found == list(range(len(found)))
        # One more may have been written and not yet been said.
        assert len(found) in (last + 1, last + 2)
        count = len(found)
