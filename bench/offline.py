"""Joins GPU kernels with what the compiler makes of them for sm_90: python -m bench.offline.

No GPU is needed. The table that it writes says what bounds each kernel on an H200: instruction
slots, sines or memory.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.gpu import pyramids, sirens
from inrcodec.query.kernels import triton as siren_kernels
from inrcodec.query.kernels import triton_pyramid

TARGET = GPUTarget("cuda", 90, 32)

POINTERS = {
    torch.uint8: "*u8",
    torch.uint16: "*u16",
    torch.float16: "*fp16",
    torch.float32: "*fp32",
}

INSTRUCTION = re.compile(
    r"^\s+/\*([0-9a-f]{4,6})\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)([^;]*);", re.MULTILINE
)


@dataclass(frozen=True)
class Compiled:
    """A kernel as machine code: `loops` holds the lengths of its loops, the longest last, with the
    inner ones counted once; `mix` how often each instruction stands in it, without its suffixes.
    """

    registers: int
    stack: int
    shared: int
    instructions: int
    loops: tuple[int, ...]
    mix: Mapping[str, int]
    suffixed: Mapping[str, int]

    @property
    def spills(self) -> int:
        """Loads and stores of local memory: registers that did not suffice, or slow sines."""
        return self.mix.get("LDL", 0) + self.mix.get("STL", 0)

    @property
    def tensor_core(self) -> int:
        """Instructions of the tensor cores."""
        return sum(self.mix.get(name, 0) for name in ("HGMMA", "HMMA"))


def siren(
    spec: SirenSpec,
    dtype: torch.dtype = torch.uint8,
    *,
    fast: bool = True,
    lattice: bool = True,
    planar: bool = True,
) -> Compiled:
    """The kernel that asks fields of an architecture."""
    constants = sirens.constants(spec, dtype, fast, lattice)
    operand = "*fp16" if fast else "*fp32"
    given = {"out": POINTERS[dtype], "hidden": operand, "last": operand}
    given["per_point" if planar else "per_channel"] = "1"
    how = sirens.tiling(spec, fast)
    options = {"num_warps": how.warps, "num_stages": how.stages}
    return _compiled(siren_kernels.sirens, given, constants, options)


def pyramid(spec: PyramidSpec, dtype: torch.dtype = torch.uint8) -> dict[str, Compiled]:
    """The kernels that render fields of an architecture, planar, by name."""
    final = {"FINAL": True, "ROUND": dtype in sirens.INTEGERS, "CHANNELS": spec.outputs}
    given = {"out": POINTERS[dtype], "per_point": "1"}
    reach = dict(zip(("R0", "R1", "R2", "R3"), pyramids.taps(spec), strict=True))
    network = {"LEVELS": spec.levels, "HIDDEN": sum(spec.synthesis)}
    parts: dict[str, tuple[Any, dict[str, str], dict[str, Any]]] = {
        "doubled": (triton_pyramid.doubled, {"inner": "1"}, {}),
        "pointwise": (triton_pyramid.pointwise, given, final | network),
        "residual": (triton_pyramid.residual, given, final | reach | {"LAST": True}),
    }
    return {
        name: _compiled(kernel, types, constants | {"BLOCK": pyramids.BLOCKS[name]})
        for name, (kernel, types, constants) in parts.items()
    }


def _compiled(
    kernel: Any,
    given: Mapping[str, str],
    constants: Mapping[str, Any],
    options: Mapping[str, Any] = pyramids.OPTIONS,
) -> Compiled:
    """What a launch compiles whose tensors begin at multiples of 16 bytes.

    `given` has types of arguments, or 1 where that is the value: others are float32 or int32.
    """
    tensors = {"out", "values", "features", "taps", "weights", "where", "first", "hidden"}
    tensors |= {"biases", "last", "last_bias", "scales"}
    if kernel is triton_pyramid.doubled:
        tensors.remove("first")
    signature, values, aligned = {}, dict(constants), {}
    for place, name in enumerate(kernel.arg_names):
        kind = given.get(name, "*fp32" if name in tensors else "i32")
        if kind == "1":
            values[name] = 1
        signature[name] = "constexpr" if name in values else kind
        if kind.startswith("*"):
            aligned[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=values, attrs=aligned)
    return _read(triton.compile(source, target=TARGET, options=dict(options)))


def _read(made: Any) -> Compiled:
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(made.asm["cubin"])
        usage, code = (
            subprocess.run([tool, option, path], capture_output=True, text=True, check=True).stdout
            for option in ("-res-usage", "-sass")
        )
    found = INSTRUCTION.findall(code)
    used = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert used
    loops = []
    for address, name, operands in found:
        target = re.search(r"0x([0-9a-f]+)\s*$", operands)
        # A kernel ends with a jump to itself.
        if name.startswith("BRA") and target and int(target[1], 16) < int(address, 16):
            loops.append((int(address, 16) - int(target[1], 16)) // 16 + 1)
    return Compiled(
        registers=int(used[1]),
        stack=int(used[2]),
        shared=int(made.metadata.shared),
        instructions=len(found),
        loops=tuple(sorted(loops)),
        mix=Counter(name.partition(".")[0] for _, name, _ in found),
        suffixed=Counter(name for _, name, _ in found),
    )


ISSUE, SINES, MEMORY = 132 * 4 * 1.98e9, 132 * 16 * 1.98e9, 4.3e12
"""Of an H200 a second: instructions of a warp, sines, bytes read and written."""

SHOWN = [
    ("4x64", SirenSpec(2, 3, 4, 64), True),
    ("10x28", SirenSpec(2, 3, 10, 28), True),
    ("4x128", SirenSpec(2, 3, 4, 128), True),
    ("4x64 in float32", SirenSpec(2, 3, 4, 64), False),
    ("10x28 in float32", SirenSpec(2, 3, 10, 28), False),
]
"""Names, architectures, whether the fast kernel."""

SHOWN_PYRAMID = PyramidSpec((512, 768), 3, 7, (12, 12), (24,), 2)

HEAD = (
    "| kernel | registers | spills | tensor core | warp instructions per coordinate "
    "| instruction slots, G/s | sines, G/s | memory, G/s |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def siren_row(name: str, spec: SirenSpec, fast: bool) -> str:
    """What bounds a siren, to 8-bit samples of a lattice, planar."""
    made, how = siren(spec, fast=fast), sirens.tiling(spec, fast)
    executed = made.loops[-1]
    if not how.resident and len(made.loops) > 1:
        # The inner loop runs once for every hidden layer.
        executed += made.loops[-2] * (spec.depth - 2)
    each = executed * how.warps / how.block
    sines = SINES / (spec.depth * how.width) if fast else None
    return row(f"siren {name}", made, each, sines, MEMORY / spec.outputs)


def pyramid_rows(spec: PyramidSpec) -> list[str]:
    """What bounds each kernel of a picture's render, and all of them after one another."""
    made, warps = pyramid(spec), pyramids.OPTIONS["num_warps"]
    blocks = pyramids.BLOCKS
    stages = range(spec.levels - 1)
    # Planes that pass a stage; two axes, the first of them at half the width.
    doubled = sum(1.5 * (spec.levels - 1 - stage) / 4**stage for stage in stages)
    hidden = sum(spec.synthesis)
    executed = {
        "doubled": made["doubled"].instructions * doubled,
        "pointwise": made["pointwise"].instructions + made["pointwise"].loops[0] * (hidden - 1),
        "residual": made["residual"].instructions * spec.residuals,
    }
    # Each value is written once and read once by the next kernel; the last one writes bytes.
    moved = {
        "doubled": 4 * (doubled + doubled / 1.5 * (0.25 + 0.5)),
        "pointwise": 4 * (spec.levels + spec.outputs),
        "residual": spec.outputs * (4 * (2 * spec.residuals - 1) + 1),
    }
    per = {name: executed[name] * warps / blocks[name] for name in executed}
    rows = [row(f"pyramid, {n}", made[n], per[n], None, MEMORY / moved[n]) for n in executed]
    slots, memory = ISSUE / sum(per.values()), MEMORY / sum(moved.values())
    return [
        *rows,
        f"| pyramid {spec.net}, all | | | | {sum(per.values()):.1f} | {slots / 1e9:.1f} | | "
        f"{memory / 1e9:.1f} |",
    ]


def row(name: str, made: Compiled, each: float, sines: float | None, memory: float) -> str:
    cells = [name, f"{made.registers}", f"{made.spills}", f"{made.tensor_core}", f"{each:.1f}"]
    cells += [f"{ISSUE / each / 1e9:.1f}", f"{sines / 1e9:.1f}" if sines else ""]
    return "| " + " | ".join([*cells, f"{memory / 1e9:,.0f}"]) + " |"


def main() -> int:
    """Print the table."""
    rows = [siren_row(*each) for each in SHOWN] + pyramid_rows(SHOWN_PYRAMID)
    print("\n".join([HEAD, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
