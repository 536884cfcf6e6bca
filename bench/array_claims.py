"""Measures what is asked of arrays: python -m bench.array_claims PART [options].

brain    sizes and PSNR of a block of tissue
climate  size against SZ3, ZFP and SPERR at equal RMSE, and at a largest error of 1 % of the range
medical  PSNR against the best of SZ3, ZFP and SPERR at 200:1 and 40:1
cube     PSNR against KLT + JPEG 2000 or AVIF at 0.1 bit per pixel and band
bound    samples that break a largest error, over all arrays, with and without the extension
access   time of a block and of a slab against that of the whole array

Rivals are the rows of bench/baselines/arrays.csv, interpolated (python -m bench.arrays measures
them); ours are measured now, and appended to bench_out/arrays.csv (those of `bound` to
array_bound.csv beside it, where a run that was stopped goes on). --kind, --effort, --max-time and
--set NAME=VALUE (any argument of inrcodec.encode) say how.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.array_access import access
from bench.array_bound import BOUNDS, bound
from bench.array_points import points_of, table_of
from bench.array_rows import RIVALS, append_array_row, read_array_rows
from bench.cli import OUT, positive
from bench.codecs.own_arrays import Wanted, measured
from bench.datasets import DatasetError
from bench.report.tables import Table, as_markdown
from bench.timing import machine
from bench.volumes import CLIMATE, MEDICAL, NAMES, Volume, read_volumes
from inrcodec.errors import InrcodecError
from inrcodec.fitting.presets import DEFAULT_EFFORT
from inrcodec.fitting.settings import AUTO, KINDS
from inrcodec.fitting.siren_presets import EFFORT

PARTS = {
    "brain": ("brain",),
    "climate": CLIMATE,
    "medical": MEDICAL,
    "cube": ("jasper",),
    "bound": NAMES,
    "access": ("t1", "air"),
}
"""Each part's arrays."""

BOUND_ROWS = "array_bound.csv"
"""Beside our other rows."""

Answer = tuple[Table, bool]
"""A table, and whether all that is asked is met."""


def rates(arguments: argparse.Namespace, wanted: Wanted, volumes: Sequence[Volume]) -> Answer:
    """Every point of a part: brain, climate, medical and cube."""
    rivals = read_array_rows(arguments.rivals)
    answers = []
    for volume in volumes:
        for point in points_of(arguments.part, volume, arguments.targets):
            row = measured(volume, wanted, arguments.keep, **point.target)
            append_array_row(arguments.out, row)
            answers.append(point.judged(row, rivals))
            print(f"{volume.name}: {' | '.join(answers[-1].cells)}", file=sys.stderr)
    return table_of(answers), all(answer.met is not False for answer in answers)


def _bound(arguments: argparse.Namespace, wanted: Wanted, volumes: Sequence[Volume]) -> Answer:
    return bound(volumes, wanted, arguments.bounds, arguments.out.with_name(BOUND_ROWS))


def _access(arguments: argparse.Namespace, wanted: Wanted, volumes: Sequence[Volume]) -> Answer:
    return access(volumes, wanted, arguments.file, arguments.rounds)


def argument(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON, else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}: NAME=VALUE is needed, as in steps=500")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.array_claims",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    option = parser.add_argument
    option("part", choices=PARTS)
    option("--volumes", type=Path, metavar="FOLDER", help="arrays; default: $INRCODEC_VOLUMES")
    option("--only", nargs="+", choices=NAMES, metavar="NAME", help="instead of the part's arrays")
    option("--kind", choices=(*KINDS, AUTO), default=KINDS[0], help=f"of field ({KINDS[0]})")
    option("--effort", type=int, choices=EFFORT, default=DEFAULT_EFFORT, help="1..9 (5)")
    option("--max-time", type=float, metavar="S", help="seconds of a fit")
    option("--set", nargs="+", type=argument, default=[], metavar="NAME=VALUE", help="more")
    option("--targets", nargs="+", type=argument, metavar="NAME=VALUE", help="instead of sizes")
    option("--bounds", nargs="+", default=BOUNDS, metavar="E", help="of `bound`: 0.5 or 1%%")
    option("--file", type=Path, metavar="INRC", help="of `access`: instead of fitting now")
    option("--rounds", type=positive, default=7, help="of `access` (7)")
    option("--rivals", type=Path, default=RIVALS, metavar="CSV", help="rows of the rivals")
    option("--keep", type=Path, metavar="FOLDER", help="for the files that are made")
    option("--out", type=Path, default=OUT / "arrays.csv", metavar="CSV", help="our rows")
    return parser


MEASURES: dict[str, Callable[[argparse.Namespace, Wanted, Sequence[Volume]], Answer]] = {
    **dict.fromkeys(PARTS, rates),
    "bound": _bound,
    "access": _access,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure a part and print its table; 1 if something asked is not met."""
    logging.basicConfig(format="array_claims: %(message)s", level=logging.INFO)
    arguments = parser().parse_args(words)
    more = dict(arguments.set)
    if arguments.max_time is not None:
        more["max_time"] = arguments.max_time
    wanted = Wanted(arguments.kind, arguments.effort, more)
    try:
        volumes = read_volumes(arguments.only or PARTS[arguments.part], arguments.volumes)
        table, met = MEASURES[arguments.part](arguments, wanted, volumes)
    except (DatasetError, InrcodecError, OSError) as error:
        print(f"array_claims: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("array_claims: interrupted; rows so far are kept", file=sys.stderr)
        return 130
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(f"## {arguments.part}: {wanted.name}\n\n{about}\n\n{as_markdown(table)}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
