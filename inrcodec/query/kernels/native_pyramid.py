"""Joins a `pyramid` Field's latents with the values of its lattice, through the extension."""

from __future__ import annotations

import math

import numpy as np

from inrcodec.errors import UsageError
from inrcodec.fields.field import Field
from inrcodec.native_choice import extension, instruction_set
from inrcodec.query.kernels import pyramid
from inrcodec.query.kernels.native import WORK_PER_THREAD
from inrcodec.query.kernels.reference import Floats
from inrcodec.query.lattice import Window
from inrcodec.query.threads import kernel_threads

ROLES = ("upsampling", "synthesis", "synthesis_bias", "residual", "residual_bias")
"""Of the parameters that a render takes."""


def synthesise(field: Field, window: Window) -> Floats:
    """As `pyramid.synthesise`: the same bits.

    Raises UsageError where the environment asks for an instruction set that is not to be had.
    """
    isa, native = instruction_set(), extension()
    if isa is None or native is None:
        return pyramid.synthesise(field, window)
    spec, latents = pyramid.spec_and_latents(field)
    reach = pyramid.grown(spec, window, spec.residuals)
    levels = [
        np.ascontiguousarray(latents.read(level, bounds), np.int32)
        for level, bounds in enumerate(pyramid.latent_windows(spec, reach))
    ]
    parameters = [field.parameters[t.name].ravel() for t in spec.tensors() if t.role in ROLES]
    lengths = [stop - start for start, stop in window]
    out = np.empty([spec.outputs, *lengths], np.float32)
    work = math.prod(lengths) * spec.macs_per_sample
    try:
        native.pyramid_values(
            isa,
            spec.lattice,
            spec.kept,
            spec.outputs,
            spec.synthesis,
            spec.residuals,
            np.concatenate(parameters, dtype=np.float32),
            levels,
            [(int(start), int(stop)) for start, stop in window],
            out,
            min(kernel_threads(), 1 + work // WORK_PER_THREAD),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"native kernel: {error}") from error
    return out
