"""Joins arrays and bounds with the samples of decoded files that break them.

Every file is decoded in processes of their own, with the extension and without it: what is promised
is promised of both. What is found is kept in a file of rows: a run that was stopped goes on where
it was.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from bench.codecs.own_arrays import Wanted, encode
from bench.report.tables import Table
from bench.volumes import Array, Volume
from inrcodec.native_choice import OFF, VARIABLE

BOUNDS = ("10%", "5%", "2%", "1%", "0.5%")
"""Of the range."""

BACKENDS = ("", OFF)
"""What the environment says: as usual, and without the extension."""

CHILD = """
import sys, numpy, inrcodec
from inrcodec.native_choice import instruction_set
numpy.save(sys.argv[2], inrcodec.decode(sys.argv[1]).samples)
print(instruction_set() or "pure Python")
"""


@dataclass(frozen=True)
class Checked:
    """One file decoded by one backend: how many samples break the bound, and the largest error.

    `asked` is how it was encoded.
    """

    data: str
    asked: str
    bound: str
    backend: str
    bytes: int
    samples: int
    violations: int
    worst: float


def limit_of(bound: str, volume: Volume) -> float:
    """The bound in the array's unit: a number, or per cent of the range."""
    if bound.endswith("%"):
        return float(bound[:-1]) / 100 * volume.span
    return float(bound)


def errors_of(volume: Volume, decoded: Array, limit: float) -> tuple[int, float]:
    """Samples further from the array's than `limit`, and the furthest.

    Differences are exact for integers, and for float32 in float64; a NaN breaks every bound.
    """
    difference = np.abs(decoded.astype(np.float64) - volume.samples.astype(np.float64))
    return int((~(difference <= limit)).sum()), float(difference.max())


def decoded_by(backend: str, file: Path) -> tuple[Array, str]:
    """The samples of a file from a process of its own, and the backend that it had."""
    output = file.with_suffix(".npy")
    environment = {**os.environ, VARIABLE: backend}
    if not backend:
        del environment[VARIABLE]
    command = [sys.executable, "-c", CHILD, str(file), str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{file}: not decoded: {done.stderr.strip().splitlines()[-1]}")
    return np.load(output), done.stdout.strip()


def kept_rows(path: Path) -> list[Checked]:
    """What a file of rows holds; nothing where there is none."""
    if not path.exists():
        return []
    kinds = {"bytes": int, "samples": int, "violations": int, "worst": float}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Checked(**{name: kinds.get(name, str)(text) for name, text in row.items()})
            for row in csv.DictReader(file)
        ]


def append(path: Path, found: Checked) -> None:
    """Write one row, and before the first one the names of the columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(found)], lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(asdict(found))


def checks(volume: Volume, bounds: Sequence[str], wanted: Wanted, rows: Path) -> Iterator[Checked]:
    """Encode at every bound, decode with every backend, and count, but for what is kept."""
    kept = kept_rows(rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bound.inrc"
        for asked in bounds:
            key = (volume.name, wanted.name, asked)
            known = [each for each in kept if (each.data, each.asked, each.bound) == key]
            if len({each.backend for each in known}) == len(BACKENDS):
                yield from known
                continue
            limit = limit_of(asked, volume)
            # The number itself: what a per cent is of is the package's to say.
            file.write_bytes(encode(volume, wanted, max_error=limit))
            seen = set()
            for backend in BACKENDS:
                decoded, name = decoded_by(backend, file)
                if name in seen:  # no extension was built
                    continue
                seen.add(name)
                samples = decoded.reshape(volume.samples.shape)
                broken, worst = errors_of(volume, samples, limit)
                size = file.stat().st_size
                found = Checked(*key, name, size, samples.size, broken, worst / limit)
                if (name, *key) not in {(e.backend, e.data, e.asked, e.bound) for e in known}:
                    append(rows, found)
                print(
                    f"{found.data}, {asked}, {name}: {broken} of {found.samples:,}", file=sys.stderr
                )
                yield found


def bound(
    volumes: Sequence[Volume], wanted: Wanted, bounds: Sequence[str], rows: Path
) -> tuple[Table, bool]:
    """A line per array, bound and backend, and one for all; whether none is broken."""
    found = [each for volume in volumes for each in checks(volume, bounds, wanted, rows)]
    heads = ["data", "bound", "backend", "bytes", "samples", "violations", "largest error / bound"]
    lines = [
        [
            *(each.data, each.bound, each.backend, str(each.bytes), f"{each.samples:,}"),
            *(str(each.violations), f"{each.worst:.6f}"),
        ]
        for each in found
    ]
    for backend in dict.fromkeys(each.backend for each in found):
        own = [each for each in found if each.backend == backend]
        samples, broken = sum(e.samples for e in own), sum(e.violations for e in own)
        worst = max(e.worst for e in own)
        lines.append(["all", "", backend, "", f"{samples:,}", str(broken), f"{worst:.6f}"])
    return (heads, lines), not any(each.violations for each in found)
