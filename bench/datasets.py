"""Joins the name of a data set with its pictures: PNG files in a folder."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.codecs.codec import Picture

KODAK = "INRCODEC_KODAK"
"""Environment variable that names the folder of the 24 Kodak pictures."""

KODAK_NAMES = tuple(f"kodim{index:02d}" for index in range(1, 25))

QUICK = ("kodim05", "kodim15", "kodim20", "kodim23")
"""Busy, smooth, flat sky, saturated colour: what the quick set takes of Kodak."""

SUFFIXES = {".png", ".webp", ".ppm", ".bmp", ".tif", ".tiff"}
"""Lossless (or so used); a JPEG's own artefacts would be taken for the picture."""

LOSSY = {".jpg", ".jpeg", ".avif"}

_log = logging.getLogger("bench")


class DatasetError(Exception):
    """Pictures that are not there; the text says in one line what to do."""


def find_images(folder: Path | None, only: Sequence[str] | None, limit: int | None) -> list[Path]:
    """The pictures of a folder by name; of Kodak where `folder` is None and the variable is set,
    else of scikit-image. `only` picks by stem; `limit` takes that many, of Kodak the quick four.
    """
    if folder is None and os.environ.get(KODAK):
        folder = Path(os.environ[KODAK])
    paths = _photos_of_scikit_image() if folder is None else _pictures_in(folder)
    if only:
        if missing := set(only) - {path.stem for path in paths}:
            raise DatasetError(f"{paths[0].parent}: no picture named {', '.join(sorted(missing))}")
        return [path for path in paths if path.stem in only]
    if len({path.stem for path in paths}) < len(paths):
        twice = next(a.stem for a, b in pairwise(paths) if a.stem == b.stem)
        raise DatasetError(f"{paths[0].parent}: two pictures are named {twice}; rename one")
    if limit and set(QUICK) <= {path.stem for path in paths}:
        paths = [path for path in paths if path.stem in QUICK]
    if limit and limit < len(paths):
        _log.info("%d of %d pictures; --full takes all", limit, len(paths))
    return paths[:limit]


def _pictures_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give --images FOLDER or set {KODAK}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    others = sum(path.suffix.lower() in LOSSY for path in folder.iterdir())
    if others:
        _log.info(
            "%s: %d JPEG or AVIF files passed over; a codec's artefacts are no picture",
            folder,
            others,
        )
    if not paths:
        kinds = " ".join(sorted(SUFFIXES))
        raise DatasetError(f"{folder}: holds no lossless picture ({kinds}); give another folder")
    return paths


def _photos_of_scikit_image() -> list[Path]:
    try:
        import skimage.data
    except ImportError:
        raise DatasetError(f"no pictures: give --images FOLDER or set {KODAK}") from None
    _log.warning("no --images and no %s: using photos that come with scikit-image", KODAK)
    folder = Path(skimage.data.__file__).parent
    return [folder / f"{name}.png" for name in ("astronaut", "chelsea", "coffee")]


def read_picture(path: Path) -> Picture:
    """8-bit RGB, upright. Raises DatasetError for what can't be read."""
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: can't be read as a picture ({error}); left out") from None


def digest(picture: Picture) -> str:
    """SHA-256 of the samples and the shape: pictures of one name need not be the same."""
    return hashlib.sha256(str(picture.shape).encode() + picture.tobytes()).hexdigest()
