"""Joins the bytes of a base's file with a Base: a shared SIREN and what codes its latents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.coding.patch_contexts import GroupNetwork, PatchNetwork
from inrcodec.coding.tensors import unpack_tensors
from inrcodec.errors import CorruptError, UnsupportedError
from inrcodec.fields.modulated import HASH_BYTES, ModulatedSpec, Patches, causal_neighbours

FORMAT = "inrcodec-base"
VERSION = 1

MAX_PATCH, MAX_DIMENSIONS, MAX_UNITS, MAX_AXES, MAX_OUTPUTS = 128, 1024, 4096, 4, 64


@dataclass(frozen=True, eq=False)
class Base:
    """A SIREN that patches share, and what their latents' probability tables come from.

    `parameters` are the float32 arrays of the SIREN; `rates` those of inner steps, `[steps, 2,
    dimensions]`; `words` say where the base comes from.
    """

    name: str
    digest: str
    size: int
    patches: Patches
    axes: int
    parameters: Mapping[str, NDArray[np.float32]]
    rates: NDArray[np.float32]
    network: PatchNetwork
    words: Mapping[str, str]

    @property
    def outputs(self) -> int:
        return len(self.parameters["read"])

    @property
    def dimensions(self) -> int:
        return int(self.parameters["shift"].shape[1])

    @property
    def units(self) -> int:
        return int(self.parameters["shift"].shape[0])

    @property
    def short(self) -> str:
        """What a file's header names it by."""
        return self.digest[: 2 * HASH_BYTES]

    def parameters_for(self, outputs: int) -> dict[str, NDArray[np.float32]]:
        """Parameters of a field of so many outputs: one is the mean of all."""
        read = self.parameters["read"]
        if outputs == 1:
            read = read.mean(axis=0, keepdims=True)
        return {**self.parameters, "read": read}

    def fits(self, spec: ModulatedSpec) -> bool:
        """Whether a header describes this base."""
        described = (spec.patch, spec.margin, spec.dimensions, spec.units)
        own = (self.patches.patch, self.patches.margin, self.dimensions, self.units)
        return described == own and self.suits(spec.inputs, spec.outputs)

    def suits(self, axes: int, outputs: int) -> bool:
        """Whether it is for signals of so many axes and channels: one is the mean of all."""
        return axes == self.axes and outputs in (1, self.outputs)


def unpack_base(data: bytes, name: str) -> Base:
    """The base that the bytes of a file hold, every number of it checked."""
    what = f"base {name}"
    arrays, words = unpack_tensors(data, what)
    if words.get("format") != FORMAT:
        raise CorruptError(f"{what}: a safetensors file, but no base")
    if words.get("version") != str(VERSION):
        raise UnsupportedError(f"{what}: of version {words.get('version')}, not {VERSION}")
    try:
        told = json.loads(words["shape"])
        patch, margin, axes = (told[key] for key in ("patch", "margin", "axes"))
        groups = told["groups"]
        whole = all(type(n) is int for n in (patch, margin, axes, *groups))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{what}: its shape is not described") from error
    if (
        not whole
        or not 1 <= margin <= patch // 2 <= MAX_PATCH // 2
        or not 1 <= axes <= MAX_AXES
        or not groups
        or min(groups) < 1
        or sum(groups) > MAX_DIMENSIONS
    ):
        raise CorruptError(f"{what}: impossible shape {words['shape']}")
    parameters = _parameters(arrays, axes, sum(groups), what)
    rates = _array(arrays, "rates", np.float32, (None, 2, sum(groups)), what)
    network = _network(arrays, groups, len(causal_neighbours(axes)), what)
    network.check(what)
    digest = hashlib.sha256(data).hexdigest()
    patches = Patches(patch, margin)
    return Base(name, digest, len(data), patches, axes, parameters, rates, network, words)


def _parameters(
    arrays: Mapping[str, NDArray[Any]], axes: int, dimensions: int, what: str
) -> dict[str, NDArray[np.float32]]:
    bias, read = arrays.get("bias0"), arrays.get("read")
    hidden = len(bias) if bias is not None and bias.ndim == 1 else 0
    outputs, units = read.shape if read is not None and read.ndim == 2 else (0, 0)
    if not 1 <= hidden <= MAX_UNITS or not 1 <= units <= MAX_UNITS:
        raise CorruptError(f"{what}: {hidden} and {units} units; 1 to {MAX_UNITS} are needed")
    if not 1 <= outputs <= MAX_OUTPUTS:
        raise CorruptError(f"{what}: {outputs} outputs; 1 to {MAX_OUTPUTS} are needed")
    shapes = {
        "weight0": (hidden, axes),
        "bias0": (hidden,),
        "weight1": (units, hidden),
        "bias1": (units,),
        "direct": (units, axes),
        "shift": (units, dimensions),
        "read": (outputs, units),
    }
    return {name: _array(arrays, name, np.float32, s, what) for name, s in shapes.items()}


def _network(
    arrays: Mapping[str, NDArray[Any]], groups: list[int], near: int, what: str
) -> PatchNetwork:
    mean = _array(arrays, "mean", np.int16, (sum(groups), near), what)
    networks, start = [], 0
    for number, size in enumerate(groups):
        own = f"group{number}"
        bias = _array(arrays, f"{own}_bias", np.int32, (None,), what)
        inputs = near * size + 2 * start + 1
        first = _array(arrays, f"{own}_first", np.int16, (len(bias), inputs), what)
        hidden = len(bias) - size
        if not 0 <= hidden <= MAX_UNITS:
            raise CorruptError(f"{what}: {own} has {hidden} hidden units")
        second = _array(arrays, f"{own}_second", np.int16, (size, hidden), what)
        networks.append(GroupNetwork(size, first, bias, second))
        start += size
    return PatchNetwork(mean, tuple(networks))


def _array(
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    dtype: type[np.generic],
    shape: tuple[int | None, ...],
    what: str,
) -> NDArray[Any]:
    """An array of a type and shape (None: any length), all of it finite."""
    found = arrays.get(name)
    if found is None or found.dtype != dtype or found.ndim != len(shape):
        raise CorruptError(f"{what}: no array {name} of type {np.dtype(dtype)}")
    if any(w is not None and w != n for n, w in zip(found.shape, shape, strict=True)):
        raise CorruptError(f"{what}: array {name} is {list(found.shape)}, not {list(shape)}")
    if not np.isfinite(found).all():
        raise CorruptError(f"{what}: array {name} holds what is not a number")
    return found
