"""Joins what is asked of a decoder with what it takes: python -m bench.decoding.

Ratios are of least times, in turns, in one process, in processor time of one thread, so that other
work on the machine matters little; the whole command is measured in wall time. Pyramids of random
latents, at about 0.5 bits per pixel, are as fast as any of their shape.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import constriction
import numpy as np

import inrcodec
from bench.fallback import pure_python
from bench.latent_symbols import LatentSymbols
from bench.pyramid_subject import NETS, PyramidSubject
from bench.speed import LEAST_ROUNDS
from bench.subject import ROOT, agree
from bench.timing import CLOCKS, Run, interleaved, machine, threads
from inrcodec.coding.context import wavefronts

ROUNDS = 10

PICTURE, SCAN = (512, 768), (4096, 6144)
TILE, WINDOW, PLACES = 1024, 64, 40

SPARE = 64 * 10**6
"""Bytes that a decode may take beside three times its output."""

# The high-water mark of a process starts anew with each program, other than that of getrusage.
MEMORY = """
import sys
from inrcodec.codec import decode
def most():
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
with open(sys.argv[1], "rb") as file:
    data = file.read()
before = most()
samples = decode(data, scale=float(sys.argv[2])).samples
print(most() - before, samples.nbytes)
"""


@dataclass(frozen=True)
class Row:
    """One thing that is asked: `measured` is to be at most `asked`, or at least where `least`."""

    what: str
    asked: float
    measured: float
    unit: str
    least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.measured >= self.asked if self.least else self.measured <= self.asked


@dataclass(frozen=True)
class Bench:
    """How everything is measured; `file` is what the command decodes, if not a made one."""

    rounds: int
    file: Path | None = None

    def least(self, *works: Callable[[], object]) -> list[float]:
        """Seconds of each, in turns."""
        runs = [Run("", work) for work in works]
        return [times.least for times in interleaved(runs, self.rounds, CLOCKS["processor time"])]


def command(bench: Bench) -> Iterator[Row]:
    """The whole program, start to end, from file to PNG."""
    # Installed packages have their bytecode.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def process(*words: str) -> Run:
        words = (sys.executable, *words)
        return Run("", lambda: subprocess.run(words, cwd=ROOT, check=True, env=environment))

    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder, "picture.inrc"), Path(folder, "picture.png")
        data = bench.file.read_bytes() if bench.file else PyramidSubject(*PICTURE, NETS[0]).data
        path.write_bytes(data)
        words = ("-m", "inrcodec", "decode", "-f", "--quiet", str(path), str(target))
        runs = [process(*words), process("-c", "import numpy")]
        ours, numpy = interleaved(runs, bench.rounds, CLOCKS["wall time"])
        (busy,) = interleaved(runs[:1], bench.rounds, _of_children)
        note = f"median; least {1000 * ours.least:.0f}, of processor time {1000 * busy.least:.0f}; "
        note += f"`python -c 'import numpy'`: {1000 * numpy.median:.0f}; "
        note += f"{len(data):,} bytes to {target.stat().st_size:,} of PNG"
    yield Row("`inrcodec decode` to PNG, wall time", 500, 1000 * ours.median, "ms", note=note)


def _of_children() -> float:
    """Processor time of all processes that were started and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def crops(bench: Bench) -> Iterator[Row]:
    """A small window of a large picture in tiles, as a share of the whole."""
    data = PyramidSubject(*SCAN, NETS[0], TILE).data
    whole = inrcodec.decode(data).samples

    def window(corner: Sequence[int]) -> Callable[[], object]:
        crop = [(start, start + WINDOW) for start in corner]
        cut = whole[tuple(slice(*ends) for ends in crop)]
        agree(inrcodec.decode(data, crop=crop).samples, cut, 0)
        return partial(inrcodec.decode, data, crop=crop)

    generator = np.random.default_rng(0)
    places = [[int(generator.integers(size - WINDOW)) for size in SCAN] for _ in range(PLACES)]
    works = [window([TILE - WINDOW // 2] * 2), *map(window, places)]
    all_, corner, *others = bench.least(partial(inrcodec.decode, data), *works)
    size = f"{WINDOW}x{WINDOW} of {SCAN[1]}x{SCAN[0]}, tiles of {TILE}"
    note = f"{1000 * corner:.0f} ms of {1000 * all_:.0f}"
    yield Row(f"crop of {size}, where four tiles meet", 5, 100 * corner / all_, "%", note=note)
    note = f"mean of {PLACES} places; the worst {100 * max(others) / all_:.1f} %"
    share = 100 * float(np.mean(others)) / all_
    yield Row(f"crop of {size}, anywhere", 5, share, "%", note=note)


def scales(bench: Bench) -> Iterator[Row]:
    """Time per output pixel at higher resolutions beside that at the native one."""
    data = PyramidSubject(*PICTURE, NETS[0]).data
    view = inrcodec.open(data)
    view.read()
    for scale in (2, 4):
        size = [scale * edge for edge in PICTURE]
        native, larger, asked, asked_larger = bench.least(
            partial(inrcodec.decode, data),
            partial(inrcodec.decode, data, scale=scale),
            view.read,
            partial(view.read, size),
        )
        ratio, rendered = (x / scale**2 for x in (larger / native, asked_larger / asked))
        note = f"latents not counted: {rendered:.2f}"
        what = f"decode at {scale}x, time per pixel"
        yield Row(what, 1.2, ratio, "x native", note=note)


def memory(_: Bench) -> Iterator[Row]:
    """Peak of a fresh process over what it had when all was imported."""
    cases = [(PICTURE, 0, 1, ""), (PICTURE, 0, 4, " at 4x")]
    cases += [(SCAN, 0, 1, ""), (SCAN, TILE, 1, " in tiles")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.inrc")
        for lattice, tile, scale, how in cases:
            path.write_bytes(PyramidSubject(*lattice, NETS[0], tile).data)
            words = [sys.executable, "-c", MEMORY, str(path), str(scale)]
            done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
            peak, out = map(int, done.stdout.split())
            note = f"output {out / 1e6:.1f} MB"
            what = f"memory over import, {lattice[1]}x{lattice[0]}{how}"
            yield Row(what, (3 * out + SPARE) / 1e6, peak / 1e6, "MB", note=note)


def fallback(bench: Bench) -> Iterator[Row]:
    """Without the extension, whose latents are the same."""
    for net in NETS:
        subject = PyramidSubject(*PICTURE, net)

        def plain(data: bytes = subject.data) -> inrcodec.Signal:
            with pure_python():
                return inrcodec.decode(data)

        with pure_python():
            latents = inrcodec.open(subject.data).layers[0].field.latents
            assert latents is not None
            assert subject.field.latents is not None
            for level in range(subject.spec.levels):
                whole = [(0, size) for size in subject.spec.grid(level)]
                agree(latents.read(level, whole), subject.field.latents.read(level, whole), 0)
        agree(inrcodec.decode(subject.data).samples, plain().samples, 0)
        ours, theirs = bench.least(partial(inrcodec.decode, subject.data), plain)
        note = f"{1000 * theirs:.0f} ms, {1000 * ours:.1f} with the extension; equal bits"
        what = f"decode in pure Python, {subject.spec.net}"
        yield Row(what, 30, theirs / ours, "x native", note=note)


def entropy(bench: Bench) -> Iterator[Row]:
    """Latents whose tables are known, beside constriction's decoder."""
    subject = LatentSymbols()
    agree(subject.decode(), subject.fine, 0)
    agree(subject.symbols(), subject.expected(), 0)
    order, _ = wavefronts(subject.spec.lattice)
    means, scales = (each.ravel()[order] for each in subject.distributions)
    laplace = constriction.stream.model.QuantizedLaplace(-255, 255)
    values, coder = subject.fine.ravel()[order].clip(-255, 255), constriction.stream.queue
    encoder = coder.RangeEncoder()
    encoder.encode(values, laplace, means, scales)
    words = encoder.get_compressed()

    def bulk() -> object:
        return coder.RangeDecoder(words).decode(laplace, means, scales)

    agree(bulk(), values, 0)
    ours, same, parametric = (
        1e9 * seconds / len(order) for seconds in bench.least(subject.decode, subject.symbols, bulk)
    )
    bits = 8 * len(subject.payload) / len(order)
    count = f"{len(order):,} symbols, {len(np.unique(subject.tables)):,} tables, {bits:.2f} bits"
    note = f"{same:.0f} ns a symbol beside {ours:.1f}; {count}"
    what = "decode of latents beside constriction"
    yield Row(f"{what}, same tables", 3, same / ours, "x as fast", True, note)
    note = f"{parametric:.0f} ns a symbol; one call for all; its own tables, which need floats"
    yield Row(f"{what}'s QuantizedLaplace", 3, parametric / ours, "x as fast", True, note)


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "command": command,
    "crops": crops,
    "scales": scales,
    "memory": memory,
    "fallback": fallback,
    "entropy": entropy,
}


def markdown(rows: Sequence[Row]) -> str:
    """A table of what is asked and measured."""
    lines = ["| what | asked | measured | |", "| --- | --- | --- | --- |"]
    for row in rows:
        bound, met = ("at least" if row.least else "at most"), ("" if row.met else " **missed**")
        measured = f"{row.measured:.3g}" if row.measured < 100 else f"{row.measured:.0f}"
        cells = (f"{bound} {row.asked:.4g} {row.unit}", f"{measured} {row.unit}{met}", row.note)
        lines.append("| " + " | ".join((row.what, *cells)) + " |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print a table, or JSON."""
    summary = "What decoding takes, beside what is asked of it."
    parser = argparse.ArgumentParser(prog="python -m bench.decoding", description=summary)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)} (all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each ({ROUNDS})")
    parser.add_argument("--file", type=Path, help="what the command decodes (a made picture)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args(words)
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    if arguments.rounds < LEAST_ROUNDS:
        parser.error(f"--rounds {arguments.rounds}: at least {LEAST_ROUNDS}")
    bench = Bench(arguments.rounds, arguments.file)
    here = machine() | {"rounds": bench.rounds}
    with threads(1):
        rows = [row for part in arguments.parts or PARTS for row in PARTS[part](bench)]
    if arguments.json:
        found = [asdict(row) | {"met": row.met} for row in rows]
        print(json.dumps({"machine": here, "rows": found}, allow_nan=False))
    else:
        print(", ".join(f"{name} {value}" for name, value in here.items()))
        print(f"\n{markdown(rows)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
