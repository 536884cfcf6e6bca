"""Checks the codecs of zarr and numcodecs: what is written comes back, also in another process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import inrcodec
from inrcodec.errors import CorruptError, InputError, UsageError
from inrcodec.files.arrays import TYPES
from inrcodec.plugins.numcodecs import Inrcodec
from inrcodec.plugins.windows import select
from inrcodec.plugins.zarr import InrcodecCodec
from inrcodec.query.view import SignalView

QUICK: dict[str, Any] = {"effort": 1, "steps": 8, "quality": 90}


def waves(*shape: int, dtype: str = "float32") -> np.ndarray:
    grids = np.indices(shape)
    values = 50 + 40 * np.sin(sum(0.3 * (axis + 1) * grid for axis, grid in enumerate(grids)))
    return values.astype(dtype)


def created(store: Any, array: np.ndarray, chunks: tuple[int, ...], **options: Any) -> zarr.Array:
    """The array in a store, coded by this codec alone."""
    made = zarr.create_array(
        store,
        shape=array.shape,
        chunks=chunks,
        dtype=array.dtype,
        serializer=InrcodecCodec(**QUICK),
        compressors=None,
        **options,
    )
    made[...] = array
    return made


def near(found: np.ndarray, array: np.ndarray) -> bool:
    """Most of the waves: what so few steps can give."""
    error = np.abs(found.astype(np.float64) - array.astype(np.float64))
    return bool(error.mean() < 10)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An array of 2 x 1 x 2 chunks, in a folder."""
    path = tmp_path_factory.mktemp("zarr") / "waves.zarr"
    created(path, waves(6, 8, 20), (3, 8, 10))
    return path


# zarr format 3


@pytest.mark.parametrize("dtype", [*TYPES, ">f4", ">i2"])
def test_chunks_of_every_type_come_back(dtype: str) -> None:
    array = waves(9, 14, dtype=dtype)
    made = created(zarr.storage.MemoryStore(), array, (9, 14))
    again = zarr.open_array(made.store, mode="r")
    assert again.dtype == array.dtype.newbyteorder("=")
    assert near(again[...], array)


def test_chunks_are_files(stored: Path) -> None:
    chunk = (stored / "c/1/0/0").read_bytes()
    decoded = inrcodec.decode(chunk).samples[..., 0]
    np.testing.assert_array_equal(decoded, zarr.open_array(stored, mode="r")[3:, :, :10])


def test_another_process_reads_an_array(stored: Path) -> None:
    """The entry point alone finds the codec, and torch is not needed."""
    code = (
        "import sys, zarr; array = zarr.open_array(sys.argv[1], mode='r')[...];"
        "print(array.tobytes().hex(), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(stored)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = zarr.open_array(stored, mode="r")[...]
    assert done.stdout.split() == [expected.tobytes().hex(), "False"]


def test_settings_are_written_and_not_needed(stored: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.zarr"
    shutil.copytree(stored, later)
    told = json.loads((later / "zarr.json").read_text())
    assert told["codecs"] == [{"name": "inrcodec", "configuration": QUICK}]
    told["codecs"][0]["configuration"] = {"effort": 99, "sparkle": [1]}
    (later / "zarr.json").write_text(json.dumps(told))
    ours, theirs = zarr.open_array(stored, mode="r"), zarr.open_array(later, mode="r+")
    np.testing.assert_array_equal(ours[...], theirs[...])
    (codec,), (other,) = ours.metadata.codecs, theirs.metadata.codecs
    assert codec == InrcodecCodec(**QUICK) != other
    assert hash(codec) == hash(InrcodecCodec(**QUICK)) != hash(other)
    with pytest.raises(UsageError, match="sparkle"):
        theirs[...] = waves(6, 8, 20)


@pytest.mark.parametrize(
    "key", [np.s_[2:4, 3, ::3], np.s_[..., 7], np.s_[1:1], np.s_[:, :, 9:11], np.s_[5, 7, 19]]
)
def test_a_part_of_a_chunk_is_that_of_the_whole(stored: Path, key: Any) -> None:
    array = zarr.open_array(stored, mode="r")
    np.testing.assert_array_equal(array[key], array[...][key])
    choice = [0, 5, 2], [1, 1, 7], [19, 0, 12]
    np.testing.assert_array_equal(array.vindex[choice], array[...][choice])
    rows = [0, 4, 5]
    np.testing.assert_array_equal(array.oindex[rows, :, [3, 18]], array[...][rows][..., [3, 18]])


def test_a_part_of_a_chunk_alone_is_computed(stored: Path, monkeypatch: Any) -> None:
    windows = []
    resize = SignalView.resize

    def watched(self: SignalView, size: Any, window: Any = None) -> Any:
        windows.append(window)
        return resize(self, size, window)

    monkeypatch.setattr(SignalView, "resize", watched)
    assert zarr.open_array(stored, mode="r")[1, 2:5, 3].shape == (3,)
    assert windows == [[(1, 2), (2, 5), (3, 4)]]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 6, 8), (1, 3, 1, 4, 1, 5, 2)])
def test_axes_of_one_sample_cost_nothing(shape: tuple[int, ...]) -> None:
    array = waves(*shape) if shape else np.array(7.5, np.float32)
    made = created(zarr.storage.MemoryStore(), array, shape)
    assert made[...].shape == shape
    assert near(np.asarray(made[...]), array)


@pytest.mark.parametrize("value", [273.15, -0.0, 0.0, 1e-300, np.nan])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_constant_chunks_are_exact(value: float, dtype: str) -> None:
    array = np.full((4, 6), value, dtype)
    store = zarr.storage.MemoryStore()
    if np.isnan(value):
        made = created(store, array, (4, 6), fill_value=np.nan)
    else:
        made = created(store, array, (4, 6), fill_value=1)
    np.testing.assert_array_equal(made[...], array)


def test_chunks_are_coded_side_by_side() -> None:
    array = waves(6, 18)
    made = created(zarr.storage.MemoryStore(), array, (6, 6))
    alone = [made[:, left : left + 6] for left in (0, 6, 12)]
    with ThreadPoolExecutor(3) as threads:
        codec = Inrcodec(**QUICK)
        files = list(threads.map(codec.encode, [block.copy() for block in np.split(array, 3, 1)]))
        found = list(threads.map(codec.decode, files))
    for ours, theirs in zip(found, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_shards_hold_chunks() -> None:
    array = waves(8, 4)
    made = created(zarr.storage.MemoryStore(), array, (4, 4), shards=(8, 4))
    assert near(made[...], array)
    np.testing.assert_array_equal(made[2:7, 3], made[...][2:7, 3])


# Refusals


@pytest.mark.parametrize("dtype", ["int64", "uint64", "bool", "complex64", "M8[s]"])
def test_a_type_is_refused_when_the_array_is_created(dtype: str) -> None:
    store = zarr.storage.MemoryStore()
    with pytest.raises(UsageError, match="is needed: cast"):
        zarr.create_array(
            store, shape=(4, 4), chunks=(4, 4), dtype=dtype, serializer=InrcodecCodec()
        )
    assert not store._store_dict


def test_too_many_axes_are_refused_when_the_array_is_created() -> None:
    with pytest.raises(UsageError, match="at most 4 axes"):
        zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=(2,) * 5,
            chunks=(2,) * 5,
            dtype="f4",
            serializer=InrcodecCodec(),
        )


@pytest.mark.parametrize("codec", [InrcodecCodec, Inrcodec])
@pytest.mark.parametrize(
    ("wrong", "what"),
    [({"qualty": 3}, "qualty"), ({"quality": 101}, "100"), ({"bpp": 1, "psnr": 40}, "one target")],
)
def test_settings_are_checked_at_once(codec: Any, wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        codec(**wrong)


def test_damage_is_an_error_and_nan_is_nan() -> None:
    array = waves(4, 6)
    made = created(zarr.storage.MemoryStore(), array, (4, 6))
    (name,) = [name for name in made.store._store_dict if name.startswith("c/")]
    whole = made.store._store_dict[name]
    broken = bytearray(whole.to_bytes())
    broken[-1] ^= 1
    made.store._store_dict[name] = type(whole).from_bytes(bytes(broken))
    with pytest.raises(CorruptError, match="CRC"):
        made[...]
    array[1, 2] = np.nan
    made[...] = array
    np.testing.assert_array_equal(np.isnan(made[...]), np.isnan(array))
    array[1, 2] = np.inf
    with pytest.raises(InputError, match="infinite"):
        made[...] = array


# numcodecs, and zarr format 2


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_numcodecs_keep_type_and_shape(dtype: str) -> None:
    array = waves(4, 5, 6, dtype=dtype)
    codec = numcodecs.get_codec({"id": "inrcodec", **QUICK})
    assert codec == Inrcodec(**QUICK)
    assert codec.get_config() == {"id": "inrcodec", **QUICK}
    data = codec.encode(array)
    found = Inrcodec().decode(data)
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert near(found, array)
    out = np.empty_like(array)
    Inrcodec().decode(np.frombuffer(data, np.uint8), out)
    np.testing.assert_array_equal(out, found)


def test_zarr_format_2(tmp_path: Path) -> None:
    array = waves(7, 9, dtype="int16")
    made = zarr.create_array(
        tmp_path / "two",
        shape=array.shape,
        chunks=(4, 9),
        dtype=array.dtype,
        zarr_format=2,
        compressors=Inrcodec(**QUICK),
    )
    made[...] = array
    assert near(zarr.open_array(tmp_path / "two", mode="r")[...], array)


@pytest.mark.parametrize(
    ("buffer", "what"),
    [
        (b"abc", "bytes"),
        (np.zeros((3, 4), np.int64), "int64"),
        (np.asfortranarray(waves(3, 4)), "order F"),
        (waves(3, 4, dtype=">f4"), "byte order"),
        (waves(2, 2, 2, 2, 2), "at most 4"),
    ],
    ids=["bytes", "int64", "order F", "big-endian", "five axes"],
)
def test_buffers_that_are_refused(buffer: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Inrcodec().encode(buffer)


# Windows


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_selection_is_that_of_the_array(data: st.DataObject) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    view = _view(array)
    shape = data.draw(
        st.permutations([1, 3, 4, 5]).filter(lambda s: [n for n in s if n > 1] == [3, 4, 5])
    )
    key = data.draw(basic_indices(tuple(shape), min_dims=0, allow_newaxis=False))
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key:
        gap = key.index(Ellipsis)
        fill = (slice(None),) * (len(shape) - len(key) + 1)
        key = key[:gap] + fill + key[gap + 1 :]
    key += (slice(None),) * (len(shape) - len(key))
    np.testing.assert_array_equal(select(view, key, shape), array.reshape(shape)[key])


def test_a_selection_by_arrays() -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    view = _view(array)
    mask = np.array([True, False, False, True])
    for key in (
        ([0, 2], slice(None), [1, -1]),
        np.ix_([0, 2], [1], [-1, 0, 3]),
        (slice(None), mask, 2),
        ([], slice(None), slice(1, 3)),
        np.ix_([0], [], [2]),
    ):
        index = tuple(np.array(k, int) if isinstance(k, list) else k for k in key)
        np.testing.assert_array_equal(select(view, index, (3, 4, 5)), array[index])
    with pytest.raises(IndexError):
        select(view, (3, 0, 0), (3, 4, 5))
    with pytest.raises(CorruptError, match="in the file"):
        select(view, (0, 0, 0), (3, 5, 4))


class _View:
    """An array in the place of a view."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array[..., None]
        self.shape, self.dtype = self.array.shape, array.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        assert all(isinstance(part, slice) for part in key)
        return self.array[key]


def _view(array: np.ndarray) -> Any:
    return _View(array)
