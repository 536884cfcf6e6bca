"""Joins numbers with sines of sines on a GPU: what its special function unit does at most."""

from __future__ import annotations

import triton
import triton.language as tl

from inrcodec.query.kernels.triton import sine


@triton.jit
def many_sines(out, values, TIMES: tl.constexpr, BLOCK: tl.constexpr):
    """The sine, as often after one another."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(values + at)
    for _ in tl.static_range(TIMES):
        value = sine(value, True)
    tl.store(out + at, value)
