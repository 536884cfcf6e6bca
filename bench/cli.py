"""Joins the words of a command line with a bench run and its report.

python -m bench [run | report | codecs] measures codecs on pictures and writes a report.

Every finished row is kept in bench_out/rows.jsonl, so that a run that was stopped goes on where
it was. The quick set (the default) is four pictures and few settings; --full is all of them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from bench.codecs.codec import Codec
from bench.codecs.registry import find, known
from bench.datasets import DatasetError, digest, find_images, read_picture
from bench.measures import missing_measures
from bench.report.page import write_report
from bench.results_json import write_results
from bench.rows import Key, Row, RowsBusyError, appending, read_rows
from bench.runner import run, seconds_left
from bench.timing import processor
from bench.worker import Task

OUT = Path("bench_out")

QUICK_IMAGES = 4

QUICK_CODECS = (
    *("jpeg", "jpeg2000", "webp", "avif-444-s2-psnr", "avif-444-s6", "jxl"),
    *("heic-444", "x265-444", "svtav1-420", "coin-500", "inrcodec-pyramid-e3"),
)

FULL_CODECS = (
    *QUICK_CODECS[:-2],
    "avif-444-s2",
    *("jpeg-plain", "webp-m4", "jpeg-444", "avif-420-s2", "avif-420-s6", "avif-444-s6-psnr"),
    *("heic-420", "x265-420", "compressai-bpg", "compressai-vtm", "compressai-hm"),
    *("compressai-av1", "bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018"),
    *("cheng2020-anchor", "cheng2020-attn", "coin-5000", "inrcodec-siren-e5"),
    "inrcodec-pyramid-e5",
)

SILENCE = 30.0
"""Seconds after which a run says how far it is, where there is no terminal for a bar."""


def main(words: Sequence[str] | None = None) -> int:
    """Parse, run, report; returns the exit code."""
    logging.basicConfig(format="bench: %(message)s", level=logging.INFO)
    arguments = parser().parse_args(words)
    try:
        if arguments.action == "codecs":
            for name, what in known().items():
                print(f"{name:28} {what}")
            return 0
        paths = find_images(
            arguments.images, arguments.only, None if arguments.full else QUICK_IMAGES
        )
        left_out = measure(arguments, paths) if arguments.action == "run" else []
        report(arguments, paths, left_out)
    except (DatasetError, RowsBusyError, ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    option = parser.add_argument
    option("action", nargs="?", default="run", choices=["run", "report", "codecs"])
    option("--full", action="store_true", help="every picture and codec, every setting")
    option("--images", type=Path, metavar="FOLDER", help="pictures; default: $INRCODEC_KODAK")
    option("--only", nargs="+", metavar="NAME", help="these pictures, without the suffix")
    option("--codecs", nargs="+", metavar="NAME", help="see `python -m bench codecs`")
    option("--settings", nargs="+", type=float, metavar="X", help="instead of each codec's own")
    option(
        "--again", nargs="*", metavar="CODEC", help="measure these once more (all if none named)"
    )
    option("--perceptual", action="store_true", help="LPIPS, DISTS, SSIMULACRA2 into the notes")
    option("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (one per core)")
    option("--out", type=Path, default=OUT, metavar="FOLDER", help=f"rows, files, report ({OUT})")
    return parser


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def measure(arguments: argparse.Namespace, paths: Sequence[Path]) -> list[str]:
    """Measure what no row is there for yet; returns a line for each picture and codec left out."""
    names = arguments.codecs or (FULL_CODECS if arguments.full else QUICK_CODECS)
    codecs, left_out = find(names)
    if arguments.perceptual:
        left_out += missing_measures()
    digests, unreadable = digests_of(paths)
    left_out += unreadable
    for line in left_out:
        logging.info("left out: %s", line)
    path = arguments.out / "rows.jsonl"
    with appending(path) as file:
        kept = {row.key: row for row in read_rows(path)}
        tasks = list(pending(arguments, codecs, digests, kept))
        logging.info("%d rows to measure, %d kept from before", len(tasks), len(kept))
        took: dict[str, list[float]] = defaultdict(list)
        left = {task.key: task for task in tasks}
        said = time.monotonic()
        with tqdm(total=len(tasks), unit="row", disable=None) as bar:

            def finished(row: Row, seconds: float) -> None:
                nonlocal said
                file.append(row)
                took[row.codec].append(seconds)
                del left[row.key]
                if row.failed:
                    where = f"{row.codec} {row.setting:g} {row.image}"
                    bar.write(f"bench: {where}: {row.failed}", file=sys.stderr)
                to_go = clock(seconds_left(list(left.values()), took, arguments.jobs))
                bar.set_postfix_str(f"{row.codec}, about {to_go} left")
                bar.update()
                if bar.disable and time.monotonic() > said + SILENCE:
                    said = time.monotonic()
                    logging.info("%d rows left, about %s", len(left), to_go)

            run(tasks, arguments.jobs, finished)
    return left_out


def digests_of(paths: Sequence[Path]) -> tuple[dict[Path, str], list[str]]:
    """The pictures that can be read, each with the digest of its pixels; a line for each other."""
    digests, unreadable = {}, []
    for path in paths:
        try:
            digests[path] = digest(read_picture(path))
        except DatasetError as error:
            unreadable.append(str(error))
    return digests, unreadable


def pending(
    arguments: argparse.Namespace,
    codecs: Sequence[Codec],
    digests: dict[Path, str],
    kept: dict[Key, Row],
) -> Iterator[Task]:
    """What is to be measured, the slow codecs last.

    Rows that failed, or are of another version or another picture, count as missing.
    """
    again = arguments.again
    here = machine(arguments.jobs)
    for codec in sorted(codecs, key=lambda codec: codec.slow):
        settings = arguments.settings or (codec.settings if arguments.full else codec.quick)
        repeat = again is not None and (not again or codec.name in again)
        for setting in dict.fromkeys(settings):
            for path, pixels in digests.items():
                task = Task(
                    codec=codec.name,
                    family=codec.family,
                    setting=float(setting),
                    image=path.resolve(),
                    kept=arguments.out.resolve() / "files",
                    machine=here,
                    slow=codec.slow,
                    perceptual=arguments.perceptual,
                )
                row = kept.get(task.key)
                if repeat or row is None or stale(row, codec, pixels):
                    yield task


def stale(row: Row, codec: Codec, pixels: str) -> bool:
    """Whether a kept row says nothing about this codec and this picture."""
    return bool(row.failed) or row.versions != codec.versions or row.pixels != pixels


def machine(jobs: int) -> str:
    """What the seconds of a row depend on."""
    return f"{processor()}, {os.cpu_count()} cores, {jobs} at a time"


def clock(seconds: float) -> str:
    """Hours and minutes as people read them."""
    return time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(seconds))


def report(arguments: argparse.Namespace, paths: Sequence[Path], left_out: Sequence[str]) -> None:
    """Write the report of the rows of these pictures, and of the codecs if some were named."""
    names = {path.stem for path in paths}
    wanted = set(arguments.codecs or ())
    rows = [
        row
        for row in read_rows(arguments.out / "rows.jsonl")
        if row.image in names and (not wanted or row.codec in wanted)
    ]
    if not rows:
        raise DatasetError(f"{arguments.out / 'rows.jsonl'}: no row of these pictures and codecs")
    results, notes = write_results(rows, arguments.out / "compressai", "mean-psnr")
    for note in notes:
        logging.info("CompressAI's JSON: %s", note)
    for path in [*write_report(rows, arguments.out, paths, left_out=left_out), *results]:
        print(path)
