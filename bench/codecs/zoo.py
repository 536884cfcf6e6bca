"""Joins pictures with files of CompressAI's learned models, their weights from a local folder.

A file is `HEAD` (width, height, quality, height and width of the last latent) and the model's byte
strings, each but the last with its length in front.
"""

from __future__ import annotations

import importlib.util
import os
import re
import struct
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.codecs.codec import Codec, CodecMissingError, Coded, Entry, Picture
from bench.codecs.own import one_torch_thread

FOLDER = "INRCODEC_ZOO"

HEAD = struct.Struct("<HHBHH")
LENGTH = struct.Struct("<I")

STRIDE = 64
"""The encoder halves six times; sides are padded to a multiple, as CompressAI's own bench does."""

_OPERATORS: list[Any] = []


def _zoo() -> Any:
    """The module compressai.zoo.image."""
    if not _OPERATORS:
        try:
            importlib.import_module("compressai.zoo")
        except RuntimeError:
            # torchvision from PyPI does not load its operators below a CPU build of torch, and
            # then fails while describing these two. Nothing here calls them: naming them is enough.
            # The library is kept, because its operators go with it.
            operators = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                operators.define(f"{name}(Tensor boxes, Tensor scores, float limit) -> Tensor")
            _OPERATORS.append(operators)
    return importlib.import_module("compressai.zoo.image")


def weights(model: str, folder: Path) -> dict[int, Path]:
    """The files of a model by quality, named as CompressAI publishes those trained for MSE."""
    found = {}
    for quality, address in _zoo().model_urls[model]["mse"].items():
        # The eight digits at the end are of the hash; a file of one's own training has others.
        stem = re.sub(r"-[0-9a-f]{8}\.pth\.tar$", "", address.rpartition("/")[2])
        if files := sorted(folder.glob(f"{stem}-*.pth.tar")):
            found[int(quality)] = files[0]
    return found


@lru_cache(maxsize=2)
def _model(model: str, path: Path) -> Any:
    zoo = _zoo()
    state = zoo.load_pretrained(torch.load(path, map_location="cpu", weights_only=True))
    with torch.random.fork_rng(devices=[]):  # a model starts random, whatever comes after
        net = zoo.model_architectures[model].from_state_dict(state)
    net.update(force=True)
    return net.eval()


def prepare(model: str, files: dict[int, Path], setting: float) -> None:
    """Load the model of one quality and build its tables."""
    _model(model, files[int(setting)])


def encode(model: str, files: dict[int, Path], picture: Picture, setting: float) -> Coded:
    """The file at one quality."""
    quality = int(setting)
    height, width = picture.shape[:2]
    samples = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float() / 255
    top, left = (-height % STRIDE) // 2, (-width % STRIDE) // 2
    bottom, right = -height % STRIDE - top, -width % STRIDE - left
    padded = torch.nn.functional.pad(samples[None], (left, right, top, bottom))
    with one_torch_thread(), torch.no_grad():
        coded = _model(model, files[quality]).compress(padded)
    strings = [part[0] for part in coded["strings"]]
    head = HEAD.pack(width, height, quality, *coded["shape"])
    lengths = b"".join(LENGTH.pack(len(string)) for string in strings[:-1])
    return Coded(head + bytes([len(strings)]) + lengths + b"".join(strings))


def decode(model: str, files: dict[int, Path], data: bytes) -> Picture:
    """The picture of a file."""
    width, height, quality, *shape = HEAD.unpack_from(data)
    count, start = data[HEAD.size], HEAD.size + 1
    lengths = [LENGTH.unpack_from(data, start + i * LENGTH.size)[0] for i in range(count - 1)]
    start += len(lengths) * LENGTH.size
    strings = []
    for length in [*lengths, len(data)]:
        strings.append([data[start : start + length]])
        start += length
    with one_torch_thread(), torch.no_grad():
        values = _model(model, files[quality]).decompress(strings, tuple(shape))["x_hat"][0]
    top, left = (-height % STRIDE) // 2, (-width % STRIDE) // 2
    values = values[:, top : top + height, left : left + width].permute(1, 2, 0)
    picture: Picture = np.rint(values.clamp(0, 1).numpy() * 255).astype(np.uint8)
    return picture


def load(name: str) -> Codec:
    """One model; CodecMissingError without CompressAI or weights."""
    if importlib.util.find_spec("compressai") is None:
        raise CodecMissingError(f"{name}: compressai is not installed: make bench-compressai")
    folder = os.environ.get(FOLDER)
    if not folder or not Path(folder).is_dir():
        raise CodecMissingError(f"{name}: no weights; {FOLDER} has to name their folder")
    files = weights(name, Path(folder))
    if not files:
        example = _zoo().model_urls[name]["mse"][1].rpartition("/")[2]
        raise CodecMissingError(f"{name}: no weights such as {example} in {folder} ({FOLDER})")
    qualities = tuple(sorted(files))
    return Codec(
        name=name,
        family=name,
        settings=qualities,
        quick=qualities[::2] if len(qualities) > 5 else qualities,
        encode=partial(encode, name, files),
        decode=partial(decode, name, files),
        versions={"compressai": version("compressai"), "torch": torch.__version__},
        slow=name in SERIAL,
        limits=(qualities[0], qualities[-1]),
        whole=True,
        prepare=partial(prepare, name, files),
    )


MODELS = {
    "bmshj2018-factorized": "Ballé et al. 2018, factorised prior",
    "bmshj2018-hyperprior": "Ballé et al. 2018, scale hyperprior",
    "mbt2018-mean": "Minnen et al. 2018, mean and scale hyperprior",
    "mbt2018": "Minnen et al. 2018, with context model",
    "cheng2020-anchor": "Cheng et al. 2020",
    "cheng2020-attn": "Cheng et al. 2020, with attention",
}

SERIAL = ("mbt2018", "cheng2020-anchor", "cheng2020-attn")
"""Their context models decode one latent after the other."""

ENTRIES = tuple(
    Entry(name, f"{line} (CompressAI's zoo); quality 1..{6 if 'cheng' in name else 8}", load)
    for name, line in MODELS.items()
)
