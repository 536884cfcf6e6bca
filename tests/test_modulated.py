"""Checks modulated fields: their base, what codes their latents, their patches, their fits."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import inrcodec
from inrcodec.cli import main
from inrcodec.coding.base_format import Base, unpack_base
from inrcodec.coding.bases import load_base
from inrcodec.coding.patch_contexts import seen
from inrcodec.coding.patch_latents import estimated_bits, pack_patches, unpack_patches
from inrcodec.coding.tensors import pack_tensors, unpack_tensors
from inrcodec.errors import (
    CorruptError,
    ExitCode,
    InrcodecError,
    MissingBaseError,
    TargetMissedError,
    UnsupportedError,
    UsageError,
)
from inrcodec.fields.modulated import ModulatedSpec, Patches, causal_neighbours
from inrcodec.fitting.base_run import train_base
from inrcodec.fitting.base_start import Plan
from inrcodec.fitting.modulated_model import Windows
from inrcodec.fitting.modulated_rate import Contexts, bits, octaves
from inrcodec.fitting.settings import Settings
from inrcodec.query.quality import psnr

TINY = Path(__file__).parent / "golden" / "bases"
PLAN = Plan(patch=8, margin=3, units=40, hidden=4, groups=(3, 5, 16), crop=32, warm=8, steps=16)


def trained(pictures: list[np.ndarray], plan: Plan, output: Path) -> bytes:
    said: list[str] = []
    return train_base(pictures, plan, output, {"about": "a test"}, said.append)


@pytest.fixture(scope="module")
def folder(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a base is, after a training of a moment."""
    path = tmp_path_factory.mktemp("bases")
    trained([photo], PLAN, path / "moment.safetensors")
    return path


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The base of a moment, which is the only one of the user."""
    monkeypatch.setenv("INRCODEC_BASES", str(folder))
    return load_base(folder / "moment.safetensors")


@pytest.fixture
def coded(photo: np.ndarray, own: Base) -> bytes:
    return inrcodec.encode(photo, kind="modulated", base=own.name, effort=2)


# --- the field -----------------------------------------------------------------------------------


@given(st.integers(2, 40), st.data())
def test_weights_of_patches_add_up_to_one(patch: int, data: st.DataObject) -> None:
    patches = Patches(patch, data.draw(st.integers(1, patch // 2)))
    count = data.draw(st.integers(1, 4))
    places = np.linspace(-3, count * patch + 3, 50) - 0.5
    total, slope = np.zeros(50), np.zeros(50)
    for number in range(count):
        away = places - (number * patch + patch / 2 - 0.5)
        ends = number == 0, number == count - 1
        total += patches.weight(away, *ends, np)
        slope += patches.slope(away, *ends, np)
    np.testing.assert_allclose(total, 1, atol=1e-12)
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_a_picture_comes_back(photo: np.ndarray, coded: bytes, own: Base) -> None:
    signal, view = inrcodec.decode(coded), inrcodec.open(coded)
    assert psnr(inrcodec.codec.as_signal(photo), signal) > 25
    track = inrcodec.info(coded)["tracks"][0]
    assert (track["kind"], track["base"], track["parameters"]) == ("modulated", own.short, 0)
    rows, columns = np.mgrid[0:48, 0:40]
    points = np.stack([rows.ravel(), columns.ravel()], axis=-1).astype(float)
    asked = np.clip(np.floor(view.at(points) + 0.5), 0, 255).reshape(48, 40, 3)
    assert (asked != signal.samples).mean() < 1e-3


@pytest.mark.parametrize("size", [(48, 40), (96, 80), (61, 33), (20, 90), (200, 200)])
def test_a_crop_is_the_crop_of_the_whole(coded: bytes, size: tuple[int, int]) -> None:
    view = inrcodec.open(coded)
    whole = view.resize(size)
    for top, left in itertools.product((0, 7, 19), (0, 13, 30)):
        window = [(top, min(top + 9, size[0])), (left, min(left + 4, size[1]))]
        part = view.resize(size, window)
        assert (part == whole[top : top + 9, left : left + 4]).all()
        # Of another view, whose caches are empty.
        assert (inrcodec.open(coded).resize(size, window) == part).all()


def test_a_field_is_smooth_and_its_gradient_its_slope(coded: bytes) -> None:
    view = inrcodec.open(coded)
    generator = np.random.default_rng(1)
    points = generator.uniform(1, 38, (200, 2))
    points[:100, 0] = (1 + np.arange(100) % 4) * 8 - 0.5 + 3 * (np.arange(100) % 3 - 1)
    slope = view.gradient(points)
    for axis in range(2):
        step = np.zeros(2)
        step[axis] = 2.0**-5
        rise = (view.at(points + step).astype(float) - view.at(points - step)) / 2.0**-4
        np.testing.assert_allclose(slope[:, :, axis], rise, atol=0.25 + 0.02 * abs(slope).max())
    beyond = np.array([[-0.5, 3.0], [-40.0, 3.0]])
    assert (view.at(beyond)[0] == view.at(beyond)[1]).all()


def test_windows_are_laid_as_they_are_cut() -> None:
    """Each is the transpose of the other, with any number of axes."""
    make = torch.Generator().manual_seed(1)
    for lattice in ((13,), (9, 14), (4, 9, 7)):
        windows = Windows(lattice, Patches(4, 2))
        values = torch.randn(2, *lattice, generator=make)
        cut = windows.cut(values)
        other = torch.randn(cut.shape, generator=make)
        laid = windows.lay(other, 2)
        assert torch.allclose((cut * other).sum(), (values * laid).sum(), rtol=1e-4)
        ones = windows.lay(torch.ones_like(cut), 2)
        assert torch.allclose(ones, torch.ones_like(ones))


# --- latents -------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["tiny", "tiny_row"]), st.integers(0, 255), st.integers(0, 99), st.data())
def test_latents_come_back(name: str, step: int, seed: int, data: st.DataObject) -> None:
    base = load_base(TINY / f"{name}.safetensors")
    lattice = tuple(data.draw(st.integers(1, 40)) for _ in range(base.axes))
    described = (base.short, base.patches.patch, base.patches.margin, base.dimensions, base.units)
    spec = ModulatedSpec(lattice, base.outputs, *described, step)
    generator = np.random.default_rng(seed)
    shape = (*spec.grid, spec.dimensions)
    latents = np.rint(generator.laplace(0, 2.0 ** (seed % 14), shape)).clip(-32767, 32767)
    latents = latents.astype(np.int32) * generator.integers(0, 2, spec.dimensions)
    payload = pack_patches(spec, base.network, latents)
    assert (unpack_patches(spec, base.network, payload, "test") == latents).all()
    for broken in (payload[:-1], payload[:-1] + b"\1", bytes([2]) + payload[1:]):
        if broken != payload:
            try:
                found = unpack_patches(spec, base.network, broken, "test")
            except CorruptError:
                continue
            assert found.shape == latents.shape


def test_contexts_are_the_same_in_training_and_in_a_file() -> None:
    """Means and scales of the integers are those of the floats, but for rounding."""
    arrays, _ = unpack_tensors((TINY / "tiny.safetensors").read_bytes(), "tiny")
    base, groups = load_base(TINY / "tiny.safetensors"), (2, 3)
    contexts = Contexts(groups, 2)
    with torch.no_grad():
        contexts.mean.copy_(torch.from_numpy(arrays["mean"].astype(np.float32)) / 2**10)
        for number in range(2):
            first = torch.from_numpy(arrays[f"group{number}_first"].astype(np.float32)) / 2**10
            first[:, -1] *= 2**2
            contexts.first[number] = torch.nn.Parameter(first)
            bias = torch.from_numpy(arrays[f"group{number}_bias"].astype(np.float32)) / 2**13
            contexts.biases[number] = torch.nn.Parameter(bias)
            second = arrays[f"group{number}_second"].astype(np.float32) / 2**10
            contexts.second[number] = torch.nn.Parameter(torch.from_numpy(second))
    spec = ModulatedSpec((40, 50), 3, base.short, 6, 2, 5, 7, 150)
    latents = np.rint(np.random.default_rng(2).laplace(0, 3, (*spec.grid, 5))).astype(np.int32)
    mean, scale = estimated_bits(spec, base.network, latents.reshape(-1, 5))
    floats = contexts(torch.from_numpy(latents.astype(np.float32)), (150 - 128) / 32)
    coarse = np.log2(scale) >= 2
    np.testing.assert_allclose(mean[~coarse], floats[0].reshape(-1, 5).detach()[~coarse], atol=0.02)
    wanted = floats[1].reshape(-1, 5).detach().clamp(-5, 7)
    np.testing.assert_allclose(np.log2(scale), wanted, atol=0.09)


def test_magnitudes_look_the_same_in_training_and_in_a_file() -> None:
    values = np.arange(0, 4096)
    floats = octaves(torch.from_numpy(values.astype(np.float32))) * 8
    assert (seen(values) == floats.numpy()).all()
    assert causal_neighbours(2) == ((-1, -1), (-1, 0), (-1, 1), (0, -1))


def test_bits_of_all_integers_are_a_distribution() -> None:
    values = torch.arange(-400, 401, dtype=torch.float32)
    for scale in (-3.0, 0.0, 4.0):
        cost = bits(values, torch.tensor(0.3), torch.tensor(scale))
        assert abs(float((2.0**-cost).sum()) - 1) < 1e-3


# --- fits ----------------------------------------------------------------------------------------


def test_targets_are_met(photo: np.ndarray, own: Base) -> None:
    signal = inrcodec.codec.as_signal(photo)
    small = inrcodec.encode(photo, kind="modulated", target_size=400)
    assert 300 < len(small) <= 400
    asked = inrcodec.encode(photo, kind="modulated", psnr=24)
    assert abs(psnr(signal, inrcodec.decode(asked)) - 24) < 0.3
    with pytest.raises(TargetMissedError):
        inrcodec.encode(photo, kind="modulated", psnr=80)


@pytest.mark.parametrize("target", [{"target_size": 700}, {"psnr": 18.0}, {"quality": 40.0}])
def test_an_interrupt_gives_what_was_tried(
    photo: np.ndarray, own: Base, target: dict[str, float]
) -> None:
    told: list[str] = []

    def progress(stage: str, share: float, psnr: float) -> None:
        told.append(stage)
        if told.count("fit") == 2 and stage == "fit":
            raise KeyboardInterrupt

    asked = Settings(kind="modulated", effort=9, **target)  # type: ignore[arg-type]
    made = inrcodec.codec.encode_signal(inrcodec.codec.as_signal(photo), asked, progress)
    assert made.interrupted
    assert inrcodec.decode(made.data).samples.shape == photo.shape


def test_more_quality_and_more_effort_are_better(photo: np.ndarray, own: Base) -> None:
    signal = inrcodec.codec.as_signal(photo)

    def cost(quality: float, effort: int) -> tuple[int, float]:
        data = inrcodec.encode(photo, kind="modulated", quality=quality, effort=effort)
        return len(data), psnr(signal, inrcodec.decode(data))

    assert cost(30, 2) < cost(50, 2) < cost(70, 2)
    weight = 1e-2 * 2.0 ** (-50 / 12.5)
    losses = [10 ** (-d / 10) + weight * 8 * size / 1920 for size, d in (cost(50, 1), cost(50, 7))]
    assert losses[1] < losses[0]


def test_grey_alpha_and_floats(photo: np.ndarray, own: Base) -> None:
    grey = inrcodec.codec.as_signal(photo[..., 1])
    assert psnr(grey, inrcodec.decode(inrcodec.encode(grey, kind="modulated"))) > 20
    both = np.concatenate([photo, photo[..., :1]], axis=-1)
    assert inrcodec.decode(inrcodec.encode(both, kind="modulated")).samples.shape == both.shape
    holes = photo.astype(np.float32)
    holes[4:9, 5:20] = np.nan
    found = inrcodec.decode(inrcodec.encode(holes, kind="modulated", axes="yx")).samples
    assert (np.isnan(found) == np.isnan(holes)).all()


@pytest.mark.parametrize(
    "how", [{"net": "3x4"}, {"max_error": 1}, {"tune": "ms-ssim"}, {"base": "none"}, {"steps": 3}]
)
def test_what_it_cannot_do_is_refused(photo: np.ndarray, own: Base, how: dict) -> None:
    with pytest.raises(UsageError):
        inrcodec.encode(photo, kind="modulated", **how)
    with pytest.raises(UsageError, match="1 axes"):
        inrcodec.encode(np.arange(50.0), kind="modulated", axes="x")


# --- bases ---------------------------------------------------------------------------------------


def test_a_missing_base_is_named(
    coded: bytes,
    own: Base,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INRCODEC_BASES", str(tmp_path / "user"))
    file = tmp_path / "a.inrc"
    file.write_bytes(coded)
    with pytest.raises(MissingBaseError) as caught:
        inrcodec.decode(file)
    assert caught.value.base == own.digest[:16]
    assert main(["decode", str(file), str(tmp_path / "a.png")]) == ExitCode.MISSING_BASE
    assert own.short in capsys.readouterr().err
    assert inrcodec.info(file)["tracks"][0]["base"] == own.short
    source = tmp_path / "moment.safetensors"
    source.write_bytes((folder / "moment.safetensors").read_bytes())
    assert main(["base", "add", str(source)]) == ExitCode.OK
    assert inrcodec.decode(file).samples.any()
    assert main(["base", "list", "--json"]) == ExitCode.OK
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[:1] == "{"]
    assert own.digest in {each["sha256"] for each in listed}
    assert main(["base", "info", own.short]) == ExitCode.OK
    assert "a test" in capsys.readouterr().out


def test_a_base_that_is_none_is_refused(tmp_path: Path) -> None:
    data = (TINY / "tiny.safetensors").read_bytes()
    arrays, words = unpack_tensors(data, "tiny")
    assert pack_tensors(arrays, words) == data

    def changed(name: str, value: object) -> bytes:
        return pack_tensors({**arrays, name: np.asarray(value, arrays[name].dtype)}, words)

    broken = {
        "cut": data[:-1],
        "longer": data + b"\0",
        "a pickle": pickle.dumps({"weights": list(range(100))}),
        "nothing": b"",
        "no number": changed("read", arrays["read"] * np.nan),
        "other shape": changed("shift", arrays["shift"][:-1]),
        "too large": changed("group1_bias", np.full_like(arrays["group1_bias"], 2**31 - 1)),
        "other kind": pack_tensors(arrays, {**words, "format": "model"}),
        "no shape": pack_tensors(arrays, {**words, "shape": "{}"}),
        "array less": pack_tensors({k: v for k, v in arrays.items() if k != "mean"}, words),
        "patch of 0": pack_tensors(
            arrays, {**words, "shape": words["shape"].replace('"patch": 6', '"patch": 0')}
        ),
    }
    for name, bytes_ in broken.items():
        path = tmp_path / "broken.safetensors"
        path.write_bytes(bytes_)
        with pytest.raises(CorruptError, match="broken"):
            load_base(path)
        assert main(["base", "add", str(path)]) == ExitCode.DAMAGED, name
    with pytest.raises(UnsupportedError, match="version 2"):
        unpack_base(pack_tensors(arrays, {**words, "version": "2"}), "newer")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_base_is_an_error_or_another_base(data: st.DataObject) -> None:
    whole = (TINY / "tiny_row.safetensors").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    other = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
    try:
        base = unpack_base(other, "damaged")
    except InrcodecError:
        return
    assert (base.digest == unpack_base(whole, "whole").digest) == (other == whole)


def test_training_is_the_same_twice_and_goes_on_where_it_was(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, groups=(2, 3), units=8, crop=16, warm=2, steps=6)
    monkeypatch.setattr("inrcodec.fitting.base_run.CHECKPOINT", 2)
    monkeypatch.setattr("inrcodec.fitting.base_training.REFRESH", 2)
    whole = trained([photo], plan, tmp_path / "a.safetensors")
    assert whole != trained([photo], replace(plan, seed=1), tmp_path / "b.safetensors")
    assert whole != trained([photo], replace(plan, first_order=True), tmp_path / "c.safetensors")

    def stopped(text: str) -> None:
        if text.startswith("step 4 "):
            raise KeyboardInterrupt

    output = tmp_path / "d.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_base([photo], plan, output, {"about": "a test"}, stopped)
    assert not output.exists()
    with pytest.raises(UsageError, match="another training"):
        train_base([photo], replace(plan, seed=2), output, {}, stopped)
    assert trained([photo], plan, output) == whole
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".safetensors"] * 4


def test_a_broken_picture_is_left_out(
    photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(photo).save(data / "good.png")
    (data / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    output = tmp_path / "made.safetensors"
    small = ["--units", "8", "--groups", "2,3", "--crop", "16", "--steps", "2", "--patch", "8"]
    command = ["base", "train", str(data), "-o", str(output), *small]
    assert main(command) == ExitCode.OK
    told = capsys.readouterr()
    assert "left out" in told.err
    assert "bad.png" in told.err
    assert load_base(output).digest in told.out
    assert main(command) == ExitCode.EXISTS
    (data / "good.png").unlink()
    assert main([*command, "-f"]) == ExitCode.CANNOT_READ


def test_processes_train_one_base_together(photo: np.ndarray, tmp_path: Path) -> None:
    """Under torchrun each has crops of its own, and the first writes the base."""
    Image.fromarray(photo).save(tmp_path / "a.png")
    output = tmp_path / "both.safetensors"
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "inrcodec"]
    small = ["--units", "8", "--groups", "2,3", "--crop", "16", "--steps", "3", "--patch", "8"]
    command = ["base", "train", str(tmp_path / "a.png"), "-o", str(output), *small]
    done = subprocess.run([*run, *command], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sha256") == 1
    alone = tmp_path / "alone.safetensors"
    assert main([*command[:4], str(alone), *small]) == ExitCode.OK
    assert load_base(output).digest != load_base(alone).digest


def test_the_shipped_base_is_what_its_card_says() -> None:
    folder = Path(inrcodec.__file__).parent / "coding" / "trained_bases"
    shipped = list(folder.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in shipped) <= 8_000_000
    for path in shipped:
        base = load_base(path)
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert base.digest in card
        assert base.words["licence"] in card
