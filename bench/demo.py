"""Shows a photo on its way to a `.inrc` file and back, at several sizes, next to JPEG.

    python -m bench.demo [IMAGE]

Everything it makes is in the folder demo_out. Without IMAGE it takes a photo that comes with
scikit-image. Large photos are made smaller first, so that it ends within a few minutes.
"""

from __future__ import annotations

import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from inrcodec import decode
from inrcodec import open as open_inrc
from inrcodec.cli.progress import watched
from inrcodec.codec import Encoded, as_signal, encode_signal
from inrcodec.errors import InrcodecError
from inrcodec.files.images import write_image
from inrcodec.fitting.settings import Settings
from inrcodec.query.quality import psnr
from inrcodec.signal import Signal

FOLDER = Path("demo_out")

LONGEST_SIDE = 480

SETTINGS = Settings(quality=50, max_time=100)

SCALE = 3

ZOOM, ZOOMED = 8, 320
"""The crop: so many pixels a side, from the middle of the photo at so many times its size."""


@dataclass(frozen=True)
class Row:
    """One line of the table; what does not apply is None."""

    file: str
    what: str
    bytes: int | None = None
    positions: int | None = None
    psnr: float | None = None
    seconds: float | None = None


def main(words: list[str]) -> int:
    """Run the demo and print its table."""
    if len(words) > 1 or words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0 if len(words) == 1 else 2
    try:
        FOLDER.mkdir(exist_ok=True)
        photo = prepare(Path(words[0]) if words else None)
        signal = as_signal(photo)
        rows = [Row(photo.name, size_of(signal), photo.stat().st_size, signal.info.positions)]
        encoded = encode(signal)
        data = FOLDER / "photo.inrc"
        data.write_bytes(encoded.data)
        what = f"a {SETTINGS.chosen_kind}, net {encoded.net}"
        positions = encoded.positions
        rows.append(
            Row(data.name, what, len(encoded.data), positions, encoded.psnr, encoded.seconds)
        )
        rows += [*decoded(data, signal), jpeg_of(signal, len(encoded.data))]
    except (InrcodecError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    print_table(rows)
    return 0


def prepare(source: Path | None) -> Path:
    """The photo as an RGB PNG of moderate size."""
    if source is None:
        try:
            from skimage import data
        except ImportError:
            raise OSError("scikit-image is not installed; name an IMAGE") from None
        image = Image.fromarray(data.chelsea())
        name = "scikit-image's chelsea"
    else:
        image = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
        name = source.name
    width, height = image.size
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    made = (
        "" if image.size == (width, height) else f", made smaller: {image.width} x {image.height}"
    )
    print(f"{name}: {width} x {height} pixels{made}")
    path = FOLDER / "photo.png"
    # Neither codec gets to pay for a colour profile.
    image.info.clear()
    image.save(path)
    return path


def encode(signal: Signal) -> Encoded:
    """Fit and write the field; Ctrl-C ends the fit early."""
    print(f"fitting a field, at most {SETTINGS.max_time:.0f} s; Ctrl-C takes the best so far ...")
    with watched("photo.png", hidden=False) as watch:
        return encode_signal(signal, SETTINGS, watch)


def decoded(path: Path, original: Signal) -> list[Row]:
    """Pictures asked from the file: all of it, larger, and a part of it very much larger."""
    rows = []

    def add(name: str, what: str, picture: Signal, started: float, quality: float | None) -> None:
        seconds = time.monotonic() - started
        with (FOLDER / name).open("wb") as file:
            write_image(picture, file, "png")
        rows.append(Row(name, what, psnr=quality, seconds=seconds))

    started = time.monotonic()
    same = decode(path)
    add("photo_1x.png", size_of(same), same, started, psnr(original, same))
    started = time.monotonic()
    larger = decode(path, scale=SCALE)
    add(f"photo_{SCALE}x.png", size_of(larger), larger, started, None)
    started = time.monotonic()
    view = open_inrc(path)
    lattice = [size * ZOOM for size in original.info.lattice]
    window = [(max(0, (size - ZOOMED) // 2), min(size, (size + ZOOMED) // 2)) for size in lattice]
    crop = view.read(lattice, window)
    add("photo_crop.png", f"{size_of(crop)}, middle of {ZOOM}x", crop, started, None)
    return rows


def jpeg_of(signal: Signal, budget: int) -> Row:
    """The best JPEG of at most `budget` bytes, or the smallest one if all are larger."""
    image = Image.fromarray(signal.samples)
    started = time.monotonic()
    best, chosen = jpeg_bytes(image, 1), 1
    # Sizes hardly ever fall as the quality rises, but a bisection would rely on it.
    for quality in range(2, 96):
        candidate = jpeg_bytes(image, quality)
        if len(candidate) <= budget:
            best, chosen = candidate, quality
    seconds = time.monotonic() - started
    path = FOLDER / "photo.jpg"
    path.write_bytes(best)
    what = f"JPEG, quality {chosen}"
    if len(best) > budget:
        what += ": larger even so"
    reached = psnr(signal, as_signal(path))
    return Row(path.name, what, len(best), signal.info.positions, reached, seconds)


def jpeg_bytes(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def size_of(signal: Signal) -> str:
    height, width = signal.info.lattice
    return f"{width} x {height}"


def print_table(rows: list[Row]) -> None:
    """One line per file in demo_out."""
    print(f"\n{'file':<15} {'what':<32} {'bytes':>8} {'bpp':>7} {'PSNR/dB':>8} {'seconds':>8}")
    for row in rows:
        rate = 8 * row.bytes / row.positions if row.bytes and row.positions else None
        cells = [
            f"{row.bytes:>8,}" if row.bytes else " " * 8,
            f"{rate:>7.3f}" if rate else " " * 7,
            f"{row.psnr:>8.2f}" if row.psnr else " " * 8,
            f"{row.seconds:>8.2f}" if row.seconds else " " * 8,
        ]
        print(f"{row.file:<15} {row.what:<32} {' '.join(cells)}".rstrip())
    print(f"\nall of them are in {FOLDER}{os.sep}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
