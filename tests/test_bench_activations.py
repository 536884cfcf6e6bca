"""Checks that the bench of activations gives every family what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.activations import Fit, main, markdown, network, shrunk
from inrcodec.fields.siren import SirenSpec
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_has_more_parameters_than_sines(family: str) -> None:
    depth, width = Settings(net=network(family, "5x20")).layers()
    most = SirenSpec(2, 3, 5, 20).parameter_count
    own, wider = (
        FAMILIES[family].of(SirenSpec(2, 3, depth, units)).parameter_count
        for units in (width, width + 1)
    )
    assert own <= most < wider


def test_a_picture_is_shrunk_by_means_and_cropped_in_the_middle() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    small = shrunk(picture, 2, None)
    assert small.shape == (2, 3, 3)
    assert small[0, 0, 0] == np.rint(picture[:2, :2, 0].mean())
    np.testing.assert_array_equal(shrunk(picture, 1, 2), picture[1:3, 2:4])


def test_the_table_has_means_and_gains() -> None:
    def fit(family: str, picture: str, psnr: float) -> Fit:
        return Fit(family, picture, "2x4", 100, 30.0, psnr + 1, psnr, 500, 2.0)

    table = markdown(
        [fit("sine", "a", 30), fit("sine", "b", 32), fit("gauss", "a", 33), fit("gauss", "b", 30)]
    ).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert "| +0.00, +0.00 |" in table[2]
    assert "| 34.00 / 33.00 | 31.00 / 30.00 | 32.50 | 500 | 31.50 | +0.50, +0.50 |" in table[3]


def test_the_bench_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 20, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    words = ["--images", str(tmp_path), "--net", "2x6", "--steps", "3", "--effort", "1"]
    assert main([*words, "--families", "sine", "gauss"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]] == [
        "sine",
        "gauss",
    ]
    assert main([*words, "--only", "nothing"]) == 1
    assert "no picture named nothing" in capsys.readouterr().err
