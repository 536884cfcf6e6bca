"""Joins the steps of a siren's fit with those of eager torch, and their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from bench.subject import Subject, eager
from bench.timing import Comparison, Run, compare
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.settings import Settings
from inrcodec.fitting.siren_step import NativeSirenStep, TorchSirenStep, step_for
from inrcodec.fitting.stacks import layers_of
from inrcodec.fitting.workers import working

FitStep = NativeSirenStep | TorchSirenStep


@dataclass(frozen=True)
class Bench:
    """What all stages are measured on and how."""

    subject: Subject
    rounds: int
    clock: str

    def compare(self, stage: str, ours: Run, reference: Run, item: str, count: int) -> Comparison:
        return compare(stage, ours, reference, self.rounds, self.clock, item, count)


def fitting(bench: Bench) -> Iterator[Comparison]:
    """Forward and backward, without and with the optimiser, on batches of the same size."""
    sizes = bench.subject.sizes
    for subject in (bench.subject, Subject(replace(sizes, depth=4, hidden=64))):
        yield from _fitting(bench, subject)


def _fitting(bench: Bench, subject: Subject) -> Iterator[Comparison]:
    spec, picture, size = subject.sizes.spec, subject.samples, subject.sizes.batch
    batches = picture.batches(size)
    ours = [stack.requires_grad_() for stack in subject.start()]
    theirs = [layer.clone().requires_grad_() for layer in layers_of(subject.start())]
    soap, adam = Soap(ours), torch.optim.Adam(theirs, lr=2e-4)
    rate = Settings(kind="siren").preset().rate

    def gradient(fit: FitStep) -> None:
        fit.descend([], ours, next(batches))

    def step(fit: FitStep) -> None:
        gradient(fit)
        soap.step(rate)

    def their_gradient() -> None:
        adam.zero_grad()
        indices = next(batches)
        values = eager(theirs, picture.coordinates(indices), spec.omega_0)
        (values - picture.targets(indices)).square().mean().backward()

    def their_step() -> None:
        their_gradient()
        adam.step()

    # As many steps as there are between two refreshes of SOAP's bases.
    turns = soap.refresh

    def run(name: str, one: Callable[[FitStep], None]) -> Run:
        def work() -> None:
            with working("cpu") as workers:
                picture.workers = workers
                fit = step_for(spec, picture)
                for _ in range(turns):
                    one(fit)

        return Run(name, work, turns)

    def their_run(name: str, one: Callable[[], None]) -> Run:
        def work() -> None:
            for _ in range(turns):
                one()

        return Run(name, work, turns)

    count = min(size, picture.positions)
    for stage, ours_run, theirs_run in (
        ("gradient of a fit", run("", gradient), their_run("torch eager", their_gradient)),
        ("step of a fit", run("SOAP", step), their_run("torch eager, Adam", their_step)),
    ):
        yield bench.compare(f"{stage}, {spec.net}", ours_run, theirs_run, "coordinates", count)
