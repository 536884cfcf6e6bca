"""Checks what the GPU asks of a machine without one: kernels in the interpreter and as compiled,
operators, devices that are not there, batches on the CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import inrcodec
from inrcodec.errors import CorruptError, DeviceError, UsageError
from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.gpu.device import device, unusable
from inrcodec.query.view import SignalView

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden/v1"

MakeView = Callable[..., SignalView]


def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    # Triton chooses when it is imported: a process of its own, which leaves other tests alone.
    environment = {**os.environ, "TRITON_INTERPRET": "1", "INRCODEC_REQUIRE_CUDA": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/test_gpu_kernels.py"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.mark.usefixtures("_cache")
@pytest.mark.parametrize(
    ("spec", "fast", "longest", "sines"),
    [(SirenSpec(2, 3, 4, 64), True, 800, 128), (SirenSpec(2, 3, 10, 28), False, 1300, 0)],
    ids=["4x64", "10x28 in float32"],
)
def test_siren_kernels_for_sm_90(spec: SirenSpec, fast: bool, longest: int, sines: int) -> None:
    from bench import offline

    made = offline.siren(spec, fast=fast)
    assert made.spills == made.stack == 0
    assert made.tensor_core > 0
    # A slow sine alone takes thousands.
    assert made.loops[-1] <= longest
    assert made.instructions <= 2 * longest
    assert made.shared <= 227 * 1024
    assert sines <= made.mix["MUFU"] <= sines + 8


@pytest.mark.usefixtures("_cache")
def test_pyramid_kernels_for_sm_90() -> None:
    from bench import offline

    made = offline.pyramid(PyramidSpec((512, 768), 3, 7, (12, 12), (24,), 2))
    ceilings = {"doubled": 700, "pointwise": 1000, "residual": 1800}
    assert made.keys() == ceilings.keys()
    for name, kernel in made.items():
        assert kernel.spills == kernel.stack == 0, name
        assert kernel.instructions <= ceilings[name], name
        assert kernel.mix["FMUL"] >= 20, name
        # Nothing is fused, and nothing small becomes zero: the bits of the CPU.
        assert "FFMA" not in kernel.mix, name
        exact = [each for each in kernel.suffixed if each.startswith(("FMUL", "FADD"))]
        assert not [each for each in exact if "FTZ" in each], name


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:99999", "CUDA", ""])
def test_devices_of_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="choose cpu, cuda or cuda:N"):
        inrcodec.decode_batch([], device=name)
    with pytest.raises(UsageError, match="choose cpu, cuda or cuda:N"):
        inrcodec.query_many([], np.zeros((0, 2)), device=name)


def pretend(patch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    """One GPU of a compute capability."""
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "device_count", lambda: 1)
    patch.setattr(torch.cuda, "current_device", lambda: 0)
    patch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    properties = SimpleNamespace(multi_processor_count=7)
    patch.setattr(torch.cuda, "get_device_properties", lambda _: properties)


def test_no_driver_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"^device cuda: .*; use device='cpu'$"):
        inrcodec.decode_batch([], device="cuda")


def test_a_device_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (9, 0))
    with pytest.raises(DeviceError, match="device cuda:1: there are 1, counted from 0"):
        device("cuda:1")


def test_an_old_card_leaves_the_work_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (7, 5))
    with pytest.warns(RuntimeWarning, match="sm_75 is older than sm_80; the CPU computes"):
        assert not device("cuda").kernels


def test_without_triton_the_cpu_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    assert "inrcodec[gpu]" in unusable((9, 0))


def test_a_batch_on_the_cpu_is_what_files_are_alone() -> None:
    files = [GOLDEN / f"{name}.inrc" for name in ("rgb", "pyramid", "grey_alpha", "array_int16")]
    together = inrcodec.decode_batch([path.read_bytes() for path in files])
    for found, path in zip(together, files, strict=True):
        meant = inrcodec.decode(path).samples
        np.testing.assert_array_equal(found, meant)
        (planar,) = inrcodec.decode_batch([path], planar=True, dtype="float16")
        assert planar.dtype == np.float16
        assert planar.shape == (meant.shape[-1], *meant.shape[:-1])
    crop = [(1, 4), (2, 5)]
    (part,) = inrcodec.decode_batch([GOLDEN / "rgb.inrc"], size=(9, 9), crop=crop)
    whole = inrcodec.decode(GOLDEN / "rgb.inrc", size=(9, 9), crop=crop).samples
    np.testing.assert_array_equal(part, whole)
    assert inrcodec.decode_batch([]) == []


def test_a_damaged_file_of_a_batch_is_named() -> None:
    data = (GOLDEN / "rgb.inrc").read_bytes()
    damaged = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    with pytest.raises(CorruptError, match=r"^file 1: "):
        inrcodec.decode_batch([data, damaged, data])
    with pytest.raises(UsageError, match="float16 or float32"):
        inrcodec.decode_batch([data], dtype="uint8")
    with pytest.raises(UsageError, match=r"^file 0: crop"):
        inrcodec.decode_batch([data], crop=[(0, 10**6)])


def test_batches_on_the_cpu_load_neither_torch_nor_triton() -> None:
    code = (
        "import sys, inrcodec, numpy\n"
        f"view = inrcodec.open({str(GOLDEN / 'rgb.inrc')!r})\n"
        f"inrcodec.decode_batch([{str(GOLDEN / 'rgb.inrc')!r}])\n"
        "inrcodec.query_many([view], numpy.zeros((1, 2)))\n"
        "print(*sys.modules.keys() & {'torch', 'triton'})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_operators_are_seen_whole(make_view: MakeView) -> None:
    from inrcodec.query.gpu import ops, render

    view = make_view((5, 7), nets=[(3, 2, 6)])
    field, info = view.layers[0].field, view.layers[0].info
    parameters = torch.from_numpy(render.flat(field))[None]
    asked = render.prepared(view.layers[0], info.lattice, [(0, 5), (0, 7)], KERNELS, view.limits)
    tables = torch.from_numpy(asked.arrays[0])[None]
    scales = torch.tensor([[255.0, 0.5]])
    net = (2, 6, 3, 30.0, torch.uint8)
    found = ops.siren_lattice(parameters, tables, scales, [5, 7], *net)
    np.testing.assert_array_equal(found[0].numpy(), view.resize((5, 7)))
    points = torch.from_numpy(np.random.default_rng(0).random((1, 4, 2), np.float32))
    for operator, arguments in (
        (ops.siren_lattice, (parameters, tables, scales, [5, 7], *net)),
        (ops.siren_points, (parameters, points, scales, *net, True)),
    ):
        torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))

    class Asked(torch.nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return torch.ops.inrcodec.siren_points(parameters, points, scales, *net)

    exported = torch.export.export(Asked(), (points,))
    names = [str(node.target) for node in exported.graph.nodes]
    assert "inrcodec.siren_points.default" in names


def test_the_pyramid_operator() -> None:
    from inrcodec.query.gpu import ops, render

    view = inrcodec.open(GOLDEN / "pyramid.inrc")
    layer = view.layers[0]
    spec, window = layer.field.spec, [(1, 5), (0, 6)]
    asked = render.prepared(layer, spec.lattice, window, KERNELS, view.limits)
    arguments = (
        torch.from_numpy(asked.parameters)[None],
        [torch.from_numpy(plane)[None] for plane in asked.arrays],
        torch.tensor([[255.0, 0.5]]),
        list(spec.lattice), spec.outputs, list(spec.contexts), list(spec.synthesis), spec.residuals,
        [1, 5, 0, 6], torch.uint8,
    )  # fmt: skip
    found = ops.pyramid_lattice(*arguments)[0].numpy()
    np.testing.assert_array_equal(found, view.resize(spec.lattice, window))
    fake = ("test_schema", "test_faketensor")
    torch.library.opcheck(ops.pyramid_lattice, arguments, test_utils=fake)


KERNELS = SimpleNamespace(kernels=True)
"""A device as far as requests are made ready for it."""
