"""Joins a Signal whose samples are all equal with the field that gives exactly them."""

from __future__ import annotations

import math

import numpy as np

from inrcodec.coding.quantize import TensorRecipe, step_index, step_size
from inrcodec.coding.weights import best_table
from inrcodec.fields.siren import OUTPUT_CENTRE, SirenSpec
from inrcodec.fitting.refine import Quantised
from inrcodec.fitting.tracks import FittedTrack
from inrcodec.signal import Signal

STEP = step_index(OUTPUT_CENTRE)


def constant_track(part: Signal) -> FittedTrack | None:
    """An affine function of weight zero, if all samples are the lower end of the value range, or of
    integers its upper end, as those of constant arrays are; else None.

    No fit: one of floats comes only near, and their promise would be worth little.
    """
    samples, (low, high) = part.samples, part.info.value_range
    if part.missing is not None:
        samples = samples[~part.missing]
    value = samples.flat[0]
    if value != low and (value != high or samples.dtype.kind == "f"):
        return None
    if (samples != value).any():
        return None
    spec = SirenSpec(len(part.info.axes), len(part.info.channels), depth=0, width=0)
    bias = round((-1 if value == low else 1) * OUTPUT_CENTRE / step_size(STEP))
    symbols = {
        "weight0": np.zeros((spec.outputs, spec.inputs), np.int32),
        "bias0": np.full(spec.outputs, bias, np.int32),
    }
    recipes = tuple(TensorRecipe(STEP, best_table(each)) for each in symbols.values())
    return FittedTrack(spec, Quantised(symbols, recipes, 0.0), steps=0, float_psnr=math.inf)
