"""Joins many `.inrc` files with arrays of their samples, on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from inrcodec.bitstream.wire import DEFAULT_LIMITS, Limits
from inrcodec.codec import open as open_file
from inrcodec.errors import InrcodecError, UsageError
from inrcodec.files.sources import Source
from inrcodec.query.threads import kernel_threads
from inrcodec.query.view import SignalView

if TYPE_CHECKING:
    from inrcodec.query.gpu.device import Device
    from inrcodec.query.gpu.render import Request

FLOATS = ("float16", "float32")

AT_ONCE = 32
"""Files per launch: while one is under way, the CPU decodes the next."""


def decode_batch(
    sources: Sequence[Source],
    *,
    device: str = "cpu",
    size: Sequence[int] | None = None,
    crop: Sequence[tuple[int, int]] | None = None,
    dtype: str | None = None,
    planar: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Any]:
    """Samples `[*lattice, channels]` of every file, in order: numpy arrays from the CPU, torch
    tensors on `device`, `cuda` or `cuda:N`.

    `size` and `crop` are those of `decode`, for every file. `dtype` is the signal's own, or float16
    or float32: values in the unit of the samples, neither rounded nor clamped. With `planar`,
    channels come first. Integers are decoded on the CPU by as many threads as it has cores, while a
    GPU computes the samples of files before. Pyramids have the same samples on both; sirens may
    differ by a few code values of 8 bits. What GPU kernels do not cover the CPU computes: mixtures,
    signals that are bounded or have missing samples, very large networks.

    Raises InrcodecError, which says the number of the file, from 0; DeviceError where the GPU is
    not there or its memory does not suffice for one file.
    """
    if dtype not in (None, *FLOATS):
        raise UsageError(f"dtype {dtype!r}: the signal's own (None), {' or '.join(FLOATS)}")
    asked = (size, crop, dtype, limits)
    with ThreadPoolExecutor(kernel_threads()) as pool:
        if device == "cpu":
            found = [pool.submit(_on_cpu, source, *asked, planar) for source in sources]
            return list(_in_order(found, pool))
        from inrcodec.query.gpu.device import device as device_of

        chosen = device_of(device)
        ready = [pool.submit(_prepared, source, *asked, chosen) for source in sources]
        files, out = _in_order(ready, pool), []
        while some := list(islice(files, AT_ONCE)):
            out += _samples(some, chosen, planar)
        return out


def _in_order(futures: Sequence[Future[Any]], pool: ThreadPoolExecutor) -> Iterator[Any]:
    for number, future in enumerate(futures):
        try:
            yield future.result()
        except InrcodecError as error:
            pool.shutdown(wait=False, cancel_futures=True)
            error.args = (f"file {number}: {error}",)
            raise


def _opened(source: Source, dtype: str | None, limits: Limits) -> SignalView:
    view = open_file(source, limits=limits)
    if dtype is None:
        return view
    layers = [replace(layer, info=replace(layer.info, dtype=dtype)) for layer in view.layers]
    return replace(view, layers=tuple(layers))


def _on_cpu(
    source: Source, size: Sequence[int] | None, crop: Sequence[tuple[int, int]] | None,
    dtype: str | None, limits: Limits, planar: bool,
) -> np.ndarray:  # fmt: skip
    view = _opened(source, dtype, limits)
    samples = view.resize(view.info.lattice if size is None else size, crop)
    return np.ascontiguousarray(np.moveaxis(samples, -1, 0)) if planar else samples


def _prepared(
    source: Source, size: Sequence[int] | None, crop: Sequence[tuple[int, int]] | None,
    dtype: str | None, limits: Limits, device: Device,
) -> list[Request]:  # fmt: skip
    from inrcodec.query.gpu.render import prepared

    view = _opened(source, dtype, limits)
    lattice, window = view.checked(view.info.lattice if size is None else size, crop)
    return [prepared(layer, lattice, window, device, limits) for layer in view.layers]


def _samples(files: Sequence[Sequence[Request]], device: Device, planar: bool) -> list[Any]:
    import torch

    from inrcodec.query.gpu.render import samples_of

    layers = iter(samples_of([one for requests in files for one in requests], device, planar))
    parts = [[next(layers) for _ in requests] for requests in files]
    axis = 0 if planar else -1
    return [own[0] if len(own) == 1 else torch.cat(own, dim=axis) for own in parts]
