"""Joins stacks of `siren` parameters with coordinates on a GPU: all fields in one launch.

A program of the grid (programs, fields) walks over tiles of one field. On a lattice a tile is a
piece of a row, so that all other axes enter as one vector per tile. The first layer, biases, sines
and sums are float32; the other operands are float16, or, where `FAST` is not set, float32 that the
tensor cores take in three products of tf32.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton import knobs
from triton.language.extra import libdevice

INTERPRETED = tl.constexpr(bool(knobs.runtime.interpret))


@triton.jit
def sine(x, FAST: tl.constexpr):
    """sin(x): by the special function unit, off by 4e-8 |x| there; else by a polynomial, up to 1e4.

    `tl.sin` is never compiled: its way for large arguments takes 6 times the instructions.
    """
    if FAST:
        # The interpreter has no functions of the device.
        return tl.sin(x) if INTERPRETED else libdevice.fast_sinf(x)
    # Adding 1.5 x 2^23 rounds to a whole number; pi in parts whose multiples are exact.
    whole = (x * 0.3183098861837907 + 12582912.0) - 12582912.0
    rest = tl.fma(whole, -3.140625, x)
    rest = tl.fma(whole, -9.670257568359375e-4, rest)
    rest = tl.fma(whole, -6.278329573e-7, rest)
    square = rest * rest
    tail = tl.fma(square, 2.59996389828e-6, -1.98065743702e-4)
    tail = tl.fma(square, tail, 8.33301673037e-3)
    tail = tl.fma(square, tail, -1.66666570738e-1)
    value = tl.fma(square * rest, tail, rest)
    return tl.where((whole.to(tl.int32) & 1) == 1, -value, value)


@triton.jit
def dense(hidden, weight, bias, FAST: tl.constexpr):
    """`hidden` [points, in] times `weight` [in, out] plus `bias`, summed in float32."""
    total = tl.zeros((hidden.shape[0], weight.shape[1]), tl.float32) + bias[None, :]
    if FAST:
        return tl.dot(hidden, weight, total)
    return tl.dot(hidden, weight, total, input_precision="tf32x3")


@triton.jit(do_not_specialize=["s0", "s1", "s2", "s3"])
def sirens(
    out,
    where,
    first,
    hidden,
    biases,
    last,
    last_bias,
    scales,
    s0,
    s1,
    s2,
    s3,
    per_point,
    per_channel,
    LATTICE: tl.constexpr,
    AXES: tl.constexpr,
    DEPTH: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    FAST: tl.constexpr,
    ROUND: tl.constexpr,
    RESIDENT: tl.constexpr,
):
    """Values of every field at s0 x s1 x s2 x s3 positions, scaled, and clamped and rounded.

    `where` is `[fields, s0 + s1 + s2 + s3]`, coordinates along the axes of a lattice, the last
    ones being those that there are; else points `[fields, s3, axes]`. `first` holds the weights of
    each axis and the biases `[fields, axes + 1, width]`; other weights are `[in, out]`. What is
    written is value x scale + shift, of integers the floor of it, 0..1 clamped before.
    """
    field = tl.program_id(1).to(tl.int64)
    unit = tl.arange(0, WIDTH)
    channel = tl.arange(0, PADDED)
    first += field * (AXES + 1) * WIDTH
    hidden += field * (DEPTH - 1) * WIDTH * WIDTH
    biases += field * (DEPTH - 1) * WIDTH
    matrix = unit[:, None] * WIDTH + unit[None, :]
    along = tl.load(first + (AXES - 1) * WIDTH + unit)
    bias = tl.load(first + AXES * WIDTH + unit)
    weights_of = ()
    biases_of = ()
    if RESIDENT:
        for layer in tl.static_range(DEPTH - 1):
            weights_of = weights_of + (tl.load(hidden + layer * WIDTH * WIDTH + matrix),)
            biases_of = biases_of + (tl.load(biases + layer * WIDTH + unit),)
    readout = unit[:, None] * PADDED + channel[None, :]
    last_weight = tl.load(last + field * WIDTH * PADDED + readout)
    last_biases = tl.load(last_bias + field * PADDED + channel)
    scale = tl.load(scales + field * 2)
    shift = tl.load(scales + field * 2 + 1)
    if LATTICE:
        where += field * (s0 + s1 + s2 + s3)
    else:
        where += field * s3 * AXES
    rows = s0 * s1 * s2
    out += field * rows * s3 * CHANNELS
    across = tl.cdiv(s3, BLOCK)
    for tile in range(tl.program_id(0), rows * across, tl.num_programs(0)):
        row = tile // across
        x = (tile % across) * BLOCK + tl.arange(0, BLOCK)
        start = bias
        if LATTICE:
            column = tl.load(where + s0 + s1 + s2 + x, mask=x < s3, other=0.0)
            if AXES >= 2:
                at = tl.load(where + s0 + s1 + row % s2)
                start += at * tl.load(first + (AXES - 2) * WIDTH + unit)
            if AXES >= 3:
                at = tl.load(where + s0 + row // s2 % s1)
                start += at * tl.load(first + (AXES - 3) * WIDTH + unit)
            if AXES >= 4:
                at = tl.load(where + row // s2 // s1)
                start += at * tl.load(first + (AXES - 4) * WIDTH + unit)
        else:
            column = tl.load(where + x * AXES + AXES - 1, mask=x < s3, other=0.0)
        argument = column[:, None] * along[None, :] + start[None, :]
        if not LATTICE:
            for axis in tl.static_range(AXES - 1):
                column = tl.load(where + x * AXES + axis, mask=x < s3, other=0.0)
                own = tl.load(first + axis * WIDTH + unit)
                argument += column[:, None] * own[None, :]
        h = sine(argument, FAST).to(hidden.dtype.element_ty)
        if RESIDENT:
            for layer in tl.static_range(DEPTH - 1):
                z = dense(h, weights_of[layer], biases_of[layer], FAST)
                h = sine(z, FAST).to(hidden.dtype.element_ty)
        else:
            # Not unrolled: all matrices at once would not fit into shared memory.
            for deeper in range(DEPTH - 1):
                weight = tl.load(hidden + deeper * WIDTH * WIDTH + matrix)
                z = dense(h, weight, tl.load(biases + deeper * WIDTH + unit), FAST)
                h = sine(z, FAST).to(hidden.dtype.element_ty)
        y = dense(h, last_weight, last_biases, FAST)
        if ROUND:
            # NaN, as weights of a damaged file may give, becomes 0.
            y = tl.minimum(tl.maximum(y, 0.0), 1.0)
            y = tl.floor(y * scale + shift).to(tl.int32)
        else:
            y = y * scale + shift
        place = (row.to(tl.int64) * s3 + x)[:, None] * per_point
        place += channel.to(tl.int64)[None, :] * per_channel
        inside = (x < s3)[:, None] & (channel < CHANNELS)[None, :]
        tl.store(out + place, y.to(out.dtype.element_ty), mask=inside)
