"""Measures dictionaries of weights beside plain quantisation: python -m bench.sinr.

One float fit per picture (a square from its middle) and net, whose weights are then coded in
several ways. At each lambda: `none`, quantised; `sinr`, hidden weights as sums of atoms; `auto`,
what the encoder chooses: files of the package, decoded back, PSNR of 8-bit pictures. `pruned`: a
share of the hidden weights set to zero and the rest fitted on. `paper`, at each sparsity: SINR's
own coding (bench.sinr_paper). These two are bytes without a header, decoded back, PSNR before
rounding to 8 bits. Bytes at equal PSNR are interpolated along their logarithm.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.datasets import QUICK, find_images
from bench.sinr_paper import paper_bytes, paper_layers
from bench.sinr_pruned import pruned_bytes
from inrcodec.bitstream.container import pack
from inrcodec.bitstream.header import Header, Track
from inrcodec.codec import as_signal, decode
from inrcodec.coding.tracks import pack_track
from inrcodec.coding.weights import is_sparse
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.fit import Descent, fit, measure
from inrcodec.fitting.rate_control import Goal, round_track
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import Budget, quiet
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import Preset
from inrcodec.fitting.sparsify import AUTO, PLAIN, SINR
from inrcodec.fitting.stacks import layers_of
from inrcodec.fitting.workers import Workers, working
from inrcodec.query.quality import psnr
from inrcodec.signal import Signal

Points = dict[str, list[tuple[float, float]]]
"""Bytes and PSNR in dB of every way of coding."""


@dataclass(frozen=True)
class Subject:
    """One signal and the float fit that all ways start from."""

    name: str
    signal: Signal
    workers: Workers
    spec: SirenSpec
    preset: Preset
    descent: Descent

    @property
    def samples(self) -> Samples:
        """Drawn anew, so that all ways see the same."""
        return Samples(self.signal, "cpu", 0, self.workers)

    def row(self, way: str, size: int, reached: float, **more: Any) -> dict[str, Any]:
        known = {"picture": self.name, "net": self.spec.net, "way": way}
        return {**known, **more, "bytes": size, "psnr": round(reached, 3)}


def ours(subject: Subject, way: str, rate_weight: float) -> dict[str, Any]:
    """A file of the package."""
    goal = Goal(0, rate_weight=rate_weight)
    how = subject.preset, Budget(), quiet, way
    fitted = round_track(subject.spec, subject.descent, subject.samples, goal, *how)
    quantised = fitted.quantised
    header = Header((Track(subject.signal.info, subject.spec),))
    data = pack(header, pack_track(0, subject.spec, quantised.symbols, quantised.recipes))
    atoms = sum(recipe.dictionary is not None for recipe in quantised.recipes)
    assert is_sparse(quantised.recipes) == (atoms > 0)
    reached = psnr(subject.signal, decode(data))
    return subject.row(way, len(data), reached, rate_weight=rate_weight, dictionaries=atoms)


def measured(subject: Subject, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    samples, layers = subject.samples, layers_of(subject.descent.best)
    everywhere = samples.some(samples.positions)
    yield subject.row("float", 0, measure(subject.spec, layers, samples, everywhere))
    for share in arguments.sparsity:
        data = paper_bytes(layers, share)
        found = measure(subject.spec, paper_layers(subject.spec, data), samples, everywhere)
        yield subject.row("paper", len(data), found, share=share)
    for rate_weight in arguments.rate_weights:
        for way in (PLAIN, SINR, AUTO):
            yield ours(subject, way, rate_weight)
        for share in arguments.pruned:
            how = share, rate_weight, subject.preset
            data, restored = pruned_bytes(subject.spec, layers, subject.samples, *how)
            found = measure(subject.spec, restored, samples, everywhere)
            yield subject.row("pruned", len(data), found, share=share, rate_weight=rate_weight)


def bytes_at(points: list[tuple[float, float]], wanted: float) -> float:
    """Bytes at a PSNR, interpolated; NaN where no points lie on both sides."""
    points = sorted(points, key=lambda point: point[1])
    if len(points) < 2 or not points[0][1] <= wanted <= points[-1][1]:
        return float("nan")
    sizes, found = zip(*points, strict=True)
    return float(np.exp(np.interp(wanted, found, np.log(sizes))))


def summary(points: Points) -> Iterator[str]:
    """Of one picture and net: bytes at the PSNRs that the points of `sinr` have, and shares."""
    ways = PLAIN, SINR, AUTO, "paper", "pruned"
    yield "      dB |  plain   sinr   auto  paper pruned | sinr/plain  sinr/paper"
    for _, wanted in sorted(points[SINR]):
        found = {way: bytes_at(points.get(way, []), wanted) for way in ways}
        sizes = " ".join(f"{size:6.0f}" for size in found.values())
        shares = found[SINR] / found[PLAIN], found[SINR] / found["paper"]
        yield f"  {wanted:6.2f} | {sizes} | {shares[0]:10.3f}  {shares[1]:10.3f}"


def main() -> None:
    words = argparse.ArgumentParser(prog="python -m bench.sinr", description=__doc__)
    words.add_argument("--images", type=Path, help="a folder of pictures (INRCODEC_KODAK)")
    words.add_argument("--only", nargs="+", default=QUICK[:3], help="stems of pictures")
    words.add_argument("--nets", nargs="+", default=["10x28", "5x64"])
    words.add_argument("--crop", type=int, default=256, help="edge of the square")
    words.add_argument("--effort", type=int, default=2)
    words.add_argument("--rate-weights", type=float, nargs="+", default=[3e-5, 3e-4, 3e-3])
    words.add_argument("--sparsity", type=float, nargs="*", default=[0.4, 0.45, 0.49])
    words.add_argument("--pruned", type=float, nargs="*", default=[0.5])
    arguments = words.parse_args()
    for path in find_images(arguments.images, arguments.only, None):
        with Image.open(path) as file:
            picture = np.asarray(file.convert("RGB"))
        top, left = ((size - arguments.crop) // 2 for size in picture.shape[:2])
        cropped = picture[top : top + arguments.crop, left : left + arguments.crop]
        signal = as_signal(np.ascontiguousarray(cropped))
        for net in arguments.nets:
            settings = Settings(net=net, effort=arguments.effort)
            spec = SirenSpec(2, 3, *settings.layers())
            preset = settings.preset()
            points: Points = {}
            with working("cpu") as workers:
                descent = fit(spec, Samples(signal, "cpu", 0, workers), preset, 0, Budget())
                subject = Subject(path.stem, signal, workers, spec, preset, descent)
                for row in measured(subject, arguments):
                    points.setdefault(row["way"], []).append((row["bytes"], row["psnr"]))
                    print(json.dumps(row), flush=True)
            print(f"{path.stem} {net}", *summary(points), sep="\n", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
