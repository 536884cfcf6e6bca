"""Joins a number of bits with the FieldSpec that makes the most of them."""

from __future__ import annotations

from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.refine import STREAM_BITS
from inrcodec.fitting.siren_presets import SINE, Family

BITS_PER_PARAMETER = 5.0
"""Where fewer bits for each of more parameters stops to pay (docs/experiments.md)."""

MAX_WIDTH = 256


def architecture(bits: float, inputs: int, outputs: int, family: Family = SINE) -> SirenSpec:
    """The network whose parameters fill `bits` at BITS_PER_PARAMETER."""
    parameters = bits / BITS_PER_PARAMETER
    smallest = SirenSpec(inputs, outputs, 0, 0, family.omega_0)
    if bits < least_sine_bits(inputs, outputs):
        return smallest
    depth = 3 if parameters < 500 else 5 if parameters < 4000 else 10
    best = smallest
    for width in range(4, MAX_WIDTH + 1):
        candidate = family.of(SirenSpec(inputs, outputs, depth, width))
        if candidate.parameter_count > parameters:
            break
        best = candidate
    return best


def least_sine_bits(inputs: int, outputs: int) -> float:
    """Bits below which an affine field serves better than sines."""
    return BITS_PER_PARAMETER * SirenSpec(inputs, outputs, 3, 4).parameter_count


def floor_bits(spec: SirenSpec) -> float:
    """Bits below which rounding would only destroy: an affine field is kept accurate."""
    return STREAM_BITS + (24.0 if spec.depth == 0 else 2.0) * spec.parameter_count
