"""Checks the report of a bench: what it says, that nothing is lost, and the page in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from bench.codecs.codec import Codec, Coded, Picture
from bench.datasets import KODAK_NAMES
from bench.measures import measure
from bench.published import published_curve
from bench.report.compare import CLOSE, EQUAL, comparisons, equal_bytes
from bench.report.counterparts import counterparts
from bench.report.curves import PER_IMAGE, deltas, image_deltas, published, ranking
from bench.report.page import write_report
from bench.report.summary import summarise
from bench.rows import Row

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "</script><script>alert(1)</script>|"


def _still(form: str, name: str, family: str) -> Codec:
    def encode(picture: Picture, setting: float) -> Coded:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, form, quality=int(setting))
        return Coded(file.getvalue(), macs_per_pixel=12.0)

    def decode(data: bytes) -> Picture:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    settings = (5.0, 20.0, 40.0, 60.0, 90.0)
    versions = {"Pillow": "of the test"}
    return Codec(name, family, settings, settings, encode, decode, versions, whole=True)


CODECS = {
    codec.name: codec
    for codec in (
        _still("WEBP", "inrcodec-test", "inrcodec-test"),
        _still("JPEG", "jpeg", "jpeg"),
        _still("WEBP", "avif-444-s6", "avif"),
    )
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures of 96 x 64."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for name, (top, left) in {"eye": (60, 180), "rocket": (250, 380)}.items():
        paths.append(folder / f"{name}.png")
        Image.fromarray(skimage.data.astronaut()[top : top + 64, left : left + 96]).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of coded files."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def rows(images: list[Path], kept: Path) -> list[Row]:
    """Every codec, setting and picture, and two failures."""
    found = []
    for codec in CODECS.values():
        for setting in codec.settings:
            for path in images:
                picture = np.asarray(Image.open(path))
                data = codec.encode(picture, setting).data
                name = hashlib.sha256(data).hexdigest()
                (kept / name).write_bytes(data)
                row = _row(codec.name, codec.family, setting, path.stem, len(data))
                row = replace(row, file=name, **measure(picture, codec.decode(data)))
                found.append(replace(row, ms_ssim=0.9))
    broken = replace(_row("broken", "broken", 3, "eye", 9), failed=f"does not decode {HOSTILE}")
    return [*found, broken, replace(found[0], setting=95.0, failed="decodes to 2 x 2")]


def _row(codec: str, family: str, setting: float, image: str, size: int) -> Row:
    return Row(
        codec=codec,
        family=family,
        setting=setting,
        image=image,
        width=96,
        height=64,
        bytes=size,
        bpp=8 * size / (96 * 64),
        encode_seconds=0.004 if "avif" in codec else 0.002,
        decode_seconds=0.001,
        macs_per_pixel=12.0,
        peak_mib=3.5,
        versions={"Pillow": "of the test"},
        measured="2026-01-02T03:04:05+0000",
    )


Report = tuple[Path, Path, Path, Path]
"""The page, the plots of rates and speeds, the tables."""


@pytest.fixture(scope="module")
def report(
    rows: list[Row], images: list[Path], kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    """The files of the report."""
    folder = tmp_path_factory.mktemp("report")
    page, curves, speeds, tables = write_report(rows, folder, images, kept, codecs=CODECS)
    return page, curves, speeds, tables


def _data(page: Path) -> dict[str, object]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8")
    )
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


class _Loads(HTMLParser):
    """Collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_page_loads_nothing(report: Report) -> None:
    page = _Loads()
    page.feed(report[0].read_text("utf-8"))
    assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
    assert page.tags.count("script") == 3, "text of a row became a script"
    assert "link" in page.tags, "without an icon of its own the browser asks for one"


def test_everything_is_named(report: Report) -> None:
    page, tables = report[0].read_text("utf-8"), report[3].read_text("utf-8")
    for name in ("inrcodec-test", "jpeg", "avif-444-s6", "broken", "decodes to 2 x 2"):
        assert name in page.split("<script>")[0]
        assert name in tables
    assert "2 rows failed" in page
    assert "30 measured, 2 failed" in tables
    assert "Failed rows: 2" in tables
    assert "<script>" not in tables


def test_plots_are_pictures(report: Report) -> None:
    for path in report[1:3]:
        with Image.open(path) as plot:
            assert np.asarray(plot.convert("L")).std() > 5


def test_averages(rows: list[Row]) -> None:
    summary = summarise(rows)
    own = [row for row in rows if row.key[:2] == ("jpeg", 20.0)]
    point = next(p for p in summary.complete if (p.codec, p.setting) == ("jpeg", 20.0))
    mse = sum(row.mse or math.nan for row in own) / 2
    assert point.psnr == pytest.approx(sum(row.psnr or math.nan for row in own) / 2)
    assert point.mse_psnr == pytest.approx(10 * math.log10(255**2 / mse))
    assert point.ms_ssim == pytest.approx(10)
    assert point.encode == pytest.approx(0.002 / (96 * 64 / 1e6))
    assert summary.speeds["jpeg"].encode_ratio == pytest.approx(0.5)
    assert summary.speeds["avif-444-s6"].encode_ratio == pytest.approx(1)


def test_deltas_of_equal_and_of_larger_files(rows: list[Row]) -> None:
    """The codec under a second name, and with twice the bytes."""
    jpeg = [row for row in rows if row.codec == "jpeg"]
    same = [replace(row, codec="same") for row in jpeg]
    twice = [replace(row, codec="twice", bpp=2 * (row.bpp or 0)) for row in jpeg]
    summary = summarise([*jpeg, *same, *twice])
    for table in (deltas(summary, "mean-psnr"), image_deltas(summary)):
        found = {test: table.cells[test, "jpeg"] for test in ("same", "twice")}
        values = {test: cell.value for test, cell in found.items() if not isinstance(cell, str)}
        assert values == {"same": pytest.approx(0, abs=1e-6), "twice": pytest.approx(100)}


def test_few_points_say_so(rows: list[Row]) -> None:
    summary = summarise([row for row in rows if row.failed is None and row.setting < 50])
    table = deltas(summary, "mean-psnr")
    assert "3 usable points" in str(table.cells["jpeg", "avif-444-s6"])
    anchor, best = ranking(table, summary)
    assert anchor is None
    assert set(best) == {"jpeg", "avif-444-s6", "inrcodec-test"}


def test_incomplete_setting_is_in_no_curve(rows: list[Row]) -> None:
    left = [row for row in rows if row.key != ("jpeg", 20.0, "eye")]
    table = deltas(summarise(left), "mean-psnr")
    assert any("jpeg at 20" in note for note in table.notes)
    assert len([p for p in summarise(left).complete if p.codec == "jpeg"]) == 4


def test_published_curves_stand_beside_all_of_kodak_alone(rows: list[Row]) -> None:
    row = replace(rows[0], width=768, height=512)
    everything = [replace(row, image=name) for name in KODAK_NAMES]
    assert {curve.averaging for curve in published(summarise(everything), "mean-psnr")} == {
        "mean-psnr"
    }
    assert published(summarise(everything[:23]), "mean-psnr") == []
    small = [replace(each, width=384, height=256) for each in everything]
    assert published(summarise(small), "mean-psnr") == []


def test_page_marks_what_is_published(rows: list[Row], tmp_path: Path) -> None:
    """No codec has a setting over all pictures: the published curves stand alone."""
    two = [replace(rows[0], width=768, height=512, setting=setting) for setting in (1.0, 2.0)]
    half = [replace(two[index % 2], image=name) for index, name in enumerate(KODAK_NAMES)]
    page = write_report(half, tmp_path, [], tmp_path, codecs=CODECS)[0]
    views = _data(page)["rd"]
    assert isinstance(views, dict)
    traces = {trace["name"]: trace for trace in views["mean-psnr"]["traces"]}
    assert {trace["legendgroup"] for trace in traces.values()} == {"published"}
    assert {trace["line"]["dash"] for trace in traces.values()} == {"dash"}
    assert "published (est.)" in traces["COIN (est.)"]["hovertemplate"]
    assert "(est.)" not in traces["BPG 4:4:4"]["hovertemplate"]
    few = {trace["name"] for trace in views["psnr-of-mean-mse"]["traces"]}
    assert 0 < len(few) < len(traces)


def test_part_of_kodak_is_compared_picture_by_picture(rows: list[Row]) -> None:
    four = [
        replace(row, codec=row.codec, image=name, width=768, height=512)
        for row in rows
        if row.image == "eye" and row.failed is None
        for name in KODAK_NAMES[:4]
    ]
    table = image_deltas(summarise(four))
    assert table.rule == PER_IMAGE
    assert any("published" in test for test in table.tests)
    assert image_deltas(summarise([replace(row, width=384, height=256) for row in four])).tests == (
        *("avif-444-s6", "jpeg", "inrcodec-test"),
    )


def test_no_loss_is_in_no_curve(rows: list[Row], images: list[Path], tmp_path: Path) -> None:
    perfect = [
        replace(row, codec="png", family="png", setting=0, psnr=math.inf, mse=0.0, ms_ssim=1.0)
        for row in rows
        if row.key[:2] == ("jpeg", 90.0)
    ]
    paths = write_report([*rows, *perfect], tmp_path, images, tmp_path, codecs=CODECS)
    page = paths[0].read_text("utf-8")
    assert "png: 1 of 1 settings left out: no loss at all" in page
    assert "png has 0 usable points" in page
    assert "png" in paths[3].read_text("utf-8")


def test_every_figure_stands_beside_its_range(report: Report, rows: list[Row]) -> None:
    summary = summarise(rows)
    cell = deltas(summary, "mean-psnr").cells["jpeg", "avif-444-s6"]
    assert not isinstance(cell, str)
    figure = f"{cell.value:+.1f} ({cell.low:.1f} to {cell.high:.1f} dB)"
    page, tables = report[0].read_text("utf-8"), report[3].read_text("utf-8")
    assert f"jpeg</th><td>{figure}</td>" in page, "table of the codecs"
    assert tables.count(f"| {figure} |") >= 2, "table of the codecs, matrix"
    bare = r"\| [+-][\d.]+ \|"
    assert not re.search(bare, tables)


def test_why_there_is_no_figure_is_told(rows: list[Row], tmp_path: Path) -> None:
    """Of a codec that touches the others' PSNRs with its best point: the range, not a figure."""
    summary = summarise(rows)
    lowest = {name: min(p.psnr or 0 for p in summary.complete if p.codec == name)
              for name in CODECS}  # fmt: skip
    top = max(p.psnr or 0 for p in summary.complete if p.codec == "inrcodec-test")
    down = top - max(lowest.values()) - 0.5
    low = [
        replace(row, psnr=(row.psnr or 0) - down, mse=(row.mse or 0) * 10 ** (down / 10))
        if row.codec == "inrcodec-test"
        else row
        for row in rows
    ]
    page, _, _, tables = write_report(low, tmp_path, [], tmp_path, codecs=CODECS)
    reason = re.compile(
        r"avif-444-s6 and inrcodec-test have only \d\d\.\d\d to \d\d\.\d\d dB in common"
    )
    codecs = tables.read_text("utf-8").split("## BD-rate")[0]
    assert "| inrcodec-test | n/a |" in codecs
    assert reason.search(codecs)
    assert reason.search(page.read_text("utf-8").split('id="speed"')[1])


def test_what_was_left_out_is_shown_and_counted(
    rows: list[Row], images: list[Path], tmp_path: Path
) -> None:
    lines = [f"torn.png: can't be read {HOSTILE}", "jxl: pillow-jxl-plugin is not installed"]
    paths = write_report(rows, tmp_path, images, tmp_path, codecs=CODECS, left_out=lines)
    page, tables = paths[0].read_text("utf-8"), paths[3].read_text("utf-8")
    for text in (page.split("<script>")[0], tables):
        assert "torn.png" in text
        assert lines[1] in text
    assert "<dt>Left out</dt><dd>2 of" in page
    assert "## Left out: 2" in tables
    assert "<script>" not in tables


def test_perceptual_measures_and_notes(rows: list[Row], tmp_path: Path) -> None:
    """Means of the pictures in columns of their own; words in a list, numbers of a row nowhere."""
    scores = {"eye": 70.0, "rocket": 80.0}
    some = [
        replace(row, notes={"fit": "by hand", "steps": 98765, "ssimulacra2": scores[row.image]})
        if row.codec == "jpeg"
        else row
        for row in rows
    ]
    some[-1] = replace(some[-1], notes={"fit": "of a failed row"})
    tables = write_report(some, tmp_path, [], tmp_path, codecs=CODECS)[3].read_text("utf-8")
    head = next(line for line in tables.splitlines() if "SSIMULACRA2" in line)
    place = head.split("|").index(" SSIMULACRA2 ")
    lines = tables.split(head)[1].splitlines()[2:17]
    found = {tuple(line.split("|")[index].strip() for index in (1, place)) for line in lines}
    assert found == {("jpeg", "75.00"), ("avif-444-s6", "n/a"), ("inrcodec-test", "n/a")}
    assert "LPIPS" not in tables
    assert "- jpeg: fit: by hand\n" in tables
    assert "98765" not in tables
    assert "of a failed row" not in tables


def test_machines_are_named_and_mixing_them_is_said(rows: list[Row], tmp_path: Path) -> None:
    def page(machines: list[str]) -> str:
        some = [replace(row, machine=machines[i % len(machines)]) for i, row in enumerate(rows)]
        return write_report(some, tmp_path, [], tmp_path, codecs=CODECS)[3].read_text("utf-8")

    one, two = page(["Z80, 1 core"]), page(["Z80, 1 core", "Z80, 2 at a time"])
    assert "- Machine: Z80, 1 core\n" in one
    assert "Caution" not in one
    assert "- Machines: Z80, 1 core; Z80, 2 at a time\n" in two
    assert "- Caution: seconds come from 2 machines" in two


def _kodak_as_published(scale: float = 1.0) -> list[Row]:
    """Rows of 24 pictures, all different, whose means are `scale` times the published rates."""
    found = []
    curve = published_curve("webp")
    for place, (bpp, psnr) in enumerate(zip(curve.bpp, curve.psnr, strict=True)):
        for index, name in enumerate(KODAK_NAMES):
            off = (index - 11.5) / 12
            row = _row("webp-m4", "webp", 5.0 * (place + 1), name, 1000)
            row = replace(row, width=768, height=512, bpp=scale * bpp * (1 + off / 2))
            found.append(replace(row, psnr=psnr + 3 * off, mse=10.0))
    return found


def test_a_format_measured_as_published_differs_by_nothing() -> None:
    everything = _kodak_as_published()
    table = counterparts(summarise(everything))
    assert table
    (line,) = table[1]
    assert line[:2] == ["webp-m4", published_curve("webp").label]
    assert line[2:4] == ["+0.00", "28.3 to 41.8 dB"]
    assert "method 4" in line[4]
    twice = counterparts(summarise(_kodak_as_published(2.0)))
    assert twice
    assert twice[1][0][2] == "+100.00"


def test_counterparts_want_all_of_kodak_and_say_why_there_is_no_figure() -> None:
    everything = _kodak_as_published()
    fewer = [row for row in everything if row.image != "kodim24"]
    assert counterparts(summarise(fewer)) is None
    assert counterparts(summarise([replace(row, width=384) for row in everything])) is None
    three = counterparts(summarise([row for row in everything if row.setting < 20]))
    assert three
    assert three[1][0][2] == "n/a"
    assert "3 usable points" in three[1][0][3]


@pytest.mark.parametrize("goal", [21.0, 47.0, 88.0])
def test_equal_bytes_finds_the_setting(goal: float, images: list[Path]) -> None:
    codec, picture = CODECS["jpeg"], np.asarray(Image.open(images[0]))
    size = len(codec.encode(picture, goal).data)
    setting, coded = equal_bytes(codec, picture, size)
    assert setting.is_integer()
    assert len(coded.data) == pytest.approx(size, rel=0.02)


def test_equal_bytes_out_of_reach_takes_the_nearest(images: list[Path]) -> None:
    codec, picture = CODECS["jpeg"], np.asarray(Image.open(images[0]))
    assert equal_bytes(codec, picture, 5)[0] == 5.0
    assert equal_bytes(codec, picture, 10**6)[0] == 90.0


def test_comparison_shows_the_kept_file(
    rows: list[Row], images: list[Path], kept: Path, report: Report
) -> None:
    shown = _data(report[0])["compare"]
    assert isinstance(shown, dict)
    assert shown["base"] == "inrcodec-test"
    assert [view["image"] for view in shown["views"]] == ["eye", "rocket"]
    own = {row.bytes: row for row in rows if row.key[0::2] == ("inrcodec-test", "eye")}
    for point in shown["views"][0]["points"]:
        ours, *rivals = point["pictures"]
        assert {rival["codec"] for rival in rivals} == {"jpeg", "avif-444-s6"}
        assert ours["psnr"] == pytest.approx(own[ours["bytes"]].psnr)
        data = (kept / str(own[ours["bytes"]].file)).read_bytes()
        with Image.open(io.BytesIO(base64.b64decode(ours["src"].partition(",")[2]))) as embedded:
            assert np.array_equal(embedded, CODECS["inrcodec-test"].decode(data))
        apart = [abs(rival["bytes"] / ours["bytes"] - 1) > EQUAL for rival in rivals]
        assert apart == sorted(apart), "a rival of other bytes comes before one of equal bytes"
        # The rival "avif" is the very codec that stands for ours here.
        rival = next(rival for rival in rivals if rival["codec"] == "avif-444-s6")
        assert rival["bytes"] == pytest.approx(ours["bytes"], rel=CLOSE)


def _bytes(size: Callable[[float], float], ends: tuple[float, float], whole: bool) -> Codec:
    """A codec whose files have as many bytes as `size` says of the setting."""

    def encode(picture: Picture, setting: float) -> Coded:
        assert min(ends) <= setting <= max(ends)
        assert not whole or setting == int(setting)
        return Coded(bytes(round(size(setting))))

    low, high = ends
    inner = (low + (high - low) // 4, high - (high - low) // 4)
    return Codec(
        "sized", "sized", inner, inner, encode, lambda _: EMPTY, {}, limits=ends, whole=whole
    )


EMPTY = np.zeros((1, 1, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "ends", "whole"),
    [
        (lambda quality: 40 * quality, (1, 100), True),
        (lambda quantiser: 4000 * 0.9**quantiser, (51, 0), True),
        (lambda ratio: 24000 / ratio, (2000, 2), False),
    ],
    ids=["quality", "quantiser", "ratio"],
)
@pytest.mark.parametrize("wanted", [0.0, 0.03, 0.3, 0.5, 0.7, 0.97, 1.0])
def test_equal_bytes_are_sought_over_the_whole_range(
    size: Callable[[float], float], ends: tuple[float, float], whole: bool, wanted: float
) -> None:
    """Also outside the bench's settings, whichever way the settings run."""
    setting = ends[0] * (ends[1] / ends[0]) ** wanted if not whole else None
    aim = round(size(setting if setting else round(ends[0] + wanted * (ends[1] - ends[0]))))
    found, coded = equal_bytes(_bytes(size, ends, whole), EMPTY, aim)
    assert len(coded.data) == round(size(found))
    assert len(coded.data) == pytest.approx(aim, rel=CLOSE, abs=0.5)


def test_bytes_out_of_reach_give_the_end_and_no_costly_tries() -> None:
    tried = []
    codec = _bytes(lambda quality: 40 * quality, (1, 100), whole=True)

    def encode(picture: Picture, setting: float) -> Coded:
        tried.append(setting)
        return codec.encode(picture, setting)

    watched = replace(codec, encode=encode)
    assert equal_bytes(watched, EMPTY, 7)[0] == 1
    assert max(tried) < 30
    assert equal_bytes(watched, EMPTY, 9000)[0] == 100
    tried.clear()
    equal_bytes(watched, EMPTY, 2010)
    assert 100 not in tried
    assert equal_bytes(replace(codec, limits=None), EMPTY, 7)[0] == codec.settings[0]


def test_missing_files_are_a_line(rows: list[Row], images: list[Path], tmp_path: Path) -> None:
    shown = comparisons(summarise(rows), images, tmp_path, CODECS, None, ["jpeg", "avif-444-s6"])
    assert shown["views"] == []
    assert "FileNotFoundError" in shown["notes"][0]


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (lambda row: False, "there are no rows yet"),
        (lambda row: row.failed is not None, "all 2 rows failed"),
        (lambda row: row.image == "rocket" and row.setting < 30, "1: rocket"),
    ],
    ids=["no rows", "failures alone", "one picture, two settings"],
)
def test_little_to_report(
    keep: Callable[[Row], bool], says: str, rows: list[Row], images: list[Path], tmp_path: Path
) -> None:
    paths = write_report(list(filter(keep, rows)), tmp_path, images, tmp_path, codecs=CODECS)
    assert says in paths[0].read_text("utf-8")
    assert all(path.stat().st_size for path in paths)


@pytest.mark.skipif(BROWSER is None, reason="no chromium")
def test_page_in_a_browser(report: Report, tmp_path: Path) -> None:
    assert BROWSER
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--window-size=1280,800", "--virtual-time-budget=5000", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path}", f"{report[0].as_uri()}#selftest"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [line for line in done.stderr.splitlines() if ":CONSOLE" in line] == []
    drawn = done.stdout
    assert len(re.findall(r'class="trace scatter ', drawn)) == 3 + 2 * 3, "curves, two speeds each"
    found = re.search(r'data-selftest="([^"]*)"', drawn)
    assert found, "the comparison did not run"
    seen = json.loads(found[1].replace("&quot;", '"'))
    assert seen["before"]["size"] == [96, 64]
    assert seen["before"]["clip"].startswith("inset(0px 50% 0px 0px")
    assert seen["after"]["clip"].startswith("inset(0px 75% 0px 0px")
    assert seen["before"]["transform"].startswith("matrix(1, 0, 0, 1,")
    assert seen["after"]["transform"].startswith("matrix(4, 0, 0, 4,")
    assert seen["before"]["tags"][0] == "inrcodec-test"
    assert seen["after"]["tags"][0] == "original"
    assert seen["before"]["sources"][1] != seen["after"]["sources"][1]
