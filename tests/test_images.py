"""Checks that pictures pass between files and signals without loss, or are refused clearly."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import resource
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from inrcodec.errors import InputError, LimitError, UsageError
from inrcodec.files.images import (
    FORMATS,
    image_mode,
    read_image,
    write_array,
    write_image,
)
from inrcodec.files.pillow_image import read_samples
from inrcodec.signal import Axis, Signal, SignalInfo, full_range

CHANNELS = {
    1: ("grey",),
    2: ("grey", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}
KINDS = [("uint8", 1), ("uint8", 2), ("uint8", 3), ("uint8", 4), ("uint16", 1)]
LOSSY = {"jpeg", "avif"}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="1"/></x:xmpmeta>'
DATE = "2020:02:03 04:05:06"

# What a viewer does to stored pixels, by the value of the EXIF tag.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}

every_kind = pytest.mark.parametrize(("dtype", "bands"), KINDS)
every_format = pytest.mark.parametrize("fmt", FORMATS)


def signal(samples: np.ndarray, **metadata: bytes) -> Signal:
    height, width, bands = samples.shape
    dtype = samples.dtype.name
    axes = (Axis("y", height), Axis("x", width))
    return Signal(samples, SignalInfo(axes, CHANNELS[bands], dtype, full_range(dtype)), metadata)


def written(picture: Signal, fmt: str) -> bytes:
    target = io.BytesIO()
    write_image(picture, target, fmt)
    return target.getvalue()


def saved(image: Image.Image, fmt: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, fmt, **options)
    return target.getvalue()


def noise(height: int, width: int, bands: int, dtype: str = "uint8") -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(7).integers(0, top, (height, width, bands), dtype, endpoint=True)


def profile_of(space: bytes) -> bytes:
    """Bytes that look like a profile of that colour space."""
    return SRGB[:16] + space + SRGB[20:]


def exif(orientation: int | None = None) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "Maker"
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: DATE}
    if orientation is not None:
        tags[ExifTags.Base.Orientation] = orientation
    return tags.tobytes()


def parsed(data: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load(data)
    return tags


def png(depth: int, colour: int, rows: list[bytes], width: int, clear: bytes) -> bytes:
    """A PNG file that Pillow cannot write: any depth, with one colour declared transparent."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = ((b"IHDR", header), (b"tRNS", clear), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*each) for each in chunks if each[1] or each[0] == b"IEND"
    )


# Pixels


@every_format
@every_kind
@settings(deadline=None)
@given(data=st.data())
def test_round_trip_or_refusal(fmt: str, dtype: str, bands: int, data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    picture = signal(data.draw(arrays(dtype, (*shape, bands))))
    try:
        mode = image_mode(picture.info, fmt)
    except UsageError as error:
        with pytest.raises(UsageError, match="cannot hold"):
            written(picture, fmt)
        advised = str(error).partition("; ")[2].removesuffix(" can").split(", ")
        assert advised.pop() == "npy"
        assert all(written(picture, other) for other in advised)
        return
    back = read_image(written(picture, fmt))
    assert back.info.lattice == picture.info.lattice
    if fmt in LOSSY:
        return
    expected = picture.samples
    if len(Image.new(mode, (1, 1)).getbands()) != bands:
        alpha = expected[..., 1:]
        expected = np.concatenate([expected[..., :1]] * 3 + [alpha], axis=2)
    if fmt == "webp" and bands in (2, 4) and (expected[..., -1] == 255).all():
        # The encoder stores no alpha where nothing is transparent.
        expected = expected[..., :-1]
    assert back.info.dtype == dtype
    assert np.array_equal(back.samples, expected)


@pytest.mark.parametrize("fmt", sorted(LOSSY))
def test_lossy_formats_are_nearly_lossless(fmt: str) -> None:
    photo = skimage.data.astronaut()[:128, 128:320]
    back = read_image(written(signal(photo), fmt)).samples.astype(float)
    assert np.square(back - photo).mean() < 255**2 / 10**4  # 40 dB


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_is_nearly_as_small_as_by_default(dtype: str) -> None:
    """Photos; what neither is nor repeats anything has long runs."""
    photo = skimage.data.astronaut()[:256, 128:320]
    if dtype == "uint16":
        photo = photo[..., :1] * np.uint16(257) + noise(256, 192, 1)
    flat = np.full((200, 300, 3), 77, np.uint8)
    for samples, most in ((photo, 1.04), (flat, 1.2)):
        usual = saved(Image.fromarray(samples.squeeze()), "PNG")
        assert len(written(signal(samples), "png")) <= most * len(usual)


@pytest.mark.skipif(not hasattr(Image, "_import_plugin_for_extension"), reason="older Pillow")
def test_writing_png_loads_no_other_format() -> None:
    code = """
import io, sys
import numpy as np
from inrcodec.files.arrays import from_array
from inrcodec.files.images import write_image
write_image(from_array(np.zeros((3, 4, 3), np.uint8)), io.BytesIO(), "png")
print(*[name for name in sys.modules if name.endswith("ImagePlugin")])
"""
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PIL.PngImagePlugin"]


def test_signal_says_what_it_is() -> None:
    picture = read_image(saved(Image.fromarray(noise(5, 7, 4)), "PNG"))
    assert picture.info == SignalInfo(
        (Axis("y", 5), Axis("x", 7)), ("red", "green", "blue", "alpha"), "uint8", (0, 255)
    )
    assert picture.samples.flags.writeable
    assert picture.samples.flags.c_contiguous


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_either_byte_order(order: str) -> None:
    values = noise(3, 5, 1, "uint16")
    mode = {"<": "I;16", ">": "I;16B"}[order]
    image = Image.frombytes(mode, (5, 3), values.astype(f"{order}u2").tobytes())
    back = read_image(saved(image, "TIFF"))
    assert back.info.value_range == (0, 65535)
    assert np.array_equal(back.samples, values)
    swapped = replace(signal(values), samples=values.astype(f"{order}u2"))
    assert np.array_equal(read_image(written(swapped, "png")).samples, values)


@pytest.mark.parametrize(
    ("mode", "fmt", "bands"),
    [
        ("1", "PNG", 1),
        ("1", "TIFF", 1),
        ("P", "PNG", 3),
        ("P", "GIF", 3),
        ("PA", "TIFF", 4),
        ("CMYK", "JPEG", 3),
        ("CMYK", "TIFF", 3),
        ("LAB", "TIFF", 3),
        ("RGBX", "TIFF", 3),
    ],
)
def test_other_modes_become_grey_or_rgb(mode: str, fmt: str, bands: int) -> None:
    source = Image.fromarray(skimage.data.astronaut()[:24, 150:190])
    if mode == "PA":
        source = source.convert("P")
    image = source.convert(mode)
    data = saved(image, fmt)
    samples = read_image(data).samples
    assert samples.shape == (24, 40, bands)
    assert samples.dtype == np.uint8
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.array(opened.convert({1: "L", 3: "RGB", 4: "RGBA"}[bands]))
    assert np.array_equal(samples.squeeze(), expected)


@pytest.mark.parametrize(
    ("stored", "plain"),
    [("RGBa", "RGBA"), ("La", "LA"), ("YCbCr", "RGB"), ("HSV", "RGB")],
)
def test_modes_that_few_files_have(stored: str, plain: str) -> None:
    white = Image.new(plain, (2, 2), "white")
    samples = read_samples(white.convert(stored), "", "a test")
    assert np.array_equal(samples, np.array(white))


def test_palette_alpha() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    some = read_image(saved(image, "PNG", transparency=b"\x00\x80\xff")).samples
    assert some[0].tolist() == [[255, 0, 0, 0], [0, 255, 0, 128], [0, 0, 255, 255]]
    one = read_image(saved(image, "GIF", transparency=1)).samples
    assert one[0, :, 3].tolist() == [255, 0, 255]


@pytest.mark.parametrize(
    ("depth", "row", "key", "clear"),
    [
        (1, b"\x40", 1, [0, 255, 0, 0]),
        (2, b"\x1b", 2, [0, 0, 255, 0]),
        (4, b"\x05\x0a", 5, [0, 255, 0, 0]),
        (8, b"\x00\x05\x0a\xff", 10, [0, 0, 255, 0]),
        (16, struct.pack(">4H", 0, 5, 300, 65535), 300, [0, 0, 65535, 0]),
    ],
)
def test_grey_with_one_clear_level(depth: int, row: bytes, key: int, clear: list[int]) -> None:
    picture = read_image(png(depth, 0, [row], 4, struct.pack(">H", key)))
    assert picture.info.channels == ("grey", "alpha")
    assert picture.info.dtype == ("uint16" if depth == 16 else "uint8")
    top = np.iinfo(picture.samples.dtype).max
    assert (top - picture.samples[0, :, 1]).tolist() == clear


@pytest.mark.parametrize("depth", [8, 16])
def test_colour_with_one_clear_colour(depth: int) -> None:
    unit, code = (1, "B") if depth == 8 else (257, "H")
    colours = [10, 20, 30, 40, 50, 60]
    row = struct.pack(f">6{code}", *(unit * value for value in colours))
    key = struct.pack(">3H", *(unit * value for value in colours[3:]))
    samples = read_image(png(depth, 2, [row], 2, key)).samples
    assert samples[0].tolist() == [[10, 20, 30, 255], [40, 50, 60, 0]]


def test_sixteen_bit_grey_with_alpha_stays_grey() -> None:
    row = struct.pack(">4H", 257 * 9, 65535, 257 * 200, 257 * 7)
    picture = read_image(png(16, 4, [row], 2, b""))
    assert picture.info.channels == ("grey", "alpha")
    assert picture.samples[0].tolist() == [[9, 255], [200, 7]]


def test_first_frame_is_read_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "green", "blue")]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with caplog.at_level(logging.WARNING, "inrcodec"):
        picture = read_image(data)
    assert picture.samples[0, 0].tolist() == [255, 0, 0]
    assert "only the first is read" in caplog.text


# Orientation and metadata


@pytest.mark.parametrize("fmt", ["png", "webp", "tiff", "avif", "jpeg"])
@pytest.mark.parametrize("orientation", [0, *UPRIGHT, 9])
def test_pixels_are_upright(fmt: str, orientation: int) -> None:
    stored = skimage.data.astronaut()[:32, 150:198]
    options = dict(FORMATS[fmt].options)
    data = saved(Image.fromarray(stored), fmt.upper(), exif=exif(orientation), **options)
    picture = read_image(data, keep=("exif",))
    plain = read_image(saved(Image.fromarray(stored), fmt.upper(), **options)).samples
    expected = UPRIGHT.get(orientation, UPRIGHT[1])(plain)
    assert np.array_equal(picture.samples, expected)
    tags = parsed(picture.metadata["exif"])
    assert ExifTags.Base.Orientation not in tags
    assert tags[ExifTags.Base.Make] == "Maker"
    assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == DATE
    assert np.array_equal(read_image(written(picture, "png")).samples, picture.samples)


def test_orientation_in_xmp_counts_once() -> None:
    stored = noise(3, 5, 3)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    picture = read_image(saved(Image.fromarray(stored), "PNG", pnginfo=info), keep=("xmp",))
    assert np.array_equal(picture.samples, UPRIGHT[6](stored))
    assert picture.metadata["xmp"].split() == XMP.replace(b'tiff:Orientation="6"', b"").split()
    assert np.array_equal(read_image(written(picture, "png")).samples, picture.samples)


def test_orientation_in_xmp_that_exif_overrules() -> None:
    stored = noise(3, 5, 3)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    data = saved(Image.fromarray(stored), "PNG", pnginfo=info, exif=exif(1))
    picture = read_image(data, keep=("exif", "xmp"))
    assert np.array_equal(picture.samples, stored)
    for keep in (("exif", "xmp"), ("xmp",)):
        again = replace(picture, metadata={key: picture.metadata[key] for key in keep})
        assert np.array_equal(read_image(written(again, "png")).samples, stored)


def test_orientation_is_not_kept_when_exif_cannot_be_rewritten() -> None:
    stored = noise(3, 5, 3)
    tags = bytearray(exif(6))
    tags[16:18] = struct.pack(">H", ExifTags.Base.XResolution)  # a number, but "Maker" stays
    data = saved(Image.fromarray(stored), "PNG", exif=bytes(tags))
    picture = read_image(data, keep=("exif",))
    assert np.array_equal(picture.samples, UPRIGHT[6](stored))
    assert picture.metadata == {}


@pytest.mark.parametrize("fmt", ["png", "jpeg", "webp", "avif", "tiff"])
def test_metadata_is_written_back(fmt: str) -> None:
    kept = {"icc": SRGB, "exif": exif().removeprefix(b"Exif\0\0"), "xmp": b"<x:xmpmeta/>"}
    data = written(signal(noise(4, 4, 3), **kept), fmt)
    back = read_image(data, keep=("icc", "exif", "xmp")).metadata
    assert {key: back[key] for key in ("icc", "xmp")} == {key: kept[key] for key in ("icc", "xmp")}
    tags = parsed(back["exif"])
    assert tags[ExifTags.Base.Make] == "Maker"
    assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == DATE
    assert read_image(data).metadata == {"icc": SRGB}
    assert read_image(data, keep=()).metadata == {}


@pytest.mark.parametrize("fmt", ["bmp", "ppm"])
def test_formats_without_metadata_leave_it(fmt: str) -> None:
    picture = signal(noise(4, 4, 3), icc=SRGB, exif=exif()[6:], xmp=XMP)
    assert written(picture, fmt) == written(replace(picture, metadata={}), fmt)


def test_jpeg_leaves_what_is_too_long() -> None:
    picture = signal(noise(4, 4, 3), icc=SRGB + bytes(2**24), exif=exif()[6:], xmp=b" " * 65505)
    assert read_image(written(picture, "jpeg"), keep=("icc", "exif", "xmp")).metadata.keys() == {
        "exif"
    }
    picture = replace(picture, metadata={"icc": SRGB + bytes(10**6), "xmp": b" " * 65504})
    assert read_image(written(picture, "jpeg"), keep=("icc", "xmp")).metadata == picture.metadata


@settings(deadline=None)
@given(data=st.binary(max_size=300), at=st.integers(0, 200))
def test_damaged_metadata_never_stops_a_picture(data: bytes, at: int) -> None:
    tags = exif()[6:]
    broken = tags[:at] + data + tags[at + len(data) :]
    picture = signal(noise(2, 3, 3), exif=broken, xmp=data, icc=data, unknown=data)
    for fmt in ("png", "tiff", "webp", "jpeg"):
        back = read_image(written(picture, fmt), keep=("icc", "exif", "xmp"))
        assert back.info == picture.info
        assert fmt == "jpeg" or np.array_equal(back.samples, picture.samples)


def test_tag_of_a_wrong_type_never_stops_a_picture() -> None:
    tags = bytearray(exif().removeprefix(b"Exif\0\0"))
    tags[12:14] = struct.pack(">H", 11)  # "Maker" as fractions
    picture = signal(noise(2, 3, 3), exif=bytes(tags))
    assert np.array_equal(read_image(written(picture, "tiff")).samples, picture.samples)


def test_damaged_exif_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    stored = noise(3, 5, 3)
    data = saved(Image.fromarray(stored), "PNG", exif=b"Exif\0\0no TIFF structure")
    with caplog.at_level(logging.WARNING, "inrcodec"):
        picture = read_image(data, keep=("exif",))
    assert np.array_equal(picture.samples, stored)
    assert picture.metadata == {}
    assert "the input: EXIF is damaged" in caplog.text


@pytest.mark.parametrize(
    ("mode", "space", "kept"),
    [
        ("RGB", b"RGB ", True),
        ("P", b"RGB ", True),
        ("L", b"GRAY", True),
        ("I;16", b"GRAY", True),
        ("L", b"RGB ", False),
        ("LA", b"RGB ", False),
        ("RGB", b"GRAY", False),
        ("RGB", b"CMYK", False),
    ],
)
def test_only_a_fitting_profile_is_kept(mode: str, space: bytes, kept: bool) -> None:
    profile = profile_of(space)
    picture = read_image(saved(Image.new(mode, (3, 2)), "PNG", icc_profile=profile))
    assert picture.metadata == ({"icc": profile} if kept else {})


def test_grey_profile_is_not_written_into_rgb() -> None:
    picture = signal(noise(3, 3, 1), icc=profile_of(b"GRAY"))
    assert read_image(written(picture, "png")).metadata == picture.metadata
    assert read_image(written(picture, "webp")).metadata == {}


def white_cmyk_profile() -> bytes:
    """A CMYK profile by which every ink, and none, is white paper."""
    one = struct.pack(">i", 2**16)
    matrix = (one + bytes(12)) * 2 + one
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4
    table += bytes([255, 128, 128]) * 16 + ramp * 3
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    d50 = struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    header = struct.pack(
        ">I4sI4s4s4s", 144 + len(table), b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab "
    )
    header += bytes(12) + b"acsp" + bytes(28) + d50
    return header.ljust(128, b"\0") + tags + table


def test_cmyk_goes_through_its_profile() -> None:
    black = Image.new("CMYK", (2, 2), (0, 0, 0, 255))
    picture = read_image(saved(black, "JPEG", icc_profile=white_cmyk_profile()))
    assert picture.samples.min() > 250
    assert picture.metadata == {}
    for unusable in (profile_of(b"CMYK"), SRGB, b""):
        picture = read_image(saved(black, "JPEG", icc_profile=unusable))
        assert picture.samples.max() < 5
        assert picture.metadata == {}


def test_unknown_metadata_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"iptc.*icc"):
        read_image(b"", keep=("iptc",))


# Bad sources

PHOTO = saved(Image.fromarray(skimage.data.astronaut()[:64, :64]), "PNG")
BAD = {
    "empty": (b"", "empty"),
    "text": (b"no picture\n" * 9, "not a picture"),
    "short start": (PHOTO[:20], "cut short"),
    "damaged start": (PHOTO[:4] + PHOTO[5:], "not a picture"),
    "short": (PHOTO[: len(PHOTO) // 2], "cut short"),
    "short jpeg": (saved(Image.new("RGB", (64, 64)), "JPEG")[:-40], "cut short"),
    "float": (saved(Image.new("F", (2, 2)), "TIFF"), "floating-point"),
    "int32": (saved(Image.new("I", (2, 2)), "TIFF"), "32-bit"),
    "program": (saved(Image.new("RGB", (2, 2)), "EPS"), "EPS"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_file(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a picture"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert "\n" not in message
    with pytest.raises(InputError, match="the input: "):
        read_image(data)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "no such file"), ("", "is a folder"), ("file/below", "cannot be read")],
)
def test_bad_path(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(PHOTO)
    path.chmod(0)
    with pytest.raises(InputError, match=r"secret\.png: no permission"):
        read_image(path)


def test_impossible_name() -> None:
    with pytest.raises(InputError, match="null"):
        read_image("a\0b.png")


def test_file_objects(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"prefix" + PHOTO)
    with path.open("rb") as file:
        file.seek(6)
        picture = read_image(file)
    assert picture.samples.shape == (64, 64, 3)
    with path.open("rb") as file, pytest.raises(InputError, match=r"photo\.png: not a picture"):
        read_image(file)
    with pytest.raises(InputError, match="binary"):
        read_image(io.StringIO("text"))
    with pytest.raises(InputError, match="cannot be read"):
        read_image(7)


def test_pipe() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as source, open(writer, "wb") as sink:  # noqa: PTH123
        feeder = threading.Thread(target=lambda: (sink.write(PHOTO), sink.close()))
        feeder.start()
        picture = read_image(source)
        feeder.join()
    assert np.array_equal(picture.samples, read_image(PHOTO).samples)


@settings(deadline=None)
@given(data=st.data())
def test_damage_is_an_input_error_or_a_picture(data: st.DataObject) -> None:
    fmt = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"]))
    options = {} if fmt in ("GIF", "BMP", "PPM") else {"exif": exif(6)}
    damaged = bytearray(saved(Image.fromarray(noise(4, 6, 3)), fmt, **options))
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=4)
    ):
        damaged[at] = value
    damaged = damaged[: data.draw(st.integers(1, len(damaged)))]
    try:
        picture = read_image(bytes(damaged), keep=("icc", "exif", "xmp"))
    except (InputError, LimitError):
        return
    assert picture.samples.shape == (*picture.info.lattice, len(picture.info.channels))


def test_limit_of_pixels(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(PHOTO)
    assert read_image(path, max_pixels=64 * 64).info.positions == 64 * 64
    with pytest.raises(LimitError, match=r"large\.png: pixels: 4,096 asked, 4,095 allowed"):
        read_image(path, max_pixels=64 * 64 - 1)


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_bomb(tmp_path: Path, side: int) -> None:
    """121 M pixels, at which Pillow warns, and 400 M, which it refuses."""
    path = tmp_path / "bomb.png"
    path.write_bytes(PHOTO[:16] + struct.pack(">II", side, side) + PHOTO[24:29])
    whole = path.read_bytes()
    path.write_bytes(whole + struct.pack(">I", zlib.crc32(whole[12:])) + PHOTO[33:])
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(LimitError, match=rf"bomb\.png: pixels.* {side**2:,} asked"):
        read_image(path)
    assert before == Image.MAX_IMAGE_PIXELS


def test_threads_leave_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    start = threading.Barrier(4)
    wrong = []

    def work() -> None:
        start.wait()
        for _ in range(200):
            if not np.array_equal(read_image(data).samples, stored):
                wrong.append(1)

    stored = noise(1, 1, 3)
    data = saved(Image.fromarray(stored), "PNG")
    threads = [threading.Thread(target=work) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert list(warnings.filters) == before


# Writing


@pytest.mark.parametrize(
    ("axes", "channels", "dtype", "fmt", "reason"),
    [
        (("y", "x"), CHANNELS[3], "uint8", "gif", "unknown picture format"),
        (("t",), ("value",), "uint8", "png", "no picture"),
        (("z", "y", "x"), CHANNELS[1], "uint8", "png", "no picture"),
        (("y", "x"), ("u", "v"), "uint8", "png", "no picture"),
        (("y", "x"), ("alpha",), "uint8", "png", "no picture"),
        (("y", "x"), CHANNELS[3], "uint16", "png", "npy can"),
        (("y", "x"), CHANNELS[1], "float32", "png", "npy can"),
        (("y", "x"), CHANNELS[4], "uint8", "jpeg", "png, webp, avif, tiff, npy can"),
        (("y", "x"), CHANNELS[1], "uint16", "jpeg", "png, tiff, pgm, pnm, npy can"),
    ],
)
def test_refusals(axes, channels, dtype, fmt, reason) -> None:
    info = SignalInfo(tuple(Axis(name, 2) for name in axes), channels, dtype, full_range(dtype))
    samples = np.zeros((*info.lattice, len(channels)), dtype)
    with pytest.raises(UsageError, match=reason):
        written(Signal(samples, info), fmt)


def test_too_wide_for_the_format() -> None:
    with pytest.raises(UsageError, match="20000 x 1 pixels cannot be written as webp"):
        written(signal(np.zeros((1, 20000, 3), np.uint8)), "webp")


@settings(deadline=None)
@given(
    arrays(
        st.sampled_from(["uint8", "uint16", "float32"]),
        array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements={"allow_nan": False},
    )
)
def test_array_round_trip(samples: np.ndarray) -> None:
    target = io.BytesIO()
    write_array(Signal(samples, SignalInfo((), (), samples.dtype.name, (0, 1))), target)
    target.seek(0)
    back = np.load(target, allow_pickle=False)
    assert back.dtype == samples.dtype
    assert np.array_equal(back, samples)


@pytest.mark.parametrize("write", [write_array, lambda s, file: write_image(s, file, "bmp")])
def test_a_failing_target_keeps_its_reason(tmp_path: Path, write) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    picture = signal(noise(64, 64, 3))
    reason = re.escape(os.strerror(errno.EFBIG))
    with (tmp_path / "out").open("wb", buffering=0) as target:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            with pytest.raises(OSError, match=reason):
                write(picture, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "out").stat().st_size == 4096
