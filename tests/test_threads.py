"""Checks that numpy is imported without threads of its BLAS where nobody wants any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inrcodec.query.threads import BLAS_THREADS

ROOT = Path(__file__).resolve().parents[1]

CODE = f"""
import json, os, sys
import inrcodec.query.threads as threads
{{first}}
threads.import_numpy()
import threadpoolctl
libraries = threadpoolctl.threadpool_info()
count = [each["num_threads"] for each in libraries if each["internal_api"] == "openblas"]
print(json.dumps([count, os.environ.get("{BLAS_THREADS}"), "numpy" in sys.modules]))
"""


def imported(first: str = "", **environment: str) -> tuple[list[int], str | None, bool]:
    """Threads of each OpenBLAS, what the environment says, whether numpy is there."""
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first)],
        cwd=ROOT,
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    count, variable, there = json.loads(done.stdout)
    return count, variable, there


def test_blas_has_one_thread_and_the_environment_is_as_it_was() -> None:
    count, variable, there = imported()
    assert set(count) <= {1}
    assert (variable, there) == (None, True)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread")
def test_who_has_chosen_is_left_alone() -> None:
    asked, variable, _ = imported(**{BLAS_THREADS: "2"})
    assert set(asked) <= {2}
    assert variable == "2"
    before, variable, _ = imported("import numpy")
    assert variable is None
    assert before == imported("import numpy; threads.import_numpy = lambda: None")[0]
