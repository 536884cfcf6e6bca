"""Checks that many fields asked together answer as each does alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrcodec
from inrcodec.bitstream.wire import Limits
from inrcodec.errors import LimitError, UsageError
from inrcodec.native_choice import instruction_set
from inrcodec.query.kernels import reference
from inrcodec.query.view import SignalView

MakeView = Callable[..., SignalView]

KINDS = {
    "small": {"lattice": (7, 9)},
    "another of that size": {"lattice": (7, 9), "seed": 5},
    "other lattice": {"lattice": (30, 4)},
    "deep": {"lattice": (7, 9), "nets": [(3, 4, 6)]},
    "with alpha": {"lattice": (7, 9), "nets": [(3, 2, 8), (1, 1, 5)]},
    "grey with alpha": {"lattice": (7, 9), "nets": [(1, 1, 5), (1, 1, 5)], "seed": 7},
    "deep numbers": {"lattice": (7, 9), "dtype": "uint16"},
    "affine": {"lattice": (7, 9), "nets": [(3, 0, 0)]},
}

TOLERANCE = {"uint8": 255e-5, "uint16": 65535e-5, "float32": 1e-5}


def same(together: list[np.ndarray], views: list[SignalView], points: np.ndarray) -> None:
    exact = instruction_set() is not None
    assert len(together) == len(views)
    for found, view, own in zip(together, views, points, strict=True):
        alone = view.at(own)
        assert found.dtype == alone.dtype
        # The reference answers for stacks of fields, which may add in another order.
        tolerance = 0 if exact else TOLERANCE[view.info.dtype]
        np.testing.assert_allclose(found, alone, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=50)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), max_size=8),
    count=st.integers(0, 20),
    shared=st.booleans(),
    seed=st.integers(0, 99),
)
def test_fields_answer_together_as_alone(
    make_view: MakeView, kinds: list[str], count: int, shared: bool, seed: int
) -> None:
    views = [make_view(**KINDS[kind]) for kind in kinds]
    points = np.random.default_rng(seed).uniform(-1, 9, (len(views), count, 2))
    if shared:
        points[:] = points[:1]
        together = inrcodec.query_many(views, points[0] if views else np.zeros((count, 2)))
    else:
        together = inrcodec.query_many(views, points)
    same(together, views, points)


def test_chunks_leave_no_seam(make_view: MakeView) -> None:
    views = [make_view((48, 40), seed=seed) for seed in range(3)]
    points = np.random.default_rng(0).uniform(0, 40, (3, reference.CHUNK + 5, 2))
    same(inrcodec.query_many(views, points), views, points)


def test_fields_of_other_dimensions_do_not_mix(make_view: MakeView) -> None:
    with pytest.raises(UsageError, match="points"):
        inrcodec.query_many([make_view((7, 9)), make_view((3, 4, 5))], np.zeros((4, 2)))
    volumes = [make_view((3, 4, 5), seed=seed) for seed in range(2)]
    points = np.ones((2, 4, 3))
    same(inrcodec.query_many(volumes, points), volumes, points)


@pytest.mark.parametrize("shape", [(2,), (3, 4, 2), (2, 4, 3), (2, 2, 2, 2)], ids=str)
def test_points_that_do_not_fit_are_refused(make_view: MakeView, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="points"):
        inrcodec.query_many([make_view((7, 9))] * 2, np.zeros(shape))


def test_limits_of_every_view_hold(make_view: MakeView) -> None:
    views = [make_view((7, 9)), replace(make_view((7, 9)), limits=Limits(samples=11))]
    assert len(inrcodec.query_many(views, np.zeros((3, 2)))) == 2
    with pytest.raises(LimitError):
        inrcodec.query_many(views, np.zeros((4, 2)))


def test_files_answer_together_as_alone(small_file: bytes, make_view: MakeView) -> None:
    views = [inrcodec.open(small_file), make_view((7, 9)), inrcodec.open(small_file)]
    points = np.random.default_rng(0).uniform(0, 40, (3, 50, 2))
    same(inrcodec.query_many(views, points), views, points)
