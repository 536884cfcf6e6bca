"""The README says what is true: its code runs and its effort table is the presets'."""

import os
import re
import shlex
from pathlib import Path

import pytest

from inrcodec.fields.pyramid import PyramidSpec
from inrcodec.fitting.presets import DEFAULT_EFFORT, PYRAMID_EFFORT
from inrcodec.fitting.siren_presets import EFFORT

README = Path(__file__).parents[1] / "README.md"


def effort_table() -> str:
    rows = [
        "| effort | steps of a `pyramid` | its networks | steps of a `siren` |",
        "| --- | --- | --- | --- |",
    ]
    for effort, preset in PYRAMID_EFFORT.items():
        name = f"{effort} (default)" if effort == DEFAULT_EFFORT else f"{effort}"
        net = PyramidSpec((1, 1), 3, 1, preset.contexts, preset.synthesis, preset.residuals).net
        rows.append(f"| {name} | {preset.steps:,} | {net} | {EFFORT[effort].steps:,} |")
    return "\n".join(rows)


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_the_effort_table_is_that_of_the_presets() -> None:
    if os.environ.get("INRCODEC_WRITE_README"):
        text = re.sub(
            r"(<!-- effort table[^\n]*-->\n)(.*?)(\n\n)",
            lambda m: m[1] + effort_table() + m[3],
            README.read_text(),
            count=1,
            flags=re.DOTALL,
        )
        README.write_text(text)
    assert effort_table() in README.read_text(), "INRCODEC_WRITE_README=1 writes it anew"


@pytest.mark.parametrize("block", code_blocks("python"))
def test_the_library_example_runs(block: str) -> None:
    exec(compile(block, str(README), "exec"), {})


def test_every_command_shown_is_understood() -> None:
    from inrcodec.cli import parser

    shown = [
        line.split("#")[0]
        for block in code_blocks("")
        for line in block.splitlines()
        if line.startswith("inrcodec ")
    ]
    assert len(shown) >= 6
    for line in shown:
        parser().parse_args(shlex.split(line)[1:])
