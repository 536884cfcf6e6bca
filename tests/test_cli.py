"""Checks the command line: what it does, what it refuses, and what it leaves behind."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import inrcodec
from inrcodec import cli
from inrcodec.bitstream.container import pack_section, unpack, unpack_front
from inrcodec.bitstream.wire import MAJOR, MINOR
from inrcodec.cli import encode as cli_encode
from inrcodec.cli import main
from inrcodec.cli.progress import Watch
from inrcodec.coding import tiles
from inrcodec.errors import ExitCode
from inrcodec.native_choice import describe

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 16, 24
ARRAY_FILES = {
    "inrcodec.files.labels",
    "inrcodec.files.signals",
    "h5py",
    "nibabel",
    "xarray",
    "zarr",
}
"""What reads and writes array files, which no picture needs."""

QUICK = ("--steps", "5", "--net", "2x8", "-e", "1")
QUICK_OF = {"siren": QUICK, "pyramid": ("--steps", "5", "--net", "6/8/1", "-e", "1")}
PATIENCE = 300.0
"""Seconds after which a child that does not answer counts as stuck."""


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def lines(self) -> list[str]:
        return self.err.decode().splitlines()

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]

each_kind = pytest.mark.parametrize("kind", QUICK_OF)


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process, with `stdin` bytes."""

    def running(*words: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = main([str(word) for word in words])
        return Done(code, *capsysbinary.readouterr())

    return running


def picture(height: int = HEIGHT, width: int = WIDTH, bands: int = 3) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [rows * 7, columns * 5, rows + columns, 255 - rows]
    return np.stack(planes[:bands], axis=-1).astype(np.uint8)


def save(path: Path, **shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(**shape)).save(path)


def content(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """More threads than free cores make fits of this size many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoded() -> bytes:
    return inrcodec.encode(picture(), steps=5, net="2x8", effort=1)


@pytest.fixture(scope="module")
def pyramid(photo: np.ndarray) -> bytes:
    """A file whose latents are in several sections, though it is small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "GROUP_BYTES", 20)
        return inrcodec.encode(photo, net="6/8/1", steps=80, rate_weight=1e-4, effort=1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoded: bytes) -> Path:
    """The current folder, with a picture and its file."""
    monkeypatch.chdir(tmp_path)
    save(Path("photo.png"))
    Path("photo.inrc").write_bytes(encoded)
    return tmp_path


def child(*words: object, **how: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-m", "inrcodec", *map(str, words)]
    return subprocess.run(command, env=environment(), check=False, timeout=PATIENCE, **how)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


# encode


@each_kind
def test_encode_one_file(here: Path, run: Run, kind: str) -> None:
    done = run("encode", "photo.png", "new.inrc", *QUICK_OF[kind])
    data = Path("new.inrc").read_bytes()
    assert (done.code, done.out) == (0, b"")
    (line,) = done.lines
    assert line.startswith(f"new.inrc: {len(data)} bytes, {8 * len(data) / 384:.3f} bpp, ")
    assert f"{kind} {QUICK_OF[kind][3]}" in line
    assert inrcodec.decode(data).samples.shape == (HEIGHT, WIDTH, 3)


def test_encode_tuned(here: Path, run: Run) -> None:
    """What it was tuned for is reported beside the PSNR."""
    words = ("encode", "photo.png", "new.inrc", *QUICK_OF["pyramid"], "--tune", "ms-ssim", "-f")
    (line,) = run(*words).lines
    (record,) = run(*words, "--json").records
    assert 0 < record["ms_ssim"] < 1
    assert f" {record['psnr']:.2f} dB, MS-SSIM {record['ms_ssim']:.4f}, pyramid" in line


@each_kind
def test_encode_json(here: Path, run: Run, kind: str) -> None:
    done = run("encode", "photo.png", "new.inrc", *QUICK_OF[kind], "--json")
    (record,) = done.records
    assert done.lines == []
    assert record | {"psnr": 0, "max_error": 0, "seconds": 0} == {
        "input": "photo.png",
        "output": "new.inrc",
        "bytes": Path("new.inrc").stat().st_size,
        "samples": HEIGHT * WIDTH,
        "bpp": 8 * Path("new.inrc").stat().st_size / (HEIGHT * WIDTH),
        "psnr": 0,
        "max_error": 0,
        "ms_ssim": None,
        "seconds": 0,
        # Those after each rounded layer count for a pyramid.
        "steps": 5 if kind == "siren" else record["steps"],
        "kind": kind,
        "net": QUICK_OF[kind][3],
        "effort": 1,
        "device": record["device"],
        "macs_per_sample": inrcodec.info("new.inrc")["tracks"][0]["macs_per_sample"],
        "interrupted": False,
    }
    compared = run("compare", "photo.png", "new.inrc", "--json").records[0]
    assert compared["psnr"] == pytest.approx(record["psnr"])
    assert compared["bpp"] == record["bpp"]
    assert compared["max_error"] == record["max_error"]


def test_quiet_is_quiet(here: Path, run: Run) -> None:
    assert run("encode", "photo.png", "new.inrc", *QUICK, "--quiet") == Done(0, b"", b"")
    assert run("decode", "new.inrc", "new.png", "--quiet") == Done(0, b"", b"")


@each_kind
def test_standard_streams(here: Path, run: Run, kind: str) -> None:
    made = run("encode", "-", "-", *QUICK_OF[kind], "--json", stdin=Path("photo.png").read_bytes())
    assert made.code == 0
    assert inrcodec.decode(made.out).samples.shape == (HEIGHT, WIDTH, 3)
    (line,) = made.lines
    assert json.loads(line)["bytes"] == len(made.out)
    shown = run("decode", "-", "-", "--json", stdin=made.out)
    (line,) = shown.lines
    assert json.loads(line)["lattice"] == {"y": HEIGHT, "x": WIDTH}
    with Image.open(io.BytesIO(shown.out)) as image:
        assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
    described = run("info", "-", "--json", stdin=made.out)
    assert described.records[0]["bytes"] == len(made.out)
    compared = run("compare", "photo.png", "-", stdin=made.out)
    assert compared.out.startswith(b"psnr")


@pytest.mark.parametrize("words", [("a.png", "b.png", "-q", 20), ("-q", 20, "a.png", "b.png")])
def test_options_may_stand_anywhere(here: Path, run: Run, words: Sequence[object]) -> None:
    save(Path("a.png"))
    save(Path("b.png"))
    assert run("encode", *words, "out", *QUICK).code == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.inrc", "b.inrc"}


def test_names_that_look_like_options(here: Path, run: Run) -> None:
    save(Path("-q.png"))
    assert run("encode", *QUICK, "--", "-q.png", "-q.inrc").code == 0
    assert Path("-q.inrc").exists()


def test_into_an_existing_folder(here: Path, run: Run) -> None:
    Path("out").mkdir()
    assert run("encode", "photo.png", "out", *QUICK).code == 0
    assert Path("out/photo.inrc").exists()


def test_folder_keeps_its_tree_and_skips_what_is_no_picture(here: Path, run: Run) -> None:
    for name in ("in/a.png", "in/deep/er/b.bmp", "in/.hidden.png", "in/.git/c.png"):
        save(Path(name))
    Path("in/a.txt").write_text("notes on a")
    done = run("encode", "in", "out", *QUICK)
    assert done.code == ExitCode.CANNOT_READ
    skipped, *made, summary = done.lines
    assert skipped.startswith("inrcodec: skipped: in/a.txt: ")
    assert [line.partition(":")[0] for line in made] == ["out/a.inrc", "out/deep/er/b.inrc"]
    assert summary == "inrcodec: 2 of 3 files done, 1 left out"
    assert {*content(Path("out"))} == {"a.inrc", "deep", "deep/er", "deep/er/b.inrc"}

    back = run("decode", "out", "back", "--format", "jpg", "--json")
    assert [record["output"] for record in back.records] == ["back/a.jpg", "back/deep/er/b.jpg"]
    assert (back.code, back.lines) == (0, [])


def test_a_file_that_fails_does_not_stop_the_rest(here: Path, run: Run) -> None:
    Path("bad.png").write_bytes(Path("photo.png").read_bytes()[:60])
    done = run("encode", "bad.png", "photo.png", "out", *QUICK)
    assert done.code == ExitCode.CANNOT_READ
    assert done.lines[0].startswith("inrcodec: bad.png: ")
    assert done.lines[-1] == "inrcodec: 1 of 2 files done, 1 left out"
    assert {*content(Path("out"))} == {"photo.inrc"}


def test_a_full_disk_stops_everything(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    save(Path("in/a.png"))
    save(Path("in/b.png"))
    done = run("encode", "in", "out", *QUICK)
    assert done.code == ExitCode.CANNOT_WRITE
    assert len(done.lines) == 1
    assert content(Path("out")) == {}


def test_metadata(here: Path, run: Run) -> None:
    exif = Image.Exif()
    exif[0x010E] = "A ramp"
    Image.fromarray(picture()).save("tagged.png", exif=exif)
    for keep, names in (("icc", []), ("all", ["exif"]), ("none", [])):
        assert run("encode", "tagged.png", "t.inrc", "-f", "--metadata", keep, *QUICK).code == 0
        assert [*run("info", "t.inrc", "--json").records[0]["metadata"]] == names


def test_threads(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert run("encode", "photo.png", "a.inrc", *QUICK).code == 0
    assert 3 not in asked
    assert run("encode", "photo.png", "b.inrc", *QUICK, "-j", 3).code == 0
    assert 3 in asked


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ((), "pyramid"),
        (("--kind", "pyramid"), "pyramid"),
        (("--kind", "siren"), "siren"),
        (("--net", "1x4"), "siren"),
        (("--net", "4/4/0"), "pyramid"),
    ],
)
def test_kinds(here: Path, run: Run, words: Sequence[str], kind: str) -> None:
    done = run("encode", "photo.png", "new.inrc", "--steps", 3, "-e", 1, "--json", *words)
    assert done.records[0]["kind"] == kind
    assert [track["kind"] for track in inrcodec.info("new.inrc")["tracks"]] == [kind]


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", 1), ("12k", 12_000), ("1.5M", 1_500_000), ("0.25G", 250_000_000), ("5T", 5 * 10**12)],
)
def test_counts(text: str, count: int) -> None:
    words = ["encode", "a.png", "a.inrc", "--target-size", text]
    assert cli.parser().parse_args(words).target_size == count


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "12q", "1e3", "k", "", "nan", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 99]
)
def test_bad_counts(text: str, run: Run) -> None:
    done = run("encode", "a.png", "a.inrc", f"--target-size={text}")
    assert (done.code, len(done.lines)) == (ExitCode.USAGE, 1)


# decode


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_decode_at_any_size(here: Path, run: Run, encoded: bytes) -> None:
    field = inrcodec.open(encoded)
    run("decode", "photo.inrc", "same.png")
    run("decode", "photo.inrc", "scaled.png", "--scale", 2.5)
    run("decode", "photo.inrc", "sized.bmp", "--size", "31x17")
    run("decode", "photo.inrc", "cropped.npy", "--size", "31x17", "--crop", "3,4,20,10")
    assert (pixels("same.png") == field[...]).all()
    assert (pixels("scaled.png") == field.resize((40, 60))).all()
    assert (pixels("sized.bmp") == field.resize((17, 31))).all()
    assert (np.load("cropped.npy") == field.resize((17, 31))[4:14, 3:23]).all()


def test_decode_json(here: Path, run: Run, encoded: bytes) -> None:
    done = run("decode", "photo.inrc", "a.png", "--crop", "0,0,5,4", "--json")
    (record,) = done.records
    assert record | {"seconds": 0} == {
        "input": "photo.inrc",
        "output": "a.png",
        "bytes": len(encoded),
        "lattice": {"y": 4, "x": 5},
        "channels": ["red", "green", "blue"],
        "problem": None,
        "seconds": 0,
    }


def test_decode_points(here: Path, run: Run, encoded: bytes) -> None:
    points = np.array([[0, 0], [10.5, 20.25], [-3, 99]])
    np.save("points.npy", points)
    expected = inrcodec.open(encoded).at(points)
    assert run("decode", "photo.inrc", "values.npy", "--at", "points.npy").code == 0
    values = np.load("values.npy")
    assert values.dtype == np.float32
    assert (values == expected).all()
    done = run("decode", "photo.inrc", "-", "--at", "points.npy", "--json")
    assert (np.load(io.BytesIO(done.out)) == expected).all()
    assert json.loads(done.err)["lattice"] == {"points": 3}


@pytest.mark.parametrize(
    ("target", "words", "kind"),
    [
        ("a.JPG", (), "JPEG"),
        ("a.webp", ("--format", "webp"), "WEBP"),
        ("a", ("--format", "jpeg"), "JPEG"),
        ("a.tmp", ("--format", "TIF"), "TIFF"),
    ],
)
def test_format(here: Path, run: Run, target: str, words: Sequence[str], kind: str) -> None:
    assert run("decode", "photo.inrc", target, *words).code == 0
    with Image.open(target) as image:
        assert image.format == kind


def test_format_of_standard_output(here: Path, run: Run) -> None:
    done = run("decode", "photo.inrc", "-", "--format", "npy")
    assert np.load(io.BytesIO(done.out)).shape == (HEIGHT, WIDTH, 3)


# What is left of a file


def section_ends(data: bytes) -> list[int]:
    """Where the header ends, and each section."""
    _, sections = unpack(data)
    ends = [unpack_front(data)[2]]
    for section in sections:
        ends.append(ends[-1] + len(pack_section(section)))
    assert ends[-1] == len(data)
    return ends


def test_partial_gives_what_is_left(here: Path, run: Run, pyramid: bytes) -> None:
    """Whole groups of levels, coarse to fine; nothing without the parameters."""
    header, parameters, *groups = section_ends(pyramid)
    assert len(groups) >= 3
    whole = inrcodec.decode(pyramid).samples.astype(float)
    errors: dict[int, set[float]] = {}
    cuts = {end + more for end in (header, parameters, *groups) for more in (-1, 0, 5)}
    for cut in sorted(cut for cut in cuts if cut < len(pyramid)):
        Path("cut.inrc").write_bytes(pyramid[:cut])
        refused = run("decode", "cut.inrc", "cut.png")
        assert (refused.code, len(refused.lines)) == (ExitCode.DAMAGED, 1)
        assert not Path("cut.png").exists()
        done = run("decode", "cut.inrc", "cut.png", "--partial", "--quiet", "--json")
        assert len(done.lines) == 1
        if cut < parameters:
            assert (done.code, done.out) == (ExitCode.DAMAGED, b"")
            continue
        assert done.code == 0
        (record,) = done.records
        assert done.lines == [f"inrcodec: cut.inrc: decoded in part: {record['problem']}"]
        left_out = sum(end > cut for end in groups)
        assert f"{left_out} of {len(groups) + 1} sections are left out" in record["problem"]
        error = float(np.square(pixels("cut.png") - whole).mean())
        errors.setdefault(left_out, set()).add(error)
        Path("cut.png").unlink()
    assert {len(same) for same in errors.values()} == {1}
    falling = [errors[left_out].pop() for left_out in range(len(groups), 0, -1)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 2 * falling[-1] > 0


@each_kind
def test_partial_says_nothing_of_a_whole_file(
    here: Path, run: Run, kind: str, encoded: bytes, pyramid: bytes
) -> None:
    Path("whole.inrc").write_bytes({"siren": encoded, "pyramid": pyramid}[kind])
    assert run("decode", "whole.inrc", "a.png").code == 0
    done = run("decode", "whole.inrc", "b.png", "--partial", "--json")
    assert (done.code, done.lines, done.records[0]["problem"]) == (0, [], None)
    assert (pixels("a.png") == pixels("b.png")).all()
    assert run("decode", "whole.inrc", "c.png", "--partial", "--quiet") == Done(0, b"", b"")


def test_partial_asks_the_rest_as_usual(here: Path, run: Run, pyramid: bytes) -> None:
    Path("cut.inrc").write_bytes(pyramid[:-1])
    np.save("points.npy", np.array([[3, 4]]))
    words = ("--partial", "--scale", 0.5, "--crop", "0,0,5,4")
    assert run("decode", "cut.inrc", "cut.png", *words).code == 0
    assert pixels("cut.png").shape == (4, 5, 3)
    done = run("decode", "-", "-", "--partial", "--at", "points.npy", stdin=pyramid[:-1])
    assert np.load(io.BytesIO(done.out)).shape == (1, 3)
    assert done.lines[0].startswith("inrcodec: standard input: decoded in part: ")


# info and compare


def test_info(here: Path, run: Run, encoded: bytes) -> None:
    done = run("info", "photo.inrc", "photo.inrc", "--json")
    assert (done.code, done.err) == (0, b"")
    assert done.records == [{"input": "photo.inrc", **inrcodec.info(encoded)}] * 2
    text = run("info", "photo.inrc").out.decode()
    for part in ("photo.inrc", f"{len(encoded)},", "siren 2x8", "y 16 x x 24", "section 0"):
        assert part in text


def test_info_of_a_pyramid(here: Path, run: Run, pyramid: bytes) -> None:
    Path("p.inrc").write_bytes(pyramid)
    done = run("info", "p.inrc", "--json")
    assert (done.code, done.records) == (0, [{"input": "p.inrc", **inrcodec.info(pyramid)}])
    text = run("info", "p.inrc").out.decode()
    latents = sum(-(-48 // 2**level) * -(-40 // 2**level) for level in range(7))
    for part in ("pyramid 6/8/1", f"7 levels, {latents:,} latents", ", level 0, "):
        assert part in text


def test_info_tells_tiles(run: Run) -> None:
    done = run("info", ROOT / "tests" / "golden" / "v1" / "pyramid_tiled.inrc")
    assert b"4 levels" in done.out
    assert b"9 tiles of 8" in done.out
    assert b"latents of track 0, levels 1 to 0 of tile 8, " in done.out
    assert b"latents of track 1, levels 1 to 0, " in done.out


def test_info_goes_on_after_a_bad_file(here: Path, run: Run) -> None:
    done = run("info", "photo.png", "photo.inrc", "none.inrc", "--json")
    assert done.code == ExitCode.DAMAGED
    assert len(done.records) == 1
    assert [line.split(":")[1] for line in done.lines[:2]] == [" photo.png", " none.inrc"]


def test_control_characters_do_not_reach_the_terminal(here: Path, run: Run) -> None:
    name = "a\x1b[31m\nb\udcff.inrc"
    Path(name).write_bytes(Path("photo.inrc").read_bytes())
    done = run("info", name)
    assert done.out.splitlines()[0] == rb"a\x1b[31m\nb\udcff.inrc"
    assert run("info", name, "--json").records[0]["input"] == name
    done = run("decode", name, "no\nwhere/a.png")
    assert len(done.lines) == 1


@pytest.mark.parametrize("words", [("--version",), ("info", "--version")])
def test_version(run: Run, words: Sequence[str]) -> None:
    done = run(*words)
    version = f"inrcodec {inrcodec.__version__}, format {MAJOR}.{MINOR}, {describe()}\n"
    assert done == Done(0, version.encode(), b"")


@pytest.mark.parametrize("command", [(), ("encode",), ("decode",), ("info",), ("compare",)])
def test_help(run: Run, command: Sequence[str]) -> None:
    done = run(*command, "--help")
    assert (done.code, done.err) == (0, b"")
    assert b"exit codes: 0 ok" in done.out


def test_compare(here: Path, run: Run) -> None:
    noisy = picture()
    noisy[3, 4, 1] += 16
    Image.fromarray(noisy).save("noisy.png")
    done = run("compare", "photo.png", "noisy.png", "--json")
    expected = 10 * np.log10(255**2 / (16**2 / noisy.size))
    (record,) = done.records
    assert record.pop("psnr") == pytest.approx(expected)
    assert record == {
        "reference": "photo.png",
        "other": "noisy.png",
        "ms_ssim": None,
        "bpp": None,
        "max_error": 16,
    }
    assert done.lines == ["inrcodec: no MS-SSIM: it needs 161 pixels a side"]
    assert run("compare", "photo.png", "noisy.png").out == (
        f"psnr      {expected:.2f} dB\nmax_error 16\n".encode()
    )


def test_compare_same(here: Path, run: Run, encoded: bytes) -> None:
    run("decode", "photo.inrc", "back.png")
    record = run("compare", "photo.inrc", "back.png", "--json").records[0]
    assert (record["psnr"], record["max_error"]) == (None, 0)
    assert record["bpp"] == 8 * len(encoded) / (HEIGHT * WIDTH)


def test_ms_ssim(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytorch_msssim")
    large = picture(161, 170)
    Image.fromarray(large).save("large.png")
    Image.fromarray(large // 2).save("dark.png")
    done = run("compare", "large.png", "large.png", "--json")
    assert (done.records[0]["ms_ssim"], done.lines) == (pytest.approx(1), [])
    dark = run("compare", "large.png", "dark.png", "--json").records[0]["ms_ssim"]
    assert 0 < dark < 0.95
    monkeypatch.setitem(sys.modules, "pytorch_msssim", None)
    done = run("compare", "large.png", "dark.png", "--json")
    assert (done.records[0]["ms_ssim"], len(done.lines)) == (None, 1)


# What is refused


def prepare_bad_inputs(here: Path, encoded: bytes) -> None:
    Path("text.png").write_text("not a picture")
    Path("empty.png").touch()
    Path("empty.inrc").touch()
    Path("cut.inrc").write_bytes(encoded[:-7])
    Path("junk.inrc").write_bytes(encoded + b"junk")
    Path("old.inrc").write_bytes(b"old")
    Path("old.png").write_bytes(b"old")
    Path("points.npy").write_bytes(b"no points")
    np.save("three.npy", np.zeros((4, 3)))
    np.save("objects.npy", np.array([{}], dtype=object))
    np.savez("two.npz", np.zeros((4, 2)))
    save(Path("same/a.png"))
    save(Path("same/a.bmp"))
    Path("nothing").mkdir()
    save(Path("small.png"), height=HEIGHT - 1)
    save(Path("tiny.png"), height=10)


BAD = [
    (ExitCode.CANNOT_READ, "encode text.png new.inrc"),
    (ExitCode.CANNOT_READ, "encode empty.png new.inrc"),
    (ExitCode.CANNOT_READ, "encode none.png new.inrc"),
    (ExitCode.CANNOT_READ, "encode photo.inrc new.inrc"),
    (ExitCode.CANNOT_READ, "encode nothing new"),
    (ExitCode.EXISTS, "encode photo.png old.inrc"),
    (ExitCode.EXISTS, "encode photo.png small.png ."),
    (ExitCode.CANNOT_WRITE, "encode photo.png none/new.inrc"),
    (ExitCode.CANNOT_WRITE, "encode photo.png small.png old.inrc/deep"),
    (ExitCode.CANNOT_WRITE, "encode photo.png old.inrc/new.inrc"),
    (ExitCode.CANNOT_WRITE, "encode photo.png new.inrc/"),
    (ExitCode.CANNOT_WRITE, "encode photo.png /dev/full --steps 5 --net 2x8 --quiet"),
    (ExitCode.USAGE, "encode photo.png new.inrc -q 50 --bpp 1"),
    (ExitCode.USAGE, "encode photo.png new.inrc --psnr 30 --target-size 1k"),
    (ExitCode.USAGE, "encode photo.png new.inrc --lossless --psnr 30"),
    (ExitCode.USAGE, "encode photo.png new.inrc --qualty 50"),
    (ExitCode.USAGE, "encode photo.png new.inrc --qual 50"),
    (ExitCode.USAGE, "encode photo.png new.inrc --quality"),
    (ExitCode.USAGE, "encode photo.png new.inrc -q 101"),
    (ExitCode.USAGE, "encode photo.png new.inrc -q nan"),
    (ExitCode.USAGE, "encode photo.png new.inrc -q high"),
    (ExitCode.USAGE, "encode photo.png new.inrc -e 0"),
    (ExitCode.USAGE, "encode photo.png new.inrc -j 0"),
    (ExitCode.USAGE, "encode photo.png new.inrc --net 10by28"),
    (ExitCode.USAGE, "encode photo.png new.inrc --net 6/8"),
    (ExitCode.USAGE, "encode photo.png new.inrc --net 6/8/1 --kind siren"),
    (ExitCode.USAGE, "encode photo.png new.inrc --net 2x8 --kind pyramid"),
    (ExitCode.USAGE, "encode photo.png new.inrc --kind wavelet"),
    (ExitCode.USAGE, "encode photo.png new.inrc --tune vmaf"),
    (ExitCode.USAGE, "encode photo.png new.inrc --tune ms-ssim --psnr 30"),
    (ExitCode.USAGE, "encode photo.png new.inrc --tune ms-ssim --net 2x8"),
    (ExitCode.USAGE, "encode tiny.png new.inrc --tune ms-ssim --steps 5"),
    (ExitCode.USAGE, "encode photo.png new.inrc --max-time 0"),
    (ExitCode.USAGE, "encode photo.png new.inrc --device tpu"),
    (ExitCode.USAGE, "encode photo.png new.inrc --seed -1"),
    (ExitCode.USAGE, "encode photo.png new.png"),
    (ExitCode.USAGE, "encode photo.png new"),
    (ExitCode.USAGE, "encode photo.inrc photo.inrc -f"),
    (ExitCode.USAGE, "encode photo.png"),
    (ExitCode.USAGE, "encode photo.png small.png new.inrc"),
    (ExitCode.USAGE, "encode photo.png small.png old.inrc"),
    (ExitCode.USAGE, "encode photo.png small.png -"),
    (ExitCode.USAGE, "encode photo.png - new"),
    (ExitCode.USAGE, "encode same new"),
    (ExitCode.USAGE, "encode photo.png photo.png new"),
    (ExitCode.TARGET_MISSED, "encode photo.png new.inrc --target-size 9 --steps 5 --net 2x8"),
    (ExitCode.TARGET_MISSED, "encode photo.png new.inrc --target-size 9 --steps 5 --net 6/8/1"),
    (ExitCode.CANNOT_READ, "decode none.inrc new.png"),
    (ExitCode.CANNOT_READ, "decode nothing new"),
    (ExitCode.DAMAGED, "decode empty.inrc new.png"),
    (ExitCode.DAMAGED, "decode cut.inrc new.png"),
    (ExitCode.DAMAGED, "decode junk.inrc new.png"),
    (ExitCode.DAMAGED, "decode empty.inrc new.png --partial"),
    (ExitCode.DAMAGED, "decode cut.inrc new.png --partial"),
    (ExitCode.DAMAGED, "decode photo.png new.png --partial"),
    (ExitCode.DAMAGED, "decode photo.png new.png"),
    (ExitCode.EXISTS, "decode photo.inrc old.png"),
    (ExitCode.CANNOT_WRITE, "decode photo.inrc none/new.png"),
    (ExitCode.CANNOT_WRITE, "decode photo.inrc /dev/full --format png"),
    (ExitCode.LIMIT, "decode photo.inrc new.png --max-samples 1000"),
    (ExitCode.LIMIT, "decode photo.inrc new.png --max-macs 10k"),
    (ExitCode.LIMIT, "decode photo.inrc new.png --size 99999999x99999999"),
    (ExitCode.USAGE, "decode photo.inrc new.png --scale 0"),
    (ExitCode.USAGE, "decode photo.inrc new.png --scale inf"),
    (ExitCode.USAGE, "decode photo.inrc new.png --scale 2 --size 5x5"),
    (ExitCode.USAGE, "decode photo.inrc new.png --size 0x5"),
    (ExitCode.USAGE, "decode photo.inrc new.png --size 5"),
    (ExitCode.USAGE, "decode photo.inrc new.png --crop 20,0,5,5"),
    (ExitCode.USAGE, "decode photo.inrc new.png --crop 0,0,0,5"),
    (ExitCode.USAGE, "decode photo.inrc new.png --crop -1,0,5,5"),
    (ExitCode.USAGE, "decode photo.inrc new.png --crop 1,2,3"),
    (ExitCode.USAGE, "decode photo.inrc new.pgm"),
    (ExitCode.USAGE, "decode photo.inrc new.xyz"),
    (ExitCode.USAGE, "decode photo.inrc new"),
    (ExitCode.USAGE, "decode photo.inrc /dev/full"),
    (ExitCode.USAGE, "decode photo.inrc new.png --format jpeg"),
    (ExitCode.USAGE, "decode photo.inrc - --format xyz"),
    (ExitCode.USAGE, "decode photo.inrc photo.inrc -f --format png"),
    (ExitCode.USAGE, "decode photo.inrc new.png --at three.npy"),
    (ExitCode.USAGE, "decode photo.inrc new.npy --at three.npy"),
    (ExitCode.USAGE, "decode photo.inrc new.npy --at three.npy --scale 2"),
    (ExitCode.CANNOT_READ, "decode photo.inrc new.npy --at none.npy"),
    (ExitCode.CANNOT_READ, "decode photo.inrc new.npy --at points.npy"),
    (ExitCode.CANNOT_READ, "decode photo.inrc new.npy --at objects.npy"),
    (ExitCode.CANNOT_READ, "decode photo.inrc new.npy --at two.npz"),
    (ExitCode.CANNOT_READ, "info none.inrc"),
    (ExitCode.CANNOT_READ, "info nothing"),
    (ExitCode.DAMAGED, "info cut.inrc"),
    (ExitCode.CANNOT_READ, "compare photo.png text.png"),
    (ExitCode.DAMAGED, "compare photo.png cut.inrc"),
    (ExitCode.USAGE, "compare photo.png small.png"),
    (ExitCode.USAGE, "compare - -"),
    (ExitCode.USAGE, "transcode photo.png new.inrc"),
    (ExitCode.USAGE, ""),
]


@pytest.mark.parametrize(("code", "line"), BAD, ids=[line for _, line in BAD])
def test_refused(here: Path, run: Run, encoded: bytes, code: ExitCode, line: str) -> None:
    prepare_bad_inputs(here, encoded)
    before = content(here)
    done = run(*line.split())
    assert (done.code, len(done.lines), done.out) == (code, 1, b""), done.err.decode()
    assert done.lines[0].startswith("inrcodec")
    assert "Traceback" not in done.lines[0]
    assert content(here) == before


def test_nothing_is_fitted_before_every_output_is_checked(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        pytest.fail("a fit was started")

    monkeypatch.setattr(cli_encode, "encode_signal", fail)
    for name in ("in/a.png", "in/b.png", "in/deep/c.png"):
        save(Path(name))
    Path("out/deep").mkdir(parents=True)
    Path("out/deep/c.inrc").write_bytes(b"old")
    assert run("encode", "in", "out").code == ExitCode.EXISTS
    assert run("encode", "photo.png", "photo.inrc").code == ExitCode.EXISTS
    assert run("encode", "photo.png", "none/photo.inrc").code == ExitCode.CANNOT_WRITE


def test_force(here: Path, run: Run) -> None:
    Path("old.inrc").write_bytes(b"old")
    assert run("encode", "photo.png", "old.inrc", "-f", *QUICK).code == 0
    assert run("info", "old.inrc").code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), ExitCode.LIMIT),
        (RuntimeError("CUDA out of memory. Tried to\nallocate"), ExitCode.LIMIT),
        (ValueError("two\nlines"), ExitCode.INTERNAL),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_unexpected(
    here: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: ExitCode,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli_encode, "encode_signal", fail)
    done = run("encode", "photo.png", "new.inrc")
    assert (done.code, len(done.lines)) == (code, 1)
    assert not Path("new.inrc").exists()
    if code == ExitCode.INTERNAL:
        assert "--debug" in done.lines[0]
        with pytest.raises(ValueError, match="two"):
            run("encode", "photo.png", "new.inrc", "--debug")


def test_debug_shows_where_it_failed(here: Path, run: Run) -> None:
    with pytest.raises(inrcodec.InrcodecError):
        run("decode", "photo.png", "new.png", "--debug")


# Ctrl-C


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a program that was started at a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def press_at(monkeypatch: pytest.MonkeyPatch, *stages: str) -> list[str]:
    """Press Ctrl-C each time that the progress comes to the next of `stages`."""
    seen: list[str] = []
    report = Watch.__call__
    left = list(stages)

    def pressing(self: Watch, stage: str, share: float, psnr: float) -> None:
        seen.append(stage)
        report(self, stage, share, psnr)
        if left and stage == left[0] and share < 1:
            del left[0]
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Watch, "__call__", pressing)
    return seen


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("siren", "fit"),
        ("siren", "round"),
        ("siren", "check"),
        ("pyramid", "fit"),
        ("pyramid", "check"),
    ],
)
@pytest.mark.parametrize("name", ["photo.png", "alpha.png"])
def test_ctrl_c_keeps_the_best_so_far(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch, kind: str, stage: str, name: str
) -> None:
    save(Path("alpha.png"), bands=4)
    press_at(monkeypatch, stage)
    done = run("encode", name, "small.png", "out", *QUICK_OF[kind], "--json")
    assert done.code == ExitCode.INTERRUPTED
    (record,) = done.records
    assert record["interrupted"] is True
    output = str(Path("out", name).with_suffix(".inrc"))
    assert done.lines == [f"inrcodec: interrupted; {output} holds the best field so far"]
    assert {*content(Path("out"))} == {Path(output).name}
    assert inrcodec.decode(output).samples.shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("stages", [("fit", "round"), ("round", "round")])
def test_ctrl_c_twice_writes_nothing(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch, stages: Sequence[str]
) -> None:
    press_at(monkeypatch, *stages)
    done = run("encode", "photo.png", "new.inrc", *QUICK)
    assert done.code == ExitCode.INTERRUPTED
    assert done.lines == ["inrcodec: interrupted; nothing more was written"]
    assert {*content(here)} == {"photo.png", "photo.inrc"}


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_colours_are_rounded_ends_the_fit_of_alpha(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Path("alpha.png"), bands=4)
    seen = press_at(monkeypatch, "round")
    done = run("encode", "alpha.png", "new.inrc", "--steps", 400, "--net", "2x8")
    assert done.code == ExitCode.INTERRUPTED
    colours, alpha = "".join("f" if stage == "fit" else " " for stage in seen).split()
    assert len(alpha) < len(colours)


def test_commands_work_off_the_main_thread(here: Path, run: Run) -> None:
    ended: list[int] = []
    words = ["encode", "photo.png", "new.inrc", "--quiet", *QUICK]
    thread = threading.Thread(target=lambda: ended.append(main(words)))
    thread.start()
    thread.join()
    assert ended == [0]


# Programs: signals, streams, imports

START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from inrcodec.cli import main
sys.exit(main(sys.argv[1:]))
"""


def signal_during_fit(words: Sequence[str], number: int) -> tuple[int, bytes]:
    """Exit code, and what a terminal shows, of a program that gets a signal while it fits."""
    terminal, end = os.openpty()
    termios.tcsetwinsize(end, (24, 80))
    command = [sys.executable, "-c", START, *words]
    program = subprocess.Popen(command, env=environment(), stderr=end, stdout=subprocess.DEVNULL)
    os.close(end)
    shown, sent = b"", False
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            assert select.select([terminal], [], [], deadline - time.monotonic())[0], shown
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                # Linux's answer once the program has closed its end.
                break
            if b": fit" in shown and not sent:
                program.send_signal(number)
                sent = True
        return program.wait(PATIENCE), shown
    finally:
        program.kill()
        program.wait()
        os.close(terminal)


LONG = ("--steps", "100000000", "--net", "2x8", "-e", "1")


# A pyramid reports only a few times.
LONG_PYRAMID = ("--steps", "20000", "--net", "6/8/1", "-e", "1")


@pytest.mark.parametrize("how", [LONG, LONG_PYRAMID], ids=QUICK_OF)
def test_sigint_during_a_fit(here: Path, how: Sequence[str]) -> None:
    code, shown = signal_during_fit(["encode", "photo.png", "new.inrc", *how], signal.SIGINT)
    assert code == ExitCode.INTERRUPTED
    assert b"new.inrc holds the best field so far" in shown
    assert b"Traceback" not in shown
    assert {*content(here)} == {"photo.png", "photo.inrc", "new.inrc"}
    assert inrcodec.decode("new.inrc").samples.shape == (HEIGHT, WIDTH, 3)


def test_sigterm_during_a_fit(here: Path) -> None:
    code, shown = signal_during_fit(["encode", "photo.png", "new.inrc", *LONG], signal.SIGTERM)
    assert code == cli.TERMINATED
    assert b"Traceback" not in shown
    assert {*content(here)} == {"photo.png", "photo.inrc"}


def test_sigterm_while_writing_leaves_nothing(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit) as ended:
            run("decode", "photo.inrc", "new.png")
        assert ended.value.code == cli.TERMINATED
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert {*content(here)} == {"photo.png", "photo.inrc"}


def test_pipes_are_binary_and_quiet(here: Path) -> None:
    source = Path("photo.png").read_bytes()
    made = child("encode", "-", "-", *QUICK, input=source, capture_output=True)
    assert made.returncode == 0
    assert len(made.stderr.splitlines()) == 1
    shown = child("decode", "-", "-", input=made.stdout, capture_output=True)
    assert (shown.returncode, len(shown.stderr.splitlines())) == (0, 1)
    with Image.open(io.BytesIO(shown.stdout)) as image:
        assert image.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "words",
    [
        ("info", "photo.inrc"),
        ("info", "photo.inrc", "--json"),
        ("decode", "photo.inrc", "-", "--quiet"),
        ("--help",),
    ],
)
def test_reader_that_has_seen_enough(here: Path, words: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = child(*words, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert done.stderr == b""
    assert done.returncode == (0 if words == ("--help",) else cli.BROKEN_PIPE)


@pytest.mark.parametrize("words", [("info", "photo.inrc"), ("decode", "photo.inrc", "-")])
def test_full_standard_output(here: Path, words: Sequence[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = child(*words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.CANNOT_WRITE
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_closed_streams(here: Path, run: Run, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, stream, None)
    if stream == "stdin":
        assert main(["decode", "-", "new.png"]) == ExitCode.CANNOT_READ
    elif stream == "stdout":
        assert main(["decode", "photo.inrc", "-"]) == ExitCode.CANNOT_WRITE
        assert main(["info", "photo.inrc"]) == 0
    else:
        assert main(["encode", "photo.png", "new.inrc", *QUICK]) == 0
        assert main(["decode", "none.inrc", "new.png"]) == ExitCode.CANNOT_READ


def test_no_binary_on_a_terminal(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = run("decode", "photo.inrc", "-")
    assert (done.code, done.out) == (ExitCode.USAGE, b"")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (("--help",), {"numpy", "torch", "constriction", "PIL", "tqdm"}),
        (("info", "photo.inrc"), {"numpy", "torch", "constriction", "PIL", "tqdm"}),
        (("decode", "photo.inrc", "new.png", "--scale", "2"), {"torch", "tqdm", *ARRAY_FILES}),
        (("decode", "photo.inrc", "new.npy"), {"torch", "tqdm"}),
        (("compare", "photo.png", "photo.inrc"), {"torch", "tqdm"}),
        (("encode", "photo.png", "photo.inrc"), {"torch", "tqdm"}),
    ],
    ids=["help", "info", "decode", "decode-npy", "compare", "refused-encode"],
)
def test_commands_load_no_more_than_they_need(
    here: Path, words: Sequence[str], heavy: set[str]
) -> None:
    code = (
        "import sys; from inrcodec.cli import main; main(sys.argv[1:]);"
        f"print('loaded:', *sorted(sys.modules.keys() & {heavy}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert done.stderr.splitlines()[-1] == b"loaded:", done.stderr.decode()


def test_module_is_the_program(here: Path) -> None:
    done = child("--version", capture_output=True)
    assert done.stdout.startswith(b"inrcodec ")
