"""Gives tests a picture, a file and random fields, and fails whichever leaves a trace."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import inrcodec
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, SignalInfo, full_range

# Whatever bases a user has: tests, and what they start, know those of the golden files.
os.environ["INRCODEC_BASES"] = str(Path(__file__).parent / "golden" / "bases")


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """Half a face: 48 x 40 RGB samples of 8 bits, read-only."""
    samples = np.ascontiguousarray(skimage.data.astronaut()[96:144, 204:244])
    samples.flags.writeable = False
    return samples


@pytest.fixture(scope="session")
def small_file(photo: np.ndarray) -> bytes:
    """The photo as a siren, after a fit of a moment."""
    return inrcodec.encode(photo, net="4x16", steps=80, device="cpu")


@pytest.fixture(scope="session")
def small_pyramid(photo: np.ndarray) -> bytes:
    """The photo as the other kind of field, after a fit of a moment."""
    return inrcodec.encode(photo, net="6/8/1", steps=60, device="cpu")


@pytest.fixture(scope="session", params=["siren", "pyramid"])
def file_of_each_kind(
    request: pytest.FixtureRequest, small_file: bytes, small_pyramid: bytes
) -> bytes:
    """`small_file`, then `small_pyramid`."""
    return small_file if request.param == "siren" else small_pyramid


@pytest.fixture(scope="session")
def make_field() -> Callable[[SirenSpec, int], Field]:
    """Gives random fields whose values leave 0..1 now and then."""

    def make(spec: SirenSpec, seed: int) -> Field:
        generator = np.random.default_rng(seed)
        parameters = {}
        for tensor in spec.tensors():
            layer, fan_in = int(tensor.name[-1]), tensor.shape[-1]
            hidden = 1.5 * math.sqrt(6 / fan_in) / spec.omega_0
            reach = 0.6 if layer == spec.depth else 1 / fan_in if layer == 0 else hidden
            values = generator.uniform(-reach, reach, tensor.shape)
            parameters[tensor.name] = values.astype(np.float32)
        return Field(spec, parameters)

    return make


@pytest.fixture(scope="session")
def make_view(make_field: Callable[[SirenSpec, int], Field]) -> Callable[..., SignalView]:
    """Gives views of random fields, one per layer of channels."""

    def make(
        lattice: Sequence[int],
        dtype: str = "uint8",
        nets: Sequence[tuple[int, int, int]] = ((3, 2, 8),),
        seed: int = 0,
    ) -> SignalView:
        """`nets` gives channels, depth and width of each layer."""
        axes = tuple(
            Axis(name, size) for name, size in zip("zyx"[-len(lattice) :], lattice, strict=True)
        )
        layers = []
        for index, (channels, depth, width) in enumerate(nets):
            names = tuple(f"channel{index}.{channel}" for channel in range(channels))
            spec = SirenSpec(len(lattice), channels, depth, width)
            info = SignalInfo(axes, names, dtype, full_range(dtype))
            layers.append(Layer(info, make_field(spec, seed + index)))
        return SignalView(tuple(layers))

    return make


def global_state() -> dict[str, object]:
    """What a library must leave to its user."""
    kind, keys, *position = np.random.get_state()
    return {
        "torch threads": torch.get_num_threads(),
        "torch default dtype": torch.get_default_dtype(),
        "torch gradients": torch.is_grad_enabled(),
        "torch matmul precision": torch.get_float32_matmul_precision(),
        "torch generator": torch.random.get_rng_state().numpy().tobytes(),
        "numpy errors": np.geterr(),
        "numpy generator": (kind, keys.tobytes(), *position),
        "python generator": random.getstate(),
    }


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    before = global_state()
    yield
    after = global_state()
    assert [name for name in before if before[name] != after[name]] == []
