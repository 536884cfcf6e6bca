"""Joins pictures with modulated fields of several steps: their curve beside COIN++'s, and seconds.

`python -m bench.modulated --images KODAK` encodes every picture at every rate weight, checks every
file by decoding it, and compares the means with the points that COIN++ published for Kodak (5 bits
a modulation, its base not counted): `results/kodak/coinpp.json` of EmilienDupont/coinpp. Nothing is
tuned on these pictures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bench.datasets import find_images
from inrcodec.codec import as_signal, encode_signal
from inrcodec.fitting.presets import DEFAULT_EFFORT
from inrcodec.fitting.settings import Settings

COINPP = ((0.0666, 23.682), (0.1325, 24.927), (0.2659, 26.143), (0.3983, 27.032), (0.5366, 27.798))
"""Bits per pixel and mean PSNR in dB of COIN++ on Kodak."""

WEIGHTS = (0.05, 0.025, 0.0125, 0.006, 0.003, 0.0015)
"""Rate weights (lambda), from under the lowest of its rates to over the highest."""


def main() -> None:
    """Measure, and print a line per rate weight and per point of COIN++."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--images", type=Path, help="a folder; by default Kodak where it is known")
    words.add_argument("--only", nargs="+", metavar="NAME")
    words.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    words.add_argument("--effort", type=int, default=DEFAULT_EFFORT)
    words.add_argument("--base", metavar="NAME")
    args = words.parse_args()
    paths = find_images(args.images, args.only, None)
    curve = []
    for weight in args.weights:
        settings = Settings(
            kind="modulated", rate_weight=weight, effort=args.effort, base=args.base
        )
        bpp, decibels, seconds, work = np.array([measured(path, settings) for path in paths]).T
        curve.append((bpp.mean(), decibels.mean()))
        print(
            f"lambda {weight:g}: {bpp.mean():.4f} bpp, {decibels.mean():.3f} dB, encoded in "
            f"{seconds.mean():.2f} s (at most {seconds.max():.2f}), {work.mean():.2f} s of CPU",
            flush=True,
        )
    for rate, known in COINPP:
        found = between(curve, rate)
        if found is not None:
            print(f"COIN++ at {rate} bpp: {known:.2f} dB; here {found:.2f}, {found - known:+.2f}")


def measured(path: Path, settings: Settings) -> tuple[float, float, float, float]:
    """Bits per pixel of a file, PSNR in dB, seconds, and seconds of CPU, to encode and prove."""
    signal = as_signal(path)
    started, worked = time.monotonic(), time.process_time()
    encoded = encode_signal(signal, settings)
    return (
        encoded.bpp,
        encoded.psnr,
        time.monotonic() - started,
        time.process_time() - worked,
    )


def between(curve: Sequence[tuple[float, float]], rate: float) -> float | None:
    """PSNR in dB at a rate, linear in its logarithm between measured points; None beyond them."""
    rates, decibels = zip(*sorted(curve), strict=True)
    if not rates[0] <= rate <= rates[-1]:
        return None
    return float(np.interp(np.log(rate), np.log(rates), decibels))


if __name__ == "__main__":
    torch.set_num_threads(min(2, torch.get_num_threads()))
    main()
