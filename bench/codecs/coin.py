"""Joins pictures with the files of COIN: a SIREN fitted by Adam, its weights as 16-bit floats.

Dupont et al. 2021, arXiv:2103.03123. A file is the width and the height, two bytes each, then every
parameter in two bytes; its length tells which of the five published nets it is.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bench.codecs.codec import Codec, Coded, Entry, Picture
from bench.codecs.own import one_torch_thread, signal_versions
from inrcodec.codec import as_signal
from inrcodec.fields.field import Field
from inrcodec.fields.siren import COIN_NETS, SirenSpec
from inrcodec.fitting.fit import evaluate, measure
from inrcodec.fitting.objective import squared_error
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.stacks import initial_stacks, layers_of, named
from inrcodec.fitting.workers import working
from inrcodec.query.render import render
from inrcodec.signal import Signal

# COIN trains 50,000 full-batch steps at a constant 2e-4. In minibatches and far fewer steps a
# larger rate with a cosine schedule does better, so that is what the rival gets.
RATE = 2e-3
STEPS = 50_000

SIZE = struct.Struct("<HH")


@dataclass(frozen=True)
class CoinFit:
    """A fitted net: the [weight | bias] matrices, rounded to 16-bit floats, and their PSNR in dB.

    `psnr` is measured before rounding to 8 bits; `bpp` counts 16 bits per parameter, as published.
    """

    spec: SirenSpec
    layers: tuple[Tensor, ...]
    psnr: float
    bpp: float


def fit_coin(signal: Signal, net: str, steps: int, batch: int = 16384) -> CoinFit:
    """Fit a net such as `10x28`."""
    depth, width = (int(part) for part in net.split("x"))
    with working("cpu") as workers:
        samples = Samples(signal, "cpu", 0, workers)
        spec = SirenSpec(len(signal.info.axes), samples.channels, depth, width)
        start = initial_stacks(spec, torch.Generator().manual_seed(0), 1.0)
        stacks = [stack.requires_grad_() for stack in start]
        optimiser = torch.optim.Adam(stacks)
        batches = samples.batches(batch)

        def error(indices: Tensor) -> Tensor:
            values = evaluate(spec, layers_of(stacks), samples.coordinates(indices))
            return squared_error(values, samples.targets(indices))

        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            workers.gradients(error, next(batches), stacks)
            optimiser.step()
        half = tuple(layer.detach().half().float() for layer in layers_of(stacks))
        psnr = measure(spec, half, samples, samples.some(samples.positions))
    return CoinFit(spec, half, psnr, 16 * spec.parameter_count / samples.positions)


def spec_of(net: str) -> SirenSpec:
    """One of the published nets for an RGB picture."""
    depth, width = (int(part) for part in net.split("x"))
    return SirenSpec(2, 3, depth, width)


NETS = {spec_of(net).parameter_count: net for net in COIN_NETS}
"""The published nets by their number of parameters, which is the codec's setting."""


def encode(steps: int, picture: Picture, setting: float) -> Coded:
    """The file of the net with `setting` parameters."""
    height, width = picture.shape[:2]
    with one_torch_thread():
        fitted = fit_coin(as_signal(picture), NETS[int(setting)], steps)
    arrays = named(fitted.layers)
    weights = b"".join(
        arrays[tensor.name].numpy().astype("<f2").tobytes() for tensor in fitted.spec.tensors()
    )
    return Coded(
        SIZE.pack(width, height) + weights,
        macs_per_pixel=fitted.spec.macs_per_sample,
        notes={
            "net": fitted.spec.net,
            "steps": steps,
            "float_psnr": fitted.psnr,
            "fit": "Adam, minibatches of 16,384, cosine from 2e-3",
        },
    )


def decode(data: bytes) -> Picture:
    """The picture of a file."""
    width, height = SIZE.unpack_from(data)
    values = np.frombuffer(data, "<f2", offset=SIZE.size).astype(np.float32)
    spec = spec_of(NETS[len(values)])
    parameters, start = {}, 0
    for tensor in spec.tensors():
        parameters[tensor.name] = values[start : start + tensor.size].reshape(tensor.shape)
        start += tensor.size
    blank = np.zeros((height, width, 3), np.uint8)
    return render(Field(spec, parameters), as_signal(blank).info).astype(np.uint8, copy=False)


def load(name: str) -> Codec:
    """`coin`, or `coin-2000` for as many steps."""
    steps = int(name.partition("-")[2] or STEPS)
    counts = tuple(sorted(NETS))
    return Codec(
        name=name,
        family="coin",
        settings=counts,
        quick=counts[:4],
        encode=partial(encode, steps),
        decode=decode,
        versions=signal_versions(),
        slow=True,
    )


ENTRIES = (
    Entry("coin", f"COIN, weights of 16 bits, {STEPS:,} steps; parameters of its 5 nets", load),
    Entry("coin-STEPS", "COIN with as many steps, as in coin-2000", load, r"coin-[1-9]\d{0,7}"),
)
