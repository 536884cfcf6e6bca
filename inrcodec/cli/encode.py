"""Joins the words of `inrcodec encode` with signals read, fields fitted and files written."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from inrcodec.bitstream.wire import EXTENSION
from inrcodec.cli.jobs import Job, Plan, check_targets, open_target, plan, run_jobs, source_of
from inrcodec.cli.progress import watched
from inrcodec.cli.streams import STDIO, as_json, put, say
from inrcodec.cli.values import array_words
from inrcodec.codec import Encoded, encode_signal
from inrcodec.errors import ExitCode, UsageError
from inrcodec.files.pillow_image import METADATA
from inrcodec.files.signals import check_readable, read_signal
from inrcodec.files.sources import KEPT, USUALLY_KEPT
from inrcodec.fitting.settings import Settings

KEEP = {"icc": USUALLY_KEPT, "all": (*METADATA, *KEPT), "none": ()}

_NO_MEMORY = re.compile("out of memory|not enough memory|can't allocate memory")


def encode(args: argparse.Namespace) -> ExitCode:
    """Everything that can be refused is refused before the first fit."""
    names = (field.name for field in fields(Settings))
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    settings = Settings(**given)
    check = partial(check_readable, shape=args.shape, dtype=args.dtype)
    todo = plan(args.inputs, args.output, lambda _: EXTENSION, check)
    for job in todo.jobs:
        _check_suffix(job.target)
    check_targets(todo.jobs, args.force)
    return _run(args, settings, todo)


def _run(args: argparse.Namespace, settings: Settings, todo: Plan) -> ExitCode:
    import torch

    from inrcodec.fitting.signals import chosen_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = chosen_device(settings.device)

    def work(job: Job) -> ExitCode:
        how = array_words(args)
        signal = read_signal(source_of(job.source), keep=KEEP[args.metadata], **how)
        try:
            with watched(job.source, args.quiet) as watch:
                encoded = encode_signal(signal, settings, watch)
                interrupted = encoded.interrupted or watch.pressed > 0
                with open_target(job, args.force) as file:
                    file.write(encoded.data)
        except RuntimeError as error:
            # torch has no class of its own for a CPU without memory.
            if _NO_MEMORY.search(str(error)):
                raise MemoryError from error
            raise
        record = _record(job, encoded, settings, device) | {"interrupted": interrupted}
        _report(args, job, record)
        return ExitCode.INTERRUPTED if interrupted else ExitCode.OK

    return run_jobs(todo, work, args.debug)


def _check_suffix(target: str) -> None:
    path = Path(target)
    special = target == STDIO or path.is_char_device() or path.is_fifo() or path.is_dir()
    if path.suffix.lower() != EXTENSION and not special and not target.startswith("/dev/"):
        raise UsageError(f"{target}: the output of encode is a {EXTENSION} file; name one")


def _record(job: Job, encoded: Encoded, settings: Settings, device: str) -> dict[str, Any]:
    return {
        "input": job.source,
        "output": job.target,
        "bytes": len(encoded.data),
        "samples": encoded.positions,
        "bpp": encoded.bpp,
        "psnr": encoded.psnr,
        "max_error": encoded.max_error,
        "ms_ssim": encoded.ms_ssim,
        "seconds": encoded.seconds,
        "steps": encoded.steps,
        "kind": encoded.kind,
        "net": encoded.net,
        "effort": settings.effort,
        "device": device,
        "macs_per_sample": encoded.macs_per_sample,
    }


def _report(args: argparse.Namespace, job: Job, record: dict[str, Any]) -> None:
    name = "standard output" if job.target == STDIO else job.target
    if args.json and job.target == STDIO:
        say(as_json(record))
    elif args.json:
        put(as_json(record))
    elif not args.quiet:
        size = f"{record['bytes']} bytes, {record['bpp']:.3f} bpp, {record['psnr']:.2f} dB"
        if args.max_error is not None:
            size += f", at most {record['max_error']:g} off"
        if record["ms_ssim"] is not None:
            size += f", MS-SSIM {record['ms_ssim']:.4f}"
        say(f"{name}: {size}, {record['kind']} {record['net']}, {record['seconds']:.0f} s")
    if record["interrupted"]:
        say(f"inrcodec: interrupted; {name} holds the best field so far")
