"""Checks fits that are tuned for MS-SSIM: they reach more of it, and meet every target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

import inrcodec
from inrcodec.bitstream.container import unpack
from inrcodec.codec import Encoded, as_signal, encode_signal
from inrcodec.errors import UsageError
from inrcodec.fitting import pyramid_part, pyramid_spec
from inrcodec.fitting.ms_ssim import MsSsim
from inrcodec.fitting.settings import Settings
from inrcodec.signal import Axis, Signal, SignalInfo

FACE = np.ascontiguousarray(skimage.data.astronaut()[84:156, 196:260])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def encoded(samples: Any, **settings: Any) -> Encoded:
    usual = {"steps": 60, "net": "8/12/1", "device": "cpu"}
    return encode_signal(as_signal(samples), Settings(**usual | settings))


def similarity(result: Encoded) -> float:
    decoded = inrcodec.decode(result.data).samples
    return MsSsim(FACE.astype(np.float32) / 255).similarity(decoded.astype(np.float32) / 255)


def test_more_similar_in_no_more_bytes() -> None:
    plain = encoded(FACE, quality=50)
    tuned = encoded(FACE, target_size=len(plain.data), tune="ms-ssim")
    assert len(tuned.data) <= len(plain.data)
    assert plain.ms_ssim is None
    assert tuned.ms_ssim == pytest.approx(similarity(tuned), abs=1e-6)
    assert 1 - tuned.ms_ssim < 0.9 * (1 - similarity(plain))
    assert tuned.psnr > plain.psnr - 3


def test_a_quality_means_about_the_same_size() -> None:
    tuned, plain = (encoded(FACE, quality=50, tune=tune) for tune in ("ms-ssim", "mse"))
    assert 0.7 * len(plain.data) < len(tuned.data) < 1.4 * len(plain.data)


def test_a_rate_is_met() -> None:
    result = encoded(FACE, bpp=2.0, tune="ms-ssim")
    assert 0.97 * 2.0 <= result.bpp <= 2.0


def test_a_smaller_lambda_takes_more_bytes() -> None:
    first, second = (encoded(FACE, rate_weight=x, tune="ms-ssim") for x in (2e-3, 3e-4))
    assert len(first.data) < len(second.data)
    assert similarity(first) < similarity(second)


def test_alpha_is_as_without_tuning() -> None:
    disc = np.uint8(255 * (np.hypot(*np.mgrid[-1:1:72j, -1:1:64j]) < 0.7))
    samples = np.concatenate([FACE, disc[..., None]], axis=2)
    results = [encoded(samples, quality=50, tune=tune) for tune in ("mse", "ms-ssim")]
    tracks = [{s.track: s.payload for s in unpack(each.data)[1]} for each in results]
    assert tracks[0][1] == tracks[1][1]
    assert tracks[0][0] != tracks[1][0]


def test_large_pictures_are_rounded_by_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid_part, "PROBED_FROM", 64 * 64)
    monkeypatch.setattr(pyramid_spec, "PROBE", 64 * 64)
    result = encoded(FACE, quality=50, tune="ms-ssim")
    assert similarity(result) > 0.9


@pytest.mark.parametrize("sides", [(40,), (10, 40)])
def test_what_is_no_picture_is_refused(sides: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).random((*sides, 1), np.float32)
    axes = tuple(Axis(name, size) for name, size in zip("yx", sides, strict=False))
    info = SignalInfo(axes, ("grey",), "float32", (0.0, 1.0))
    with pytest.raises(UsageError, match="11 x 11 samples is needed"):
        encode_signal(Signal(samples, info), Settings(steps=5, tune="ms-ssim", device="cpu"))


@pytest.mark.parametrize("other", [{"psnr": 30.0}, {"kind": "siren"}, {"net": "2x8"}])
def test_what_cannot_be_tuned_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="tune ms-ssim"):
        Settings(tune="ms-ssim", **other)
    with pytest.raises(UsageError, match="mse or ms-ssim"):
        Settings(tune="vmaf")
