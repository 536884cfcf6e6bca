"""Measures the memory of arrays in blocks: python -m bench.array_memory [options].

An array is made on the fly, coded as a store of blocks and decoded to a file again, each in a
process of its own whose largest resident set is told. Most of the array is constant, so that its
fit takes no time; every so many blocks there is a signal, whose fit takes as much memory as any.
Ends with 1 where a process took more than the allowance, or the bound is broken. For Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.cli import positive
from bench.report.tables import as_markdown, number
from bench.timing import machine

ENCODE = """
import sys
from inrcodec.plugins.blocks import encode_blocks
block, bound = tuple(map(int, sys.argv[3].split(","))), float(sys.argv[4])
encode_blocks(sys.argv[1], sys.argv[2], block=block, max_error=bound, steps=4, effort=1)
"""
DECODE = """
import sys
from inrcodec.plugins.blocks import decode_blocks
decode_blocks(sys.argv[1], sys.argv[2])
"""
SLAB = """
import sys, zarr
group = zarr.open(sys.argv[1], mode="r")
(array,) = dict(group.arrays()).values()
print(array[:, 0, 0].sum(), array[0, 1:3].sum())
"""

PEAK = """
import sys
exec(sys.argv.pop(1))
# What getrusage tells includes the process that this one was forked from.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

BOUND = 0.05


def peak(script: str, *words: str) -> tuple[float, float]:
    """Largest resident set of a process in MiB, and its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PEAK, script, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"failed: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout.split()[-1]) / 2**10, time.perf_counter() - start


def signal_of(block: Sequence[int], index: int) -> np.ndarray:
    """Waves and a little noise."""
    z, y, x = np.indices(block, np.float32)
    waves = np.sin((z + index) / 9) + np.sin((y * x) / 900)
    noise = np.random.default_rng(index).normal(0, 0.02, block)
    return np.asarray(waves + noise, np.float32)


def make(path: Path, blocks: int, block: tuple[int, int, int], every: int) -> None:
    """An array of blocks one above the other; what is constant takes no room on the disk."""
    shape = (blocks * block[0], *block[1:])
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for index in range(0, blocks, every):
        array[index * block[0] : (index + 1) * block[0]] = signal_of(block, index)
    array.flush()


def broken(source: Path, back: Path, rows: int) -> int:
    """Samples beyond the bound."""
    ours, theirs = (np.load(path, mmap_mode="r") for path in (back, source))
    limit = BOUND * (1 + 1e-12)
    return sum(
        int((np.abs(ours[i : i + rows].astype(np.float64) - theirs[i : i + rows]) > limit).sum())
        for i in range(0, len(ours), rows)
    )


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.array_memory",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    option = parser.add_argument
    option("--blocks", type=positive, default=768, help="blocks of 2^20 float32 samples (768)")
    option("--every", type=positive, default=256, help="blocks between two of a signal (256)")
    option("--allowance", type=positive, default=1024, metavar="MIB", help="for a process (1024)")
    option("--folder", type=Path, help="for the files; default: that of temporary files")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    asked = parser().parse_args(words)
    block = (64, 128, 128)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        source, store, back = folder / "in.npy", folder / "out.zarr", folder / "back.npy"
        make(source, asked.blocks, block, asked.every)
        size = source.stat().st_size / 2**20
        edges = ",".join(map(str, block))
        lines, most = [], 0.0
        for what, script, given in (
            ("nothing but the imports", "import torch, inrcodec.plugins.blocks, zarr", ()),
            ("encode", ENCODE, (str(source), str(store), edges, str(BOUND))),
            ("decode to .npy", DECODE, (str(store), str(back))),
            ("a column and two rows", SLAB, (str(store),)),
        ):
            used, seconds = peak(script, *given)
            most = max(most, used)
            lines.append([what, number(used, 0), number(size / used, 1), number(seconds, 1)])
        wrong = broken(source, back, block[0])
        stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    heads = ["process", "largest resident set, MiB", "array / that", "s"]
    told = ", ".join(f"{key} {value}" for key, value in machine().items())
    print(f"{told}\n\narray of {size:.0f} MiB, store of {stored / 2**20:.2f} MiB, {wrong} samples ")
    print(f"beyond the bound\n\n{as_markdown((heads, lines))}")
    return 0 if most <= asked.allowance and not wrong else 1


if __name__ == "__main__":
    raise SystemExit(main())
