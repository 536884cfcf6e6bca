"""Joins the processes of `torchrun` with one training: each takes crops of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Group:
    """`count` processes that train together, of which this is number `rank`."""

    rank: int = 0
    count: int = 1

    @staticmethod
    def joined() -> Group:
        """The group that `torchrun` says this process belongs to; else it is alone."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return Group()
        if not distributed.is_initialized():
            distributed.init_process_group("gloo")
        return Group(distributed.get_rank(), distributed.get_world_size())

    def average(self, parameters: Sequence[Tensor]) -> None:
        """Make every gradient the mean of all processes'."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= self.count

    def left(self) -> None:
        """Part from the others."""
        if self.count > 1:
            distributed.destroy_process_group()
