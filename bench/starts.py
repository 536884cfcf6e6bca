"""Joins photographs with `starts.npz`: networks that every fit of a pyramid starts from.

`python -m bench.starts train --photos DIR --net 12-12/24/2 -o small.npy` fits one set of networks
to crops of many photographs together, each crop with latents of its own; `pack OUT
ID=FILE:NET[:OUTPUTS] ...` writes the file of the package. A released start is never changed.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inrcodec.coding.starts import FRACTION_BITS
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.presets import Settings
from inrcodec.fitting.pyramid_networks import Networks, random_networks
from inrcodec.fitting.pyramid_spec import LEVELS
from inrcodec.fitting.pyramid_step import SOFT

Floats = NDArray[np.float32]

WEIGHTS = (3e-4, 1e-3, 4e-3)
"""Rate weights; every crop has one of them."""

CROPS, EDGE, STEPS = 36, 160, 1600

LEAST_DETAIL = 1.5
"""Mean difference of neighbouring rows, in code values, below which a crop teaches too little."""


def spec_of(net: str, outputs: int, lattice: tuple[int, ...] = (EDGE, EDGE)) -> PyramidSpec:
    """The architecture that `--net` names."""
    preset = Settings(kind="pyramid", net=net).pyramid_preset()
    return PyramidSpec(
        lattice, outputs, LEVELS, preset.contexts, preset.synthesis, preset.residuals
    )


def crops(folder: Path, outputs: int, seed: int = 0) -> list[Floats]:
    """Crops `[EDGE, EDGE, outputs]` in 0..1 of different photographs, with some detail in each."""
    generator = random.Random(seed)
    names = sorted(path for path in folder.iterdir() if path.suffix in (".webp", ".png", ".jpg"))
    generator.shuffle(names)
    found: list[Floats] = []
    while len(found) < CROPS:
        name = names[(len(found) + generator.randrange(len(names))) % len(names)]
        picture = np.asarray(Image.open(name).convert("RGB" if outputs == 3 else "L"), np.float32)
        picture = picture.reshape(*picture.shape[:2], outputs)
        if min(picture.shape[:2]) <= EDGE:
            continue
        top, left = (generator.randrange(size - EDGE) for size in picture.shape[:2])
        crop = picture[top : top + EDGE, left : left + EDGE]
        if np.abs(np.diff(crop, axis=0)).mean() >= LEAST_DETAIL:
            found.append(crop / np.float32(255))
    return found


def train(spec: PyramidSpec, targets: list[Floats], threads: int) -> Floats:
    """Networks, flat, that suit all targets; the mean of their logarithmic losses is descended."""
    steps = [step_for(spec, target, threads) for target in targets]
    latents = [[np.zeros(spec.grid(n), np.float32) for n in range(LEVELS)] for _ in targets]
    networks = Networks(spec, random_networks(spec, 0))
    soap = Soap([matrix.requires_grad_() for matrix in networks.matrices])
    for count in range(STEPS):
        share = count / STEPS
        fall = max(0.5 * (1 + math.cos(math.pi * share)), 0.1)
        gradient, total = np.zeros_like(networks.flat), 0.0
        for index, (step, own) in enumerate(zip(steps, latents, strict=True)):
            weight = WEIGHTS[index % len(WEIGHTS)]
            seed, noise = count * 1000 + index, 0.22 - 0.07 * share
            found = step.step(networks.flat, own, weight, 0.35 - 0.23 * share, noise, SOFT, seed)
            assert found.parameters is not None
            assert found.latents is not None
            loss = found.mse + weight * found.bits / math.prod(spec.lattice)
            gradient += found.parameters * np.float32(1e-3 / loss / len(steps))
            total += math.log(loss) / len(steps)
            step.adam(own, found.latents, 0.24 * fall, (0.6, 0.85), 1e-12, 8.0, count + 1)
        gradient *= np.float32(min(1.0, 0.1 / max(float(np.linalg.norm(gradient)), 1e-12)))
        for matrix, part in zip(networks.matrices, networks.gathered(gradient), strict=True):
            matrix.grad = part
        soap.step(1e-2 * fall)
        networks.scatter()
        if (count + 1) % 100 == 0:
            print(f"{count + 1} of {STEPS} steps, mean log loss {total:.4f}", flush=True)
    return networks.flat


def pack(out: Path, entries: list[str]) -> None:
    """Write `starts.npz`: `id/role n` is the n-th array of a role, in units of 2^-FRACTION_BITS."""
    arrays: dict[str, NDArray[np.int16]] = {}
    for entry in entries:
        number, _, rest = entry.partition("=")
        file, net, outputs = (*rest.split(":"), "3")[:3]
        flat, counts, start = np.load(file), Counter[str](), 0
        for tensor in spec_of(net, int(outputs)).tensors():
            part = flat[start : start + tensor.size].reshape(tensor.shape)
            start += tensor.size
            whole = np.rint(np.ldexp(part.astype(np.float64), FRACTION_BITS))
            arrays[f"{number}/{tensor.role}{counts[tensor.role]}"] = whole.astype(np.int16)
            counts[tensor.role] += 1
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]


def main() -> None:
    """Train or pack, as asked."""
    words = argparse.ArgumentParser(description=__doc__)
    commands = words.add_subparsers(dest="command", required=True)
    teach = commands.add_parser("train")
    teach.add_argument("--photos", type=Path, required=True)
    teach.add_argument("--net", required=True)
    teach.add_argument("--outputs", type=int, default=3)
    teach.add_argument("-o", "--output", type=Path, required=True)
    write = commands.add_parser("pack")
    write.add_argument("output", type=Path)
    write.add_argument("entries", nargs="+")
    args = words.parse_args()
    torch.set_num_threads(1)
    if args.command == "train":
        spec = spec_of(args.net, args.outputs)
        np.save(args.output, train(spec, crops(args.photos, args.outputs), 1))
    else:
        pack(args.output, args.entries)


if __name__ == "__main__":
    main()
