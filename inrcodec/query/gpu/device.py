"""Joins the name of a device with what can compute there: checked, in one line where it cannot."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from inrcodec.errors import DeviceError, UsageError

OLDEST = (8, 0)
"""Compute capability that the kernels need: tensor cores that take float16 and tf32."""

One = TypeVar("One")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Device:
    """Where tensors live, and whether the Triton kernels run there."""

    torch: torch.device
    kernels: bool
    multiprocessors: int = 1


def device(name: str) -> Device:
    """The device `cuda` or `cuda:N`.

    With TRITON_INTERPRET=1 that is Triton's interpreter on the CPU: for tests. Where the card is
    too old or Triton is missing, the CPU computes, and a warning says so. Raises UsageError for
    another name, DeviceError where there is no such device.
    """
    number = re.fullmatch(r"cuda(?::(\d{1,4}))?", name)
    if not number:
        raise UsageError(f"device {name!r}: choose cpu, cuda or cuda:N")
    if interpreted():
        return Device(torch.device("cpu"), kernels=True)
    if not torch.cuda.is_available():
        built = "no driver or no GPU is found" if torch.version.cuda else "torch is built for CPUs"
        raise DeviceError(f"device {name}: {built}; use device='cpu'")
    index = int(number[1]) if number[1] else torch.cuda.current_device()
    if index >= torch.cuda.device_count():
        raise DeviceError(f"device {name}: there are {torch.cuda.device_count()}, counted from 0")
    found = torch.device("cuda", index)
    missing = unusable(torch.cuda.get_device_capability(found))
    if missing:
        warnings.warn(f"device {name}: {missing}; the CPU computes", RuntimeWarning, stacklevel=3)
    processors = torch.cuda.get_device_properties(found).multi_processor_count
    return Device(found, not missing, processors)


def unusable(capability: tuple[int, int]) -> str:
    """Why the kernels cannot run on a card of this compute capability; empty where they can."""
    if capability < OLDEST:
        return "sm_{}{} is older than sm_80".format(*capability)
    try:
        import triton  # noqa: F401
    except ImportError:
        return "triton is not installed (pip install inrcodec[gpu])"
    return ""


def interpreted() -> bool:
    """Whether Triton interprets its kernels in this process."""
    try:
        from triton import knobs
    except ImportError:
        return False
    return bool(knobs.runtime.interpret)


def in_parts(members: Sequence[One], work: Callable[[Sequence[One]], list[Result]]) -> list[Result]:
    """`work` of all members, in halves, and halves of those, where memory does not suffice.

    Raises DeviceError where it does not suffice for one.
    """
    try:
        return work(members)
    except torch.OutOfMemoryError as error:
        if len(members) < 2:
            message = str(error).partition(". ")[0]
            raise DeviceError(
                f"{message}, for the samples of one field; ask for a crop or a smaller size"
            ) from None
    # Beyond the handler, whose frames would keep what the failure had allocated.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(members) // 2
    return in_parts(members[:middle], work) + in_parts(members[middle:], work)
