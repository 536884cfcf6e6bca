"""Joins trained parameters with the file of a base, and a base with tensors again."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrcodec.coding.base_format import FORMAT, VERSION, Base
from inrcodec.coding.context import WEIGHT_BITS
from inrcodec.coding.patch_contexts import MAGNITUDE_BITS, STEP_BITS
from inrcodec.coding.tensors import Arrays, pack_tensors
from inrcodec.fitting.base_start import Plan
from inrcodec.fitting.modulated_rate import Contexts


def pack_base(
    plan: Plan, parameters: Mapping[str, Tensor], contexts: Contexts, words: Mapping[str, str]
) -> bytes:
    """The file of a base: the SIREN in float32, the context networks as integers."""
    arrays: Arrays = {
        name: value.detach().numpy().astype(np.float32) for name, value in parameters.items()
    }
    arrays["mean"] = _integers(contexts.mean, WEIGHT_BITS, np.int16)
    for number, size in enumerate(plan.groups):
        own = f"group{number}"
        first = contexts.first[number].detach().clone()
        # Magnitudes come in 2^-MAGNITUDE_BITS, steps in 2^-STEP_BITS: a unit weighs less.
        first[:, -1] *= 2.0 ** (MAGNITUDE_BITS - STEP_BITS)
        arrays[f"{own}_first"] = _integers(first, WEIGHT_BITS, np.int16)
        bias = contexts.biases[number]
        arrays[f"{own}_bias"] = _integers(bias, WEIGHT_BITS + MAGNITUDE_BITS, np.int32)
        arrays[f"{own}_second"] = _integers(contexts.second[number], WEIGHT_BITS, np.int16)
        assert arrays[f"{own}_second"].shape[0] == size
    shape = {
        "axes": plan.axes,
        "groups": list(plan.groups),
        "margin": plan.margin,
        "patch": plan.patch,
    }
    described = {"format": FORMAT, "version": str(VERSION), "shape": json.dumps(shape)}
    return pack_tensors(arrays, {**words, **described})


def _integers(
    values: Tensor, bits: int, dtype: type[np.signedinteger]
) -> NDArray[np.signedinteger]:
    limit = np.iinfo(dtype).max
    rounded = np.rint(np.ldexp(values.detach().numpy().astype(np.float64), bits))
    return np.clip(rounded, -limit, limit).astype(dtype)


def tensors_of(base: Base, outputs: int) -> dict[str, Tensor]:
    """The SIREN of a base, of so many outputs, for the encoder."""
    own = base.parameters_for(outputs)
    return {name: torch.from_numpy(value.copy()) for name, value in own.items()}
