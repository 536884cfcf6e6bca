"""Joins a GPU with the rates of its ceilings and of this package's kernels: rows of bench.gpu."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

import inrcodec
from bench.gpu_sines import many_sines
from bench.pyramid_subject import NETS, PyramidSubject
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.gpu import ops, pyramids, render, sirens
from inrcodec.query.gpu.sirens import Output
from inrcodec.query.kernels.native_pyramid import synthesise

CODED = torch.uint8

NETWORKS = {"4x64": SirenSpec(2, 3, 4, 64), "10x28": SirenSpec(2, 3, 10, 28)}


@dataclass(frozen=True)
class Scale:
    """How large everything is: enough for a GPU, or to run through in the interpreter."""

    copied: int
    matrix: int
    sines: int
    side: tuple[int, int]
    eager: int
    stacks: tuple[int, ...]
    pictures: int
    picture: tuple[int, int]
    rounds: int


FULL = Scale(2**30, 8192, 2**26, (8192, 8448), 2**24, (24, 256), 24, (512, 768), 7)
TINY = Scale(2**10, 16, 2**8, (2, 200), 2**6, (24,), 2, (16, 24), 1)


@dataclass(frozen=True)
class Row:
    """What was measured: a rate in `unit` a second, or a plain number, and what is asked of it."""

    name: str
    value: float
    unit: str
    asked: str = ""


@dataclass(frozen=True)
class Bench:
    """Where and how large."""

    device: torch.device
    scale: Scale

    def seconds(self, work: Callable[[], object]) -> float:
        """The least time of a call, after two that do not count."""
        work()
        work()
        if self.device.type != "cuda":
            started = time.perf_counter()
            work()
            return time.perf_counter() - started
        found = []
        for _ in range(self.scale.rounds):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            stop.record()
            torch.cuda.synchronize()
            found.append(float(start.elapsed_time(stop)) / 1000)
        return min(found)

    def random(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(0)
        return torch.randn(shape, generator=generator, device=self.device).to(dtype)


def ceilings(bench: Bench) -> Iterator[Row]:
    """Copy, matrix product, sine."""
    scale = bench.scale
    source = bench.random(scale.copied // 4)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * source.element_size()
    taken = bench.seconds(lambda: target.copy_(source))
    yield Row("copy, bytes read and written", moved / taken, "B/s", "4.3 T")
    left, right = (bench.random(scale.matrix, scale.matrix, dtype=torch.float16) for _ in "ab")
    taken = bench.seconds(lambda: left @ right)
    yield Row("float16 matrix product", 2 * scale.matrix**3 / taken, "FLOP/s", "790 T")
    values = bench.random(scale.sines)
    out, times, block = torch.empty_like(values), 64, min(1024, scale.sines)
    taken = bench.seconds(lambda: many_sines[(scale.sines // block,)](out, values, times, block))
    yield Row("sine, special function unit", scale.sines * times / taken, "/s", "4.18 T")


@dataclass(frozen=True)
class Stack:
    """Fields of one architecture, and the lattice that each is asked on."""

    spec: SirenSpec
    parameters: Tensor
    tables: Tensor
    size: tuple[int, int]
    scales: Tensor

    @property
    def coordinates(self) -> int:
        return len(self.parameters) * math.prod(self.size)

    def ask(self, fast: bool = True, dtype: torch.dtype = CODED) -> Tensor:
        output = Output(self.scales, dtype, planar=True)
        return sirens.on_lattice(self.spec, self.parameters, self.tables, self.size, output, fast)


def stack(bench: Bench, spec: SirenSpec, count: int, size: tuple[int, int]) -> Stack:
    """Random weights, as SIREN's initialisation draws them."""
    parts = []
    for tensor in spec.tensors():
        fan_in = tensor.shape[-1]
        reach = math.sqrt(6 / fan_in) / spec.omega_0
        reach = 1 / fan_in if tensor.name in ("weight0", "bias0") else reach
        parts.append(bench.random(count, tensor.size).clamp(-1, 1) * reach)
    axes = [torch.linspace(-1, 1, cells, device=bench.device) for cells in size]
    tables = torch.cat(axes).expand(count, -1).contiguous()
    scales = torch.tensor([[255.0, 0.5]] * count, device=bench.device)
    return Stack(spec, torch.cat(parts, dim=1), tables, size, scales)


def siren_rows(bench: Bench) -> Iterator[Row]:
    """One field, many in a launch, the float32 kernel, and torch beside them."""
    height, width = bench.scale.side
    for (name, spec), asked in zip(NETWORKS.items(), ("6 G", "5 G"), strict=True):
        one = stack(bench, spec, 1, (height, width))
        alone = one.coordinates / bench.seconds(one.ask)
        yield Row(f"siren {name}, one field to 8 bits", alone, "coordinates/s", asked)
        for count in bench.scale.stacks:
            many = stack(bench, spec, count, (max(1, height // count), width))
            rate = many.coordinates / bench.seconds(many.ask)
            yield Row(f"siren {name}, {count} fields in one launch", rate, "coordinates/s")
            asked = "0.9" if count == 24 else ""
            yield Row(f"siren {name}, {count} fields beside one as large", rate / alone, "", asked)
        exact = one.coordinates / bench.seconds(partial(one.ask, False))
        yield Row(f"siren {name}, float32 kernel", exact, "coordinates/s")
        points = bench.random(bench.scale.eager, 2).clamp(-1, 1)
        layers = [(w[0], b[0]) for w, b in sirens.layers(spec, one.parameters)]
        eager = len(points) / bench.seconds(partial(forward, layers, points))
        yield Row(f"siren {name}, torch eager float32", eager, "coordinates/s")
        yield Row(f"siren {name}, the kernel beside torch eager", alone / eager, "times", "6")
        if bench.device.type == "cuda":
            compiled = torch.compile(forward, mode="max-autotune")
            rate = len(points) / bench.seconds(partial(compiled, layers, points))
            yield Row(f"siren {name}, torch.compile max-autotune", rate, "coordinates/s")
            yield Row(f"siren {name}, the kernel beside torch.compile", alone / rate, "times", "3")


def forward(layers: list[tuple[Tensor, Tensor]], points: Tensor) -> Tensor:
    """Values at points, layer by layer, to 8 bits."""
    hidden = points
    for weight, bias in layers[:-1]:
        hidden = torch.sin(torch.nn.functional.linear(hidden, weight, bias))
    values = torch.nn.functional.linear(hidden, *layers[-1])
    return (values.clamp(0, 1) * 255 + 0.5).to(CODED)


def tilings(bench: Bench) -> Iterator[Row]:
    """Other tiles and warps of the fast kernel."""
    usual = sirens.tiling
    for name, spec in NETWORKS.items():
        one = stack(bench, spec, 1, bench.scale.side)
        for block, warps in itertools.product((64, 128, 256), (4, 8)):
            how = replace(usual(spec, True), block=block, warps=warps)
            sirens.tiling = lambda *_, how=how: how
            try:
                rate = one.coordinates / bench.seconds(one.ask)
            finally:
                sirens.tiling = usual
            yield Row(f"siren {name}, tiles of {block}, {warps} warps", rate, "coordinates/s")


def agreement(bench: Bench) -> Iterator[Row]:
    """The kernels beside those of the CPU."""
    for name, spec in NETWORKS.items():
        one = stack(bench, spec, 1, bench.scale.picture)
        net = (list(one.size), spec.depth, spec.width, spec.outputs, spec.omega_0)
        given = [part.cpu() for part in (one.parameters, one.tables, one.scales)]
        for fast in (True, False):
            codes, values = (
                (one.ask(fast, CODED).cpu().double(), ops.siren_lattice(*given, *net, CODED, True)),
                (one.ask(fast, torch.float32).cpu().double(),
                 ops.siren_lattice(*given, *net, torch.float32, True)),
            )  # fmt: skip
            kernel = "fast" if fast else "float32"
            worst = float((codes[0] - codes[1]).abs().max())
            error = float(((values[0] - values[1]) / 255).square().mean())
            yield Row(f"siren {name}, {kernel} kernel: largest difference", worst, "codes", "1")
            yield Row(
                f"siren {name}, {kernel} kernel: PSNR to the CPU",
                -10 * math.log10(max(error, 1e-20)),
                "dB",
                "65",
            )
    field = PyramidSubject(*bench.scale.picture, NETS[0]).field
    found, meant = rendered(bench, field, 1)().cpu().numpy(), synthesise(field, whole(field))
    yield Row("pyramid: values of other bits", float((found[0] != meant).sum()), "", "0")


def whole(field: object) -> list[tuple[int, int]]:
    return [(0, size) for size in field.spec.lattice]  # type: ignore[attr-defined]


def rendered(
    bench: Bench, field: object, count: int, dtype: torch.dtype = torch.float32
) -> Callable[[], Tensor]:
    """What renders a pyramid so many times in one go."""
    spec, latents = field.spec, field.latents  # type: ignore[attr-defined]
    window = whole(field)
    planes = [
        render.sent([latents.read(level, near)], bench.device).repeat(count, *[1] * len(near))
        for level, near in enumerate(pyramids.latents_needed(spec, window))
    ]
    parameters = render.sent([render.flat(field)], bench.device).repeat(count, 1)  # type: ignore[arg-type]
    unit = [[255.0, 0.5]] if dtype == CODED else [[1.0, 0.0]]
    output = Output(torch.tensor(unit * count, device=bench.device), dtype, planar=True)
    return lambda: pyramids.render(spec, parameters, planes, window, output)


def pyramid_rows(bench: Bench) -> Iterator[Row]:
    """Pictures rendered together, latents on the device."""
    height, width = bench.scale.picture
    count = max(2, math.prod(bench.scale.side) // (height * width))
    for net, asked in zip(NETS, ("8 G", ""), strict=True):
        subject = PyramidSubject(height, width, net)
        taken = bench.seconds(rendered(bench, subject.field, count, CODED))
        name = f"pyramid {subject.spec.net}, many pictures to 8 bits"
        yield Row(name, count * height * width / taken, "coordinates/s", asked)


def batches(bench: Bench) -> Iterator[Row]:
    """Files to samples, range coder included."""
    files = [PyramidSubject(*bench.scale.picture, NETS[0]).data] * bench.scale.pictures
    for device in ("cpu", "cuda"):
        started = np.inf
        for _ in range(2):
            began = time.perf_counter()
            inrcodec.decode_batch(files, device=device)
            if bench.device.type == "cuda":
                torch.cuda.synchronize()
            started = min(started, time.perf_counter() - began)
        yield Row(
            f"decode_batch of {len(files)} pyramids, {device}", len(files) / started, "files/s"
        )


STAGES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "ceilings": ceilings,
    "sirens": siren_rows,
    "pyramids": pyramid_rows,
    "agreement": agreement,
    "batches": batches,
    "tilings": tilings,
}
