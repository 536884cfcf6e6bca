"""Checks the measures between two pictures and the result files for CompressAI's plot tool."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from bench import measures
from bench.codecs.codec import Picture
from bench.results_json import write_results
from bench.rows import Row


def flat(value: int, height: int = 4, width: int = 6) -> Picture:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture(scope="module")
def picture() -> Picture:
    astronaut: Picture = data.astronaut()[:192, :161]  # type: ignore[no-untyped-call]
    return astronaut


def test_psnr_and_mse_of_known_pictures() -> None:
    decoded = flat(100)
    decoded[0, 0, 0] = 112
    measured = measures.measure(flat(100), decoded)
    assert measured == {"mse": 144 / 72, "psnr": pytest.approx(45.1205, abs=1e-4), "ms_ssim": None}
    assert measures.measure(flat(0), flat(255))["psnr"] == 0
    assert measures.measure(flat(255), flat(0))["mse"] == 65025, "no wrap-around of uint8"
    assert measures.measure(flat(7), flat(7))["psnr"] == math.inf


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        measures.measure(flat(1), flat(1, width=5))


def test_ms_ssim_is_one_for_equal_pictures_and_falls_with_noise(picture: Picture) -> None:
    noise = np.random.default_rng(0).normal(0, 1, picture.shape)
    shown = []
    for strength in (0, 8, 32):
        noisy = np.clip(picture + strength * noise, 0, 255).astype(np.uint8)
        shown.append(measures.measure(picture, noisy)["ms_ssim"])
    assert shown[0] == pytest.approx(1)
    assert None not in shown
    assert 1 > shown[1] > shown[2] > 0  # type: ignore[operator]
    assert measures.ms_ssim(picture[:, :160], picture[:, :160]) is None, "under five scales"


def test_a_missing_measure_is_one_line(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    measures._available.cache_clear()
    try:
        lines = measures.missing_measures()
        assert [line.split(":")[0] for line in lines] == ["ssimulacra2", "lpips", "dists"]
        assert lines[1] == "lpips: not available: it needs the package lpips; pip install it"
        assert all("\n" not in line for line in lines)
        assert measures.perceptual(picture, picture) == {}
    finally:
        measures._available.cache_clear()


def test_a_measure_without_its_weights_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Alex:
        class DEFAULT:
            url = "https://example.org/alexnet-0.pth"

    class Package:
        AlexNet_Weights = Alex

        @staticmethod
        def LPIPS(**_: object) -> None:  # noqa: N802
            pytest.fail("built, so that torchvision would have downloaded")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(importlib, "import_module", lambda name: Package)
    with pytest.raises(measures.MeasureMissingError, match=r"alexnet-0\.pth into hub/checkpoints"):
        measures._lpips()


def test_a_package_that_is_present_is_used(
    picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    class Package:
        @staticmethod
        def compute_ssimulacra2(original: object, decoded: object) -> float:
            ours, theirs = (np.asarray(Image.open(file)) for file in (original, decoded))  # type: ignore[arg-type]
            return 100.0 - float(np.abs(ours.astype(int) - theirs).max())

    monkeypatch.setattr(importlib, "import_module", lambda name: Package)
    assert measures._ssimulacra2()(flat(10), flat(13)) == 97


def row(setting: float, image: str, mse: float, ms_ssim: float | None = 0.9) -> Row:
    return Row(
        codec="avif-4.4.4",
        family="avif",
        setting=setting,
        image=image,
        width=8,
        height=8,
        bytes=8,
        bpp=setting,
        psnr=measures.psnr_of(mse),
        mse=mse,
        ms_ssim=ms_ssim,
        encode_seconds=2.0 if image == "a" else 4.0,
        decode_seconds=0.5,
        versions={"libavif": "1.2"},
        measured="2026-01-02T03:04:05+0000",
    )


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_result_files_have_what_the_plot_tool_reads(tmp_path: Path) -> None:
    rows = [row(2, "a", 4.0), row(2, "b", 16.0), row(1, "a", 100.0), row(1, "b", 25.0)]
    (path,), notes = write_results(rows, tmp_path / "results")
    assert notes == []
    assert path.name == "avif-4_4_4.json", "the tool takes a file's name up to the first dot"
    content = read(path)
    assert content["name"] == "avif-4.4.4"
    for part in ("mean of the images' PSNR", "2 images", "libavif 1.2", "2026-01-02"):
        assert part in content["description"]
    results = content["results"]
    assert results["bpp"] == [1, 2]
    assert results["psnr-rgb"] == pytest.approx(
        [measures.psnr_of(math.sqrt(100 * 25)), measures.psnr_of(8)]
    )
    assert results["ms-ssim-rgb"] == pytest.approx([0.9, 0.9])
    assert results["psnr"] == results["psnr-rgb"]
    assert results["ms-ssim"] == results["ms-ssim-rgb"]
    assert results["encoding_time"] == [3, 3]
    assert results["decoding_time"] == [0.5, 0.5]


def test_the_other_averaging_rule_is_named(tmp_path: Path) -> None:
    (path,), _ = write_results([row(1, "a", 4), row(1, "b", 16)], tmp_path, "psnr-of-mean-mse")
    assert read(path)["results"]["psnr-rgb"] == pytest.approx([measures.psnr_of(10)])
    assert "PSNR of the mean MSE" in read(path)["description"]


def test_what_a_result_file_cannot_hold_is_left_out(tmp_path: Path) -> None:
    rows = [
        row(1, "a", 9, None),
        row(2, "a", 0, None),
        row(1, "b", 9),
        row(2, "b", 9),
        row(3, "a", 9),
    ]
    (path,), notes = write_results(rows, tmp_path)
    assert notes == ["avif-4.4.4 at 3 left out: b missing", "avif-4.4.4 at 2 left out: lossless"]
    results = read(path)["results"]
    assert results["bpp"] == [1]
    assert "ms-ssim-rgb" not in results, "not known for every picture"
