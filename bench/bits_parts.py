"""Joins the parts of `.inrc` files with their means over several files, and with tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

AGREED = ("values", "shape", "step", "step_index", "family", "scale")
"""What a mean keeps of its parts if they all agree."""


@dataclass(frozen=True)
class Part:
    """Some bits of a file, in one `place` (the header, a section) and under one `name`.

    `group` is what summaries add up: container, metadata, recipes, the role of a tensor (weight,
    bias, context, ...), latents, sparse (sums of atoms, as a whole), coder. Tensors also have a
    shape, a quantiser step (and its
    index), and a table: a family and the scale s that stands for a standard deviation of
    2^(s/4 - 3) symbols.
    """

    place: str
    name: str
    group: str
    bits: float
    values: int | None = None
    shape: tuple[int, ...] | None = None
    step: float | None = None
    step_index: int | None = None
    family: str | None = None
    scale: int | None = None
    files: int = 1
    """How many files have this part; in the others it counts as 0 bits."""


def mean_parts(files: Sequence[Sequence[Part]]) -> tuple[Part, ...]:
    """Mean bits of every part that any file has; the means add up to the mean size."""
    found: dict[tuple[str, str], list[Part]] = {}
    # Deeper networks add tensors; the coder's end stays the last part of its section.
    for part in sorted(chain(*files), key=lambda part: part.group == "coder"):
        found.setdefault((part.place, part.name), []).append(part)
    means = []
    for same in found.values():
        agreed = {name: _only([getattr(part, name) for part in same]) for name in AGREED}
        bits = sum(part.bits for part in same) / len(files)
        means.append(replace(same[0], **agreed, bits=bits, files=len(same)))
    return tuple(means)


def _only(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def totals(parts: Sequence[Part]) -> dict[str, float]:
    """Bits of each group."""
    groups = dict.fromkeys(part.group for part in parts)
    return {name: sum(part.bits for part in parts if part.group == name) for name in groups}


def report(parts: Sequence[Part], files: int = 1) -> str:
    """A Markdown table of the parts, then one of the groups. `files` is how many these are of."""
    whole = sum(part.bits for part in parts)
    lines = ["| part | shape | values | step | table | bits | bits/value | % |"]
    lines.append("| --- | --- |" + " ---: |" * 6)
    for place in dict.fromkeys(part.place for part in parts):
        inside = [part for part in parts if part.place == place]
        bits = sum(part.bits for part in inside)
        lines.append(_line(Part(place, f"**{place}**", "", bits), whole))
        for part in inside:
            if part.files < files:
                # A mean over files that lack the part says nothing of a value.
                name = f"{part.name} (in {part.files} of {files})"
                part = replace(part, name=name, values=None)
            lines.append(_line(part, whole))
    lines += ["", "| group | bits | % |", "| --- | ---: | ---: |"]
    for group, bits in {**totals(parts), "sum": whole}.items():
        lines.append(f"| {group} | {bits:,.1f} | {100 * bits / whole:.2f} |")
    return "\n".join(lines)


def _line(part: Part, whole: float) -> str:
    shape = " x ".join(map(str, part.shape or ()))
    count = "" if part.values is None else f"{part.values:,}"
    step = "" if part.step is None else f"{part.step:.3g}"
    table = "" if part.family is None or part.scale is None else f"{part.family} {part.scale}"
    each = "" if part.values is None else f"{part.bits / part.values:.3f}"
    bits, share = f"{part.bits:,.1f}", f"{100 * part.bits / whole:.2f}"
    return "| " + " | ".join((part.name, shape, count, step, table, bits, each, share)) + " |"


def as_record(parts: Sequence[Part]) -> dict[str, Any]:
    shares = sum(part.bits for part in parts)
    listed = [asdict(part) | {"share": part.bits / shares} for part in parts]
    return {"bits": totals(parts), "parts": listed}
