"""Joins numcodecs, and so zarr format 2, with `.inrc` bytes: the codec `inrcodec`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ndarray_copy

import inrcodec
from inrcodec.errors import UsageError
from inrcodec.plugins.chunks import checked_settings, encode_chunk


class Inrcodec(Codec):  # type: ignore[misc]
    """Each buffer is an `.inrc` file; settings are those of `inrcodec.encode`.

    The array has up to four axes longer than 1, and (u)int8, 16 or 32 or floats of 16, 32 or 64
    bits. What `decode` gives has its samples and type, and its shape but for axes of length 1.
    """

    codec_id = "inrcodec"

    def __init__(self, **settings: Any) -> None:
        """Raises UsageError for settings that `encode` does not have."""
        self.settings = checked_settings(settings)

    def encode(self, buf: Any) -> bytes:
        """The file of an array; UsageError or InputError for what no file can hold."""
        if not isinstance(buf, np.ndarray):
            raise UsageError(f"inrcodec codec: an array is needed, not {type(buf).__name__}")
        if buf.flags.f_contiguous and not buf.flags.c_contiguous:
            raise UsageError("inrcodec codec: order F; create the array in order C")
        if not buf.dtype.isnative:
            # The array that asks for samples would take them for its own order.
            raise UsageError(f"inrcodec codec: dtype {buf.dtype.str}; use the native byte order")
        return encode_chunk(buf, self.settings)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The samples of a file, in `out` where that is given."""
        samples = np.asarray(inrcodec.open(ensure_bytes(buf)))[..., 0]
        return samples if out is None else ndarray_copy(samples, out)

    def get_config(self) -> dict[str, Any]:
        return {"id": self.codec_id, **self.settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Inrcodec:
        """The codec of an array's metadata, whose settings a later version may have written."""
        found: Inrcodec = cls()
        found.settings = dict(config)
        return found

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"Inrcodec({told})"
