"""Measures what the README claims of the siren field on Kodak pictures: python -m bench.claims.

Every rate is 8 * file size / pixels of a file that was decoded back; `psnr` is that of the 8-bit
picture, `float` and `coin_psnr` are measured before rounding to 8 bits; means are means of
per-image PSNR.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.codecs.coin import fit_coin
from bench.datasets import KODAK_NAMES
from inrcodec.codec import as_signal, decode, encode_signal, info
from inrcodec.fitting.settings import Settings
from inrcodec.query.quality import psnr
from inrcodec.signal import Signal

COIN_RATE = 2e-3
"""Peak for the rival: at 3,500 steps, kodim04, 0.24 dB better than 1e-3, which short runs need."""

FOUR = ("kodim04", "kodim15", "kodim20", "kodim23")


def size(signal: Signal, arguments: argparse.Namespace) -> dict[str, Any]:
    """A 10x28 field in at most 5,600 bytes: what rounding costs in dB."""
    settings = Settings(kind="siren", net="10x28", target_size=5600, effort=arguments.effort)
    result = encode_signal(signal, settings)
    return {
        "bytes": len(result.data),
        "overhead": info(result.data)["overhead"],
        "float": result.float_psnr,
        "psnr": result.psnr,
        "lost": result.float_psnr - result.psnr,
        "seconds": result.seconds,
    }


def rate(signal: Signal, arguments: argparse.Namespace) -> dict[str, Any]:
    """PSNR at 0.21 bit per pixel."""
    result = encode_signal(signal, Settings(kind="siren", bpp=0.21, effort=arguments.effort))
    return {
        "bpp": result.bpp,
        "psnr": result.psnr,
        "float": result.float_psnr,
        "net": result.net,
        "seconds": result.seconds,
    }


def coin(signal: Signal, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rate of a 10x28 field at the PSNR of a COIN-style fp16 run of as many steps, 10x28."""
    settings = Settings(kind="siren", net="10x28", effort=arguments.effort)
    rival = fit_coin(signal, "10x28", settings.preset().steps, rate=COIN_RATE)
    result = encode_signal(signal, replace(settings, psnr=rival.psnr))
    return {
        "coin_bpp": rival.bpp,
        "coin_psnr": rival.psnr,
        "bpp": result.bpp,
        "psnr": result.psnr,
        "ratio": result.bpp / rival.bpp,
        "net": result.net,
        "seconds": result.seconds,
    }


def minute(signal: Signal, arguments: argparse.Namespace) -> dict[str, Any]:
    """PSNR of a 10x28 field within 100 seconds (effort 6, whatever is asked)."""
    result = encode_signal(signal, Settings(kind="siren", net="10x28", max_time=95, effort=6))
    return {"psnr": result.psnr, "bytes": len(result.data), "seconds": result.seconds}


def resolution(signal: Signal, arguments: argparse.Namespace) -> dict[str, Any]:
    """A picture halved by Lanczos, decoded at 2x, against Lanczos-2x of its native decode."""
    picture = Image.fromarray(signal.samples)
    halved = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    settings = Settings(kind="siren", effort=arguments.effort)
    data = encode_signal(as_signal(np.asarray(halved)), settings).data
    ours, theirs = doubled(signal, data)
    return {"field_2x": ours, "lanczos_2x": theirs, "difference": ours - theirs}


def doubled(signal: Signal, data: bytes) -> tuple[float, float]:
    """PSNRs of a halved picture's file at the size of the picture, and of Lanczos of its decode."""
    height, width = signal.info.lattice
    native = Image.fromarray(decode(data).samples)
    lanczos = native.resize((width, height), Image.Resampling.LANCZOS)
    ours = psnr(signal, decode(data, size=(height, width)))
    return ours, psnr(signal, as_signal(np.asarray(lanczos)))


Claim = Callable[[Signal, argparse.Namespace], dict[str, Any]]
CLAIMS: dict[str, tuple[Claim, tuple[str, ...]]] = {
    "size": (size, FOUR),
    "coin": (coin, FOUR),
    "minute": (minute, ("kodim15",)),
    "resolution": (resolution, FOUR),
    "rate": (rate, KODAK_NAMES),
}


def finished(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Rows of an earlier run, so that a killed one goes on where it stopped.

    Lines that are none, such as a half-written last one, are left out with a warning.
    """
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows[row["claim"], row["image"], row["effort"]] = row
        except (ValueError, KeyError, TypeError):
            print(f"claims: {path}: line {number} is no row; left out", file=sys.stderr)
    return rows


def keep(path: Path, row: dict[str, Any]) -> None:
    """Append a row; a line that a kill cut off stays a line of its own."""
    ended = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a") as file:
        file.write(("" if ended else "\n") + json.dumps(row) + "\n")


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown, with the means of the numbers last."""
    rows = list(rows)
    keys = [key for key in rows[0] if key not in ("claim", "effort")]
    numbers = [key for key in keys if isinstance(rows[0][key], int | float)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in numbers}
    lines = ["| " + " | ".join(keys) + " |", "|" + " --- |" * len(keys)]
    for row in [*rows, {"image": "mean", **mean}]:
        shown = (row.get(key, "") for key in keys)
        cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in shown)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the claims asked for, one picture after the other, and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.claims", description=__doc__)
    parser.add_argument("claims", nargs="*", default=["size", "coin", "minute", "resolution"])
    parser.add_argument("--images", default=os.environ.get("INRCODEC_KODAK"), metavar="FOLDER")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these pictures alone")
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=Path, default=Path("bench_out/claims.jsonl"))
    arguments = parser.parse_args()
    if not arguments.images or not Path(arguments.images).is_dir():
        print(
            "claims: no folder of Kodak pictures; give --images or INRCODEC_KODAK", file=sys.stderr
        )
        return 2
    if unknown := set(arguments.claims) - set(CLAIMS):
        print(f"claims: unknown {sorted(unknown)}; known: {', '.join(CLAIMS)}", file=sys.stderr)
        return 2
    torch.set_num_threads(arguments.threads)
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    rows = finished(arguments.rows)
    for claim in arguments.claims:
        measure, names = CLAIMS[claim]
        shown = []
        for name in arguments.only or names:
            key = (claim, name, arguments.effort)
            if key not in rows:
                signal = as_signal(Path(arguments.images) / f"{name}.png")
                row = {"claim": claim, "image": name, "effort": arguments.effort}
                rows[key] = row | measure(signal, arguments)
                keep(arguments.rows, rows[key])
            shown.append(rows[key])
        when = time.strftime("%Y-%m-%d")
        print(f"\n{claim}: {measure.__doc__} (effort {arguments.effort}, {when})\n\n{table(shown)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
