"""Checks that the compiled kernels give what the reference gives, and refuse what does not fit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

import inrcodec
from inrcodec import native_choice as choice
from inrcodec.errors import InrcodecError, UsageError
from inrcodec.fields.field import Field
from inrcodec.fields.siren import SirenSpec
from inrcodec.query.kernels import native, reference
from inrcodec.query.render import render, sample_points
from inrcodec.query.threads import THREADS
from inrcodec.query.view import Layer, SignalView

ROOT = Path(__file__).resolve().parents[1]
EXTENSION = choice.extension()
AVAILABLE = EXTENSION.available() if EXTENSION else []

MakeField = Callable[[SirenSpec, int], Field]
MakeView = Callable[..., SignalView]

built = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")
every_isa = pytest.mark.parametrize("isa", AVAILABLE)


@pytest.fixture
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The instruction set of this test, which everything uses meanwhile."""
    monkeypatch.setenv(choice.VARIABLE, request.param)
    return str(request.param)


in_each = pytest.mark.parametrize("isa", AVAILABLE, indirect=True)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where no extension was built."""
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "inrcodec._native", None)
    choice.extension.cache_clear()
    yield
    choice.extension.cache_clear()


def by_reference(monkeypatch: pytest.MonkeyPatch, one: Layer, size: tuple[int, ...]) -> np.ndarray:
    with monkeypatch.context() as off:
        off.setenv(choice.VARIABLE, choice.OFF)
        return render(one.field, one.info, size)


def aligned(values: np.ndarray) -> np.ndarray:
    """A copy that starts at a multiple of 64 bytes, as a kernel wants it."""
    room = np.empty(values.size + 16, np.float32)
    start = -room.ctypes.data % 64 // 4
    room[start : start + values.size] = values
    return room[start : start + values.size]


def test_extension_is_built_where_there_is_a_compiler() -> None:
    record = json.loads(distribution("inrcodec").read_text("direct_url.json") or "{}")
    if not record.get("dir_info", {}).get("editable") or record["url"] != ROOT.as_uri():
        pytest.skip("this tree is not installed editable")
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        pytest.skip("no C++ compiler")
    if os.environ.get(choice.VARIABLE) == choice.OFF:
        pytest.skip("switched off")
    assert EXTENSION is not None
    assert AVAILABLE[-1] == "baseline"


# Values


@every_isa
def test_sine_is_right_to_ten_thousand(isa: str) -> None:
    generator = np.random.default_rng(0)
    near = np.arange(-3200, 3201) * (np.pi / 2)
    wide = [generator.uniform(-reach, reach, 2**16) for reach in (1, 30, 1e3, native.REACH)]
    values = np.concatenate([*wide, near, np.nextafter(near.astype(np.float32), np.inf), [1e4, 0]])
    values = values[: len(values) // 64 * 64].astype(np.float32)
    found = aligned(values)
    assert EXTENSION is not None
    EXTENSION.sine(isa, found)
    assert np.abs(found - np.sin(values.astype(np.float64))).max() <= 2e-6


def apart(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.abs(ours.astype(int) - theirs.astype(int))


@in_each
def test_pictures_are_those_of_the_reference(
    small_file: bytes, monkeypatch: pytest.MonkeyPatch, isa: str
) -> None:
    found = inrcodec.decode(small_file, scale=6).samples
    monkeypatch.setenv(choice.VARIABLE, choice.OFF)
    differences = apart(found, inrcodec.decode(small_file, scale=6).samples)
    assert differences.max() <= 1
    assert np.count_nonzero(differences) <= 1e-4 * differences.size


@in_each
@pytest.mark.parametrize("net", ["0x0", "10x28", "4x64", "1x1", "3x13"])
def test_samples_of_any_net_are_those_of_the_reference(
    make_view: MakeView, monkeypatch: pytest.MonkeyPatch, isa: str, net: str
) -> None:
    depth, width = map(int, net.split("x"))
    one = make_view((120, 130), "uint8", [(5, depth, width)]).layers[0]
    # Weights larger than SIREN's own: ten layers multiply each other's rounding.
    differences = apart(render(one.field, one.info), by_reference(monkeypatch, one, (120, 130)))
    assert differences.max() <= 1
    assert np.count_nonzero(differences) <= 2e-3 * differences.size


@in_each
@pytest.mark.parametrize("lattice", [(700,), (30, 40), (5, 17, 9)], ids=str)
def test_points_are_those_of_the_reference(
    make_view: MakeView, isa: str, lattice: tuple[int, ...]
) -> None:
    one = make_view(lattice, "float32").layers[0]
    points = np.random.default_rng(0).uniform(-1, 1, (333, len(lattice))).astype(np.float32)
    net = native.network(one.field, 1.0)
    assert net is not None
    assert net.isa == isa
    found = native.at_points(net, points)
    np.testing.assert_allclose(found, reference.evaluate(one.field, points), rtol=0, atol=1e-5)


@in_each
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_crops_and_points_alone_equal_the_whole(make_view: MakeView, isa: str, dtype: str) -> None:
    one = make_view((70, 90), dtype, [(3, 3, 13)]).layers[0]
    for size in ((70, 90), (201, 133), (20, 31)):
        whole = render(one.field, one.info, size)
        for window in ([(3, 17), (2, 29)], [(0, 20), (30, 31)], [(19, 20), (0, 31)]):
            part = whole[tuple(slice(*bounds) for bounds in window)]
            np.testing.assert_array_equal(render(one.field, one.info, size, window), part)
    points = np.random.default_rng(0).uniform(0, 60, (130, 2))
    at = sample_points(one.field, one.info, points)
    for place in (0, 63, 64, 129):
        alone = sample_points(one.field, one.info, points[place : place + 1])
        np.testing.assert_array_equal(alone[0], at[place])


@in_each
def test_threads_change_nothing(
    make_view: MakeView, monkeypatch: pytest.MonkeyPatch, isa: str
) -> None:
    one = make_view((300, 410), "float32", [(3, 4, 32)]).layers[0]
    renders = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv(THREADS, threads)
        renders.append(render(one.field, one.info))
    np.testing.assert_array_equal(renders[1], renders[0])
    np.testing.assert_array_equal(renders[2], renders[0])


# What does not fit


@built
def test_sizes_that_do_not_fit_are_refused() -> None:
    assert EXTENSION is not None
    isa, shape = AVAILABLE[0], (2, 3, 1, 4)
    layers, points = np.zeros(12 + 15, np.float32), np.zeros((7, 2), np.float32)
    out, axes = np.zeros((7, 3), np.float32), [np.zeros(2, np.float32), np.zeros(5, np.float32)]
    EXTENSION.siren_points(isa, shape, layers, points, out, 1)
    EXTENSION.siren_lattice(isa, shape, layers, axes, 3, out, 1)
    for arguments in (
        ("none", shape, layers, points, out, 1),
        (isa, (2, 3, 2, 4), layers, points, out, 1),
        (isa, (2, 3, 0, 4), layers, points, out, 1),
        (isa, (2, 3, 1, 0), layers, points, out, 1),
        (isa, (0, 3, 1, 4), layers, points, out, 1),
        (isa, (2, 0, 1, 4), layers, points, out, 1),
        (isa, (2, 3, 2**40, 2**40), layers, points, out, 1),
        (isa, shape, layers[:-1], points, out, 1),
        (isa, shape, layers, points[:, :1].copy(), out, 1),
        (isa, shape, layers, points[:-1], out, 1),
        (isa, shape, layers, points, out[:, :2].copy(), 1),
        (isa, shape, layers, points, out, 0),
    ):
        with pytest.raises(ValueError, match=r"isa|shape|layers|coordinates|out|threads"):
            EXTENSION.siren_points(*arguments)
    for some, first in ((axes, 4), (axes, 2**63), (axes[:1], 0), ([*axes, axes[0]], 0)):
        with pytest.raises(ValueError, match=r"axes|first"):
            EXTENSION.siren_lattice(isa, shape, layers, some, first, out, 1)
    for other in (layers.astype(np.float64), layers.reshape(3, 9), layers[::2], None):
        with pytest.raises(TypeError):
            EXTENSION.siren_points(isa, shape, other, points, out, 1)
    for other in (np.zeros(63, np.float32), aligned(np.zeros(65, np.float32))[1:]):
        with pytest.raises(ValueError, match="values"):
            EXTENSION.sine(isa, other)
    out.flags.writeable = False
    with pytest.raises(TypeError):
        EXTENSION.siren_points(isa, shape, layers, points, out, 1)


@in_each
def test_errors_of_the_extension_are_ours(make_field: MakeField, isa: str) -> None:
    net = native.network(make_field(SirenSpec(2, 3, 2, 8), 0), 1.0)
    assert net is not None
    with pytest.raises(UsageError, match="coordinates"):
        native.at_points(net, np.zeros((4, 3), np.float32))
    with pytest.raises(UsageError, match="first"):
        native.on_lattice(net, [np.zeros(3, np.float32)] * 2, 7, 10)


@in_each
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38])
def test_odd_numbers_do_no_harm(isa: str, odd: float) -> None:
    assert EXTENSION is not None
    layers = np.full(12 + 15, 0.5, np.float32)
    points, out = np.full((65, 2), odd, np.float32), np.zeros((65, 3), np.float32)
    EXTENSION.siren_points(isa, (2, 3, 1, 4), layers, points, out, 2)
    EXTENSION.siren_points(isa, (2, 3, 1, 4), np.full_like(layers, odd), points, out, 1)
    points[1:] = 0
    EXTENSION.siren_points(isa, (2, 3, 1, 4), layers, points, out, 1)
    assert np.isfinite(out[1:]).all()


@built
@pytest.mark.parametrize("weight", [1e4, 1e38, np.inf, np.nan])
def test_arguments_beyond_the_promise_go_to_the_reference(
    monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    shapes = {t.name: t.shape for t in SirenSpec(2, 3, 2, 8).tensors()}
    parameters = {name: np.full(shape, weight, np.float32) for name, shape in shapes.items()}
    assert native.network(Field(SirenSpec(2, 3, 2, 8), parameters), 1.0) is None


@built
def test_points_far_away_go_to_the_reference(
    make_field: MakeField, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    field = make_field(SirenSpec(2, 3, 2, 8), 0)
    assert native.network(field, 1.0) is not None
    assert native.network(field, 1e6) is None


# Choice

SAY = """
import sys
from inrcodec.cli import main
code = main(["--version"])
assert "numpy" not in sys.modules
sys.exit(code)
"""


def version(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SAY]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@every_isa
def test_environment_chooses(isa: str) -> None:
    done = version(**{choice.VARIABLE: isa})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"native: {isa}\n")


def test_environment_switches_off() -> None:
    done = version(**{choice.VARIABLE: choice.OFF})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("native: none (pure Python)\n")


def test_what_is_not_available_is_refused_at_first_use(
    make_view: MakeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = version(**{choice.VARIABLE: "sse9"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert "INRCODEC_NATIVE=sse9" in done.stderr
    monkeypatch.setenv(choice.VARIABLE, "sse9")
    with pytest.raises(UsageError, match="sse9"):
        make_view((4, 5)).at(np.zeros((1, 2)))


@built
@pytest.mark.parametrize("threads", ["0", "-1", "two", "1e3"])
def test_threads_that_are_no_number_are_refused(
    make_view: MakeView, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv(THREADS, threads)
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    with pytest.raises(InrcodecError, match="INRCODEC_THREADS"):
        make_view((4, 5)).at(np.zeros((1, 2)))


def test_without_the_extension_the_reference_evaluates(
    small_file: bytes, monkeypatch: pytest.MonkeyPatch, missing: None
) -> None:
    found = inrcodec.decode(small_file).samples
    assert choice.describe() == "native: none (pure Python)"
    monkeypatch.setenv(choice.VARIABLE, choice.OFF)
    np.testing.assert_array_equal(inrcodec.decode(small_file).samples, found)
    monkeypatch.setenv(choice.VARIABLE, "baseline")
    with pytest.raises(UsageError, match="baseline"):
        inrcodec.decode(small_file)


@built
def test_extension_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inrcodec._native.VERSION", "0.0.1")
    choice.extension.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"built for inrcodec 0\.0\.1"):
        assert choice.extension() is None
    choice.extension.cache_clear()
