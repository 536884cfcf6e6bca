"""Checks the GPU's kernels against the CPU's: on a GPU, or, by test_gpu.py, in the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("triton")

import torch

import inrcodec
from inrcodec.errors import DeviceError, LimitError
from inrcodec.fields.field import Field
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.gpu import points, pyramids, render, sirens
from inrcodec.query.gpu.device import interpreted
from inrcodec.query.gpu.sirens import Output
from inrcodec.query.kernels import pyramid, reference
from inrcodec.query.view import SignalView

REQUIRED = os.environ.get("INRCODEC_REQUIRE_CUDA") == "1"
GOLDEN = sorted((Path(__file__).parent / "golden/v1").glob("*.inrc"))

MakeView = Callable[..., SignalView]


@pytest.fixture(scope="module", autouse=True)
def device() -> torch.device:
    if interpreted():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if REQUIRED:
        pytest.fail("INRCODEC_REQUIRE_CUDA=1, and torch finds no GPU")
    pytest.skip("no GPU; test_gpu.py runs these in Triton's interpreter")


def random_siren(spec: SirenSpec, seed: int) -> np.ndarray:
    """Parameters as trained networks have them: arguments of a few units."""
    generator = np.random.default_rng(seed)
    parts = []
    for tensor in spec.tensors():
        layer, fan_in = (
            int(tensor.name[6:] if tensor.role == "weight" else tensor.name[4:]),
            tensor.shape[-1],
        )
        hidden = np.sqrt(6 / fan_in) / spec.omega_0
        reach = 0.5 / spec.width if layer == spec.depth else 1 / fan_in if layer == 0 else hidden
        parts.append(generator.uniform(-reach, reach, tensor.size))
    return np.concatenate(parts).astype(np.float32)


def siren_fields(spec: SirenSpec, flat: np.ndarray) -> list[Field]:
    from inrcodec.query.gpu.ops import fields

    return fields(spec, torch.from_numpy(flat))


def unit_scales(count: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    pair = {torch.uint8: (255.0, 0.5), torch.uint16: (65535.0, 0.5)}.get(dtype, (1.0, 0.0))
    return torch.tensor([pair] * count, device=device)


SIRENS = [
    (SirenSpec(2, 3, 4, 28), (3, 130), 2, torch.uint8, True, True),
    (SirenSpec(2, 3, 2, 9), (2, 7), 3, torch.uint8, False, False),
    (SirenSpec(1, 2, 3, 33), (300,), 1, torch.float32, True, True),
    (SirenSpec(3, 1, 1, 20), (2, 3, 40), 2, torch.uint16, False, True),
    (SirenSpec(4, 5, 2, 16, 10.0), (2, 2, 3, 5), 2, torch.float16, False, False),
    (SirenSpec(2, 3, 14, 32), (2, 12), 1, torch.float32, True, True),
    (SirenSpec(2, 1, 3, 70), (1, 5), 1, torch.float32, False, True),
]


@pytest.mark.parametrize(
    ("spec", "size", "count", "dtype", "planar", "fast"), SIRENS, ids=lambda value: str(value)[:40]
)
def test_sirens_have_the_values_of_the_reference(
    device: torch.device,
    spec: SirenSpec,
    size: tuple[int, ...],
    count: int,
    dtype: torch.dtype,
    planar: bool,
    fast: bool,
) -> None:
    flat = np.stack([random_siren(spec, seed) for seed in range(count)])
    # Every field has coordinates of its own.
    axes = [[np.linspace(-1, 1 - seed / 8, n) for n in size] for seed in range(count)]
    tables = np.stack([np.concatenate(own) for own in axes]).astype(np.float32)
    grids = [np.stack(np.meshgrid(*own, indexing="ij"), axis=-1) for own in axes]
    points = np.stack(grids).reshape(count, -1, len(size)).astype(np.float32)
    meant = np.stack(
        [
            reference.evaluate(field, own)
            for field, own in zip(siren_fields(spec, flat), points, strict=True)
        ]
    )
    parameters = torch.from_numpy(flat).to(device)
    output = Output(unit_scales(count, dtype, device), dtype, planar)
    found = sirens.on_lattice(
        spec, parameters, torch.from_numpy(tables).to(device), size, output, fast
    )
    also = sirens.at_points(spec, parameters, torch.from_numpy(points).to(device), output, fast)
    tail = (spec.outputs, *size) if planar else (*size, spec.outputs)
    assert found.shape == (count, *tail)
    assert found.dtype == also.dtype == dtype
    scale, shift = unit_scales(1, dtype, torch.device("cpu"))[0].tolist()
    if dtype in sirens.INTEGERS:
        meant = np.floor(np.clip(meant, 0, 1) * scale + shift)
    for values in (found.reshape(also.shape), also):
        own = values.cpu().numpy().astype(np.float64)
        error = np.abs((own.swapaxes(1, 2) if planar else own) - meant)
        close = 4e-3 if fast else 5e-4 if dtype == torch.float16 else 1e-5
        assert error.max() <= (1 if dtype == torch.uint8 else close * scale)
        # 65 dB
        assert np.sqrt(np.mean(error**2)) < scale * (2e-3 if dtype == torch.uint8 else 5.6e-4)


def test_the_polynomial_is_a_sine(device: torch.device) -> None:
    spec = SirenSpec(1, 1, 1, 1, 1.0)
    where = np.random.default_rng(0).uniform(-1e4, 1e4, (1, 3000, 1)).astype(np.float32)
    flat = torch.tensor([[1.0, 0.0, 1.0, -0.5]], device=device)
    output = Output(unit_scales(1, torch.float32, device), torch.float32)
    found = sirens.at_points(spec, flat, torch.from_numpy(where).to(device), output, False)
    assert np.abs(found.cpu().numpy() - np.sin(where.astype(np.float64))).max() < 1e-6


class Planes:
    """Latents that are known."""

    def __init__(self, planes: Sequence[np.ndarray]) -> None:
        self.planes = planes

    def read(self, level: int, window: Sequence[tuple[int, int]]) -> np.ndarray:
        return self.planes[level][tuple(slice(*bounds) for bounds in window)]


PYRAMIDS = [
    (PyramidSpec((19, 30), 3, 4, (8,), (6,), 2), ((0, 19), (0, 30)), torch.float32, True),
    (PyramidSpec((27, 29), 3, 3, (8,), (4,), 1), ((5, 20), (11, 29)), torch.uint8, False),
    (PyramidSpec((9, 12, 10), 1, 3, (8,), (5,), 1), ((0, 9), (2, 7), (0, 10)), torch.uint16, True),
    (PyramidSpec((50,), 2, 5, (8,), (), 0), ((3, 44),), torch.float16, False),
    (PyramidSpec((3, 20, 22), 2, 3, (8,), (5,), 2, kept=1), ((1, 3), (0, 9), (4, 22)),
     torch.uint8, True),
    (PyramidSpec((4, 3, 5, 6), 1, 2, (8,), (3,), 1), ((0, 4), (0, 3), (1, 5), (2, 6)),
     torch.float32, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "window", "dtype", "planar"), PYRAMIDS, ids=lambda value: str(value)[:40]
)
def test_pyramids_have_the_bits_of_the_reference(
    device: torch.device,
    spec: PyramidSpec,
    window: Sequence[tuple[int, int]],
    dtype: torch.dtype,
    planar: bool,
) -> None:
    generator = np.random.default_rng(0)
    grids = [spec.grid(level) for level in range(spec.levels)]
    fields = [
        Field(
            spec,
            {t.name: generator.normal(0, 0.3, t.shape).astype(np.float32) for t in spec.tensors()},
            Planes([generator.integers(-4, 5, grid).astype(np.int32) for grid in grids]),
        )
        for _ in range(2)
    ]
    assert pyramids.fits(spec)
    needed = enumerate(pyramids.latents_needed(spec, window))
    latents = [
        render.sent([field.latents.read(level, near) for field in fields], device)
        for level, near in needed
    ]
    parameters = render.sent([render.flat(field) for field in fields], device)
    output = Output(unit_scales(2, dtype, device), dtype, planar)
    found = pyramids.render(spec, parameters, latents, window, output).cpu().numpy()
    meant = np.stack([pyramid.synthesise(field, window) for field in fields])
    scale, shift = (np.float32(x) for x in unit_scales(1, dtype, torch.device("cpu"))[0])
    if dtype in sirens.INTEGERS:
        meant = np.floor(np.clip(meant, 0, 1) * scale + shift)
    meant = meant.astype(found.dtype)
    np.testing.assert_array_equal(found, meant if planar else np.moveaxis(meant, 1, -1))


def agree(found: torch.Tensor, meant: np.ndarray, view: SignalView) -> None:
    """Samples of a pyramid are the same bits, those of a siren within one of 8 bits, at 65 dB."""
    own = found.cpu().numpy()
    assert own.dtype == meant.dtype
    assert own.shape == meant.shape
    if all(layer.field.spec.kind == "pyramid" for layer in view.layers):
        np.testing.assert_array_equal(own, meant)
    elif meant.size:
        low, high = view.info.value_range
        error = np.abs(own.astype(np.float64) - meant) / (high - low)
        assert np.nanmax(error, initial=0) <= 1.001 / 255
        assert np.sqrt(np.nanmean(error**2)) < 2e-3
        np.testing.assert_array_equal(np.isnan(own), np.isnan(meant))


def test_a_batch_of_all_golden_files(device: torch.device) -> None:
    batch(GOLDEN, lambda lattice: None, lambda lattice: [(n // 4, n) for n in lattice])


@pytest.mark.parametrize("scale", [0.5, 2])
def test_other_sizes(device: torch.device, scale: float) -> None:
    some = [GOLDEN[0].with_name(f"{name}.inrc") for name in ("float32", "rgba", "pyramid")]
    batch(some, lambda lattice: [round(n * scale) for n in lattice], lambda lattice: None)


def batch(paths: Sequence[Path], size: Callable[..., object], crop: Callable[..., object]) -> None:
    """Files of one lattice together, and what they are on the CPU."""
    by_shape: dict[tuple[int, ...], list[bytes]] = {}
    for path in paths:
        by_shape.setdefault(inrcodec.open(path).info.lattice, []).append(path.read_bytes())
    for lattice, files in by_shape.items():
        cells, window = size(lattice), crop(lattice)
        together = inrcodec.decode_batch(files, device="cuda", size=cells, crop=window)
        for found, data in zip(together, files, strict=True):
            view = inrcodec.open(data)
            agree(found, view.resize(cells or lattice, window), view)


def test_a_crop_is_the_crop_of_the_whole(device: torch.device) -> None:
    files = [path.read_bytes() for path in GOLDEN if path.stem in ("rgb", "pyramid_tiled")]
    for data in files:
        whole = inrcodec.decode_batch([data], device="cuda", planar=True)[0].cpu()
        part = inrcodec.decode_batch([data], device="cuda", planar=True, crop=[(1, 6), (2, 5)])[0]
        assert torch.equal(part.cpu(), whole[:, 1:6, 2:5])


def test_floats_are_values_in_the_unit_of_the_samples(device: torch.device) -> None:
    data = (GOLDEN[0].with_name("rgb.inrc")).read_bytes()
    on_gpu = inrcodec.decode_batch([data], device="cuda", dtype="float32")[0].cpu().numpy()
    on_cpu = inrcodec.decode_batch([data], dtype="float32")[0]
    assert on_gpu.dtype == on_cpu.dtype == np.float32
    assert np.abs(on_gpu - on_cpu).max() < 1
    whole = inrcodec.decode(data).samples
    assert np.abs(np.clip(on_cpu, 0, 255) - whole).max() <= 0.501


def test_points_of_many_views(device: torch.device, make_view: MakeView) -> None:
    views = [
        make_view((7, 9), nets=[(3, 3, 12), (1, 2, 20)]),
        make_view((7, 9), nets=[(3, 3, 12)], seed=3, dtype="uint16"),
        make_view((7, 9), nets=[(3, 0, 0)]),
        inrcodec.open(GOLDEN[0].with_name("pyramid.inrc")),
    ]
    points = np.random.default_rng(0).uniform(-1, 9, (len(views), 140, 2))
    together = inrcodec.query_many(views, points, device="cuda")
    for found, meant, view in zip(together, inrcodec.query_many(views, points), views, strict=True):
        low, high = view.info.value_range
        assert found.dtype == torch.float32
        error = np.abs(found.cpu().numpy() - meant) / (high - low)
        assert error.max() < 0.02
        assert np.sqrt(np.mean(error**2)) < 4e-3


def test_networks_that_no_kernel_takes_are_the_cpus() -> None:
    for width, usual, factors in (
        (8, False, ((200, False), (20_000, None), (np.nan, None))),
        (100, True, ((200, None), (np.nan, None))),
    ):
        spec = SirenSpec(2, 3, 2, width)
        (field,) = siren_fields(spec, random_siren(spec, 0)[None])
        assert render.route(field, 1.0) is usual
        weight = field.parameters["weight1"]
        for factor, kernel in factors:
            louder = dict(field.parameters, weight1=weight * np.float32(factor))
            assert render.route(Field(spec, louder), 1.0) is kernel


def test_more_than_kernels_can_count_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = GOLDEN[0].with_name("rgb.inrc").read_bytes()
    monkeypatch.setattr(render, "MAX_INDEX", 10)
    with pytest.raises(LimitError, match=r"^file 0: positions of one field on a GPU: "):
        inrcodec.decode_batch([data], device="cuda")
    monkeypatch.setattr(points, "MAX_INDEX", 10)
    with pytest.raises(LimitError, match="coordinates of one field on a GPU"):
        inrcodec.query_many([inrcodec.open(data)], np.zeros((6, 2)), device="cuda")


def test_too_little_memory_halves_the_launch(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (GOLDEN[0].with_name("rgb.inrc")).read_bytes()
    meant = inrcodec.decode_batch([data] * 3, device="cuda")
    launch, sizes, most = sirens.on_lattice, [], 1

    def scarce(spec: SirenSpec, parameters: torch.Tensor, *rest: object) -> torch.Tensor:
        sizes.append(len(parameters))
        if len(parameters) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 MiB. And so on")
        return launch(spec, parameters, *rest)

    monkeypatch.setattr(sirens, "on_lattice", scarce)
    found = inrcodec.decode_batch([data] * 3, device="cuda")
    assert sizes == [3, 1, 2, 1, 1]
    assert all(torch.equal(one, other) for one, other in zip(found, meant, strict=True))
    most = 0
    with pytest.raises(DeviceError, match="CUDA out of memory, for the samples of one field"):
        inrcodec.decode_batch([data] * 3, device="cuda")
