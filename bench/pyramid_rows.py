"""Joins codecs, settings and pictures with their rows: those kept from before, else new ones."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cli import clock, machine, stale
from bench.codecs.codec import Codec, CodecMissingError
from bench.codecs.registry import find
from bench.datasets import digest, read_picture
from bench.rows import Key, Row, appending, read_rows
from bench.runner import run, seconds_left
from bench.worker import Task

Wanted = Mapping[str, Sequence[float]]
"""Settings by codec."""

_log = logging.getLogger("bench")


@dataclass(frozen=True)
class Rules:
    """Where rows and files are kept, which rows count, and whether missing ones are measured.

    `jobs` is how many files are made at a time. With `any_version`, a row of other sources of this
    package, or of another version of a library, counts as one of today's.
    """

    out: Path
    jobs: int
    any_version: bool = False
    measuring: bool = True

    @property
    def rows(self) -> Path:
        """The file that the bench keeps too."""
        return self.out / "rows.jsonl"

    @property
    def files(self) -> Path:
        """The folder of the coded files."""
        return self.out.resolve() / "files"


def gathered(wanted: Wanted, paths: Sequence[Path], rules: Rules) -> tuple[list[Row], list[str]]:
    """A row per codec, setting and picture, and a line for each that is missing or failed.

    Each new row is on the disk as soon as its file is decoded, so that a run that was cut goes on
    where it was. Raises CodecMissingError, DatasetError and RowsBusyError.
    """
    codecs, absent = find(list(wanted))
    if absent:
        raise CodecMissingError("; ".join(absent))
    digests = {path: digest(read_picture(path)) for path in paths}
    by_name = {codec.name: codec for codec in codecs}
    tasks = [
        _task(codec, setting, path, rules)
        for codec in sorted(codecs, key=lambda codec: codec.slow)
        for path in paths
        for setting in dict.fromkeys(wanted[codec.name])
    ]

    def counted() -> tuple[dict[Key, Row], list[Task], list[str]]:
        rows = {row.key: row for row in read_rows(rules.rows)}
        found, missing, lines = {}, [], []
        for task in tasks:
            row = rows.get(task.key)
            if row and _counts(row, by_name[task.codec], digests[task.image], rules):
                found[task.key] = row
                continue
            missing.append(task)
            why = f": {row.failed}" if row and row.failed else ""
            lines.append(f"{task.image.stem}, {task.codec} at {task.setting:g}{why}")
        return found, missing, lines

    if rules.measuring:
        with appending(rules.rows) as file:
            kept, missing, _ = counted()
            _measure(missing, len(kept), file.append, rules)
    kept, _, lines = counted()
    return list(kept.values()), lines


def _task(codec: Codec, setting: float, image: Path, rules: Rules) -> Task:
    return Task(
        codec=codec.name,
        family=codec.family,
        setting=float(setting),
        image=image,
        kept=rules.files,
        machine=machine(rules.jobs),
        slow=codec.slow,
    )


def _counts(row: Row, codec: Codec, pixels: str, rules: Rules) -> bool:
    if rules.any_version or not rules.measuring:
        return not row.failed and row.pixels == pixels
    return not stale(row, codec, pixels)


def _measure(tasks: Sequence[Task], kept: int, append: Callable[[Row], None], rules: Rules) -> None:
    _log.info("%d files to make, %d kept from before", len(tasks), kept)
    left = {task.key: task for task in tasks}
    took: dict[str, list[float]] = defaultdict(list)

    def finished(row: Row, seconds: float) -> None:
        append(row)
        took[row.codec].append(seconds)
        del left[row.key]
        _log.info(
            "%d of %d: %s, %s at %g: %s; about %s left",
            len(tasks) - len(left),
            len(tasks),
            row.image,
            row.codec,
            row.setting,
            row.failed or f"{row.bpp:.4f} bpp, {row.psnr:.2f} dB, {row.encode_seconds:.1f} s",
            clock(seconds_left(list(left.values()), took, rules.jobs)),
        )

    run(tasks, rules.jobs, finished)
