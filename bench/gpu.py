"""Joins a GPU with its part of docs/performance.md: python -m bench.gpu.

Ceilings first, then kernels, by CUDA events. Without a GPU everything runs once, tiny, in Triton's
interpreter, and the page says that nothing was measured.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench.timing import machine

if TYPE_CHECKING:
    from bench.gpu_rows import Row

PAGE = Path(__file__).resolve().parents[1] / "docs/performance.md"
BEGIN, END = "<!-- GPU: written by python -m bench.gpu -->", "<!-- end of the GPU's part -->"

LIMIT = 540
"""Seconds after which no stage begins."""

NOT_BUILT = (
    ("siren 10x512 with shifts (`modulated`)", "90 M coordinates/s"),
    ("24 COINs fitted together, beside torch eager", "4 times"),
    ("24 pictures as pyramids at effort 9", "20 minutes"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE, help="which page to write into")
    parser.add_argument("--stages", help="only these, with commas between; writes no page")
    chosen = parser.parse_args(arguments)
    found = torch.cuda.is_available()
    if not found:
        # Triton reads it when it is imported.
        os.environ["TRITON_INTERPRET"] = "1"
    from bench.gpu_rows import FULL, STAGES, TINY, Bench

    torch.set_num_threads(1 if not found else torch.get_num_threads())
    bench = Bench(torch.device("cuda" if found else "cpu"), FULL if found else TINY)
    names = chosen.stages.split(",") if chosen.stages else list(STAGES)
    unknown = set(names) - set(STAGES)
    if unknown:
        parser.error(f"no stage {sorted(unknown)[0]!r}: choose from {', '.join(STAGES)}")
    started, rows = time.monotonic(), []
    for name in names:
        if time.monotonic() - started > LIMIT:
            print(f"{name}: no time left")
            continue
        for row in STAGES[name](bench):
            rows.append(row)
            shown = cell(row) if found else "ran, not measured"
            print(f"{row.name}: {shown}" + f" (asked {row.asked})" * bool(row.asked), flush=True)
    if not chosen.stages:
        write(chosen.page, part(rows, found))
    return 0


def part(rows: Sequence[Row], found: bool) -> str:
    """The GPU's part of the page."""
    about = machine()
    versions = f"torch {about['torch']}, Triton {_triton()}, Python {about['python']}"
    if found:
        head = f"Measured on {torch.cuda.get_device_name()}, {about['date']}, {versions}."
    else:
        head = f"**Not measured: no GPU at hand** ({about['date']}, {versions})."
    lines = [head, "", "| what | asked | measured |", "| --- | --- | ---: |"]
    # Without a GPU, what has no goal says nothing.
    for row in rows if found else [row for row in rows if row.asked]:
        lines.append(f"| {row.name} | {row.asked} | {cell(row) if found else 'not measured'} |")
    lines += [f"| {name} | {asked} | not built |" for name, asked in NOT_BUILT]
    lines += [
        "",
        "What the compiler makes of the kernels for sm_90 (`python -m bench.offline`):",
        "",
    ]
    return "\n".join([*lines, offline()])


def cell(row: Row) -> str:
    """A number as the table shows it."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if row.value >= factor:
            return f"{row.value / factor:.3g} {prefix} {row.unit}".rstrip()
    return f"{row.value:.3g} {row.unit}".rstrip()


def offline() -> str:
    """The table of bench.offline, by a process whose Triton compiles."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", "bench.offline"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(page: Path, text: str) -> None:
    """Put the part into the page; what a GPU measured is not replaced by a run without one."""
    before = page.read_text(encoding="utf-8")
    start, rest = before.split(BEGIN)
    old, end = rest.split(END)
    if "Measured on" in old and "Not measured" in text:
        print(f"{page.name}: keeps what was measured")
        return
    page.write_text(f"{start}{BEGIN}\n{text}\n{END}{end}", encoding="utf-8")


def _triton() -> str:
    import triton

    return str(triton.__version__)


if __name__ == "__main__":
    sys.exit(main())
