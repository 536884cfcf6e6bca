"""Joins two ways to do the same thing with the times that they took, turn by turn."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from inrcodec.native_choice import instruction_set
from inrcodec.query.threads import THREADS

Clock = Callable[[], float]

LIBRARIES = ("numpy", "torch", "constriction", "inrcodec")

CLOCKS: Mapping[str, Clock] = {
    "processor time": time.process_time,
    "wall time": time.perf_counter,
}


@dataclass(frozen=True)
class Run:
    """What is timed: `work`, under the `name` that tables give it.

    One call of `work` does the thing `times` times; what is reported is the time of one.
    """

    name: str
    work: Callable[[], object]
    times: int = 1


@dataclass(frozen=True)
class Times:
    """Seconds of one run, a number for each of its turns."""

    name: str
    seconds: tuple[float, ...]

    @cached_property
    def least(self) -> float:
        return min(self.seconds)

    @cached_property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """A stage done by this package and by a plain reference, which took turns.

    `count` is how many of `item` one run handles (a process handles none: 0). Times are of one run,
    in the time that `clock` names.
    """

    stage: str
    ours: Times
    reference: Times
    clock: str
    item: str = ""
    count: int = 0

    @property
    def least_ratio(self) -> float:
        """How many times as fast as the reference, by the least times."""
        return self.reference.least / self.ours.least

    @property
    def median_ratio(self) -> float:
        """As `least_ratio`, by the medians."""
        return self.reference.median / self.ours.median

    @property
    def items_per_second(self) -> float | None:
        """Of ours, by the least time."""
        return self.count / self.ours.least if self.count else None


def interleaved(runs: Sequence[Run], rounds: int, clock: Clock) -> list[Times]:
    """Times of every run; all take turns, after one turn that does not count."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, own in zip(runs, seconds, strict=True):
            started = clock()
            run.work()
            taken = (clock() - started) / run.times
            if turn:
                own.append(taken)
    return [Times(run.name, tuple(own)) for run, own in zip(runs, seconds, strict=True)]


def compare(
    stage: str,
    ours: Run,
    reference: Run,
    rounds: int,
    clock: str,
    item: str = "",
    count: int = 0,
) -> Comparison:
    """Time one stage. `clock` is a name in CLOCKS."""
    mine, theirs = interleaved((ours, reference), rounds, CLOCKS[clock])
    return Comparison(stage, mine, theirs, clock, item, count)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch, every BLAS and the native kernels use `count` threads."""
    before, ours = torch.get_num_threads(), os.environ.get(THREADS)
    with threadpool_limits(count):
        torch.set_num_threads(count)
        os.environ[THREADS] = str(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            if ours is None:
                del os.environ[THREADS]
            else:
                os.environ[THREADS] = ours


def machine() -> dict[str, Any]:
    """Where and when: date, CPU, the cores this process may use, load, versions."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "native": instruction_set() or "none",
    }


def processor() -> str:
    """Name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def record(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON holds it; times in seconds."""
    return {
        "stage": found.stage,
        "clock": found.clock,
        "item": found.item,
        "count": found.count,
        "items_per_second": found.items_per_second,
        "least_ratio": found.least_ratio,
        "median_ratio": found.median_ratio,
        **{
            role: {"name": times.name, "least": times.least, "median": times.median}
            for role, times in (("ours", found.ours), ("reference", found.reference))
        },
    }


def markdown(found: Sequence[Comparison]) -> str:
    """A table; times are "least / median" in ms, and so are the ratios."""
    lines = [
        "| stage | inrcodec, ms | reference | ms | times as fast | inrcodec per second |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for each in found:
        times = [
            f"{1000 * own.least:.2f} / {1000 * own.median:.2f}"
            for own in (each.ours, each.reference)
        ]
        speed = each.items_per_second
        rate = "" if speed is None else f"{speed / 1e6:.3g} M {each.item}"
        ratio = f"{each.least_ratio:.2f} / {each.median_ratio:.2f}"
        cells = (each.stage, times[0], each.reference.name, times[1], ratio, rate)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
