"""Joins each stage of the codec with a plain reference and their times: python -m bench.speed.

Both take turns in one process. One thread is measured in processor time, so that other work on the
machine matters little; several threads, and processes that start, in wall time. The fields are a
siren of random weights and pyramids of random latents: as fast as any of their shape.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import inrcodec
from bench.fallback import pure_python
from bench.pyramid_subject import NETS, PyramidSubject
from bench.siren_fits import Bench, fitting
from bench.subject import ROOT, Sizes, Subject, agree, eager
from bench.timing import Comparison, Run, compare, machine, markdown, record, threads
from inrcodec.bitstream.container import unpack
from inrcodec.coding.weights import unpack_weights
from inrcodec.query.kernels import pyramid
from inrcodec.query.kernels.native_pyramid import synthesise

LEAST_ROUNDS, ROUNDS = 5, 15


def entropy(bench: Bench) -> Iterator[Comparison]:
    """A parameters section to symbols."""
    subject = bench.subject
    spec, section = subject.sizes.spec, unpack(subject.data)[1][0]
    read = subject.stranger["read_parameters"]
    (track,), _ = subject.stranger["read_container"](subject.data)
    symbols, _ = unpack_weights(spec, section.payload, "speed")
    for own, theirs in zip(symbols.values(), read(track, section.payload)[0], strict=True):
        agree(own, theirs, 0)
    yield bench.compare(
        "entropy decode",
        Run("constriction", lambda: unpack_weights(spec, section.payload, "speed")),
        Run("the specification's Python", lambda: read(track, section.payload)),
        "symbols",
        spec.parameter_count,
    )


def query(bench: Bench) -> Iterator[Comparison]:
    """The native lattice as 8-bit samples, and float values at points anywhere."""
    subject = bench.subject
    view, omega_0 = inrcodec.open(subject.data), subject.sizes.spec.omega_0
    lattice = view.info.lattice
    grid = subject.samples.coordinates(torch.arange(subject.samples.positions))
    size = np.array(lattice)
    points = np.random.default_rng(0).uniform(-0.5, size - 0.5, (subject.sizes.points, 2))

    def whole() -> Tensor:
        return eager(subject.layers, grid, omega_0)

    def some() -> Tensor:
        places = torch.from_numpy(((2 * points + 1 - size) / size.max()).astype(np.float32))
        return eager(subject.layers, places, omega_0)

    with torch.no_grad():
        agree(view.resize(lattice), whole().reshape(view.shape).clamp(0, 1) * 255, 1)
        agree(view.at(points), some() * 255, 0.1)
        yield bench.compare(
            "query, native lattice",
            Run("to 8-bit samples", lambda: view.resize(lattice)),
            Run("torch eager, one forward pass", whole),
            "pixels",
            subject.samples.positions,
        )
        yield bench.compare(
            "query, arbitrary points",
            Run("at", lambda: view.at(points)),
            Run("torch eager, one forward pass", some),
            "points",
            len(points),
        )


def decoding(bench: Bench) -> Iterator[Comparison]:
    """Bytes to samples; half as high and wide, because the reference takes its time."""
    sizes = bench.subject.sizes
    subject = Subject(replace(sizes, height=sizes.height // 2, width=sizes.width // 2))
    decode = subject.stranger["decode"]
    agree(inrcodec.decode(subject.data).samples, decode(subject.data)[4], 1)
    yield bench.compare(
        f"whole decode, {subject.sizes.width}x{subject.sizes.height}",
        Run("decode", lambda: inrcodec.decode(subject.data)),
        Run("the specification's Python", lambda: decode(subject.data)),
        "pixels",
        subject.samples.positions,
    )


def pyramids(bench: Bench) -> Iterator[Comparison]:
    """Latents to values, and bytes to samples, beside the same in numpy and constriction."""
    sizes = bench.subject.sizes
    for net in NETS:
        subject = PyramidSubject(sizes.height, sizes.width, net)
        spec, field, data = subject.spec, subject.field, subject.data
        whole = [(0, size) for size in spec.lattice]

        def plain(data: bytes = data) -> Any:
            with pure_python():
                return inrcodec.decode(data)

        agree(synthesise(field, whole), pyramid.synthesise(field, whole), 0)
        agree(inrcodec.decode(data).samples, plain().samples, 0)
        yield bench.compare(
            f"pyramid render, {spec.net}",
            Run("", partial(synthesise, field, whole)),
            Run("numpy", partial(pyramid.synthesise, field, whole)),
            "pixels",
            math.prod(spec.lattice),
        )
        yield bench.compare(
            f"whole decode of a pyramid, {spec.net}",
            Run("decode", partial(inrcodec.decode, data)),
            Run("pure Python", plain),
            "pixels",
            math.prod(spec.lattice),
        )


def starting(bench: Bench) -> Iterator[Comparison]:
    """Processes that end as soon as they have done what they are for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.inrc"
        path.write_bytes(bench.subject.data)

        def process(name: str, *words: str) -> Run:
            command = [sys.executable, *words]
            return Run(
                name,
                lambda: subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True),
            )

        nothing = process("python -c pass", "-c", "pass")
        decode = f"import inrcodec; inrcodec.decode({str(path)!r})"
        for stage, ours, reference in (
            ("import inrcodec", process("", "-c", "import inrcodec"), nothing),
            ("inrcodec info", process("", "-m", "inrcodec", "info", str(path)), nothing),
            (
                "process that decodes",
                process("", "-c", decode),
                process("python -c 'import torch'", "-c", "import torch"),
            ),
        ):
            yield compare(stage, ours, reference, bench.rounds, "wall time")


STAGES: dict[str, Callable[[Bench], Iterator[Comparison]]] = {
    "fit": fitting,
    "entropy": entropy,
    "query": query,
    "decode": decoding,
    "pyramid": pyramids,
    "start": starting,
}


def measure(bench: Bench, stages: Sequence[str]) -> list[Comparison]:
    """Every comparison of the stages."""
    return [found for name in stages for found in STAGES[name](bench)]


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print a table, or JSON."""
    summary = "Times of each stage beside a plain reference, in turns, in one process."
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=summary)
    parser.add_argument("stages", nargs="*", help=f"some of {', '.join(STAGES)} (all)")
    parser.add_argument(
        "--rounds", type=int, help=f"turns of each, at least {LEAST_ROUNDS} ({ROUNDS})"
    )
    parser.add_argument("--threads", type=int, default=1, help="for both sides (1)")
    parser.add_argument(
        "--quick", action="store_true", help=f"{LEAST_ROUNDS} turns: less than a minute"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args(words)
    rounds = arguments.rounds
    if rounds is None:
        rounds = LEAST_ROUNDS if arguments.quick else ROUNDS
    if unknown := set(arguments.stages) - set(STAGES):
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; known: {', '.join(STAGES)}")
    if rounds < LEAST_ROUNDS:
        parser.error(f"--rounds {rounds}: at least {LEAST_ROUNDS}, or the least says little")
    if arguments.threads < 1:
        parser.error(f"--threads {arguments.threads}: at least 1")
    clock = "processor time" if arguments.threads == 1 else "wall time"
    bench = Bench(Subject(Sizes()), rounds, clock)
    here = machine() | {"threads": arguments.threads, "rounds": rounds}
    with threads(arguments.threads):
        found = measure(bench, arguments.stages or list(STAGES))
    if arguments.json:
        rows = [record(each) for each in found]
        print(json.dumps({"machine": here, "comparisons": rows}, allow_nan=False))
        return 0
    sizes = bench.subject.sizes
    print(", ".join(f"{name} {value}" for name, value in here.items()))
    print(
        f"\nPicture {sizes.width}x{sizes.height}, siren {sizes.spec.net} of random weights,",
        end=" ",
    )
    print(f"{len(bench.subject.data):,} bytes; batches of {sizes.batch:,};", end=" ")
    print("pyramids of random latents, about 0.5 bits per pixel.", end=" ")
    print(f"Least / median of {rounds} turns, in {clock}; starts of processes in wall time.")
    print(f"\n{markdown(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
