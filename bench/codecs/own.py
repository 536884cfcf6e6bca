"""Joins pictures with this project's own files, through the package's public interface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import inrcodec
from bench.codecs.codec import Codec, CodecMissingError, Coded, Entry, Picture
from inrcodec.codec import as_signal, encode_signal
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_presets import EFFORT


@dataclass(frozen=True)
class Kind:
    """A kind of field, what a number asks of it, and the numbers that it is measured at.

    `target` is a field of `Settings`, and `meaning` says in a word what its numbers are.
    """

    name: str
    target: str
    meaning: str
    settings: tuple[float, ...]
    quick: tuple[float, ...]
    slow_from: int
    """The effort from which one picture takes minutes."""


CUDA = "-cuda"

KINDS = (
    # A descent towards a rate would measure how well it is met too.
    Kind(
        "pyramid",
        "rate_weight",
        "lambda",
        (1.2e-2, 6e-3, 3e-3, 1.5e-3, 8e-4, 4e-4, 2e-4),
        (1.2e-2, 3e-3, 8e-4, 2e-4),
        slow_from=6,
    ),
    Kind("siren", "bpp", "bpp", (0.05, 0.1, 0.2, 0.4, 0.8), (0.03, 0.06, 0.12, 0.2), slow_from=1),
)


def encode(kind: Kind, effort: int, device: str, picture: Picture, setting: float) -> Coded:
    """The file at the kind's target `setting`."""
    usual = Settings(kind=kind.name, effort=effort, device=device)
    wanted = replace(usual, **{kind.target: setting})  # type: ignore[arg-type]
    with one_torch_thread():
        encoded = encode_signal(as_signal(picture), wanted)
    return Coded(
        encoded.data,
        macs_per_pixel=encoded.macs_per_sample,
        notes={
            "net": encoded.net,
            "steps": encoded.steps,
            "float_psnr": encoded.float_psnr,
        },
    )


def decode(data: bytes) -> Picture:
    """The picture of a file."""
    return inrcodec.decode(data).samples.astype(np.uint8, copy=False)


def load(kind: Kind, effort: int, name: str) -> Codec:
    """One effort of one kind, on the CPU unless the name says otherwise."""
    device = "cuda" if name.endswith(CUDA) else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise CodecMissingError(f"{name}: torch sees no GPU here")
    return Codec(
        name=name,
        family=f"inrcodec-{kind.name}",
        settings=kind.settings,
        quick=kind.quick,
        encode=partial(encode, kind, effort, device),
        decode=decode,
        versions={"inrcodec": f"{inrcodec.__version__} {sources()}", **signal_versions()},
        device=device,
        slow=effort >= kind.slow_from,
    )


def signal_versions() -> dict[str, str]:
    """The libraries below a fit and a render."""
    return {"numpy": np.__version__, "torch": torch.__version__}


@cache
def sources() -> str:
    """Start of the SHA-256 of the package's sources: between releases the version says nothing."""
    found = hashlib.sha256()
    for path in sorted(Path(inrcodec.__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:8]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Compute on one thread, as every codec of the bench does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


ENTRIES = tuple(
    Entry(
        f"inrcodec-{kind.name}-e{effort}",
        f"this project's {kind.name} field, effort {effort} (fitted on a GPU: ...{CUDA}); "
        f"{kind.meaning}",
        partial(load, kind, effort),
        pattern=f"inrcodec-{kind.name}-e{effort}({CUDA})?",
    )
    for kind in KINDS
    for effort in EFFORT
)
