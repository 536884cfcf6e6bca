"""Measures the rivals on arrays: python -m bench.arrays [--only NAME ...] [--codecs NAME ...].

Every array goes through every codec that is measured on its kind, one setting after the other, and
each row is kept as soon as it is there: a run that was stopped goes on where it was. With --kept
nothing is measured. Ends with the table of what each codec reaches at the sizes asked.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.array_rows import RIVALS, append_array_row, measured_row, read_array_rows
from bench.array_tables import at_sizes, bounded
from bench.codecs import hdf5, klt_av1, klt_jpeg2000, slices
from bench.codecs.arrays import ArrayCodec
from bench.codecs.codec import CodecMissingError
from bench.datasets import DatasetError
from bench.report.tables import as_markdown
from bench.volumes import NAMES, Volume, folder_of, read_volume

ENTRIES = (*hdf5.ENTRIES, *slices.ENTRIES, *klt_jpeg2000.ENTRIES, *klt_av1.ENTRIES)
CODECS = tuple(entry.name for entry in ENTRIES)

_log = logging.getLogger("bench")


def load(names: Iterable[str]) -> tuple[list[ArrayCodec], list[str]]:
    """The codecs of those names, and a line for each that cannot run here."""
    codecs, missing = [], []
    for entry in (entry for entry in ENTRIES if entry.name in set(names)):
        try:
            codecs.append(entry.load())
        except CodecMissingError as error:
            missing.append(str(error))
    return codecs, missing


def sweep(volume: Volume, codec: ArrayCodec, path: Path) -> None:
    """Measure the settings that `path` has no row of, from high ratios to low."""
    kept = {row.key: row for row in read_array_rows(path)}
    for setting in codec.settings:
        row = kept.get((volume.name, codec.name, setting))
        if row is None:
            try:
                row = measured_row(volume, codec, setting)
            except (ValueError, OSError, RuntimeError) as error:
                # Each codec has settings that it can't meet for some arrays.
                _log.warning("%s, %s at %g: %s", volume.name, codec.name, setting, error)
                continue
            append_array_row(path, row)
            _log.info(
                "%s, %s at %g: %d bytes, %.2f dB, %.1f + %.1f s",
                *(row.data, row.codec, row.setting, row.bytes, row.psnr),
                *(row.encode_seconds, row.decode_seconds),
            )
        if row.ratio < codec.least_ratio:
            return


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.arrays",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    option = parser.add_argument
    option("--volumes", type=Path, metavar="FOLDER", help="arrays; default: $INRCODEC_VOLUMES")
    option("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help="these arrays")
    option("--codecs", nargs="+", choices=CODECS, default=CODECS, metavar="NAME", help="these")
    option("--kept", action="store_true", help="measure nothing: the table of the rows there are")
    option("--rows", type=Path, default=RIVALS, metavar="CSV", help="the file of rows")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the table."""
    logging.basicConfig(format="arrays: %(message)s", level=logging.INFO)
    logging.getLogger("hdf5plugin").setLevel(logging.WARNING)  # it tells every option of a filter
    arguments = parser().parse_args(words)
    try:
        if not arguments.kept:
            folder = folder_of(arguments.volumes)
            codecs, missing = load(arguments.codecs)
            for line in missing:
                _log.warning("%s", line)
            for name in arguments.only:
                volume = read_volume(name, folder)
                for codec in codecs:
                    if volume.kind in codec.kinds:
                        sweep(volume, codec, arguments.rows)
    except (DatasetError, OSError) as error:
        print(f"arrays: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("arrays: interrupted; run it again to go on", file=sys.stderr)
        return 130
    rows = [row for row in read_array_rows(arguments.rows) if row.data in arguments.only]
    for table in (at_sizes(rows), bounded(rows)):
        print(as_markdown(table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
