"""Names what may become of a siren's hidden weights: Symbols of their own, or sums of atoms."""

from __future__ import annotations

from inrcodec.errors import UsageError

PLAIN, AUTO, SINR = "none", "auto", "sinr"

SPARSIFY = (PLAIN, AUTO, SINR)
"""Weights are sums of atoms of a dictionary (SINR) never, where that is better, always."""


def check_sparsify(asked: str, kind: str) -> None:
    """Raise UsageError unless a field of `kind` can be made as `asked`."""
    if asked not in SPARSIFY:
        raise UsageError(f"sparsify {asked!r}: {', '.join(SPARSIFY)} is needed")
    if asked != PLAIN and kind != "siren":
        raise UsageError(f"sparsify {asked}: a siren is needed; name it with kind")
