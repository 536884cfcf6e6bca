"""Joins zarr's chunks with `.inrc` bytes: the codec `inrcodec` of zarr format 3."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin

import inrcodec
from inrcodec.plugins.chunks import check_dtype, checked_settings, encode_chunk, lattice_of
from inrcodec.plugins.windows import select

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer
    from zarr.core.chunk_grids import ChunkGrid
    from zarr.core.common import JSON
    from zarr.core.dtype.wrapper import TBaseDType, TBaseScalar, ZDType
    from zarr.core.indexing import SelectorTuple

NAME = "inrcodec"


@dataclass(frozen=True, init=False)
class InrcodecCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Each chunk is an `.inrc` file: lossy, slow to write and quick to read.

    `zarr.create_array(..., serializer=InrcodecCodec(psnr=60), compressors=None)`. Settings are
    those of `inrcodec.encode`; what is written is read without them. Chunks may be of (u)int8, 16
    or 32 or floats of 16, 32 or 64 bits, and have up to four axes longer than 1. Where a chunk is
    read in part, only that part is computed, if no compressor follows.
    """

    is_fixed_size = False

    settings: dict[str, Any]

    def __init__(self, **settings: Any) -> None:
        """Raises UsageError for settings that `encode` does not have."""
        object.__setattr__(self, "settings", checked_settings(settings))

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """The codec of an array's metadata, whose settings a later version may have written."""
        found = object.__new__(cls)
        configuration = data.get("configuration") or {}
        object.__setattr__(found, "settings", dict(configuration))  # type: ignore[arg-type]
        return found

    def __hash__(self) -> int:
        return hash(json.dumps(self.settings, sort_keys=True))

    def to_dict(self) -> dict[str, JSON]:
        return {"name": NAME, "configuration": self.settings}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Itself; UsageError for a type of samples that it cannot code."""
        check_dtype(array_spec.dtype.to_native_dtype())
        return self

    def validate(
        self,
        *,
        shape: tuple[int, ...],
        dtype: ZDType[TBaseDType, TBaseScalar],
        chunk_grid: ChunkGrid,
    ) -> None:
        """Raise UsageError for chunks that it cannot code."""
        check_dtype(dtype.to_native_dtype())
        lattice_of(getattr(chunk_grid, "chunk_shape", ()))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError("the size of a chunk is known once it is encoded")

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        data = await asyncio.to_thread(encode_chunk, chunk_data.as_numpy_array(), self.settings)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        everything = (slice(None),) * len(chunk_spec.shape)
        return await asyncio.to_thread(_decoded, chunk_data, everything, chunk_spec)

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: SelectorTuple, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        data = await byte_getter.get(prototype=chunk_spec.prototype)
        if data is None:
            return None
        key = selection if isinstance(selection, tuple) else (selection,)
        return await asyncio.to_thread(_decoded, data, key, chunk_spec)


def _decoded(data: Buffer, key: tuple[Any, ...], chunk_spec: ArraySpec) -> NDBuffer:
    """The part of a chunk that `key` selects."""
    samples = select(inrcodec.open(data.to_bytes()), key, chunk_spec.shape)
    dtype = chunk_spec.dtype.to_native_dtype()
    return chunk_spec.prototype.nd_buffer.from_numpy_array(samples.astype(dtype, copy=False))
