"""Joins named arrays and a few words with the bytes of a `.safetensors` file."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import CorruptError

TYPES = {"F32": "<f4", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "|u1"}
"""Of the format's types, those that bases and checkpoints need."""

MAX_HEADER = 2**20

Arrays = dict[str, NDArray[Any]]


def pack_tensors(arrays: Mapping[str, NDArray[Any]], words: Mapping[str, str]) -> bytes:
    """A safetensors file: the same arrays and words give the same bytes."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(words.items()))}
    names = {np.dtype(code): name for name, code in TYPES.items()}
    payload = b""
    for name, array in sorted(arrays.items()):
        start = len(payload)
        kind = names[array.dtype.newbyteorder("<")]
        payload += np.ascontiguousarray(array, TYPES[kind]).tobytes()
        offsets = [start, len(payload)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def unpack_tensors(data: bytes, what: str) -> tuple[Arrays, dict[str, str]]:
    """Arrays and words of a safetensors file. Raises CorruptError, naming `what`, for others."""
    if len(data) < 8:
        raise CorruptError(f"{what}: only {len(data)} bytes; not a safetensors file")
    size = struct.unpack("<Q", data[:8])[0]
    if size > min(MAX_HEADER, len(data) - 8):
        raise CorruptError(f"{what}: truncated, or not a safetensors file")
    try:
        header = json.loads(data[8 : 8 + size].decode())
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{what}: no header of a safetensors file") from error
    if not isinstance(header, dict):
        raise CorruptError(f"{what}: no header of a safetensors file")
    words = header.pop("__metadata__", {})
    if not isinstance(words, dict) or not all(isinstance(text, str) for text in words.values()):
        raise CorruptError(f"{what}: its words are not text")
    payload, arrays, end = data[8 + size :], {}, 0
    for name, told in header.items():
        dtype, shape, start, stop = _described(name, told, what)
        if start != end or stop > len(payload):
            raise CorruptError(f"{what}: array {name} is not where it should be; truncated?")
        if stop - start != math.prod(shape) * dtype.itemsize:
            raise CorruptError(f"{what}: array {name} has another size than its shape")
        arrays[name] = np.frombuffer(payload[start:stop], dtype).reshape(shape)
        end = stop
    if end != len(payload):
        raise CorruptError(f"{what}: {len(payload) - end} bytes too many")
    return arrays, words


def _described(name: str, told: Any, what: str) -> tuple[np.dtype[Any], list[int], int, int]:
    """Type, shape and place of an array."""
    wrong = CorruptError(f"{what}: array {name} is not described as it should be")
    if not isinstance(told, dict) or told.keys() != {"dtype", "shape", "data_offsets"}:
        raise wrong
    kind, shape, offsets = told["dtype"], told["shape"], told["data_offsets"]
    if kind not in TYPES or not isinstance(shape, list) or not isinstance(offsets, list):
        raise wrong
    if len(offsets) != 2 or not all(type(n) is int and n >= 0 for n in (*shape, *offsets)):
        raise wrong
    return np.dtype(TYPES[kind]), shape, offsets[0], offsets[1]
