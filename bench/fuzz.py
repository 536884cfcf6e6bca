"""Joins mutated files with the promises of the decoder: python -m bench.fuzz, as `make fuzz` does.

Without FILE, new files are made until the time is over, guided by atheris; with it, those are read.
"""

from __future__ import annotations

import argparse
import sys
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bench.fallback import pure_python

TESTS = Path(__file__).resolve().parents[1] / "tests"
SEEDS = ("golden/v1/*.inrc", "hostile/*.inrc")

SECONDS_EACH, MEGABYTES, BYTES = 20, 4096, 4096
"""Most that one input may take: time, memory of the process, and its own size."""

EVERY = 8
"""One input in so many is read in pure Python too; always the same, to be found again."""


def seeds() -> list[Path]:
    """The files that mutations begin with."""
    return sorted(path for pattern in SEEDS for path in TESTS.glob(pattern))


def ask(data: bytes) -> None:
    """Read bytes as a file in every way. Raises what no file may cause.

    That is any error but an InrcodecError, any warning, and AssertionError where answers differ.
    """
    import inrcodec
    from bench.fuzz_mutations import LIMITS

    told = answer(lambda: inrcodec.info(data, limits=LIMITS))
    whole = answer(lambda: inrcodec.decode(data, limits=LIMITS))
    if zlib.crc32(data) % EVERY == 0:
        with pure_python():
            other = answer(lambda: inrcodec.decode(data, limits=LIMITS))
        assert type(whole) is type(other), f"native: {whole!r}, pure Python: {other!r}"
        # A pyramid is the same to the bit, a siren is not.
        if hasattr(whole, "samples") and {one["kind"] for one in told["tracks"]} == {"pyramid"}:
            assert np.array_equal(whole.samples, other.samples, equal_nan=True), "native differs"
    for partial, signal in ((False, 0), (True, 0), (False, 1)):
        view = answer(
            lambda: inrcodec.open(data, partial=partial, signal=signal, limits=LIMITS)  # noqa: B023
        )
        if isinstance(view, inrcodec.SignalView):
            ask_view(view, None if view.problem or signal else whole)


def ask_view(view: Any, whole: Any) -> None:
    """Crop, enlarge, reduce and ask at points; `whole` is the decoded signal or its error."""
    lattice = view.info.lattice
    window = [(size // 3, size - size // 4) for size in lattice]
    crop = answer(lambda: view.resize(lattice, window))
    if hasattr(whole, "samples"):
        assert whole.samples.shape == view.shape
        assert whole.samples.dtype == view.dtype
        if view.dtype.kind == "u":
            inside = whole.samples[tuple(slice(*ends) for ends in window)]
            assert np.array_equal(crop, inside), f"a crop differs from the whole: {crop!r}"
    for size in ([cells + 1 for cells in lattice], [max(1, cells // 2) for cells in lattice]):
        resized = answer(lambda: view.resize(size))  # noqa: B023
        assert isinstance(resized, Exception) or resized.shape == (*size, view.shape[-1])
    points = np.array([[0.0], [0.4], [-7.5], [1e300]]) + np.zeros(len(lattice))
    values = answer(lambda: view.at(np.concatenate([points, [[n - 0.7 for n in lattice]]])))
    assert isinstance(values, Exception) or values.dtype == np.float32


def answer(question: Callable[[], Any]) -> Any:
    """What a question gives, or the InrcodecError that it raises. A warning is no answer."""
    from inrcodec.errors import InrcodecError

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return question()
        except InrcodecError as error:
            return error


def fuzz(seconds: int, folder: Path) -> None:
    """Ends the process: with 0 when the time is over, with another status after a finding."""
    import atheris

    # Everything must be imported by here: what is loaded later is not watched.
    with atheris.instrument_imports(include=["inrcodec"]):
        from bench.fuzz_mutations import mutated
        from inrcodec.native_choice import describe

        for path in seeds():
            ask(path.read_bytes())
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in seeds():
        (corpus / path.name).write_bytes(path.read_bytes())

    def other(data: bytes, most: int, seed: int) -> bytes:
        return mutated(data, Random(seed), lambda part: atheris.Mutate(part, most))[:most]

    print(f"fuzz: {describe()}; findings go to {folder}", flush=True)
    options = {
        "max_total_time": seconds,
        "max_len": BYTES,
        "timeout": SECONDS_EACH,
        "rss_limit_mb": MEGABYTES,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
        "reload": 0,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], ask, custom_mutator=other)
    atheris.Fuzz()


def main() -> None:
    """Fuzz, or read what was found again."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    option = parser.add_argument
    option(
        "files", nargs="*", type=Path, metavar="FILE", help="only read these (no atheris needed)"
    )
    option("--seconds", type=int, default=600, help="how long to look for findings (600)")
    option("--folder", type=Path, default=Path("build/fuzz"), help="of corpus and findings")
    arguments = parser.parse_args()
    for path in arguments.files:
        ask(path.read_bytes())
        print(f"{path}: as promised")
    if not arguments.files:
        fuzz(arguments.seconds, arguments.folder.resolve())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
