"""Checks that claims of pyramids are measured once, on real files, and their tables add up."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inrcodec
from bench import pyramid_rows
from bench.bd import NoDeltaError, bd_rate, rate_at
from bench.codecs.registry import find
from bench.datasets import KODAK_NAMES, digest, read_picture
from bench.published import per_image, published_curve, rate_weights
from bench.pyramid_claims import main
from bench.rows import Row, read_rows
from bench.worker import Task, empty_row, measured_row

Point = Callable[[Task], tuple[float, float]]

RIVAL = {0.01: (0.1, 28.0), 0.004: (0.2, 31.0), 0.001: (0.4, 34.0), 0.0004: (0.8, 37.0)}
"""Rate and PSNR by lambda: on a straight line, so that no interpolation shows."""

FURTHER = (1.6, 40.0)
"""One more point of the rival: the curves need not have as many."""


class Fake:
    """Stands for the processes of the bench: rows on a curve, and no encoding."""

    def __init__(self, point: Point) -> None:
        self.point, self.made, self.most = point, list[Task](), 10**6

    def run(self, tasks: Sequence[Task], jobs: int, done: Callable[[Row, float], None]) -> None:
        for task in tasks:
            if len(self.made) == self.most:
                raise KeyboardInterrupt
            self.made.append(task)
            done(self.row(task), 1.0)

    def row(self, task: Task) -> Row:
        bpp, psnr = self.point(task)
        return replace(
            empty_row(task),
            width=768,
            height=512,
            bytes=round(bpp * 768 * 512 / 8),
            bpp=bpp,
            psnr=psnr,
            mse=1.0,
            encode_seconds=2.0,
            decode_seconds=0.1,
            macs_per_pixel=1085.0,
            pixels=digest(read_picture(task.image)),
            versions=dict(find([task.codec])[0][0].versions),
            notes={"steps": 1940.0, "net": "12-12/24/2"},
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    factors = {"fox": 0.9, "owl": 1.2}

    def point(task: Task) -> tuple[float, float]:
        bpp, psnr = RIVAL[task.setting]
        return bpp * factors[task.image.stem], psnr

    found = Fake(point)
    monkeypatch.setattr(pyramid_rows, "run", found.run)
    return found


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """Two pictures, and a rival's points of both in a table of its own."""
    folder = pictures(tmp_path / "pictures", ["fox", "owl"])
    with (tmp_path / "points.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["system", "image", "lambda", "bpp", "psnr_db", "source"])
        for image in ("fox", "owl"):
            table.writerows(["Rival 2", image, at, *point, "here"] for at, point in RIVAL.items())
            table.writerow(["Rival 2", image, "", *FURTHER, "here"])
        table.writerow(["Rival 3", "fox", "0.1", "many", "30", "here"])
    out = ["--images", folder, "--pictures", "fox", "owl", "--out", tmp_path / "out"]
    return ["published", *out, "--rival", "Rival 2", "--per-image", tmp_path / "points.csv"]


def run_here(tasks: Sequence[Task], jobs: int, done: Callable[[Row, float], None]) -> None:
    for task in tasks:
        done(measured_row(task), 1.0)


def pictures(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir()
    for index, name in enumerate(names):
        Image.new("RGB", (3, 2), (index, 2 * index, 0)).save(folder / f"{name}.png")
    return folder


def claims(words: Sequence[object]) -> int:
    return main([str(word) for word in words])


def cells(text: str, first: str) -> Iterator[list[str]]:
    """The rows of all tables whose first cell is that."""
    for line in text.splitlines():
        found = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and found[0] == first:
            yield found


def test_a_run_that_was_cut_goes_on(
    fake: Fake, words: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.most = 3
    assert claims(words) == 130
    assert capsys.readouterr().err.endswith("interrupted; run it again to go on\n")
    assert len(read_rows(tmp_path / "out" / "rows.jsonl")) == 3
    assert claims([*words, "--kept"]) == 1
    assert "Missing: 5 files" in capsys.readouterr().out
    fake.most = 8
    assert claims(words) == 0
    assert len({task.key for task in fake.made}) == 8
    assert claims(words) == 0
    assert claims([*words, "--effort", 1, "--kept"]) == 1


def test_bd_rates_of_pictures_and_their_mean(
    fake: Fake, words: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert claims(words) == 0
    text = capsys.readouterr().out
    assert [row[1] for row in cells(text, "mean")] == ["+5.00 (28.0 to 37.0 dB)"]
    assert [row[-1] for row in cells(text, "owl")][-1] == "+20.00 (28.0 to 37.0 dB)"
    first = next(cells(text, "fox"))
    assert first[1:9] == ["0.01", "4,424", "0.0900", "28.00", "12-12/24/2", "1,940", "1,085", "2.0"]
    assert "8 files: at most 1,940 steps and 1,085 MAC/pixel; 2 s a file" in text


def test_rows_of_other_versions_count_only_where_asked(
    fake: Fake, words: list[object], tmp_path: Path
) -> None:
    assert claims(words) == 0
    path = tmp_path / "out" / "rows.jsonl"
    path.write_text(path.read_text().replace('"numpy": "', '"numpy": "0.'))
    assert claims([*words, "--any-version"]) == 0
    assert claims([*words, "--kept"]) == 0
    assert len(fake.made) == 8
    assert claims(words) == 0
    assert len(fake.made) == 16


def test_another_picture_of_that_name_counts_nowhere(
    fake: Fake, words: list[object], tmp_path: Path
) -> None:
    assert claims(words) == 0
    Image.new("RGB", (3, 2), "teal").save(tmp_path / "pictures" / "fox.png")
    assert claims([*words, "--any-version", "--kept"]) == 1
    assert claims([*words, "--any-version"]) == 0
    assert [task.image.stem for task in fake.made[8:]] == ["fox"] * 4


def test_avif_is_measured_in_the_same_run(
    fake: Fake, words: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    def point(task: Task) -> tuple[float, float]:
        if task.codec == "inrcodec-pyramid-e5":
            return RIVAL[task.setting]
        factor = 2 if task.codec.endswith("psnr") else 1
        return factor * (1 + task.setting) / 70, 27 + task.setting / 5

    fake.point = point
    assert claims(["avif", *words[1:-4], "--lambdas", *RIVAL]) == 0
    against, tuned = next(cells(capsys.readouterr().out, "mean"))[1:]
    percents = [float(re.match(r"\S+", cell)[0]) for cell in (against, tuned)]  # type: ignore[index]
    assert 1 + percents[0] / 100 == pytest.approx(2 * (1 + percents[1] / 100), rel=0.05)
    assert {task.codec for task in fake.made} == {
        *("avif-444-s2", "avif-444-s2-psnr", "inrcodec-pyramid-e5")
    }


@pytest.mark.parametrize("count", [24, 23])
def test_low_rates_stand_beside_an_average_of_the_same_pictures(
    count: int, fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vtm = published_curve("vtm-18.0")
    psnr = {0.02: 26.0, 0.01: 27.5, 0.005: 30.0}
    more = {0.02: 1.02, 0.01: 1.04, 0.005: 1.5}

    def point(task: Task) -> tuple[float, float]:
        # Pictures differ; only the means are on the curve.
        sign = 1 if KODAK_NAMES.index(task.image.stem) % 2 else -1
        bpp = rate_at(vtm, psnr[task.setting]) * more[task.setting]
        return bpp * (1 + sign / 4), psnr[task.setting] + sign

    fake.point = point
    folder = pictures(tmp_path / "kodak", KODAK_NAMES)
    words = ["low", "--images", folder, "--out", tmp_path / "out", "--pictures"]
    assert claims([*words, *range(1, count + 1)]) == 0
    text = capsys.readouterr().out
    last = [next(cells(text, name))[-1] for name in ("0.02", "0.01", "0.005")]
    mean = next(cells(text, "mean below 0.15 bpp"))[-1]
    if count == 24:
        assert last == ["+2.00", "+4.00", "+50.00"]
        assert mean == "+3.00"
        assert "lambda 0.005: not below 0.15 bpp" in text
    else:
        assert {*last, mean} == {"n/a"}
        assert "averages of 24 pictures" in text


def test_halves_are_real_files_that_decode_at_twice_their_size(
    tmp_path: Path,
    photo: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # In this process: another one would take longer to start than to work.
    monkeypatch.setattr(pyramid_rows, "run", run_here)
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(photo[:-1]).save(folder / "face.png")
    words = ["scale", "--images", folder, "--pictures", "face", "--out", out, "--effort", 1]
    assert claims([*words, "--lambdas", 1e-3, "--jobs", 2]) == 0
    text = capsys.readouterr().out
    original = photo[:46].astype(np.float64)
    means = original.reshape(23, 2, 20, 2, 3).mean((1, 3))
    area = read_picture(out / "halved" / "face-area.png")
    assert np.abs(area - means).max() <= 0.5
    rows = {row.image: row for row in read_rows(out / "rows.jsonl")}
    assert rows.keys() == {"face-area", "face-lanczos"}
    shown = list(cells(text, "face"))
    for row, found in zip(rows.values(), shown, strict=True):
        assert row.file is not None
        data = (out / "files" / row.file).read_bytes()
        assert row.bytes == len(data)
        native = Image.fromarray(inrcodec.decode(data).samples)
        lanczos = np.asarray(native.resize((40, 46), Image.Resampling.LANCZOS))
        ours = inrcodec.decode(data, scale=2).samples
        for picture, cell in zip((ours, lanczos), found[5:7], strict=True):
            error = np.square(original - picture).mean()
            assert float(cell) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
        assert float(found[7]) == pytest.approx(float(found[5]) - float(found[6]), abs=2e-3)
    before = (out / "rows.jsonl").read_bytes()
    assert claims([*words, "--lambdas", 1e-3]) == 0
    assert (out / "rows.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (["--rival", "Rival 9"], "no per-image points of 'Rival 9'; known: Rival 2, Rival 3"),
        (["--rival", "Rival 3"], "a row of 'Rival 3' lacks an image, or numbers as bpp"),
        (["--per-image", "absent.csv"], "No such file or directory: 'absent.csv'"),
        (["--pictures", "8"], "no picture named kodim08"),
        (["--images", "absent"], "absent: no such folder"),
    ],
)
def test_mistakes_are_one_line(
    changes: list[str],
    line: str,
    fake: Fake,
    words: list[object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert claims([*words, *changes]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not fake.made


def test_a_failure_is_named_and_tried_again(
    fake: Fake, words: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    row = fake.row
    fake.row = lambda task: replace(row(task), failed="no memory")  # type: ignore[method-assign]
    assert claims([*words, "--lambdas", 0.01]) == 1
    assert "- owl, inrcodec-pyramid-e5 at 0.01: no memory\n" in capsys.readouterr().out
    fake.row = row  # type: ignore[method-assign]
    assert claims([*words, "--lambdas", 0.01]) == 0
    assert len(fake.made) == 4


@pytest.mark.parametrize("text", ["0", "-1", "many", "nan"])
def test_a_lambda_that_is_none_is_refused(
    text: str, words: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        claims([*words, "--lambdas", text])
    assert "--lambdas" in capsys.readouterr().err.splitlines()[-1]


def test_the_points_of_a_table(words: list[object]) -> None:
    table = Path(str(words[-1]))
    assert per_image("Rival 2", table)["owl"].bpp == (0.1, 0.2, 0.4, 0.8, 1.6)
    assert rate_weights("Rival 2", table) == (0.01, 0.004, 0.001, 0.0004)
    assert rate_weights("cool-chic-5.0.1-mop-2000") == (4e-3, 1.5e-3, 6e-4, 2e-4)
    assert rate_weights("cool-chic-5.0.1-hop") == (2e-2, 4e-3, 1e-3, 4e-4, 1e-4)


def test_rates_between_points_are_those_of_the_bd_rate() -> None:
    curve = published_curve("vtm-19.1")
    for bpp, psnr in zip(curve.bpp, curve.psnr, strict=True):
        assert rate_at(curve, psnr) == pytest.approx(bpp)
    levels = np.linspace(curve.psnr[0], curve.psnr[-1], 1000)
    rates = [rate_at(curve, float(psnr)) for psnr in levels]
    assert (np.diff(rates) > 0).all()
    straight = replace(curve, bpp=tuple(np.exp(levels / 10)), psnr=tuple(levels))
    difference = np.mean(levels / 10 - np.log(rates))
    assert bd_rate(curve, straight).value == pytest.approx(100 * np.expm1(difference), rel=1e-3)
    for psnr in (curve.psnr[0] - 0.01, curve.psnr[-1] + 0.01, float("nan")):
        with pytest.raises(NoDeltaError, match="is outside VTM"):
            rate_at(curve, psnr)
