"""Joins signals with `.inrc` bytes: the whole chain, written out once in order."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inrcodec.bitstream.container import Section, pack, pack_section, unpack
from inrcodec.bitstream.describe import describe, read_metadata
from inrcodec.bitstream.header import Header, Track, described_bytes
from inrcodec.bitstream.metadata import pack_metadata, unpack_metadata
from inrcodec.bitstream.partial import unpack_partial
from inrcodec.bitstream.wire import DEFAULT_LIMITS, MAGIC, Limits, SectionType
from inrcodec.coding.mask import unpack_mask
from inrcodec.coding.residual import unpack_residual
from inrcodec.coding.tracks import pack_track, track_symbols, unpack_track
from inrcodec.errors import InrcodecError, TargetMissedError, UsageError
from inrcodec.files.arrays import check_signal, from_array
from inrcodec.files.sources import USUALLY_KEPT, Source, read_bytes
from inrcodec.fitting.settings import Settings
from inrcodec.query.quality import largest_difference, psnr, same_missing
from inrcodec.query.view import Layer, SignalView
from inrcodec.signal import Axis, Signal, split_alpha

if TYPE_CHECKING:
    from inrcodec.fitting.tracks import FittedTrack

Progress = Callable[[str, float, float], None]
"""Called with a stage, the share of it that is done, and the PSNR in dB so far (NaN: unknown)."""

MAX_SCALE = 2**20

FILE_BYTES, TRACK_BYTES = 18, 12
"""Most bytes of the container: of the file, and of each of its tracks beside its description."""


@dataclass(frozen=True)
class Encoded:
    """A finished file and what is known of it.

    `psnr` is of the decoded file and `float_psnr` of the fit before rounding, of the first track,
    both in dB. `max_error` is the largest error of a sample of the decoded file. `ms_ssim` is of
    its colours, where it was what the fit was tuned for.
    """

    data: bytes
    positions: int
    psnr: float
    float_psnr: float
    seconds: float
    steps: int
    kind: str
    net: str
    macs_per_sample: int
    interrupted: bool
    max_error: float = math.nan
    ms_ssim: float | None = None

    @property
    def bpp(self) -> float:
        """Bits of the file per lattice position."""
        return 8 * len(self.data) / self.positions


def encode(
    source: Source | Signal | Any,
    *,
    axes: Sequence[str | Axis] | None = None,
    variable: str | None = None,
    fill: float | None = None,
    keep: Collection[str] = USUALLY_KEPT,
    **settings: Any,
) -> bytes:
    """The `.inrc` file of a signal.

    `source` is an array, a Signal, or a file as a path, bytes or a file object: a picture, `.npy`,
    `.npz`, NIfTI, netCDF, HDF5 or zarr. An array `[height, width]` or `[height, width, 1..4]` is a
    picture; one of another shape, or with `axes` (names, such as `"zyx"`, or whole descriptions),
    is a volume, series or whatever it is, of 1 to 4 axes and, in one dimension more, channels.
    Samples that are NaN, masked (`numpy.ma`) or equal to `fill` are missing: they are never fitted,
    and missing again when decoded. `variable` says which array of a file is meant, `keep` names the
    metadata to keep: those of `inrcodec.files.signals.read_signal`. All other arguments are those
    of `inrcodec.fitting.settings.Settings`. Raises InrcodecError. To get the best so far after a
    Ctrl-C, use `encode_signal`.
    """
    encoded = encode_signal(as_signal(source, keep, axes, variable, fill), Settings(**settings))
    if encoded.interrupted:
        raise KeyboardInterrupt
    return encoded.data


def encode_signal(signal: Signal, settings: Settings, progress: Progress | None = None) -> Encoded:
    """As `encode`, with what is known of the result.

    Ctrl-C while fitting ends the fit and still gives a valid file, of the best state so far.
    """
    from inrcodec.fitting.contest import best_of_kinds
    from inrcodec.fitting.schedule import Budget, finished, quiet
    from inrcodec.fitting.settings import AUTO
    from inrcodec.fitting.signals import fit_signal

    check_signal(signal)
    if settings.chosen_kind == AUTO:
        best, stopped = best_of_kinds(
            signal, settings, lambda part, own: encode_signal(part, own, progress)
        )
        return replace(best, interrupted=stopped)
    budget = Budget(settings.max_time)
    parts = split_alpha(signal)
    extra = [Section(SectionType.METADATA, 0, pack_metadata(signal.metadata))]
    extra = extra if signal.metadata else []
    fixed = FILE_BYTES + sum(TRACK_BYTES + described_bytes(part.info) for part in parts)
    fixed += sum(len(pack_section(section)) for section in extra)
    progress = progress or quiet
    fitted = fit_signal(parts, settings, fixed, budget, progress)

    progress("check", 0.0, math.nan)
    data = finished(lambda: _packed(parts, fitted, extra), budget)
    limit = settings.hard_limit(signal.info.positions)
    if limit is not None and len(data) > limit and not budget.interrupted:
        raise TargetMissedError(
            f"size: {limit} bytes asked, {len(data)} reached with net {fitted[0].spec.net}; "
            "give a larger target or a smaller --net"
        )
    measured = finished(lambda: _proved(data, signal, fitted, settings), budget)
    reached, largest, similarity = measured
    progress("check", 1.0, reached)
    return Encoded(
        data=data,
        positions=signal.info.positions,
        psnr=reached,
        float_psnr=fitted[0].float_psnr,
        seconds=time.monotonic() - budget.started,
        steps=max(track.steps for track in fitted),
        kind=fitted[0].spec.kind,
        net="+".join(track.spec.net for track in fitted),
        macs_per_sample=sum(track.spec.macs_per_sample for track in fitted),
        interrupted=budget.interrupted,
        max_error=largest,
        ms_ssim=similarity,
    )


def _packed(
    parts: Sequence[Signal], fitted: Sequence[FittedTrack], extra: Sequence[Section]
) -> bytes:
    header = Header(tuple(Track(p.info, f.spec) for p, f in zip(parts, fitted, strict=True)))
    sections: list[Section] = []
    for number, track in enumerate(fitted):
        symbols, recipes = track.quantised.symbols, track.quantised.recipes
        own = pack_track(number, track.spec, symbols, recipes, track.latents)
        if track.mask is not None:
            # Before the latents: a file that is cut still says where there is nothing.
            own.insert(1, Section(SectionType.MASK, number, track.mask))
        if track.residual is not None:
            own.append(Section(SectionType.RESIDUAL, number, track.residual))
        sections += own
    return pack(header, [*sections, *extra])


def _proved(
    data: bytes, signal: Signal, fitted: Sequence[FittedTrack], settings: Settings
) -> tuple[float, float, float | None]:
    """Decode what was written, demand the very symbols that were meant and the bound that was
    asked, and measure it: its PSNR, its largest error, and the MS-SSIM that it was tuned for.
    """
    view = open(data)
    _, sections = unpack(data)
    for number, (layer, track) in enumerate(zip(view.layers, fitted, strict=True)):
        symbols, recipes = track_symbols(number, track.spec, sections)
        same = all(np.array_equal(symbols[name], track.quantised.symbols[name]) for name in symbols)
        for level, plane in enumerate(track.latents):
            assert layer.field.latents is not None
            window = [(0, size) for size in plane.shape]
            same &= bool((layer.field.latents.read(level, window) == plane).all())
        if not same or recipes != track.quantised.recipes:
            raise InrcodecError("proof: the file does not decode to what was encoded; report this")
    decoded = view.read()
    if not same_missing(signal, decoded):
        raise InrcodecError("proof: other samples are missing than should be; report this")
    largest = largest_difference(signal.samples, decoded.samples, signal.missing)
    if settings.max_error is not None:
        from inrcodec.fitting.bounds import absolute_bound

        if largest > absolute_bound(settings.max_error, signal.info):
            raise InrcodecError(f"proof: a sample is {largest} off, against its bound; report this")
    if settings.tune == "mse":
        return psnr(signal, decoded), largest, None
    from inrcodec.fitting.ms_ssim import MsSsim
    from inrcodec.fitting.samples import normalised

    ours, theirs = (normalised(split_alpha(each)[0]) for each in (signal, decoded))
    return psnr(signal, decoded), largest, MsSsim(ours).similarity(theirs)


def decode(
    source: Source,
    *,
    scale: float | None = None,
    size: Sequence[int] | None = None,
    crop: Sequence[tuple[int, int]] | None = None,
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Signal:
    """The signal of a `.inrc` file, at any resolution.

    `scale` multiplies, or `size` gives, the number of samples per axis (height, width). `crop` is
    (start, stop) per axis of that lattice: only it is computed. `partial` is that of `open`. Raises
    InrcodecError for whatever is not an intact file or asks for more than `limits`.
    """
    view = open(source, partial=partial, limits=limits)
    if scale is not None and size is not None:
        raise UsageError("scale and size: one of them at a time")
    if scale is not None:
        size = scaled_size(view.info.lattice, scale)
    return view.read(size, crop)


def scaled_size(lattice: Sequence[int], scale: float) -> tuple[int, ...]:
    """Every axis times `scale`, rounded, at least 1."""
    if not 0 < scale <= MAX_SCALE:
        raise UsageError(f"scale {scale}: a number above 0 and up to {MAX_SCALE:,} is needed")
    return tuple(max(1, round(size * scale)) for size in lattice)


def open(
    source: Source, *, signal: int = 0, partial: bool = False, limits: Limits = DEFAULT_LIMITS
) -> SignalView:
    """A view of a `.inrc` file that computes samples where they are asked.

    A file may hold several signals; `signal` says which, from 0. With `partial`, a file that is
    truncated, or damaged in its finer latents, gives what is left of it, at a lower quality: the
    view's `problem` says what is missing.
    """
    data = read_bytes(source)
    problem = None
    if partial:
        header, sections, problem = unpack_partial(data, limits)
    else:
        header, sections = unpack(data, limits)
    signals = header.signals()
    if not 0 <= signal < len(signals):
        raise UsageError(f"signal {signal}: the file holds {len(signals)}, counted from 0")
    layers = []
    for number in signals[signal]:
        track = header.tracks[number]
        residual = unpack_residual(number, track.info, sections, limits)
        mask = unpack_mask(number, track.info, sections, limits)
        described = track.info if mask is None else replace(track.info, fill=mask.fill)
        known = unpack_track(number, track.spec, sections)
        layers.append(Layer(described, known, residual, mask))
    metadata = next((s.payload for s in sections if s.type == SectionType.METADATA), None)
    return SignalView(
        tuple(layers),
        {} if metadata is None else unpack_metadata(metadata, limits),
        limits,
        problem,
    )


def info(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """What a `.inrc` file holds, section by section, without decoding it."""
    from inrcodec.files.labels import described_labels

    data = read_bytes(source)
    return describe(data, limits) | described_labels(read_metadata(data, limits))


def as_signal(
    source: Source | Signal | Any,
    keep: Collection[str] = USUALLY_KEPT,
    axes: Sequence[str | Axis] | None = None,
    variable: str | None = None,
    fill: float | None = None,
) -> Signal:
    """Anything `encode` accepts, as a Signal."""
    if isinstance(source, Signal):
        return source
    if isinstance(source, str | os.PathLike | bytes) or hasattr(source, "read"):
        from inrcodec.files.signals import read_signal

        return read_signal(source, keep=keep, axes=axes, variable=variable, fill=fill)
    if variable is not None:
        raise UsageError(f"variable {variable!r}: an array has none to choose from; leave it out")
    return from_array(source, axes, fill)


def is_inrc(data: bytes) -> bool:
    """Whether bytes begin as a `.inrc` file does."""
    return data[: len(MAGIC)] == MAGIC
