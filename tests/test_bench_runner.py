"""The bench as it is run: rows kept, runs taken up again, failures counted, clear mistakes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import worker
from bench.cli import clock, main
from bench.codecs.codec import Codec, Coded, Picture
from bench.datasets import KODAK, QUICK, DatasetError, find_images
from bench.rows import appending, read_rows
from bench.runner import _result, seconds_left
from bench.worker import Task, measured_row

CODECS = ["--codecs", "jpeg", "webp"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows, columns = np.mgrid[0:48, 0:72]
    for index in range(2):
        waves = 128 + 100 * np.sin((rows * (index + 1) + columns) / 9)
        samples = np.stack([waves, waves[::-1], columns * 3], axis=-1).astype(np.uint8)
        Image.fromarray(samples).save(folder / f"waves{index}.png")
    return folder


def bench(*words: object) -> int:
    return main([str(word) for word in words])


def task(pictures: Path, **changes: object) -> Task:
    path = pictures / "waves0.png"
    plain = Task("fake", "fake", 1.0, path, pictures.parent / "files", "a machine")
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_run_keeps_rows_and_files_and_a_second_one_measures_nothing(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert bench("run", "--images", pictures, "--out", out, "--jobs", 2, *CODECS) == 0
    rows = read_rows(out / "rows.jsonl")
    assert {(row.codec, row.image) for row in rows} == {
        (codec, image) for codec in ("jpeg", "webp") for image in ("waves0", "waves1")
    }
    for row in rows:
        assert row.failed is None
        assert row.file is not None
        assert (out / "files" / row.file).stat().st_size == row.bytes
        assert row.bpp == 8 * row.bytes / (72 * 48)
        assert row.psnr is not None
        assert row.psnr > 15
    reports = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.name for path in reports} >= {"report.html", "rd.png", "table.md", "jpeg.json"}
    assert all(path.stat().st_size for path in reports)

    assert all(row.threads == 1 and "2 at a time" in row.machine for row in rows)

    before = (out / "rows.jsonl").read_bytes()
    assert bench("run", "--images", pictures, "--out", out, *CODECS) == 0
    assert (out / "rows.jsonl").read_bytes() == before
    assert bench("run", "--images", pictures, "--out", out, *CODECS, "--again", "jpeg") == 0
    again = read_rows(out / "rows.jsonl")
    assert len(again) == len(rows)
    assert (out / "rows.jsonl").read_bytes().count(b"\n") == len(rows) + sum(
        row.codec == "jpeg" for row in rows
    )


def test_rows_of_another_version_are_measured_again(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", "--images", pictures, "--out", out, "--codecs", "jpeg", "--settings", 50]
    assert bench(*words) == 0
    path = out / "rows.jsonl"
    path.write_text(path.read_text().replace('"Pillow": "', '"Pillow": "0.'))
    assert bench(*words) == 0
    assert len(path.read_text().splitlines()) == 4
    assert all(not row.versions["Pillow"].startswith("0.") for row in read_rows(path))


def test_another_picture_of_the_same_name_is_measured(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", "--images", pictures, "--out", out, "--codecs", "jpeg", "--settings", 50]
    assert bench(*words) == 0
    Image.new("RGB", (72, 48), "teal").save(pictures / "waves0.png")
    assert bench(*words) == 0
    rows = {row.image: row for row in read_rows(out / "rows.jsonl")}
    assert len((out / "rows.jsonl").read_text().splitlines()) == 3
    assert rows["waves0"].psnr > 40 > rows["waves1"].psnr  # type: ignore[operator]


def test_a_failed_row_is_tried_again(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", "--images", pictures, "--out", out, "--codecs", "jpeg", "--settings", 50]
    out.mkdir()
    (out / "files").touch()
    assert bench(*words) == 0
    assert all(row.failed for row in read_rows(out / "rows.jsonl"))
    (out / "files").unlink()
    assert bench(*words) == 0
    assert not [row for row in read_rows(out / "rows.jsonl") if row.failed]


def test_fractional_settings_of_whole_codecs_fail(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--images", pictures, "--out", out, "--codecs", "jpeg", "--settings", 50, 50, 0.5]
    assert bench("run", *words) == 0
    rows = {(row.image, row.setting): row.failed for row in read_rows(out / "rows.jsonl")}
    assert len(rows) == 4
    assert rows["waves0", 50] is None
    assert rows["waves0", 0.5] == "setting 0.5: jpeg wants whole numbers"


@pytest.mark.parametrize("seconds", [0.5, 1.5, 5])
def test_a_ctrl_c_is_one_line(pictures: Path, tmp_path: Path, seconds: float) -> None:
    words = ["--images", pictures, "--out", tmp_path / "out", "--codecs", "inrcodec-siren-e1"]
    command = [sys.executable, "-m", "bench", "run", *map(str, words)]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    ) as run:
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGINT)
        error = run.communicate(timeout=60)[1]
    # A run that was over by then is fine too.
    if run.returncode:
        assert run.returncode in (130, -signal.SIGINT)
        assert "Traceback" not in error
        if run.returncode == 130:
            assert "bench: interrupted" in error.splitlines()[-1]


def test_a_killed_run_loses_the_rows_in_flight_at_most(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--images", pictures, "--out", out, "--codecs", "jpeg", "webp", "avif-444-s2"]
    command = [sys.executable, "-m", "bench", "run", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1]) as run:
        path = out / "rows.jsonl"
        deadline = time.monotonic() + 60
        while not path.exists() or path.read_bytes().count(b"\n") < 3:
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    kept = path.read_bytes()
    assert bench("run", *words) == 0
    assert path.read_bytes().startswith(kept)
    rows = read_rows(path)
    assert len(rows) == path.read_bytes().count(b"\n")
    assert not [row for row in rows if row.failed]
    assert {row.codec for row in rows} == {"jpeg", "webp", "avif-444-s2"}


def test_mistakes_are_one_line(
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    twins = tmp_path / "twins"
    twins.mkdir()
    (twins / "a.png").touch()
    (twins / "a.bmp").touch()
    monkeypatch.delenv(KODAK, raising=False)
    for words, text in (
        (
            ["--images", tmp_path / "none"],
            "no such folder; give --images FOLDER or set INRCODEC_KODAK",
        ),
        (["--images", empty], "holds no lossless picture"),
        (["--images", pictures, "--only", "kodim01"], "no picture named kodim01"),
        (["--images", twins], "two pictures are named a; rename one"),
        (["--images", pictures, "--codecs", "jpg"], "'jpg' is unknown; did you mean jpeg"),
    ):
        assert bench("run", "--out", out, *words) == 2
        error = capsys.readouterr().err
        assert text in error
        assert len(error.splitlines()) == 1
    assert bench("report", "--out", out, "--images", pictures) == 2
    assert "no row of these pictures and codecs" in capsys.readouterr().err
    with appending(out / "rows.jsonl"):
        assert bench("run", "--images", pictures, "--out", out, *CODECS) == 2
    assert "another bench is writing it" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_left_out(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    out = tmp_path / "out"
    assert bench("run", "--images", pictures, "--out", out, "--codecs", "jpeg") == 0
    assert {row.image for row in read_rows(out / "rows.jsonl")} == {"waves0", "waves1"}
    assert "broken.png: can't be read as a picture" in caplog.text
    assert "broken.png" in (out / "table.md").read_text()


def test_a_codec_that_is_not_installed_is_left_out(
    pictures: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("INRCODEC_ZOO", raising=False)
    monkeypatch.setitem(sys.modules, "compressai", None)
    out = tmp_path / "out"
    caplog.set_level("INFO")
    words = ["--codecs", "mbt2018", "jpeg", "--settings", 50]
    assert bench("run", "--images", pictures, "--out", out, *words) == 0
    assert {row.codec for row in read_rows(out / "rows.jsonl")} == {"jpeg"}
    assert "left out: mbt2018" in caplog.text


def test_the_quick_set_is_four_pictures_of_kodak(tmp_path: Path) -> None:
    for index in range(1, 25):
        (tmp_path / f"kodim{index:02d}.png").touch()
    assert len(find_images(tmp_path, None, None)) == 24
    assert tuple(path.stem for path in find_images(tmp_path, None, 4)) == QUICK
    assert [path.stem for path in find_images(tmp_path, ["kodim07"], 4)] == ["kodim07"]
    with pytest.raises(DatasetError, match="no picture named nobody"):
        find_images(tmp_path, ["nobody"], None)


def fake(encode: bytes, decoded: object) -> Codec:
    def decode(_: bytes) -> Picture:
        if isinstance(decoded, Exception):
            raise decoded
        return decoded  # type: ignore[return-value]

    return Codec(
        "fake", "fake", (1,), (1,), lambda _picture, _setting: Coded(encode), decode, {"fake": "1"}
    )


@pytest.mark.parametrize(
    ("decoded", "why"),
    [
        (RuntimeError("bad\nfile"), "does not decode: RuntimeError: bad"),
        (np.zeros((48, 71, 3), np.uint8), "decodes to 71 x 48, not the original's size"),
    ],
)
def test_a_file_that_does_not_decode_to_its_size_is_a_failed_row(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, decoded: object, why: str
) -> None:
    monkeypatch.setattr(worker, "find", lambda _names: ([fake(b"file", decoded)], []))
    row = measured_row(task(pictures))
    assert row.failed is not None
    assert row.failed.startswith(why)
    assert row.bytes == 4
    assert row.psnr is None
    assert row.key == task(pictures).key


def test_the_size_is_that_of_the_file(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.asarray(Image.open(pictures / "waves0.png"))
    monkeypatch.setattr(worker, "find", lambda _names: ([fake(b"12345", picture)], []))
    row = measured_row(task(pictures))
    assert (row.bytes, row.bpp, row.mse, row.failed) == (5, 40 / (72 * 48), 0.0, None)
    assert row.psnr == float("inf")
    assert row.encode_seconds is not None
    assert row.decode_seconds is not None
    assert row.versions == {"fake": "1"}


def test_a_process_that_dies_is_a_failed_row(pictures: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=os._exit, args=(3,))
    process.start()
    theirs.close()
    row = _result(ours, task(pictures), process)
    assert row.failed == "its process ended with code 3 and no result"
    assert json.dumps(row.key) == json.dumps(task(pictures).key)


def test_time_left_comes_from_rows_of_the_same_codec(pictures: Path) -> None:
    tasks = [task(pictures, setting=float(index)) for index in range(6)]
    assert seconds_left(tasks, {"fake": [4.0, 6.0]}, jobs=2) == 15
    slow = [task(pictures, codec="other", slow=True)]
    assert seconds_left(slow, {}, jobs=1) > seconds_left([task(pictures)], {}, jobs=1)
    assert (clock(61), clock(3661)) == ("01:01", "01:01:01")
