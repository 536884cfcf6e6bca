"""Fits a picture as COIN does: a SIREN by Adam, its weights stored as 16-bit floats."""

from __future__ import annotations

import math

import torch

from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.fit import evaluate, measure
from inrcodec.fitting.objective import squared_error
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.stacks import initial_stacks, layers_of
from inrcodec.fitting.workers import working
from inrcodec.signal import Signal

# COIN trains 50,000 full-batch steps at a constant 2e-4. In minibatches and far fewer steps a
# larger rate with a cosine schedule does better, so that is what the rival gets.
RATE = 2e-3


def fit_coin(signal: Signal, net: str, steps: int, batch: int = 16384) -> tuple[float, float]:
    """Bits per pixel (16 per parameter) and PSNR in dB of the field with its weights in fp16."""
    depth, width = (int(part) for part in net.split("x"))
    with working("cpu") as workers:
        samples = Samples(signal, "cpu", 0, workers)
        spec = SirenSpec(len(signal.info.axes), samples.channels, depth, width)
        start = initial_stacks(spec, torch.Generator().manual_seed(0), 1.0)
        stacks = [stack.requires_grad_() for stack in start]
        optimiser = torch.optim.Adam(stacks)
        batches = samples.batches(batch)

        def error(indices: torch.Tensor) -> torch.Tensor:
            values = evaluate(spec, layers_of(stacks), samples.coordinates(indices))
            return squared_error(values, samples.targets(indices))

        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            workers.gradients(error, next(batches), stacks)
            optimiser.step()
        half = [layer.detach().half().float() for layer in layers_of(stacks)]
        psnr = measure(spec, half, samples, samples.some(samples.positions))
    return 16 * spec.parameter_count / samples.positions, psnr
