"""Measures what is claimed of the pyramid field: python -m bench.pyramid_claims PART.

published  against the published points of each picture, such as Cool-chic's, at its lambdas
avif       against AVIF 4:4:4, speed 2, in its own tuning and tuned for PSNR
low        low rates of all of Kodak against a published average
scale      halved pictures decoded at 2x, against Lanczos-2x of their native decode

Every file is written, read, decoded and compared, and its row is kept in bench_out/rows.jsonl as
soon as it is there: a part that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.averages import measured_images
from bench.cli import OUT, positive
from bench.codecs.codec import CodecMissingError
from bench.codecs.own import KINDS
from bench.codecs.registry import find
from bench.datasets import KODAK_NAMES, QUICK, DatasetError, find_images
from bench.halves import at_twice, halved
from bench.published import per_image, published_curve, rate_weights
from bench.pyramid_rows import Rules, gathered
from bench.pyramid_tables import Noted, bd_rates, doubled, files, low_rates
from bench.report.curves import published_label
from bench.report.facts import facts
from bench.report.summary import summarise
from bench.report.tables import as_markdown, bullets
from bench.rows import Row, RowsBusyError
from inrcodec.errors import UsageError
from inrcodec.fitting.presets import DEFAULT_EFFORT, PYRAMID_EFFORT
from inrcodec.fitting.settings import Settings

RIVALS = ("avif-444-s2", "avif-444-s2-psnr")


@dataclass(frozen=True)
class Answer:
    """What a part found: its rows, its tables with notes, and the files that are missing."""

    rows: list[Row]
    tables: list[Noted]
    missing: list[str]


def published(arguments: argparse.Namespace, codec: str, paths: Sequence[Path]) -> Answer:
    """BD-rates against a rival's published points, at its lambdas."""
    try:
        curves = per_image(arguments.rival, arguments.per_image)
        weights = arguments.lambdas or rate_weights(arguments.rival, arguments.per_image)
    except LookupError as error:
        raise DatasetError(str(error)) from None
    if not weights:
        raise DatasetError(f"{arguments.rival}: its points have no lambda; give --lambdas")
    rows, missing = gathered({codec: weights}, paths, _rules(arguments))
    # Of a table from elsewhere it is not known whether rates are estimates.
    first = next(iter(curves.values()))
    label = published_label(first) if arguments.per_image is None else first.label
    images = [path.stem for path in paths]
    deltas = bd_rates(measured_images(rows, codec), {label: curves}, images)
    return Answer(rows, [files(rows), deltas], missing)


def avif(arguments: argparse.Namespace, codec: str, paths: Sequence[Path]) -> Answer:
    """BD-rates against AVIF, measured in the same run."""
    rivals, absent = find(RIVALS)
    if absent:
        raise CodecMissingError("; ".join(absent))
    wanted = {rival.name: rival.settings for rival in rivals}
    wanted[codec] = tuple(arguments.lambdas or PARTS["avif"].weights)
    rows, missing = gathered(wanted, paths, _rules(arguments))
    curves = {name: measured_images(rows, name) for name in RIVALS}
    images = [path.stem for path in paths]
    deltas = bd_rates(measured_images(rows, codec), curves, images)
    return Answer(rows, [files(row for row in rows if row.codec == codec), deltas], missing)


def low(arguments: argparse.Namespace, codec: str, paths: Sequence[Path]) -> Answer:
    """Mean rates against a published average, at equal mean PSNR."""
    try:
        rival = published_curve(arguments.average)
    except LookupError as error:
        raise DatasetError(str(error)) from None
    weights = arguments.lambdas or PARTS["low"].weights
    rows, missing = gathered({codec: weights}, paths, _rules(arguments))
    images = [path.stem for path in paths]
    return Answer(rows, [files(rows), low_rates(rows, codec, images, rival)], missing)


def scale(arguments: argparse.Namespace, codec: str, paths: Sequence[Path]) -> Answer:
    """PSNR of a halved picture decoded at 2x, and of Lanczos-2x of its native decode."""
    rules = _rules(arguments)
    halves = halved(paths, rules.out / "halved")
    weights = arguments.lambdas or PARTS["scale"].weights
    rows, missing = gathered({codec: weights}, [half.path for half in halves], rules)
    results = at_twice(halves, rows, rules.files)
    return Answer(rows, [files(rows), (doubled(results), [])], missing)


@dataclass(frozen=True)
class Part:
    """What is measured, and at which pictures and lambdas unless others are named."""

    measure: Callable[[argparse.Namespace, str, Sequence[Path]], Answer]
    pictures: tuple[str, ...]
    weights: tuple[float, ...] = ()


PARTS = {
    "published": Part(published, QUICK),
    "avif": Part(avif, QUICK, next(kind.settings for kind in KINDS if kind.name == "pyramid")),
    "low": Part(low, KODAK_NAMES, (2e-2, 1e-2, 5e-3)),
    "scale": Part(scale, tuple(f"kodim{n:02d}" for n in (1, 5, 8, 13, 15, 19, 21, 23)), (1e-4,)),
}


def _rules(arguments: argparse.Namespace) -> Rules:
    return Rules(arguments.out, arguments.jobs, arguments.any_version, not arguments.kept)


def as_name(text: str) -> str:
    """A number stands for that picture of Kodak."""
    return f"kodim{int(text):02d}" if text.isdecimal() else text


def as_weight(text: str) -> float:
    """A lambda that the encoder takes."""
    try:
        Settings(rate_weight=float(text))
    except (UsageError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return float(text)


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.pyramid_claims",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    option = parser.add_argument
    option("part", choices=PARTS)
    option("--images", type=Path, metavar="FOLDER", help="pictures; default: $INRCODEC_KODAK")
    option("--pictures", nargs="+", type=as_name, metavar="N", help="numbers of Kodak, or names")
    option("--effort", type=int, choices=PYRAMID_EFFORT, default=DEFAULT_EFFORT, help="1..9 (5)")
    option("--lambdas", nargs="+", type=as_weight, metavar="X", help="instead of the part's own")
    option("--rival", default="cool-chic-5.0.1-mop-2000", help="published: a system with points")
    option("--per-image", type=Path, metavar="CSV", help="published: points of other systems")
    option("--average", default="vtm-18.0", help="low: a published system (vtm-18.0)")
    option("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (one per core)")
    option("--any-version", action="store_true", help="rows of other versions count too")
    option("--kept", action="store_true", help="measure nothing: tables of whatever rows there are")
    option("--out", type=Path, default=OUT, metavar="FOLDER", help=f"rows, files ({OUT})")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the tables; 1 if files are still missing then."""
    logging.basicConfig(format="pyramid_claims: %(message)s", level=logging.INFO)
    arguments = parser().parse_args(words)
    part = PARTS[arguments.part]
    codec = f"inrcodec-pyramid-e{arguments.effort}"
    try:
        paths = find_images(arguments.images, arguments.pictures or part.pictures, None)
        answer = part.measure(arguments, codec, paths)
    except (DatasetError, CodecMissingError, RowsBusyError, OSError) as error:
        print(f"pyramid_claims: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pyramid_claims: interrupted; run it again to go on", file=sys.stderr)
        return 130
    print(f"## {arguments.part}: {part.measure.__doc__}\n")
    about = [("Codec", codec), *facts(summarise(answer.rows))]
    print(bullets([f"{name}: {text}" for name, text in about]))
    for table, notes in answer.tables:
        print(f"{as_markdown(table)}\n{bullets(notes)}")
    if answer.missing:
        print(f"Missing: {len(answer.missing)} files\n\n{bullets(answer.missing)}")
    return 1 if answer.missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
