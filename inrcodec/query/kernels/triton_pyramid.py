"""Joins the latents of many `pyramid` Fields with values of their lattices on a GPU.

Products and sums are float32, rounded one by one in the order of `pyramid.py`, and the launches
switch fusing off: a value has the same bits as on a CPU. Memory and instruction slots bound these
kernels, not arithmetic; matrices are too small for tensor cores. Every kernel takes all fields of
one shape: programs of the grid are (blocks, fields).
"""

from __future__ import annotations

import triton
import triton.language as tl

SIZES = ["s0", "s1", "s2", "s3", "t0", "t1", "t2", "t3", "d0", "d1", "d2", "d3"]


@triton.jit(do_not_specialize=["outer", "source", "target", "first", "ahead"])
def doubled(
    out, values, taps, outer, source, target, inner, first, ahead, out_field, field_size,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Planes on the grid finer by 2 along one axis, from `source` samples to `target` of them.

    The grid of programs is (blocks, fields, planes). `values` is `[fields, planes, outer, source,
    inner]`; fields lie `field_size` numbers apart there, and `out_field` in `out`. The first target
    is sample `first` of its grid, that of the sources `ahead` of its own. `taps` is `[fields, 4]`.
    """
    field = tl.program_id(1).to(tl.int64)
    plane = tl.program_id(2).to(tl.int64)
    values += field * field_size + plane * outer * source * inner
    out += field * out_field + plane * outer * target * inner
    taps += field * 4
    tap0 = tl.load(taps)
    tap1 = tl.load(taps + 1)
    tap2 = tl.load(taps + 2)
    tap3 = tl.load(taps + 3)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < outer * target * inner
    row = at // inner
    index = row % target + first
    line = row // target * source
    odd = (index & 1) == 1
    near = (index >> 1) - 2 + (index & 1) - ahead
    values += at % inner
    last = source - 1
    # The filter is symmetric: the other parity takes the taps in reverse.
    place = line + tl.minimum(tl.maximum(near, 0), last)
    total = tl.load(values + place * inner, mask=inside, other=0.0) * tl.where(odd, tap3, tap0)
    place = line + tl.minimum(tl.maximum(near + 1, 0), last)
    total += tl.load(values + place * inner, mask=inside, other=0.0) * tl.where(odd, tap2, tap1)
    place = line + tl.minimum(tl.maximum(near + 2, 0), last)
    total += tl.load(values + place * inner, mask=inside, other=0.0) * tl.where(odd, tap1, tap2)
    place = line + tl.minimum(tl.maximum(near + 3, 0), last)
    total += tl.load(values + place * inner, mask=inside, other=0.0) * tl.where(odd, tap0, tap3)
    tl.store(out + at, total, mask=inside)


@triton.jit
def written(out, at, inside, value, scale, shift, FINAL: tl.constexpr, ROUND: tl.constexpr):
    """Store values, or the samples that they become."""
    if FINAL:
        if ROUND:
            # NaN, as weights of a damaged file may give, becomes 0.
            value = tl.minimum(tl.maximum(value, 0.0), 1.0)
            value = tl.floor(value * scale + shift).to(tl.int32)
        else:
            value = value * scale + shift
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["positions"])
def pointwise(
    out, features, weights, scales, positions, count, per_point, per_channel,
    LEVELS: tl.constexpr, HIDDEN: tl.constexpr, CHANNELS: tl.constexpr, FINAL: tl.constexpr,
    ROUND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The network of one hidden layer, or none, at features `[fields, levels, positions]`.

    `weights` `[fields, count]` are those of the field in the order of the file: weight and bias of
    each layer, then the skip.
    """
    field = tl.program_id(1).to(tl.int64)
    weights += field * count
    features += field * positions * LEVELS
    out += field * positions * CHANNELS
    scale = tl.load(scales + field * 2)
    shift = tl.load(scales + field * 2 + 1)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < positions
    inputs = ()
    for level in tl.static_range(LEVELS):
        plane = features + level * positions.to(tl.int64)
        inputs = inputs + (tl.load(plane + at, mask=inside, other=0.0),)
    width: tl.constexpr = HIDDEN if HIDDEN else LEVELS
    second = weights + HIDDEN * (LEVELS + 1)
    bias = second + CHANNELS * width
    skip = bias + CHANNELS
    totals = ()
    for channel in tl.static_range(CHANNELS):
        totals = totals + (tl.zeros((BLOCK,), tl.float32) + tl.load(bias + channel),)
    if HIDDEN:
        for unit in range(HIDDEN):
            h = tl.zeros((BLOCK,), tl.float32) + tl.load(weights + HIDDEN * LEVELS + unit)
            for level in tl.static_range(LEVELS):
                h += tl.load(weights + unit * LEVELS + level) * inputs[level]
            h = tl.maximum(h, 0.0)
            sums = ()
            for channel in tl.static_range(CHANNELS):
                weight = tl.load(second + channel * HIDDEN + unit)
                sums = sums + (totals[channel] + weight * h,)
            totals = sums
    for channel in tl.static_range(CHANNELS):
        total = totals[channel]
        if not HIDDEN:
            for level in tl.static_range(LEVELS):
                total += tl.load(second + channel * LEVELS + level) * inputs[level]
        for level in tl.static_range(LEVELS):
            total += tl.load(skip + channel * LEVELS + level) * inputs[level]
        where = at.to(tl.int64) * per_point + tl.full((), channel, tl.int64) * per_channel
        written(out, where, inside, total + 0.5, scale, shift, FINAL, ROUND)


@triton.jit(do_not_specialize=SIZES)
def residual(
    out, values, weights, scales, count, per_point, per_channel,
    s0, s1, s2, s3, t0, t1, t2, t3, d0, d1, d2, d3,
    R0: tl.constexpr, R1: tl.constexpr, R2: tl.constexpr, R3: tl.constexpr,
    CHANNELS: tl.constexpr, FINAL: tl.constexpr, ROUND: tl.constexpr, LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Values at a window of t0 x .. x t3 positions after one more residual convolution.

    `values` is `[fields, channels, s0, ..., s3]`, a window whose corner lies d0, ..., d3 positions
    before the target's; where it ends too early is the edge of the lattice, which repeats. The
    convolution takes R0 x .. x R3 samples. `weights` `[fields, count]` are weight and bias.
    """
    field = tl.program_id(1).to(tl.int64)
    plane = (s0 * s1 * s2 * s3).to(tl.int64)
    positions = t0 * t1 * t2 * t3
    weights += field * count
    values += field * plane * CHANNELS
    out += field * positions * CHANNELS
    scale = tl.load(scales + field * 2)
    shift = tl.load(scales + field * 2 + 1)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < positions
    x3 = at % t3 + d3
    line = at // t3
    x2 = line % t2 + d2
    line = line // t2
    x1 = line % t1 + d1
    x0 = line // t1 + d0
    reach: tl.constexpr = R0 * R1 * R2 * R3
    centre = ((x0 * s1 + x1) * s2 + x2) * s3 + x3
    totals = ()
    bias = weights + CHANNELS * CHANNELS * reach
    for channel in tl.static_range(CHANNELS):
        totals = totals + (tl.zeros((BLOCK,), tl.float32) + tl.load(bias + channel),)
    for tap in tl.static_range(CHANNELS * reach):
        y3 = x3 + (tap % R3 - R3 // 2)
        y2 = x2 + (tap // R3 % R2 - R2 // 2)
        y1 = x1 + (tap // (R3 * R2) % R1 - R1 // 2)
        y0 = x0 + (tap // (R3 * R2 * R1) % R0 - R0 // 2)
        y3 = tl.minimum(tl.maximum(y3, 0), s3 - 1)
        y2 = tl.minimum(tl.maximum(y2, 0), s2 - 1)
        y1 = tl.minimum(tl.maximum(y1, 0), s1 - 1)
        y0 = tl.minimum(tl.maximum(y0, 0), s0 - 1)
        place = ((y0 * s1 + y1) * s2 + y2) * s3 + y3
        value = tl.load(values + (tap // reach) * plane + place, mask=inside, other=0.0)
        sums = ()
        for channel in tl.static_range(CHANNELS):
            weight = tl.load(weights + channel * CHANNELS * reach + tap)
            sums = sums + (totals[channel] + weight * value,)
        totals = sums
    for channel in tl.static_range(CHANNELS):
        own = tl.load(values + channel * plane + centre, mask=inside, other=0.0)
        change = totals[channel]
        if not LAST:
            change = tl.maximum(change, 0.0)
        where = at.to(tl.int64) * per_point + tl.full((), channel, tl.int64) * per_channel
        written(out, where, inside, own + change, scale, shift, FINAL, ROUND)
