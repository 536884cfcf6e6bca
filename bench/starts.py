"""Joins photographs with `starts.npz`: networks that every fit of a pyramid starts from.

`python -m bench.starts train --photos DIR --net 12-12/24/2 --weights 8e-3 4e-3 2e-3 -o low.npy`
fits crops of photographs one by one, all from the same networks, moves those to the mean of what
the fits ended with, and begins anew: what is left is what most of the fits would learn (Reptile,
Nichol et al. 2018). `pack FILE ID=NPY:NET[:OUTPUTS] ...` adds starts to the file of the package.
A released start is never changed.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inrcodec.coding.starts import FRACTION_BITS
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.native_step import step_for
from inrcodec.fitting.presets import PyramidPreset
from inrcodec.fitting.pyramid_descent import PyramidState, descend
from inrcodec.fitting.pyramid_networks import Networks, random_networks
from inrcodec.fitting.pyramid_spec import LEVELS
from inrcodec.fitting.schedule import Budget, quiet
from inrcodec.fitting.settings import Settings

Floats = NDArray[np.float32]

EDGE, STEPS, FITS, ROUNDS = 320, 500, 15, 9

LEAST_DETAIL = 1.5
"""Mean difference of neighbouring rows, in code values, below which a crop teaches too little."""

FALL, LAST = 0.8, 0.3
"""From the third round on, every move is this much shorter than the one before, down to LAST of the
way to the mean: the noise of few fits averages out."""


@dataclass(frozen=True)
class Lesson:
    """One fit: from `networks`, of a crop `[EDGE, EDGE, outputs]` in 0..1, at a rate weight."""

    networks: Floats
    crop: Floats
    rate_weight: float
    preset: PyramidPreset

    def learnt(self) -> tuple[Floats, float]:
        """The networks that it ends with, and the logarithm of its loss."""
        torch.set_num_threads(1)
        spec = spec_of(self.preset, self.crop.shape[2])
        networks = Networks(spec, random_networks(spec, 0))
        networks.flat[:] = networks.origin[:] = self.networks
        networks.gather()
        latents = [np.zeros(spec.grid(level), np.float32) for level in range(LEVELS)]
        state = PyramidState(networks, latents, EDGE * EDGE, 255)
        step = step_for(spec, self.crop, 1)
        descend(state, step, self.preset, lambda *_: self.rate_weight, Budget(None), quiet)
        return networks.flat, math.log(state.loss)


def preset_of(net: str) -> PyramidPreset:
    """The architecture that `--net` names, fitted for STEPS."""
    return replace(Settings(kind="pyramid", net=net).pyramid_preset(), steps=STEPS)


def spec_of(preset: PyramidPreset, outputs: int) -> PyramidSpec:
    """The field of a crop."""
    networks = (preset.contexts, preset.synthesis, preset.residuals)
    return PyramidSpec((EDGE, EDGE), outputs, LEVELS, *networks)


def crops(folder: Path, outputs: int, seed: int) -> Iterator[Floats]:
    """Crops of photographs chosen at random, without end, with some detail in each."""
    generator = random.Random(seed)
    names = sorted(path for path in folder.iterdir() if path.suffix in (".webp", ".png", ".jpg"))
    while True:
        picture = Image.open(generator.choice(names)).convert("RGB" if outputs == 3 else "L")
        if min(picture.size) <= EDGE:
            continue
        samples = np.asarray(picture, np.float32).reshape(picture.height, picture.width, outputs)
        top, left = (generator.randrange(size - EDGE) for size in samples.shape[:2])
        crop = samples[top : top + EDGE, left : left + EDGE]
        if np.abs(np.diff(crop, axis=0)).mean() >= LEAST_DETAIL:
            yield crop / np.float32(255)


def train(
    preset: PyramidPreset,
    weights: Sequence[float],
    photos: Iterator[Floats],
    networks: Floats,
    rounds: int,
    jobs: int,
) -> Floats:
    """Networks that fits at these rate weights start well from; some are damped, some not."""
    with get_context("spawn").Pool(jobs) as pool:
        for count in range(rounds):
            lessons = [
                Lesson(
                    networks,
                    next(photos),
                    weights[index % len(weights)],
                    replace(preset, dampings=(preset.dampings[index % len(preset.dampings)],)),
                )
                for index in range(FITS)
            ]
            ends = pool.map(Lesson.learnt, lessons, 1)
            move = max(LAST, FALL ** max(0, count - 1))
            mean = np.mean([end for end, _ in ends], axis=0, dtype=np.float64)
            networks = (networks + move * (mean - networks)).astype(np.float32)
            loss = np.mean([loss for _, loss in ends])
            print(f"{count + 1} of {rounds} rounds, mean log loss {loss:.4f}", flush=True)
    return networks


def first_networks(preset: PyramidPreset, outputs: int, begin: Path | None) -> Floats:
    """Networks of the first round: those of a file, or random ones."""
    spec = spec_of(preset, outputs)
    if begin is None:
        return Networks(spec, random_networks(spec, 0)).flat
    known: Floats = np.load(begin).astype(np.float32)
    if known.shape != (spec.parameter_count,):
        raise SystemExit(f"{begin}: {spec.parameter_count} numbers are needed, not {known.shape}")
    return known


def packed(kept: dict[str, NDArray[np.int16]], entry: str) -> dict[str, NDArray[np.int16]]:
    """`kept` and the arrays of `ID=NPY:NET[:OUTPUTS]`: `id/role n` is the n-th array of a role, in
    units of 2^-FRACTION_BITS.
    """
    number, _, rest = entry.partition("=")
    file, net, outputs = (*rest.split(":"), "3")[:3]
    if any(name.startswith(f"{number}/") for name in kept):
        raise SystemExit(f"start {number} is there already: a released start is never changed")
    flat, counts, begin, arrays = np.load(file), Counter[str](), 0, dict(kept)
    for tensor in spec_of(preset_of(net), int(outputs)).tensors():
        part = flat[begin : begin + tensor.size].reshape(tensor.shape)
        begin += tensor.size
        whole = np.rint(np.ldexp(part.astype(np.float64), FRACTION_BITS))
        arrays[f"{number}/{tensor.role}{counts[tensor.role]}"] = whole.astype(np.int16)
        counts[tensor.role] += 1
    return arrays


def main() -> None:
    """Train or pack, as asked."""
    words = argparse.ArgumentParser(description=__doc__)
    commands = words.add_subparsers(dest="command", required=True)
    teach = commands.add_parser("train")
    teach.add_argument("--photos", type=Path, required=True)
    teach.add_argument("--net", required=True)
    teach.add_argument("--outputs", type=int, default=3)
    teach.add_argument("--weights", type=float, nargs="+", required=True)
    teach.add_argument("--dampings", type=float, nargs="+", default=[0.0])
    teach.add_argument("--begin", type=Path)
    teach.add_argument("--rounds", type=int, default=ROUNDS)
    teach.add_argument("--seed", type=int, default=0)
    teach.add_argument("--jobs", type=int, default=1)
    teach.add_argument("-o", "--output", type=Path, required=True)
    write = commands.add_parser("pack")
    write.add_argument("output", type=Path)
    write.add_argument("entries", nargs="+")
    args = words.parse_args()
    if args.command == "train":
        preset = replace(preset_of(args.net), dampings=tuple(args.dampings))
        begin = first_networks(preset, args.outputs, args.begin)
        photos = crops(args.photos, args.outputs, args.seed)
        np.save(args.output, train(preset, args.weights, photos, begin, args.rounds, args.jobs))
        return
    arrays: dict[str, NDArray[np.int16]] = {}
    if args.output.exists():
        with np.load(args.output, allow_pickle=False) as file:
            arrays.update(file)
    for entry in args.entries:
        arrays = packed(arrays, entry)
    np.savez_compressed(args.output, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
