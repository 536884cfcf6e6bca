"""Joins pictures with the file of a base: trains, keeps checkpoints, goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inrcodec.coding.tensors import Arrays, pack_tensors, unpack_tensors
from inrcodec.errors import CorruptError, OutputError, UsageError
from inrcodec.fitting.base_file import pack_base
from inrcodec.fitting.base_group import Group
from inrcodec.fitting.base_start import Crops, Plan
from inrcodec.fitting.base_training import REFRESH, Training
from inrcodec.fitting.modulated_rate import Contexts
from inrcodec.fitting.workers import working

CHECKPOINT = 10 * REFRESH
"""Steps between checkpoints: resumed at one, a training goes on bit for bit."""

Report = Callable[[str], None]


def train_base(
    pictures: Sequence[NDArray[Any]],
    plan: Plan,
    output: Path,
    words: Mapping[str, str],
    report: Report,
) -> bytes:
    """Train a base and write it; a checkpoint beside it lets an interrupted training go on.

    The same pictures, plan and number of processes give the same bytes. Raises InrcodecError.
    """
    with working("cpu"):
        return _trained(pictures, plan, output, words, report)


def _trained(
    pictures: Sequence[NDArray[Any]],
    plan: Plan,
    output: Path,
    words: Mapping[str, str],
    report: Report,
) -> bytes:
    group = Group.joined()
    say = report if group.rank == 0 else _silent
    plan = replace(plan, axes=pictures[0].ndim - 1, outputs=pictures[0].shape[-1])
    crops, checkpoint = Crops(pictures, plan), output.with_suffix(".checkpoint")
    training = _resumed(plan, checkpoint, say) or Training.begun(plan, crops)
    training.group = group
    sums: list[tuple[float, float]] = []
    while training.step < plan.steps:
        sums.append(training.advance(crops)[1:])
        if training.step % CHECKPOINT == 0 or training.step == plan.steps:
            error, rate = np.mean(sums, axis=0)
            sums.clear()
            say(
                f"step {training.step} of {plan.steps}: {-10 * np.log10(error):.2f} dB, "
                f"{rate:.3f} bpp, over all rates"
            )
            if group.rank == 0 and training.step < plan.steps:
                _write(checkpoint, _checkpoint(training))
    data = pack_base(plan, training.parameters, training.contexts, words)
    if group.rank == 0:
        _write(output, data)
        checkpoint.unlink(missing_ok=True)
    group.left()
    return data


def _silent(_: str) -> None:
    """The other processes leave it to the first."""


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _told(plan: Plan) -> str:
    return json.dumps(asdict(plan), sort_keys=True)


def _checkpoint(training: Training) -> bytes:
    arrays: Arrays = {}
    for name, value in training.parameters.items():
        arrays[f"parameter/{name}"] = value.detach().numpy()
    for name, value in training.contexts.state_dict().items():
        arrays[f"context/{name}"] = value.numpy()
    for index, state in training.optimiser.state_dict()["state"].items():
        for name, value in state.items():
            arrays[f"adam/{index}/{name}"] = value.numpy()
    words = {"format": "inrcodec-checkpoint", "plan": _told(training.plan)}
    return pack_tensors(arrays, {**words, "step": str(training.step)})


def _resumed(plan: Plan, path: Path, report: Report) -> Training | None:
    """The training that a checkpoint holds, if there is one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorruptError(f"{path}: cannot be read: {error.strerror}") from error
    arrays, words = unpack_tensors(data, str(path))
    if words.get("plan") != _told(plan):
        raise UsageError(
            f"{path}: a checkpoint of another training; remove it, or give another name with -o"
        )
    held: dict[str, dict[str, torch.Tensor]] = {"parameter": {}, "context": {}}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        part, rest = name.split("/", 1)
        value = torch.from_numpy(array.copy())
        if part == "adam":
            index, what = rest.split("/")
            moments.setdefault(int(index), {})[what] = value
        else:
            held[part][rest] = value
    contexts = Contexts(plan.groups, plan.axes)
    contexts.load_state_dict(held["context"])
    training = Training.of(plan, held["parameter"], contexts)
    known = training.optimiser.state_dict()
    training.optimiser.load_state_dict({**known, "state": moments})
    training.step = int(words["step"])
    report(f"goes on at step {training.step}")
    return training
