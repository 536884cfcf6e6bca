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
from inrcodec.fitting.fit import measure
from inrcodec.fitting.objective import squared_error
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.schedule import cosine
from inrcodec.fitting.siren_step import evaluate
from inrcodec.fitting.stacks import Stacks, initial_stacks, layers_of, named
from inrcodec.fitting.workers import working
from inrcodec.query.render import render
from inrcodec.signal import Signal

PUBLISHED_STEPS, PUBLISHED_RATE = 50_000, 2e-4
"""The paper's, at a constant rate."""

# The deeper and wider a net, the sooner a rate throws its sines out for good, and the picture stays
# one colour (14.8 dB for kodim05), warm-up or not. kodim05 / kodim20 halved, 500 steps of 8,192:
#
#          5e-4            1e-3            2e-3            4e-3            5e-3
#   5x20                                   19.08* / 25.38                  19.20* / 25.90
#   5x30                                   20.36 / 26.97   20.53 / 27.23
#   10x28                  21.17 / 27.86   20.71 / 27.80
#   10x40  22.29           22.70 / 29.26   14.76 / 29.53
#   13x49  23.60 / 29.50   23.55 / 29.44   14.76+
#
# In dB; *: steps of 16,384; +: a warm-up of 10 % instead of 3 %. kodim05 after 2,000 steps at the
# rates chosen: 5x20 19.66, 5x30 21.42, 10x40 25.07, 13x49 27.02.
RATES = {"5x20": 5e-3, "5x30": 4e-3, "10x28": 1e-3, "10x40": 1e-3, "13x49": 5e-4}
"""Peaks of a cosine schedule, for runs of hundreds and thousands of steps."""

BATCH = 16_384

CHECK_STEPS, CHECK_POINTS = 100, 2**16
"""How often, and on how many points, the PSNR is measured that decides which state is kept."""

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


def fit_coin(
    signal: Signal, net: str, steps: int, published: bool = False, rate: float | None = None
) -> CoinFit:
    """Fit one of COIN's nets, such as `10x28`, as well as Adam can in so many steps.

    `published`: by the paper's recipe and its code's coordinates, loss and choice of the best state
    (github.com/EmilienDupont/coin), but in minibatches. `rate`: another peak than that of RATES.
    """
    with working("cpu") as workers:
        samples = Samples(signal, "cpu", 0, workers)
        spec = spec_of(net, len(signal.info.axes), samples.channels)
        start = initial_stacks(spec, torch.Generator().manual_seed(0), 1.0)
        stacks = [stack.requires_grad_() for stack in start]
        peak = RATES[net] if rate is None else rate
        scale = coordinate_scale(signal) if published else 1.0
        best, best_psnr = _layers(stacks, scale), -math.inf
        watched = samples.some(CHECK_POINTS)
        batches = samples.batches(BATCH)
        optimiser = torch.optim.Adam(stacks)

        def error(indices: Tensor) -> Tensor:
            values = evaluate(spec, _layers(stacks, scale), samples.coordinates(indices))
            targets = samples.targets(indices)
            return (
                (values - targets).square().mean() if published else squared_error(values, targets)
            )

        for step in range(1, steps + 1):
            for group in optimiser.param_groups:
                group["lr"] = PUBLISHED_RATE if published else peak * cosine((step - 1) / steps)
            workers.gradients(error, next(batches), stacks)
            optimiser.step()
            if step == steps or (step > steps / 2 and step % CHECK_STEPS == 0):
                layers = [layer.detach().clone() for layer in _layers(stacks, scale)]
                psnr = measure(spec, layers, samples, watched)
                if psnr > best_psnr:
                    best, best_psnr = layers, psnr
        half = tuple(layer.detach().half().float() for layer in best)
        psnr = measure(spec, half, samples, samples.some(samples.positions))
    return CoinFit(spec, half, psnr, 16 * spec.parameter_count / samples.positions)


def _layers(stacks: Stacks, scale: float) -> list[Tensor]:
    """The matrices, the first one's weights times `scale`."""
    first, *others = layers_of(stacks)
    across = torch.full((first.shape[1],), scale)
    across[-1] = 1  # the bias
    return [first * across, *others]


def coordinate_scale(signal: Signal) -> float:
    """COIN's coordinates by this package's: there a picture's height is 2, here its longer side."""
    height = signal.info.lattice[0]
    return max(signal.info.lattice) / max(1, height - 1)


def spec_of(net: str, inputs: int = 2, outputs: int = 3) -> SirenSpec:
    """A net by its short name; by default of an RGB picture."""
    depth, width = (int(part) for part in net.split("x"))
    return SirenSpec(inputs, outputs, depth, width)


NETS = {spec_of(net).parameter_count: net for net in COIN_NETS}
"""The published nets by their number of parameters, which is the codec's setting."""


def encode(steps: int, published: bool, picture: Picture, setting: float) -> Coded:
    """The file of the net with `setting` parameters."""
    if setting not in NETS:
        counts = ", ".join(str(count) for count in sorted(NETS))
        raise ValueError(f"setting {setting:g}: COIN's nets have {counts} parameters")
    net = NETS[int(setting)]
    height, width = picture.shape[:2]
    with one_torch_thread():
        fitted = fit_coin(as_signal(picture), net, steps, published)
    arrays = named(fitted.layers)
    weights = b"".join(
        arrays[tensor.name].numpy().astype("<f2").tobytes() for tensor in fitted.spec.tensors()
    )
    return Coded(
        SIZE.pack(width, height) + weights,
        macs_per_pixel=fitted.spec.macs_per_sample,
        notes={
            "net": net,
            "steps": steps,
            "float_psnr": fitted.psnr,
            "fit": _published_recipe() if published else _recipe(net),
        },
    )


def _recipe(net: str) -> str:
    return f"Adam, cosine from {RATES[net]:g}, minibatches of {BATCH:,}"


def _published_recipe() -> str:
    return f"Adam, constant {PUBLISHED_RATE:g}; minibatches of {BATCH:,}, the paper: whole pictures"


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
    """`coin` as published, or `coin-2000` as well as it can be in so many steps."""
    asked = name.partition("-")[2]
    published, steps = not asked, int(asked or PUBLISHED_STEPS)
    counts = tuple(sorted(NETS))
    # Rows of another recipe are of another version, and measured again.
    rates = ", ".join(f"{rate:g}" for rate in RATES.values())
    recipe = _published_recipe() if published else f"Adam, cosine from {rates}"
    return Codec(
        name=name,
        family="coin",
        settings=counts,
        quick=counts[:4],
        encode=partial(encode, steps, published),
        decode=decode,
        versions={**signal_versions(), "recipe": recipe},
        slow=True,
        limits=(counts[0], counts[-1]),
        whole=True,
    )


ENTRIES = (
    Entry(
        "coin",
        f"COIN, weights of 16 bits, as published: {PUBLISHED_STEPS:,} steps of Adam at a constant "
        f"{PUBLISHED_RATE:g}; parameters of its 5 nets",
        load,
    ),
    Entry(
        "coin-STEPS",
        "COIN's nets in as many steps, as in coin-2000, at the best rate of each",
        load,
        r"coin-[1-9]\d{0,7}",
    ),
)
