"""Joins the words of `inrcodec compare` with two signals and the measures between them."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from inrcodec.bitstream.wire import MAGIC
from inrcodec.cli.jobs import source_of
from inrcodec.cli.streams import STDIO, as_json, put, say
from inrcodec.cli.values import array_words
from inrcodec.codec import decode, is_inrc
from inrcodec.errors import ExitCode, InrcodecError, UsageError
from inrcodec.files.signals import read_signal
from inrcodec.files.sources import NamedBytes, read_bytes, read_start
from inrcodec.query.quality import either_missing, largest_difference, psnr
from inrcodec.signal import Signal, is_picture

MS_SSIM_SIDE = 161
"""Fewest pixels a side for which the five scales of MS-SSIM, each with an 11-pixel window, exist.

Z. Wang, E. Simoncelli, A. Bovik, "Multi-scale structural similarity", 2003.
"""


def compare(args: argparse.Namespace) -> ExitCode:
    """Measures of `other` against `reference`; bpp is that of the last `.inrc` file of the two."""
    if args.reference == args.other == STDIO:
        raise UsageError("compare: only one of the two can be standard input; name a file")
    reference, reference_bpp = _signal(args.reference, args)
    other, other_bpp = _signal(args.other, args)
    ours, theirs = reference.info, other.info
    other = _alike(other, reference)
    if (ours.dtype, reference.samples.shape) != (theirs.dtype, other.samples.shape):
        shapes = " and ".join(
            f"{signal.info.dtype} {list(signal.samples.shape)}" for signal in (reference, other)
        )
        raise UsageError(
            f"compare: {shapes} differ; give two pictures or arrays of one size and type"
        )
    record = {
        "reference": args.reference,
        "other": args.other,
        "psnr": psnr(reference, other),
        "ms_ssim": _ms_ssim(reference, other),
        "bpp": reference_bpp if other_bpp is None else other_bpp,
        "max_error": largest_difference(
            reference.samples, other.samples, either_missing(reference, other)
        ),
    }
    if args.json:
        put(as_json(record))
        return ExitCode.OK
    put(f"psnr      {record['psnr']:.2f} dB")
    for name, form in (("ms_ssim", ".4f"), ("bpp", ".4g"), ("max_error", "g")):
        if record[name] is not None:
            put(f"{name:<9} {record[name]:{form}}")
    return ExitCode.OK


def _signal(name: str, args: argparse.Namespace) -> tuple[Signal, float | None]:
    how = array_words(args)
    if name != STDIO and not is_inrc(read_start(name, len(MAGIC))):
        return read_signal(name, **how), None
    data = read_bytes(source_of(name))
    if not is_inrc(data):
        return read_signal(NamedBytes(data, "<stdin>"), **how), None
    try:
        signal = decode(data)
    except InrcodecError as error:
        error.args = (f"{name}: {error}",)
        raise
    return signal, 8 * len(data) / signal.info.positions


def _alike(other: Signal, reference: Signal) -> Signal:
    """With as many dimensions as the reference, where only some of one sample make a difference:
    what one file calls an axis is that of the channels in another.
    """
    shape, wanted = other.samples.shape, reference.samples.shape
    longer, shorter = sorted((shape, wanted), key=len, reverse=True)
    if longer != shorter + (1,) * (len(longer) - len(shorter)):
        return other
    return replace(other, samples=other.samples.reshape(wanted))


def _ms_ssim(reference: Signal, other: Signal) -> float | None:
    """MS-SSIM over all channels, or None with a line on standard error that says why."""
    if not is_picture(reference.info):
        return None
    if min(reference.samples.shape[:2]) < MS_SSIM_SIDE:
        say(f"inrcodec: no MS-SSIM: it needs {MS_SSIM_SIDE} pixels a side")
        return None
    try:
        import torch
        from pytorch_msssim import ms_ssim
    except ImportError:
        say("inrcodec: no MS-SSIM: it needs the package pytorch-msssim; pip install it")
        return None
    low, high = reference.info.value_range
    planes = [
        torch.from_numpy(np.subtract(signal.samples, low, dtype=np.float32)).permute(2, 0, 1)[None]
        for signal in (reference, other)
    ]
    return float(ms_ssim(*planes, data_range=high - low))
