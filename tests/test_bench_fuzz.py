"""Checks that the fuzz target can fail, and that its mutations get behind the checksums."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

import inrcodec
from bench.fuzz import ask, seeds
from bench.fuzz_mutations import LIMITS, mutated, with_other_symbols
from inrcodec.errors import CorruptError, InrcodecError
from inrcodec.native_choice import VARIABLE, instruction_set
from inrcodec.query.view import SignalView

GOLDEN = [path for path in seeds() if "golden" in path.parts]


def verdict(data: bytes) -> str:
    """`whole`, or the name and the first words of the error."""
    try:
        inrcodec.decode(data, limits=LIMITS)
    except InrcodecError as error:
        return f"{type(error).__name__} {error}"
    return "whole"


def test_a_moment_of_fuzzing_finds_nothing() -> None:
    paths, random, stop = seeds(), Random(0), time.monotonic() + 3
    while time.monotonic() < stop:
        ask(mutated(random.choice(paths).read_bytes(), random))


def test_the_limits_leave_room_for_every_golden_file() -> None:
    assert [path.name for path in GOLDEN if verdict(path.read_bytes()) != "whole"] == []


def test_most_mutations_get_behind_the_checksums() -> None:
    random = Random(1)
    found = Counter(
        "CRC" if "CRC mismatch" in said else said.partition(" ")[0]
        for path in GOLDEN
        for said in (verdict(mutated(path.read_bytes(), random)) for _ in range(8))
    )
    assert found["whole"] > 0.1 * found.total()
    assert 0 < found["CRC"] < 0.25 * found.total()
    assert found["CorruptError"] > 0


@pytest.mark.parametrize("name", ["grey_alpha", "pyramid_tiled"])
def test_other_symbols_make_another_file_that_is_read(name: str) -> None:
    path = next(path for path in GOLDEN if path.stem == name)
    before = path.read_bytes()
    random, read = Random(2), 0
    for _ in range(10):
        try:
            after = with_other_symbols(before, random)
        except (InrcodecError, ValueError):
            continue
        assert inrcodec.info(after, limits=LIMITS)["tracks"]
        read += after != before and verdict(after) == "whole"
    assert read >= 3


def test_mutations_are_those_of_the_seed() -> None:
    data = GOLDEN[0].read_bytes()
    first, second = ([mutated(data, Random(seed)) for seed in range(20)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 10


def wrong_crop(view: SignalView, size: Any, window: Any = None) -> Any:
    samples = resize(view, size, window)
    return samples + np.uint8(window is not None and window[0][0] > 0)


def raises(error: Exception) -> Any:
    def fails(*_: Any) -> Any:
        raise error

    return fails


resize = SignalView.resize


@pytest.mark.parametrize(
    ("instead", "error"),
    [
        (wrong_crop, AssertionError),
        (raises(IndexError("a slip")), IndexError),
        (raises(RuntimeWarning("a warning")), RuntimeWarning),
    ],
)
def test_the_target_sees_a_broken_promise(
    instead: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = next(path for path in GOLDEN if path.stem == "pyramid").read_bytes()
    ask(data)
    monkeypatch.setattr(SignalView, "resize", instead)
    with pytest.raises(error):
        ask(data)


def test_the_target_sees_that_the_extension_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = next(path for path in GOLDEN if path.stem == "pyramid").read_bytes()
    monkeypatch.setattr("bench.fuzz.EVERY", 1)
    ask(data)

    def differs(view: SignalView, size: Any, window: Any = None) -> Any:
        return resize(view, size, window) + np.uint8(instruction_set() is None)

    monkeypatch.setenv(VARIABLE, "")
    if instruction_set() is None:
        pytest.skip("there is no extension")
    monkeypatch.setattr(SignalView, "resize", differs)
    with pytest.raises(AssertionError, match="native differs"):
        ask(data)


def test_an_error_of_the_library_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignalView, "resize", raises(CorruptError("damaged")))
    ask(GOLDEN[0].read_bytes())
