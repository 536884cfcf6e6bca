"""Joins pictures with the files of still formats that Pillow and its plugins write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from bench.codecs.codec import Codec, CodecMissingError, Coded, Entry, Picture, library


@dataclass(frozen=True)
class Still:
    """A still format as Pillow names it, its options, and which option the setting fills.

    `feature` is a part of Pillow, `plugin` a module and its package: one of the two writes the
    format.
    """

    form: str
    line: str
    settings: tuple[float, ...]
    quick: tuple[float, ...]
    options: Mapping[str, Any]
    setting: str = "quality"
    feature: str | None = None
    plugin: tuple[str, str] | None = None
    limits: tuple[float, float] = (0, 100)
    nested: Mapping[str, str] = field(default_factory=dict)
    """Options of the encoder below, where the plugin has a table of them."""


def encode(still: Still, picture: Picture, setting: float) -> Coded:
    """The file at one setting."""
    _ready(still)
    asked: dict[str, Any] = {"quality": int(setting)}
    if still.setting == "ratio":
        asked = {"quality_layers": [setting]}
    if still.nested:
        asked["enc_params"] = dict(still.nested)
    file = BytesIO()
    Image.fromarray(picture).save(file, still.form, **still.options, **asked)
    return Coded(file.getvalue())


def decode(still: Still, data: bytes) -> Picture:
    """The picture of a file."""
    _ready(still)
    with Image.open(BytesIO(data), formats=[still.form]) as image:
        return np.asarray(image.convert("RGB"))


def _ready(still: Still) -> None:
    """Import the plugin and keep decoders to one thread; a process of the bench's own may do so."""
    if still.form == "AVIF":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    elif still.form == "JXL":
        from pillow_jxl import JpegXLImagePlugin

        JpegXLImagePlugin.DECODE_THREADS = 0  # no pool at all
    elif still.form == "HEIF":
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1
        pillow_heif.register_heif_opener()


def load(name: str) -> Codec:
    """The codec of that name; CodecMissingError where Pillow or the plugin lacks it."""
    still = STILLS[name]
    if still.feature and not features.check(still.feature):
        raise CodecMissingError(
            f"{name}: this Pillow is built without {still.feature}: "
            "pip install --force-reinstall pillow"
        )
    if still.plugin:
        library(*still.plugin, name)
    return Codec(
        name=name,
        family=name.split("-")[0],
        settings=still.settings,
        quick=still.quick,
        encode=partial(encode, still),
        decode=partial(decode, still),
        versions=_versions(still),
        limits=still.limits,
        whole=still.setting == "quality",
    )


def _versions(still: Still) -> dict[str, str]:
    versions = {"Pillow": PIL.__version__}
    if still.feature:
        name = "libjpeg_turbo" if still.feature == "jpg" else still.feature
        below = features.version(name) or features.version(still.feature)
        versions[LIBRARIES.get(name, name)] = str(below)
    if still.form == "AVIF":
        from PIL import _avif

        # As libavif lists them: "dav1d [dec]:1.5.3, aom [enc/dec]:v3.13.1".
        versions["AV1"] = _avif.codec_versions()
    if still.plugin:
        from importlib.metadata import version

        versions[still.plugin[1]] = version(still.plugin[1])
    if still.form == "HEIF":
        import pillow_heif

        about = pillow_heif.libheif_info()
        versions |= {"libheif": about["libheif"], "HEVC": about["HEIF"]}
    return versions


LIBRARIES = {
    "libjpeg_turbo": "libjpeg-turbo",
    "jpg_2000": "OpenJPEG",
    "webp": "libwebp",
    "avif": "libavif",
}

# The quick settings go from the rates of our own quick set, where the format can, to 1.2 bpp (means
# of kodim05 and kodim20).
AVIF, AVIF_QUICK = (1, 5, 15, 25, 35, 45, 55, 65, 75), (1, 15, 25, 35, 45, 55)
AVIF_PSNR, AVIF_PSNR_QUICK = (0, *AVIF), (0, 5, 15, 25, 35, 55)  # otherwise 0 is the same as 1
HEIC, HEIC_QUICK = (1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60), (1, 10, 20, 30, 40, 50)

PUBLISHED = tuple(range(5, 100, 5))
"""The qualities of CompressAI's published curves of JPEG and WebP."""


JPEG = (1, 100)


def _jpeg(line: str, **options: Any) -> Still:
    settings = (5, 10, 15, 20, 30, 40, 50, 60, 75, 85)
    options["optimize"] = True
    return Still("JPEG", line, settings, (5, 15, 30, 50, 75), options, feature="jpg", limits=JPEG)


def _avif(chroma: str, speed: int, tune: str | None = None) -> Still:
    options: dict[str, Any] = {"subsampling": chroma, "speed": speed, "max_threads": 1}
    line = f"AVIF {chroma}, speed {speed}; quality 0..100"
    if tune:
        # By default libavif tunes for the eye, which costs PSNR.
        options["advanced"] = {"tune": tune}
        line = f"AVIF {chroma}, speed {speed}, tuned for {tune.upper()}; quality 0..100"
    settings, quick = (AVIF_PSNR, AVIF_PSNR_QUICK) if tune else (AVIF, AVIF_QUICK)
    return Still("AVIF", line, settings, quick, options, feature="avif")


def _heic(chroma: str) -> Still:
    return Still(
        "HEIF",
        f"HEIC {chroma} by libheif and x265; quality 0..100",
        HEIC,
        HEIC_QUICK,
        {"subsampling": chroma},
        plugin=("pillow_heif", "pillow-heif"),
        nested={"x265:pools": "none"},
    )


STILLS = {
    "jpeg": _jpeg("JPEG 4:2:0; quality 1..100", subsampling="4:2:0"),
    "jpeg-444": _jpeg("JPEG 4:4:4; quality 1..100", subsampling="4:4:4"),
    "jpeg-plain": Still(
        "JPEG",
        "JPEG 4:2:0 with the standard's Huffman tables; quality 1..100",
        PUBLISHED,
        (5, 15, 30, 50, 75),
        {},
        feature="jpg",
        limits=JPEG,
    ),
    "jpeg2000": Still(
        "JPEG2000",
        "JPEG 2000, 9/7 wavelet; ratio to 24 bpp",
        # Ratios of CompressAI's published curve, which has the reversible 5/3 wavelet, after three
        # of our own rates.
        (600, 400, 300, 190, 150, 110, 80, 60, 40, 30, 20, 12),
        (600, 300, 190, 80, 40, 20),
        {"quality_mode": "rates", "irreversible": True, "mct": 1},
        setting="ratio",
        feature="jpg_2000",
        limits=(2000, 2),
    ),
    "webp": Still(
        "WEBP",
        "WebP (always 4:2:0), method 6; quality 0..100",
        (0, 1, 5, 15, 30, 45, 60, 75, 85, 90),
        (0, 1, 5, 15, 45, 75),
        {"method": 6},
        feature="webp",
    ),
    "webp-m4": Still(
        "WEBP",
        "WebP (always 4:2:0), method 4, libwebp's default; quality 0..100",
        PUBLISHED,
        (5, 10, 20, 45, 75),
        {},
        feature="webp",
    ),
    "avif-444-s2": _avif("4:4:4", 2),
    "avif-420-s2": _avif("4:2:0", 2),
    "avif-444-s6": _avif("4:4:4", 6),
    "avif-420-s6": _avif("4:2:0", 6),
    "avif-444-s2-psnr": _avif("4:4:4", 2, "psnr"),
    "avif-444-s6-psnr": _avif("4:4:4", 6, "psnr"),
    "jxl": Still(
        "JXL",
        "JPEG XL, effort 7; quality 0..99",
        (1, 10, 20, 30, 45, 60, 75, 85, 90),
        (1, 10, 20, 45, 60, 75),
        {"effort": 7, "num_threads": 0},
        plugin=("pillow_jxl", "pillow-jxl-plugin"),
        limits=(0, 99),  # 100 asks for distance 0, which libjxl refuses
    ),
    "heic-444": _heic("4:4:4"),
    "heic-420": _heic("4:2:0"),
}

ENTRIES = tuple(Entry(name, still.line, load) for name, still in STILLS.items())
