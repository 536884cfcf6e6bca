"""Joins pictures with the files of reference encoders that are programs of their own.

The commands are those of CompressAI's wrappers (compressai.utils.bench.codecs 1.2.8), from which
its published curves come. The wrappers themselves return no file, so only their commands are used,
and CompressAI is not needed. Where a program takes raw YCbCr, its file has the width and height in
front, two bytes each.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from bench.codecs.codec import Codec, CodecMissingError, Coded, Entry, Picture
from bench.codecs.ycbcr import BT709, from_planes, to_planes

SIZE = struct.Struct("<HH")

MATRIX = BT709
"""CompressAI's, at 8 bits and full range; it cuts fractions off where this bench rounds."""


@dataclass(frozen=True)
class Reference:
    """Two commands; `{source}`, `{file}`, `{output}`, `{folder}`, `{width}`, `{height}`,
    `{setting}` and the names of `programs` are filled in.

    A program is looked for below the folder that the variable `home` names, else on the PATH.
    `raw` ones read and write 8-bit 4:4:4 YCbCr, the others PNG.
    """

    line: str
    programs: Mapping[str, str]
    encoder: str
    decoder: str
    settings: tuple[float, ...]
    quick: tuple[float, ...]
    limits: tuple[int, int]
    raw: bool = True
    home: str | None = None


def encode(reference: Reference, picture: Picture, setting: float) -> Coded:
    """The file at one setting."""
    height, width = picture.shape[:2]
    with TemporaryDirectory() as folder:
        source, file = Path(folder, "source.png"), Path(folder, "file.bin")
        if reference.raw:
            source = source.with_suffix(".yuv")
            planes = to_planes(picture, depth=8, matrix=MATRIX)
            source.write_bytes(np.stack(planes).astype(np.uint8).tobytes())
        else:
            Image.fromarray(picture).save(source)
        sizes = {"width": str(width), "height": str(height), "setting": str(int(setting))}
        paths = {"source": str(source), "file": str(file), "folder": folder}
        _run(reference, reference.encoder, **paths, **sizes)
        front = SIZE.pack(width, height) if reference.raw else b""
        return Coded(front + file.read_bytes())


def decode(reference: Reference, data: bytes) -> Picture:
    """The picture of a file."""
    with TemporaryDirectory() as folder:
        file, output = Path(folder, "file.bin"), Path(folder, "output.png")
        if not reference.raw:
            file.write_bytes(data)
            _run(reference, reference.decoder, file=str(file), output=str(output))
            with Image.open(output) as image:
                return np.asarray(image.convert("RGB"))
        width, height = SIZE.unpack_from(data)
        file.write_bytes(data[SIZE.size :])
        _run(reference, reference.decoder, file=str(file), output=str(output))
        samples = np.fromfile(output, np.uint8).reshape(3, height, width)
        return from_planes(list(samples.astype(np.uint16)), depth=8, matrix=MATRIX)


def _run(reference: Reference, command: str, **words: str) -> None:
    programs = {key: str(_program(reference, name)) for key, name in reference.programs.items()}
    # Split before filling in: a path may hold spaces.
    filled = [word.format(**programs, **words) for word in command.split()]
    done = subprocess.run(filled, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise RuntimeError(f"{Path(filled[0]).name}: exit code {done.returncode}: {said[-1]}")


def _program(reference: Reference, name: str) -> Path | None:
    home = os.environ.get(reference.home) if reference.home else None
    if home:
        return path if (path := Path(home, name)).is_file() else None
    found = shutil.which(Path(name).name)
    return Path(found) if found else None


def load(name: str) -> Codec:
    """The codec of that name; CodecMissingError where one of its programs is absent."""
    reference = REFERENCES[name]
    for program in reference.programs.values():
        if _program(reference, program) is None:
            where = f"below the folder in {reference.home}" if reference.home else "on the PATH"
            raise CodecMissingError(f"{name}: no {program} {where}")
    return Codec(
        name=name,
        family=name.removeprefix("compressai-").split("-")[0],
        settings=reference.settings,
        quick=reference.quick,
        encode=partial(encode, reference),
        decode=partial(decode, reference),
        versions=_versions(reference),
        slow=True,
        limits=reference.limits,
        whole=True,
    )


def _versions(reference: Reference) -> dict[str, str]:
    """What the encoder's help says of its version."""
    program = next(iter(reference.programs.values()))
    asked = subprocess.run(
        [str(_program(reference, program)), "--help"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    told = re.search(
        r"version \d.*|.*(?<![\d.])\d+\.\d+\.\d+.*", asked.stdout + asked.stderr, re.IGNORECASE
    )
    return {Path(program).name: told.group().strip()[:80] if told else "unknown"}


_QUANTISERS = (47, 42, 37, 32, 27, 22)

_JCT_ENCODER = (
    "{encoder} -i {source} -c {config} -q {setting} -o {folder}/unused -b {file} -wdt {width} "
    "-hgt {height} -fr 1 -f 1 --InputChromaFormat=444 --InputBitDepth=8 "
)
_JCT_DECODER = "{decoder} -b {file} -o {output} -d 8"

REFERENCES = {
    "compressai-bpg": Reference(
        "BPG 4:4:4 by bpgenc; QP",
        {"bpgenc": "bpgenc", "bpgdec": "bpgdec"},
        "{bpgenc} -o {file} -q {setting} -f 444 -e x265 -c ycbcr -b 8 {source}",
        "{bpgdec} -o {output} {file}",
        _QUANTISERS,
        _QUANTISERS[1:],
        (51, 0),
        raw=False,
    ),
    "compressai-vtm": Reference(
        "VVC 4:4:4 by the VTM in the folder INRCODEC_VTM; QP",
        {
            "encoder": "bin/EncoderAppStatic",
            "decoder": "bin/DecoderAppStatic",
            "config": "cfg/encoder_intra_vtm.cfg",
        },
        _JCT_ENCODER + "--ConformanceWindowMode=1",
        _JCT_DECODER,
        _QUANTISERS,
        _QUANTISERS[1:],
        (63, 0),
        home="INRCODEC_VTM",
    ),
    "compressai-hm": Reference(
        "HEVC 4:4:4 by the HM in the folder INRCODEC_HM; QP",
        {
            "encoder": "bin/TAppEncoderStatic",
            "decoder": "bin/TAppDecoderStatic",
            "config": "cfg/encoder_intra_main_rext.cfg",
        },
        _JCT_ENCODER + "--Level=5.1 --CUNoSplitIntraACT=0 --ConformanceMode=1",
        _JCT_DECODER,
        _QUANTISERS,
        _QUANTISERS[1:],
        (51, 0),
        home="INRCODEC_HM",
    ),
    "compressai-av1": Reference(
        "AV1 4:4:4 by aomenc, slowest preset; cq-level",
        {"aomenc": "aomenc", "aomdec": "aomdec"},
        # A bare stream, where the wrapper writes a WebM around it.
        "{aomenc} -w {width} -h {height} --fps=1/1 --limit=1 --input-bit-depth=8 --cpu-used=0 "
        "--threads=1 --passes=2 --end-usage=q --cq-level={setting} --i444 --tune=psnr "
        "--bit-depth=8 --obu -o {file} {source}",
        "{aomdec} {file} -o {output} --rawvideo --output-bit-depth=8",
        (57, 52, 47, 42, 37, 32, 27, 22, 17, 12),
        (57, 47, 37, 27, 17),
        (63, 0),
    ),
}

ENTRIES = tuple(Entry(name, reference.line, load) for name, reference in REFERENCES.items())
