"""Prototype: drives libpyr.so, the step of pyr.cpp (docs/experiments.md, entry 13).

python docs/prototypes/pyramid/pyr.py PICTURE [STEPS] [LAMBDA]
"""

from __future__ import annotations

import ctypes as c
import itertools
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inrcodec.fitting.optimiser import Soap

lib = c.CDLL(str(Path(__file__).with_name("libpyr.so")))
floats, doubles, ints = (c.POINTER(kind) for kind in (c.c_float, c.c_double, c.c_int))
lib.pyr_new.restype = c.c_void_p
lib.pyr_new.argtypes = [c.c_int] * 5 + [ints, c.c_int, ints, c.c_int, floats, c.c_int]
lib.pyr_nparam.argtypes = lib.pyr_free.argtypes = [c.c_void_p]
lib.pyr_latent.argtypes = [c.c_void_p, c.c_int, floats, c.c_int, c.c_int]
lib.pyr_step.argtypes = [c.c_void_p, floats, floats] + [c.c_float] * 4
lib.pyr_step.argtypes += [c.c_int, c.c_uint32, doubles, floats, floats, doubles]
lib.pyr_adam.argtypes = [c.c_void_p] + [c.c_float] * 4 + [c.c_int]

SOFT, STRAIGHT, HARD = 0, 1, 2
"""Soft-round with noise; rounded forward, soft backward; rounded, without gradients."""

CATMULL_ROM = (-0.0234, 0.2266, 0.8672, -0.0703)


def pointer(array: np.ndarray | None) -> object:
    return None if array is None else array.ctypes.data_as(floats)


class Fit:
    """Latents (in C++), networks (one flat vector) and the optimisers of one picture."""

    def __init__(self, picture, levels=7, contexts=(24, 24), synthesis=(48,), threads=2, seed=0):
        self.picture = np.ascontiguousarray(picture.transpose(2, 0, 1).astype(np.float32) / 255)
        _, self.height, self.width = self.picture.shape
        spatial, coarser = 14, 7
        self.arm = [spatial + coarser, *contexts, 2]
        self.syn = [levels, *synthesis, 3]
        arm, syn = (np.array(sizes, np.int32) for sizes in (self.arm, self.syn))
        self.handle = lib.pyr_new(
            self.height, self.width, levels, spatial, coarser,
            arm.ctypes.data_as(ints), len(arm), syn.ctypes.data_as(ints), len(syn),
            pointer(self.picture), threads,
        )  # fmt: skip
        self.flat = torch.zeros(lib.pyr_nparam(self.handle))
        self.gradient = torch.zeros_like(self.flat)
        self.parts: list[tuple[int, int, int, int]] = []  # offset, rows, columns, biases
        generator = torch.Generator().manual_seed(seed)
        end = self._mlp(self.arm, 0, generator, skip=0.0)
        end = self._mlp(self.syn, end, generator, skip=0.1)
        for _ in range(levels - 1):
            self.flat[end : end + 4] = torch.tensor(CATMULL_ROM)
            self.parts.append((end, 1, 4, 0))
            end += 4
        for scale in (0.03, 0.01):
            self._random(end, 3, 27, scale * math.sqrt(27), generator)
            self.parts.append((end, 3, 27, 3))
            end += 84
        self.matrices = [self.gathered(self.flat, part) for part in self.parts]
        self.soap = Soap([matrix.requires_grad_() for matrix in self.matrices])
        self.steps, self.results = 0, (c.c_double * 3)()

    def _random(self, start, rows, columns, scale, generator):
        values = torch.rand(rows * columns, generator=generator) * 2 - 1
        self.flat[start : start + rows * columns] = values * scale / math.sqrt(columns)

    def _mlp(self, sizes, start, generator, skip):
        last = len(sizes) - 2
        for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            self._random(start, outputs, inputs, 0.1 if index == last else 1.0, generator)
            self.parts.append((start, outputs, inputs, outputs))
            start += outputs * (inputs + 1)
        self._random(start, sizes[-1], sizes[0], skip, generator)
        self.parts.append((start, sizes[-1], sizes[0], 0))
        return start + sizes[0] * sizes[-1]

    @staticmethod
    def gathered(flat, part):
        start, rows, columns, biases = part
        end = start + rows * columns
        matrix = flat[start:end].view(1, rows, columns)
        if biases:
            matrix = torch.cat([matrix, flat[end : end + biases].view(1, rows, 1)], 2)
        return matrix.clone()

    def _scatter(self):
        for (start, rows, columns, biases), matrix in zip(self.parts, self.matrices, strict=True):
            end = start + rows * columns
            self.flat[start:end] = matrix.detach()[0, :, :columns].flatten()
            if biases:
                self.flat[end : end + biases] = matrix.detach()[0, :, columns]

    def run(self, weight, temperature, noise, mode, seed=0):
        """MSE, bits of the latents, MSE of the 8-bit picture; sets the gradients."""
        lib.pyr_step(
            self.handle, pointer(self.flat.numpy()), pointer(self.gradient.numpy()),
            weight, temperature, noise, 16.0, mode, seed, self.results, None, None, None,
        )  # fmt: skip
        return list(self.results)

    def step(self, weight, temperature, noise, mode, rate, latent_rate, betas=(0.6, 0.85)):
        self.steps += 1
        self.run(weight, temperature, noise, mode, seed=self.steps)
        shrink = min(1.0, 0.1 / max(float(self.gradient.norm()), 1e-12))
        for part, matrix in zip(self.parts, self.matrices, strict=True):
            matrix.grad = self.gathered(self.gradient * shrink, part)
        self.soap.step(rate)
        self._scatter()
        lib.pyr_adam(self.handle, latent_rate, *betas, 1e-12, self.steps)

    def test(self, weight):
        """1000 x (MSE + weight x bpp) of the rounded state, PSNR in dB, bpp of the latents."""
        _, bits, error = self.run(weight, 0.1, 0.0, HARD)
        bpp = bits / (self.height * self.width)
        return 1000 * (error + weight * bpp), -10 * math.log10(error), bpp


def train(fit, weight, steps, rate=1e-2, latent_rate=0.015):
    """The recipe of the table's base line."""
    soft = steps - steps // 10
    for step in range(soft):
        done = step / soft
        fall = 0.5 * (1 + math.cos(math.pi * done)) + 1e-3
        temperature, noise = 0.35 - 0.27 * done, 0.22 - 0.07 * done
        fit.step(weight, temperature, noise, SOFT, rate * fall, latent_rate * fall)
    for step in range(steps - soft):
        fall = 0.5 * (1 + math.cos(math.pi * step / (steps - soft)))
        fit.step(weight, 0.08, 0.0, STRAIGHT, 1e-3 * fall, 0.0)
    return fit.test(weight)


if __name__ == "__main__":
    torch.set_num_threads(1)
    pixels = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
    count, tradeoff = int((sys.argv[2:] or [400])[0]), float((sys.argv[3:] or [1e-3])[0])
    begin = time.time()
    print("loss {:.4f}, {:.3f} dB, {:.4f} bpp".format(*train(Fit(pixels), tradeoff, count)))  # noqa: T201
    print(f"{time.time() - begin:.1f} s")  # noqa: T201
