"""Joins the names of the array data sets with their samples: files in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets import DatasetError

VOLUMES = "INRCODEC_VOLUMES"
"""Environment variable that names the folder of the arrays."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """An array as its file stores it, and what codecs of pictures have to know of it.

    `axes` names every axis of `samples`, and `channels` says whether the last one is no axis of the
    lattice but channels, as the bands of a cube. `picture` are the two axes (rows, columns) of the
    slices. `kind` is volume, climate or cube, `coordinates` are those of latitudes and longitudes.
    """

    name: str
    samples: Array
    axes: tuple[str, ...]
    picture: tuple[int, int]
    kind: str
    coordinates: Mapping[str, Array] = field(default_factory=dict)
    note: str = ""

    @property
    def channels(self) -> bool:
        """Whether the last dimension is the bands."""
        return self.kind == "cube"

    @property
    def low(self) -> float:
        """The least sample."""
        return float(self.samples.min())

    @property
    def span(self) -> float:
        """Range of the samples: what PSNR and relative bounds are over."""
        return float(self.samples.max()) - self.low or 1.0


@dataclass(frozen=True)
class _File:
    """Where a data set is, and what it is."""

    path: str
    key: str
    axes: str
    picture: tuple[int, int]
    kind: str = "volume"
    note: str = ""


_ERA = "climate_erainterim_uvz_2x3x241x480_i16.npz"
_STORED = "stored integers, 2 months x 3 levels; physical values are these times a scale"

_FILES = {
    "brain": _File("micro_brain_64x64x64_u16.npz", "volume", "z y x", (1, 2)),
    "t1": _File("mri_t1_188x256x190_u8.nii.gz", "", "x y z", (0, 1)),
    "ct": _File("ct_stent_256x128x128_i16.npz", "arr_0", "z y x", (1, 2)),
    "air": _File(
        "climate_air_temperature_240x37x49_f32.npz",
        "air_temperature",
        "time latitude longitude",
        (1, 2),
        "climate",
        "K",
    ),
    **{
        f"era-{key}": _File(_ERA, key, "month level latitude longitude", (2, 3), "climate", _STORED)
        for key in "uvz"
    },
    "jasper": _File(
        "hyperspectral_jasper_ridge_100x100x198_u16.npz", "cube", "y x wavelength", (0, 1), "cube"
    ),
    "flair": _File("mri_flair_124x160x140_u8.nii.gz", "", "x y z", (0, 1)),
    "asl": _File("mri_asl4d_52x68x20x10_i16.nii.gz", "", "x y z t", (0, 1)),
    "calcium": _File("micro_calcium_imaging_1000x30x40_u16.npz", "frames", "t y x", (1, 2)),
}

NAMES = tuple(_FILES)
"""Every data set."""

MEDICAL, CLIMATE = ("t1", "ct"), ("air", "era-u", "era-v", "era-z")


def folder_of(folder: Path | None) -> Path:
    """The folder asked for, else that of the variable; DatasetError where there is none."""
    if folder is None and os.environ.get(VOLUMES):
        folder = Path(os.environ[VOLUMES])
    if folder is None:
        raise DatasetError(f"no arrays: give --volumes FOLDER or set {VOLUMES}")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; give --volumes FOLDER or set {VOLUMES}")
    return folder


def read_volume(name: str, folder: Path) -> Volume:
    """A data set by its name. Raises DatasetError for what is not there or can't be read."""
    if name not in _FILES:
        raise DatasetError(f"array {name!r} is unknown; known: {', '.join(NAMES)}")
    about = _FILES[name]
    path = folder / about.path
    axes = tuple(about.axes.split())
    try:
        if path.suffix == ".gz":
            samples, coordinates = _nifti(path)
        else:
            samples, coordinates = _npz(path, about.key)
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{path}: can't be read ({error})") from None
    return Volume(name, samples, axes, about.picture, about.kind, coordinates, about.note)


def read_volumes(names: Sequence[str], folder: Path | None) -> list[Volume]:
    """The data sets of those names."""
    found = folder_of(folder)
    return [read_volume(name, found) for name in names]


def _npz(path: Path, key: str) -> tuple[Array, dict[str, Array]]:
    with np.load(path) as arrays:
        found = {name: arrays[name] for name in ("latitude", "longitude") if name in arrays}
        return np.ascontiguousarray(arrays[key]), found


def _nifti(path: Path) -> tuple[Array, dict[str, Array]]:
    try:
        import nibabel
    except ImportError:
        raise DatasetError(f"{path}: nibabel is not installed: pip install nibabel") from None
    # What the file stores; a scale would make floats of it.
    stored: Any = nibabel.load(path)
    return np.ascontiguousarray(stored.dataobj.get_unscaled()), {}
