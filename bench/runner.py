"""Joins tasks with rows: a process for each, several at a time, each row kept as it is done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from bench.rows import Row
from bench.worker import Task, empty_row, measured_row

PRELOADED = ["bench.worker", "bench.codecs.registry", "torch", "inrcodec.codec"]
"""What every process needs; loaded once, and each process is a fork of that."""

SLOW_GUESS, FAST_GUESS = 60.0, 1.0
"""Seconds expected of a row of a codec of which none has been measured yet."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(tasks: Sequence[Task], jobs: int, done: Callable[[Row, float], None]) -> None:
    """Measure every task, at most `jobs` at a time; `done` gets each row and the seconds that its
    process took, in this process.

    A process that dies without a word (killed, out of memory) gives a failed row. KeyboardInterrupt
    ends the processes and is passed on; the rows in flight are lost, no other.
    """
    if not tasks:
        return
    waiting = iter(tasks)
    running: dict[Connection, tuple[Task, ForkServerProcess, float]] = {}
    with _one_thread():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        _start_quietly()
        try:
            while True:
                for task in _take(waiting, jobs - len(running)):
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(target=_work, args=(task, theirs), daemon=True)
                    process.start()
                    theirs.close()
                    running[ours] = task, process, time.monotonic()
                if not running:
                    return
                for connection in wait(list(running)):
                    assert isinstance(connection, Connection)
                    task, process, start = running.pop(connection)
                    row = _result(connection, task, process)
                    done(row, time.monotonic() - start)
        finally:
            for _, process, _ in running.values():
                process.terminate()


def _take(tasks: Iterator[Task], count: int) -> Iterator[Task]:
    for _, task in zip(range(count), tasks, strict=False):
        yield task


def _work(task: Task, answer: Connection) -> None:
    import torch

    # A Ctrl-C on the terminal goes to every process; the bench alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    answer.send(measured_row(task))


def _end_with_parent() -> None:
    # A bench that was killed must not leave a fit behind that nobody waits for.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _result(connection: Connection, task: Task, process: ForkServerProcess) -> Row:
    try:
        row = connection.recv()
        assert isinstance(row, Row)
    except EOFError:
        process.join()
        why = f"its process ended with code {process.exitcode} and no result"
        row = replace(empty_row(task), failed=why)
    connection.close()
    process.join()
    return row


def _start_quietly() -> None:
    # A Ctrl-C while the server imports torch would end it, and a long traceback be printed.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def seconds_left(tasks: Sequence[Task], seconds: Mapping[str, Sequence[float]], jobs: int) -> float:
    """Wall time that `tasks` will take, from the seconds that rows took so far, by codec."""
    total = 0.0
    for task in tasks:
        times = seconds.get(task.codec)
        guess = SLOW_GUESS if task.slow else FAST_GUESS
        total += sum(times) / len(times) if times else guess
    return total / jobs
