"""Checks the published curves and the BD figures between curves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.averages import measured_curves, measured_images
from bench.bd import NoDeltaError, bd_psnr, bd_rate, matrix, mean_of_images
from bench.published import Averaging, Curve, per_image, published_curve, published_curves
from bench.rows import Row

RULES: tuple[Averaging, ...] = ("mean-psnr", "psnr-of-mean-mse")

every_curve = pytest.mark.parametrize(
    "curve",
    [curve for rule in RULES for curve in published_curves(rule)],
    ids=lambda curve: f"{curve.system} {curve.averaging}",
)


def curve(*points: tuple[float, float], label: str = "x") -> Curve:
    bpp, psnr = zip(*points, strict=True)
    return Curve(label, label, bpp, psnr, None, "mean-psnr", True, "learned", "here", False)


RISING = ((0.1, 28.0), (0.25, 31.0), (0.5, 34.0), (1.0, 37.5), (2.0, 42.0))


@every_curve
def test_a_published_curve_says_what_it_is(curve: Curve) -> None:
    assert curve.published
    assert curve.averaging in RULES
    assert curve.kind in {"classical", "learned", "overfitted"}
    assert "@" in curve.source or "20" in curve.source, "a commit, or a paper with its year"
    assert list(curve.bpp) == sorted(set(curve.bpp))
    assert list(curve.psnr) == sorted(set(curve.psnr))
    assert all(10 < value < 60 for value in curve.psnr)
    assert curve.ms_ssim is None or all(0 < value < 1 for value in curve.ms_ssim)


def test_the_systems_asked_for_are_there() -> None:
    systems = {curve.system for curve in published_curves()}
    assert systems >= {"vtm", "vtm-18.0", "vtm-19.1", "hm", "bpg-444", "av1", "webp", "jpeg"}
    assert systems >= {"jpeg2000", "bmshj2018-hyperprior", "cheng2020-anchor", "elic", "mlic++"}
    assert systems >= {"cool-chic-3.0", "cool-chic-4.2-hop", "cool-chic-5.0.1-hop", "c3", "moric"}
    assert systems >= {"cool-chic-5.0.1-mop-2000", "c3-adaptive", "qarv", "recombiner", "vc-inr"}
    assert systems >= {f"lotterycodec-{macs}" for macs in (1200, 2050, 5100)}
    assert systems >= {"mscn", "struempler-basic", "struempler-meta", "coin", "coin++"}


def test_estimated_rates_are_marked() -> None:
    real = {curve.system: curve.real_files for curve in published_curves()}
    assert real["vtm"]
    assert real["cool-chic-4.2-hop"]
    assert not real["cool-chic-5.0.1-hop"]
    assert not real["c3"]
    assert not real["coin"]


@pytest.mark.parametrize("system", ["cool-chic-4.2-hop", "cool-chic-5.0.1-mop-2000"])
def test_the_averages_are_those_of_the_images(system: str) -> None:
    images = per_image(system).values()
    assert len(images) == 24
    for place, mean in enumerate(published_curve(system).psnr):
        assert sum(image.psnr[place] for image in images) / 24 == pytest.approx(mean, abs=1e-3)
    for place, mean in enumerate(published_curve(system, "psnr-of-mean-mse").psnr):
        mse = sum(10 ** (-image.psnr[place] / 10) for image in images) / 24
        assert -10 * math.log10(mse) == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize(
    ("system", "anchor", "percent"),
    [
        ("vtm-19.1", "bpg-444", -20.4),
        ("cool-chic-5.0.1-hop", "bpg-444", -25.4),
        ("cool-chic-4.2-hop", "bpg-444", -19.7),
        ("cool-chic-5.0.1-mop-2000", "bpg-444", -9.7),
        ("elic", "bpg-444", -26.6),
        ("mlic++", "bpg-444", -33.0),
        ("c3", "bpg-444", -16.3),
        ("lotterycodec-5100", "bpg-444", -19.9),
        ("av1", "bpg-444", -6.2),
        ("webp", "bpg-444", 44.2),
        ("coin", "bpg-444", 318.0),
        ("cool-chic-5.0.1-hop", "vtm-19.1", -6.8),
        ("coin", "jpeg", 5.7),
        # Stated by the authors of LotteryCodec, and for C3 by those of MoRIC (table 10).
        ("lotterycodec-5100", "vtm-19.1", -0.66),
        ("c3", "vtm-19.1", 4.75),
    ],
)
def test_bd_rates_of_published_curves_come_out_as_stated(
    system: str, anchor: str, percent: float
) -> None:
    delta = bd_rate(published_curve(anchor), published_curve(system))
    assert delta.value == pytest.approx(percent, abs=0.5)


def test_the_averaging_rule_moves_the_result_so_rules_are_never_mixed() -> None:
    vtm = published_curve("vtm-19.1")
    other = published_curve("cool-chic-5.0.1-hop", "psnr-of-mean-mse")
    with pytest.raises(NoDeltaError, match=r"mean-psnr.*psnr-of-mean-mse.*one rule"):
        bd_rate(vtm, other)
    with pytest.raises(NoDeltaError):
        bd_psnr(vtm, other)
    wrong = bd_rate(vtm, replace(other, averaging="mean-psnr")).value
    assert wrong - bd_rate(vtm, published_curve("cool-chic-5.0.1-hop")).value > 5


def test_a_curve_against_itself_is_zero() -> None:
    assert bd_rate(curve(*RISING), curve(*RISING)).value == pytest.approx(0, abs=1e-9)
    assert bd_psnr(curve(*RISING), curve(*RISING)).value == pytest.approx(0, abs=1e-9)


def test_half_the_rate_is_minus_fifty_percent_and_the_range_is_told() -> None:
    half = curve(*((bpp / 2, psnr) for bpp, psnr in RISING))
    delta = bd_rate(curve(*RISING), half)
    assert delta.value == pytest.approx(-50)
    assert (delta.low, delta.high) == (28.0, 42.0)
    better = bd_psnr(curve(*RISING), curve(*((bpp, psnr + 1.5) for bpp, psnr in RISING)))
    assert better.value == pytest.approx(1.5)
    assert (better.low, better.high) == (0.1, 2.0)


def test_the_common_range_is_what_both_reach() -> None:
    delta = bd_rate(published_curve("bpg-444"), published_curve("coin"))
    assert (delta.low, delta.high) == (26.1951, 30.644)


def test_swapping_anchor_and_test_gives_the_reciprocal() -> None:
    vtm, webp = published_curve("vtm"), published_curve("webp")
    there, back = bd_rate(vtm, webp).value, bd_rate(webp, vtm).value
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)
    assert bd_psnr(vtm, webp).value == pytest.approx(-bd_psnr(webp, vtm).value)


def test_too_few_points_and_ranges_apart_are_refused_in_one_line() -> None:
    with pytest.raises(NoDeltaError, match=r"^few has 3 usable points; .* needs 4") as few:
        bd_rate(curve(*RISING), curve(*RISING[:3], label="few"))
    high = curve(*((bpp, psnr + 20) for bpp, psnr in RISING), label="high")
    with pytest.raises(NoDeltaError, match=r"28 to 42 dB.*48 to 62 dB.*no range of PSNR") as apart:
        bd_rate(curve(*RISING), high)
    assert "\n" not in f"{few.value}{apart.value}"
    assert bd_psnr(curve(*RISING), high).value == pytest.approx(20)


def test_less_than_a_decibel_in_common_has_no_figure() -> None:
    """The curves touch: a figure over so little would be of single points."""
    ours = curve(*RISING, label="ours")
    for over, known in ((0.03, False), (0.99, False), (1.0, True)):
        above = curve(*((bpp, psnr + 14 - over) for bpp, psnr in RISING), label="above")
        below = curve(*((bpp * 20, psnr) for bpp, psnr in RISING), label="below")
        faster = curve(*((bpp * 20 ** (1 - over / 14), psnr) for bpp, psnr in RISING))
        if known:
            assert bd_rate(ours, above).high - bd_rate(ours, above).low == pytest.approx(over)
            continue
        with pytest.raises(NoDeltaError, match=rf"^ours and above .*{42 - over:.2f} to 42.00 dB"):
            bd_rate(ours, above)
        assert isinstance(matrix([ours, above])[0][1], str)
        with pytest.raises(NoDeltaError, match="no range of rate"):
            bd_psnr(ours, below)
        with pytest.raises(NoDeltaError, match=r"bpp, 0.\d\d dB, in common; .* needs 1 dB"):
            bd_psnr(ours, faster)


def test_points_that_another_beats_are_left_out_and_named() -> None:
    bent = curve(*RISING[:3], (0.7, 33.0), *RISING[3:], (3.0, math.inf), label="bent")
    delta = bd_rate(curve(*RISING), bent)
    assert delta.value == pytest.approx(0, abs=1e-9)
    assert [note.split(" dB")[0] for note in delta.notes] == [
        "bent: left out 0.7 bpp, 33.00",
        "bent: left out 3 bpp, inf",
    ]


def test_a_matrix_has_every_pair() -> None:
    curves = [curve(*RISING), curve(*RISING[:3], label="few"), curve(*RISING, label="y")]
    table = matrix(curves)
    assert [len(row) for row in table] == [3, 3, 3]
    assert "few has 3 usable points" in str(table[0][1])
    there = table[0][2]
    assert not isinstance(there, str)
    assert there.value == pytest.approx(0, abs=1e-9)


def test_the_mean_over_images_is_the_mean_of_their_deltas() -> None:
    ours = {"a": curve(*RISING), "b": curve(*RISING), "c": curve(*RISING[:3]), "d": curve(*RISING)}
    half, double = ([(bpp * by, psnr) for bpp, psnr in RISING] for by in (0.5, 2))
    theirs = {"a": curve(*half), "b": curve(*double), "c": curve(*RISING)}
    mean = mean_of_images(ours, theirs)
    assert mean.value == pytest.approx((-50 + 100) / 2)
    assert (mean.low, mean.high) == (28, 42)
    assert list(mean.images) == ["a", "b"]
    assert [note.split(":")[0] for note in mean.notes] == ["d", "c"]
    with pytest.raises(NoDeltaError, match="no image has a delta"):
        mean_of_images({"a": curve(*RISING)}, {"b": curve(*RISING)})


def test_cool_chic_4_to_5_image_by_image() -> None:
    mean = mean_of_images(per_image("cool-chic-4.2-hop"), per_image("cool-chic-5.0.1-hop"))
    values = [delta.value for delta in mean.images.values()]
    assert (len(values), mean.notes) == (24, ())
    assert (max(values), min(values)) == pytest.approx((-2.7, -10.3), abs=0.05)
    assert mean.value == pytest.approx(-7.0, abs=0.5)


def row(setting: float, image: str, bpp: float, mse: float, failed: str | None = None) -> Row:
    psnr = 10 * math.log10(65025 / mse) if mse else math.inf
    return Row("c", "f", setting, image, 8, 8, 1, bpp, psnr, mse, None, 1.0, 0.5, failed=failed)


def test_measured_curves_by_both_rules() -> None:
    rows = [
        row(2, "a", 1.0, 4.0),
        row(2, "b", 2.0, 16.0),
        row(1, "b", 0.6, 64),
        row(1, "a", 0.4, 9),
    ]
    (by_psnr,), notes = measured_curves(rows, "mean-psnr")
    (by_mse,), _ = measured_curves(rows, "psnr-of-mean-mse")
    assert notes == []
    assert by_psnr.bpp == by_mse.bpp == (0.5, 1.5)
    assert by_psnr.psnr[1] == pytest.approx(10 * math.log10(65025 / math.sqrt(4 * 16)))
    assert by_mse.psnr[1] == pytest.approx(10 * math.log10(65025 / 10))
    assert (by_psnr.system, by_psnr.kind, by_psnr.published) == ("c", "f", False)


def test_a_setting_without_all_images_is_left_out_and_named() -> None:
    rows = [row(setting, image, setting, 9.0) for setting in (1, 2, 3) for image in "ab"]
    rows[1] = row(1, "b", 1.0, 9.0, failed="does not decode")
    (left,), notes = measured_curves(rows[:-1], "mean-psnr")
    assert left.bpp == (2.0,)
    assert notes == ["c at 1 left out: b failed", "c at 3 left out: b missing"]
    assert measured_curves(rows, "mean-psnr", images=["a"])[0][0].bpp == (1.0, 2.0, 3.0)
    assert measured_images(rows, "c")["b"].bpp == (2.0, 3.0)


def test_unknown_systems_and_rules_are_refused() -> None:
    with pytest.raises(LookupError, match="no published curve of 'vvc'"):
        published_curve("vvc")
    with pytest.raises(LookupError, match="known: cool-chic"):
        per_image("vtm")
    with pytest.raises(ValueError, match="none of mean-psnr"):
        published_curves("median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not sorted"):
        curve(*reversed(RISING))
