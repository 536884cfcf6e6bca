"""Joins NIfTI files, through nibabel, with Signal: integers as they are stored, and the header."""

from __future__ import annotations

import gzip
import io
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from inrcodec.errors import CorruptError, InputError, LimitError
from inrcodec.files.arrays import from_file
from inrcodec.files.foreign import line_of, needed, reading, writing
from inrcodec.files.labels import NIFTI
from inrcodec.files.sources import LABELS, MAX_BYTES, Source, read_bytes, source_name
from inrcodec.signal import Axis, Signal, plain_samples

WHAT = "NIfTI file"

AXES = ("x", "y", "z", "t")
"""What the first four dimensions of a NIfTI file are; the fifth is that of the channels."""

UNITS = {
    "meter": "m",
    "mm": "mm",
    "micron": "um",
    "sec": "s",
    "msec": "ms",
    "usec": "us",
    "hz": "Hz",
    "ppm": "ppm",
    "rads": "rad/s",
}
"""nibabel's names of units, and those of axes."""

GZIP = b"\x1f\x8b"
HEADERS = {348: b"n+1\0", 540: b"n+2\0"}
"""Bytes of a header, and what stands in it (at 344 and at 4) if samples follow in the same file."""


def is_nifti(start: bytes) -> bool:
    """Whether a file that starts so, packed by gzip or not, is NIfTI: 348 bytes tell."""
    if start.startswith(GZIP):
        try:
            start = gzip.GzipFile(fileobj=io.BytesIO(start)).read1(348)
        except (OSError, EOFError):
            return False
    return start[344:348] == HEADERS[348] or start[4:8] == HEADERS[540]


def read_nifti(
    source: Source, axes: Sequence[str | Axis] | None, keep: Collection[str] = (LABELS,)
) -> Signal:
    """Samples `[x, y, z, t, channels]` as they are stored, not scaled by the header's slope.

    All that stands before them is kept as the metadata `nifti`. Raises InputError, or UsageError
    for sample types and numbers of axes that no Signal has.
    """
    name = source_name(source)
    nibabel = needed("nibabel", f"{name}: NIfTI")
    with reading(name, WHAT):
        data = _unpacked(read_bytes(source), name)
        header = _header(nibabel, data)
        offset = int(header.get_data_offset())
        shape = header.get_data_shape()
        dtype = header.get_data_dtype()
        count = int(np.prod(shape, dtype=object))
        stored = np.frombuffer(data, dtype, count, offset) if count else np.zeros(0)
        samples = stored.reshape(shape, order="F")
        described = _axes(header, shape)
    metadata = {NIFTI: data[:offset]} if LABELS in keep else {}
    return from_file(samples, _renamed(described, axes), metadata, name)


def write_nifti(signal: Signal, target: BinaryIO, *, packed: bool) -> None:
    """A NIfTI file with the header the signal came with, or one from its axes.

    The affine follows what is left of the lattice, and where its samples lie. Raises UsageError
    for what NIfTI cannot hold.
    """
    nibabel = needed("nibabel", "NIfTI")
    kept = signal.metadata.get(NIFTI)
    samples = plain_samples(signal)
    with writing("NIfTI"):
        if kept is None:
            samples, header, more = _new(nibabel, signal, samples)
        else:
            header, more = _kept(nibabel, kept, signal, samples.shape)
        dtype = header.get_data_dtype()
        header["vox_offset"] = len(header.binaryblock) + len(more)
        content = header.binaryblock + more + samples.astype(dtype).tobytes(order="F")
    # With no time in it, the same samples always give the same bytes.
    target.write(gzip.compress(content, 6, mtime=0) if packed else content)


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(GZIP):
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(MAX_BYTES + 1)
        if len(unpacked) > MAX_BYTES:
            raise LimitError(f"{name}: unpacked bytes, at least", len(unpacked), MAX_BYTES)
    return unpacked


def _header(nibabel: Any, data: bytes) -> Any:
    """nibabel's header of one kind or the other, either byte order."""
    if data[344:347] == b"ni1":
        raise InputError("a NIfTI header without its samples; convert both files to one .nii")
    kind = nibabel.Nifti2Header if data[4:8] == HEADERS[540] else nibabel.Nifti1Header
    size = 540 if data[4:8] == HEADERS[540] else 348
    return kind(data[:size])


def _axes(header: Any, shape: Sequence[int]) -> tuple[Axis, ...]:
    space, time = (UNITS.get(unit, "") for unit in header.get_xyzt_units())
    zooms = [abs(float(zoom)) or 1.0 for zoom in header.get_zooms()]
    names = AXES[: len(shape)] if len(shape) <= 5 else map(str, range(len(shape)))
    return tuple(
        Axis(name, size, zoom, 0.0, time if name == "t" else space)
        for name, size, zoom in zip(names, shape, zooms, strict=False)
    )


def _renamed(described: Sequence[Axis], axes: Sequence[str | Axis] | None) -> Sequence[str | Axis]:
    """Axes under other names keep their geometry."""
    if axes is None or len(axes) > len(described):
        return described if axes is None else axes
    pairs = zip(described, axes, strict=False)
    return [new if isinstance(new, Axis) else replace(old, name=new) for old, new in pairs]


def _kept(nibabel: Any, kept: bytes, signal: Signal, shape: Sequence[int]) -> tuple[Any, bytes]:
    """The header that was kept, made true for what is written, and what followed it."""
    try:
        header = _header(nibabel, kept)
        size = len(header.binaryblock)
        native = _axes(header, header.get_data_shape())[: len(signal.info.axes)]
        affine = header.get_best_affine()
    except Exception as error:
        raise CorruptError(f"{NIFTI}: no intact header ({line_of(error)})") from error
    now = signal.info.axes
    if len(native) != len(now):
        raise CorruptError(f"{NIFTI}: a header of {len(native)} axes, not {len(now)}")
    steps = [axis.spacing / old.spacing for axis, old in zip(now, native, strict=True)]
    starts = [axis.origin / old.spacing for axis, old in zip(now, native, strict=True)]
    header.set_data_dtype(_stored_type(signal.info.dtype))
    if tuple(header.get_data_shape()) == tuple(shape) and {*steps} == {1.0} and {*starts} == {0.0}:
        return header, kept[size:]
    header.set_data_shape(shape)
    zooms = list(header.get_zooms())
    header.set_zooms([axis.spacing for axis in now] + zooms[len(now) :])
    if len(now) > 3:
        header["toffset"] = float(header["toffset"]) + now[3].origin
    _place(header, affine @ _moved(steps[:3], starts[:3]))
    return header, kept[size:]


def _new(nibabel: Any, signal: Signal, samples: NDArray[Any]) -> tuple[NDArray[Any], Any, bytes]:
    """A header from axes, and the samples in its order: x, y, z, t, channels."""
    axes = signal.info.axes
    names = [axis.name for axis in axes]
    if {*names} <= {*AXES}:
        order = sorted(range(len(axes)), key=lambda index: AXES.index(names[index]))
    else:
        # The last axis of an array runs fastest, as NIfTI's first one does.
        order = list(range(len(axes)))[::-1]
    channels = list(range(len(axes), samples.ndim))
    samples = samples.transpose([*order, *channels])
    if channels:
        samples = samples.reshape([*samples.shape[:-1], *[1] * (4 - len(axes)), samples.shape[-1]])
    large = max(samples.shape) >= 2**15
    header = (nibabel.Nifti2Header if large else nibabel.Nifti1Header)()
    header.set_data_dtype(_stored_type(signal.info.dtype))
    header.set_data_shape(samples.shape)
    spacings = [axes[index].spacing for index in order]
    header.set_zooms([abs(spacing) for spacing in spacings] + [1.0] * (samples.ndim - len(axes)))
    known = {own: other for other, own in UNITS.items()}
    units = [known.get(axes[index].unit) for index in order]
    header.set_xyzt_units(units[0], units[3] if len(units) > 3 else None)
    if len(axes) > 3:
        header["toffset"] = axes[order[3]].origin
    _place(header, _moved(spacings[:3], [axes[index].origin for index in order[:3]]))
    header["magic"] = HEADERS[len(header.binaryblock)] + (b"\r\n\x1a\n" if large else b"")
    return samples, header, bytes(4)


def _moved(steps: Sequence[float], starts: Sequence[float]) -> NDArray[np.float64]:
    affine = np.eye(4)
    for axis, (step, start) in enumerate(zip(steps, starts, strict=True)):
        affine[axis, axis], affine[axis, 3] = step, start
    return affine


def _place(header: Any, affine: NDArray[np.float64]) -> None:
    """Set every affine the header has; one that has none gets an aligned one."""
    rotated, sheared = int(header["qform_code"]), int(header["sform_code"])
    if rotated:
        header.set_qform(affine, rotated)
    if sheared or not rotated:
        header.set_sform(affine, sheared or 2)


def _stored_type(dtype: str) -> str:
    """NIfTI has no floats of 16 bits."""
    return "float32" if dtype == "float16" else dtype
