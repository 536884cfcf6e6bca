"""Measures codecs on pictures and writes a report: python -m bench [run | report | codecs].

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
from bench.datasets import DatasetError, find_images, read_picture
from bench.measures import missing_measures
from bench.report.page import write_report
from bench.results_json import write_results
from bench.rows import Key, Row, RowsBusyError, appending, read_rows
from bench.runner import run, seconds_left
from bench.worker import Task

OUT = Path("bench_out")

QUICK_IMAGES = 4

QUICK_CODECS = (
    *("jpeg", "jpeg2000", "webp", "avif-444-s2-psnr", "avif-444-s2", "avif-444-s6", "jxl"),
    *("heic-444", "x265-444", "svtav1-420", "coin-500", "inrcodec-siren-e2"),
)

FULL_CODECS = (
    *QUICK_CODECS[:-2],
    *(
        "jpeg-plain",
        "webp-m4",
        "jpeg-444",
        "avif-420-s2",
        "avif-420-s6",
        "avif-444-s6-psnr",
        "heic-420",
        "x265-420",
    ),
    "inrcodec-siren-e5",
)


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
        if arguments.action == "run":
            measure(arguments, paths)
        report(arguments, paths)
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
    option("--full", action="store_true", help="every picture, every setting, efforts as asked")
    option("--images", type=Path, metavar="FOLDER", help="pictures; default: $INRCODEC_KODAK")
    option("--only", nargs="+", metavar="NAME", help="these pictures, without the suffix")
    option("--codecs", nargs="+", metavar="NAME", help="see `python -m bench codecs`")
    option("--settings", nargs="+", type=float, metavar="X", help="instead of each codec's own")
    option(
        "--again", nargs="*", metavar="CODEC", help="measure these once more (all if none named)"
    )
    option("--perceptual", action="store_true", help="LPIPS, DISTS, SSIMULACRA2 into the notes")
    option("--threads", type=int, default=1, help="of each process (1)")
    option("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    option("--out", type=Path, default=OUT, metavar="FOLDER", help=f"rows, files, report ({OUT})")
    return parser


def measure(arguments: argparse.Namespace, paths: Sequence[Path]) -> None:
    """Measure what no row is there for yet."""
    names = arguments.codecs or (FULL_CODECS if arguments.full else QUICK_CODECS)
    codecs, missing = find(names)
    for line in missing:
        logging.info("left out: %s", line)
    if arguments.perceptual:
        for line in missing_measures():
            logging.info("left out: %s", line)
    paths = list(readable(paths))
    with appending(arguments.out / "rows.jsonl") as file:
        kept = {row.key: row for row in read_rows(arguments.out / "rows.jsonl")}
        tasks = list(pending(arguments, codecs, paths, kept))
        logging.info("%d rows to measure, %d kept from before", len(tasks), len(kept))
        done: dict[str, list[Row]] = defaultdict(list)
        left = {task.key: task for task in tasks}
        with tqdm(total=len(tasks), unit="row", disable=None) as bar:

            def finished(row: Row) -> None:
                file.append(row)
                done[row.codec].append(row)
                del left[row.key]
                if row.failed:
                    bar.write(f"bench: {row.codec} {row.setting:g} {row.image}: {row.failed}")
                seconds = seconds_left(list(left.values()), done, arguments.jobs)
                bar.set_postfix_str(f"{row.codec}, about {clock(seconds)} left")
                bar.update()

            run(tasks, arguments.jobs, finished)


def readable(paths: Sequence[Path]) -> Iterator[Path]:
    """The pictures that can be read; a line for each other."""
    for path in paths:
        try:
            read_picture(path)
        except DatasetError as error:
            logging.warning("%s", error)
        else:
            yield path


def pending(
    arguments: argparse.Namespace,
    codecs: Sequence[Codec],
    paths: Sequence[Path],
    kept: dict[Key, Row],
) -> Iterator[Task]:
    """What is to be measured, the slow codecs last: rows of another version count as missing."""
    again = arguments.again
    for codec in sorted(codecs, key=lambda codec: codec.slow):
        settings = arguments.settings or (codec.settings if arguments.full else codec.quick)
        repeat = again is not None and (not again or codec.name in again)
        for setting in settings:
            for path in paths:
                task = Task(
                    codec=codec.name,
                    family=codec.family,
                    setting=float(setting),
                    image=path.resolve(),
                    kept=arguments.out.resolve() / "files",
                    threads=arguments.threads,
                    slow=codec.slow,
                    perceptual=arguments.perceptual,
                )
                row = kept.get(task.key)
                if repeat or row is None or (row.versions and row.versions != codec.versions):
                    yield task


def clock(seconds: float) -> str:
    """Hours and minutes as people read them."""
    return time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(seconds))


def report(arguments: argparse.Namespace, paths: Sequence[Path]) -> None:
    """Write the report of the rows of these pictures."""
    names = {path.stem for path in paths}
    rows = [row for row in read_rows(arguments.out / "rows.jsonl") if row.image in names]
    if not rows:
        raise DatasetError(f"{arguments.out / 'rows.jsonl'}: no row of these pictures yet")
    results, notes = write_results(rows, arguments.out / "compressai", "mean-psnr")
    for note in notes:
        logging.info("CompressAI's JSON: %s", note)
    for path in [*write_report(rows, arguments.out, paths), *results]:
        print(path)


if __name__ == "__main__":
    raise SystemExit(main())
