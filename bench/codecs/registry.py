"""Joins the names that a user may ask for with the codecs behind them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from bench.codecs import coin, own, reference, stills, video, zoo
from bench.codecs.codec import Codec, CodecMissingError, Entry

ENTRIES: tuple[Entry, ...] = (
    *stills.ENTRIES,
    *video.ENTRIES,
    *reference.ENTRIES,
    *zoo.ENTRIES,
    *coin.ENTRIES,
    *own.ENTRIES,
)


def find(names: Sequence[str]) -> tuple[list[Codec], list[str]]:
    """The codecs of `names`, in that order, and a line for each that cannot run here.

    Raises ValueError for names that no codec has.
    """
    entries = [_entry(name) for name in names]
    if unknown := [name for name, entry in zip(names, entries, strict=True) if entry is None]:
        raise ValueError("; ".join(_unknown(name) for name in unknown))
    codecs, missing = [], []
    for name, entry in dict(zip(names, entries, strict=True)).items():
        assert entry is not None
        try:
            codecs.append(entry.load(name))
        except CodecMissingError as error:
            missing.append(str(error))
    return codecs, missing


def known() -> dict[str, str]:
    """Every name and, in one line, what it stands for and what its setting is."""
    return {entry.name: entry.line for entry in ENTRIES}


def _entry(name: str) -> Entry | None:
    for entry in ENTRIES:
        if re.fullmatch(entry.pattern or re.escape(entry.name), name):
            return entry
    return None


def _unknown(name: str) -> str:
    names = [entry.name for entry in ENTRIES]
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    near += [other for other in names if name and other.startswith(name) and other not in near]
    hint = f"did you mean {', '.join(near[:6])}?" if near else f"known: {', '.join(names)}"
    return f"codec {name!r} is unknown; {hint}"
