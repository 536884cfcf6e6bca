"""Joins the activation families of sirens with what each makes of pictures, at equal terms.

python -m bench.activations [--images FOLDER] [--only kodim15 ...] [--net 10x28] [--steps N]

Every family gets as many parameters as the sine network of --net, at most, as many steps, and as
many bytes for its file, which is written, decoded and measured. Prints a Markdown table; each line
of the log is one file. --shrink takes means of squares of pixels, --crop what is in the middle.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean

import numpy as np

from bench.codecs.codec import Picture
from bench.datasets import KODAK_NAMES, DatasetError, find_images, read_picture
from inrcodec.bitstream.container import unpack
from inrcodec.cli import values
from inrcodec.codec import as_signal, encode_signal
from inrcodec.errors import InrcodecError
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.architecture import BITS_PER_PARAMETER
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import FAMILIES

PICTURES = ("kodim15", "kodim20", "kodim23")

FRAME_BYTES = 60
"""Of a file's bytes, those that are no parameters, at most."""

_log = logging.getLogger("bench")


@dataclass(frozen=True)
class Fit:
    """One file: PSNR in dB of the floats and of what was decoded, bytes, seconds of the encoder."""

    family: str
    picture: str
    net: str
    parameters: int
    omega_0: float
    float_psnr: float
    psnr: float
    size: int
    seconds: float


def network(family: str, net: str) -> str:
    """As deep as `net`, and as wide as its number of parameters, if it is of sines, allows."""
    depth, width = Settings(net=net).layers()
    most = SirenSpec(2, 3, depth, width).parameter_count
    sizes = {
        units: FAMILIES[family].of(SirenSpec(2, 3, depth, units)).parameter_count
        for units in range(1, width + 1)
    }
    return f"{depth}x{max((units for units in sizes if sizes[units] <= most), default=1)}"


def shrunk(picture: Picture, factor: int, crop: int | None) -> Picture:
    """Means of squares of `factor` pixels; of them the middle `crop` rows and columns."""
    height, width = (size // factor for size in picture.shape[:2])
    squares = picture[: height * factor, : width * factor].reshape(
        height, factor, width, factor, -1
    )
    small: Picture = np.rint(squares.mean(axis=(1, 3))).astype(np.uint8)
    if crop is None:
        return small
    top, left = (max(0, (size - crop) // 2) for size in (height, width))
    return np.ascontiguousarray(small[top : top + crop, left : left + crop])


def fitted(family: str, name: str, picture: Picture, net: str, asked: Settings) -> Fit:
    """Encode a picture; at equal bytes: what the sine network takes at the usual precision."""
    depth, width = Settings(net=net).layers()
    bits = BITS_PER_PARAMETER * SirenSpec(2, 3, depth, width).parameter_count
    size = int(bits / 8) + FRAME_BYTES
    settings = replace(asked, activation=family, net=network(family, net), target_size=size)
    encoded = encode_signal(as_signal(picture), settings)
    spec = unpack(encoded.data)[0].tracks[0].spec
    assert isinstance(spec, SirenSpec)
    return Fit(
        family,
        name,
        encoded.net,
        spec.parameter_count,
        spec.omega_0,
        encoded.float_psnr,
        encoded.psnr,
        len(encoded.data),
        encoded.seconds,
    )


def markdown(fits: Sequence[Fit]) -> str:
    """A row per family: floats and file of each picture, means, and the gain over sines."""
    by_family = {family: list(own) for family, own in groupby(fits, key=lambda fit: fit.family)}
    pictures = list(dict.fromkeys(fit.picture for fit in fits))
    heads = ["family", "net", "parameters", "omega_0", *pictures, "floats", "bytes", "file"]
    rows = [[*heads, "to sines: floats, file", "s"], ["---"] * (len(heads) + 2)]
    usual = by_family.get("sine")
    for family, own in by_family.items():
        floats, files = fmean(fit.float_psnr for fit in own), fmean(fit.psnr for fit in own)
        gain = "n/a"
        if usual and [fit.picture for fit in usual] == [fit.picture for fit in own]:
            less = fmean(fit.float_psnr for fit in usual), fmean(fit.psnr for fit in usual)
            gain = f"{floats - less[0]:+.2f}, {files - less[1]:+.2f}"
        each = {fit.picture: f"{fit.float_psnr:.2f} / {fit.psnr:.2f}" for fit in own}
        omegas = dict.fromkeys(f"{fit.omega_0:g}" for fit in own)
        rows.append(
            [
                *(family, own[0].net, f"{own[0].parameters:,}", ", ".join(omegas)),
                *(each.get(name, "") for name in pictures),
                *(f"{floats:.2f}", f"{fmean(fit.size for fit in own):,.0f}", f"{files:.2f}"),
                *(gain, f"{fmean(fit.seconds for fit in own):.0f}"),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(words: Sequence[str] | None = None) -> int:
    """Parse, fit, print; returns the exit code."""
    logging.basicConfig(format="bench: %(message)s", level=logging.INFO)
    arguments = parser().parse_args(words)
    fits: list[Fit] = []
    try:
        asked = Settings(
            kind="siren",
            net=arguments.net,
            steps=arguments.steps,
            effort=arguments.effort,
            omega_0=arguments.omega,
            seed=arguments.seed,
        )
        paths = find_images(arguments.images, arguments.only, limit=None)
        if arguments.only is None and set(KODAK_NAMES) <= {path.stem for path in paths}:
            paths = [path for path in paths if path.stem in PICTURES]
        for family in arguments.families:
            for path in paths:
                picture = shrunk(read_picture(path), arguments.shrink, arguments.crop)
                fits.append(fitted(family, path.stem, picture, arguments.net, asked))
                _log.info("%s", fits[-1])
    except (DatasetError, InrcodecError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(markdown(fits))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m bench.activations", description=__doc__)
    add = made.add_argument
    add("--images", type=Path, help="folder of pictures; else Kodak's, else scikit-image's")
    add("--only", nargs="+", help="names of pictures, without suffix")
    add("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    add("--net", default="10x28", help="layers x width of the sine network (10x28)")
    add("--steps", type=values.positive, default=1500, help="of the fit (1500)")
    add("--effort", type=int, default=3, help="of the rounding (3)")
    add("--omega", type=values.omega, help="instead of the family's own; or auto")
    add("--seed", type=int, default=0)
    add("--shrink", type=values.positive, default=1, help="pixels of a square to average (1)")
    add("--crop", type=values.positive, help="rows and columns to keep, of the middle")
    return made


if __name__ == "__main__":
    sys.exit(main())
