"""Checks that the speed bench times both sides of every stage, and says what it timed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import inrcodec
from bench import speed
from bench.pyramid_subject import NETS, PyramidSubject
from bench.subject import Sizes, Subject, agree
from bench.timing import Comparison, Run, Times, compare, interleaved, markdown, record, threads

TINY = Sizes(height=12, width=16, points=20, batch=64, depth=2, hidden=6)

ROWS = {
    "fit": [f"{what} of a fit, {net}" for net in ("2x6", "4x64") for what in ("gradient", "step")],
    "entropy": ["entropy decode"],
    "query": ["query, native lattice", "query, arbitrary points"],
    "decode": ["whole decode, 8x6"],
    "pyramid": [
        f"{what}, {net}"
        for net in ("12-12/24/2", "20-20/48/2")
        for what in ("pyramid render", "whole decode of a pyramid")
    ],
    "start": ["import inrcodec", "inrcodec info", "process that decodes"],
}


class Steps:
    """A clock that a run moves on by as much as it likes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, *seconds: float, times: int = 1) -> Run:
        left = list(seconds)

        def work() -> None:
            self.order.append(name)
            self.now += left.pop(0)

        return Run(name, work, times)


def test_runs_take_turns_and_the_first_does_not_count() -> None:
    clock = Steps()
    runs = [clock.run("a", 90, 3, 1, 5), clock.run("b", 90, 8, 6, 40, times=2)]
    first, second = interleaved(runs, 3, clock)
    assert clock.order == ["a", "b"] * 4
    assert (first, second) == (Times("a", (3, 1, 5)), Times("b", (4, 3, 20)))
    assert (first.least, first.median) == (1, 3)
    assert (second.least, second.median) == (3, 4)


def comparison(**values: object) -> Comparison:
    found = Comparison("stage", Times("x", (0.5, 1)), Times("plain", (2, 6)), "wall time", "px", 10)
    return replace(found, **values)


def test_ratios_are_how_many_times_as_fast() -> None:
    found = comparison()
    assert (found.least_ratio, found.median_ratio) == (4, 4 / 0.75)
    assert found.items_per_second == 20
    assert comparison(count=0).items_per_second is None
    row = record(found)
    assert (row["least_ratio"], row["ours"]["least"], row["reference"]["median"]) == (4, 0.5, 4)
    json.dumps(row, allow_nan=False)


def test_the_table_has_a_row_of_equal_cells_per_stage() -> None:
    head, rule, *rows = markdown([comparison(), comparison(stage="other", count=0)]).splitlines()
    assert len({line.count("|") for line in (head, rule, *rows)}) == 1
    assert rows[0].startswith("| stage | 500.00 / 750.00 | plain | 2000.00 / 4000.00 | 4.00 / 5.33")
    assert rows[1].startswith("| other |")


@pytest.fixture(scope="module")
def bench() -> speed.Bench:
    return speed.Bench(Subject(TINY), 2, "wall time")


@pytest.mark.parametrize("stage", speed.STAGES)
def test_every_stage_times_both_sides(stage: str, bench: speed.Bench) -> None:
    if stage == "start":
        # A process that imports torch takes its time.
        bench = replace(bench, rounds=1)
    with threads(1):
        found = speed.measure(bench, [stage])
    assert [each.stage for each in found] == ROWS[stage]
    for each in found:
        assert len(each.ours.seconds) == len(each.reference.seconds) == bench.rounds
        assert min(each.ours.seconds + each.reference.seconds) > 0
        assert each.reference.name
        assert math.isfinite(each.least_ratio)
        assert (each.count > 0) == (stage != "start")


def test_counts_are_those_of_the_sizes(bench: speed.Bench) -> None:
    with threads(1):
        found = speed.measure(replace(bench, rounds=1), ["fit", "entropy", "query"])
    counts = {each.stage: each.count for each in found}
    assert counts == {
        **dict.fromkeys(ROWS["fit"], 64),
        "entropy decode": TINY.spec.parameter_count,
        "query, native lattice": 12 * 16,
        "query, arbitrary points": 20,
    }


def test_the_subject_is_a_file_with_about_six_bits_a_weight() -> None:
    data = Subject(Sizes(height=8, width=8)).data
    assert inrcodec.decode(data).samples.shape == (8, 8, 3)
    parameters = Sizes().spec.parameter_count
    assert 5 < 8 * len(data) / parameters < 7


def test_the_pyramid_has_about_half_a_bit_per_pixel() -> None:
    for net in NETS:
        subject = PyramidSubject(256, 256, net)
        assert 0.4 < 8 * len(subject.data) / 256**2 < 0.6
        assert inrcodec.decode(subject.data).samples.shape == (256, 256, 3)


def test_both_sides_have_the_same_field() -> None:
    subject = Subject(TINY)
    field = inrcodec.open(subject.data).layers[0].field
    for index, layer in enumerate(subject.layers):
        np.testing.assert_array_equal(layer[:, :-1].numpy(), field.parameters[f"weight{index}"])
        np.testing.assert_array_equal(layer[:, -1].numpy(), field.parameters[f"bias{index}"])


@pytest.mark.parametrize("theirs", [1.5, math.nan])
def test_a_reference_that_gives_something_else_is_not_compared(theirs: float) -> None:
    agree(np.ones(3), np.ones(3), 0)
    with pytest.raises(AssertionError, match="something else"):
        agree(np.ones(3), np.array([1, theirs, 1]), 0.25)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.fixture
def tiny_main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(speed, "Sizes", lambda: TINY)
    return speed.main


def test_json_and_table_tell_machine_threads_and_versions(
    tiny_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_main(["entropy", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    here = found["machine"]
    assert {"date", "cpu", "cores", "load", "numpy", "torch", "python"} <= here.keys()
    assert (here["threads"], here["rounds"]) == (1, 5)
    (row,) = found["comparisons"]
    assert (row["stage"], row["clock"]) == ("entropy decode", "processor time")
    assert tiny_main(["entropy", "--threads", "2", "--rounds", "5"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name} {here[name]}" in text for name in ("date", "cpu", "numpy", "torch"))
    assert "threads 2" in text
    assert "in wall time" in text
    assert "| entropy decode |" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "unknown stage fly; known: fit,"),
        (["--rounds", "4"], "at least 5"),
        (["--rounds", "0"], "at least 5"),
        (["--threads", "0"], "at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        speed.main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_compare_names_the_clock() -> None:
    turns = Run("", lambda: None), Run("plain", lambda: None)
    with pytest.raises(KeyError):
        compare("stage", *turns, 1, "sundial")
    assert compare("stage", *turns, 1, "processor time").clock == "processor time"
