"""Joins a picture and its decoded version with the measures of how far they are apart."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.codecs.codec import Picture

PEAK = 255

MS_SSIM_SIDE = 161
"""Fewest pixels a side for which the five scales of MS-SSIM, each with an 11-pixel window, exist.

Z. Wang, E. Simoncelli, A. Bovik, "Multi-scale structural similarity", 2003.
"""

Perceptual = Callable[[Picture, Picture], float]


class MeasureMissingError(Exception):
    """A measure that can't be taken here; the text says in one line what is missing."""


def measure(original: Picture, decoded: Picture) -> dict[str, float | None]:
    """`psnr` in dB and `mse` on 0..255 over all samples, `ms_ssim` 0..1 (None: see `ms_ssim`).

    Equal pictures have an infinite PSNR.
    """
    error = mse(original, decoded)
    return {"psnr": psnr_of(error), "mse": error, "ms_ssim": ms_ssim(original, decoded)}


def mse(original: Picture, decoded: Picture) -> float:
    """Mean squared difference over all samples, on 0..255; the sum is exact."""
    if original.shape != decoded.shape:
        raise ValueError(f"pictures of shapes {original.shape} and {decoded.shape} differ")
    difference = original.astype(np.int32) - decoded
    return int(np.square(difference).sum(dtype=np.int64)) / difference.size


def psnr_of(error: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit samples."""
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ms_ssim(original: Picture, decoded: Picture) -> float | None:
    """MS-SSIM, mean over the channels; None under 161 pixels a side or without pytorch-msssim."""
    if min(original.shape[:2]) < MS_SSIM_SIDE:
        return None
    try:
        import torch
        from pytorch_msssim import ms_ssim as of_tensors
    except ImportError:
        return None
    with torch.inference_mode():
        return float(of_tensors(_tensor(original), _tensor(decoded), data_range=PEAK))


def perceptual(original: Picture, decoded: Picture) -> dict[str, float]:
    """The optional measures that can be taken here, by name: `ssimulacra2` (higher is better),
    `lpips` and `dists` (lower is better)."""
    return {name: of(original, decoded) for name, of in _available()[0].items()}


def missing_measures() -> list[str]:
    """One line for each optional measure that can't be taken here: what is missing."""
    return list(_available()[1])


@cache
def _available() -> tuple[dict[str, Perceptual], tuple[str, ...]]:
    found: dict[str, Perceptual] = {}
    lines = []
    for name, load in (("ssimulacra2", _ssimulacra2), ("lpips", _lpips), ("dists", _dists)):
        try:
            found[name] = load()
        except MeasureMissingError as error:
            lines.append(f"{name}: not available: {error}")
    return found, tuple(lines)


def _ssimulacra2() -> Perceptual:
    compute = _package("ssimulacra2").compute_ssimulacra2

    def score(original: Picture, decoded: Picture) -> float:
        return float(compute(_png(original), _png(decoded)))

    return score


def _lpips() -> Perceptual:
    """R. Zhang et al., "The unreasonable effectiveness of deep features", 2018; AlexNet, 0.1."""
    package = _package("lpips")
    _backbone("AlexNet_Weights")
    network = _quietly(lambda: package.LPIPS(net="alex", verbose=False))

    def score(original: Picture, decoded: Picture) -> float:
        pictures = (_tensor(picture) / PEAK for picture in (original, decoded))
        return _value(network, *pictures, normalize=True)

    return score


def _dists() -> Perceptual:
    """K. Ding et al., "Image quality assessment: unifying structure and texture", 2020."""
    package = _package("DISTS_pytorch", "dists-pytorch")
    _backbone("VGG16_Weights")
    own = Path(sys.prefix) / "weights.pt"  # where that package puts and looks for its own
    if not own.is_file():
        raise MeasureMissingError(
            "the file weights.pt of dists-pytorch is not where it installs it"
        )
    network = _quietly(package.DISTS)

    def score(original: Picture, decoded: Picture) -> float:
        return _value(network, *(_tensor(picture) / PEAK for picture in (original, decoded)))

    return score


def _package(name: str, project: str = "") -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        needs = error.name if error.name and error.name != name else project or name
        raise MeasureMissingError(f"it needs the package {needs}; pip install it") from None
    except Exception as error:  # as torchvision's, when it was built for another torch
        raise MeasureMissingError(f"the package {name} does not load: {error}") from None


def _backbone(weights: str) -> None:
    """Check that torchvision finds the weights in torch's cache: nothing is downloaded here."""
    import torch

    url = getattr(_package("torchvision.models", "torchvision"), weights).DEFAULT.url
    name = url.rpartition("/")[2]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file():
        raise MeasureMissingError(f"put {name} into hub/checkpoints of the folder TORCH_HOME")


def _quietly(build: Callable[[], Any]) -> Any:
    # Both packages ask torchvision in its former words, which warns, and print what they load.
    import warnings

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return build().eval()


def _value(network: Any, *pictures: Any, **options: bool) -> float:
    import torch

    with torch.inference_mode():
        return float(network(*pictures, **options))


def _tensor(picture: Picture) -> Any:
    """Float tensor `[1, 3, height, width]` on 0..255."""
    import torch

    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]


def _png(picture: Picture) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=0)
    file.seek(0)
    return file
