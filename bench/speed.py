"""Measures decoding, a step of the fit and start-up beside plain torch: python -m bench.speed.

What is compared takes turns in one process on one thread; the least of the rounds counts, in
processor time, so that other work on the machine matters little. Start-up is in wall time.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

import inrcodec
from inrcodec.fields.field import Field
from inrcodec.fields.siren import OUTPUT_CENTRE, SirenSpec
from inrcodec.files.arrays import from_array
from inrcodec.fitting.fit import evaluate
from inrcodec.fitting.objective import squared_error
from inrcodec.fitting.optimiser import Soap
from inrcodec.fitting.presets import Settings
from inrcodec.fitting.samples import Samples
from inrcodec.fitting.stacks import Stacks, initial_stacks, layers_of, named
from inrcodec.query.render import render

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

HEIGHT, WIDTH = 512, 768
SPEC = SirenSpec(2, 3, 10, 28)

Table = list[tuple[str, float, float]]
"""What, milliseconds, and how often that is the first row's."""


def least_times(runs: Mapping[str, Callable[[], object]], rounds: int) -> Table:
    """The least processor time of each run; all take turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return _table({name: min(taken[1:]) for name, taken in times.items()})


def start_times(commands: Mapping[str, Sequence[str]], rounds: int) -> Table:
    """The median wall time of each command; all take turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, check=True
            )
            times[name].append(time.perf_counter() - started)
    return _table({name: statistics.median(taken[1:]) for name, taken in times.items()})


def _table(seconds: Mapping[str, float]) -> Table:
    first = next(iter(seconds.values()))
    return [(name, 1000 * taken, taken / first) for name, taken in seconds.items()]


def start() -> Stacks:
    """SIREN's random weights."""
    return initial_stacks(SPEC, torch.Generator().manual_seed(0), 1.0)


def samples() -> Samples:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return Samples(from_array(noise), "cpu", 0)


def eager(layers: Sequence[Tensor], coordinates: Tensor) -> Tensor:
    """The network as its authors write it: sin(omega_0 * (W h + b)), one layer after the other."""
    hidden = coordinates
    for layer in layers[:-1]:
        hidden = torch.sin(SPEC.omega_0 * linear(hidden, layer[:, :-1], layer[:, -1]))
    return linear(hidden, layers[-1][:, :-1], layers[-1][:, -1]) + OUTPUT_CENTRE


def decoding(rounds: int) -> Table:
    """A whole picture through inrcodec's render, which rounds it too, and through plain torch."""
    layers = layers_of(start())
    field = Field(SPEC, {name: array.numpy() for name, array in named(layers).items()})
    info = from_array(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).info
    coordinates = samples().coordinates(torch.arange(HEIGHT * WIDTH))
    values = evaluate(SPEC, layers, coordinates).reshape(HEIGHT, WIDTH, 3).clamp(0, 1) * 255
    if np.abs(render(field, info) - values.numpy()).max() > 1:
        raise AssertionError("the two pictures are not the same")
    return least_times(
        {
            "inrcodec, to 8-bit samples": lambda: render(field, info),
            "torch eager, omega_0 in the weights": lambda: evaluate(SPEC, layers, coordinates),
            "torch eager, omega_0 in the activations": lambda: eager(layers, coordinates),
        },
        rounds,
    )


def fitting(rounds: int) -> Table:
    """Steps on batches of the same size, with inrcodec's optimiser and with Adam."""
    preset, picture = Settings().preset(), samples()
    batches = picture.batches(preset.batch)
    ours = [stack.requires_grad_() for stack in start()]
    soap = Soap(ours)
    theirs = [layer.requires_grad_() for layer in (m.clone() for m in layers_of(start()))]
    adam = torch.optim.Adam(theirs, lr=2e-4)

    def our_step() -> None:
        indices = next(batches)
        values = evaluate(SPEC, layers_of(ours), picture.coordinates(indices))
        squared_error(values, picture.targets(indices)).backward()
        soap.step(preset.rate)

    def their_step() -> None:
        indices = next(batches)
        adam.zero_grad()
        values = eager(theirs, picture.coordinates(indices))
        (values - picture.targets(indices)).square().mean().backward()
        adam.step()

    def steps(step: Callable[[], None]) -> Callable[[], None]:
        # As many as there are between two refreshes of SOAP's bases.
        def run() -> None:
            for _ in range(soap.refresh):
                step()

        return run

    table = least_times(
        {
            "inrcodec, SOAP": steps(our_step),
            "torch eager, Adam": steps(their_step),
        },
        rounds,
    )
    return [(name, taken / soap.refresh, ratio) for name, taken, ratio in table]


def starting(rounds: int) -> Table:
    """Processes that end as soon as they have done what they are for."""
    picture = np.zeros((8, 8, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.inrc"
        path.write_bytes(inrcodec.encode(picture, net="1x4", steps=1, effort=1))
        return start_times(
            {
                "python -c pass": ["-c", "pass"],
                "python -c 'import inrcodec'": ["-c", "import inrcodec"],
                "inrcodec info": ["-m", "inrcodec", "info", str(path)],
                "inrcodec.decode": [
                    "-c",
                    f"import inrcodec; inrcodec.decode({str(path)!r})",
                ],
            },
            rounds,
        )


def show(title: str, table: Table) -> None:
    print(f"\n| {title} | ms | ratio |\n| --- | ---: | ---: |")
    for name, milliseconds, ratio in table:
        print(f"| {name} | {milliseconds:.1f} | {ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (7)")
    rounds = parser.parse_args().rounds
    if any(os.environ.get(name) != count for name, count in ONE_THREAD.items()):
        # The libraries read these when they are loaded, so only a new process can obey them.
        command = [sys.executable, "-m", "bench.speed", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
    torch.set_num_threads(1)
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    threads = f"{torch.get_num_threads()} torch thread, {ONE_THREAD['OPENBLAS_NUM_THREADS']} BLAS"
    print(f"{versions}, torch {torch.__version__}; {threads} thread; {rounds} rounds")
    size = f"{WIDTH}x{HEIGHT}, {SPEC.net}"
    with torch.no_grad():
        show(f"decode {size}: least processor time", decoding(rounds))
    batch = Settings().preset().batch
    show(f"step of a fit, {batch} positions, {SPEC.net}: least processor time", fitting(rounds))
    show("start to end of a process: median wall time", starting(rounds))


if __name__ == "__main__":
    main()
