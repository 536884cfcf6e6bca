"""Gives every test a picture and a file to start from, and fails tests that leave a trace."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import skimage.data
import torch

import inrcodec


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A face: 48 x 40 RGB samples of 8 bits, read-only."""
    samples = np.ascontiguousarray(skimage.data.astronaut()[80:176:2, 180:260:2])
    samples.flags.writeable = False
    return samples


@pytest.fixture(scope="session")
def small_file(photo: np.ndarray) -> bytes:
    """The photo after a fit of a moment."""
    return inrcodec.encode(photo, net="4x16", steps=80, device="cpu")


def global_state() -> dict[str, object]:
    """What a library must leave to its user."""
    kind, keys, position, *gauss = np.random.get_state()  # noqa: NPY002
    return {
        "torch threads": torch.get_num_threads(),
        "torch default dtype": torch.get_default_dtype(),
        "torch gradients": torch.is_grad_enabled(),
        "torch matmul precision": torch.get_float32_matmul_precision(),
        "torch generator": torch.random.get_rng_state().numpy().tobytes(),
        "numpy errors": np.geterr(),
        "numpy generator": (kind, keys.tobytes(), position, *gauss),
        "python generator": random.getstate(),
    }


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    before = global_state()
    yield
    after = global_state()
    assert [name for name in before if before[name] != after[name]] == []
