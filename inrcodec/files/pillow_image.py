"""Joins a Pillow image with the samples and metadata of Signal."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from inrcodec.errors import InputError

Samples = NDArray[np.uint8] | NDArray[np.uint16]

METADATA = ("icc", "exif", "xmp")
"""Metadata a picture may have: names in Signal.metadata."""

MODES = {
    ("uint8", 1): "L",
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 1): "I;16",
}
"""Pillow's mode for samples of (dtype, bands)."""

_log = logging.getLogger("inrcodec")

_CONVERTED = {
    "1": "L",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
}

# Largest sample where Pillow scales samples to 8 bits but not the colour that stands for "clear".
_KEY_TOP = {"L;2": 3, "L;4": 15, "RGB;16B": 65535}

# EXIF tags about the picture; a TIFF file keeps tags about its own layout among them.
_ABOUT_PICTURE = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_TIFF_XMP = 700
_EXIF_PREFIX = b"Exif\0\0"
# Both forms keep to one repetition of blanks between fixed text, so a search takes linear time.
_XMP_ORIENTATION = re.compile(
    rb"""tiff:Orientation\s*=\s*(?:"\d*"|'\d*')"""
    rb"""|<tiff:Orientation>\s*(?:\d+\s*)?</tiff:Orientation>"""
)
# Bytes one JPEG file has room for: 255 segments of profile, one of EXIF, one of XMP.
_JPEG_ROOM = {"icc": 255 * 65519, "exif": 65527, "xmp": 65504}


def turn_upright(image: Image.Image, name: str) -> None:
    """Apply the orientation of EXIF or XMP to a loaded image, in place."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:
        # What is broken in EXIF says nothing about the pixels. It may be kept no longer: it could
        # still hold an orientation that has been applied.
        image.info.pop("exif", None)
        _log.warning("%s: EXIF is damaged; the picture may be turned or mirrored", name)


def read_samples(image: Image.Image, raw: str, name: str) -> Samples:
    """Samples `[height, width, bands]` of a loaded image; `raw` is how its file stores them.

    Raises InputError for samples that are neither 8 nor 16 bits.
    """
    return _with_clear_colour(_samples(image, raw, name), image, raw)


def _samples(image: Image.Image, raw: str, name: str) -> Samples:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        return np.asarray(image).astype(np.uint16)[..., np.newaxis]
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode == "CMYK":
        image = _cmyk_to_srgb(image)
    elif mode in _CONVERTED:
        image = image.convert(_CONVERTED[mode])
    elif raw == "LA;16B":
        # Pillow has no room for 16 bits of grey with alpha and gives three equal colours.
        image = image.convert("LA")
    elif mode not in MODES.values():
        samples = {"I": "32-bit integer samples", "F": "floating-point samples"}
        what = samples.get(mode, f"pixels of Pillow's mode {mode}")
        raise InputError(f"{name}: has {what}; convert it to 8 or 16 bits, or to a .npy array")
    values = np.array(image)
    return values if values.ndim == 3 else values[..., np.newaxis]


def _cmyk_to_srgb(image: Image.Image) -> Image.Image:
    # Loads a library that hardly any picture needs.
    from PIL import ImageCms

    profile = image.info.get("icc_profile") or b""
    if is_profile(profile, space=b"CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, ImportError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


def _with_clear_colour(samples: Samples, image: Image.Image, raw: str) -> Samples:
    """Samples with alpha if one colour of a grey or RGB picture is declared to be transparent."""
    key = image.info.get("transparency")
    if image.mode not in ("1", "L", "RGB", "I;16") or not isinstance(key, int | tuple):
        return samples
    if image.mode == "1":
        # Stored as 0 or 1; newer versions of Pillow give 0 or 255.
        key = 255 * bool(key)
    full = np.iinfo(samples.dtype).max
    colour = np.asarray(key, dtype=np.float64) * full / _KEY_TOP.get(raw, full)
    clear = (samples == colour).all(axis=2, keepdims=True)
    alpha = np.where(clear, 0, full).astype(samples.dtype)
    return np.concatenate([samples, alpha], axis=2)


def read_metadata(
    image: Image.Image, keep: Collection[str], name: str, *, grey: bool
) -> dict[str, bytes]:
    """What an upright image has of `keep`; `grey` says what a profile has to describe."""
    readers: dict[str, Callable[[], bytes | None]] = {
        "icc": lambda: _icc(image, grey),
        "exif": lambda: _exif(image),
        "xmp": lambda: _xmp(image),
    }
    found = {}
    for key in METADATA:
        if key not in keep:
            continue
        try:
            value = readers[key]()
        except MemoryError:
            raise
        except Exception:
            _log.warning("%s: %s is damaged and left out", name, key.upper())
            continue
        if value:
            found[key] = value
    return found


def save_options(metadata: Mapping[str, bytes], format: str, mode: str) -> dict[str, object]:  # noqa: A002
    """Arguments with which Pillow writes that metadata into a picture of `mode`.

    What the format has no room for, does not fit the mode or is damaged is left out.
    """
    room = _JPEG_ROOM if format == "JPEG" else {}
    values = {key: metadata.get(key, b"") for key in METADATA}
    icc, exif, xmp = (
        value if len(value) <= room.get(key, len(value)) else b"" for key, value in values.items()
    )
    options: dict[str, object] = {}
    if is_profile(icc, grey=mode in ("L", "LA", "I;16")):
        options["icc_profile"] = icc
    tags = _parsed_exif(exif)
    if format == "TIFF":
        if xmp:
            tags[_TIFF_XMP] = xmp
        options["exif"] = tags.tobytes()
    elif len(tags):
        options["exif"] = _EXIF_PREFIX + exif
    if xmp and format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", errors="replace"))
        options["pnginfo"] = text
    elif xmp:
        options["xmp"] = xmp
    return options


def is_profile(data: bytes, *, grey: bool = False, space: bytes = b"") -> bool:
    """Whether `data` starts as an ICC profile of that colour space: `space`, else grey or RGB."""
    wanted = space or (b"GRAY" if grey else b"RGB ")
    return len(data) > 128 and data[36:40] == b"acsp" and data[16:20] == wanted


def _icc(image: Image.Image, grey: bool) -> bytes | None:
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "LAB"):
        # It described the pixels before they were converted.
        return None
    return profile if isinstance(profile, bytes) and is_profile(profile, grey=grey) else None


def _exif(image: Image.Image) -> bytes | None:
    exif = image.getexif()
    if image.format == "TIFF":
        exif = _about_picture(exif)
    raw = image.info.get("exif")
    if not isinstance(raw, bytes) or ExifTags.Base.Orientation in exif:
        exif.pop(ExifTags.Base.Orientation, None)
        raw = exif.tobytes()
    return raw.removeprefix(_EXIF_PREFIX) if len(exif) else None


def _xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    # Readers that find no orientation in EXIF look here; the pixels are upright already.
    return _XMP_ORIENTATION.sub(b"", xmp) if isinstance(xmp, bytes) else None


def _parsed_exif(data: bytes) -> Image.Exif:
    """Tags about the picture; none if any is damaged."""
    exif = Image.Exif()
    if not data:
        return exif
    try:
        exif.load(data)
        exif = _about_picture(exif)
        exif.tobytes()
    except MemoryError:
        raise
    except Exception:
        return Image.Exif()
    return exif


def _about_picture(exif: Image.Exif) -> Image.Exif:
    chosen = Image.Exif()
    for tag in _ABOUT_PICTURE:
        if tag in exif:
            chosen[tag] = exif[tag]
    for directory in _DIRECTORIES:
        if directory in exif:
            # The pointer to interoperability tags would point into the old file.
            tags = exif.get_ifd(directory).items()
            chosen[directory] = {tag: value for tag, value in tags if tag != ExifTags.IFD.Interop}
    return chosen
