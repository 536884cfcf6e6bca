"""Turns sampled signals into small neural fields in `.inrc` files, and asks them back anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inrcodec.codec import decode, encode, info, open
    from inrcodec.errors import InrcodecError
    from inrcodec.query.batch import query_many
    from inrcodec.signal import Axis, Signal

__version__ = "0.1.0"

_HOMES = {
    "encode": "inrcodec.codec",
    "decode": "inrcodec.codec",
    "open": "inrcodec.codec",
    "info": "inrcodec.codec",
    "query_many": "inrcodec.query.batch",
    "Signal": "inrcodec.signal",
    "Axis": "inrcodec.signal",
    "InrcodecError": "inrcodec.errors",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    # PEP 562: importing the package stays fast, and decoding never loads what encoding needs.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
