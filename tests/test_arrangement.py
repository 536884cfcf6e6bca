"""Checks the choice of the axis along which an array is a mixture of components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import inrcodec
from inrcodec.codec import Encoded, encode_signal
from inrcodec.files.arrays import from_array
from inrcodec.fitting.arrangement import PILOT, asked_weight, best_mix, middle
from inrcodec.fitting.contest import HURRIED_STEPS, best_of_kinds
from inrcodec.fitting.settings import Settings
from inrcodec.signal import Signal

AXES = ("band", "y", "x")


def spectra() -> np.ndarray:
    """Two spectra, mixed by maps that have nothing in common."""
    maps = np.random.default_rng(0).random((2, 30, 40))
    bands = np.linspace(0, 3, 24)[:, None, None]
    return (np.sin(bands) * maps[0] + np.cos(2 * bands) * maps[1]).astype(np.float32)


def noise() -> np.ndarray:
    return np.random.default_rng(1).random((24, 30, 40)).astype(np.float32)


@dataclass
class Counting:
    """An encoder that keeps what was asked of it."""

    asked: list[tuple[Signal, Settings]]
    interrupted: bool = False

    def __call__(self, signal: Signal, settings: Settings) -> Encoded:
        self.asked.append((signal, settings))
        return replace(encode_signal(signal, settings), interrupted=self.interrupted)


def test_few_spectra_are_a_mixture_and_noise_is_none() -> None:
    settings = Settings(kind="auto", effort=3, rate_weight=1e-3)
    assert best_mix(from_array(spectra(), AXES), settings, encode_signal) == ("band", False)
    never = Counting([])
    assert best_mix(from_array(noise(), AXES), settings, never) == (None, False)
    assert not never.asked, "as many components as samples: no fit is needed to see it"


def test_pilots_are_short_and_cheap() -> None:
    settings = Settings(kind="auto", effort=9, target_size=5000, max_time=60)
    pilots = Counting([])
    best_mix(from_array(spectra(), AXES), replace(settings, effort=1), pilots)
    assert [own.mix for _, own in pilots.asked] == [None, "band"]
    for _, own in pilots.asked:
        assert (own.kind, own.target_size, own.effort) == ("pyramid", None, 1)
        assert 0 < (own.max_time or 0) < 10
        assert own.rate_weight == asked_weight(settings, from_array(spectra(), AXES).info)


def test_an_interrupt_ends_the_search_and_gives_a_file() -> None:
    stopped = Counting([], interrupted=True)
    settings = Settings(kind="auto", effort=1)
    made, interrupted = best_of_kinds(from_array(spectra(), AXES), settings, stopped)
    assert interrupted
    assert stopped.asked[-1][1].steps == HURRIED_STEPS
    assert inrcodec.decode(made.data).samples.shape == (24, 30, 40, 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_part_has_all_of_one_axis_and_is_small(axis: int) -> None:
    signal = from_array(np.zeros((300, 200, 100), np.uint8), AXES)
    part = middle(signal, axis)
    assert part.info.lattice[axis] == signal.info.lattice[axis]
    assert part.info.positions <= 1.2 * PILOT
    assert part.samples.shape == (*part.info.lattice, 1)
    small = from_array(noise(), AXES)
    assert (middle(small, axis).samples == small.samples).all()


def test_any_target_has_a_weight() -> None:
    info = from_array(noise(), AXES).info
    asked = [
        Settings(),
        Settings(quality=10),
        Settings(psnr=30.0),
        Settings(bpp=0.5),
        Settings(target_size=900),
        Settings(max_error="1%"),
        Settings(rate_weight=3e-4),
    ]
    assert all(0 < asked_weight(settings, info) < 1 for settings in asked)
    assert asked_weight(asked[-1], info) == 3e-4
    assert asked_weight(Settings(psnr=50.0), info) < asked_weight(asked[2], info)
