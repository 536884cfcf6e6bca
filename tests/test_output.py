"""Checks that an output is all there or untouched, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inrcodec.errors import OutputError, OutputExistsError, UsageError
from inrcodec.files.output import check_output, write_atomically

ROOT = Path(__file__).resolve().parents[1]
OLD, NEW = b"old content", b"new content" * 500


class Boom(BaseException):
    """Something that nobody foresaw."""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(
    path: Path, overwrite: bool, *, meanwhile: Callable[[], object], data: bytes = NEW
) -> None:
    """Write, with something else going on before the end."""
    with write_atomically(path, overwrite) as file:
        file.write(data)
        meanwhile()


def fail(error: BaseException) -> Callable[..., None]:
    def failing(*_args: object, **_named: object) -> None:
        raise error

    return failing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "photo.inrc"


# What is written


@pytest.mark.parametrize("overwrite", [False, True])
def test_new_file(path: Path, overwrite: bool) -> None:
    with write_atomically(path, overwrite) as file:
        file.write(NEW)
        assert not path.exists()
    assert content(path.parent) == {path.name: NEW}


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_new_file_obeys_the_umask(path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with write_atomically(path) as file:
            file.write(NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert path.stat().st_nlink == 1


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_replaced_file_gives_its_permissions(path: Path, mode: int) -> None:
    path.write_bytes(OLD)
    path.chmod(mode)
    with write_atomically(path, overwrite=True) as file:
        file.write(NEW)
        (temporary,) = set(path.parent.iterdir()) - {path}
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert path.read_bytes() == OLD
    assert content(path.parent) == {path.name: NEW}
    assert stat.S_IMODE(path.stat().st_mode) == mode


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=50), max_size=5), data=st.data())
def test_all_or_nothing(tmp_path: Path, chunks: list[bytes], data: st.DataObject) -> None:
    path = tmp_path / "out"
    path.write_bytes(OLD)
    last = data.draw(st.integers(0, len(chunks)))
    try:
        with write_atomically(path, overwrite=True) as file:
            for number, chunk in enumerate(chunks):
                if number == last:
                    raise Boom
                file.write(chunk)
        expected = b"".join(chunks)
    except Boom:
        expected = OLD
    assert content(tmp_path) == {"out": expected}


def test_symbolic_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    link.symlink_to(target)
    for data, overwrite in ((OLD, False), (NEW, True)):
        with write_atomically(link, overwrite) as file:
            file.write(data)
        assert link.is_symlink()
        assert content(tmp_path / "there") == {"target": data}
    with pytest.raises(OutputExistsError):
        check_output(link, overwrite=False)


# What goes wrong


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, Boom, MemoryError])
@pytest.mark.parametrize("existing", [{}, {"photo.inrc": OLD}])
def test_exception_leaves_everything_as_it_was(path: Path, error, existing) -> None:
    for name, data in existing.items():
        (path.parent / name).write_bytes(data)
    with pytest.raises(error):
        write(path, overwrite=True, meanwhile=fail(error()))
    assert content(path.parent) == existing


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "i/o"), Boom()]
)
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"])
def test_failure_of_the_system(path: Path, monkeypatch, call: str, error: BaseException) -> None:
    path.write_bytes(OLD)
    expected = OutputError if isinstance(error, OSError) else Boom
    with monkeypatch.context() as patch:
        patch.setattr(call, fail(error))
        with pytest.raises(expected), write_atomically(path, overwrite=True) as file:
            file.write(NEW)
    assert content(path.parent) == {path.name: OLD}


def test_file_systems_that_cannot_synchronise(path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.fsync", fail(OSError(errno.EINVAL, "invalid")))
    with write_atomically(path) as file:
        file.write(NEW)
    assert content(path.parent) == {path.name: NEW}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("existing", [{}, {"photo.inrc": OLD}])
def test_no_room(path: Path, existing: dict[str, bytes]) -> None:
    for name, data in existing.items():
        (path.parent / name).write_bytes(data)
    with (
        largest_file(4096),
        pytest.raises(OutputError, match=r"photo\.inrc: .*larger"),
        write_atomically(path, overwrite=True) as file,
    ):
        file.write(NEW)
    assert content(path.parent) == existing


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(path: Path, monkeypatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr("pathlib.Path.hardlink_to", fail(OSError(errno.EPERM, "no links")))
    with pytest.raises(OutputExistsError, match="meanwhile"):
        write(path, overwrite=False, meanwhile=lambda: path.write_bytes(OLD))
    assert content(path.parent) == {path.name: OLD}


def test_without_hard_links(path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pathlib.Path.hardlink_to", fail(OSError(errno.EPERM, "no links")))
    with write_atomically(path) as file:
        file.write(NEW)
    assert content(path.parent) == {path.name: NEW}
    path.unlink()
    monkeypatch.setattr("pathlib.Path.replace", fail(Boom()))
    with pytest.raises(Boom), write_atomically(path) as file:
        file.write(NEW)
    assert content(path.parent) == {}


def test_folder_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "photo.inrc"
    path.parent.mkdir()
    with pytest.raises(OutputError):
        write(path, overwrite=False, meanwhile=lambda: shutil.rmtree(path.parent))
    assert content(tmp_path) == {}


WRITER = """
import signal, sys
from inrcodec.files.output import write_atomically

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with write_atomically(sys.argv[1], overwrite=True) as file:
    file.write(b"part")
    file.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle(path: Path, number: signal.Signals) -> None:
    path.write_bytes(OLD)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait() != 0
    assert path.read_bytes() == OLD
    if number != signal.SIGKILL:  # which leaves a process no time to tidy up
        assert content(path.parent) == {path.name: OLD}


# Devices, pipes, descriptors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("size", [1, 10**6])
def test_full_device(size: int) -> None:
    with (
        pytest.raises(OutputError, match="/dev/full: no space"),
        write_atomically("/dev/full") as f,
    ):
        f.write(bytes(size))
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_failing_close_hides_nothing() -> None:
    with pytest.raises(Boom):
        write(Path("/dev/full"), overwrite=False, meanwhile=fail(Boom()), data=b"buffered")


def test_null_device() -> None:
    check_output(os.devnull, overwrite=False, inputs=[os.devnull])
    with write_atomically(os.devnull) as file:
        file.write(NEW)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_pipe(path: Path) -> None:
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    with write_atomically(path) as file:
        file.write(NEW)
    reader.join()
    assert received == [NEW]
    assert [each.is_fifo() for each in path.parent.iterdir()] == [True]


PRINTER = """
from inrcodec.files.output import write_atomically

with write_atomically("/dev/stdout") as file:
    file.write(b"content")
"""


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="needs /dev/stdout")
def test_standard_output_is_added_to(path: Path) -> None:
    command = [sys.executable, "-c", PRINTER]
    piped = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"content"
    path.write_bytes(OLD)
    with path.open("ab") as file:
        subprocess.run(command, cwd=ROOT, stdout=file, check=True)
    assert content(path.parent) == {path.name: OLD + b"content"}


# What is refused before any work


def test_existing_output(path: Path) -> None:
    check_output(path, overwrite=False)
    path.write_bytes(OLD)
    check_output(path, overwrite=True)
    with pytest.raises(OutputExistsError, match=r"photo\.inrc: exists already.* -f"):
        check_output(path, overwrite=False)
    with pytest.raises(OutputExistsError), write_atomically(path):
        pytest.fail("the block must not run")
    assert content(path.parent) == {path.name: OLD}


@pytest.mark.parametrize("overwrite", [False, True])
def test_output_that_is_an_input(path: Path, overwrite: bool, monkeypatch) -> None:
    path.write_bytes(OLD)
    symbolic, hard = path.with_name("symbolic"), path.with_name("hard")
    symbolic.symlink_to(path)
    hard.hardlink_to(path)
    monkeypatch.chdir(path.parent)
    for output in (path, symbolic, hard, path.name, f"./{path.name}"):
        with pytest.raises(UsageError, match="input too"):
            check_output(output, overwrite, inputs=["missing", "a\0b", path])


def test_other_inputs_do_not_matter(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(OLD)
    check_output(path, overwrite=False, inputs=[other, "missing"])
    assert content(path.parent) == {"other": OLD}


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in {
        "": "is a folder",
        "missing/photo.inrc": "does not exist",
        "file/photo.inrc": "Not a directory",
        "photo/": "names a folder",
        "loop": "symbolic links",
        "x" * 300: "too long",
        "a\0b": "not a file name",
    }.items():
        path = f"{tmp_path}/{name}"
        with pytest.raises(OutputError, match=reason) as caught:
            check_output(path, overwrite=True)
        assert "\n" not in str(caught.value)
        with pytest.raises(OutputError, match=reason), write_atomically(path, overwrite=True):
            pytest.fail("the block must not run")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "loop"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_forbidden_folder(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="no permission"):
            check_output(path, overwrite=True)
    finally:
        path.parent.chmod(0o700)
