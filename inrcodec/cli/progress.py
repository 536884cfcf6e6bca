"""Joins the progress of a fit with a bar on the terminal, and Ctrl-C with an early end of it."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from inrcodec.cli.streams import one_line


@dataclass
class Watch:
    """Progress of one file: where it stands, and how often Ctrl-C was pressed.

    A fit ends early, and well, when KeyboardInterrupt is raised in it. Rounding, and the proof
    after it, have to go on to the end to give a file; there the first Ctrl-C only is remembered,
    so that it ends the next fit, of an alpha channel for instance. The second one is obeyed.
    """

    stage: str = ""
    share: float = 0.0
    pressed: int = 0
    pending: bool = False

    @property
    def can_stop(self) -> bool:
        return self.stage in ("", "try") or (self.stage == "fit" and self.share < 1)

    def __call__(self, stage: str, share: float, psnr: float) -> None:
        self.stage, self.share = stage, share
        if self.pending and self.can_stop:
            self.pending = False
            raise KeyboardInterrupt

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGINT."""
        self.pressed += 1
        if self.can_stop or self.pressed > 1:
            raise KeyboardInterrupt
        self.pending = True


@contextmanager
def watched(name: str, hidden: bool) -> Iterator[Watch]:
    """Watch one fit, with a bar on standard error if that is a terminal, unless `hidden`."""
    from tqdm import tqdm

    name = one_line(name)
    bar = tqdm(
        total=1.0,
        desc=name,
        # None: shown on a terminal only.
        disable=True if hidden or sys.stderr is None else None,
        dynamic_ncols=True,
        leave=False,
        bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left",
    )

    class Shown(Watch):
        def __call__(self, stage: str, share: float, psnr: float) -> None:
            if stage != self.stage or share < self.share:
                bar.reset()
            bar.n = share
            title = "finishing" if self.pressed else stage
            quality = "" if math.isnan(psnr) else f" {psnr:.2f} dB"
            bar.set_description_str(f"{name}: {title}{quality}")
            super().__call__(stage, share, psnr)

    watch = Shown()
    # Only the main thread may do this, and only where nobody else has made arrangements.
    main_thread = threading.current_thread() is threading.main_thread()
    ours = main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if ours:
            signal.signal(signal.SIGINT, watch.interrupt)
        yield watch
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        bar.close()
