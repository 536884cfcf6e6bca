"""Joins the cores of a machine with the minibatches of a fit: a thread per core, a share each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from inrcodec.query.threads import WhileAnyone

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads that each compute on one core.

    torch would split every small operation over the cores, and wait for the slowest some hundred
    times a step: on a machine with anything else to do that takes many times as long. Here the
    cores meet once a step.
    """

    def __init__(self, pool: ThreadPoolExecutor | None = None, count: int = 1) -> None:
        self._pool, self.count = pool, count

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """`work` of every item, in the order of the items."""
        return list(map(work, items) if self._pool is None else self._pool.map(work, items))

    def gradients(
        self, loss: Callable[[Tensor], Tensor], indices: Tensor, parameters: Sequence[Tensor]
    ) -> float:
        """Set the parameters' gradients to that of the mean `loss` over `indices`; return the loss.

        The shares are added in a fixed order: the same seed and number of threads give the same
        result.
        """

        def share(part: Tensor) -> tuple[float, tuple[Tensor, ...]]:
            with torch.enable_grad():
                value = loss(part) * (len(part) / len(indices))
            return float(value.detach()), torch.autograd.grad(value, parameters)

        total = 0.0
        for parameter in parameters:
            parameter.grad = None
        for value, gradients in self.map(share, indices.tensor_split(self.count)):
            total += value
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return total


def _one_thread() -> int:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return threads


_serial_torch = WhileAnyone(_one_thread, torch.set_num_threads)


@contextmanager
def working(device: str) -> Iterator[Workers]:
    """As many workers as torch has threads; one on a GPU, which needs no help."""
    with _serial_torch() as threads:
        count = threads if device == "cpu" else 1
        pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield Workers(pool if count > 1 else None, count)
        finally:
            pool.shutdown(cancel_futures=True)
