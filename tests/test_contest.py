"""Checks `kind="auto"`: a pyramid and a siren are tried, and the better one is the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import skimage.data

import inrcodec
from inrcodec.codec import as_signal, encode_signal
from inrcodec.errors import TargetMissedError, UsageError
from inrcodec.fitting.contest import MOST_BYTES, best_of_kinds
from inrcodec.fitting.settings import Settings
from inrcodec.signal import Signal

PICTURE = as_signal(np.zeros((4, 4), np.uint8))


@dataclass
class Made:
    data: bytes
    psnr: float
    interrupted: bool = False


class Encoder:
    """Gives one result after the other, and keeps what was asked."""

    def __init__(self, *results: Made | Exception) -> None:
        self.results, self.asked = list(results), list[Settings]()

    def __call__(self, signal: Signal, settings: Settings) -> Made:
        self.asked.append(settings)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def made(size: int, psnr: float, interrupted: bool = False) -> Made:
    return Made(bytes(size), psnr, interrupted)


def test_the_better_of_equal_sizes_wins() -> None:
    for last, winner in ((45.0, 45.0), (35.0, 40.0)):
        encoder = Encoder(made(900, 40), made(890, 38), made(900, last))
        assert best_of_kinds(PICTURE, Settings(quality=30, kind="auto"), encoder)[0].psnr == winner
        pyramid, probe, siren = encoder.asked
        assert (pyramid.kind, pyramid.quality, pyramid.target_size) == ("pyramid", 30, None)
        assert (probe.kind, probe.effort, probe.target_size) == ("siren", 1, 900)
        assert (siren.kind, siren.effort, siren.target_size) == ("siren", 5, 900)
        assert probe.quality is siren.quality is None


def test_the_smaller_of_equal_psnr_wins() -> None:
    for last, winner in ((700, 700), (950, 900)):
        encoder = Encoder(made(900, 40), made(890, 38), made(last, 40))
        assert (
            len(best_of_kinds(PICTURE, Settings(psnr=40, kind="auto"), encoder)[0].data) == winner
        )
        assert (encoder.asked[2].psnr, encoder.asked[2].target_size) == (40, None)


def test_what_cannot_win_is_not_fitted() -> None:
    large = Encoder(made(MOST_BYTES + 1, 40))
    assert best_of_kinds(PICTURE, Settings(kind="auto"), large)[0].psnr == 40
    photo = Encoder(made(900, 40), made(900, 33))
    assert best_of_kinds(PICTURE, Settings(kind="auto"), photo)[0].psnr == 40
    tiny = Encoder(made(60, 40), TargetMissedError("size: no net is so small"))
    assert best_of_kinds(PICTURE, Settings(kind="auto"), tiny)[0].psnr == 40


def test_an_interrupt_ends_the_contest() -> None:
    first = Encoder(made(900, 40, interrupted=True))
    assert best_of_kinds(PICTURE, Settings(kind="auto"), first)[1]
    second = Encoder(made(900, 40), made(900, 50, interrupted=True))
    best, stopped = best_of_kinds(PICTURE, Settings(kind="auto"), second)
    assert (best.psnr, stopped) == (40, True)
    third = Encoder(made(900, 40), made(900, 41), made(900, 45, interrupted=True))
    best, stopped = best_of_kinds(PICTURE, Settings(kind="auto"), third)
    assert (best.psnr, stopped) == (45, True)


def test_a_time_limit_is_for_all_of_it() -> None:
    encoder = Encoder(made(900, 40), made(890, 38), made(900, 45))
    best_of_kinds(PICTURE, Settings(kind="auto", max_time=100), encoder)
    limits = [settings.max_time or 0 for settings in encoder.asked]
    assert sum(limits) == pytest.approx(100)
    assert min(limits) > 0


def test_smooth_waves_become_a_siren_and_a_face_a_pyramid() -> None:
    rows, columns = np.mgrid[0:1:56j, 0:1:48j]
    phases = (0, 1, 2)
    waves = np.stack([127 + 120 * np.sin(9 * rows * columns + p) for p in phases], -1)
    settings = Settings(kind="auto", effort=1, device="cpu")
    smooth = encode_signal(as_signal(waves.astype(np.uint8)), settings)
    assert (smooth.kind, inrcodec.info(smooth.data)["tracks"][0]["kind"]) == ("siren", "siren")
    face = skimage.data.astronaut()[84:156, 196:260]
    assert encode_signal(as_signal(np.ascontiguousarray(face)), settings).kind == "pyramid"


def test_what_is_for_one_kind_alone_is_refused() -> None:
    with pytest.raises(UsageError, match="kind auto and net"):
        Settings(kind="auto", net="4x16")
    with pytest.raises(UsageError, match="kind auto and tune"):
        Settings(kind="auto", tune="ms-ssim")
