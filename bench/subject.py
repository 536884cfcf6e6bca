"""Joins one coded siren with what plain torch, and the specification's own decoder, make of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

import inrcodec
from inrcodec.bitstream.container import Section, pack
from inrcodec.bitstream.header import Header, Track
from inrcodec.bitstream.wire import SectionType
from inrcodec.coding.quantize import TensorRecipe, quantize, step_index
from inrcodec.coding.weights import best_table, pack_weights
from inrcodec.fields.field import Field
from inrcodec.fields.siren import OUTPUT_CENTRE, SirenSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.stacks import Stacks, initial_stacks, layers_of, named

ROOT = Path(__file__).resolve().parents[1]
FINENESS = 16
"""Quantiser steps per standard deviation of a tensor: about 6 bits a weight, as in real files."""


@dataclass(frozen=True)
class Sizes:
    """How much each stage has to do."""

    height: int = 512
    width: int = 768
    points: int = 2**16
    batch: int = Settings(kind="siren").preset().batch
    depth: int = 10
    hidden: int = 28

    @property
    def spec(self) -> SirenSpec:
        return SirenSpec(2, 3, self.depth, self.hidden)


@dataclass(frozen=True)
class Subject:
    """A picture of noise and a file with a field of random weights, on both sides' terms."""

    sizes: Sizes

    @cached_property
    def noise(self) -> NDArray[np.uint8]:
        shape = (self.sizes.height, self.sizes.width, self.sizes.spec.outputs)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    @cached_property
    def samples(self) -> Samples:
        return Samples(from_array(self.noise), "cpu", 0)

    def start(self) -> Stacks:
        """SIREN's random weights."""
        return initial_stacks(self.sizes.spec, torch.Generator().manual_seed(0), 1.0)

    @cached_property
    def data(self) -> bytes:
        """A file of such a field."""
        spec = self.sizes.spec
        arrays = {name: array.numpy() for name, array in named(layers_of(self.start())).items()}
        steps = [step_index(float(arrays[t.name].std()) / FINENESS) for t in spec.tensors()]
        symbols = quantize(Field(spec, arrays), [TensorRecipe(step, 0) for step in steps])
        tables = [best_table(symbols[tensor.name]) for tensor in spec.tensors()]
        recipes = [TensorRecipe(*pair) for pair in zip(steps, tables, strict=True)]
        section = Section(SectionType.PARAMETERS, 0, pack_weights(spec, symbols, recipes))
        return pack(Header((Track(from_array(self.noise).info, spec),)), [section])

    @cached_property
    def layers(self) -> list[Tensor]:
        """The [weight | bias] matrices that the file holds."""
        found = inrcodec.open(self.data).layers[0].field.parameters
        names = [tensor.name for tensor in self.sizes.spec.tensors()]
        pairs = [(found[w], found[b]) for w, b in zip(names[::2], names[1::2], strict=True)]
        return [torch.from_numpy(np.column_stack(pair)) for pair in pairs]

    @cached_property
    def stranger(self) -> dict[str, Any]:
        """The decoder that the specification spells out, in plain Python and numpy."""
        text = (ROOT / "bitstream_spec.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        names: dict[str, Any] = {}
        exec(compile("\n\n".join(blocks), "bitstream_spec.md", "exec"), names)
        return names


def eager(layers: Sequence[Tensor], coordinates: Tensor, omega_0: float) -> Tensor:
    """The network as its authors write it: sin(omega_0 * (W h + b)), one layer after the other."""
    hidden = coordinates
    for layer in layers[:-1]:
        hidden = torch.sin(omega_0 * linear(hidden, layer[:, :-1], layer[:, -1]))
    return linear(hidden, layers[-1][:, :-1], layers[-1][:, -1]) + OUTPUT_CENTRE


def agree(ours: Any, theirs: Any, most: float) -> None:
    """Only what gives the same is compared."""
    apart = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max()
    if not apart <= most:
        raise AssertionError(f"the reference gives something else, {apart:g} apart")
